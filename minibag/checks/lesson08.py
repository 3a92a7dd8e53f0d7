"""Checks of lesson 08: the floor of a convolution, a learning rate, norms of several processes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from minibag.checks.core import check, refuse

Floats = NDArray[np.floating]
LAYERS = (  # channels in and out, kernel, stride, side, multiply-adds/s, bytes/s, bytes a number
    (8, 16, 3, 1, 20, 1e9, 1e12, 4),  # work
    *((8, 16, 1, 1, 20, 1e9, 1e12, 4), (8, 16, 3, 2, 21, 1e9, 1e12, 4)),
    *(
        (8, 32, 1, 1, 20, 1e12, 1e9, 4),
        (16, 8, 3, 2, 9, 1e12, 1e9, 4),
        (8, 32, 1, 1, 20, 1e12, 1e9, 2),
    ),
)


@check(
    "The work is lesson 07's: weights x side_out². The traffic: what comes in, the weights, and "
    "what goes out, each number once.",
    "Traffic in bytes: size * (in_channels * side**2 + weights + out_channels * side_out**2).",
    "Both go on at the same time, so the longer one counts: max(work / rate, bytes / bandwidth).",
)
def least_seconds(student: Callable[..., float]) -> str:
    """Check ``least_seconds(conv, side, rate, bandwidth, size) -> s`` on six convolutions."""
    for c_in, c_out, k, s, side, rate, bandwidth, size in LAYERS:
        answer = student(nn.Conv2d(c_in, c_out, k, s, bias=False), side, rate, bandwidth, size)
        out, weights = (side - k) // s + 1, c_in * c_out * k * k
        read, written, work = c_in * side**2, c_out * out**2, weights * out**2 / rate
        traffic = size * (read + weights + written) / bandwidth
        told = f"{k}x{k}, stride {s}, {c_in} to {c_out} channels, on {side} x {side}, "
        told += f"{'work' if work > traffic else 'traffic'} decides: "
        near = {
            "both at once, so the longer time counts, not the sum.": work + traffic,
            "that is the shorter time: the longer one is the floor.": min(work, traffic),
            "a multiply-add counts once.": max(2 * work, traffic),
            f"count units of the output: {out} x {out}.": max(weights * side**2 / rate, traffic),
            "each number is read once, however many windows it is in.": max(
                work, traffic + size * (c_in * k * k * out**2 - read) / bandwidth
            ),
            "the weights are read, too.": max(work, size * (read + written) / bandwidth),
            "what comes in must be read.": max(work, size * (weights + written) / bandwidth),
            "what goes out must be written.": max(work, size * (read + weights) / bandwidth),
            "count bytes, `size` for each number.": max(work, traffic / size),
            "a number has `size` bytes, not always 4.": max(work, traffic * 4 / size),
        }
        if math.isclose(answer, max(work, traffic), rel_tol=1e-9):
            continue
        refuse(*((math.isclose(answer, v, rel_tol=1e-9), told + why) for why, v in near.items()))
        refuse((True, f"{told}{max(work, traffic):.3g} s at least, you say {answer:.3g} s."))
    return "no program is faster than this, unless the numbers never go out to memory."


@check(
    "Two branches: if step < warmup, a straight line; else half a cosine wave.",
    "The line: lr * (step + 1) / warmup. The wave goes from 0 to pi while step goes from warmup "
    "to steps.",
    "(1 + cos(pi * (step - warmup) / (steps - warmup))) / 2 falls from 1 to 0.",
)
def lr_at(student: Callable[[int, int, int, float], float]) -> str:
    """Check ``lr_at(step, steps, warmup, lr)`` at every step of two runs."""
    for steps, warmup, lr in ((40, 8, 0.1), (30, 0, 2.0)):
        rates = np.array([float(student(step, steps, warmup, lr)) for step in range(steps)])
        step = np.arange(steps)
        rest = (step - warmup) / (steps - warmup)
        line = lr * (step + 1) / max(warmup, 1)
        right = np.where(step < warmup, line, lr * (1 + np.cos(np.pi * rest)) / 2)
        if np.allclose(rates, right, atol=1e-9):
            continue
        told, fall, first = f"{steps} steps, warm-up {warmup}, lr {lr}: ", step >= warmup, rates[0]
        refuse(
            (warmup and first == 0, f"{told}the first step has the rate 0, so it is for nothing."),
            (warmup and not np.allclose(rates[~fall], line[~fall]), f"{told}the first {warmup} "
             f"rates go up in equal steps: {line[0]:g}, {line[1]:g}, ... {lr:g}."),
            (np.allclose(rates[fall], lr * (1 + np.cos(np.pi * step / steps))[fall] / 2),
             f"{told}the cosine begins after the warm-up, at the full rate."),
            (np.allclose(rates[fall], 2 * right[fall]), f"{told}twice too high: 1 + cos is 2."),
            (abs(rates[-1]) < 1e-12, f"{told}the last step has the rate 0, so it is for nothing: "
             "divide by steps - warmup."),
            (np.flatnonzero(~np.isclose(rates, right)).tolist() == [warmup],
             f"{told}step {warmup} is the first of the cosine: step < warmup goes up."),
            (np.allclose(rates[fall], lr * (1 - rest)[fall]), f"{told}that is a line, no cosine."),
            (rates[fall].min() < -1e-9, f"{told}a rate below 0 goes uphill: add 1 to the cosine."),
            (np.any(np.diff(rates[fall]) > 1e-9), f"{told}it rises again: half a wave ends at pi."),
            (True, f"{told}step {int(np.abs(rates - right).argmax())} is wrong: expected "
             f"{right[np.abs(rates - right).argmax()]:.4g}."),
        )  # fmt: skip
    return "slowly up, slowly down: what `Recipe.lr_at` computes for every step."


@check(
    "All processes have equally many numbers, so the mean of all is the mean of the means.",
    "Numbers differ for two reasons: within a process, and because the processes' means differ.",
    "means.mean(0), variances.mean(0) + means.var(0)",
)
def norm_of_all(student: Callable[[Floats, Floats], tuple[Floats, Floats]]) -> str:
    """Check ``norm_of_all(means (P, C), variances (P, C)) -> (mean (C,), variance (C,))``."""
    numbers = np.random.default_rng(8).normal([[[0.0]], [[2.0]], [[7.0]]], 1, (3, 50, 4))
    means, variances = numbers.mean(1), numbers.var(1)
    answer = student(means.copy(), variances.copy())
    refuse((len(answer) != 2, "return two things: the mean and the variance."))
    mean, variance = map(np.asarray, answer)
    refuse(
        (mean.shape == (), "one number for each channel: average over axis 0 only."),
        (mean.shape != (4,), f"4 channels: expected shape (4,), your mean has {mean.shape}."),
        (variance.shape != (4,), f"expected shape (4,), your variance has {variance.shape}."),
    )
    apart, within = means.var(0), variances.mean(0)
    refuse(
        (np.allclose(mean, means.sum(0)), "that is the sum of the means."),
        (not np.allclose(mean, means.mean(0)), "the mean is wrong."),
        (np.allclose(variance, within), "the processes' means differ: that is variance, too."),
        (np.allclose(variance, apart), "within each process the numbers vary, too."),
        (np.allclose(variance, np.sqrt(variances).mean(0) ** 2 + apart), "average variances, not "
         "their roots."),
        (np.allclose(variance, within + means.var(0, ddof=1)), "divide by P, not by P - 1."),
        (np.allclose(variance, np.sqrt(within + apart)), "that is the spread; no root."),
        (not np.allclose(variance, numbers.var((0, 1))), "the variance is not that of all numbers "
         "together."),
    )  # fmt: skip
    return "with these two numbers, several processes norm like one."
