"""What a lesson may cost, and how its time and memory are watched."""

from __future__ import annotations

import threading
import time

import psutil

TIME_LIMIT = 75.0  # seconds on two cores
MEMORY_LIMIT = 2 * 2**30  # bytes


class Watch(threading.Thread):
    """Watch the time, and the memory of all processes that start below this one, until `stop`.

    Attributes
    ----------
    seconds, peak : by the clock; bytes at most, looked at four times a second
    charged : the seconds by the clock without those that others took (see `charge`)
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()
        self.others = set(psutil.Process().children(recursive=True))  # the browser tests' server
        self.clock, self.cpu = time.perf_counter(), cpu_seconds()
        self.start()

    def run(self) -> None:
        while not self.done.wait(0.25):
            mine = set(psutil.Process().children(recursive=True)) - self.others
            self.peak = max(self.peak, sum(map(_memory, mine)))

    def stop(self) -> None:
        """Stop the watch."""
        self.done.set()
        self.seconds = time.perf_counter() - self.clock
        machine, ours = (
            after - before for before, after in zip(self.cpu, cpu_seconds(), strict=True)
        )
        self.charged = charge(self.seconds, machine - ours)


def charge(seconds: float, others: float) -> float:
    """Return the seconds of a lesson during which others computed for ``others`` CPU-seconds.

    A CPU-second of theirs may have kept us waiting for as long. More than half of the time is
    never taken off: on a machine of many cores, most of what others do is no hindrance.
    """
    return seconds - min(max(others, 0.0), seconds / 2)


def cpu_seconds() -> tuple[float, float]:
    """Return the CPU time of the whole machine so far, and of this process with all below it."""
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # guests are counted as users, too
    machine = sum(value for name, value in times.items() if name not in idle)
    me = psutil.Process()
    return machine, sum(_cpu(process) for process in (me, *me.children(recursive=True)))


def _cpu(process: psutil.Process) -> float:
    """CPU seconds of a process, and of those it has waited for."""
    try:
        return sum(process.cpu_times()[:4])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def _memory(process: psutil.Process) -> int:
    """Bytes that a process holds, pages that it shares included.

    Counting those once (PSS) would mean walking all its pages, which stops a process that asks for
    memory: it made lessons half as slow again.
    """
    try:
        return process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
