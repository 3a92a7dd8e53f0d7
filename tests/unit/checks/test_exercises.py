"""Every exercise of every lesson: its check takes the notebook's solution and refuses the stub."""

import re
from importlib import import_module

import pytest

from tests.unit.checks.solutions import NOTEBOOKS, cells, solution, stub

LESSONS = sorted(int(path.name[:2]) for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
CALL = re.compile(r"^mb\.checks\.lesson\d\d\.(\w+)\(\1\)", re.MULTILINE)
EXERCISES = [
    (lesson, name)
    for lesson in LESSONS
    for cell in cells(lesson)
    if cell.cell_type == "code"
    for name in CALL.findall(cell.source)
]


def judge(lesson, name):
    return getattr(import_module(f"minibag.checks.lesson{lesson:02d}"), name)


def test_every_lesson_has_an_exercise_and_every_exercise_a_check():
    asked = {n: sum(c.source.count("### Your turn") for c in cells(n)) for n in LESSONS}
    checked = {n: sum(lesson == n for lesson, _ in EXERCISES) for n in LESSONS}
    assert checked == asked
    assert min(asked.values()) >= 1


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_the_solution_of_the_notebook_passes(lesson, name):
    for _ in range(5):  # checks may draw fresh inputs
        judge(lesson, name)(solution(lesson, name)).require()


@pytest.mark.parametrize(("lesson", "name"), EXERCISES)
def test_the_stub_is_told_that_it_is_their_turn(lesson, name):
    verdict = judge(lesson, name)(stub(lesson, name))
    assert not verdict.passed
    assert "your turn" in verdict.message
    assert verdict.hints
