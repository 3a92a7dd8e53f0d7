"""Pictures of local features: gradients, roses of a descriptor, key points, matches, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.figures.base import as_written

Floats = NDArray[np.floating]
BLUE, ORANGE, YELLOW = "#0072b2", "#d55e00", "#ffb000"
STYLES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), ("#009e73", ":", "^"))


@as_written
def gradient_pictures(patch: Floats, dx: Floats, dy: Floats) -> Figure:
    """Return a grey patch (H, W), its two gradients, and its arrows; mid grey is no change."""
    fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained")
    bound = max(np.abs(dx).max(), np.abs(dy).max())
    for ax, values, low, high, title in (
        (axes[0], patch, None, None, "the patch"),
        (axes[1], dx, -bound, bound, "dx: white where it gets\nbrighter to the right"),
        (axes[2], dy, -bound, bound, "dy: white where it gets\nbrighter upwards"),
        (axes[3], patch, None, None, "both: arrows point\nto the brighter side"),
    ):
        ax.imshow(values, cmap="gray", vmin=low, vmax=high)
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, fontsize=10)
    axes[3].quiver(dx, dy, color=ORANGE, angles="uv", pivot="mid", width=0.009)
    return fig


@as_written
def glyphs(patches: Floats, descriptors: Floats, names: Sequence[str], title: str) -> Figure:
    """Return grey patches (n, H, W) above their descriptors (n, 128), drawn as 4 x 4 roses.

    A petal points to the brighter side; its length is the entry, on one scale for all.
    """
    n, side = len(patches), 2.7 if len(patches) < 4 else 2.0
    size = (side * n, 2 * side + 0.7)
    fig, axes = plt.subplots(2, n, squeeze=False, figsize=size, layout="constrained")
    turn = np.arange(8)[:, None] * np.pi / 4 + np.array([0, 0.28, 0, -0.28])
    radius = np.array([0, 0.3, 0.48, 0.3])  # a kite: root, side, tip, side
    petals = np.stack([radius * np.cos(turn), -radius * np.sin(turn)], axis=-1)  # (8, 4, 2)
    places = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1)  # (row, column) -> x, y
    for j, (top, below) in enumerate(axes.T):
        top.imshow(patches[j], cmap="gray", vmin=0, vmax=patches.max())
        top.set_title(names[j], fontsize=10)
        lengths = descriptors[j].reshape(4, 4, 8, 1, 1) / descriptors.max()
        kites = (places[:, :, None, None] + lengths * petals).reshape(-1, 4, 2)
        below.add_collection(PolyCollection(list(kites), facecolors=BLUE))
        below.set(xlim=(-0.5, 3.5), ylim=(3.5, -0.5), aspect="equal")
        below.hlines([0.5, 1.5, 2.5], -0.5, 3.5, color="0.8", lw=0.8)
        below.vlines([0.5, 1.5, 2.5], -0.5, 3.5, color="0.8", lw=0.8)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
def bars(series: Mapping[str, Floats], xlabel: str, ylabel: str, title: str) -> Figure:
    """Return one bar chart below the other, for equally long lists, each under its name."""
    fig, axes = plt.subplots(
        len(series), 1, squeeze=False, sharex=True, sharey=True, layout="constrained",
        figsize=(8.5, 0.9 + 1.4 * len(series)),
    )  # fmt: skip
    for ax, (name, values) in zip(axes[:, 0], series.items(), strict=True):
        ax.bar(np.arange(len(values)), values, color=BLUE)
        ax.set_title(name, fontsize=10, loc="left")
        ax.set_ylabel(ylabel)
    axes[-1, 0].set_xlabel(xlabel)
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
def key_points(image: Floats, positions: Floats, sigmas: Floats, title: str) -> Figure:
    """Return a grey photograph with its key points (n, 2), as circles of radius 2 sigma.

    Positions are (row, column); sigmas (n,) are the blurs at which they were found, in pixels.
    """
    fig, ax = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
    _photograph(ax, image, greys=48)
    for (row, column), sigma in zip(positions, sigmas, strict=True):
        ax.add_patch(plt.Circle((column, row), 2 * sigma, fill=False, ec=ORANGE, lw=1))
    ax.set_title(title, fontsize=12)
    return fig


@as_written
def matches(views: Sequence[Floats], ends: Sequence[Floats], good: NDArray, title: str) -> Figure:
    """Return two grey views side by side, with lines for all bad matches and each third good one.

    ``ends`` holds the matched places (n, 2) as (row, column) in each view; ``good`` is (n,) bool,
    and bad matches are dashed.
    """
    fig, ax = plt.subplots(figsize=(7.2, 2.5), layout="constrained")
    _photograph(ax, np.hstack(list(views)), greys=9)
    ax.set_title(title, fontsize=12)
    drawn = np.concatenate([np.flatnonzero(good)[::3], np.flatnonzero(~good)])
    for k in drawn:
        colour, line = ("#56b4e9", "-") if good[k] else (YELLOW, "--")
        columns = ends[0][k, 1], ends[1][k, 1] + views[0].shape[1]
        rows = ends[0][k, 0], ends[1][k, 0]
        ax.plot(columns, rows, line, color=colour, lw=0.9 if good[k] else 1.4)
    return fig


def _photograph(ax: Axes, grey: Floats, greys: int) -> None:
    """Draw (H, W) in few greys, without smoothing: so it stays small in a stored notebook."""
    levels = np.round(grey * (greys - 1))
    ax.imshow(levels, cmap="gray", vmin=0, vmax=greys - 1, interpolation="nearest")
    ax.set(xticks=[], yticks=[], xlim=(-0.5, grey.shape[1] - 0.5), ylim=(grey.shape[0] - 0.5, -0.5))


@as_written
def curves(
    panels: Mapping[str, tuple[Floats, Mapping[str, Floats]]], ylabel: str, title: str
) -> Figure:
    """Return line charts, three in a row: label of the x axis -> its values, and named curves."""
    rows, columns = -(-len(panels) // 3), min(len(panels), 3)
    fig, axes = plt.subplots(
        rows, columns, squeeze=False, sharey=True, layout="constrained",
        figsize=(max(2.7 * columns, 5.4), 2 * rows + 0.6),
    )  # fmt: skip
    for ax, (xlabel, (x, lines)) in zip(axes.flat, panels.items(), strict=True):
        for (name, y), (colour, line, marker) in zip(lines.items(), STYLES, strict=False):
            ax.plot(x, y, line, color=colour, marker=marker, ms=4, label=name)
        ax.set_xlabel(xlabel)
        ax.grid(alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    axes[0, 0].legend(fontsize=9)
    fig.suptitle(title, fontsize=12)
    return fig
