"""The two pictures of the course as a whole: its map, and the ladder of accuracies."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

LESSONS = (
    ("Start here", "Counting evidence"),
    ("Local features", "Visual words", "Classify with words"),
    ("Learning the words", "How far does\na unit see?", "Build a BagNet", "Train one\nfor real"),
    ("Reading a BagNet", "Scrambled\nimages", "Do ordinary\nCNNs bag?", "Beyond the bag"),
)
PARTS = ("Begin", "Words from SIFT", "Learned words", "Questions to a bag")
COLOURS = ("#595959", "#0b6e8a", "#8a4b08", "#6b3fa0")  # dark enough for white text
IDEA = ("images", "patches", "evidence", "bag", "class")
RUNGS = {  # rung: how its name begins in the recorded results
    "chance": "chance",
    "tiny images + nearest neighbour": "tiny images, 1-NN",
    "bag of words + nearest neighbour": "histogram 400, 1-NN",
    "bag of words + linear": "histogram 400, linear",
    "+ spatial pyramid": "pyramid 400, linear",
    "Fisher vectors": "Fisher 64, linear",
    "best of the word models": "best",
    "learned words, 64 px": "learned words",
    "BagNet-9, 64 px": "class-size BagNet-9",
    "ResNet, 64 px": "class-size ResNet",
    "BagNet-9": "BagNet-9",
    "BagNet-17": "BagNet-17",
    "BagNet-33": "BagNet-33",
    "ResNet": "ResNet",
}


def course_map(ready: Collection[int]) -> Figure:
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


def measured(results: Path) -> dict[str, float]:
    """Return the accuracy in [0, 1] of every rung that was recorded.

    Parameters
    ----------
    results : folder
        Its files ``*_ladder.json`` hold ``{"rungs": {name: {"accuracy": ...}}}``, as the programs
        in ``benchmarks`` write them. A folder without any gives an empty dict: nothing measured.
    """
    recorded = {
        name: row["accuracy"]
        for path in sorted(results.glob("*_ladder.json"))
        for name, row in json.loads(path.read_text())["rungs"].items()
    }
    return {
        rung: accuracy
        for rung, start in RUNGS.items()
        for name, accuracy in recorded.items()
        if name.startswith(start)
    }


def ladder(accuracies: Mapping[str, float], data: str) -> Figure:
    """Return the accuracy ladder of the course from chance (below) to a ResNet (above).

    Parameters
    ----------
    accuracies : dict
        Accuracy in [0, 1] by rung, as `measured` gives them; a rung without one is 'to come'.
    data : str
        What the accuracies were measured on; stands in the title.

    Raises
    ------
    ValueError
        If a key is not a rung, or a value lies outside [0, 1].
    """
    for rung, accuracy in accuracies.items():
        if rung not in RUNGS or not 0 <= accuracy <= 1:
            raise ValueError(f"{rung!r}: {accuracy} is not an accuracy in [0, 1] of {list(RUNGS)}")
    fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    for y, rung in enumerate(RUNGS):
        if rung in accuracies:
            percent = 100 * accuracies[rung]
            ax.barh(y, percent, color=COLOURS[1], height=0.7)
            ax.text(percent + 1, y, f"{percent:.0f} %", va="center", fontsize=10)
        else:
            ax.text(1, y, "to come", va="center", fontsize=10, color="#767676", style="italic")
    ax.set_yticks(range(len(RUNGS)), RUNGS, fontsize=10)
    ax.set(xlim=(0, 100), ylim=(-0.6, len(RUNGS) - 0.4))
    ax.set(xlabel="test images named correctly (%)")
    ax.set_title(f"How far does each idea climb? ({data})")
    ax.spines[["top", "right"]].set_visible(False)
    return fig
