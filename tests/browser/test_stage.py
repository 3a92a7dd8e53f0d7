"""The scrambling widget alone: on the page of `make stage`, and in Notebook 7."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.cases import SCRAMBLE
from tests.browser.conftest import free_port, serving
from tests.browser.lab import ARTIFACTS, HOME, SECOND, WAIT, Area, eventually, run_cell


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


def kernel_of(html: str) -> str:
    """Return the name of the kernel behind a page."""
    config = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', html, re.S)
    return json.loads(config[1])["kernelId"]


def process_of(kernel: str) -> psutil.Process:
    """Return the process of a kernel, by the connection file that it was started with."""
    mine = psutil.Process().children(recursive=True)
    (found,) = (p for p in mine if kernel in " ".join(p.cmdline()))
    return found


def test_the_stage_needs_nobody_and_asks_nobody(stage: str, stranger: Page):
    stranger.goto(stage)
    SCRAMBLE.check_moves(Area(stranger, SCRAMBLE.mark))
    assert stranger.asked == []
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//[^"' >]*""", stranger.content()) == []


def test_a_page_that_is_left_lets_its_kernel_go(stage: str, browser: Browser):
    with browser.new_page() as page:  # not a stranger: routes swallow what a page says on leaving
        page.goto(stage)
        Area(page, SCRAMBLE.mark)
        process = process_of(kernel_of(page.content()))
        page.goto("about:blank")  # as on a reload, or when the tab is closed
        process.wait(WAIT)


def test_a_page_says_that_its_kernel_is_gone(stage: str, stranger: Page):
    stranger.goto(stage)
    Area(stranger, SCRAMBLE.mark)
    gone = stranger.get_by_role("alert").filter(has_text="has ended")
    expect(gone).to_have_count(0)
    process_of(kernel_of(stranger.content())).send_signal(signal.SIGKILL)
    expect(gone).to_be_visible()
    stranger.screenshot(path=ARTIFACTS / "stage-gone.png")


def test_a_kernel_stays_as_long_as_its_page_and_little_longer(
    course: Path, settings: Path, stranger: Page
):
    idle = 10
    command = ("make", "stage", f"IDLE={idle}", f"ARGS=--no-browser --port={free_port()}")
    with serving(course, settings, *command, path="/") as stage:
        stranger.goto(stage)
        Area(stranger, SCRAMBLE.mark)
        process = process_of(kernel_of(stranger.content()))
        stranger.wait_for_timeout((idle + 12) * SECOND)  # idle kernels are looked for every 10 s
        assert process.is_running()
        stranger.route("**/api/shutdown/**", lambda route: route.abort())
        stranger.goto("about:blank")  # without a word, as a tablet whose lid is closed
        process.wait(WAIT)


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
