"""The checks of lesson 08 tell wrong answers what is wrong with them."""

import math

import numpy as np
import pytest

from minibag.checks import lesson08
from minibag.training import Recipe


def parts(conv, side):
    """Return what is read, the weights, what is written, and the multiply-adds."""
    out = (side - conv.kernel_size[0]) // conv.stride[0] + 1
    n = conv.in_channels * conv.out_channels * conv.kernel_size[0] ** 2
    return conv.in_channels * side**2, n, conv.out_channels * out**2, n * out**2


def floor(conv, side, rate, bandwidth, size, keep=(1, 1, 1), work=None, each=None, choose=max):
    *numbers, true = parts(conv, side)
    traffic = (each or size) * sum(k * n for k, n in zip(keep, numbers, strict=True))
    return choose((work or true) / rate, traffic / bandwidth)


def wave(step, steps, warmup, lr, line=lambda step, warmup: (step + 1) / warmup, fall=None):
    if step < warmup:
        return lr * line(step, warmup)
    rest = (step - warmup) / (steps - warmup)
    return lr * (fall(rest) if fall else (1 + math.cos(math.pi * rest)) / 2)


def joint(means, variances):
    return means.mean(0), variances.mean(0) + means.var(0)


WRONG = [
    ("least_seconds", lambda *a: floor(*a, choose=lambda *t: sum(t)), "not the sum"),
    ("least_seconds", lambda *a: floor(*a, choose=min), "longer one"),
    ("least_seconds", lambda *a: floor(*a, choose=lambda w, t: w), "longer one"),
    ("least_seconds", lambda *a: floor(*a, choose=lambda w, t: t), "longer one"),
    ("least_seconds", lambda *a: floor(*a, work=2 * parts(*a[:2])[3]), "counts once"),
    ("least_seconds", lambda *a: floor(*a, work=parts(*a[:2])[1] * a[1] ** 2), "of the output"),
    ("least_seconds", lambda *a: floor(*a, work=parts(*a[:2])[3] / 3), "you say"),
    ("least_seconds", lambda c, n, *a: floor(c, n, *a, work=parts(c, n)[1]
     * (n // c.stride[0]) ** 2), "units of the output"),
    ("least_seconds", lambda c, n, *a: floor(c, n, *a, keep=(c.kernel_size[0] ** 2
     * parts(c, n)[2] / c.out_channels / n**2, 1, 1)), "however many windows"),
    ("least_seconds", lambda *a: floor(*a, keep=(1, 0, 1)), "weights are read"),
    ("least_seconds", lambda *a: floor(*a, keep=(0, 1, 1)), "must be read"),
    ("least_seconds", lambda *a: floor(*a, keep=(1, 1, 0)), "must be written"),
    ("least_seconds", lambda *a: floor(*a, each=1), "count bytes"),
    ("least_seconds", lambda *a: floor(*a, each=4), "not always 4"),
    ("lr_at", lambda *a: wave(*a, line=lambda s, w: s / w), "for nothing"),
    ("lr_at", lambda *a: wave(*a, line=lambda s, w: 1), "equal steps"),
    ("lr_at", lambda s, n, w, lr: wave(s, n, 0, lr), "equal steps"),
    ("lr_at", lambda s, n, w, lr: wave(s, n, w if s < w else 0, lr), "begins after"),
    ("lr_at", lambda *a: wave(*a, fall=lambda r: 1 + math.cos(math.pi * r)), "twice too high"),
    ("lr_at", lambda *a: wave(*a, fall=lambda r: 1 - r), "no cosine"),
    ("lr_at", lambda *a: wave(*a, fall=lambda r: math.cos(math.pi * r)), "uphill"),
    ("lr_at", lambda *a: wave(*a, fall=lambda r: (1 + math.cos(6.28 * r)) / 2), "rises again"),
    ("lr_at", lambda *a: wave(*a, fall=lambda r: 1), "is wrong"),
    ("lr_at", lambda s, n, w, lr: lr * (s + 1) / w if s < w else wave(s, n - 1, w, lr), "the last"),
    ("lr_at", lambda s, n, w, lr: wave(s, n, w + (s == w > 0), lr,
     line=lambda s, _: (s + 1) / w), "first of"),
    ("lr_at", lambda s, n, w, lr: lr * min(1, (s + 1) / w) * wave(s, n, w, 1), "equal steps"),
    ("norm_of_all", lambda m, v: (m.mean(0), v.mean(0)), "means differ"),
    ("norm_of_all", lambda m, v: (m.mean(0), m.var(0)), "vary, too"),
    ("norm_of_all", lambda m, v: (m.mean(), v.mean()), "axis 0"),
    ("norm_of_all", lambda m, v: (m.sum(0), v.sum(0)), "sum of the means"),
    ("norm_of_all", lambda m, v: (m[0], v[0]), "the mean is wrong"),
    ("norm_of_all", lambda m, v: (m.mean(1), v.mean(1)), "shape"),
    ("norm_of_all", lambda m, v: (m.mean(0), joint(m, v)[1].mean()), "your variance has"),
    ("norm_of_all", lambda m, v: (m.mean(0), v.mean(0) + m.var(0, ddof=1)), "not by P - 1"),
    ("norm_of_all", lambda m, v: (m.mean(0), np.sqrt(v).mean(0) ** 2 + m.var(0)), "their roots"),
    ("norm_of_all", lambda m, v: (m.mean(0), np.sqrt(joint(m, v)[1])), "no root"),
    ("norm_of_all", lambda m, v: (m.mean(0), v.sum(0)), "of all numbers together"),
    ("norm_of_all", lambda m, v: joint(m, v)[1:], "two things"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "keyword"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson08, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message, verdict.message
    assert verdict.hints


def test_the_rate_asked_for_is_that_of_the_loop():
    def from_recipe(step, steps, warmup, lr):
        return Recipe(epochs=steps, warmup_epochs=warmup, lr=lr).lr_at(step, 1)

    assert lesson08.lr_at(from_recipe).passed
