"""The scrambling widget alone: on the page of `make stage`, and in Notebook 7."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.cases import SCRAMBLE
from tests.browser.conftest import free_port, serving
from tests.browser.lab import HOME, SECOND, WAIT, Area, eventually, run_cell


@pytest.fixture(scope="module")
def stage(course: Path, settings: Path) -> Iterator[str]:
    command = ("make", "stage", f"ARGS=--no-browser --port={free_port()}")
    with serving(course, settings, *command, path="/") as address:
        yield address


@pytest.fixture(scope="module")
def notebook_7(course: Path, settings: Path) -> Iterator[str]:
    root = ["--allow-root"] * (os.geteuid() == 0)
    command = [".venv/bin/jupyter", "notebook", "--no-browser", f"--port={free_port()}", *root]
    with serving(course, settings, *command, path=r"/tree\?token=\w+") as address:
        yield address.replace("/tree?", "/notebooks/notebooks/stage.ipynb?")


@pytest.fixture
def stranger(browser: Browser) -> Iterator[Page]:
    """A page in a network that swallows all packets to the world; nobody minds its complaints."""
    page = browser.new_page()
    page.set_default_timeout(WAIT * SECOND)
    page.asked = []
    page.route(lambda url: not HOME.match(url), lambda route: page.asked.append(route.request.url))
    yield page
    page.close()


def test_the_stage_needs_nobody_and_asks_nobody(stage: str, stranger: Page):
    stranger.goto(stage)
    SCRAMBLE.check_moves(Area(stranger, SCRAMBLE.mark))
    assert stranger.asked == []
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"' >]*""", stranger.content()) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_stage_answers_keys_and_mouse_and_can_be_read(stage: str, page: Page, theme: str):
    page.goto(f"{stage}?theme={theme}")
    area = Area(page, SCRAMBLE.mark)
    SCRAMBLE.check_moves(area)
    assert area.faults(f"stage-{theme}") == []


def test_the_stage_notebook_works_in_notebook_7(notebook_7: str, page: Page):
    said: list[str] = []

    def kernel_answers() -> None:
        assert "kernel_info_reply" in "".join(said)

    page.on("websocket", lambda w: w.on("framereceived", lambda frame: said.append(str(frame))))
    page.goto(notebook_7)
    eventually(page, kernel_answers)  # no key before that is heard
    run_cell(page, "ScrambleExplorer()")
    SCRAMBLE.check_moves(Area(page, SCRAMBLE.mark))
