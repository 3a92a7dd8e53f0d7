"""Copies to work in: without outputs, never written over, newer lessons beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from minibag import lessons
from tests.house.environment import ROOT

NAME, SECOND, THIRD = "01_votes.ipynb", "01_votes (2).ipynb", "01_votes (3).ipynb"


def lesson(*code: str) -> nbformat.NotebookNode:
    shown = new_output("stream", name="stdout", text="the answer\n")
    cells = [new_code_cell(text, outputs=[shown], execution_count=1, id=f"c{i}")
             for i, text in enumerate(code)]  # fmt: skip
    return new_notebook(cells=[new_markdown_cell("What will it be?", id="m"), *cells])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "die Übungen, alle"
    folder.mkdir()
    nbformat.write(lesson("1 + 1"), folder / NAME)
    (folder / "GLOSSARY.md").write_text("# Terms\n")
    (folder / "INSTRUCTOR.md").write_text("# Answers\n")
    nbformat.write(lesson("stage"), folder / "stage.ipynb")
    return folder


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "my own"


def code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def edit(path: Path, text: str) -> bytes:
    notebook = nbformat.read(path, 4)
    notebook.cells[-1].source = text
    nbformat.write(notebook, path)
    return path.read_bytes()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_copies_hold_the_lesson_and_no_answer(source: Path, mine: Path):
    assert lessons.copies(source, mine) == []
    assert files(mine) == [NAME, "GLOSSARY.md"]
    assert "the answer" not in (mine / NAME).read_text()
    ours, theirs = (nbformat.read(folder / NAME, 4) for folder in (mine, source))
    assert [cell.source for cell in ours.cells] == [cell.source for cell in theirs.cells]
    assert [cell.id for cell in ours.cells] == [cell.id for cell in theirs.cells]
    assert all(cell.get("execution_count") is None for cell in ours.cells)
    assert "the answer" in (source / NAME).read_text()


def test_somebodys_work_is_never_written_again(source: Path, mine: Path):
    lessons.copies(source, mine)
    work = edit(mine / NAME, "my work")
    assert lessons.copies(source, mine) == []
    nbformat.write(lesson("2 + 2"), source / NAME)
    (said,) = lessons.copies(source, mine)
    assert NAME.removesuffix(".ipynb") in said
    assert SECOND in said
    assert (mine / NAME).read_bytes() == work
    assert code(mine / SECOND) == ["2 + 2"]


def test_a_newer_lesson_is_offered_once(source: Path, mine: Path):
    lessons.copies(source, mine)
    first = edit(mine / NAME, "my work")
    nbformat.write(lesson("2 + 2"), source / NAME)
    lessons.copies(source, mine)
    assert lessons.copies(source, mine) == []
    second = edit(mine / SECOND, "my second work")
    assert lessons.copies(source, mine) == []
    nbformat.write(lesson("3 + 3"), source / NAME)
    assert len(lessons.copies(source, mine)) == 1
    assert [(mine / name).read_bytes() for name in (NAME, SECOND)] == [first, second]
    assert code(mine / THIRD) == ["3 + 3"]


def test_a_copy_that_nobody_has_touched_becomes_the_newer_lesson(source: Path, mine: Path):
    lessons.copies(source, mine)
    nbformat.write(lesson("2 + 2"), source / NAME)
    (said,) = lessons.copies(source, mine)
    assert NAME in said
    assert code(mine / NAME) == ["2 + 2"]
    assert files(mine) == [NAME, "GLOSSARY.md"]


def test_new_outputs_alone_make_no_newer_lesson(source: Path, mine: Path):
    lessons.copies(source, mine)
    edit(mine / NAME, "my work")
    again = lesson("1 + 1")
    again.cells[1].outputs[0].text = "another answer\n"
    nbformat.write(again, source / NAME)
    assert lessons.copies(source, mine) == []


def test_what_was_removed_is_made_anew_and_what_was_added_stays(source: Path, mine: Path):
    lessons.copies(source, mine)
    (mine / "notes.txt").write_text("mine")
    (mine / NAME).unlink()
    assert lessons.copies(source, mine) == []
    assert files(mine) == [NAME, "GLOSSARY.md", "notes.txt"]


def test_without_its_ledger_work_is_still_safe(source: Path, mine: Path):
    lessons.copies(source, mine)
    work = edit(mine / NAME, "my work")
    (mine / lessons.LEDGER).unlink()
    (said,) = lessons.copies(source, mine)
    assert SECOND in said
    assert (mine / NAME).read_bytes() == work


@pytest.mark.parametrize("ledger", ["{", "3", "[1]"])
def test_a_ledger_that_cannot_be_read_is_named(source: Path, mine: Path, ledger: str):
    lessons.copies(source, mine)
    (mine / lessons.LEDGER).write_text(ledger)
    with pytest.raises(ValueError, match=lessons.LEDGER):
        lessons.copies(source, mine)


def test_the_command_copies_the_course(tmp_path: Path):
    run = [sys.executable, "-m", "minibag.lessons"]
    done = subprocess.run(
        [*run, ROOT / "notebooks", tmp_path / "my"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert str(tmp_path / "my") in done.stdout
    assert len(files(tmp_path / "my")) == len(list((ROOT / "notebooks").glob("[0-9A]*.ipynb"))) + 1
    cells = [
        c for p in (tmp_path / "my").glob("*.ipynb") for c in json.loads(p.read_text())["cells"]
    ]
    assert not any(cell.get("outputs") for cell in cells)
    wrong = subprocess.run([*run, tmp_path, tmp_path / "my"], capture_output=True, text=True)
    assert wrong.returncode == 1
    assert len(wrong.stderr.splitlines()) == 1
