"""Lesson 10: checks on putting cells back, on patches that survive, and on Gram matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minibag.checks.core import check, refuse

Floats = NDArray[np.floating]
CUTS = (  # side, grid, q, stride
    *((64, 1, 9, 8), (64, 2, 9, 8), (64, 4, 9, 8), (64, 8, 5, 8), (64, 2, 17, 8), (96, 3, 16, 4)),
    *((64, 8, 9, 8), (64, 4, 17, 8), (64, 16, 9, 4)),  # nothing survives
    *((60, 4, 5, 4), (63, 7, 4, 2)),  # the stride does not divide the cell
)


@check(
    "Place k shows cell order[k]. So where does cell order[k] have to go?",
    "Start with cells = np.empty_like(shuffled), and fill it: cells[...] = ...",
    "np.argsort(order) is the order that undoes `order`.",
)
def put_back(student: Callable[[Floats, NDArray[np.intp]], Floats]) -> str:
    """Check a function (cells[order], order) -> cells."""
    rng = np.random.default_rng(10)
    cells = rng.random((9, 4, 4, 3))
    order = np.array([3, 0, 7, 1, 8, 2, 5, 4, 6])
    shuffled = cells[order]
    answer = np.asarray(student(shuffled.copy(), order.copy()))
    refuse((answer.shape != cells.shape, f"expected {cells.shape}, you return {answer.shape}."))
    reversals = shuffled[::-1], shuffled[order[::-1]]
    all_there = np.array_equal(np.sort(answer, 0), np.sort(cells, 0))
    refuse(
        (np.array_equal(answer, shuffled), "that is still the shuffled order: nothing moved."),
        (np.array_equal(answer, shuffled[order]), "you shuffle a second time, not back."),
        (any(np.array_equal(answer, r) for r in reversals), "reversed is not the way back."),
        (not all_there, "a cell is missing, or comes twice."),
    )
    home = int((answer == cells).all((1, 2, 3)).sum())
    refuse((home < len(cells), f"only {home} of {len(cells)} cells are where they belong."))
    return "every cell is home again: a scramble loses nothing, if you know the order."


@check(
    "Along one side: the first pixels are np.arange(0, side - q + 1, stride), the last q - 1 on.",
    "Whole means: first // cell == (first + q - 1) // cell, with cell = side // grid.",
    "Rows and columns must both be whole: the share along one side, squared.",
)
def survivors(student: Callable[[int, int, int, int], float]) -> str:
    """Check a function (side, grid, q, stride) -> share of patches that touch no seam."""
    answers = [float(student(*cut)) for cut in CUTS]
    for (side, grid, q, stride), answer in zip(CUTS, answers, strict=True):
        cell, starts = side // grid, range(0, side - q + 1, stride)
        whole, strict = (
            sum(start // cell == (start + last) // cell for start in starts) for last in (q - 1, q)
        )
        right = (whole / len(starts)) ** 2
        told = f"side {side}, grid {grid}, q {q}, stride {stride}: "
        near = {
            "one side only: rows and columns must both be whole.": whole / len(starts),
            "a patch that ends at a seam does not cross it.": (strict / len(starts)) ** 2,
            "you leave out the patch that begins at side - q; it still fits.": (
                ((whole - 1) / (len(starts) - 1)) ** 2
            ),
            "that counts patches; divide by how many there are.": whole**2,
            "patches must fit into the image: fewer than side / stride a side.": (
                (whole / (side // stride)) ** 2
            ),
        }
        if np.isclose(answer, right):
            continue
        refuse(
            (
                right == 0,
                told + "a cell is smaller than a patch, so none survives (not fewer than none).",
            ),
            *((np.isclose(answer, value), told + why) for why, value in near.items()),
            (
                cell % stride > 0 and 0 <= answer <= 1,
                told + "here seams fall anywhere between patches; look at each patch.",
            ),
        )
        refuse((True, told + f"{right:.1%} survive, you say {answer:.1%}."))
    return "the larger the patch, the sooner it dies."


@check(
    "Flatten the places first: features.reshape(len(features), -1) is (channels, places).",
    "flat @ flat.T sums products over places. A mean divides by their number.",
)
def gram(student: Callable[[Floats], Floats]) -> str:
    """Check a function features (C, h, w) -> Gram matrix (C, C), the mean over places."""
    features = np.random.default_rng(3).gamma(1.0, size=(4, 5, 6))
    answer, flat = np.asarray(student(features.copy())), features.reshape(4, 30)
    right, of_means = flat @ flat.T / 30, np.outer(flat.mean(1), flat.mean(1))
    refuse(
        (answer.shape == (30, 30), "places by places: you multiplied the wrong way round."),
        (answer.shape != (4, 4), f"4 channels make (4, 4), yours is {answer.shape}."),
    )
    refuse(
        (np.allclose(answer, right * 30), "that is the sum over places: divide by their number."),
        (np.allclose(answer, right / 4), "divide by the number of places only, not of channels."),
        (np.allclose(answer, of_means), "first the product at each place, then the mean."),
        (
            any(np.allclose(answer, np.cov(flat, ddof=k)) for k in (0, 1)),
            "do not subtract the means.",
        ),
        (np.allclose(answer, flat @ flat.reshape(30, 4) / 30), "reshape mixes places up: use .T"),
    )
    if not np.allclose(answer, right):
        factor = np.ptp(answer / right) < 1e-6
        refuse(
            (factor, "right but for one factor: divide by h * w, the number of places."),
            (True, "compare with: mean over p of f_i(p) f_j(p)."),
        )
    return "shuffle the places, and nothing changes: a Gram matrix is a bag."
