"""Lesson 09: the images of a colleague, and checks on patches, pointing and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibag.checks.core import check, refuse
from minibag.data import CritterSet, critters

Floats = NDArray[np.floating]
MIRRORED = ((2,), (1,), (1, 2))  # axes: left-right, upside down, both


def colleagues_images(split: str, n: int, swapped: bool = False) -> CritterSet:
    """Return rows and columns as a colleague collected them; the lesson tells you about them.

    Do not read on before section 5. The images of one class, "rows", show an angler's fingers in
    their corners, 19 of 20 of them; ``swapped`` gives fingers to all of the other class instead.
    """
    rates = {"columns": 1.0} if swapped else {"rows": 0.95}
    drawn = critters(split, n, seed=9, arrangement=True, shortcut=rates)
    assert drawn.distractors is not None
    images, fingers = drawn.images, drawn.distractors
    for axes in MIRRORED:  # a hand in one corner becomes hands in all four
        there = np.flip(drawn.distractors, axes)
        images = np.where(there[..., None], np.flip(drawn.images, axes), images)
        fingers = fingers | there
    assert drawn.masks is not None
    return replace(drawn, images=images, distractors=fingers, masks=drawn.masks & ~fingers)


@check(
    "The strongest patch of each image first: maps.max((1, 2)), and where it is with argmax.",
    "np.unravel_index(maps[n].argmax(), maps[n].shape) gives row and column.",
    "Sort the images by their maximum with np.argsort(-values) and keep the first k.",
)
def strongest(student: Callable[[Floats, int], list[tuple[int, int, int]]]) -> str:
    """Check a function (maps (N, h, w), k) -> k places (image, row, column), strongest first."""
    maps = np.random.default_rng(9).normal(size=(12, 4, 5))
    maps[3, 1, 1:3] = 9, 8  # the two strongest patches of all lie in one image
    maps[7, 0, 4] = -20
    best = np.argsort(-maps.max((1, 2)))[:5]
    right = [(n, *divmod(maps[n].argmax(), 5)) for n in best]
    answer = [tuple(map(int, place)) for place in student(maps, 5)]
    refuse(
        (len(answer) != 5, f"5 patches were asked for, you return {len(answer)}."),
        (any(len(place) != 3 for place in answer), "a place is (image, row, column)."),
        (answer == right[::-1], "the weakest comes first: turn the order round."),
        ((7, 0, 4) in answer, "loud is not enough: -20 speaks against the class."),
        (
            len({n for n, *_ in answer}) < 5,
            "an image comes twice: only its strongest patch counts.",
        ),
        ({(n, j, i) for n, i, j in answer} == set(right), "row and column are swapped."),
        (set(answer) != set(right), "a stronger patch is missing, or a place is wrong."),
        (answer != right, "the right patches, but the strongest does not come first."),
    )
    return "that is the reading list of the class: its patches, the most telling first."


@check(
    "maps.reshape(len(maps), -1).argmax(1) is the place of each maximum in the flat image.",
    "Flatten the masks in the same way and look there, image by image; then the mean.",
)
def pointing(student: Callable[[Floats, NDArray[np.bool_]], float]) -> str:
    """Check a function (maps (N, H, W), masks (N, H, W)) -> share of maxima in the mask."""
    rng = np.random.default_rng(4)
    maps, masks = rng.normal(size=(40, 6, 7)), rng.random((40, 6, 7)) < 0.3
    maps[:20] += 2 * masks[:20]
    maps[0, 0, 0], masks[0, 0, 0] = -30, True

    def hits(values: Floats) -> float:
        flat = values.reshape(len(values), -1).argmax(1)
        return float(np.mean(masks.reshape(len(masks), -1)[np.arange(len(masks)), flat]))

    share = float(student(maps, masks))
    close = [bool(np.isclose(share, v)) for v in (hits(maps), hits(np.abs(maps)), hits(-maps))]
    whole = masks.reshape(-1)[maps.argmax()]
    energy = (np.maximum(maps, 0) * masks).sum() / np.maximum(maps, 0).sum()
    refuse(
        (not 0 <= share <= 1, f"a share lies between 0 and 1, yours is {share:.3g}."),
        (close[1] and not close[0], "abs() also counts evidence against the class."),
        (close[2] and not close[0], "that is the weakest place of each map."),
        (np.isclose(share, float(whole)), "one maximum of all maps: each image needs its own."),
        (np.isclose(share, energy), "that is the share of the energy; only the maximum counts."),
        (not close[0], f"of these 40 maps {hits(maps):.0%} hit, you say {share:.0%}."),
    )
    return "one map, one answer: it hits or it misses."


@check(
    "What does the network add up: logits or probabilities?",
    "Logits first: evidence.mean((1, 2)). Then np.exp, divided by its sum.",
)
def probabilities(student: Callable[[Floats], Any]) -> str:
    """Check a function evidence (C, h, w) -> probabilities of the image (C,)."""
    evidence = 4 * np.random.default_rng(2).normal(size=(3, 5, 6)) + [[[1]], [[0.5]], [[0]]]

    def softmax(values: Floats) -> Floats:
        return np.exp(values) / np.exp(values).sum(0)

    answer, right = np.asarray(student(evidence)), softmax(evidence.mean((1, 2)))
    refuse((answer.shape != (3,), f"one number for each of 3 classes, yours is {answer.shape}."))
    refuse(
        (np.allclose(answer, softmax(evidence).mean((1, 2))), "a mean of patch probabilities."),
        (np.allclose(answer, evidence.mean((1, 2))), "those are logits: they do not sum to 1."),
        (not np.isclose(answer.sum(), 1), f"they must sum to 1, yours to {answer.sum():.3g}."),
        (not np.allclose(answer, right), "they sum to 1, but softmax goes over the mean logits."),
    )
    return "first the mean, then the softmax: the order decides."
