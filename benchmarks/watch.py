"""Memory and CPU time of this process and all that it starts, sampled while something runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


def usage() -> tuple[float, float]:
    """Return resident memory in GiB and CPU seconds used, of this process and its children."""
    me = psutil.Process()
    memory = seconds = 0.0
    for process in (me, *me.children(recursive=True)):
        try:
            memory += process.memory_info().rss / 2**30
            seconds += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:  # it ended while we were counting
            continue
    return memory, seconds


@contextmanager
def watched(every: float = 0.5) -> Iterator[list[tuple[float, float]]]:
    """Yield a list that fills with samples of `usage`, and gets a last one at the end."""
    seen, done = [usage()], threading.Event()

    def watch() -> None:
        while not done.wait(every):
            seen.append(usage())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        seen.append(usage())
