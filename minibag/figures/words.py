"""Pictures of visual words: the wall of words, word maps, histograms, and curves about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from minibag.bag import PatchGrid
from minibag.figures.base import as_written

Bytes = NDArray[np.uint8]
Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito: safe for colour-blind readers


class Wall(NamedTuple):
    """What every word looks like: mean patch (K, p, p, 3), nearest patches (K, n, p, p, 3)."""

    mean: Bytes
    nearest: Bytes


def wall_of_words(
    images: Bytes,
    grid: PatchGrid,
    word_maps: Ints,
    distances: Floats,
    *,
    n: int = 10,
    stretched: bool = False,
    sources: Ints | None = None,
) -> Wall:
    """Cut out the patches that show what each word means.

    Parameters
    ----------
    images : uint8 (N, H, W, 3)
    grid : where the patches of one image lie
    word_maps : ints (N, h, w), the word of every patch
    distances : floats (N, h, w) from every descriptor to its word
    n : nearest patches per word, at most one of each source; if too few, white fills the row
    stretched : show patches as SIFT sees them: grey, each with its contrast stretched to the full
    sources : ints (N,), where each image is from, say the number of its photograph; by default
        each image is a source of its own

    Raises
    ------
    ValueError
        If the maps do not have one cell for every patch of the grid.
    """
    shape = (len(images), *grid.shape)
    if not word_maps.shape == distances.shape == shape:
        raise ValueError(
            f"{len(images)} images on a grid of {grid.shape} need maps of shape {shape}, "
            f"got {word_maps.shape} and {distances.shape}"
        )
    last = grid.offset + grid.stride * (np.array(grid.shape) - 1) + 1
    rows, columns = (slice(grid.offset, end, grid.stride) for end in last)
    patches = sliding_window_view(images, (grid.size, grid.size), (1, 2))[:, rows, columns]
    order = np.lexsort((distances.ravel(), word_maps.ravel()))  # by word, the nearest first
    ends = np.cumsum(np.bincount(word_maps.ravel()))
    white = np.full((len(ends), 1 + n, grid.size, grid.size, 3), 255, np.uint8)
    wall = Wall(white[:, 0], white[:, 1:])
    for word, members in enumerate(np.split(order, ends[:-1])):
        if len(members):
            image, i, j = np.unravel_index(members, shape)
            mine = patches[image, i, j].transpose(0, 2, 3, 1)  # (members, p, p, 3)
            mine = _stretch(mine) if stretched else mine
            wall.mean[word] = mine.mean(0).round()
            of = image if sources is None else sources[image]
            one_each = np.sort(np.unique(of, return_index=True)[1])[:n]
            wall.nearest[word, : len(one_each)] = mine[one_each]
    return wall


def _stretch(patches: Bytes) -> Bytes:
    """Make patches (n, p, p, 3) grey, with mean 128 and the strongest deviation at 0 or 255."""
    grey = patches.mean(3, keepdims=True)
    grey -= grey.mean((1, 2), keepdims=True)
    strongest = np.maximum(np.abs(grey).max((1, 2), keepdims=True), 1)
    return np.repeat(128 + 127 * grey / strongest, 3, axis=3).round().astype(np.uint8)


@as_written
def draw_wall(wall: Wall, words: Sequence[int], names: Sequence[str], title: str) -> Figure:
    """Draw one row for each chosen word: the mean of its patches, then its nearest patches."""
    size = (0.55 * wall.nearest.shape[1] + 2.4, 0.55 * len(words) + 0.8)
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    _draw_wall(ax, wall, words, names)
    ax.set_title(title)
    return figure


def _draw_wall(ax: Axes, wall: Wall, words: Sequence[int], names: Sequence[str]) -> None:
    patches = np.concatenate([wall.mean[words, None], wall.nearest[words]], axis=1)
    framed = np.pad(patches, ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    rows, columns, side = framed.shape[:3]
    montage = framed.swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    ax.imshow(montage, interpolation="nearest")
    ax.set_yticks(side * (np.arange(rows) + 0.5), names)
    ax.set_xticks([side * 0.5, side * (columns + 1) / 2], ["mean", "nearest patches"])
    ax.axvline(side - 0.5, color="black", linewidth=1)
    ax.tick_params(length=0, labelsize=10)
    ax.spines[:].set_visible(False)


def word_colours(words: Floats) -> Floats:
    """Give every word (K, D) a colour (K, 3) in 0..1, so that similar words look similar.

    Red, green and blue are the ranks along the first three principal components.
    """
    centred = words - words.mean(0)
    components = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
    return 0.1 + 0.8 * components.argsort(0).argsort(0) / (len(words) - 1)


@as_written
def draw_word_maps(images: Bytes, word_maps: Ints, colours: Floats) -> Figure:
    """Draw images above their word maps (N, h, w), each cell in the colour of its word."""
    size = (2 * len(images), 4.3)
    figure, axes = plt.subplots(
        2, len(images), figsize=size, layout="constrained", squeeze=False,
        subplot_kw={"xticks": [], "yticks": []},
    )  # fmt: skip
    for image, words, (above, below) in zip(images, word_maps, axes.T, strict=True):
        above.imshow(image, interpolation="nearest")
        below.imshow(colours[words], interpolation="nearest")
    axes[0, 0].set_ylabel("image")
    axes[1, 0].set_ylabel("word map")
    figure.suptitle("One colour for each word: similar words, similar colours")
    return figure


@as_written
def draw_histograms(images: Bytes, histograms: Floats, names: Sequence[str], title: str) -> Figure:
    """Draw one row for each image: the image, and how often it uses each word."""
    size = (8, 1.3 * len(images) + 0.6)
    figure, axes = plt.subplots(
        len(images), 2, figsize=size, width_ratios=(1, 6), layout="constrained", sharex="col"
    )
    top = 1.1 * 100 * histograms.max()
    for image, histogram, name, (left, right) in zip(images, histograms, names, axes, strict=True):
        left.imshow(image, interpolation="nearest")
        left.set(xticks=[], yticks=[])
        left.set_title(name, fontsize=10)
        right.vlines(np.arange(len(histogram)), 0, 100 * histogram, color=BLUE, linewidth=1.5)
        right.set(xlim=(-1, len(histogram)), ylim=(0, top), ylabel="cells (%)")
        right.spines[["top", "right"]].set_visible(False)
    axes[-1, 1].set_xlabel("word")
    figure.suptitle(title)
    return figure


@as_written
def draw_lloyd(points: Floats, steps: Mapping[int, tuple[Floats, Ints]]) -> Figure:
    """Draw k-means on points (n, 2): by number of the step, its centres (K, 2) and labels (n,)."""
    size = (2.5 * len(steps), 2.9)
    figure, axes = plt.subplots(1, len(steps), figsize=size, layout="constrained", sharey=True)
    for ax, (number, (centres, labels)) in zip(axes, steps.items(), strict=True):
        ax.scatter(*points.T, c=labels, s=8, alpha=0.6, cmap="viridis")
        ax.scatter(*centres.T, c=range(len(centres)), s=160, marker="X", edgecolor="black")
        ax.set(xticks=[], yticks=[], aspect="equal", title=f"step {number}")
    figure.suptitle("k-means: give each point its nearest centre, move the centres, repeat")
    return figure


@as_written
def draw_curves(
    x: Sequence[float], scores: Mapping[str, Floats], chance: float, x_label: str, title: str
) -> Figure:
    """Draw accuracies (x, seeds) on a log scale of x: mean and standard deviation over seeds."""
    figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for (name, values), style in zip(scores.items(), ("o-", "s--", "D:"), strict=False):
        mean, spread = 100 * values.mean(1), 100 * values.std(1, ddof=1)
        colour = ORANGE if style == "s--" else BLUE
        ax.errorbar(x, mean, spread, fmt=style, color=colour, capsize=4, label=name)
    ax.axhline(100 * chance, color="black", linestyle=":", label="chance")
    ax.set(xscale="log", xlabel=x_label, ylabel="test accuracy (%)", ylim=(0, 100), title=title)
    ax.set_xticks(x, [f"{value:g}" for value in x])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left")
    return figure


def word_use(word_maps: Ints, image: int, word: int) -> str:
    """Say how often one image uses a word, and how many images of (N, h, w) have it at all."""
    fires = word_maps[image] == word
    df = (word_maps == word).any((1, 2)).mean()
    tf, idf = fires.mean(), -np.log(df) if df else 0.0
    return (
        f"{fires.sum()} of {fires.size} cells (tf {tf:.3f}) · in {df:.1%} of the images "
        f"(idf {idf:.2f}) · tf-idf {tf * idf:.3f}"
    )


@as_written
def explore_word(
    images: Bytes, word_maps: Ints, grid: PatchGrid, wall: Wall, *, image: int, word: int
) -> Figure:
    """Draw where a word fires in one image, its row of the wall, and the image's word counts.

    Axes are placed by hand: a layout solver would take longer than the drawing, and this is the
    picture that a widget draws again at every step of its slider.
    """
    figure, picture = plt.figure(figsize=(8.6, 4.2)), images[image]
    here = figure.add_axes((0.01, 0.04, 0.42, 0.82))
    fires = word_maps[image] == word
    seen = grid.paint(fires.astype(float), picture.shape[:2]) > 0
    here.imshow(
        np.where(seen[..., None], picture, 255 - (255 - picture) // 4), interpolation="nearest"
    )
    rows, columns = grid.centres()
    i, j = np.nonzero(fires)
    here.scatter(columns[j], rows[i], s=16, c=ORANGE, edgecolors="white", linewidths=0.6)
    here.set(xticks=[], yticks=[], title=f"Where word {word} fires")
    _draw_wall(figure.add_axes((0.45, 0.66, 0.54, 0.2)), wall, [word], [""])
    bars = figure.add_axes((0.52, 0.14, 0.46, 0.38))
    counts = np.bincount(word_maps[image].ravel(), minlength=len(wall.mean))
    bars.vlines(np.arange(len(counts)), 0, counts, color=BLUE, linewidth=1)
    bars.vlines(word, 0, counts[word], color=ORANGE, linewidth=4)
    bars.plot(word, counts[word], "v", color=ORANGE)
    bars.set(xlim=(-2, len(counts) + 1), ylim=(0, 1.2 * counts.max()), xlabel="word")
    bars.set_ylabel("cells of this image")
    bars.spines[["top", "right"]].set_visible(False)
    figure.text(0.43, 0.9, word_use(word_maps, image, word), fontsize=9)
    return figure
