"""Pictures of reading a BagNet: lists of patches, evidence on any scale, scores of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.evidence import Patch
from minibag.figures.base import FOR_AGAINST, as_written

BLUE, ORANGE = "#0072b2", "#d55e00"
Floats = NDArray[np.floating]


@as_written
def patch_lists(
    lists: Mapping[str, Sequence[Patch]], title: str, classes: Sequence[str] | None = None
) -> Figure:
    """Return a row of patches for each name, the strongest first, their evidence below.

    Parameters
    ----------
    lists : dict of name to patches, in the order of the rows
    title : what the figure says
    classes : names of the classes, to write beside each evidence which class the patch is from
    """
    columns = max(map(len, lists.values()))
    fig, axes = plt.subplots(
        len(lists), columns, squeeze=False, layout="constrained",
        figsize=(0.95 * columns + 1, 1.18 * len(lists) + 0.4),
    )  # fmt: skip
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for row, (name, patches) in zip(axes, lists.items(), strict=True):
        row[0].set_ylabel(name, fontsize=10, rotation=0, ha="right", va="center")
        for ax, patch in zip(row, patches, strict=False):
            ax.imshow(patch.crop, interpolation="nearest")
            of = f"\n{classes[patch.label]}" if classes is not None else ""
            ax.set_xlabel(f"{patch.value:+.0f}{of}", fontsize=9, labelpad=2)
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
def map_wall(
    image: NDArray[np.uint8], maps: Mapping[str, Floats], title: str, columns: int = 4
) -> Figure:
    """Return an image and maps of it, each on its own scale: red for, blue against, white zero.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    maps : dict of name to (h, w), of any resolution; a pixel of a coarse map is drawn large
    title : what the figure says
    """
    rows = -(-(len(maps) + 1) // columns)
    fig, axes = plt.subplots(
        rows, columns, squeeze=False, figsize=(2.35 * columns, 2.5 * rows + 0.4),
        layout="constrained",
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    axes.flat[0].imshow(image, interpolation="nearest")
    axes.flat[0].set_title("image", fontsize=10)
    for ax, (name, values) in zip(axes.flat[1:], maps.items(), strict=False):
        # A few loud pixels would leave the rest white: the top half percent share one colour.
        bound = float(np.quantile(np.abs(values), 0.995)) or 1.0
        ax.imshow(values, cmap=FOR_AGAINST, vmin=-bound, vmax=bound, interpolation="nearest")
        ax.set_title(name, fontsize=10)
    fig.suptitle(f"{title} (red for, blue against, white zero)", fontsize=12)
    return fig


@as_written
def scored(
    scores: Mapping[str, tuple[float, float, float]], chance: float, label: str, title: str
) -> Figure:
    """Return a dot with its interval for each name, and a line at chance.

    Parameters
    ----------
    scores : dict of name to (value, low, high), shares in 0..1; the first word of a name says
        which network it belongs to, and gives the colour
    chance : what a map that knows nothing scores
    label : of the horizontal axis
    title : what the figure says
    """
    fig, ax = plt.subplots(figsize=(7.5, 0.36 * len(scores) + 1.3), layout="constrained")
    first = next(iter(scores)).split()[0]
    for row, (name, (value, low, high)) in enumerate(scores.items()):
        mine = name.split()[0] == first
        colour, mark = (BLUE, "o") if mine else (ORANGE, "s")
        ax.plot([low, high], [row, row], color=colour, lw=3, solid_capstyle="round")
        ax.plot(value, row, mark, color=colour, ms=7)
        ax.text(high + 0.015, row, f"{value:.0%}", va="center", fontsize=10)
    ax.axvline(chance, color="black", ls="--", lw=1)
    ax.text(chance, len(scores) - 0.5, " chance", va="bottom", fontsize=10)
    ax.set(yticks=range(len(scores)), yticklabels=list(scores), ylim=(len(scores) - 0.4, -0.6))
    ax.set(xlim=(0, 1.12), xlabel=label)
    ax.set_title(title, fontsize=12)
    return fig
