"""The rules of the house that a machine can check: style, types, arrows."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.environment import ROOT

MODULES = sorted((ROOT / "minibag").rglob("*.py"))
# A room may import the rooms named here and nothing else of minibag.
ARROWS = {
    "bag": set(),
    "cgroup": set(),
    "exact": set(),
    "machine": {"cgroup"},
    "stats": set(),
    "data": {"machine"},
    "words": {"bag", "machine", "data"},
    "nets": {"bag", "exact", "machine", "words"},
    "evidence": {"bag", "data", "exact", "machine"},
    "experiments": {"bag", "data", "machine", "stats", "words", "nets", "evidence"},
    "training": {"data", "exact", "machine", "nets"},
}


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_tools_are_content(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "minibag").parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """The rooms of minibag that a module imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            base = [f"{node.module}.{alias.name}" for alias in node.names]
            names += base if node.module == "minibag" else [node.module]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {name.split(".")[1] for name in names if name.startswith("minibag.")}


@pytest.mark.parametrize("room", ARROWS)
def test_arrows_point_one_way(room):
    home = ROOT / "minibag" / room
    paths = sorted(home.rglob("*.py")) if home.is_dir() else [home.with_suffix(".py")]
    assert paths
    for path in paths:
        assert imported_rooms(path) <= ARROWS[room] | {room}, path


def test_no_test_reads_a_clock():
    """How long something takes is for benchmarks/; a deadline of `monotonic` only ends a hang."""
    clocks = re.compile(r"perf_counter|process_time|thread_time|timeit|time\.time\(")
    paths = sorted({*(ROOT / "tests").rglob("test_*.py")} - {Path(__file__)})
    assert paths
    assert [path.name for path in paths if clocks.search(path.read_text())] == []


def test_no_room_but_figures_and_widgets_is_a_leaf():
    leaves = {"widgets", "checks"}
    for path in MODULES:
        if room_of(path) not in {*leaves, "__init__"}:
            assert not imported_rooms(path) & leaves, path
