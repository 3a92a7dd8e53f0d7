"""The answers that a class gave in Be the BagNet, read from its files and counted."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minibag.figures.game import Tally, human_accuracy
from minibag.machine import expand

COLUMNS = ("round", "q", "patches", "classes", "class", "guess", "right", "bagnet", "bagnet_right")


def pool(folder: str | Path) -> Figure:
    """Return people's accuracy against patch size, from all answers saved in a folder.

    Beside it stand the BagNet's from the same patches, and chance; see `tally` for errors, and
    `human_accuracy` for what the intervals leave out.
    """
    return human_accuracy(tally(folder))


def tally(folder: str | Path) -> list[Tally]:
    """Return what all CSV files of a folder say together, by patch size.

    Raises
    ------
    FileNotFoundError
        If there is no CSV file.
    ValueError
        If one of them is not as `BeTheBagNet` writes them, with its name and what is wrong.
    """
    files = sorted(expand(folder).glob("*.csv"))
    if not files:
        raise FileNotFoundError(f"no CSV files in {folder}: save answers of BeTheBagNet there")
    answers: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for file in files:
        for q, *answer in _read(file):
            answers[q].append(tuple(answer))
    found = []
    for q, rows in sorted(answers.items()):
        patches, classes, right, bagnet_right = np.transpose(rows)
        wins = int(right.sum()), int(bagnet_right.sum())
        found.append(Tally(q, len(rows), *wins, patches.mean(), (1 / classes).mean()))
    return found


def plain(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula, and that UTF-8 can write.

    An apostrophe in front makes it text (OWASP, CSV Injection), and is the first one if there are
    several: without it, the text is what it was.
    """
    text = str(value).encode(errors="backslashreplace").decode()
    return f"'{text}" if text.startswith(("'", "=", "+", "-", "@", "\t", "\r", "\n")) else text


def _read(file: Path) -> list[tuple[int, ...]]:
    """Return q, patches, classes, right and bagnet_right of all answers in a file."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = list(csv.reader(opened, strict=True))
        if lines[:1] != [list(COLUMNS)] or not lines[1:]:
            raise ValueError(f"expected a line {','.join(COLUMNS)} and answers below")
        return [_numbers(dict(zip(COLUMNS, line, strict=True))) for line in lines[1:]]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{file.name} holds no answers of BeTheBagNet: {error}") from error


def _numbers(answer: dict[str, str]) -> tuple[int, ...]:
    """Return the numbers of one answer; ValueError if they cannot be."""
    q, patches, classes = (int(answer[name]) for name in ("q", "patches", "classes"))
    right, bagnet_right = (int(answer[name] == answer["class"]) for name in ("guess", "bagnet"))
    given = answer["right"], answer["bagnet_right"]
    if min(q, patches, classes - 1) < 1 or given != (f"{right}", f"{bagnet_right}"):
        raise ValueError(f"an answer contradicts itself: {','.join(answer.values())}")
    return q, patches, classes, right, bagnet_right
