"""The exercise of lesson 00, Start here."""

from __future__ import annotations

from collections.abc import Callable
from math import isclose

from minibag.checks.core import CheckFailed, check


@check(
    "Of n classes one is right. Guess 100 times: how often do you hit it?",
    "With 2 classes a guess is right 50 % of the time, with 4 classes 25 %.",
)
def chance(answer: Callable[[int], float]) -> str:
    """Percent correct by guessing among ``n_classes`` classes of equal size."""
    for n in (4, 10, 8, 1000, 3, 7):
        got, right = answer(n), 100 / n
        if isinstance(got, (str, bool)) or not hasattr(got, "__float__"):
            raise CheckFailed(
                f"chance({n}) gives {got!r}, not a number. A function hands back what "
                "stands after `return`; `print` only shows it."
            )
        if isclose(got, right / 100, rel_tol=1e-6):
            raise CheckFailed(f"chance({n}) gives the share {got}. Percent was asked: times 100.")
        if isclose(got, 100 - right, rel_tol=1e-6):
            raise CheckFailed(f"chance({n}) gives {got}: that is how often a guess is wrong.")
        if not isclose(got, right, rel_tol=1e-6):
            raise CheckFailed(
                f"chance({n}) gives {got}. Think of {100 * n} guesses with {n} classes: one in {n} "
                "is right. How many in a hundred? Do not round (use / rather than //)."
            )
    return "8 classes: 12.5 %. 1000 classes: 0.1 %. Every accuracy of this course starts from here."
