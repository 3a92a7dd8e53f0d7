"""Checks of lesson 05: whitening, the triangle code, and both folded into one convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import inv, sqrtm
from scipy.spatial.distance import cdist

from minibag.checks.core import check, refuse


def _pair(answer: Any, *shapes: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """Return the two arrays of an answer, or say what their shapes should be."""
    pair = isinstance(answer, tuple | list) and len(answer) == 2
    first, second = (np.asarray(part, float) for part in (answer if pair else (0, 0)))
    got = f"shapes {first.shape} and {second.shape}" if pair else type(answer).__name__
    wrong = not pair or (first.shape, second.shape) != shapes
    refuse((wrong, f"return two arrays of shapes {shapes[0]} and {shapes[1]}, got {got}."))
    return first, second


@check(
    "Variances and directions: variances, V = np.linalg.eigh(np.cov(patches.T)).",
    "Divide the columns of V by sqrt(variances + eps), then turn back with V.T.",
    "return patches.mean(axis=0), V / np.sqrt(variances + eps) @ V.T",
)
def whiten(student: Callable[[NDArray, float], tuple[NDArray, NDArray]]) -> str:
    """Check ``whiten(patches (n, D), eps) -> mean (D,), W (D, D)`` against a matrix root."""
    rng = np.random.default_rng(5)
    patches = rng.normal(size=(500, 8)) @ rng.normal(size=(8, 8)) + rng.uniform(1, 3, 8)
    mean, W = _pair(student(patches, 0.1), (8,), (8, 8))
    covariance = np.cov(patches.T)
    padded = covariance + 0.1 * np.eye(8)
    root, (variances, V) = inv(sqrtm(padded)).real, np.linalg.eigh(covariance)
    rows = V.T / np.sqrt(variances + 0.1) @ V  # its signs depend on those of V
    close = np.allclose(W, root, atol=3e-3 * abs(root).max())  # variance by n or n - 1
    refuse(
        (not np.allclose(mean, patches.mean(0)), "the mean is wrong: take it over axis 0."),
        (np.allclose(W, inv(padded)), "you divide by the variance: take its square root."),
        (np.allclose(W, inv(sqrtm(covariance)).real), "eps is missing under the square root."),
        (np.allclose(W, np.diag(np.diag(W))), "still correlated: scale along the columns of V."),
        (not np.allclose(W, W.T), "scaled, but not turned back: V once more makes pixels again."),
        (np.allclose(abs(W), abs(rows)), "eigenvectors are the columns of V, not its rows."),
        (not close, "the scale should be 1/sqrt(variance+eps)."),
    )  # fmt: skip
    return "every direction now counts alike."


@check(
    "Squared distances first, (n, K), as in lesson 03: (words**2).sum(axis=1) - 2 x @ words.T.",
    "The mean runs over the words: .mean(axis=1, keepdims=True) keeps the shape for subtracting.",
    "return np.maximum(squares.mean(axis=1, keepdims=True) - squares, 0)",
)
def triangle(student: Callable[[NDArray, NDArray], NDArray]) -> str:
    """Check ``triangle(descriptors (n, D), words (K, D)) -> (n, K)`` against scipy's distances."""
    rng = np.random.default_rng(5)
    words = rng.normal(size=(9, 12)) * rng.uniform(0.5, 1.5, (9, 1))
    descriptors = rng.normal(size=(60, 12))
    answer = np.asarray(student(descriptors, words), float)
    refuse((answer.shape != (60, 9), f"60 descriptors, 9 words: shape (60, 9), not {answer.shape}"))
    roots = cdist(descriptors, words)
    shifted = roots**2 - (descriptors**2).sum(axis=1, keepdims=True)
    one_mean = [np.maximum(d.mean() - d, 0) for d in (roots**2, shifted)]
    code, code_of_roots, upside_down, over_patches = (
        np.maximum(sign * (d.mean(axis, keepdims=True) - d), 0)
        for d, sign, axis in ((roots**2, 1, 1), (roots, 1, 1), (roots**2, -1, 1), (roots**2, 1, 0))
    )
    refuse(
        ((answer < 0).any(), "some answers are negative: far words keep silent, max(0, ...)."),
        (np.allclose(answer, upside_down), "the sign is turned: near words shall answer."),
        (np.allclose(answer, code_of_roots), "these are distances: take their squares."),
        (np.allclose(answer, over_patches), "the mean must run over the words (axis 1)."),
        (any(np.allclose(answer, d) for d in one_mean), "each patch has its own mean: use axis 1."),
        (not np.allclose(answer, code), "not max(0, mean - own): are |w|^2 and factor 2 there?"),
    )  # fmt: skip
    return "near words answer, the more the nearer; the others keep silent."


@check(
    "Put z = W (x - m) into 2 (w_k - mean word) . z + (mean of |w|^2 - |w_k|^2).",
    "What multiplies x is the filter: 2 * (words - words.mean(axis=0)) @ W.",
    "bias = squares.mean() - squares - filters @ mean, with squares = (words**2).sum(axis=1)",
)
def fold(student: Callable[[NDArray, NDArray, NDArray], tuple[NDArray, NDArray]]) -> str:
    """Check ``fold(mean, W, words) -> filters (K, D), bias (K,)`` on patches, via distances."""
    rng = np.random.default_rng(5)
    mean, W, words, x = (rng.normal(size=s) for s in (12, (12, 12), (7, 12), (50, 12)))
    filters, bias = _pair(student(mean, W, words), (7, 12), (7,))
    squares = cdist((x - mean) @ W.T, words, "sqeuclidean")
    off = x @ filters.T + bias - (squares.mean(1, keepdims=True) - squares)
    centred = words - words.mean(0)
    refuse(
        (np.allclose(filters, centred @ W), "the filter lacks the factor 2: it comes from 2 w.z."),
        (np.allclose(filters, 2 * words @ W), "the mean word is missing: subtract it from words."),
        (np.allclose(filters, 2 * centred @ W.T), "w.(W x) = (w W).x: use W, not its transpose."),
        (not np.allclose(filters, 2 * centred @ W), "the filters are wrong: what multiplies x?"),
        (np.allclose(off, filters @ mean), "the bias does not know the mean m: z = W (x - m)."),
        (not np.allclose(off, 0), "the filters are right; bias: mean |w|^2 - |w_k|^2 - filter.m"),
    )  # fmt: skip
    return "whitening, k-means and the triangle are now one convolution with a bias."
