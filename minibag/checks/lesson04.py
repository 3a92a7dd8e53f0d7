"""Checks of lesson 04: votes behind a scaler, the evidence map, misleading words, the pyramid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from minibag.checks.core import check, refuse

Floats = NDArray[np.floating]
Words = NDArray[np.intp]


@check(
    "A scaled share is (share - mean) / scale, and the SVM multiplies it by its coefficient.",
    "What multiplies the share is the vote; the rest is the same for every image: into the bias.",
    "weights = svm.coef_ / scaler.scale_, and the bias loses weights @ scaler.mean_.",
)
def vote_table(student: Callable[[StandardScaler, LinearSVC], tuple[Floats, Floats]]) -> str:
    """Check a function (scaler, svm) -> weights (C, K), bias (C,) for unscaled histograms."""
    histograms = np.random.default_rng(4).dirichlet(np.linspace(0.2, 3, 6), 60)
    scaler = StandardScaler().fit(histograms)
    svm = LinearSVC(random_state=0).fit(scaler.transform(histograms), np.arange(60) % 3)
    weights, bias = map(np.asarray, student(scaler, svm))
    refuse((weights.shape != (3, 6), f"weights need shape (3, 6), yours have {weights.shape}."))
    off = histograms @ weights.T + bias - svm.decision_function(scaler.transform(histograms))
    refuse(
        (np.ptp(off, 0).max() > 1e-6, "scores differ by image: is each weight over its scale?"),
        (np.abs(off).max() > 1e-6, "weights right; the bias is off by what the mean contributes."),
    )
    return "the same scores without the scaler: its shift went into the bias."


@check(
    "weights[:, word_map] looks up the votes of all patches at once.",
    "Every patch gets the whole bias, for its mean is itself: bias[:, None, None] fits in shape.",
)
def evidence_map(student: Callable[[Words, Floats, Floats], Floats]) -> str:
    """Check a function (word_map (h, w), weights (C, K), bias (C,)) -> evidence (C, h, w)."""
    rng = np.random.default_rng(5)
    words, weights, bias = rng.integers(0, 7, (4, 5)), rng.normal(size=(3, 7)), rng.normal(size=3)
    right = weights[:, words] + bias[:, None, None]
    evidence = np.asarray(student(words, weights, bias))
    refuse((evidence.shape != (3, 4, 5), f"shape should be (3, 4, 5), yours is {evidence.shape}."))
    mean, score = evidence.mean((1, 2)), right.mean((1, 2))
    refuse(
        (np.allclose(mean, score - bias), "the bias is missing: mean and score differ by it."),
        (np.allclose(20 * mean, score), "the sum of your map is the score; here the mean is."),
        (not np.allclose(mean, score), "the mean of the map is not the score of the image."),
        (not np.allclose(evidence, right), "the mean fits, but patches vote for the wrong word."),
    )
    return "every patch votes by its own word, and the mean of the votes is the score."


@check(
    "How much does one word add to the score of one class? Its share times its weight.",
    "Which word adds most to the margin, score of predicted minus score of truth?",
)
def misleading_word(student: Callable[[Floats, Floats, int, int], int]) -> str:
    """Check a function (histogram (K,), weights (C, K), truth, predicted) -> word."""
    rng = np.random.default_rng(6)
    shares, weights = rng.dirichlet(np.full(8, 0.5), 200), rng.normal(size=(4, 8))
    answers = [student(share, weights, 1, 2) for share in shares]
    refuse((any(np.ndim(answer) > 0 for answer in answers), "return one word, a whole number, "
            f"not {type(answers[0]).__name__} of shape {np.shape(answers[0])}."))  # fmt: skip
    words = np.array([int(answer) for answer in answers])
    margin, harm = weights[2] - weights[1], shares * (weights[2] - weights[1])
    size = np.abs(harm).argmax(1)
    refuse(
        ((words == margin.argmax()).all(), "the largest weight, but is the word in the image?"),
        ((words == harm.argmin(1)).all(), "the sign is turned: that word helps the truth most."),
        ((words == size).all(), "a word that pulls hard towards the truth did not mislead: take "
         "the largest, not the largest in size (no abs)."),
        ((words != harm.argmax(1)).any(), "margin is predicted minus truth: another adds more."),
    )  # fmt: skip
    return "share times difference of the weights: that word did the most harm."


@check(
    "np.bincount(cell.ravel(), minlength=n_words) / cell.size is the histogram of one cell.",
    "Rows up to h // 2 or from there on, columns likewise; join the five with np.concatenate.",
)
def pyramid_histogram(student: Callable[[Words, int], Floats]) -> str:
    """Check a function (word_map (h, w), n_words) -> histograms of five cells, joined: (5 K,)."""
    words = np.random.default_rng(7).integers(0, 5, (6, 8))
    words[:3, :4] = 0  # so that no two cells look alike
    cells = (words, words[:3, :4], words[:3, 4:], words[3:, :4], words[3:, 4:])
    right = np.stack([np.bincount(cell.ravel(), minlength=6) / cell.size for cell in cells])
    answer = np.asarray(student(words, 6))
    refuse((answer.shape != (30,), f"5 cells x 6 words make (30,), yours is {answer.shape}."))
    answer = answer.reshape(5, 6)
    refuse(
        (not np.allclose(answer.sum(1), 1), f"each cell sums to 1, yours to {answer.sum(1)}."),
        (np.allclose(answer[[0, 1, 3, 2, 4]], right), "top right and bottom left are swapped."),
        (np.allclose(answer[[4, 0, 1, 2, 3]], right), "the whole image comes before the quarters."),
        (not np.allclose(answer, right), "a histogram is wrong: where does each quarter end?"),
    )
    return "the same words, and now the vector knows in which quarter each one lies."
