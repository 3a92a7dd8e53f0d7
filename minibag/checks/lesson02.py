"""Checks of lesson 02: orientation histogram, normalisation, ratio test, what SIFT survives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data

from minibag.checks.core import CheckFailed, check, given, refuse
from minibag.words.sift import DenseSIFT

Floats = NDArray[np.floating]
WHY = {
    "brighter by 0.2": "a constant is added to every pixel; what does it do to differences?",
    "half the contrast": "all gradients shrink by the same factor; which step undoes that?",
    "turned by 20 degrees": "a bin is 45 degrees wide and shared softly: how far do petals move?",
    "turned by 90 degrees": "cells change places and petals move by two bins; is any of it undone?",
    "moved by 3 pixels": "a cell is 4 pixels wide and shared softly: how much stays in its cell?",
    "negative": "bright and dark swap; where do the arrows point then?",
}


@check(
    "In units of bins the angle is np.arctan2(dy, dx) / (2 * np.pi) * 8.",
    "An angle of 1.25 bins gives 0.75 of the magnitude to bin 1 and 0.25 to bin 2.",
    "The bin above the last one is bin 0 again: take everything modulo 8.",
)
def orientation_histogram(student: Callable[[Floats, Floats], Floats]) -> str:
    """Check a function (dx (H, W), dy (H, W)) -> (8,) histogram with soft assignment."""
    dx, dy = np.random.default_rng(2).normal(size=(2, 9, 7))
    turns, size = np.arctan2(dy, dx) / (2 * np.pi) * 8 % 8, np.hypot(dx, dy)
    hard = np.round(turns).astype(int) % 8
    below, above = _shared(turns, size)
    truth, half = below + above, sum(_shared(np.arctan(dy / dx) / (2 * np.pi) * 8 % 8, size))
    answer = np.asarray(student(dx, dy), float)
    refuse((answer.shape != (8,), f"eight bins make shape (8,), yours is {answer.shape}."))
    bins = np.arange(8)
    refuse(
        (np.allclose(answer, np.bincount(hard.ravel(), size.ravel(), 8)), "each gradient went to "
         "one bin; share it between its two nearest."),
        (np.allclose(answer, below + np.roll(above, -1)),
         "the neighbour bin's share stayed in the lower bin."),
        (np.allclose(answer, truth[-bins % 8]), "your angles go clockwise: dy is the first "
         "argument of arctan2, with its sign kept."),
        (np.allclose(answer, truth[(2 - bins) % 8]), "right and up are exchanged: arctan2 takes dy "
         "first, np.arctan2(dy, dx)."),
        (np.allclose(answer, half), "np.arctan(dy / dx) knows half of the circle only: up and "
         "down, left and right fall together. np.arctan2(dy, dx) knows all of it."),
        (np.allclose(answer, np.roll(truth, 4)), "everything lies half a circle off: bin 0 is "
         "\"brighter to the right\", the angle 0 of arctan2. Add nothing to it; % 8 takes care of "
         "negative bins."),
        (np.isclose(answer.sum(), size.size), "you counted pixels; weight each by its magnitude."),
        (not np.isclose(answer.sum(), size.sum()), f"the bins should sum to all magnitudes, "
         f"{size.sum():.1f}, yours to {answer.sum():.1f}. Lost between bins 7 and 0? And "
         "h[bins] += x adds only once to each bin: np.bincount or np.add.at add all."),
        (not np.allclose(answer, truth), "the total is right, but shares are in wrong bins: "
         "arctan2 gives radians, and a bin is pi / 4 wide."),
    )  # fmt: skip
    return "nothing is lost, and no gradient jumps when it turns by a degree."


def _shared(turns: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Return what goes to the bin below (8,), and to the one above, for ``turns`` in bins 0..8."""
    low, part = np.floor(turns).astype(int) % 8, turns % 1
    below, above = np.zeros(8), np.zeros(8)
    np.add.at(below, low, (1 - part) * size)
    np.add.at(above, (low + 1) % 8, part * size)
    return below, above


@check(
    "Dividing by np.linalg.norm(d) makes the length 1.",
    "np.minimum(d, 0.2) cuts every entry at 0.2; then the length is below 1 again.",
    "A flat patch has length 0: divide by max(length, 1e-6).",
)
def normalise_clip_normalise(student: Callable[[Floats], Floats]) -> str:
    """Check a function (128,) -> (128,): length 1, cut at 0.2, length 1; zeros stay zeros."""
    raw = np.random.default_rng(3).gamma(0.5, size=128) ** 2
    unit = raw / np.sqrt(raw @ raw)
    cut = np.clip(unit, None, 0.2)
    with np.errstate(all="ignore"):
        answer = np.asarray(student(raw)).copy()
        (kept,) = given(student)
        faint = np.asarray(student(raw / np.linalg.norm(raw) / 50))
        flat = np.asarray(student(np.zeros(128)))
    early = np.minimum(raw, 0.2) / np.linalg.norm(np.minimum(raw, 0.2))
    refuse(
        (answer.shape != (128,), f"a descriptor has shape (128,), yours {answer.shape}."),
        (np.allclose(answer, unit), "length 1, but no entry was cut at 0.2."),
        (np.allclose(answer, cut), "cut, but not scaled again: its length is no longer 1."),
        (np.allclose(answer, early), "you cut before the first scaling: 0.2 is a share of length."),
        (not np.allclose(answer, cut / np.sqrt(cut @ cut)), "scale, cut, scale: check the order."),
        (not np.allclose(faint, answer, rtol=1e-3, atol=1e-5), "a faint patch, of length 0.02, "
         "does not come out at length 1. The guard is for length 0 alone: max(length, 1e-6)."),
        (not np.allclose(flat, 0), "a flat patch (all zeros) gives nan; guard the division."),
        (not np.array_equal(kept, raw), "you changed the argument itself; work on a copy."),
    )  # fmt: skip
    return "contrast is gone, and one strong edge no longer rules."


@check(
    "All distances at once: np.linalg.norm(first[:, None] - second[None], axis=-1).",
    "np.sort(distances, axis=1)[:, :2] holds the nearest and the second nearest.",
    "Keep i where nearest < max_ratio * second nearest; its partner is the argmin.",
)
def ratio_test(student: Callable[[Floats, Floats, float], NDArray[np.intp]]) -> str:
    """Check a function (first (N, D), second (M, D), max_ratio) -> pairs (K, 2) of indices."""
    rng = np.random.default_rng(4)
    second = rng.random((30, 5))
    first = second[rng.permutation(30)[:20]] + rng.normal(0, 0.15, (20, 5))
    gaps = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in second] for a in first])
    two = np.sort(gaps, 1)[:, :2]
    nearest = np.column_stack([np.arange(20), gaps.argmin(1)])
    keep, strict = (two[:, 0] < ratio * two[:, 1] for ratio in (0.8, 0.6))
    pairs, fewer = (np.asarray(student(first.copy(), second.copy(), r)) for r in (0.8, 0.6))

    def same(other: NDArray[np.intp]) -> bool:
        return np.array_equal(pairs, other)

    refuse(
        (pairs.shape[1:] != (2,), f"pairs have shape (K, 2), yours {pairs.shape}."),
        (same(nearest), "you kept every nearest neighbour; where is the ratio?"),
        (same(nearest[~keep]), "you kept the ambiguous ones and dropped the clear ones."),
        (same(nearest[two[:, 0] ** 2 < 0.8 * two[:, 1] ** 2]), "squared distances: their ratio is "
         "the ratio squared."),
        (same(nearest[keep][:, ::-1]), "the first column is the index into the first view."),
        (not same(nearest[keep]), f"{keep.sum()} pairs should pass in order, yours: {len(pairs)}."),
        (np.array_equal(pairs, fewer), "max_ratio 0.6 and 0.8 give the same pairs: the ratio is "
         "fixed somewhere. Use the argument max_ratio."),
        (not np.array_equal(fewer, nearest[strict]), f"right at max_ratio 0.8, but at 0.6 "
         f"{strict.sum()} pairs should pass, yours: {len(fewer)}."),
        (pairs.dtype.kind not in "iu", f"the pairs are {pairs.dtype}: nothing can be looked up "
         "with them. Make them whole numbers, with .astype(int)."),
    )  # fmt: skip
    return "only matches that beat their own runner-up clearly are kept."


@check(
    "Follow the arrows: which change moves them, turns them, or only scales them?",
    "Only what all steps undo is 'same'. Soft sharing makes small moves a drift, not a loss.",
)
def predict_changes(student: Callable[[], Mapping[str, str]]) -> str:
    """Check a function () -> {change: "same", "drift" or "lost"} against photographs."""
    guess = dict(student())
    refuse((set(guess) != set(WHY), f"predict exactly these: {', '.join(WHY)}."))
    answers = ("same", "drift", "lost")
    refuse((not set(guess.values()) <= set(answers), f"answer with one of {answers}."))
    truth = {k: answers[(v < 0.97) + (v < 0.6)] for k, v in _similarities().items()}
    wrong = [change for change in WHY if guess[change] != truth[change]]
    if wrong:
        raise CheckFailed(f"{6 - len(wrong)} of 6. Think again about '{wrong[0]}': {WHY[wrong[0]]}")
    return "all six, measured on 80 patches of a photograph."


@cache
def _similarities() -> dict[str, float]:
    """Return the median cosine similarity of 80 patches to themselves after each change."""
    grey = data.astronaut().mean(-1) / 255
    corners = np.random.default_rng(5).integers(0, 464, (300, 2))
    crops = np.stack([grey[r : r + 48, c : c + 48] for r, c in corners])
    crops = crops[crops[:, 16:32, 16:32].std((1, 2)) > 0.05][:80]
    turned = ndimage.rotate(crops, 20, (1, 2), reshape=False, order=1)
    swapped = np.rot90(crops, axes=(1, 2)), np.roll(crops, 3, axis=2), 1 - crops
    changed = (crops, crops + 0.2, crops * 0.5, turned, *swapped)
    before, *after = (DenseSIFT(step=16).transform(c.clip(0, 1))[:, 1, 1] for c in changed)
    return {k: float(np.median((before * a).sum(1))) for k, a in zip(WHY, after, strict=True)}
