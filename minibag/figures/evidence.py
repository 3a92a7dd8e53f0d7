"""Pictures of a vote: images in a row, words, the table of votes, evidence on the image."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from minibag.figures.base import FOR_AGAINST

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]


def gallery(
    images: Sequence[NDArray], titles: Sequence[str], title: str, columns: int = 8
) -> Figure:
    """Return images side by side, ``columns`` in a row, each under its own title.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8 or (H, W) grey
        Sizes may differ.
    titles : sequence of str
        One for each image; may be empty strings.
    title : str
        What the figure says.

    Raises
    ------
    ValueError
        If there is not one title for each image.
    """
    if len(images) != len(titles) or not len(images):
        raise ValueError(f"got {len(images)} images and {len(titles)} titles; give one for each")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    side = min(9.5 / columns, 3.2)
    fig, axes = plt.subplots(
        rows, columns, squeeze=False, layout="constrained",
        figsize=(max(side * columns, 4), rows * (side + 0.3) + 0.4),
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, name in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray", interpolation="nearest")
        ax.set_title(name, fontsize=10)
    fig.suptitle(title, fontsize=12)
    return fig


def vote_table(votes: Floats, words: Sequence[str], classes: Sequence[str], title: str) -> Figure:
    """Return a table of votes: one row per class, one column per word, red for, blue against.

    Parameters
    ----------
    votes : (n_words, n_classes) array
    words, classes : sequences of str
        Names of the columns and rows; words may be empty strings where names would not fit.
    """
    fig, ax = plt.subplots(figsize=(9.5, 0.32 * len(classes) + 1.6), layout="constrained")
    bound = np.abs(votes).max() or 1
    drawn = ax.imshow(votes.T, cmap=FOR_AGAINST, vmin=-bound, vmax=bound, aspect="auto")
    ax.set_yticks(range(len(classes)), classes, fontsize=10)
    named = [k for k, word in enumerate(words) if word]
    ax.set_xticks(named, [words[k] for k in named], fontsize=9, rotation=30, ha="right")
    ax.set_title(title, fontsize=12)
    fig.colorbar(drawn, ax=ax, label="vote for (+), against (-)")
    return fig


def evidence_on_images(
    images: Sequence[Image], maps: Sequence[Floats], titles: Sequence[str], title: str
) -> Figure:
    """Return each image above its evidence, painted over a grey copy: red for, blue against.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
    maps : sequence of (H, W)
        Evidence per pixel (`PatchGrid.paint`), one colour scale for all, white at zero.
    titles : sequence of str
    title : str
    """
    n = len(images)
    fig, axes = plt.subplots(
        2, n, squeeze=False, figsize=(max(1.9 * n, 4), 4.4), layout="constrained"
    )
    bound = max(float(np.abs(m).max()) for m in maps) or 1.0
    for column, (image, evidence, name) in enumerate(zip(images, maps, titles, strict=True)):
        top, below = axes[:, column]
        top.imshow(image, interpolation="nearest")
        top.set_title(name, fontsize=10)
        drawn = overlay(below, image, evidence, bound)
        top.axis("off")
    bar = fig.colorbar(drawn, ax=axes[1], shrink=0.9, ticks=[-bound, 0, bound])
    bar.ax.set_yticklabels(["against", "0", "for"], fontsize=9)
    fig.suptitle(title, fontsize=12)
    return fig


def overlay(ax: Axes, image: Image, evidence: Floats, bound: float) -> AxesImage:
    """Draw evidence (H, W) over a pale grey copy of the image; return it for a colour bar."""
    ax.imshow(image.mean(-1), cmap="gray", vmin=-400, vmax=255, interpolation="nearest")
    ax.axis("off")
    return ax.imshow(evidence, cmap=FOR_AGAINST, vmin=-bound, vmax=bound, alpha=0.7)


def peek(image: Image, top: int, left: int, q: int, whole: bool) -> Figure:
    """Return a q x q window of the image, enlarged, beside the image it was cut from.

    The image itself stays covered unless ``whole``; its frame shows where the window lies.
    """
    fig, (window, place) = plt.subplots(1, 2, figsize=(6.4, 3.4), layout="constrained")
    window.imshow(image[top : top + q, left : left + q], interpolation="nearest")
    window.set_title(f"what a {q} x {q} window sees", fontsize=11)
    covered = np.full_like(image, 225)
    covered[top : top + q, left : left + q] = image[top : top + q, left : left + q]
    place.imshow(image if whole else covered, interpolation="nearest")
    place.add_patch(Rectangle((left - 0.5, top - 0.5), q, q, fill=False, ec="#d62728", lw=2))
    place.set_title("the whole picture" if whole else "where the window lies", fontsize=11)
    for ax in (window, place):
        ax.set(xticks=[], yticks=[])
    return fig
