"""Take the solution of an exercise, and its stub, from the notebook that students read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
_FENCE = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)


def solution(lesson: int, name: str) -> Callable[..., Any]:
    """Return function ``name`` as defined in a ``<details>`` solution block of the lesson.

    It runs in a namespace with the lesson's own import lines and the solution block alone.
    """
    blocks = [
        match
        for cell in cells(lesson)
        if cell.cell_type == "markdown"
        for match in _FENCE.findall(cell.source)
    ]
    return _define(lesson, name, blocks)


def stub(lesson: int, name: str) -> Callable[..., Any]:
    """Return function ``name`` as the student finds it, in the cell with NotImplementedError."""
    sources = [c.source for c in cells(lesson) if c.cell_type == "code"]
    return _define(lesson, name, [source for source in sources if "NotImplementedError" in source])


def cells(lesson: int) -> list[Any]:
    """Return the cells of a lesson."""
    (path,) = NOTEBOOKS.glob(f"{lesson:02d}_*.ipynb")
    return list(nbformat.read(path, as_version=4).cells)


def _define(lesson: int, name: str, blocks: list[str]) -> Callable[..., Any]:
    (block,) = [block for block in blocks if re.search(rf"^def {name}\(", block, re.MULTILINE)]
    imports = next(c.source for c in cells(lesson) if c.cell_type == "code")
    lines = [line for line in imports.splitlines() if re.match(r"(import|from) ", line)]
    namespace: dict[str, Any] = {}
    exec("\n".join([*lines, block]), namespace)
    return namespace[name]
