"""Checks of lesson 03: nearest words, histograms, tf-idf, and how many words are enough."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from minibag.checks.core import check, refuse


@check(
    "|x - w|^2 = |x|^2 - 2 x.w + |w|^2. Which of the three terms is the same for every word?",
    "descriptors @ words.T holds every x.w at once; (words ** 2).sum(axis=1) holds every |w|^2.",
    "return ((words ** 2).sum(axis=1) - 2 * descriptors @ words.T).argmin(axis=1)",
)
def assign(student: Callable[[NDArray, NDArray], NDArray]) -> str:
    """Check ``assign(descriptors (n, D), words (K, D)) -> (n,)`` against scipy's distances."""
    rng = np.random.default_rng(3)
    descriptors = rng.random((1000, 128))
    words = rng.random((100, 128)) * rng.uniform(0.8, 1.2, (100, 1))  # words of unequal length
    distances = cdist(descriptors, words)
    tracemalloc.start()
    try:
        answer = np.asarray(student(descriptors, words))
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    refuse((answer.shape != (1000,), f"1000 descriptors and 100 words gave shape {answer.shape}, "
            "expected (1000,): one word for each descriptor. Which axis of the (1000, 100) table "
            "runs over the words?"))  # fmt: skip
    farthest, longest = distances.argmax(1), (descriptors @ words.T).argmax(1)
    right = np.mean(answer == distances.argmin(1))
    refuse(
        ((answer == farthest).all(), "you took the farthest word: smaller is better."),
        ((answer == longest).all(), "the largest x.w favours long words: put |w|^2 back."),
        (right < 0.999, f"only {right:.0%} of the descriptors got their nearest word."),
        (peak > 20, f"right, but it took {peak:.0f} MB for a table of 1 MB: (n, 1, D) - (K, D) "
         "makes an (n, K, D) array. Write the distance with a matrix product instead."),
    )  # fmt: skip
    return "every descriptor got its nearest word, in little memory."


@check(
    "The map has h x w numbers. Flatten it; where the words stood no longer matters.",
    "np.bincount counts; its minlength makes room for words that do not occur.",
    "return np.bincount(word_map.ravel(), minlength=n_words) / word_map.size",
)
def histogram(student: Callable[[NDArray, int], NDArray]) -> str:
    """Check ``histogram(word_map (h, w), n_words) -> (n_words,)`` with sum 1."""
    word_map = np.random.default_rng(3).integers(2, 30, (9, 13))  # of 50 words, 22 do not occur
    answer = np.asarray(student(word_map, 50), dtype=float)
    refuse((answer.shape != (50,), f"50 words gave shape {answer.shape}, expected (50,): words "
            "that do not occur count 0: an entry is one word in all images."))  # fmt: skip
    expected = np.array([np.mean(word_map == word) for word in range(50)])
    counts = np.allclose(answer, expected * word_map.size)
    refuse(
        (counts, "these are counts. Divide by the number of cells, or large images win."),
        (not np.isclose(answer.sum(), 1), f"the parts sum to {answer.sum():.3f}, expected 1."),
        (not np.allclose(answer, expected), "the sum is 1, but words are in the wrong place."),
    )
    return "one number for each word, in word order, and they sum to 1."


@check(
    "In how many images (rows) is word k seen at all? histograms > 0 answers for each image.",
    "idf = log(images / images that have the word); a word seen nowhere gets 0, not infinity.",
    "df = (histograms > 0).sum(axis=0); idf = np.log(len(histograms) / np.maximum(df, 1)); "
    "return histograms * np.where(df > 0, idf, 0)",
)
def tfidf(student: Callable[[NDArray], NDArray]) -> str:
    """Check ``tfidf(histograms (N, K)) -> (N, K)``: tf * log(N / df), and 0 for unseen words."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(rng.choice([0.2, 1, 3], 12), (40, 12)) + np.eye(40, 12)
    counts[:, :2] = 0, 5  # word 0 is nowhere, word 1 is in every image
    tf = counts / counts.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        answer = np.asarray(student(tf), dtype=float)
    refuse((answer.shape != tf.shape, f"expected shape {tf.shape}, got {answer.shape}."))
    df = np.array([sum(row[word] > 0 for row in tf) for word in range(12)])
    expected = tf * np.log(40 / np.maximum(df, 1))
    refuse(
        (not np.isfinite(answer).all(), "some values are not finite: word 0 is in no image, so "
         "N / df divides by 0. It weighs 0."),
        (np.allclose(answer, -expected), "the sign is turned: log(N / df), not log(df / N)."),
        (np.abs(answer[:, 1]).max() > 1e-9, "word 1 is in every image and tells nothing: its "
         "weight must be log(40 / 40) = 0. Count the images that have the word, not how often."),
        (not np.allclose(answer, expected), "not tf * log(N / df) with the natural logarithm."),
    )  # fmt: skip
    return "common words weigh little, rare words much, unseen words nothing."


@check(
    "Average over the seeds (axis 1) first. The best mean sets the bar.",
    "Standard error of a mean over s seeds: std(ddof=1) / sqrt(s). Take that of the best row.",
    "good = mean >= mean[best] - error; return n_words[np.flatnonzero(good)[0]]",
)
def enough_words(student: Callable[[Sequence[int], NDArray], int]) -> str:
    """Check ``enough_words(n_words (k,), accuracies (k, seeds))``: the one-standard-error rule."""
    sizes = [10, 40, 160, 640, 2560]
    noise = np.random.default_rng(3).normal(size=(5, 4))
    noise -= noise.mean(1, keepdims=True)
    noise /= noise.std(1, ddof=1, keepdims=True)
    for means, spread, expected in (  # spread: the standard deviation of each row's four seeds
        ([0.50, 0.70, 0.795, 0.80, 0.78], [0.02, 0.02, 0.02, 0.02, 0.02], 160),
        ([0.50, 0.70, 0.780, 0.80, 0.80], [0.02, 0.02, 0.02, 0.02, 0.02], 640),
        ([0.80, 0.79, 0.780, 0.77, 0.76], [0.02, 0.02, 0.02, 0.02, 0.02], 10),
        ([0.60, 0.755, 0.78, 0.80, 0.79], [0.01, 0.01, 0.01, 0.10, 0.01], 40),  # error 0.05
        ([0.60, 0.796, 0.797, 0.80, 0.799], [0.1, 0.1, 0.1, 0.001, 0.1], 640),  # error 0.0005
        ([0.60, 0.755, 0.752, 0.80, 0.79], [0.1, 0.1, 0.1, 0.1, 0.01], 40),
        ([0.60, 0.7545, 0.77, 0.80, 0.79], [0.1, 0.1, 0.1, 0.1, 0.01], 40),  # not ddof=0: 0.0433
    ):
        error = spread[int(np.argmax(means))] / 2
        answer = student(sizes, np.array(means)[:, None] + np.array(spread)[:, None] * noise)
        told = f"for mean accuracies {means} and a best mean with standard error {error:.4f} you "
        told += f"said {answer!r}: "
        refuse((np.ndim(answer) > 0 or answer not in sizes,
                f"{told}answer with a number of words, not its index."))  # fmt: skip
        bar = (
            "The bar is the standard error of the best mean, std(ddof=1) / sqrt(seeds): not the "
            "standard deviation, not that of another row, not a number that is always the same."
        )
        best = "one standard error below the best."
        refuse(
            (answer > expected, f"{told}{expected} words are less than {best} {bar}"),
            (answer < expected, f"{told}that is more than {best} {bar}"),
        )
    return "the smallest vocabulary that the noise cannot tell from the best."
