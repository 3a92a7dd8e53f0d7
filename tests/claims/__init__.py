"""What the lessons say, as lines that could refute it.

A claim is a sentence of a lesson and a function that measures what it says. It gets a seed, draws
its own data and models with it, and returns whether the sentence holds and what was measured:

    @claim("01", "at 8 px cells seam patches alone do better than whole ones")
    def seams(seed: int) -> Outcome:
        whole, seam = ...
        return Outcome(seam > whole, f"whole {whole:.0%}, seams {seam:.0%}")

``python -m tests.claims 01`` runs those of lesson 01 and records them,
``python -m tests.claims table`` writes them all to ``notebooks/CLAIMS.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Outcome(NamedTuple):
    """Whether a sentence holds, and what was measured, in a few words."""

    held: bool
    measured: str


class Claim(NamedTuple):
    """A sentence, word for word as the lesson has it, and what measures it."""

    lesson: str
    sentence: str
    measure: Callable[[int], Outcome]
    before: str  # what the lesson said until a measurement refuted it; "" if it stands as it was
    seeds: int  # 1 for what has no chance in it: arithmetic, a stored table, a picture's pixels


CLAIMS: list[Claim] = []


def claim(
    lesson: str, sentence: str, *, before: str = "", seeds: int = 5
) -> Callable[[Callable[[int], Outcome]], Callable[[int], Outcome]]:
    """Register a function as the measure of a sentence of a lesson ("01", "A1")."""

    def register(measure: Callable[[int], Outcome]) -> Callable[[int], Outcome]:
        CLAIMS.append(Claim(lesson, " ".join(sentence.split()), measure, before, seeds))
        return measure

    return register
