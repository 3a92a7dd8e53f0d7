"""What a class predicted, one panel a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minibag.figures.base import as_written

MOST = 8  # different answers in words that are shown; the rest is counted together
YOURS, TRUE = "#0b6e8a", "#a33400"


def number(text: str) -> float | None:
    """Return the number in "62.5 %", "62,5" or "about 60", None if there is none, or several."""
    found = re.findall(r"[-+]?\d+(?:[.,]\d+)?", text)
    value = float(found[0].replace(",", ".")) if len(found) == 1 else math.nan
    return value if math.isfinite(value) else None


@as_written
def crowd(said: Mapping[str, Sequence[str]], answers: Mapping[str, float | str]) -> Figure:
    """Return a panel a question: a histogram of numbers, or bars of answers in words.

    Parameters
    ----------
    said : predictions by question, at least one each; numbers if more than half of them are
    answers : what came out, by question: a line, or a darker bar
    """
    figure, panels = plt.subplots(
        len(said), 1, figsize=(7, 2.4 * len(said)), squeeze=False, layout="constrained"
    )
    for panel, (question, found) in zip(panels[:, 0], said.items(), strict=True):
        values = [value for value in map(number, found) if value is not None]
        draw = _numbers if 2 * len(values) > len(found) else _words
        draw(panel, found, answers.get(question))
        people = f"{len(found)} {'people' if len(found) > 1 else 'person'}"
        panel.set_title(f"{fill(question, 70)} ({people})", fontsize=10, loc="left")
    return figure


def _numbers(panel: Axes, found: Sequence[str], answer: float | str | None) -> None:
    values = [value for value in map(number, found) if value is not None]
    panel.hist(values, bins=min(20, max(5, len(set(values)))), color=YOURS, edgecolor="white")
    if answer is not None:
        true = number(str(answer))
        if true is not None:
            panel.axvline(true, color=TRUE, linewidth=2.5, label=f"it is {answer}")
            panel.legend(frameon=False)
    panel.set_xlabel("predicted")
    panel.set_ylabel("people")
    panel.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _words(panel: Axes, found: Sequence[str], answer: float | str | None) -> None:
    counts = Counter(" ".join(text.casefold().split()) for text in found)
    rows = counts.most_common(MOST)
    if rest := len(found) - sum(count for _, count in rows):
        rows.append(("anything else", rest))
    names = [fill(text, 30) for text, _ in rows]
    right = " ".join(str(answer).casefold().split())
    colors = [TRUE if text == right else YOURS for text, _ in rows]
    panel.barh(range(len(rows)), [count for _, count in rows], color=colors)
    panel.set_yticks(range(len(rows)), names)
    panel.invert_yaxis()
    panel.set_xlabel("people" if answer is None else f"people (it is: {answer})")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
