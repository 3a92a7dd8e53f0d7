"""What scrambling does to models: accuracy against the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from minibag.experiments import ScrambledAccuracy
from minibag.figures.base import as_written

# Colour, line and marker differ from model to model: any one of them tells curves apart.
STYLES = (
    ("#0072b2", "-", "o"),
    ("#d55e00", "--", "s"),
    ("#007a5a", "-.", "^"),
    ("#b0488a", ":", "D"),
    ("#1a1a1a", "-", "v"),
    ("#3d8ec4", "--", "P"),
    ("#a66f00", "-.", "X"),
    ("#6b3fa0", ":", "*"),
)
GREY = "#595959"


@as_written
def accuracy_curves(
    rows: Mapping[str, Sequence[ScrambledAccuracy]], chance: float, title: str
) -> Figure:
    """Return accuracy against the grid, one curve a model, bars for the 95 % intervals.

    Points of one grid stand side by side, so that their bars can be told apart.

    Parameters
    ----------
    rows : what `accuracy_by_grid` returned, by name of the model; at most eight
    chance : accuracy of a guess, 0 to 1
    title : what the figure says

    Raises
    ------
    ValueError
        If there are no curves or more than eight, or one has no points.
    """
    if not 1 <= len(rows) <= len(STYLES) or not all(rows.values()):
        raise ValueError(f"give 1 to {len(STYLES)} curves with points, got {len(rows)}: {[*rows]}")
    fig, ax = plt.subplots(figsize=(9.5, 4.8), layout="constrained")
    ends = {}
    for k, ((name, points), style) in enumerate(zip(rows.items(), STYLES, strict=False)):
        colour, line, marker = style
        shift = 2 ** (0.045 * (k - (len(rows) - 1) / 2))
        x = [point.grid * shift for point in points]
        low, value, high = (
            100 * np.array([getattr(point, key) for point in points])
            for key in ("low", "accuracy", "high")
        )
        # Rounding may put the end of an interval a hair on the wrong side of 0 % or 100 %.
        bars = np.maximum([value - low, high - value], 0)
        ax.errorbar(
            x, value, bars, color=colour, ls=line, marker=marker, ms=6, lw=1.8, capsize=2,
            elinewidth=1.2, label=name,
        )  # fmt: skip
        ends[name] = (x[-1], float(value[-1]), colour)
    grids = sorted({point.grid for points in rows.values() for point in points})
    ax.axhline(100 * chance, color=GREY, ls=(0, (1, 2)), lw=1.5)
    ax.annotate("chance", (0, 100 * chance), (4, 4), fontsize=10, color=GREY,
                xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xticks(grids, [f"{grid} x {grid}" for grid in grids])
    ax.set(ylim=(0, 102), xlabel="cells the image is cut into", ylabel="right answers (%)")
    heights = _apart([y for _, y, _ in ends.values()], 5.2)
    for (name, (x_end, y, colour)), height in zip(ends.items(), heights, strict=True):
        ax.annotate(
            name, (x_end, y), (1.02, height), textcoords=("axes fraction", "data"), color=colour,
            fontsize=10.5, va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.7, "relpos": (0, 0.5)},
        )  # fmt: skip
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize=12)
    return fig


def _apart(heights: Sequence[float], gap: float) -> NDArray[np.floating]:
    """Return heights moved as little as possible to be ``gap`` apart, none below half a gap."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(order))
    result = np.empty(len(order))
    result[order] = isotonic_regression(np.asarray(heights)[order] - steps, y_min=gap / 2) + steps
    return result
