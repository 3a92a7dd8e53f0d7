"""What this machine gives us, also in a container: CPUs, memory, accelerator, whole files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_count(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return how many CPUs this process may use: affinity, capped by the container's quota (>= 1).

    A container on a 64-core server often has a quota of two CPUs while every core is visible;
    64 threads on two CPUs are slower than two. Reads cgroup v2 ``cpu.max`` and v1 ``cpu.cfs_*``
    of the process's own group and of all groups above it, since the tightest one binds.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    for group in _groups(cgroup, "cpu", membership):
        limit = _words(group / "cpu.max")  # v2: "max 100000" or "200000 100000"
        limit = limit or _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if limit and limit[0] not in ("max", "-1"):
            cpus = min(cpus, int(limit[0]) / int(limit[1]))
    return max(1, math.ceil(cpus))


def memory_limit(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Return how many bytes this process may use: the machine's memory, capped by its cgroups."""
    import psutil

    size = psutil.virtual_memory().total
    for group in _groups(cgroup, "memory", membership):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")  # v2, v1
        if limit and limit[0] != "max":
            size = min(size, int(limit[0]))
    return size


def limit_threads(cgroup: Path = CGROUP) -> None:
    """Let numerical libraries start no more threads than the CPUs granted to this process.

    ``import minibag`` calls this. Nothing happens on a machine that grants all the CPUs it shows,
    or where OMP_NUM_THREADS is set: that choice is the user's.
    """
    granted = cpu_count(cgroup)
    if "OMP_NUM_THREADS" in os.environ or granted >= (os.cpu_count() or 1):
        return
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(granted)  # libraries that are loaded from now on
    threadpool_limits(granted)  # libraries that are loaded already


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


def accelerator() -> torch.device | None:
    """Return the accelerator that torch can use here (CUDA, XPU, MPS, ...), None if there is none.

    Networks are trained there unless another device is asked for, and the doctor reports it.
    """
    import torch

    return torch.accelerator.current_accelerator(check_available=True)


def device_of(net: torch.nn.Module) -> torch.device:
    """Return where a network lives: where its first weight is, the CPU if it has none."""
    import torch

    tensors = (*net.parameters(), *net.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to; a killed run leaves the old file, or else the new one."""
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _groups(cgroup: Path, controller: str, membership: Path) -> Iterator[Path]:
    """Folders whose limits bind this process: the mount's root and its own groups below it."""
    yield from (cgroup, cgroup / controller)
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for line in lines:  # "0::/user.slice/a" (v2) or "4:cpu,cpuacct:/user.slice/a" (v1)
        _, controllers, path = line.split(":", 2)
        mine = not controllers or controller in controllers.split(",")
        if mine and "/../" not in f"{path}/":  # else it lies outside this container's view
            own = Path(cgroup, controller if controllers else "", path.lstrip("/"))
            yield from (group for group in (own, *own.parents) if cgroup in group.parents)


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.is_file() else []
