"""A student's way through the course from `make lab` on: no answer is seen before its question."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import copy_course, make_lab, write_settings
from tests.browser.lab import ARTIFACTS, Lab, eventually, run_cell

QUESTION = 'guess = mb.predict("'


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course that nobody has worked in: other tests run the lessons of theirs."""
    return copy_course(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def server(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with make_lab(course, write_settings(tmp_path_factory.mktemp("fresh_settings"))) as address:
        yield address


def test_what_opens_is_a_lesson_without_a_single_answer(server: str, page: Page):
    page.goto(server)
    cells = page.locator(".jp-CodeCell")
    expect(cells.nth(3)).to_be_visible()
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    files = page.locator(".jp-DirListing-item")
    expect(files.filter(has_text="10_scrambled")).to_be_visible()
    expect(files.filter(has_text="INSTRUCTOR")).to_have_count(0)
    page.screenshot(path=ARTIFACTS / "walk-first.png")


def test_a_prediction_is_kept_and_stands_beside_the_answer(server: str, course: Path, page: Page):
    base, token = server.split("/lab")[0], server.split("token=")[1]
    name = "00_start_here.ipynb"
    lab = Lab(page, f"{base}/lab/tree/my/{name}?token={token}&reset", course / "my" / name)
    run_cell(page, "import minibag as mb")
    run_cell(page, QUESTION)
    field = page.get_by_label("your prediction")
    field.fill("55")
    field.press("Enter")
    (kept,) = eventually(page, lambda: _kept(course))
    assert kept["prediction"] == "55"
    run_cell(page, "guess.beside")
    expect(page.get_by_text("You predicted: 55")).to_be_visible()
    page.screenshot(path=ARTIFACTS / "walk-prediction.png")
    lab.save()
    worked_in = (course / "my" / name).read_bytes()
    said = subprocess.run(
        [".venv/bin/python", "-m", "minibag.lessons", "notebooks", "my"],
        cwd=course,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "newer" not in said.stdout
    assert (course / "my" / name).read_bytes() == worked_in


def _kept(course: Path) -> list[dict[str, str]]:
    found = list((course / "my" / "predictions").glob("*.csv"))
    assert len(found) == 1
    with found[0].open(newline="") as file:
        return list(csv.DictReader(file))
