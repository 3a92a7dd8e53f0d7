"""What the course measured in long runs: the files that ``benchmarks/`` writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"  # in a checkout of the course


def recorded(name: str) -> dict[str, Any]:
    """Return what a program of ``benchmarks`` has recorded: ``recorded("scramble")``.

    It is found wherever the notebook lies that asks. What was not measured, or a library that was
    installed without the course, gives an empty dict, and one line that says so.

    Raises
    ------
    json.JSONDecodeError
        If the file holds something else than a program wrote.
    """
    path = RESULTS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text("utf-8"))
    why = "it was not measured yet" if RESULTS.exists() else "it comes with the whole course"
    print(f"Nothing is recorded under {name!r} here: {why}.")
    return {}
