"""The check of lesson 00 takes the notebook's solution and explains wrong answers."""

import pytest

from minibag.checks import lesson00


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda n: 1 / n, "Percent"),
        (lambda n: 100 - 100 / n, "wrong"),
        (lambda n: 100 // n, "Do not round"),
        (lambda n: 12.5, "one in 4"),
        (lambda n: print(end=""), "return"),
        (lambda n: f"{100 / n} %", "not a number"),
    ],
)
def test_wrong_answers_are_explained(wrong, word):
    verdict = lesson00.chance(wrong)
    assert not verdict.passed
    assert word in verdict.message
