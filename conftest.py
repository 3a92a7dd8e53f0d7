"""Lessons under nbval: no network, at most 75 s and 2 GB each, figures printed at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.notebooks.budget import MEMORY_LIMIT, TIME_LIMIT, Watch

HERE = Path(__file__).parent
LEDGER = pytest.StashKey[dict[Path, Watch]]()


def pytest_configure(config: pytest.Config) -> None:
    os.environ["IPYTHONDIR"] = str(HERE / "tests" / "notebooks" / "offline")
    config.stash[LEDGER] = {}


def is_cell(item: pytest.Item | None) -> bool:
    return item is not None and item.path.suffix == ".ipynb"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    """Start a watch on time and memory with the first cell of each lesson."""
    ledger = item.config.stash[LEDGER]
    if is_cell(item) and item.path not in ledger:
        ledger[item.path] = Watch()
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Hold a lesson to its budget after its last cell."""
    if not is_cell(item) or (is_cell(nextitem) and nextitem.path == item.path):
        return
    watch = item.config.stash[LEDGER][item.path]
    watch.stop()
    took = f"{watch.seconds:.0f} s, {watch.charged:.0f} s without what others took"
    assert watch.charged <= TIME_LIMIT, f"{item.path.name} took {took}"
    assert watch.peak <= MEMORY_LIMIT, f"{item.path.name}: {watch.peak / 1e9:.2f} GB"


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    done = {path: w for path, w in config.stash[LEDGER].items() if w.done.is_set()}
    if done:
        terminalreporter.section("lessons: time (without what others took) and peak memory")
    for path, watch in done.items():
        seconds = f"{watch.seconds:6.1f} s ({watch.charged:4.1f})"
        terminalreporter.write_line(f"{path.name:<34}{seconds}{watch.peak / 2**20:8.0f} MB")
