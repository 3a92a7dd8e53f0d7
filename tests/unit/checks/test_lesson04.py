"""The checks of lesson 04 accept the lesson's solutions and refuse what students tend to write."""

import numpy as np
import pytest
import torch

from minibag.checks import lesson04


def shares(cell, n_words):
    return np.bincount(cell.ravel(), minlength=n_words) / cell.size


def quarters(words):
    h, w = words.shape[0] // 2, words.shape[1] // 2
    return words[:h, :w], words[:h, w:], words[h:, :w], words[h:, w:]


def joined(cells, n_words):
    return np.concatenate([shares(cell, n_words) for cell in cells])


def in_place(function):
    """Return a slip that zeroes one of its inputs first and then answers as ``function``."""

    def run(*inputs):
        target = inputs[1].coef_ if hasattr(inputs[1], "coef_") else inputs[1][inputs[2]]
        target[...] = 0
        return function(*inputs)

    return run


def swapped(words, n):
    a, b, c, d = quarters(words)
    return joined((words, a, c, b, d), n)


WRONG = [
    ("vote_table", lambda s, m: (m.coef_, m.intercept_), "scale"),
    ("vote_table", lambda s, m: (m.coef_ * s.scale_, m.intercept_), "scale"),
    ("vote_table", lambda s, m: (m.coef_ / s.scale_, m.intercept_), "mean"),
    ("vote_table", lambda s, m: (m.coef_ / s.scale_, m.intercept_ + s.mean_ @ m.coef_.T), "mean"),
    ("vote_table", lambda s, m: ((m.coef_ / s.scale_).T, m.intercept_), "shape"),
    ("evidence_map", lambda m, w, b: w[:, m], "bias"),
    ("evidence_map", lambda m, w, b: w[:, m] / m.size + b[:, None, None] / m.size, "sum"),
    ("evidence_map", lambda m, w, b: w[:, m] + b[:, None, None] / m.size, "not the score"),
    ("evidence_map", lambda m, w, b: w.T[m] + b, "shape"),
    ("evidence_map", lambda m, w, b: w[:, m[::-1]] + b[:, None, None], "wrong word"),
    ("misleading_word", lambda h, w, t, p: np.argmax(w[p] - w[t]), "in the image"),
    ("misleading_word", lambda h, w, t, p: np.argmax(h * w[p]), "margin"),
    ("misleading_word", lambda h, w, t, p: np.argmax(h * (w[t] - w[p])), "sign"),
    ("misleading_word", lambda h, w, t, p: np.argmax(h), "margin"),
    ("misleading_word", lambda h, w, t, p: np.argmax(np.abs(h * (w[p] - w[t]))), "no abs"),
    ("misleading_word", in_place(lambda h, w, t, p: np.argmax(h * w[p])), "margin"),
    ("misleading_word", lambda h, w, t, p: np.argsort(h * (w[p] - w[t])), "one word"),
    ("misleading_word", lambda h, w, t, p: np.max(h * (w[p] - w[t])), "margin"),
    ("vote_table", in_place(lambda s, m: (m.coef_ / s.scale_, m.intercept_)), "scale"),
    ("pyramid_histogram", lambda m, n: joined(quarters(m), n), "(30,)"),
    ("pyramid_histogram", lambda m, n: m.size * joined((m, *quarters(m)), n), "sums to 1"),
    ("pyramid_histogram", swapped, "swapped"),
    ("pyramid_histogram", lambda m, n: joined((*quarters(m), m), n), "before"),
    ("pyramid_histogram", lambda m, n: joined((m, *[m[:3, :3]] * 4), n), "quarter"),
]


@pytest.mark.parametrize(("name", "wrong", "keyword"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson04, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message
    assert verdict.hints


RIGHT = [
    ("misleading_word", lambda h, w, t, p: max(range(8), key=lambda k: h[k] * (w[p, k] - w[t, k]))),
    ("misleading_word", lambda h, w, t, p: np.argsort(h * w[p] - h * w[t])[-1]),
    ("vote_table", lambda s, m: ((m.coef_ / s.scale_).tolist(),
                                 (m.intercept_ - m.coef_ @ (s.mean_ / s.scale_)).tolist())),
    ("evidence_map", lambda m, w, b: [[[w[c, k] + b[c] for k in row] for row in m]
                                      for c in range(len(w))]),
    ("evidence_map", lambda m, w, b: torch.tensor(w)[:, m] + torch.tensor(b)[:, None, None]),
    ("pyramid_histogram", lambda m, n: joined((m, *quarters(m)), n).tolist()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "right"), RIGHT)
def test_a_right_answer_in_another_style_passes(name, right):
    getattr(lesson04, name)(right).require()
