"""Figures of lesson 08: the roof of a machine, sizes of gradients, accuracy against patch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from minibag.figures.base import as_written
from minibag.stats import wilson_interval

Floats = NDArray[np.floating]
# Colour, line and marker differ: any one of them tells curves apart.
STYLES = (
    ("#0072b2", "-", "o"),
    ("#d55e00", "--", "s"),
    ("#007a5a", "-.", "^"),
    ("#6b3fa0", ":", "D"),
    ("#1a1a1a", "-", "v"),
)
GREY, SHADE = "#595959", "#f3c9a5"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FP16_ZERO, FP16_FULL = -25, -14  # log2 of where numbers become 0, and where they start to lose bits


@as_written
def roofline(points: Mapping[str, Floats], rate: float, bandwidth: float, title: str) -> Figure:
    """Draw what a machine can do at most, and what layers reach (Williams et al., CACM 2009).

    Parameters
    ----------
    points : name -> (L, 2): multiply-adds for each byte moved, multiply-adds a second; what else
        stands in a row is not drawn
    rate, bandwidth : multiply-adds and bytes that the machine manages in a second
    title : what the figure says
    """
    figure, ax = plt.subplots(figsize=(7.5, 3.9), layout="constrained")
    every = np.concatenate(
        [rate / bandwidth * np.array([0.25, 4]), *(p[:, 0] for p in points.values())]
    )
    work = np.geomspace(every.min() / 1.5, every.max() * 1.5, 200)
    ax.plot(work, np.minimum(rate, bandwidth * work) / 1e9, color=GREY, lw=2, label="the roof")
    for (name, seen), (colour, _, marker) in zip(points.items(), STYLES, strict=False):
        ax.plot(seen[:, 0], seen[:, 1] / 1e9, marker, color=colour, ms=6, alpha=0.7, label=name)
    edge = rate / bandwidth
    ax.axvline(edge, color=GREY, ls=":", lw=1)
    ax.annotate(" memory is the limit", (edge, 0.03), (-4, 0), ha="right", color=GREY,
                xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
    ax.annotate("work is the limit", (edge, 0.03), (6, 0), color=GREY,
                xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
    ax.set(xscale="log", yscale="log", title=title)
    ax.set_ylim(bottom=ax.get_ylim()[0] / 2)  # room for the words below all points
    ax.set(xlabel="multiply-adds for each byte moved", ylabel="billion multiply-adds a second")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False, loc="upper left", fontsize=10)
    return figure


@as_written
def gradient_sizes(gradients: Mapping[str, Floats], title: str) -> Figure:
    """Draw how large the numbers of gradients are, and what fp16 makes of them.

    Parameters
    ----------
    gradients : name -> values, any shape; zeros are left out
    title : what the figure says
    """
    figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    bins = np.arange(-40, 3)
    for (name, values), (colour, line, _) in zip(gradients.items(), STYLES, strict=False):
        size = np.log2(np.abs(values[values != 0]))
        shares = 100 * np.histogram(size, bins)[0] / size.size
        ax.stairs(shares, bins, color=colour, ls=line, lw=2, label=name)
    ax.axvspan(bins[0], FP16_ZERO, color=SHADE, lw=0, zorder=0, label="become 0 in fp16")
    ax.axvspan(
        FP16_ZERO, FP16_FULL, color=SHADE, alpha=0.4, lw=0, zorder=0, label="lose bits in fp16"
    )
    ticks = range(-40, 3, 8)
    ax.set_xticks(ticks, [f"2{str(tick).translate(RAISED)}" for tick in ticks])
    ax.set(xlim=bins[[0, -1]], xlabel="size of a number", ylabel="share of the numbers (%)")
    ax.set_title(title)
    ax.legend(frameon=False, loc="upper right", fontsize=10)
    return figure


@as_written
def paths(runs: Mapping[str, Sequence[float]], first: int, title: str) -> Figure:
    """Draw the accuracy (0 to 1) after every step from the ``first`` on, one line for each run."""
    figure, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    for (name, accuracy), (colour, line, _) in zip(runs.items(), STYLES, strict=False):
        steps = np.arange(first, len(accuracy) + 1)
        ax.plot(steps, 100 * np.array(accuracy[first - 1 :]), line, color=colour, label=name)
    ax.set(xlabel="step", ylabel="right answers (%)", title=title)
    ax.legend(frameon=False, loc="lower left", fontsize=10)
    return figure


@as_written
def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, Any]]], n_val: int, title: str
) -> Figure:
    """Draw the accuracy on new images after every epoch, with its 95 % band, for several runs.

    Parameters
    ----------
    histories : name -> what `minibag.training.fit` returned, with val_accuracy
    n_val : images behind val_accuracy
    title : what the figure says
    """
    figure, ax = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    for (name, rows), (colour, line, marker) in zip(histories.items(), STYLES, strict=False):
        epochs = [row["epoch"] for row in rows]
        right = [round(row["val_accuracy"] * n_val) for row in rows]
        low, high = 100 * np.array([wilson_interval(n, n_val) for n in right]).T
        ax.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
        values = 100 * np.array(right) / n_val
        ax.plot(epochs, values, line, color=colour, marker=marker, ms=5, label=name)
    ax.set(xlabel="epoch", ylabel="right answers (%), band: 95 %", ylim=(0, 100), title=title)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, loc="lower right", fontsize=10)
    return figure


@as_written
def accuracy_by_reach(
    series: Mapping[str, Sequence[Sequence[float]]], chance: float, label: str, title: str
) -> Figure:
    """Draw accuracy against how far a network sees: the figure of the course.

    Parameters
    ----------
    series : name -> rows of how far (pixels, or share of the side), accuracy, and the ends of its
        interval (0 to 1); names without rows are left out
    chance : accuracy of a guess, 0 to 1
    label : of the horizontal axis, which is logarithmic
    title : what the figure says
    """
    figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
    there = {name: rows for name, rows in series.items() if rows}
    for (name, rows), (colour, line, marker) in zip(there.items(), STYLES, strict=False):
        reach, value, low, high = np.array(rows).T
        bars = 100 * np.maximum([value - low, high - value], 0)  # rounding may cross the value
        ax.errorbar(
            reach, 100 * value, bars, color=colour, ls=line, marker=marker, ms=6, lw=1.8,
            capsize=3, label=name,
        )  # fmt: skip
    ticks = sorted({float(row[0]) for rows in there.values() for row in rows})
    ax.axhline(100 * chance, color=GREY, ls=":", lw=1.5)
    ax.annotate("chance, ten classes", (0.99, 100 * chance), (0, 4), ha="right", color=GREY,
                xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    ax.set(xscale="log", ylim=(0, 102), xlabel=label, title=title)
    apart = [b for a, b in zip([0.0, *ticks], ticks, strict=False) if b > 1.1 * a]
    ax.set_xticks(apart, [f"{tick:g}" if tick >= 1 else f"{tick:.2g}" for tick in apart])
    ax.minorticks_off()
    ax.set_ylabel("right answers (%), bars: 95 % interval")
    ax.legend(frameon=False, loc="upper left", fontsize=10)
    return figure
