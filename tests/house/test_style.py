"""The rules of the house that a machine can check: style, types, sizes, arrows."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from minibag.figures import course
from tests.house.environment import ROOT

MODULES = sorted((ROOT / "minibag").rglob("*.py"))
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
# They grow with the lessons, not with the library.
LESSON_ROOMS = {"checks", "experiments", "figures", "widgets"}
# A room may import the rooms named here and nothing else of minibag.
ARROWS = {
    "bag": set(),
    "machine": set(),
    "stats": set(),
    "data": {"machine"},
    "words": {"bag", "machine", "data"},
    "nets": {"bag", "machine", "words"},
    "evidence": {"bag", "data"},
    "experiments": {"bag", "data", "machine", "stats", "words", "nets", "evidence"},
    "training": {"data", "machine", "nets"},
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


def code_lines(path: Path) -> int:
    """Lines of code: without blank lines, comments and docstrings, which cost nobody anything."""
    text = path.read_text()
    code = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(code)


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "minibag").parts[0].removesuffix(".py")


def test_library_stays_small():
    lines = {str(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: n for path, n in lines.items() if n > 250} == {}
    assert sum(code_lines(path) for path in MODULES if room_of(path) not in LESSON_ROOMS) <= 4000


def test_thirteen_lessons_hide_little_code_in_the_library():
    hidden = sum(code_lines(path) for path in MODULES if room_of(path) in LESSON_ROOMS)
    assert hidden <= 300 * sum(map(len, course.LESSONS))


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


def test_no_room_but_figures_and_widgets_is_a_leaf():
    leaves = {"widgets", "checks"}
    for path in MODULES:
        if room_of(path) not in {*leaves, "__init__"}:
            assert not imported_rooms(path) & leaves, path
