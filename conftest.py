"""Lessons under nbval: no network, at most 2 GB each; time and memory are printed at the end.

How long a lesson takes says as much of the machine, and of what else runs there, as of the lesson:
only a cell that hangs fails, at nbval's cell time-out (see the Makefile).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.notebooks.budget import MEMORY_LIMIT, PeakMemory

HERE = Path(__file__).parent
LEDGER = pytest.StashKey[dict]()


def pytest_configure(config: pytest.Config) -> None:
    os.environ["IPYTHONDIR"] = str(HERE / "tests" / "notebooks" / "offline")
    config.stash[LEDGER] = {}


def is_cell(item: pytest.Item | None) -> bool:
    return item is not None and item.path.suffix == ".ipynb"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    """Start a stopwatch and a memory watch with the first cell of each lesson."""
    ledger = item.config.stash[LEDGER]
    if is_cell(item) and item.path not in ledger:
        watch = PeakMemory()
        watch.start()
        ledger[item.path] = {"watch": watch, "start": time.perf_counter()}
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Hold a lesson to its memory after its last cell."""
    if not is_cell(item) or (is_cell(nextitem) and nextitem.path == item.path):
        return
    entry = item.config.stash[LEDGER][item.path]
    entry["watch"].done.set()
    entry["seconds"] = time.perf_counter() - entry["start"]
    entry["bytes"] = entry["watch"].peak
    assert entry["bytes"] <= MEMORY_LIMIT, f"{item.path.name}: {entry['bytes'] / 1e9:.2f} GB"


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    done = {p: e for p, e in config.stash[LEDGER].items() if "seconds" in e}
    if done:
        terminalreporter.section("lessons: time and peak memory")
    for path, entry in done.items():
        row = f"{path.name:<34}{entry['seconds']:6.1f} s{entry['bytes'] / 2**20:8.0f} MB"
        terminalreporter.write_line(row)
