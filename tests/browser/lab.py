"""JupyterLab as a person uses it: open a lesson, run all cells, look at a widget."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Locator, Page, expect

SECOND = 1000  # Playwright counts milliseconds


class Lab:
    """A lesson open in JupyterLab."""

    def __init__(self, page: Page, address: str, course: Path) -> None:
        self.page, self.address, self.course = page, address, course
        self.page_errors: list[str] = []
        page.on("pageerror", lambda error: self.page_errors.append(str(error)))

    def open(self, lesson: str) -> None:
        """Open a lesson and wait for its kernel."""
        base, token = self.address.split("/lab")[0], self.address.split("token=")[1]
        self.page.goto(f"{base}/lab/tree/notebooks/{lesson}?token={token}&reset")
        expect(self.page.locator(".jp-Notebook")).to_be_visible(timeout=60 * SECOND)
        self._wait_idle()

    def run_all(self, timeout: float = 240) -> NotebookNode:
        """Run every cell through the menu, save, and return the saved notebook."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        waiting = prompts.filter(has_text="[*]")
        expect(waiting.first).to_be_visible(timeout=20 * SECOND)
        expect(waiting).to_have_count(0, timeout=timeout * SECOND)
        self._wait_idle()
        return self.save()

    def save(self) -> NotebookNode:
        """Save and return what is on disk."""
        path = self.course / "notebooks" / self.page.url.split("/notebooks/")[1].split("?")[0]
        before = path.stat().st_mtime_ns
        self.page.get_by_role("menuitem", name="File", exact=True).click()
        self.page.get_by_text("Save Notebook", exact=True).click()
        for _ in range(100):
            self.page.wait_for_timeout(100)
            # The server writes in place: the file is empty, or half there, for a moment.
            if path.stat().st_mtime_ns != before and is_json(text := path.read_text("utf-8")):
                return nbformat.reads(text, as_version=4)
        raise AssertionError(f"{path.name} was not saved within ten seconds")

    def widget(self, name: str) -> Locator:
        """Return the area of the course's widget with this CSS class."""
        area = self.page.locator(f".{name}")
        expect(area).to_be_visible(timeout=20 * SECOND)
        area.scroll_into_view_if_needed()
        return area

    def _wait_idle(self) -> None:
        idle = self.page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
        expect(idle).to_be_visible(timeout=60 * SECOND)


def is_json(text: str) -> bool:
    """Return whether the text is whole JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def picture(image: Locator) -> bytes:
    """Return the bytes of the picture that an <img> shows now (ipywidgets use blob addresses)."""
    data = image.evaluate(
        """async img => {
            const blob = await (await fetch(img.src)).blob();
            const reader = new FileReader();
            await new Promise(done => { reader.onload = done; reader.readAsDataURL(blob); });
            return reader.result.split(',')[1];
        }"""
    )
    return base64.b64decode(data)


def fingerprint(image: Locator) -> str:
    """Return a short digest of the picture shown, to tell whether it changed."""
    return hashlib.sha256(picture(image)).hexdigest()[:16]


def wait_for_change(page: Page, image: Locator, before: str, timeout: float = 10) -> str:
    """Wait until the picture is another one and return its digest."""
    for _ in range(int(timeout * 20)):
        if (now := fingerprint(image)) != before:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture did not change within {timeout} s")


def errors(notebook: NotebookNode) -> list[str]:
    """Return the error and stderr outputs of a notebook."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return [str(o) for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
