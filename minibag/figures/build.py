"""Figures of lesson 07: where a network pays, and how its training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.figures.base import as_written
from minibag.stats import wilson_interval

COLOURS = ("#767676", "#0b6e8a", "#e08214")
ORANGE, BLUE = "#b35806", "#2166ac"


@as_written
def bills(costs: Mapping[str, NDArray[np.floating]], parts: Sequence[str]) -> Figure:
    """Draw what the parts of networks cost, for up to three networks.

    Parameters
    ----------
    costs : name of the network -> (2, P): millions of parameters, billions of multiply-adds
    parts : P names
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3), layout="constrained")
    width = 0.8 / len(costs)
    for k, (name, both) in enumerate(costs.items()):
        places = np.arange(len(parts)) + width * (k - (len(costs) - 1) / 2)
        for axis, values in zip(axes, both, strict=True):
            label = f"{name}: {values.sum():.1f} in all"
            axis.bar(places, values, width, color=COLOURS[k], label=label)
    for axis, unit in zip(axes, ("parameters (millions)", "multiply-adds (billions)"), strict=True):
        axis.set(ylabel=unit)
        axis.set_xticks(range(len(parts)), parts)
        axis.legend(frameon=False, fontsize=10)
    figure.suptitle("Where are the parameters, and where the multiply-adds?")
    return figure


@as_written
def learning_curve(history: Sequence[Mapping[str, Any]], n_val: int, title: str) -> Figure:
    """Draw what `minibag.training.fit` returned: loss, and accuracy (in %) with its 95 % band.

    Parameters
    ----------
    history : one row an epoch, with loss, train_accuracy, val_loss and val_accuracy
    n_val : images behind val_accuracy
    title : what the figure says
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axis, key, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        learned = "loss" if key == "loss" else "train_accuracy"
        for row, name, colour in (
            (learned, "training", ORANGE),
            (f"val_{key}", "new images", BLUE),
        ):
            values = [scale * epoch[row] for epoch in history]
            axis.plot(epochs, values, "o-", color=colour, lw=2, label=name)
        axis.set(xlabel="epoch", ylim=(0, None), xticks=epochs)
    bands = [wilson_interval(round(row["val_accuracy"] * n_val), n_val) for row in history]
    right.fill_between(epochs, *(100 * np.array(bands)).T, color=BLUE, alpha=0.2)
    left.set_ylabel("cross-entropy")
    right.set(ylabel="accuracy (%), band: 95 % interval", ylim=(0, 101))
    left.legend(frameon=False, fontsize=10)
    figure.suptitle(title)
    return figure
