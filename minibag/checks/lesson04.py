"""Checks of lesson 04: votes behind a scaler, the evidence map, misleading words, the pyramid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from minibag.checks.core import CheckFailed, check

Floats = NDArray[np.floating]


def _expect(value: Any, shape: tuple[int, ...], what: str) -> Floats:
    """Return ``value`` as an array of this shape, or say what it is instead."""
    array = np.asarray(value)
    if array.shape != shape:
        raise CheckFailed(f"{what} should have the shape {shape}, yours has {array.shape}.")
    return array


@check(
    "A scaled count is (count - mean) / scale, and the SVM multiplies it by its coefficient.",
    "Sort the terms: what multiplies the count is the vote; what is left over is the same for "
    "every image and belongs to the bias.",
    "weights = svm.coef_ / scaler.scale_, and the bias loses weights @ scaler.mean_.",
)
def vote_table(student: Callable[[StandardScaler, LinearSVC], tuple[Floats, Floats]]) -> str:
    """Check a function (scaler, svm) -> weights (C, K), bias (C,) for the unscaled histogram."""
    rng = np.random.default_rng(4)
    histograms = rng.dirichlet(np.linspace(0.2, 3, 6), 60)
    scaler = StandardScaler().fit(histograms)
    svm = LinearSVC(random_state=0).fit(scaler.transform(histograms), np.arange(60) % 3)
    answer = student(scaler, svm)
    if not (isinstance(answer, tuple) and len(answer) == 2):
        raise CheckFailed("return two things: the weights (C, K) and the bias (C,).")
    weights, bias = _expect(answer[0], (3, 6), "weights"), _expect(answer[1], (3,), "bias")
    wanted = svm.decision_function(scaler.transform(histograms))
    difference = histograms @ weights.T + bias - wanted
    if np.allclose(difference, 0):
        return "the same scores without the scaler: its shift went into the bias."
    if np.allclose(difference, difference[0]):
        raise CheckFailed("the weights are right; the bias is off by what the mean contributes.")
    raise CheckFailed("the scores differ from image to image: is each weight divided by its scale?")


@check(
    "Look up each patch's word in the table: weights[:, word_map] does it for all patches at once.",
    "The mean over the patches of a constant is that constant.",
    "weights[:, word_map] + bias[:, None, None]",
)
def evidence_map(student: Callable[[NDArray[np.intp], Floats, Floats], Floats]) -> str:
    """Check a function (word_map (h, w), weights (C, K), bias (C,)) -> evidence (C, h, w)."""
    rng = np.random.default_rng(5)
    words, weights, bias = rng.integers(0, 7, (4, 5)), rng.normal(size=(3, 7)), rng.normal(size=3)
    evidence = _expect(student(words, weights, bias), (3, 4, 5), "the evidence (C, h, w)")
    score = weights @ np.bincount(words.ravel(), minlength=7) / words.size + bias
    mean, total = evidence.mean((1, 2)), evidence.sum((1, 2))
    if np.allclose(mean, score - bias):
        raise CheckFailed(
            "the bias is missing: the mean of the map falls short of the score by it."
        )
    if np.allclose(total, score):
        raise CheckFailed("the sum of your map is the score; in this course the mean is.")
    if not np.allclose(mean, score):
        raise CheckFailed("the mean of the map is not the score of the image.")
    if not np.allclose(evidence, weights[:, words] + bias[:, None, None]):
        raise CheckFailed("the mean is right, but a patch does not get the vote of its own word.")
    return "every patch votes for itself, and the mean of the votes is the score."


@check(
    "How much does word k add to the score of one class? Its frequency times its weight.",
    "The wrong class won by a margin: score of predicted minus score of truth. Which word adds "
    "most to that difference?",
    "np.argmax(histogram * (weights[predicted] - weights[truth]))",
)
def misleading_word(student: Callable[[Floats, Floats, int, int], int]) -> str:
    """Check a function (histogram (K,), weights (C, K), truth, predicted) -> word."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        histogram, weights = rng.dirichlet(np.full(8, 0.5)), rng.normal(size=(4, 8))
        margin = weights[2] - weights[1]
        word = int(student(histogram, weights, 1, 2))
        if word == np.argmax(histogram * margin):
            continue
        if word == np.argmax(margin):
            raise CheckFailed("that word has the most misleading weight: is it in this image?")
        if word == np.argmax(histogram * weights[2]):
            raise CheckFailed("that word says 'predicted' loudest, but may say 'truth' as loudly.")
        if word == np.argmin(histogram * margin):
            raise CheckFailed("that word speaks most for the truth: the sign is turned round.")
        raise CheckFailed(
            f"for one test image you say {word}; another word adds more to the error."
        )
    return "frequency times difference of the weights: that word did the most harm."


@check(
    "np.bincount(cell.ravel(), minlength=n_words) / cell.size is the histogram of one cell.",
    "The four quarters: rows up to h // 2 or from there on, columns likewise.",
    "Join with np.concatenate: whole, top left, top right, bottom left, bottom right.",
)
def pyramid_histogram(student: Callable[[NDArray[np.intp], int], Floats]) -> str:
    """Check a function (word_map (h, w), n_words) -> the histograms of five cells, (5 K,)."""
    words = np.random.default_rng(7).integers(0, 5, (6, 8))
    words[:3, :4] = 0  # so that no two cells look alike
    cells = (words, words[:3, :4], words[:3, 4:], words[3:, :4], words[3:, 4:])
    wanted = np.stack([np.bincount(cell.ravel(), minlength=6) / cell.size for cell in cells])
    answer = _expect(student(words, 6), (30,), "five histograms of 6 words, joined,").reshape(5, 6)
    if np.allclose(answer, wanted):
        return "the same words, and now the vector knows in which quarter each one lies."
    if not np.allclose(answer.sum(1), 1):
        raise CheckFailed(f"each cell should sum to 1 (shares), yours sum to {answer.sum(1)}.")
    if np.allclose(answer[[0, 1, 3, 2, 4]], wanted):
        raise CheckFailed("top right and bottom left are swapped: go along the rows first.")
    if np.allclose(answer[[4, 0, 1, 2, 3]], wanted):
        raise CheckFailed("the whole image comes first, then the four quarters.")
    raise CheckFailed("the histogram of some cell is wrong: check where each quarter ends.")
