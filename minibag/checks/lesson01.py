"""The exercises of lesson 01, Counting evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibag.checks.core import CheckFailed, check, given

Floats = NDArray[Any]
Image = NDArray[np.uint8]


def _compare(got: Any, right: Floats, axes: str, slips: Mapping[str, Floats]) -> None:
    """Raise unless got is right; a slip that gives exactly this result is named."""
    if got is None:
        raise CheckFailed("the function returns None: does it end with `return ...`?")
    if np.shape(got) != right.shape:
        raise CheckFailed(f"the shape is {np.shape(got)}, expected {right.shape}: {axes}.")
    if np.allclose(got, right):
        return
    for message, wrong in slips.items():
        if wrong.shape == right.shape and np.allclose(got, wrong):
            raise CheckFailed(message)
    raise CheckFailed(f"expected {np.round(right, 2).tolist()}, got {np.round(got, 2).tolist()}.")


@check(
    "One number for each class: go through the parts and add up what each of them votes.",
    "A part that was seen three times votes three times.",
    "This sum of products is a matrix product: the operator is @.",
)
def vote(answer: Callable[[Floats, Floats], Floats]) -> str:
    """Scores (n_classes,) from counts (n_parts,) and votes (n_parts, n_classes)."""
    rng = np.random.default_rng(1)
    for parts, classes in ((4, 4), (5, 3), (2, 7)):
        counts, votes = rng.integers(1, 6, parts), rng.integers(-3, 4, (parts, classes))
        right = np.array([sum(counts * votes[:, c]) for c in range(classes)])
        sideways = votes @ counts if parts == classes else right
        slips = {
            "each part votes once; it should vote as often as it was seen.": votes.sum(axis=0),
            "that is the mean of the votes; here the sum was asked for.": right / counts.sum(),
            "the table is read sideways: rows are parts, columns classes.": sideways,
        }
        _compare(answer(counts, votes), right, "one score for each class", slips)
    return "count, weigh, sum. Where the parts were was never needed."


@check(
    "Look up one row of the table for each patch: what is the shape of votes[word_map]?",
    "The classes come out last, but should stand first: np.moveaxis(..., -1, 0).",
    "The mean over all patches must be the score, so each patch gets the whole bias.",
)
def patch_evidence(answer: Callable[[NDArray[np.integer], Floats, Floats], Floats]) -> str:
    """Evidence (n_classes, h, w) whose mean is the score, vote of the word plus bias."""
    rng = np.random.default_rng(2)
    for h, w, classes in ((2, 4, 3), (3, 3, 3)):
        words = rng.integers(0, 9, (h, w))
        votes, bias = rng.normal(size=(9, classes)), rng.normal(size=classes)
        cells = [[[votes[k, c] for k in row] for row in words] for c in range(classes)]
        alone, b, n = np.array(cells), bias[:, None, None], h * w
        slips = {
            "the bias is missing: the mean of the patches is not yet the score.": alone,
            "the bias is divided by the number of patches; the mean does that.": alone + b / n,
            "do not divide by the number of patches: the mean does that.": (alone + b) / n,
            "rows and columns of the image are exchanged.": (alone + b).swapaxes(1, 2),
            "the shape is right, but the numbers lie elsewhere: reshape reads them off in the old "
            "order and moves no axis. np.moveaxis(..., -1, 0) does.": np.reshape(
                np.moveaxis(alone + b, 0, -1), alone.shape
            ),
        }
        _compare(answer(words, votes, bias), alone + b, "(n_classes, h, w)", slips)
    return "the mean of this map is the score, to the last digit: the map is the decision."


def _bag(image: Image) -> list[bytes]:
    """All grey 8 x 8 patches less their mean (times 192: whole numbers), in sorted order."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    grey = image.sum(axis=-1, dtype=int).reshape(rows, 8, columns, 8).swapaxes(1, 2)
    patches = grey.reshape(-1, 64)
    return sorted(patch.tobytes() for patch in 64 * patches - patches.sum(axis=1, keepdims=True))


@check(
    "A bag does not change when whole patches change places.",
    "np.roll slides an image; by how many pixels must it slide so that no patch is cut in two?",
)
def forge(answer: Callable[[Image], Image]) -> str:
    """Another image with the same bag of 8 x 8 patches."""
    for shape in ((64, 64, 3), (32, 48, 3)):
        image = np.random.default_rng(3).integers(50, 206, shape, dtype=np.uint8)
        got = answer(image)
        if not isinstance(got, np.ndarray) or (got.shape, got.dtype) != (shape, image.dtype):
            raise CheckFailed(f"a forgery is a uint8 array of the size of the original, {shape}.")
        if not np.array_equal(given(answer)[0], image):
            raise CheckFailed("the original was changed: start with image.copy().")
        if np.array_equal(got, image):
            raise CheckFailed("that is the same image. Change it, but keep its bag.")
        if _bag(got) == _bag(image):
            continue
        if not np.array_equal(np.sort(got.ravel()), np.sort(image.ravel())):
            raise CheckFailed("the forgery has pixels that the original had not: only move them.")
        raise CheckFailed(
            "the pixels are all still there, but not in the same patches: some patch was cut "
            "in two, mirrored or turned. Move whole patches of 8 x 8, leave them as they are."
        )
    return "two different images, one bag: no classifier of this kind can tell them apart."
