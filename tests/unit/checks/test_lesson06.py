"""Each check of lesson 06 tells what is wrong with an answer."""

import numpy as np
import pytest
from torch import nn

from minibag.checks import lesson06


def chain(update):
    def field(layers):
        size, stride = 1, 1
        for layer in layers:
            size, stride = update(size, stride, *layer)
        return size, stride

    return field


def start(step, shift=1):
    def first_pixel(layers, i):
        offset, stride = 0, 1
        for _, s, p in layers:
            offset += step(p, stride, s)
            stride *= s
        return offset + shift * i * stride

    return first_pixel


field_of = chain(lambda z, t, k, s, d: (z + (k - 1) * d * t, t * s))
first = start(lambda p, t, s: -p * t)


def middle_pixel(layers, i):
    size, _ = field_of([(k, s, 1) for k, s, _ in layers])
    return first(layers, i) + (size - 1) / 2


def net(*strides, **options):
    convs = [nn.Conv2d(3, 3, 3, stride, **options) for stride in strides]
    return lambda: nn.Sequential(*convs)


WRONG = {
    "field": [
        (chain(lambda z, t, k, s, d: (z + (k - 1) * d * t * s, t * s)), "own stride"),
        (chain(lambda z, t, k, s, d: (z + k * d * t, t * s)), "k - 1"),
        (chain(lambda z, t, k, s, d: (z + (k - 1) * d * t, s + t)), "strides multiply"),
        (chain(lambda z, t, k, s, d: (z + (k - 1) * d * t, s)), "strides multiply"),
        (chain(lambda z, t, k, s, d: (z + (k - 1) * t, t * s)), "dilation"),
        (chain(lambda z, t, k, s, d: (z + (k - 1) * d, t * s)), "by hand"),
        (lambda layers: (1, 1, 0), "two numbers"),
        (lambda layers: 7, "two numbers"),
        (lambda layers: field_of(layers)[::-1], "size comes first"),
        (lambda layers: (field_of(layers)[0] - 1, field_of(layers)[1]), "sees itself"),
    ],
    "first_pixel": [
        (start(lambda p, t, s: 0), "where is the padding"),
        (start(lambda p, t, s: p * t), "to the left"),
        (start(lambda p, t, s: -p), "1 pixel"),
        (start(lambda p, t, s: -p * t, shift=0), "unit 0"),
        (start(lambda p, t, s: -p * t * s), "before its layer"),
        (lambda layers, i: 1000, "multiply"),
        (middle_pixel, "middle of the field"),
        (lambda layers, i: first(layers, 0) + i * layers[-1][1], "product of all strides"),
        (lambda layers, i: first(layers, i) - sum(k // 2 for k, *_ in layers), "kernel plays no"),
    ],
    "design": [
        (net(1, 2, 2, 1, 1, 1, 1), "at most 6"),
        (net(1, 2, 2, 1, 1, padding=1), "no padding"),
        (net(1, 2, 2, dilation=2), "without dilation"),
        (lambda: nn.Sequential(nn.Conv2d(3, 3, 25, 4)), "3x3 at most"),
        (net(1, 2, 1, 1, 1), "your stride is 2"),
        (net(1, 2, 2, 1), "your q is 17"),
        (lambda: np.ones(3), "not ndarray"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(23, 4)), "3x3 at most"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)), "3 channels"),
    ],
}


@pytest.mark.parametrize(
    ("name", "wrong", "keyword"), [(n, w, k) for n, cases in WRONG.items() for w, k in cases]
)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    for _ in range(3):
        verdict = getattr(lesson06, name)(wrong)
        assert not verdict.passed
        assert keyword in verdict.message
