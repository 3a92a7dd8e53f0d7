"""What this machine gives us, also in a container: CPUs, memory, accelerator, whole files."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

from minibag import cgroup

SHARED_MEMORY = Path("/dev/shm")


def cpu_count(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> int:
    """Return how many CPUs this process may use: affinity, capped by the container's quota (>= 1).

    A container on a 64-core server often has a quota of two CPUs while every core is visible;
    64 threads on two CPUs are slower than two.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cgroup.cpu_quota(root, membership))))


def memory_limit(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> int:
    """Return how many bytes this process may use: the machine's memory, capped by its cgroups."""
    import psutil

    limits = (limit for limit, _ in cgroup.memory_limits(root, membership))
    return int(min([psutil.virtual_memory().total, *limits]))


def memory_free(root: Path = cgroup.ROOT, membership: Path = cgroup.MEMBERSHIP) -> int:
    """Return how many bytes this process can still get, from the machine and within its cgroups."""
    import psutil

    left = (limit - used for limit, used in cgroup.memory_limits(root, membership))
    return int(max(0, min([psutil.virtual_memory().available, *left])))


def shared_memory(home: Path = SHARED_MEMORY) -> float:
    """Return how many bytes processes can still share; infinite where no file system limits them.

    Docker gives a container 64 MB, unless told otherwise.
    """
    return shutil.disk_usage(home).free if home.is_dir() else math.inf


def limit_threads(root: Path = cgroup.ROOT) -> None:
    """Let numerical libraries start no more threads than the CPUs granted to this process.

    ``import minibag`` calls this. Nothing happens on a machine that grants all the CPUs it shows,
    or where OMP_NUM_THREADS is set: that choice is the user's.
    """
    granted = cpu_count(root)
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


def device_memory(device: torch.device) -> float:
    """Return how many bytes can still be stored on a device: of a GPU its own, else the machine's.

    Apple's GPUs share the machine's memory, and so does the CPU.
    """
    import torch

    if device.type in ("cuda", "xpu"):
        return torch.accelerator.get_memory_info(device)[0]
    return memory_free()


def device_of(net: torch.nn.Module) -> torch.device:
    """Return where a network lives: where its first weight is, the CPU if it has none."""
    import torch

    tensors = (*net.parameters(), *net.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def expand(path: str | Path) -> Path:
    """Return a path that a user gave, with ``~`` and ``~name`` as a shell reads them.

    Python and operating systems take ``~`` for a name like any other, and a shell replaces it only
    at the beginning of a word. A ``~name`` that is no user of this machine is a name, as there.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser refuses such a name


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to; a killed run leaves the old file, or else the new one."""
    path = expand(path)
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
