"""Pictures of learned words: walls of filters, before and after training, learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from skimage.util import montage

from minibag.bag import PatchGrid
from minibag.figures.base import as_written
from minibag.figures.words import wall_of_words
from minibag.stats import wilson_interval

Floats = NDArray[np.floating]
BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito: safe for colour-blind readers


class Words(NamedTuple):
    """Words as pictures (K, p, p, 3) and the patches (K, n, p, p, 3) that each likes best."""

    pictures: Floats
    patches: NDArray[np.uint8]


def as_pictures(filters: Floats) -> Floats:
    """Turn filters (K, 3, p, p) into pictures (K, p, p, 3) in 0..1: grey is 0, full contrast."""
    strongest = np.abs(filters).max((1, 2, 3), keepdims=True)
    return (0.5 + 0.5 * filters / np.maximum(strongest, 1e-12)).transpose(0, 2, 3, 1)


@as_written
def filter_walls(walls: Mapping[str, Floats], title: str, columns: int = 10) -> Figure:
    """Draw walls of pictures (K, p, p, 3) in 0..1 side by side, each under its name."""
    rows = -(-max(map(len, walls.values())) // columns)
    side = 9 / len(walls)
    figure, axes = plt.subplots(
        1, len(walls), figsize=(9, side * rows / columns + 0.8), layout="constrained", squeeze=False
    )
    for ax, (name, pictures) in zip(axes.flat, walls.items(), strict=True):
        _sheet(ax, pictures, (rows, columns))
        ax.set_title(name, fontsize=11)
    figure.suptitle(title)
    return figure


def favourites(images: NDArray[np.uint8], grid: PatchGrid, codes: Floats, filters: Floats) -> Words:
    """Return filters (K, 3, p, p) as pictures, and the patches with the largest codes (N, h, w, K).

    A patch stands in the row of the word that answers to it most, and an image once in a row.
    """
    wall = wall_of_words(images, grid, codes.argmax(axis=3), -codes.max(axis=3), n=7)
    return Words(as_pictures(filters), wall.nearest)


@as_written
def before_after(before: Words, after: Words, rows: Sequence[int], title: str) -> Figure:
    """Draw a row for each chosen word: its filter and favourite patches, before and after."""
    n, p = after.patches.shape[1:3]
    figure, axes = plt.subplots(
        1, 4, figsize=(9.5, 0.44 * len(rows) + 1), width_ratios=(1, n, 1, n), layout="constrained"
    )
    for words, when, (left, right) in ((before, "k-means", axes[:2]), (after, "trained", axes[2:])):
        _sheet(left, words.pictures[rows], (len(rows), 1))
        _sheet(right, words.patches[rows].reshape(-1, p, p, 3) / 255, (len(rows), n))
        left.set_title("filter", fontsize=10)
        right.set_title(f"{when}: patches it likes best", fontsize=10)
    middles = (np.arange(len(rows)) + 0.5) * (p + 1)
    axes[0].set_yticks(middles, [f"word {row}" for row in rows], fontsize=10)
    figure.suptitle(title)
    return figure


def _sheet(ax: Axes, pictures: Floats, shape: tuple[int, int]) -> None:
    """Lay pictures (K, p, p, 3) out in rows and columns with a white line between them."""
    sheet = montage(pictures, fill=[1, 1, 1], grid_shape=shape, padding_width=1, channel_axis=-1)
    ax.imshow(sheet, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


@as_written
def learning_curve(losses: Sequence[float], right: Sequence[int], n: int, title: str) -> Figure:
    """Draw loss, and test accuracy on n images (95 % band), per epoch from before the first."""
    figure, (left, ax) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(range(1, len(right)), losses, color=ORANGE, lw=2)
    left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None), title="training images")
    low, high = 100 * np.array([wilson_interval(count, n) for count in right]).T
    ax.fill_between(range(len(right)), low, high, color=BLUE, alpha=0.2, label="95 % interval")
    ax.plot(100 * np.array(right) / n, color=BLUE, lw=2, label="learned words")
    ax.axhline(100 * right[0] / n, color="black", ls="--", lw=1, label="k-means words")
    ax.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 101), title="new images")
    for one in (left, ax):
        one.set_xticks(range(0, len(right), 5))
    ax.legend(loc="lower right", fontsize=10)
    figure.suptitle(title)
    return figure


@as_written
def few_words(sizes: Sequence[int], curves: Mapping[str, Floats], chance: float) -> Figure:
    """Draw accuracies (sizes, seeds) against the number of words; NaN where none was measured."""
    figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for (name, scores), colour, mark in zip(curves.items(), (BLUE, ORANGE), "os", strict=True):
        ax.plot(sizes, 100 * scores.mean(axis=1), color=colour, label=name)
        ax.plot(sizes, 100 * scores, mark, color=colour, alpha=0.5)
    ax.axhline(100 * chance, color="black", ls=":", label="chance")
    ax.set(xscale="log", xlabel="number of words", ylabel="test accuracy (%)", ylim=(0, 102))
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_title("Accuracy against the number of words (marks: single runs)")
    ax.legend(loc="lower right", fontsize=10)
    return figure
