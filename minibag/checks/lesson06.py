"""Checks of lesson 06: the field of a stack, where a field starts, a stack with a wanted field."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from minibag.checks.core import check, refuse
from minibag.nets.receptive import ReceptiveField, receptive_field

Layers = Sequence[tuple[int, int, int]]


def _truth(layers: list[tuple[int, int, int, int]]) -> ReceptiveField:
    """Return the field that the library finds for (kernel, stride, padding, dilation)."""
    return receptive_field(nn.Sequential(*(nn.Conv2d(3, 3, k, s, p, d) for k, s, p, d in layers)))


def _wrongly(layers: Layers, update: Callable[..., tuple[int, int]]) -> tuple[int, int]:
    return functools.reduce(lambda seen, layer: update(*seen, *layer), layers, (1, 1))


@check(
    "Start with size = 1 and stride = 1: a pixel sees itself.",
    "A layer adds (kernel - 1) * dilation steps of the map below, each `stride` pixels wide.",
    "size += (kernel - 1) * dilation * stride comes first, stride *= s after it.",
)
def field(student: Callable[[Layers], tuple[int, int]]) -> str:
    """Check ``field(layers of (kernel, stride, dilation)) -> (size, stride)`` on random stacks."""
    rng = np.random.default_rng(0)  # a slip must not pass, or be misread, by luck
    for depth in (1, 2, 3, 4, 4):
        drawn = rng.integers((3, 2, 2), (6, 4, 4), (depth, 3))
        layers = [(int(k), int(s), int(d)) for k, s, d in drawn]
        truth = _truth([(k, s, 0, d) for k, s, d in layers])
        answer = student(layers)
        told = f"for the layers {layers} you said {answer}: "
        refuse((np.shape(answer) != (2,), f"{told}return two numbers, size and stride."))
        answer = (answer[0], answer[1])
        refuse(
            (answer == (truth.stride, truth.size), f"{told}size comes first."),
            (answer == (truth.size - 1, truth.stride), f"{told}a pixel sees itself: start with 1."),
            (answer == _wrongly(layers, lambda z, t, k, s, d: (z + (k - 1) * d * t * s, t * s)),
             f"{told}a layer's own stride counts for the layers after it, not for itself."),
            (answer == _wrongly(layers, lambda z, t, k, s, d: (z + k * d * t, t * s)),
             f"{told}a kernel of k adds k - 1 steps: 1x1 adds nothing."),
            (answer[1] != truth.stride, f"{told}the stride is wrong: strides multiply."),
            (answer == _wrongly(layers, lambda z, t, k, s, d: (z + (k - 1) * t, t * s)),
             f"{told}a dilation d spreads the kernel: k - 1 steps of d cells each."),
            (answer != (truth.size, truth.stride), f"{told}the size should be {truth.size}. Do it "
             "by hand for two layers: how many pixels lie between neighbours of the map below?"),
        )  # fmt: skip
    return "size and stride of every stack, in four lines."


@check(
    "Without padding, unit i starts at pixel i * stride: the product of all strides.",
    "Padding p puts p cells in front of the map below; each is as far from the next as its stride.",
    "offset -= padding * stride comes first, stride *= s after it; return offset + i * stride.",
)
def first_pixel(student: Callable[[Layers, int], int]) -> str:
    """Check ``first_pixel(layers of (kernel, stride, padding), i) -> int`` on random stacks."""
    rng = np.random.default_rng(0)  # a slip must not pass, or be misread, by luck
    for depth, i in ((1, 0), (3, 0), (3, 5), (4, 2), (4, 7)):
        drawn = rng.integers((10, 2, 1), (14, 4, 3), (depth, 3))  # so wide that no slip is hidden
        layers = [(int(k), int(s), int(p)) for k, s, p in drawn]
        truth = _truth([(k, s, p, 1) for k, s, p in layers])
        answer, start = student(layers, i), truth.offset + i * truth.stride
        if answer == start:
            continue
        told = f"for the layers {layers} and unit {i} you said {answer}, it is {start}: "
        refuse(
            (answer == i * truth.stride, f"{told}where is the padding?"),
            (answer == i * truth.stride - truth.offset, f"{told}padding moves it to the left."),
            (answer == i * truth.stride - sum(p for *_, p in layers),
             f"{told}a padded cell of a deep map is as wide as the stride below it, not 1 pixel."),
            (answer == truth.offset, f"{told}that is unit 0; unit i starts i strides later."),
            (answer == start + (truth.size - 1) / 2, f"{told}that is the middle of the field."),
            (answer == truth.offset + i * layers[-1][1],
             f"{told}to the next unit it is the product of all strides, not the last one."),
            (True, f"{told}multiply a padding by the strides before its layer only; the kernel "
             "plays no part."),
        )  # fmt: skip
    return "you know where a unit looks, padded or not."


@check(
    "25 = 1 + what the layers add. A 3x3 kernel at stride so far 1, 2, 4 adds 2, 4, 8 pixels.",
    "Two layers must have stride 2. The earlier they come, the more the later ones add.",
    "Which of 2, 4, 8 can you sum up to 24, in this order: 2 + 2 + 4 ..., or 2 + 4 + 8 + ...?",
)
def design(student: Callable[[], nn.Module]) -> str:
    """Check ``design() -> nn.Sequential``: q = 25, stride 4, at most six 3x3 layers, no padding."""
    net = student()
    refuse((not isinstance(net, nn.Module), f"return a network, not {type(net).__name__}."))
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    channels = [3, *(m.out_channels for m in convs)]
    windows = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
    refuse(
        (len(convs) > 6, f"it has {len(convs)} convolutions; at most 6 are allowed."),
        (any(np.max(m.kernel_size) > 3 or np.max(m.dilation) > 1 for m in windows),
         "kernels of 3x3 at most, without dilation."),
        (any(m.padding not in (0, (0, 0)) for m in windows),
         "no padding: every unit should see pixels only."),
        (any(m.in_channels != c for m, c in zip(convs, channels, strict=False)),
         "the first layer takes 3 channels, each other one as many as the layer before it gives."),
    )  # fmt: skip
    seen = receptive_field(net)
    refuse(
        (seen.stride != 4, f"your stride is {seen.stride}; two layers of stride 2 make 4."),
        (seen.size != 25, f"the stride is right, but your q is {seen.size}, not 25: what the "
         "layers add must sum up to 24."),
    )  # fmt: skip
    return f"q = {seen.size}, stride {seen.stride}, with {len(convs)} layers."
