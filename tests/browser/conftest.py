"""A real JupyterLab, started as the README says, and a real Chromium looking at it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.cases import CELLS, WRITTEN
from tests.browser.find import chromium
from tests.browser.lab import SECOND, WAIT, Lab, run_cell, watch
from tests.house.environment import ROOT

# Cells outside the window stay in the page, so that a test can find every widget.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(course: Path, settings: Path, *command: str, path: str) -> Iterator[str]:
    """Start a server in the course's folder and give the address that it prints."""
    # As at home, without photographs: the lessons' own tests run with them.
    environment = {name: value for name, value in os.environ.items() if name != "MINIBAG_DATA"}
    process = subprocess.Popen(
        command,
        cwd=course,
        env={
            **environment,
            "JUPYTERLAB_SETTINGS_DIR": str(settings),
            "JUPYTERLAB_WORKSPACES_DIR": str(settings / "workspaces"),  # nobody's open tabs
        },
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(rf"http://(?:localhost|127\.0\.0\.1):\d+{path}", line):
            break
    else:
        pytest.fail(f"{' '.join(command)} did not start:\n" + "".join(seen))
    # Keep reading, or the server stops once the pipe is full.
    threading.Thread(target=lambda: list(process.stdout), daemon=True).start()
    try:
        yield found.group()
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def copy_course(copy: Path) -> Path:
    """Copy what `make lab` and `make stage` need, as in a fresh clone that is set up."""
    for name in ("notebooks", "share"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy


@pytest.fixture(scope="package")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course that may be run and saved without touching the checkout."""
    copy = copy_course(tmp_path_factory.mktemp("course"))
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    mine = copy / "my"
    mine.mkdir()
    for name, code in WRITTEN.items():
        cells = [nbformat.v4.new_code_cell(code)]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, mine / name)
    return copy


def write_settings(folder: Path) -> Path:
    """Write JupyterLab's settings into a folder."""
    for name, values in SETTINGS.items():
        file = folder / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    return folder


@pytest.fixture(scope="package")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of JupyterLab's settings, which the themes below change."""
    return write_settings(tmp_path_factory.mktemp("settings"))


@contextmanager
def make_lab(course: Path, settings: Path) -> Iterator[str]:
    """Give the address, token included, that `make lab ARGS=--no-browser` prints."""
    command = ("make", "lab", f"ARGS=--no-browser --port={free_port()}")
    with serving(course, settings, *command, path=r"/lab\S*token=\w+") as address:
        yield address


@pytest.fixture(scope="package")
def server(course: Path, settings: Path) -> Iterator[str]:
    with make_lab(course, settings) as address:
        yield address


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    assert path, "no Chromium: install one, or run `.venv/bin/playwright install chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def problems() -> list[str]:
    """What all pages complained of since the last test."""
    return []


@pytest.fixture(autouse=True)
def _no_page_complains(problems: list[str]) -> Iterator[None]:
    """An error in the console, or in a page's own code, fails the test that it came with."""
    yield
    found = problems[:]
    problems.clear()
    assert found == []


def watched_page(browser: Browser, problems: list[str]) -> Page:
    window = {"width": 1280, "height": 900}
    page = browser.new_page(viewport=window, reduced_motion="reduce")  # nothing fades in
    page.set_default_timeout(WAIT * SECOND)
    watch(page, problems)
    return page


@pytest.fixture
def page(browser: Browser, problems: list[str]) -> Iterator[Page]:
    page = watched_page(browser, problems)
    yield page
    page.close()


@pytest.fixture(scope="package")
def lesson(
    browser: Browser, problems: list[str], server: str, course: Path
) -> Callable[[str], Lab]:
    """Open a lesson in JupyterLab and run it, once for all tests that look at it."""

    @cache
    def run(name: str) -> Lab:
        base, token = server.split("/lab")[0], server.split("token=")[1]
        address = f"{base}/lab/tree/my/{name}?token={token}&reset"
        lab = Lab(watched_page(browser, problems), address, course / "my" / name)
        for code in CELLS.get(name, ()):
            run_cell(lab.page, code)
        if name not in CELLS:
            lab.run_all()
        return lab

    return run
