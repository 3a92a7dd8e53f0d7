"""What a lesson may hold in memory, and how it is watched."""

from __future__ import annotations

import threading

import psutil

MEMORY_LIMIT = 2 * 2**30  # bytes


class PeakMemory(threading.Thread):
    """Watch the memory of all processes that start below this one, four times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()
        self.others = set(psutil.Process().children(recursive=True))  # the browser tests' server

    def run(self) -> None:
        while not self.done.wait(0.25):
            mine = set(psutil.Process().children(recursive=True)) - self.others
            self.peak = max(self.peak, sum(map(_memory, mine)))


def _memory(process: psutil.Process) -> int:
    """Bytes that a process holds, pages that it shares included.

    Counting those once (PSS) would mean walking all its pages, which stops a process that asks for
    memory: it made lessons half as slow again.
    """
    try:
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
