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
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.find import chromium
from tests.browser.lab import Lab
from tests.house.environment import ROOT

ARTIFACTS = ROOT / "artifacts"
# Cells outside the window stay in the page, so that a test can find every widget.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="package")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course that may be run and saved without touching the checkout."""
    copy = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "notebooks", copy / "notebooks")
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    return copy


@pytest.fixture(scope="package")
def server(course: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address, token included, that `make lab ARGS=--no-browser` prints."""
    settings = tmp_path_factory.mktemp("settings")
    for name, values in SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    process = subprocess.Popen(
        ["make", "lab", f"ARGS=--no-browser --port={free_port()}"],
        cwd=course,
        env={**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(settings)},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(r"http://(?:localhost|127\.0\.0\.1):\d+/lab\S*token=\w+", line):
            break
    else:
        pytest.fail("JupyterLab did not start:\n" + "".join(seen))
    # Keep reading, or the server stops once the pipe is full.
    threading.Thread(target=lambda: list(process.stdout), daemon=True).start()
    yield found.group()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh page; a screenshot of its last state is kept in artifacts/."""
    path = chromium()
    assert path, "no Chromium: install one, or run `.venv/bin/playwright install chromium`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        yield page
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"{request.node.name}.png")
        browser.close()


@pytest.fixture
def lab(page: Page, server: str, course: Path) -> Lab:
    return Lab(page, server, course)
