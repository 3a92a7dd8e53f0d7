"""The limits that Linux sets to this process by control groups: a container's CPUs and memory.

Reads version 2 (``cpu.max``, ``memory.max``, ``memory.high``) and version 1 (``cpu.cfs_*``,
``memory.limit_in_bytes``) of the process's own group and of all groups above it, since the
tightest one binds. A file that cannot be read or understood limits nothing here, for nothing is
known of it: `unreadable` names it, and the doctor tells.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
FILES = {  # by controller, with how many numbers each file holds
    "cpu": {"cpu.max": 2, "cpu.cfs_quota_us": 1, "cpu.cfs_period_us": 1},
    "memory": {"memory.max": 1, "memory.high": 1, "memory.limit_in_bytes": 1},
}
CACHE = ("inactive_file", "active_file", "slab_reclaimable")  # in memory.stat


def cpu_quota(root: Path = ROOT, membership: Path = MEMBERSHIP) -> float:
    """Return how many CPUs' time this process may use; infinite without a quota."""
    quota = math.inf
    for group in _groups(root, "cpu", membership):
        values = [_read(group / name, n) or [] for name, n in FILES["cpu"].items()]
        for limit in (values[0], values[1] + values[2]):  # version 2 says both in one file
            if len(limit) == 2 and min(limit) > 0:  # version 1 says -1 without a quota
                quota = min(quota, limit[0] / limit[1])
    return quota


def memory_limits(
    root: Path = ROOT, membership: Path = MEMBERSHIP
) -> Iterator[tuple[float, float]]:
    """Yield for every group its limit in bytes, and how many of them are in use.

    Above ``memory.max`` the kernel kills, above ``memory.high`` it slows down to a crawl. Copies
    of files, which it drops when memory is asked for, do not count as in use.
    """
    for group in _groups(root, "memory", membership):
        limits = [value for name in FILES["memory"] for value in _read(group / name, 1) or []]
        used = _read(group / "memory.current", 1) or _read(group / "memory.usage_in_bytes", 1)
        if limits:
            yield min(limits), max(0.0, sum(used or []) - _cache(group))


def unreadable(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> list[Path]:
    """Return the files with limits of a controller ("cpu", "memory") that cannot be understood."""
    files = [
        (group / name, n)
        for group in dict.fromkeys(_groups(root, controller, membership))
        for name, n in FILES[controller].items()
    ]
    wrong = [file for file, n in files if _read(file, n) is None]
    return wrong + [membership] * (_text(membership) is None)


def _groups(root: Path, controller: str, membership: Path) -> Iterator[Path]:
    """Folders whose limits bind this process: the mount's root and its own groups below it."""
    yield from (root, root / controller)
    for line in (_text(membership) or "").splitlines():
        # "0::/user.slice/a" (version 2) or "4:cpu,cpuacct:/user.slice/a" (version 1)
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        if "/../" in f"{path}/":  # it lies outside this container's view
            continue
        for mount in dict.fromkeys((controller, controllers) if controllers else ("",)):
            own = Path(root, mount, path.lstrip("/"))
            yield from (group for group in (own, *own.parents) if root in group.parents)


def _cache(group: Path) -> float:
    """Return the bytes of a group that the kernel can drop: version 1 has totals of its own."""
    text = _text(group / "memory.stat") or ""
    stat: dict[str, str] = dict(re.findall(r"^(\w+) (\d+)$", text, re.M))
    return sum(float(stat.get(f"total_{name}", stat.get(name, "0"))) for name in CACHE)


def _read(file: Path, n: int) -> list[float] | None:
    """Return the n numbers of a file ("max" is infinite), [] if it is not there, None if odd."""
    text = _text(file)
    if text is None:
        return None
    try:
        numbers = [math.inf if word == "max" else float(int(word)) for word in text.split()]
    except ValueError:
        return None
    return numbers if len(numbers) in (0, n) else None


def _text(file: Path) -> str | None:
    """Return what a file says, "" if it is not there, None if it cannot be read."""
    try:
        return os.fsdecode(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError):  # no permission, no such device; a name that cannot be one
        return None
