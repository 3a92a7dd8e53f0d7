"""The two pictures of the course as a whole: its map, and the ladder of accuracies."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

from minibag.figures.base import as_written
from minibag.results import RESULTS

LESSONS = (
    ("Start here", "Counting evidence"),
    ("Local features", "Visual words", "Classify with words"),
    ("Learning the words", "How far does\na unit see?", "Build a BagNet", "Train one\nfor real"),
    ("Reading a BagNet", "Scrambled\nimages", "Do ordinary\nCNNs bag?", "Beyond the bag"),
)
PARTS = ("Begin", "Words from SIFT", "Learned words", "Questions to a bag")
READY = range(11)  # lessons that can be read
COLOURS = ("#595959", "#0b6e8a", "#8a4b08", "#6b3fa0")  # dark enough for white text
IDEA = ("images", "patches", "evidence", "bag", "class")
COLUMNS = (120, 141)  # where the two columns beside the ladder end, in percent of its width
NO_BAG, SIFT, LEARNED = "sees the whole image", "bag of SIFT words", "bag of learned words"
KINDS = {SIFT: COLOURS[1], LEARNED: COLOURS[2], NO_BAG: "#6e6e6e"}
RUNGS = {  # rung: its name in the recorded results, and what kind of model it is
    "tiny images + nearest neighbour": ("tiny images, 1-NN", NO_BAG),
    "bag of words + nearest neighbour": ("histogram 400, 1-NN", SIFT),
    "bag of words + linear": ("histogram 400, linear", SIFT),
    "+ spatial pyramid": ("pyramid 400, linear", SIFT),
    "Fisher vectors": ("Fisher 64, linear", SIFT),
    "best of the word models": ("best: Fisher 64 of shape + colour", SIFT),
    "learned words, 64 px": ("learned words 128, linear", LEARNED),
    "BagNet-9, 64 px": ("class-size BagNet-9", LEARNED),
    "ResNet, 64 px": ("class-size ResNet", NO_BAG),
    "BagNet-9, 96 px": ("BagNet-9 of width 32", LEARNED),
    "BagNet-17, 96 px": ("BagNet-17 of width 32", LEARNED),
    "BagNet-33, 96 px": ("BagNet-33 of width 32", LEARNED),
    "BagNet-9": ("BagNet-9", LEARNED),
    "BagNet-17": ("BagNet-17", LEARNED),
    "BagNet-33": ("BagNet-33", LEARNED),
    "ResNet-50": ("ResNet-50", NO_BAG),
}


class Rung(NamedTuple):
    """What was recorded of a rung.

    Attributes
    ----------
    accuracy, low, high : float
        Share of test images named correctly, and its 95 % interval, all in [0, 1].
    parameters : int
        How many numbers it learned or keeps.
    patch_size : int, list of int or None
        Side of its patches in pixels; several sides; None if it sees the whole image.
    """

    accuracy: float
    low: float
    high: float
    parameters: int
    patch_size: int | list[int] | None


@as_written
def course_map(ready: Collection[int] = READY) -> Figure:
    """Return the map of the course: one row per part, one card per lesson.

    Parameters
    ----------
    ready : collection of int
        Numbers of the lessons that are there; the others are drawn dashed, as still to come.
    """
    fig, ax = plt.subplots(figsize=(9.5, 5.4), layout="constrained")
    ax.set(xlim=(-0.95, 4.05), ylim=(-3.7, 1.25), title="One idea, thirteen lessons")
    ax.axis("off")
    for k, step in enumerate(IDEA):
        ax.text(-0.45 + k, 0.95, step, ha="center", va="center", fontsize=13, fontweight="bold")
        if k:
            _arrow(ax, (-0.78 + k - 0.35, 0.95), (-0.78 + k, 0.95))
    number = 0
    for row, (part, titles, colour) in enumerate(zip(PARTS, LESSONS, COLOURS, strict=True)):
        ax.text(-0.12, -row, part, ha="right", va="center", color=colour, fontsize=11, wrap=True)
        for column, title in enumerate(titles):
            _card(ax, column, -row, number, title, colour, number in ready)
            number += 1
    ax.text(3.92, -1, "dashed: still to come", fontsize=9, ha="right", va="center")
    return fig


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333", "lw": 1.5})


def _card(
    ax: Axes, column: float, y: float, number: int, title: str, colour: str, ready: bool
) -> None:
    face, edge, ink = (colour, colour, "white") if ready else ("white", colour, colour)
    style = "solid" if ready else "dashed"
    box = "round,pad=0,rounding_size=0.06"
    ax.add_patch(
        FancyBboxPatch(
            (column, y - 0.34), 0.92, 0.68, boxstyle=box, fc=face, ec=edge, ls=style, lw=1.2
        )
    )
    ax.text(column + 0.06, y + 0.18, f"{number:02d}", color=ink, fontsize=10, va="center")
    ax.text(column + 0.46, y - 0.07, title, color=ink, fontsize=10, ha="center", va="center")


def measured(results: Path = RESULTS) -> dict[str, Rung]:
    """Return what was recorded of every rung that was measured; say so if that is nothing.

    Parameters
    ----------
    results : folder, by default that of the course
        Its files ``*_ladder.json`` hold ``{"rungs": {name: row}}``, as the programs in
        ``benchmarks`` write them. A folder without any gives an empty dict: nothing measured.
    """
    if not results.exists():
        print("The measurements of the course are not here: all rungs are still to come.")
    rows = {
        name: row
        for path in sorted(results.glob("*_ladder.json"))
        for name, row in json.loads(path.read_text())["rungs"].items()
    }
    return {rung: _recorded(rows[name]) for rung, (name, _) in RUNGS.items() if name in rows}


def _recorded(row: dict[str, Any]) -> Rung:
    low, high = row["interval"] if "interval" in row else (row["low"], row["high"])
    return Rung(row["accuracy"], low, high, row["parameters"], row["patch_size"])


@as_written
def ladder(rungs: Mapping[str, Rung], data: str, classes: int) -> Figure:
    """Return the accuracy ladder of the course from chance (below) to a ResNet-50 (above).

    Each rung has its accuracy with its 95 % interval, the size of its patches, and its parameters.

    Parameters
    ----------
    rungs : dict
        What was recorded, as `measured` gives it; a rung that is not there is 'to come'.
    data : str
        What the accuracies were measured on; stands in the title.
    classes : int
        Number of classes: chance is one of them.

    Raises
    ------
    ValueError
        If a key is not a rung, or accuracy and interval are not 0 <= low <= accuracy <= high <= 1.
    """
    for name, rung in rungs.items():
        if name not in RUNGS or not 0 <= rung.low <= rung.accuracy <= rung.high <= 1:
            raise ValueError(f"{name!r}: {rung} is no accuracy in its interval of {list(RUNGS)}")
    fig, ax = plt.subplots(figsize=(8.6, 6.2), layout="constrained")
    ax.barh(0, 100 / classes, color="#c8c8c8", height=0.7)
    ax.text(100 / classes + 1, 0, f"{100 / classes:.0f} %", va="center", fontsize=10)
    size = ""
    for y, (name, (_, kind)) in enumerate(RUNGS.items(), 1):
        if size != (size := name.partition(", ")[2]):  # other images: a line between them
            ax.axhline(y - 0.5, color="#8a8a8a", lw=0.8, ls=":")
        if name in rungs:
            _rung(ax, y, rungs[name], KINDS[kind])
        else:
            ax.text(1, y, "to come", va="center", fontsize=10, color="#767676", style="italic")
    for x, head in zip(COLUMNS, ("patch", "parameters"), strict=True):
        ax.text(x, len(RUNGS) + 0.9, head, ha="right", va="center", fontsize=10, color="#595959")
    ax.set_yticks(range(len(RUNGS) + 1), ["chance", *RUNGS], fontsize=10)
    ax.set(xlim=(0, 100), ylim=(-0.6, len(RUNGS) + 0.6), xticks=range(0, 101, 20))
    ax.set(xlabel="test images named correctly (%), with 95 % interval")
    ax.set_title(f"How far does each idea climb? ({data})", pad=22)
    ax.legend(handles=[Patch(color=c, label=k) for k, c in KINDS.items()], loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
    return fig


def _rung(ax: Axes, y: int, rung: Rung, colour: str) -> None:
    """Draw the bar of a rung with its interval, and what it is made of in two columns."""
    value, low, high = 100 * rung.accuracy, 100 * rung.low, 100 * rung.high
    ax.barh(y, value, color=colour, height=0.7)
    ax.errorbar(value, y, xerr=[[value - low], [high - value]], color="black", capsize=3, lw=1.2)
    ax.text(low - 1, y, f"{value:.0f} %", ha="right", va="center", fontsize=10, color="white")
    for x, text in zip(COLUMNS, (_seen(rung.patch_size), _many(rung.parameters)), strict=True):
        ax.text(x, y, text, ha="right", va="center", fontsize=10)


def _seen(patch_size: int | list[int] | None) -> str:
    if patch_size is None:
        return "whole image"
    sides = np.atleast_1d(patch_size)
    return f"{sides.min()} px" if sides.min() == sides.max() else f"{sides.min()}-{sides.max()} px"


def _many(n: int) -> str:
    return f"{n / 1e6:.1f} M" if n >= 999_500 else f"{n / 1e3:.0f} k"
