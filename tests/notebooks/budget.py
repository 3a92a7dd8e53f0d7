"""What a lesson may cost, and how its memory is watched."""

from __future__ import annotations

import threading

import psutil

TIME_LIMIT = 75.0  # seconds on two cores
MEMORY_LIMIT = 2 * 2**30  # bytes


class PeakMemory(threading.Thread):
    """Watch the memory of all processes that start below this one, ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()
        self.others = set(psutil.Process().children(recursive=True))  # the browser tests' server

    def run(self) -> None:
        while not self.done.wait(0.1):
            mine = set(psutil.Process().children(recursive=True)) - self.others
            self.peak = max(self.peak, sum(map(_memory, mine)))


def _memory(process: psutil.Process) -> int:
    """Bytes held by a process: its share of shared pages counted once (Linux), else the RSS."""
    try:
        full = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return getattr(full, "pss", full.rss)
