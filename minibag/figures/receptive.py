"""Pictures of how far a unit sees: cones through a stack, squares on an image, maps of a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from minibag.figures.base import as_written
from minibag.nets.field import PIXEL, ReceptiveField

Floats = NDArray[np.floating]
Layer = tuple[int, int, int, int]  # kernel, stride, padding, dilation
Levels = Sequence[tuple[ReceptiveField, int]]
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "0.75"
STYLES = ((ORANGE, "-"), (BLUE, "--"), ("#009e73", ":"))


def maps_of(layers: Sequence[Layer], side: int) -> Iterator[tuple[ReceptiveField, int]]:
    """Yield the field and the side of every map of a stack: the pixels first, then each layer's.

    Raises
    ------
    ValueError
        If a map has no cell left, because a unit would see more than the ``side`` pixels.
    """
    field, n = PIXEL, side
    yield field, n
    for kernel, stride, padding, dilation in layers:
        field = field.through(kernel, stride, padding, dilation)
        n = (n + 2 * padding - (kernel - 1) * dilation - 1) // stride + 1
        if n < 1:
            raise ValueError(f"units see {field.size} pixels, the picture has {side}; take less")
        yield field, n


@as_written
def cone(image: NDArray, layers: Sequence[Layer], names: Sequence[str], unit: int) -> Figure:
    """Return what one unit sees: as a cone through the layers, and as a square on the image.

    Parameters
    ----------
    image : (S, S, 3) uint8
    layers : (kernel, stride, padding, dilation) of each layer, first to last
    names : one for each layer
    unit : column of the unit in the last map; its row is the middle one

    Raises
    ------
    ValueError
        If the stack does not fit the image.
    """
    levels = list(maps_of(layers, len(image)))
    field, n = levels[-1]
    fig = plt.figure(figsize=(9.6, 3.9), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1.75, 1))
    _draw_cone(left, levels, layers, unit)
    left.set_yticks(range(len(levels)), ["pixels", *names], fontsize=10)
    left.set_xlabel("column (pixels)")
    right.imshow(image, interpolation="nearest")
    beside = [k for k in (unit + 1, unit - 1) if 0 <= k < n][:1]
    for column in (*beside, unit):  # the unit lies on top
        x, y = (field.offset + field.stride * k - 0.5 for k in (column, n // 2))
        _square(right, x, y, field.size, *STYLES[column != unit])
    right.set(xlabel="dashed: its neighbour" if beside else "", xticks=[], yticks=[])
    right.set_facecolor("0.85")
    right.axis("image")
    seen, step = f"{field.size} x {field.size} pixels", f"{field.stride} px further"
    fig.suptitle(f"The unit sees {seen}; its neighbour as many, {step}", fontsize=12)
    return fig


def _square(ax: Axes, x: float, y: float, q: int, colour: str, line: str, label: str = "") -> None:
    ax.add_patch(Rectangle((x, y), q, q, fill=False, ec=colour, lw=2.2, ls=line, label=label))


def _draw_cone(ax: Axes, levels: Levels, layers: Sequence[Layer], unit: int) -> None:
    """Draw each map as a row of dots: those that the unit needs in colour, padded zeros open."""
    needed = {unit}
    for level, (field, n) in reversed(list(enumerate(levels))):
        inside = {i for i in needed if 0 <= i < n}
        groups = (range(n), GREY, GREY), (inside, ORANGE, ORANGE), (needed - inside, "w", ORANGE)
        for cells, face, edge in groups:
            x, y = _middles(field, list(cells), level).T
            ax.scatter(x, y, 14, c=face, edgecolors=edge, marker="s", zorder=2)
        if level:
            kernel, stride, padding, dilation = layers[level - 1]
            taps = [(i, i * stride - padding + j * dilation) for i in inside for j in range(kernel)]
            above, below = (list(ends) for ends in zip(*taps, strict=True))
            ends = _middles(field, above, level), _middles(levels[level - 1][0], below, level - 1)
            lines = list(np.stack(ends, 1))
            ax.add_collection(LineCollection(lines, colors=ORANGE, alpha=0.3, lw=0.8))
            needed = set(below)


def _middles(field: ReceptiveField, cells: list[int], level: int) -> Floats:
    """Return x and y (n, 2) at which cells of a map are drawn: x is the middle of their field."""
    x = field.offset + (field.size - 1) / 2 + field.stride * np.array(cells)
    return np.stack([x, np.full(len(cells), level)], 1)


@as_written
def squares(
    images: Sequence[NDArray], titles: Sequence[str], sides: Mapping[str, int], title: str
) -> Figure:
    """Return images (H, W, 3), each under its title, with squares around their middle.

    ``sides`` gives up to three squares in pixels by name; they may reach beyond the image.
    """
    n = len(images)
    fig, axes = plt.subplots(
        1, n, squeeze=False, figsize=(max(3.1 * n, 5), 3.9), layout="constrained"
    )
    for ax, image, name in zip(axes[0], images, titles, strict=True):
        ax.imshow(image, interpolation="nearest")
        x, y = np.array(image.shape[1::-1]) / 2 - 0.5  # the middle
        for (label, q), style in zip(sides.items(), STYLES, strict=False):
            _square(ax, x - q / 2, y - q / 2, q, *style, label)
        reach = max(*sides.values(), *image.shape[:2]) / 2 + 2
        ax.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach), xticks=[], yticks=[])
        ax.set_title(name, fontsize=10)
        ax.set_facecolor("0.85")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=10)
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
def maps(
    values: Mapping[str, Floats], label: str, title: str, centres: Sequence[Floats] = ()
) -> Figure:
    """Return maps (h, w) side by side under their names, on one colour scale called ``label``.

    ``centres`` are the (row, column) of each map's centre of mass, marked beside its middle.
    """
    everything = np.concatenate([shown.ravel() for shown in values.values()])
    scale = Normalize(everything.min(), everything.max())
    fig = plt.figure(figsize=(3.2 * len(values) + 0.6, 3.3), layout="constrained")
    axes = fig.subplots(1, len(values), squeeze=False)[0]
    for ax, (name, shown) in zip(axes, values.items(), strict=True):
        drawn = ax.imshow(shown, norm=scale, cmap="viridis", interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(name, fontsize=10)
    fig.colorbar(drawn, ax=axes, shrink=0.8, label=label)
    for ax, shown, centre in zip(axes, values.values(), centres, strict=False):
        ax.plot(*(np.array(shown.shape[::-1]) - 1) / 2, "w+", ms=16, mew=2, label="middle")
        ax.plot(*centre[::-1], "o", color=ORANGE, ms=9, mec="white", label="centre of mass")
        ax.legend(fontsize=9, loc="lower right", facecolor="0.6")
    fig.suptitle(title, fontsize=12)
    return fig
