"""The checks of lesson 10 tell wrong answers what is wrong with them."""

import numpy as np
import pytest

from minibag.checks import lesson10


def all_but_one(shuffled, order):
    cells = np.zeros_like(shuffled)
    cells[order[:-1]] = shuffled[:-1]
    return cells


def whole(side, grid, q, stride, last=1):
    first = np.arange(0, side - q + 1, stride)
    return first // (side // grid) == (first + q - last) // (side // grid)


def early(side, grid, q, stride):
    first = np.arange(0, side - q, stride)
    return first // (side // grid) == (first + q - 1) // (side // grid)


def formula(side, grid, q, stride, least=0.0):
    in_cell = (side // grid - q) // stride + 1
    return (grid * max(in_cell, least) / ((side - q) // stride + 1)) ** 2


def flat(features):
    return features.reshape(len(features), -1)


WRONG = [
    ("put_back", lambda s, o: s, "nothing moved"),
    ("put_back", lambda s, o: s[o], "second time"),
    ("put_back", lambda s, o: s[::-1], "reversed"),
    ("put_back", lambda s, o: s[o[::-1]], "reversed"),
    ("put_back", all_but_one, "missing"),
    ("put_back", lambda s, o: np.roll(s[np.argsort(o)], 1, 0), "belong"),
    ("put_back", lambda s, o: np.argsort(o), "expected"),
    ("survivors", lambda *c: whole(*c).mean(), "columns"),
    ("survivors", lambda *c: whole(*c, last=0).mean() ** 2, "ends at a seam"),
    ("survivors", lambda *c: int(whole(*c).sum()) ** 2, "divide"),
    ("survivors", lambda s, g, q, t: (whole(s, g, q, t).sum() / (s // t)) ** 2, "must fit"),
    ("survivors", lambda *c: formula(*c, least=-np.inf), "none survives"),
    ("survivors", formula, "each patch"),
    ("survivors", lambda s, g, q, t: (1 - q / (s // g)) ** 2, "you say"),
    ("survivors", lambda s, g, q, t: early(s, g, q, t).mean() ** 2, "leave out"),
    ("survivors", lambda s, g, q, t: np.nan, "nan"),
    ("gram", lambda f: flat(f) @ flat(f).T, "sum"),
    ("gram", lambda f: flat(f) @ flat(f).T / f.size, "channels"),
    ("gram", lambda f: flat(f).T @ flat(f) / len(f), "wrong way"),
    ("gram", lambda f: np.outer(f.mean((1, 2)), f.mean((1, 2))), "first the product"),
    ("gram", lambda f: np.cov(flat(f), bias=True), "subtract"),
    ("gram", lambda f: np.cov(flat(f)), "subtract"),
    ("gram", lambda f: flat(f) @ f.reshape(-1, len(f)) / flat(f).shape[1], "use .T"),
    ("gram", lambda f: flat(f) @ flat(f).T / f.shape[1], "factor"),
    ("gram", lambda f: f.mean((1, 2)), "(4, 4)"),
    ("gram", lambda f: np.corrcoef(flat(f)), "compare"),
]


@pytest.mark.parametrize(("name", "wrong", "keyword"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson10, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message
    assert verdict.hints


def test_another_way_back_passes():
    def filled(shuffled, order):
        cells = np.empty_like(shuffled)
        cells[order] = shuffled
        return cells

    assert lesson10.put_back(filled).passed
