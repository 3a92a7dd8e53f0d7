"""The lessons that have claims, what was recorded of them, and the table of them all."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import nbformat

from benchmarks.record import RESULTS
from tests.claims import CLAIMS, Claim

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TABLE = NOTEBOOKS / "CLAIMS.md"
LESSONS = sorted(path.stem[6:] for path in Path(__file__).parent.glob("lesson[0-9A]*.py"))

HEAD = """# Claims

Sentences of the lessons that somebody could doubt, and what came out when we tried to refute them.
Each is a function in `tests/claims/lessonNN.py`; `python -m tests.claims NN` runs those of a lesson
again, `--first 100` with other seeds. A sentence that fell was mended: what it said before stands
below it. What is random was run with several seeds, the rest has no chance in it. Lessons that are
not listed have not been gone through yet.

"""


def load(lesson: str) -> None:
    """Import the claims of a lesson."""
    import_module(f"tests.claims.lesson{lesson}")


def recorded_name(lesson: str) -> str:
    """Return the name of the file in ``benchmarks/results``."""
    return f"claims_{lesson}.json"


def text_of(lesson: str) -> str:
    """Return all text of a lesson on one line, without emphasis and quotation marks."""
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return plain(" ".join(cell.source for cell in cells if cell.cell_type == "markdown"))


def plain(text: str) -> str:
    """Return a text without what Markdown adds."""
    return " ".join(re.sub(r"[*`>]", "", text).split())


def table() -> str:
    """Return ``CLAIMS.md``: counts, then a table a lesson, from what was recorded."""
    counts = ["| lesson | claims | held with every seed | mended |", "|---|---|---|---|"]
    parts = []
    total = [0, 0, 0]
    for lesson in LESSONS:
        load(lesson)
        claims = [claim for claim in CLAIMS if claim.lesson == lesson]
        rows = {
            row["sentence"]: row["outcomes"]
            for row in json.loads((RESULTS / recorded_name(lesson)).read_text())
        }
        held = sum(all(held for held, _ in rows[claim.sentence]) for claim in claims)
        mended = sum(bool(claim.before) for claim in claims)
        total = [a + b for a, b in zip(total, (len(claims), held, mended), strict=True)]
        counts.append(f"| {lesson} | {len(claims)} | {held} | {mended} |")
        lines = [_line(claim, rows[claim.sentence]) for claim in claims]
        parts += [f"## Lesson {lesson}: `python -m tests.claims {lesson}`", "", *lines, ""]
    counts.append(f"| all | {total[0]} | {total[1]} | {total[2]} |")
    return HEAD + "\n".join([*counts, "", *parts]).rstrip() + "\n"


def _line(claim: Claim, outcomes: list[tuple[bool, str]]) -> str:
    held = sum(held for held, _ in outcomes)
    seen = list(dict.fromkeys(measured for _, measured in outcomes))
    line = f"- {claim.sentence}  \n  held {held} of {len(outcomes)}: {'; '.join(seen)}"
    return line + (f"  \n  *Before:* {claim.before}" if claim.before else "")
