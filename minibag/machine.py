"""What this machine gives us, also in a container: CPUs, memory, accelerator, whole files."""

from __future__ import annotations

import ctypes
import math
import os
import secrets
import shutil
import stat
import sys
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


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed or its process ends; OSError if another one has it.

    The error number is EACCES or EAGAIN then, and another one where files cannot be locked.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def plain(net: torch.nn.Module) -> torch.nn.Module:
    """Return the network itself, without what torch.compile or parallel training put around it."""
    import torch

    nn = torch.nn
    around = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while hasattr(net, "_orig_mod") or isinstance(net, around):
        net = net.module if isinstance(net, around) else net._orig_mod  # type: ignore[assignment]
    return net


def give_back_memory() -> None:
    """Give the system what the C library keeps of memory that was freed; glibc must be told to.

    A kernel that answers for an hour takes and frees large arrays thousands of times, and would
    hold ever more of such gaps.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary file to write to; a killed run leaves the old file, or else the new one.

    It lies in the same folder under a name that nobody can foresee. It takes the place of a file,
    whose permissions it gets, or of nothing; a link stays, and what it points to is replaced.

    Raises
    ------
    OSError
        If there is anything else (a folder, a device, a FIFO), before the work, or the file cannot
        be made or written; it names the path, and the cause, such as a disk that is full.
    """
    target, part = _reserve(path)
    try:
        yield part
        if target.exists():
            part.chmod(stat.S_IMODE(target.stat().st_mode) & 0o777)
        with part.open("rb+") as file:  # some disks say only now that they are full
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        if error.errno and not error.filename:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def check_output(path: str | Path) -> None:
    """Raise OSError unless `whole_file` can write there: before the work, not after it.

    A file is made and removed again, for root and network disks make liars of permissions.
    """
    _reserve(path)[1].unlink()


def check_folder(path: str | Path) -> None:
    """Raise OSError unless files can be written into a folder, or into one that is to be made."""
    path = expand(path)
    home = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if not home.is_dir():
        raise NotADirectoryError(f"{home} is no folder")
    check_output(home / secrets.token_hex(8))


def _reserve(path: str | Path) -> tuple[Path, Path]:
    """Return the file that a path means, behind all links, and a new empty one beside it."""
    path = expand(path)
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} lies in a folder that is not there")
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        kind = stat.S_IFREG
    if not stat.S_ISREG(kind):
        raise OSError(f"{path} is a folder, a device or a FIFO: only a file can be replaced")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"{path} is write-protected")
    part = target.with_name(f"{target.name[:40]}.{secrets.token_hex(8)}.part")  # 255 bytes at most
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(part, flags, 0o666))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    return target, part
