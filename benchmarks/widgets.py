"""How fast the scrambling widget answers in a real browser, and how it bears an hour of use.

    python -m benchmarks.widgets [--moves 200] [--soak 3000]

Voilà serves a page with the ScrambleExplorer (three models of class size side by side) and a bare
widget, whose slider only swaps one small image for another. Chromium presses arrow keys; the page
itself measures from the key press to the first frame that shows another picture. The kernel's
part is measured without a browser. Then one kernel makes thousands of random moves of all
controls, and its resident memory is read before and after: with every model loaded before the
first reading, and at the end also after the C library has given back what it held in reserve,
which tells growth from leaks. Needs about eight minutes of two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_client.manager import start_new_kernel
from playwright.sync_api import Page, sync_playwright

from benchmarks import record
from tests.browser.find import chromium

ROOT = Path(__file__).parents[1]
EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8")
EXPLORER = """
import minibag as mb
from minibag.widgets.scramble import class_size
explorer = mb.widgets.ScrambleExplorer({"critters": class_size()["critters"]})
explorer.controls["grid"].value = 4  # an image that is not cut looks the same with every seed
explorer.add_class("explorer")
"""
BARE = """
import ipywidgets
from minibag.figures.html import img
from minibag.widgets.base import Redrawn
images = explorer.collections["critters"][0].images
bare = Redrawn(lambda n: (img(images[n], "image"), f"image {n}"),
               {"n": ipywidgets.IntSlider(2, 0, 99, description="image")})
bare.add_class("bare")
"""
# Counts from the key press (the time stamp of the event) to the frame after the new picture.
WATCH = """name => {
    const area = document.querySelector('.' + name);
    const shown = () => [...area.querySelectorAll('img')].map(i => i.src).join();
    let before = shown(), start = null;
    window.answers = [];
    area.addEventListener('keydown', e => { start = e.timeStamp; before = shown(); }, true);
    new MutationObserver(() => {
        if (start === null || shown() === before || !shown()) return;
        const pressed = start;
        start = null;
        requestAnimationFrame(() => requestAnimationFrame(
            () => window.answers.push(performance.now() - pressed)));
    }).observe(area, {subtree: true, childList: true, attributes: true});
}"""
TIMES = """
import json, time
import numpy as np
rng, times = np.random.default_rng(0), []
names = {"grid": 16, "picture": 199, "seed": 99}
for name in rng.choice(list(names), %d):
    value = int(rng.integers(1, names[name]))
    start = time.perf_counter()
    explorer.controls[name].value = value
    times.append(1000 * (time.perf_counter() - start))
print(json.dumps(times))
"""
SOAK = """
import ctypes, gc, json, psutil
import numpy as np
rng, memory, wrong = np.random.default_rng(1), [], 0
held = lambda: memory.append(psutil.Process().memory_info().rss)
controls = explorer.controls
held()
for box in explorer.boxes.values():
    box.value = True
for move in range(50 + %d):
    if move == 50:
        held()
    name = rng.choice(list(controls))
    control = controls[name]
    if hasattr(control, "max"):
        control.value = int(rng.integers(control.min, control.max + 1))
    elif isinstance(control.value, bool):
        control.value = bool(rng.integers(2))
    else:
        control.value = str(rng.choice(control.options))
    wrong += "alert" in explorer.text.value
held()
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
held()
print(json.dumps({"memory": memory, "errors": wrong}))
"""


@contextmanager
def stage(*code: str) -> Iterator[str]:
    """Yield the address of a page by Voilà with the widgets that these cells end in."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        cells = [nbformat.v4.new_code_cell(text) for text in code]
        kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), f"{folder}/p.ipynb")
        allowed = [f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS]
        server = subprocess.Popen(
            [sys.executable, "-m", "voila", "p.ipynb", "--template=stage", "--no-browser",
             f"--port={port}", *allowed],
            env=os.environ | {"JUPYTER_PATH": str(ROOT / "share" / "jupyter")},
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield f"http://localhost:{port}/"
        finally:
            server.terminate()
            server.wait(30)


def key_to_picture(page: Page, name: str, moves: int) -> list[float]:
    """Press arrow keys on the sliders of a widget; return how long each took to answer, in ms."""
    page.evaluate(WATCH, name)
    sliders = page.locator(f".{name}").get_by_role("slider")
    rng = np.random.default_rng(0)
    for move in range(moves):
        slider = sliders.nth(int(rng.integers(sliders.count())))
        now, most = (float(slider.get_attribute(f"aria-value{end}") or 0) for end in ("now", "max"))
        key = "ArrowRight" if now <= 2 or (rng.random() < 0.6 and now < most) else "ArrowLeft"
        slider.focus()
        page.keyboard.press(key)
        page.wait_for_function("n => window.answers.length > n", arg=move, timeout=20_000)
        page.wait_for_timeout(250)  # a hand pauses; the curve is worked out meanwhile
    return page.evaluate("window.answers")


def in_browser(moves: int) -> dict[str, list[float]]:
    """Return the times from key press to picture of the explorer and of the bare widget."""
    with stage(EXPLORER + "explorer", BARE + "bare") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"], headless=True
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        for _ in range(60):
            try:
                page.goto(address)
                break
            except Exception as refused:  # the server is not up yet
                if "ERR_CONNECTION_REFUSED" not in str(refused):
                    raise
                time.sleep(0.5)
        page.wait_for_selector(".bare img", timeout=60_000)
        found = {name: key_to_picture(page, name, moves) for name in ("explorer", "bare")}
        browser.close()
    return found


def in_kernel(code: str) -> Any:
    """Run code in a kernel of its own and return the JSON that it prints last."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    printed: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    try:
        reply = client.execute_interactive(EXPLORER + code, output_hook=keep, timeout=3600)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    if reply["content"]["status"] != "ok":
        raise RuntimeError("\n".join(reply["content"]["traceback"]))
    return json.loads("".join(printed).splitlines()[-1])


def quantiles(times: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and number of some times in ms."""
    return {
        "p50_ms": round(float(np.quantile(times, 0.5)), 1),
        "p95_ms": round(float(np.quantile(times, 0.95)), 1),
        "n": len(times),
    }


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--soak", type=int, default=3000)
    options = parser.parse_args()
    answers = {name: quantiles(t) for name, t in in_browser(options.moves).items()}
    answers["kernel's part"] = quantiles(in_kernel(TIMES % options.moves))
    for name, row in answers.items():
        print(f"{name:14} p50 {row['p50_ms']:6.1f} ms   p95 {row['p95_ms']:6.1f} ms   {row['n']}")
    start = time.perf_counter()
    soak = in_kernel(SOAK % options.soak)
    first, warm, last, trimmed = (round(m / 2**20) for m in soak["memory"])
    seconds = time.perf_counter() - start
    print(
        f"{options.soak} random moves in {seconds:.0f} s: {first} MiB when opened, {warm} MiB "
        f"with all models after 50 moves, {last} MiB at the end, {trimmed} MiB of them in use, "
        f"{soak['errors']} errors"
    )
    hour = {"moves": options.soak, "opened_mib": first, "warm_mib": warm, "end_mib": last}
    hour |= {"in_use_mib": trimmed, "errors": soak["errors"]}
    record.write("widgets", {"answers": answers, "soak": hour})


if __name__ == "__main__":
    main()
