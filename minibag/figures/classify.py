"""Figures of word classifiers: tuning, votes, the pyramid, Fisher vectors, the ladder."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.model_selection import GridSearchCV

from minibag.figures.base import as_written
from minibag.stats import wilson_interval

Floats = NDArray[np.floating]
RED, BLUE, GREY = "#b2182b", "#2166ac", "#767676"


@as_written
def tuning_curves(search: GridSearchCV, x: str, line: str) -> Figure:
    """Draw cross-validated accuracy (mean, standard error over folds) against parameter ``x``.

    One line per value of the parameter ``line``; both as named in ``search.cv_results_``.
    """
    found = search.cv_results_
    xs, lines = (np.array(found[f"param_{name}"], float) for name in (x, line))
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    values = np.unique(lines)
    colours = plt.colormaps["viridis"](np.linspace(0, 0.85, len(values)))
    for value, colour in zip(values, colours, strict=True):
        here = lines == value
        error = found["std_test_score"][here] / np.sqrt(search.n_splits_)
        label = f"{line.split('__')[-1]} = {value:g}"
        axes.errorbar(
            xs[here], found["mean_test_score"][here], error, marker="o", c=colour, label=label
        )
    axes.set(
        xscale="log",
        xlabel=x.split("__")[-1],
        ylabel="accuracy on held-out folds",
        title="Accuracy on the folds that were held out",
    )
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@as_written
def lucky_winner(chosen_on: Floats, fresh: Floats) -> Figure:
    """Draw accuracy (M,) of M settings on the set they were chosen by, and on fresh images."""
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    best = int(np.argmax(chosen_on))
    axes.scatter(chosen_on, fresh, s=22, color=GREY, alpha=0.6, label="one setting each")
    axes.scatter(chosen_on[best], fresh[best], s=90, color=RED, zorder=3, label="the winner")
    limits = (min(chosen_on.min(), fresh.min()) - 0.02, chosen_on.max() + 0.02)
    axes.plot(limits, limits, color="black", lw=0.8, label="equal")
    axes.set(
        xlim=limits,
        ylim=limits,
        xlabel="accuracy on the test set used for choosing",
        ylabel="accuracy on fresh images",
        title="Where it was chosen, and on fresh images",
    )
    axes.legend(frameon=False, loc="upper left")
    return figure


@as_written
def word_votes(votes: Floats, examples: NDArray[np.uint8], title: str) -> Figure:
    """Draw the votes (R,) of R words for one class, and beside each the patches it stands for.

    ``examples`` (R, M, p, p, 3): patches that fall on the word.
    """
    rows, columns, side = examples.shape[:3]
    framed = np.pad(examples, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    mosaic = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (side + 2), columns * (side + 2), 3)
    # A little more width than the square patches need, so that bars and strips share their height.
    figure, (bars, strips) = plt.subplots(
        1,
        2,
        figsize=(4 + 0.65 * columns, 0.55 * rows + 0.9),
        width_ratios=[3.5, 0.65 * columns],
        layout="constrained",
    )
    bars.barh(np.arange(rows), votes, color=np.where(votes > 0, RED, BLUE))
    bars.axvline(0, color="black", lw=0.8)
    bars.set(ylim=(rows - 0.5, -0.5), yticks=[], xlabel="vote of one patch (red: for)")
    strips.imshow(mosaic, interpolation="nearest", extent=(0, columns, rows - 0.5, -0.5))
    strips.set_anchor("W")
    strips.set(xticks=[], yticks=[], xlabel="patches that fall on this word")
    strips.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure


@as_written
def displacements(words: Floats, descriptors: Mapping[str, Floats]) -> Figure:
    """Draw words (K, 2), the descriptors (n, 2) of each image, and their mean shift per word."""
    figure, axes = plt.subplots(
        1, len(descriptors), figsize=(8, 3.6), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (name, points) in zip(axes, descriptors.items(), strict=True):
        nearest = np.linalg.norm(points[:, None] - words, axis=-1).argmin(1)
        axis.scatter(*points.T, s=16, c=[plt.colormaps["tab10"](k) for k in nearest])
        axis.scatter(*words.T, marker="x", s=60, c="black")
        for k, word in enumerate(words):
            shift = points[nearest == k].mean(0) - word
            axis.annotate("", word + shift, word, arrowprops={"arrowstyle": "->", "lw": 2})
        axis.set(title=f"{name}: counts {np.bincount(nearest, minlength=len(words)).tolist()}")
        axis.set(xlabel="first entry of the descriptor", aspect="equal")
    axes[0].set_ylabel("second entry")
    figure.suptitle("Two images, the same words: counts and mean shifts")
    return figure


@as_written
def measured_ladder(scores: Mapping[str, tuple[int, int]], chance: float, title: str) -> Figure:
    """Draw the accuracy of every method with its 95 % interval, from (right, total) counts."""
    figure, axes = plt.subplots(figsize=(7.5, 0.42 * len(scores) + 1.3), layout="constrained")
    for row, (right, total) in enumerate(scores.values()):
        low, high = wilson_interval(right, total)
        axes.plot([low, high], [row, row], color=BLUE, lw=3, solid_capstyle="round")
        axes.plot(right / total, row, "o", color=BLUE, ms=8)
        axes.text(high + 0.015, row, f"{right / total:.0%}", va="center")
    axes.axvline(chance, color="black", ls="--", lw=1)
    axes.text(chance, len(scores) - 0.4, " chance", va="bottom")
    axes.set(yticks=range(len(scores)), yticklabels=list(scores), ylim=(len(scores) - 0.4, -0.6))
    axes.set(xlim=(0, 1.12), xlabel="accuracy on test images (bar: 95 % interval)", title=title)
    return figure
