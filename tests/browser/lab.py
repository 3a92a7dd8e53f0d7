"""Pages as a person uses them: run a lesson, press keys, drag sliders, look closely."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import nbformat
from axe_playwright_python.sync_playwright import Axe
from nbformat import NotebookNode
from numpy.typing import NDArray
from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect

from tests.house.environment import ROOT
from tests.pictures import pixels

Result = TypeVar("Result")
SECOND = 1000  # Playwright counts milliseconds
ARTIFACTS = ROOT / "artifacts"
WAIT = 120  # seconds until something hangs, also on a busy machine
expect.set_options(timeout=WAIT * SECOND)
HOME = re.compile(r"(http|ws)://(localhost|127\.0\.0\.1):|data:|blob:|about:")
# Notebook 7.6 looks for its shortcuts before it has read them, sometimes; they come all the same.
SHORTCUTS = "Cannot read properties of undefined (reading 'schema')"

SMALL = """area => {
    const found = [], texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim(), holder = texts.currentNode.parentElement;
        const size = parseFloat(getComputedStyle(holder).fontSize);
        if (text && holder.checkVisibility() && size < 14) found.push(`${size} px: ${text}`);
    }
    return found;
}"""
SHRUNK = """area => [...area.querySelectorAll('img:not(.pixels)')]
    .filter(figure => figure.clientWidth < figure.naturalWidth)
    .map(figure => `${figure.naturalWidth} px on ${figure.clientWidth} px: ${figure.alt}`)"""
CUT = """area => {
    const end = Math.min(area.getBoundingClientRect().right, innerWidth) + 1;
    const parts = [...area.querySelectorAll('*')].filter(part => part.checkVisibility());
    const hides = part =>
        part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX != 'visible';
    return [area, ...parts]
        .filter(part => part.getBoundingClientRect().right > end || hides(part))
        .map(part => part.outerHTML.slice(0, 120));
}"""
VALUE = """control => control.type == 'checkbox' ? control.checked
    : control.selectedOptions?.[0].text.replaceAll('\\u00a0', ' ')
        ?? Math.round(control.getAttribute('aria-valuenow'))"""


def watch(page: Page, problems: list[str]) -> None:
    """Collect what a page complains of, and every address beyond this machine that it asks for."""

    def console(message: ConsoleMessage) -> None:
        where = message.location["url"]
        if message.type == "error":
            problems.append(f"{message.text} ({where})")

    def page_error(error: Error) -> None:
        if (error.message, "/notebook_core." in (error.stack or "")) != (SHORTCUTS, True):
            problems.append(str(error))

    page.on("console", console)
    page.on("pageerror", page_error)
    page.on(
        "request",
        lambda asked: HOME.match(asked.url) or problems.append(f"asked for {asked.url}"),
    )


class Area:
    """One widget of the course on a page, found by a label that only it has."""

    def __init__(self, page: Page, mark: str) -> None:
        self.page = page
        page.bring_to_front()
        self.at = page.locator(".minibag-widget").filter(has_text=mark)
        expect(self.at).to_have_count(1)
        self.at.scroll_into_view_if_needed()
        self.says = self.at.get_by_role("status")

    def control(self, label: str) -> Locator:
        """Return the slider, menu or box that screen readers call by this label."""
        return self.at.get_by_label(label, exact=True)

    def value(self, label: str) -> int | bool | str:
        """Return what a control says: a number, ticked or not, or the chosen line of a menu."""
        return self.control(label).evaluate(VALUE)

    def press(self, label: str, *keys: str) -> None:
        """Press keys on a control."""
        self.control(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, label: str, value: int) -> None:
        """Drag a slider with the mouse until it says this value."""
        handle = self.control(label)
        handle.scroll_into_view_if_needed()
        low, high, now = (
            float(handle.get_attribute(f"aria-value{n}")) for n in ("min", "max", "now")
        )
        track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
        x, y = track["x"], track["y"] + track["height"] / 2
        start, end = (x + track["width"] * (v - low) / (high - low) for v in (now, value))
        self.page.mouse.move(start, y)
        self.page.mouse.down()
        self.page.mouse.move(end, y, steps=5)
        self.page.mouse.up()
        assert self.value(label) == value

    def click(self, name: str) -> None:
        """Click on a button or a box."""
        self.at.get_by_text(name, exact=True).click()

    def tab_to(self, name: str) -> None:
        """Go to a button with the Tab key alone."""
        for _ in range(60):
            if self.page.evaluate("document.activeElement.textContent.trim()") == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {name!r}")

    def pictures(self) -> list[NDArray]:
        """Return the pixels of all pictures that are shown now, in order."""
        found = self.at.locator("img").evaluate_all("all => all.map(one => one.src)")
        return [pixels(base64.b64decode(address.split("base64,")[1])) for address in found]

    def table(self, nth: int) -> dict[str, float]:
        """Return the numbers of a table of bars by name."""
        rows = self.at.locator("table").nth(nth).locator("tr").all_inner_texts()
        found = [re.fullmatch(r"(.+?)(?: ★)?\s+([-+]?[\d.]+)( %)?", row.strip()) for row in rows]
        assert all(found), f"no table of bars, or one that is just being replaced: {rows}"
        groups = (row.groups() for row in found if row)
        return {name: float(value) / (100 if percent else 1) for name, value, percent in groups}

    def faults(self, name: str) -> list[str]:
        """Return what is wrong at a width of 800 and of 1280 pixels; keep screenshots as `name`.

        Wrong are texts below 14 pixels, parts that are cut off or too wide, figures that are made
        smaller at 1280 pixels, and what axe-core calls serious or critical.
        """
        ARTIFACTS.mkdir(exist_ok=True)
        found = []
        for width in (800, 1280):
            self.page.set_viewport_size({"width": width, "height": 2000})
            self.at.screenshot(path=ARTIFACTS / f"{name}-{width}.png")
            found += self.at.evaluate(SMALL) + self.at.evaluate(CUT)
        found += self.at.evaluate(SHRUNK)
        rules = Axe().run(self.page, ".minibag-widget").response["violations"]
        self.page.set_viewport_size({"width": 1280, "height": 900})
        return found + [
            f"{rule['id']}: {node['html'][:120]} {node['failureSummary']}"
            for rule in rules
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


class Lab:
    """A lesson open in JupyterLab."""

    def __init__(self, page: Page, address: str, path: Path) -> None:
        """Open the lesson, wait for its kernel, and put the list of files away."""
        self.page, self.path = page, path
        page.goto(address)
        expect(page.locator(".jp-Notebook")).to_be_visible()
        self._wait_idle()
        page.keyboard.press("Control+b")

    def run_all(self, timeout: float = 4 * WAIT) -> NotebookNode:
        """Run every cell through the menu, save, and return the saved notebook."""
        self._menu("Run", "Run All Cells")
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        waiting = prompts.filter(has_text="[*]")
        expect(waiting.first).to_be_visible()
        expect(waiting).to_have_count(0, timeout=timeout * SECOND)
        self._wait_idle()
        return self.save()

    def save(self) -> NotebookNode:
        """Save and return what is on disk."""
        before = self.path.stat().st_mtime_ns
        self._menu("File", "Save Notebook")
        for _ in range(10 * WAIT):
            self.page.wait_for_timeout(100)
            # The server writes in place: the file is empty, or half there, for a moment.
            text = self.path.read_text("utf-8")
            if self.path.stat().st_mtime_ns != before and is_json(text):
                return nbformat.reads(text, as_version=4)
        raise AssertionError(f"{self.path.name} was not saved")

    def theme(self, name: str) -> None:
        """Choose a theme of JupyterLab: Light or Dark."""
        self._menu("Settings", "Theme", f"JupyterLab {name}")
        light = json.dumps(name == "Light")
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", light)

    def _menu(self, name: str, *lines: str) -> None:
        self.page.get_by_role("menuitem", name=name, exact=True).click()
        for line in lines:
            self.page.locator(".lm-Menu").get_by_text(line, exact=True).click()

    def _wait_idle(self) -> None:
        idle = self.page.locator("#jp-main-statusbar").get_by_text("Python 3 (ipykernel) | Idle")
        expect(idle).to_be_visible()


def run_cell(page: Page, code: str) -> None:
    """Run the cell that holds this code, with the keyboard."""
    page.locator(".jp-CodeCell").filter(has_text=code).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def is_json(text: str) -> bool:
    """Return whether the text is whole JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    return True


def eventually(page: Page, check: Callable[[], Result], timeout: float = WAIT) -> Result:
    """Return what a check returns once it holds: a kernel takes its time."""
    end = time.monotonic() + timeout
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > end:
                raise
            page.wait_for_timeout(50)


def errors(notebook: NotebookNode) -> list[str]:
    """Return the error and stderr outputs of a notebook."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return [str(o) for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
