"""Lessons to work in: copies without outputs, so that no answer stands below its question.

    python -m minibag.lessons notebooks my

`make lab` calls this and opens the copies. What is missing is made. What somebody has worked in is
never written again: a newer lesson is put beside it, as ``07_build_a_bagnet (2).ipynb``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from minibag.machine import whole_file

LEDGER = ".made.json"  # by file: a hash of what was written there, to see whether it is still that
LESSONS, WORDS = "[0-9A]*.ipynb", "GLOSSARY.md"


def without_outputs(path: Path) -> bytes:
    """Return a lesson as a student gets it: no outputs, no run times; any other file as it is."""
    if path.suffix != ".ipynb":
        return path.read_bytes()
    notebook = json.loads(path.read_text("utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def names(path: Path) -> Iterator[Path]:
    """Yield the path itself, then ``name (2).ipynb``, ``name (3).ipynb`` and so on."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def copy(lesson: Path, folder: Path, made: dict[str, str]) -> str | None:
    """Bring one lesson into the folder unless it is there; return what is to be said about it.

    ``made`` is brought up to date.
    """
    content = without_outputs(lesson)
    new = _hash(content)
    for path in names(folder / lesson.name):
        there = _hash(path.read_bytes()) if path.exists() else None
        if there == new or (made.get(path.name) == new and there):
            return None  # as it should be, or somebody's work in this very lesson
        if there is None or there == made.get(path.name):  # nobody has touched it
            with whole_file(path) as part:
                part.write_bytes(content)
            made[path.name] = new
            break
    if path.stem != lesson.stem:
        return f"{lesson.stem} is newer than your copy, which stays: the new one is {path.name}"
    return None if there is None else f"{path.name} was not begun yet: it is now the newer one"


def copies(source: Path, folder: Path) -> list[str]:
    """Make what is missing in a folder of copies; return a line on each lesson that is newer.

    Raises
    ------
    FileNotFoundError
        If there are no lessons in ``source``.
    ValueError
        If the ledger of the copies cannot be read.
    """
    lessons = sorted(source.glob(LESSONS))
    if not lessons:
        raise FileNotFoundError(f"no lessons in {source}: expected files like 01_*.ipynb")
    folder.mkdir(parents=True, exist_ok=True)
    ledger = folder / LEDGER
    try:
        made = dict(json.loads(ledger.read_text())) if ledger.exists() else {}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{ledger} cannot be read ({error}): remove it") from error
    before = dict(made)
    said = [copy(path, folder, made) for path in (*lessons, *sorted(source.glob(WORDS)))]
    if made != before:
        with whole_file(ledger) as part:
            part.write_text(json.dumps(made, indent=1) + "\n")
    return [line for line in said if line]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Make copies of the lessons of one folder in another, and say what is newer."""
    if len(sys.argv) != 3:
        sys.exit("usage: python -m minibag.lessons NOTEBOOKS MY")
    source, folder = map(Path, sys.argv[1:])
    try:
        said = copies(source, folder)
    except (OSError, ValueError) as error:
        sys.exit(f"minibag: {error}")
    for line in said:
        print(line)
    print(f"Your copies of the lessons are in {folder.resolve()}: write in them what you like.")


if __name__ == "__main__":
    main()
