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


def before_after(before: Words, after: Words, names: Sequence[str], title: str) -> Figure:
    """Draw one row for each word: its filter and favourite patches, before and after training."""
    rows, n = after.patches.shape[:2]
    figure, axes = plt.subplots(
        1, 4, figsize=(9.5, 0.44 * rows + 1), width_ratios=(1, n, 1, n), layout="constrained"
    )
    for words, when, (left, right) in ((before, "k-means", axes[:2]), (after, "trained", axes[2:])):
        _sheet(left, words.pictures, (rows, 1))
        _sheet(right, words.patches.reshape(-1, *words.patches.shape[2:]) / 255, (rows, n))
        left.set_title("filter", fontsize=10)
        right.set_title(f"{when}: patches it likes best", fontsize=10)
    axes[0].set_yticks((np.arange(rows) + 0.5) * (after.pictures.shape[1] + 1), names, fontsize=10)
    figure.suptitle(title)
    return figure


def _sheet(ax: Axes, pictures: Floats, shape: tuple[int, int]) -> None:
    """Lay pictures (K, p, p, 3) out in rows and columns with a white line between them."""
    sheet = montage(pictures, fill=[1, 1, 1], grid_shape=shape, padding_width=1, channel_axis=-1)
    ax.imshow(sheet, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def learning_curve(
    losses: Sequence[float], right: Sequence[int], n_test: int, level: float, title: str
) -> Figure:
    """Draw loss and test accuracy (95 % band) per epoch; ``level`` is the accuracy to beat."""
    figure, (left, ax) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(range(1, len(losses) + 1), losses, color=ORANGE, lw=2)
    left.set(
        xlabel="epoch", ylabel="cross-entropy", ylim=(0, None), title="loss on training images"
    )
    epochs = range(len(right))
    low, high = 100 * np.array([wilson_interval(count, n_test) for count in right]).T
    ax.fill_between(epochs, low, high, color=BLUE, alpha=0.2, label="95 % interval")
    ax.plot(epochs, 100 * np.array(right) / n_test, color=BLUE, lw=2, label="learned words")
    ax.axhline(100 * level, color="black", ls="--", lw=1, label="k-means words")
    ax.set(
        xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 101), title="accuracy on new images"
    )
    ax.legend(loc="lower right", fontsize=10)
    figure.suptitle(title)
    return figure
