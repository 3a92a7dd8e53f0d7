"""Pictures of a vote: images in a row, words, the table of votes, evidence on the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from skimage.util import montage

from minibag.figures.base import FOR_AGAINST, as_written

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]
PAIR = ("#0b6e8a", "#e08214")


@as_written
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
    height = side * max(np.shape(image)[0] / np.shape(image)[1] for image in images)
    fig, axes = plt.subplots(
        rows, columns, squeeze=False, layout="constrained",
        figsize=(max(side * columns, 4), rows * (height + 0.3) + 0.4),
    )  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    for ax, image, name in zip(axes.flat, images, titles, strict=False):
        ax.imshow(image, cmap="gray", interpolation="nearest")
        ax.set_title(name, fontsize=10)
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
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


@as_written
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
    fig, axes = plt.subplots(2, n, squeeze=False, figsize=(1.8 * n + 1, 4.2), layout="constrained")
    # One patch may shout: the strongest half percent shares the darkest colour.
    bound = float(np.quantile(np.abs(np.stack(maps)), 0.995)) or 1.0
    scale = ScalarMappable(Normalize(-bound, bound), FOR_AGAINST)
    for column, (image, evidence, name) in enumerate(zip(images, maps, titles, strict=True)):
        top, below = axes[:, column]
        top.imshow(image, interpolation="nearest")
        top.set_title(name, fontsize=10)
        below.imshow(image.mean(-1), cmap="gray", vmin=-300, vmax=255, interpolation="nearest")
        strength = np.clip(1.3 * np.abs(evidence) / bound, 0, 0.9)
        below.imshow(scale.to_rgba(evidence), alpha=strength, interpolation="nearest")
        top.axis("off")
        below.axis("off")
    bar = fig.colorbar(scale, ax=axes, shrink=0.5, anchor=(0, 0), ticks=[-bound, 0, bound])
    bar.ax.set_yticklabels(["against", "0", "for"], fontsize=9)
    fig.suptitle(title, fontsize=12)
    return fig


@as_written
def wall(rows: Mapping[str, Floats], title: str) -> Figure:
    """Return patches as a wall: one labelled row for each name.

    Parameters
    ----------
    rows : dict of (n, q, q) arrays
        Grey patches by name, the same number in each row; each is stretched to full contrast.
    title : str
    """
    patches = np.stack(list(rows.values()))
    q, shape = patches.shape[-1], patches.shape[:2]
    strongest = np.abs(patches).max((2, 3), keepdims=True)
    sheet = montage(
        (patches / np.maximum(strongest, 1e-9)).reshape(-1, q, q),
        fill=1.0, grid_shape=shape, padding_width=1,
    )  # fmt: skip
    fig, ax = plt.subplots(figsize=(7.5, 0.45 * shape[0] + 0.8), layout="constrained")
    ax.imshow(sheet, cmap="gray", vmin=-1, vmax=1, interpolation="nearest", aspect="auto")
    ax.set_yticks((q + 1) * (np.arange(shape[0]) + 0.5), list(rows), fontsize=10)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=12)
    return fig


@as_written
def two_bags(above: Floats, below: Floats, names: tuple[str, str], title: str) -> Figure:
    """Return two histograms of words, the second one hanging below the first.

    Parameters
    ----------
    above, below : (n_words,)
        Shares in 0..1, shown in percent.
    names : (str, str)
        Whose bags they are.
    title : str
    """
    fig, ax = plt.subplots(figsize=(9, 3.2), layout="constrained")
    for bag, sign, name, colour in zip((above, below), (1, -1), names, PAIR, strict=True):
        ax.bar(range(len(bag)), sign * 100 * bag, width=0.9, color=colour, label=name)
    ax.axhline(0, color="black", lw=0.8)
    ax.yaxis.set_major_formatter(lambda percent, _: f"{abs(percent):g}")
    ax.set(xlabel="word", ylabel="share of the patches (%)", xlim=(-1, len(above)))
    ax.set_title(title, fontsize=12)
    ax.legend(fontsize=10)
    return fig


@as_written
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
