"""What every stored lesson must look like (tests/notebooks/store.py makes it so)."""

import re
import statistics

import nbformat
import pytest

from minibag.figures import course
from tests.house.environment import ROOT
from tests.notebooks.store import KERNEL

LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
IMAGENETTE = "## On real photographs: Imagenette"
SECTIONS = ["You will be able to", "Needs", "What to remember", "Where this breaks", "Reading"]

lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_lessons_have_the_numbers_and_titles_of_the_course_map():
    titles = [title.lower() for row in course.LESSONS for title in row]
    slugs = [re.sub(r"\W+", "_", title).strip("_") for title in titles]
    assert {path.stem for path in LESSONS} <= {f"{i:02d}_{s}" for i, s in enumerate(slugs)}


@lesson
def test_is_a_valid_notebook_with_plain_metadata(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == {"kernelspec": KERNEL, "language_info": {"name": "python"}}


@lesson
def test_is_small(path):
    assert path.stat().st_size <= 400 * 1024
    assert (20 if path.name.startswith("00") else 30) <= len(read(path).cells) <= 60


@lesson
def test_cells_are_short(path):
    lines = [sum(bool(x.strip()) for x in cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lines) <= 20
    assert statistics.median(lines) <= 6


@lesson
def test_was_run_from_top_to_bottom_without_errors_or_warnings(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@lesson
def test_every_picture_has_alt_text(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert len(output.metadata.get("image/png", {}).get("alt", "")) >= 20, cell.source
    for cell in read(path).cells:
        assert "![](" not in cell.source
        assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", cell.source))


@lesson
def test_installs_nothing_and_runs_no_shell(path):
    for cell in code_cells(path):
        assert not re.search(r"pip install|conda install|^\s*[!%]", cell.source, re.M), cell.source


@lesson
def test_follows_the_template(path):
    text = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    for section in SECTIONS:
        assert section.lower() in text.lower(), f"{path.name} lacks “{section}”"
    turns, least = text.count("### Your turn"), 1 if path.name.startswith("00") else 2
    assert least <= turns <= 4
    assert text.count("<summary>Solution</summary>") == turns


@lesson
def test_stores_no_photograph_of_imagenette(path):
    """Its licence forbids it: pictures there are charts (tagged so), the others are removed."""
    inside = False
    for cell in read(path).cells:
        inside |= cell.cell_type == "markdown" and cell.source.startswith(IMAGENETTE)
        if cell.cell_type == "code" and "no-store" in tags(cell):
            assert cell.outputs == []
        elif cell.cell_type == "code" and inside:
            pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
            assert not pictures or "chart" in tags(cell), cell.source
    mentions = any("imagenette(" in cell.source for cell in code_cells(path))
    assert inside or not mentions, f"put Imagenette's cells under “{IMAGENETTE}”"
