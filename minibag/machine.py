"""What this machine really gives us: CPU quota and memory, also inside a container."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpu_count(cgroup: Path = CGROUP) -> int:
    """Return how many CPUs this process may use: affinity, capped by the container's quota (>= 1).

    A container on a 64-core server often has a quota of two CPUs while every core is visible;
    64 threads on two CPUs are slower than two. Reads cgroup v2 ``cpu.max`` and v1 ``cpu.cfs_*``.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    visible = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, min(visible, math.ceil(quota)) if quota else visible)


def _quota(cgroup: Path) -> float | None:
    """CPUs granted by the cgroup, or None if there is no limit."""
    v2, v1 = cgroup / "cpu.max", cgroup / "cpu" / "cpu.cfs_quota_us"
    if v2.is_file():
        limit, period = v2.read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    if v1.is_file():
        micros = int(v1.read_text())
        period_file = v1.with_name("cpu.cfs_period_us")
        return None if micros < 0 else micros / int(period_file.read_text())
    return None
