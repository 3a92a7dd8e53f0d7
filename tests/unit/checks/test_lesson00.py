"""The check of lesson 00 takes the notebook's solution and explains wrong answers."""

import numpy as np
import pytest
import torch

from minibag.checks import lesson00


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda n: 1 / n, "Percent"),
        (lambda n: 100 - 100 / n, "wrong"),
        (lambda n: 100 // n, "Do not round"),
        (lambda n: round(100 / n), "Do not round"),
        (lambda n: round(100 / n, 1), "Do not round"),
        (lambda n: round(100 / n, 2), "Do not round"),
        (lambda n: 1 / n * 1000, "one in 4"),
        (lambda n: 12.5, "one in 4"),
        (lambda n: print(end=""), "return"),
        (lambda n: f"{100 / n} %", "not a number"),
    ],
)
def test_wrong_answers_are_explained(wrong, word):
    verdict = lesson00.chance(wrong)
    assert not verdict.passed
    assert word in verdict.message


@pytest.mark.parametrize(
    "right",
    [
        lambda n: 1 / n * 100,
        lambda n: np.float32(100) / n,
        lambda n: torch.tensor(100.0) / n,
        lambda n: 100 * sum(guess == 0 for guess in range(n)) / n,
    ],
)
def test_right_answers_in_other_styles_pass(right):
    lesson00.chance(right).require()
