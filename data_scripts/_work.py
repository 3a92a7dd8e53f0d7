"""How every script works: alone in a folder of its own, and with faults in one line."""

from __future__ import annotations

import errno
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from minibag.machine import lock
from minibag.terminal import complain, say, speaking


class DataError(Exception):
    """What went wrong with a data set and how to go on."""


@contextmanager
def work_folder(target: Path) -> Iterator[Path]:
    """Give a hidden folder beside ``target`` to this process alone; DataError if another has it.

    What a killed run or an error leaves there is for the next run to go on from; the folder goes
    when nothing is left or ``target`` is there. Its lock ends with its process, however that ends.
    """
    work = target.with_name(f".{target.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    mine = False
    try:
        with (work / "lock").open("a") as file:
            _lock(file, target)
            mine = True
            yield work
    finally:  # after the lock's file is closed: Windows deletes no open one
        if mine and (target.exists() or [path.name for path in work.iterdir()] == ["lock"]):
            shutil.rmtree(work)


def _lock(file: IO[str], target: Path) -> None:
    """Lock a file for the run that makes ``target``; DataError if another run has it."""
    try:
        lock(file.fileno())
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise DataError(f"another run makes {target} at this moment: wait for it") from error
        warnings.warn(f"{target} cannot be locked ({error}): start no second run", stacklevel=4)


def one_line(script: str, work: Callable[[], str]) -> int:
    """Do the work and print what it returns, or in one line what went wrong; return the exit code.

    It is 0, 1 for a fault, or 130 if the work was stopped by Ctrl-C.
    """
    with speaking(script):
        try:
            say(work())
        except KeyboardInterrupt:
            complain(script, "stopped. Run the same command again to go on.")
            return 130
        except (DataError, ValueError, OSError, MemoryError) as error:
            complain(script, str(error) or type(error).__name__)
            return 1
    return 0
