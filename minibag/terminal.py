"""What the command line says: one line at a time, in characters that every terminal can show."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LONGEST = 2000  # characters of an error; a folder can have 100,000 faulty files


def printable(text: str) -> str:
    r"""Return text without control characters: names of files and classes are not commands.

    Escape sequences, line breaks, marks that turn the direction of writing and bytes that are no
    text appear as Python writes them, such as ``\x1b``.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def say(line: str, to: IO[str] | None = None) -> None:
    """Print one line, to stdout unless told otherwise."""
    print(printable(line), file=to or sys.stdout)


def complain(who: str, problem: object) -> None:
    """Print one line about a problem to stderr, however long the message of a library is."""
    line = " ".join(str(problem).split())
    more = f" ... ({len(line) - LONGEST:,} more characters)" if len(line) > LONGEST else ""
    if sys.stderr:
        say(f"{who}: {line[:LONGEST]}{more}", sys.stderr)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody sits there; a process may also have no such stream at all."""
    return stream is not None and stream.isatty()


@contextmanager
def speaking(who: str) -> Iterator[None]:
    """Let warnings be one line each, and what a terminal cannot encode be escaped, not raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def show(message: Warning | str, *_: object) -> None:
        complain(f"{who}: warning", message)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield
        if sys.stdout:
            sys.stdout.flush()


def stop_speaking() -> None:
    """Send what is left of stdout to nowhere: its reader is gone, or its disk is full."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
