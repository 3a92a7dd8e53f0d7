"""Each check of lesson 05 tells what is wrong with an answer."""

import numpy as np
import pytest

from minibag.checks import lesson05


def _whitened(power=0.5, eps=True, back=True, mean=0):
    def whiten(patches, small):
        variances, v = np.linalg.eigh(np.cov(patches.T))
        scaled = v / (variances + small * eps) ** power
        return patches.mean(axis=mean), scaled @ v.T if back else scaled.T

    return whiten


def _standardised(patches, eps):
    return patches.mean(0), np.diag(1 / np.sqrt(patches.var(0) + eps))


def _rows_for_columns(patches, eps):
    variances, v = np.linalg.eigh(np.cov(patches.T))
    return patches.mean(0), v.T / np.sqrt(variances + eps) @ v


def _squares(x, w):
    return (w**2).sum(1) - 2 * x @ w.T


def _triangle(squares, axis=1):
    return np.maximum(squares.mean(axis, keepdims=True) - squares, 0)


def _distances(x, w):
    return np.sqrt(((x[:, None] - w) ** 2).sum(2))


def _folded(two=2, centred=True, transposed=False, shift=True, own=True):
    def fold(mean, whitening, words):
        squares = (words**2).sum(1)
        seen = words - words.mean(0) * centred
        filters = two * seen @ (whitening.T if transposed else whitening)
        return filters, squares.mean() - squares * own - filters @ mean * shift

    return fold


WRONG = {
    "whiten": [
        (_whitened(power=1), "square root"),
        (_whitened(eps=False), "eps"),
        (_whitened(back=False), "turned back"),
        (_whitened(mean=None), "shapes"),
        (lambda p, e: (p.mean(0) + 1, _whitened()(p, e)[1]), "mean is wrong"),
        (lambda p, e: (p.mean(0), 2 * _whitened()(p, e)[1]), "scale"),
        (_standardised, "correlated"),
        (_rows_for_columns, "columns of V"),
        (lambda p, e: _whitened()(p, e)[1], "two arrays"),
    ],
    "triangle": [
        (lambda x, w: _squares(x, w).mean(1, keepdims=True) - _squares(x, w), "negative"),
        (lambda x, w: _triangle(-_squares(x, w)), "sign"),
        (lambda x, w: _triangle(_distances(x, w)), "squares"),
        (lambda x, w: _triangle(_distances(x, w) ** 2, axis=0), "over the words"),
        (lambda x, w: _triangle(_squares(x, w), axis=None), "own mean"),
        (lambda x, w: _triangle(_distances(x, w) ** 2, axis=None), "own mean"),
        (lambda x, w: _triangle(-2 * x @ w.T), "factor 2"),
        (lambda x, w: _triangle(_squares(x, w)).mean(0), "shape"),
        (lambda x, w: _squares(x, w) == _squares(x, w).min(1, keepdims=True), "not max"),
    ],
    "fold": [
        (_folded(two=1), "factor 2"),
        (_folded(centred=False), "mean word"),
        (_folded(transposed=True), "transpose"),
        (_folded(two=-2), "what multiplies"),
        (_folded(shift=False), "does not know the mean"),
        (_folded(own=False), "bias"),
        (lambda m, w, k: _folded()(m, w, k)[0], "two arrays"),
        (lambda m, w, k: tuple(part.T for part in _folded()(m, w, k)), "shapes"),
    ],
}


@pytest.mark.parametrize(
    ("name", "wrong", "keyword"), [(n, w, k) for n, cases in WRONG.items() for w, k in cases]
)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson05, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message


def test_a_covariance_over_n_is_as_good_as_one_over_n_minus_1():
    def whiten(patches, eps):
        variances, v = np.linalg.eigh(np.cov(patches.T, bias=True))
        return patches.mean(0), v / np.sqrt(variances + eps) @ v.T

    for _ in range(5):
        lesson05.whiten(whiten).require()
