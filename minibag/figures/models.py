"""How a trained model is judged: which classes it confuses, and why it chose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.figures.base import FOR_AGAINST, as_written


@as_written
def confusion_figure(counts: NDArray[np.integer], classes: Sequence[str]) -> Figure:
    """Return a confusion matrix: rows are the true classes, columns the predicted ones.

    Parameters
    ----------
    counts : (C, C) integer array
        ``counts[i, j]`` images of class i were called class j (as from scikit-learn).
    classes : sequence of str
        C names.

    Raises
    ------
    ValueError
        If the matrix is not C x C.
    """
    n = len(classes)
    if np.shape(counts) != (n, n):
        raise ValueError(f"{n} classes need a {n} x {n} matrix, got {np.shape(counts)}")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(3.6, 0.55 * n + 2)
    fig, ax = plt.subplots(figsize=(side + 1, side), layout="constrained")
    drawn = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[i, j] > 0.5 else "black"
            ax.text(j, i, f"{count}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(n), classes, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), classes)
    right = np.trace(counts) / max(counts.sum(), 1)
    title = f"{right:.0%} are right: they lie on the diagonal"
    ax.set(xlabel="predicted class", ylabel="true class", title=title)
    fig.colorbar(drawn, ax=ax, label="share of the true class")
    return fig


@as_written
def explanation(
    image: NDArray[np.uint8],
    evidence: NDArray[np.floating],
    target: str,
    scores: Mapping[str, float],
    top: int = 5,
) -> Figure:
    """Return an image, the evidence for one class painted on it, and its highest scores.

    Parameters
    ----------
    image : uint8 (H, W, 3)
    evidence : (H, W)
        Evidence for ``target`` at every pixel (`PatchGrid.paint`).
    target : str
        Class whose evidence is shown; one of ``scores``.
    scores : mapping from class name to logit
    top : int
        How many classes are drawn, best first; the target in any case.
    """
    fig, (left, middle, bars) = plt.subplots(
        1, 3, figsize=(10, 3.4), width_ratios=[1, 1.2, 1], layout="constrained"
    )
    left.imshow(image)
    left.set_title("image")
    bound = float(np.abs(evidence).max()) or 1.0
    middle.imshow(image.mean(-1), cmap="gray", vmin=-400, vmax=255)  # pale, so that evidence shows
    drawn = middle.imshow(evidence, cmap=FOR_AGAINST, vmin=-bound, vmax=bound, alpha=0.7)
    middle.set_title(f"evidence for {target}")
    for ax in (left, middle):
        ax.axis("off")
    fig.colorbar(drawn, ax=middle, label="for (+), against (-)", shrink=0.8)
    ranked = sorted(scores, key=lambda name: -scores[name])
    shown = ranked[:top] if target in ranked[:top] else [*ranked[: top - 1], target]
    colours = ["#b2182b" if name == target else "#767676" for name in shown]
    bars.barh(shown, [scores[name] for name in shown], color=colours)
    bars.axvline(0, color="black", lw=0.8)
    bars.invert_yaxis()
    bars.set(title=f"decided: {ranked[0]}", xlabel="logit (mean evidence)")
    return fig
