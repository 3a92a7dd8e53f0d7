"""The scrambling widget alone: on the page of `make stage`, and in Notebook 7."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.cases import SCRAMBLE
from tests.browser.conftest import free_port, serving
from tests.browser.lab import SECOND, Area


@pytest.fixture(scope="module")
def stage(course: Path, settings: Path) -> Iterator[str]:
    command = ("make", "stage", f"ARGS=--no-browser --port={free_port()}")
    with serving(course, settings, *command, path="/") as address:
        yield address


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_stage_answers_keys_and_mouse_and_can_be_read(new_page, stage: str, theme: str):
    page = new_page()
    page.goto(f"{stage}?theme={theme}", timeout=60 * SECOND)
    area = Area(page, SCRAMBLE.mark)
    SCRAMBLE.check_moves(area)
    assert area.faults(f"stage-{theme}") == []


def test_the_stage_notebook_works_in_notebook_7(new_page, course: Path, settings: Path):
    root = ["--allow-root"] * (os.geteuid() == 0)
    command = [".venv/bin/jupyter", "notebook", "--no-browser", f"--port={free_port()}", *root]
    with serving(course, settings, *command, path=r"/tree\?token=\w+") as address:
        page = new_page()
        page.goto(address.replace("/tree?", "/notebooks/notebooks/stage.ipynb?"))
        page.get_by_text("minibag").click(timeout=60 * SECOND)
        page.keyboard.press("Control+Enter")
        SCRAMBLE.check_moves(Area(page, SCRAMBLE.mark))
        page.close()
