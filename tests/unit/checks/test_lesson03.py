"""Each check of lesson 03 tells what is wrong with an answer."""

import statistics

import numpy as np
import pytest
import torch

from minibag.checks import lesson03


def _broadcast(x, w):
    return ((x[:, None] - w) ** 2).sum(2).argmin(1)


def _idf(h):
    return np.log(len(h) / np.maximum((h > 0).sum(0), 1)) * (h.sum(0) > 0)


def _error(scores, ddof=1):
    best = scores.mean(1).argmax()
    return scores[best].std(ddof=ddof) / np.sqrt(scores.shape[1])


def _bar(n_words, scores, slack):
    mean = scores.mean(1)
    return n_words[np.flatnonzero(mean >= mean.max() - slack)[0]]


WRONG = {
    "assign": [
        (lambda x, w: (x @ w.T).argmax(1), "long words"),
        (lambda x, w: ((w**2).sum(1) - 2 * x @ w.T).argmax(1), "farthest"),
        (lambda x, w: ((w**2).sum(1) - 2 * x @ w.T).argmin(0), "axis"),
        (lambda x, w: ((w**2).sum(1) - 2 * x @ w.T).min(1), "nearest word"),
        (lambda x, w: ((w**2).sum(1) - x @ w.T).argmin(1), "nearest word"),
        (_broadcast, "MB"),
        (lambda x, w: (x @ w).argmin(1), "x @ w"),
    ],
    "histogram": [
        (lambda m, k: np.bincount(m.ravel(), minlength=k), "counts"),
        (lambda m, k: np.bincount(m.ravel()) / m.size, "shape"),
        (lambda m, k: np.unique(m, return_counts=True)[1] / m.size, "shape"),
        (lambda m, k: np.bincount(m.ravel(), minlength=k) / k, "sum"),
        (lambda m, k: np.sort(np.bincount(m.ravel(), minlength=k))[::-1] / m.size, "wrong place"),
    ],
    "tfidf": [
        (lambda h: h * np.log(len(h) / (h > 0).sum(0)), "not finite"),
        (lambda h: h * -_idf(h), "sign"),
        (lambda h: h * np.log(1 / np.maximum(h.sum(0) / h.sum(), 1e-9)), "every image"),
        (lambda h: h * (1 + _idf(h)), "every image"),
        (lambda h: h * _idf(h) / np.log(2), "natural logarithm"),
        (lambda h: _idf(h), "shape"),
    ],
    "enough_words": [
        (lambda n, a: n[int(a.mean(1).argmax())], "standard error below the best"),
        (lambda n, a: int(a.mean(1).argmax()), "index"),
        (lambda n, a: _bar(n, a, a.std(1, ddof=1).max()), "standard deviation"),
        (lambda n, a: n[0], "more than one standard error"),
        (lambda n, a: max(n), "standard error below the best"),
        (lambda n, a: _bar(n, a, _error(a, ddof=0)), "ddof=1"),
        (lambda n, a: _bar(n, a, _error(a) / 2), "sqrt(seeds)"),  # divided by n, not by its root
        (lambda n, a: _bar(n, a, 0.01), "always the same"),
        (lambda n, a: _bar(n, a, 0.0115), "always the same"),
        (lambda n, a: _bar(n, a, a.std(1, ddof=1).mean() / 2), "best"),
        (lambda n, a: [n[2]], "number of words"),
    ],
}


@pytest.mark.parametrize(
    ("name", "wrong", "keyword"), [(n, w, k) for n, cases in WRONG.items() for w, k in cases]
)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson03, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message


def _loops(n_words, scores):
    means = [sum(row) / len(row) for row in scores.tolist()]
    best = max(range(len(means)), key=means.__getitem__)
    error = statistics.stdev(scores[best].tolist()) / len(scores[best]) ** 0.5
    return next(n for n, mean in zip(n_words, means, strict=True) if mean >= means[best] - error)


RIGHT = [
    ("enough_words", _loops),
    ("enough_words", lambda n, a: np.array(n)[a.mean(1) >= a.mean(1).max() - _error(a)].min()),
    ("assign", lambda x, w: torch.cdist(torch.tensor(x), torch.tensor(w)).argmin(1)),
    ("histogram", lambda m, k: [(m == word).mean() for word in range(k)]),
    ("histogram", lambda m, k: torch.bincount(torch.tensor(m).flatten(), minlength=k) / m.size),
]


@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_a_right_answer_in_another_style_passes(name, right):
    getattr(lesson03, name)(right).require()
