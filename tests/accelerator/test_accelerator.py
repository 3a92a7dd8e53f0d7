"""The whole course on an accelerator, where there is none: see ``pretend.py``.

torch has one accelerator a process, so every test here starts processes of its own that have the
pretend one from the beginning (``site/sitecustomize.py``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from minibag.machine import cpu_count
from tests.accelerator import pretend
from tests.runs.cli import accuracy

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
RUNNER = "tests.accelerator.lesson"
TINY = ["--width", "4", "--layers", "1", "1", "1", "1", "--epochs", "1", "--size", "32"]


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Return variables with which every Python has the accelerator; it is compiled at first."""
    if not pretend.compiler():
        reason = "the pretend accelerator needs a C++ compiler (g++), and there is none here"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    pretend.library()
    return os.environ | {"PYTHONPATH": f"{HERE / 'site'}{os.pathsep}{ROOT}", "MPLBACKEND": "agg"}


def run(environment: dict[str, str], *arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run Python with the accelerator; return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


@pytest.mark.parametrize("what", ["device", "fit", "evidence", "experiments"])
def test_on_it_everything_gives_the_cpus_numbers(environment, what):
    run(environment, "-m", "pytest", "-x", "-q", HERE / "cases" / f"{what}.py")


def test_the_tests_of_training_pass_on_it(environment):
    lazy = "tests/unit/training/test_fit.py::test_lazy_networks_get_their_shapes_and_go_on"
    # Module.to makes new parameters on a device that is no part of torch: lazy no more.
    run(environment, "-m", "pytest", "-q", "tests/unit/training", "--deselect", lazy)


def test_the_command_line_trains_evaluates_and_maps_on_it(environment, tmp_path):
    model = ["--model", "net.safetensors"]

    def minibag(*words: str, environment: dict[str, str] = environment) -> str:
        return run(environment, "-m", "minibag", *words, cwd=tmp_path)

    train = ["train", "--model", "bagnet9", "--data", "critters", "--n-train", "64"]
    said = minibag(*train, "--out", "net.safetensors", *TINY).splitlines()[-1]
    evaluate = ["evaluate", *model, "--data", "critters", "--split", "test"]
    again = minibag(*evaluate).strip()
    here = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
    assert accuracy(said) == accuracy(again) == accuracy(minibag(*evaluate, environment=here))
    minibag("data", "critters", "--n", "4", "--sheet", "sheet.png", "--size", "32")
    assert "evidence for" in minibag("heatmap", "sheet.png", *model, "-o", "map.png")


@pytest.fixture(scope="module")
def runs(environment, request) -> Iterator[dict[Path, Future]]:
    """Run the lessons that were asked for, one on each CPU: that halves the time of them all.

    Each has a Python of its own: kernels started from threads of this one once closed its stdout.
    """
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    lessons = [params["lesson"] for params in asked if "lesson" in params]
    with ThreadPoolExecutor(cpu_count()) as pool:
        lesson_on_it = partial(run, environment | {"OMP_NUM_THREADS": "1"}, "-m", RUNNER)
        yield {lesson: pool.submit(lesson_on_it, lesson) for lesson in lessons}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.stem for lesson in LESSONS])
def test_the_lesson_runs_on_it(runs, lesson):
    runs[lesson].result()
