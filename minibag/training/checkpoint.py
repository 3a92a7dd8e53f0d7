"""The folder of a training run: one run at a time; checkpoints whole or absent, and its own."""

from __future__ import annotations

import errno
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from minibag.machine import lock, whole_file

FORMAT = 4
CONTENT = {"format", "run", "net", "optimizer", "scaler", "sofar"}  # and "average", where it is
HELD: set[Path] = set()  # by this process, to which the system's locks do not apply


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep a folder, made if need be, for one training; ValueError if another one has it.

    The lock is the system's and ends with its process, however that ends: the file ``lock`` that
    stays there blocks nobody. Processes that are forked, as those that load images, have no share
    in it (which is why it is not ``flock``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    home, file = folder.resolve(), regular(folder / "lock")
    busy = f"another training is going on in {folder}: wait for its end, or take another folder"
    if home in HELD:
        raise ValueError(busy)
    with file.open("a") as handle:
        try:
            lock(handle.fileno())
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise ValueError(busy) from error
            warning = f"no locks in {folder} ({error}): start no second training there"
            warnings.warn(warning, stacklevel=4)
        HELD.add(home)
        try:
            yield
        finally:
            HELD.remove(home)


def regular(file: Path) -> Path:
    """Return the name of a file or of none yet; ValueError for a FIFO, device or folder."""
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} is no regular file: take another folder for the training")
    return file


def drop_half_line(log: Path) -> None:
    """Cut off what a power cut has left of the last line, so that the next one stands alone."""
    if regular(log).exists() and not (content := log.read_bytes()).endswith(b"\n"):
        with log.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a run killed meanwhile leaves the one before.

    It leaves its half-written file, too, as large as a checkpoint: the next one clears that away.
    """
    for part in path.parent.glob(f"{path.name}.*.part"):
        part.unlink()
    with whole_file(path) as part, part.open("wb") as file:
        try:
            torch.save({"format": FORMAT, **state}, file)
        except RuntimeError as error:  # torch speaks of positions in the archive, the disk is full
            if isinstance(error.__context__, OSError):
                raise OSError(*error.__context__.args) from error
            raise


def load_checkpoint(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of this very run, on the CPU.

    Raises ValueError if it is damaged, made by hand or another's, and OSError or MemoryError if a
    good one cannot be read, which is no reason to delete it.
    """
    regular(path)
    try:
        with path.open("rb") as file:
            with zipfile.ZipFile(file) as archive:  # torch.load does not compare checksums
                if damaged := archive.testzip():
                    raise zipfile.BadZipFile(f"bad checksum of {damaged}")
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        if lacking := CONTENT - state.keys():
            raise ValueError(f"without {', '.join(sorted(lacking))}")
        theirs = dict(state["run"])
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        _raise_if_unreadable(path, error)
        raise ValueError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}: {error}); delete it to "
            "start the training again"
        ) from error
    if state["format"] != FORMAT:
        theirs, run = {"format": state["format"]}, {"format": FORMAT}
    changes = [f"{k} was {theirs.get(k)!r}, is {v!r}" for k, v in run.items() if theirs.get(k) != v]
    if changes:
        raise ValueError(
            f"{path} belongs to another run ({'; '.join(changes)}): take another folder, or "
            "delete this one to start again"
        )
    return state


def _raise_if_unreadable(path: Path, error: Exception) -> None:
    """Raise OSError or MemoryError if not the file's content is to blame."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # seek to nowhere
        raise OSError(error.errno, f"cannot be read: {error.strerror}", str(path)) from error
    if isinstance(error, MemoryError) or "memory" in str(error):  # torch's is a RuntimeError
        raise MemoryError(f"not enough memory to read {path}; it is not damaged") from error
