"""What this machine really gives us: CPU quota, memory and threads, also inside a container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_count(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return how many CPUs this process may use: affinity, capped by the container's quota (>= 1).

    A container on a 64-core server often has a quota of two CPUs while every core is visible;
    64 threads on two CPUs are slower than two. Reads cgroup v2 ``cpu.max`` and v1 ``cpu.cfs_*``
    of the process's own group and of all groups above it, since the tightest one binds.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    visible = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [_cpu_quota(folder) for folder in _levels(cgroup, "cpu", membership)]
    return max(1, math.ceil(min(visible, *quotas)))


def memory_limit(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return how many bytes this process may use: the machine's memory, capped by its cgroups."""
    import psutil

    limits = [_memory_limit(folder) for folder in _levels(cgroup, "memory", membership)]
    return int(min(psutil.virtual_memory().total, *limits))


def thread_counts() -> dict[str, int]:
    """Return how many threads each numerical library would start here, by the library's name.

    Loads NumPy, scikit-learn and torch, because only a loaded library can be asked.
    """
    import sklearn.cluster  # noqa: F401  loads BLAS and OpenMP
    import torch
    from threadpoolctl import threadpool_info

    counts = {"torch": torch.get_num_threads()}
    for pool in threadpool_info():
        name = pool["internal_api"]
        counts[name] = max(counts.get(name, 0), pool["num_threads"])
    return counts


def _levels(cgroup: Path, controller: str, membership: Path) -> Iterator[Path]:
    """Folders whose limits bind this process: the mount's root and its own groups below it."""
    yield from (cgroup, cgroup / controller)
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for line in lines:  # "0::/user.slice/a" (v2) or "4:cpu,cpuacct:/user.slice/a" (v1)
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        folder = cgroup / controller if controllers else cgroup
        parts = Path(path.lstrip("/")).parts
        if ".." in parts:  # the group lies outside this container's view
            continue
        for part in parts:
            folder = folder / part
            yield folder


def _cpu_quota(folder: Path) -> float:
    """CPUs that one cgroup folder grants, infinity if it sets no limit."""
    v2, v1 = folder / "cpu.max", folder / "cpu.cfs_quota_us"
    if v2.is_file():
        limit, period = v2.read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    if v1.is_file():
        micros = int(v1.read_text())
        period_file = folder / "cpu.cfs_period_us"
        return math.inf if micros < 0 else micros / int(period_file.read_text())
    return math.inf


def _memory_limit(folder: Path) -> float:
    """Bytes that one cgroup folder grants, infinity if it sets no limit."""
    for file in (folder / "memory.max", folder / "memory.limit_in_bytes"):  # v2, v1
        if file.is_file():
            text = file.read_text().strip()
            return math.inf if text == "max" else int(text)
    return math.inf
