"""How an exercise is checked: try the student's answer, say what is wrong, offer hints.

A check never stops the notebook: it returns a `Verdict` that shows itself. A grader calls
``verdict.require()``, which raises.

The student's function gets copies of its inputs, so that it cannot change what the truth is
computed from. What it raises is told with the student's own line, never with one of ours.
"""

from __future__ import annotations

import copy
import functools
import html
import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

SECONDS = 60.0  # how long a check may take
_LIBRARIES = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_NOT_THEIRS = (str(Path(__file__).parents[1]), *_LIBRARIES, "<frozen", "<__array")


class CheckFailed(AssertionError):  # noqa: N818 (the name says what happened to the student)
    """An answer is wrong; the message says what is wrong and how to go on."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check: shown in the notebook, or enforced with ``require``."""

    passed: bool
    message: str
    hints: tuple[str, ...] = ()

    def require(self) -> None:
        """Raise CheckFailed if the check did not pass (what homework and graders call)."""
        if not self.passed:
            raise CheckFailed(self.message)

    def __str__(self) -> str:
        return f"{'Passed' if self.passed else 'Not yet'}: {self.message}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour, mark = ("#0b6e4f", "&#10003;") if self.passed else ("#a34700", "&#10148;")
        hints = "".join(
            f"<details><summary>Hint {i}</summary>{html.escape(hint)}</details>"
            for i, hint in enumerate(self.hints, 1)
        )
        return (
            f'<div style="border-left:4px solid {colour};padding:.4em .8em">'
            f"<b>{mark} {'Passed' if self.passed else 'Not yet'}:</b> "
            f"{html.escape(self.message)}{'' if self.passed else hints}</div>"
        )


def refuse(*cases: tuple[Any, str]) -> None:
    """Raise CheckFailed with the message of the first case that holds."""
    for holds, message in cases:
        if holds:
            raise CheckFailed(message)


class _Student:
    """A student's function, called with copies of its arguments.

    The forgotten ``return`` is named before it confuses a check.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.given: tuple[Any, ...] = ()  # what it got the last time, as it left it
        self.running = False
        self.answer: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.given, named = copy.deepcopy((args, kwargs))
        self.running = True
        self.answer = self.function(*self.given, **named)
        self.running = False
        none = "the function returns None: does it end with `return ...`?"
        refuse((self.answer is None, none))
        return self.answer


def given(student: Any) -> tuple[Any, ...]:
    """Return the arguments of the last call of a student's function, as it left them."""
    return student.given


class _TooSlow(BaseException):
    """No Exception, so that a student's ``except Exception`` lets it pass."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise _TooSlow after ``seconds``, once a second until it is heard.

    Only in the main thread, and not on Windows, which has no such signal: elsewhere there is no
    limit, and the notebook's stop button does it.
    """
    if not hasattr(signal, "SIGALRM") or threading.current_thread() != threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, every)
        signal.signal(signal.SIGALRM, before)


def _own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost line of the student's in a traceback; None if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_THEIRS)]
    return own[-1] if own else None


def _said(error: BaseException) -> str:
    """Return type and message of an error, even of one that cannot be printed."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be printed)"
    if len(message) > 300:
        message = f"{message[:300]} ..."
    return f"{type(error).__name__}: {message}"


def _described(answer: Any) -> str:
    """Return what an answer is, without printing what is in it."""
    shape, name = getattr(answer, "shape", None), type(answer).__name__
    if isinstance(shape, tuple):
        return f"{name} of shape {tuple(shape)}"
    return f"{name} of length {len(answer)}" if isinstance(answer, list | tuple) else name


def _explained(error: BaseException, student: _Student, expected: str) -> str:
    """Say what went wrong: in the student's line, in the call, or with what came back."""
    if isinstance(error, _TooSlow):
        return f"stopped: no answer after {SECONDS:.0f} seconds. Is there a loop that never ends?"
    if isinstance(error, SystemExit):
        return "your code asked Python to end (SystemExit): leave exit() and quit() out."
    frame = _own_frame(error)
    if frame is not None:
        place = f"line {frame.lineno} in {frame.name}: {frame.line}"
        return f"your code raised {_said(error)} ({place})"
    if student.running:
        return f"calling your function raised {_said(error)}. Expected: {expected}"
    answer = _described(student.answer)
    return f"what you return ({answer}) does not fit: {_said(error)}. Expected: {expected}"


def check(*hints: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Turn a function that raises CheckFailed, or returns praise, into one that gives a Verdict.

    Whatever the student's code raises becomes a message with the line it came from: the check's
    job is to explain it, not to hide it. An error without a line of theirs is told with what was
    expected: the first paragraph of the check's docstring. At most three hints.
    """
    if len(hints) > 3:
        raise ValueError(f"an exercise has at most three hints, got {len(hints)}")

    def decorate(function: Callable[..., str]) -> Callable[..., Verdict]:
        expected = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        expected = expected.removeprefix("Check ").replace("``", "`")

        @functools.wraps(function)
        def run(student: Any, *args: Any, **kwargs: Any) -> Verdict:
            if not callable(student):
                told = f"this is no function, but a value ({_described(student)}): pass the "
                return Verdict(False, f"{told}function itself, without calling it.", hints)
            theirs = _Student(student)
            try:
                with time_limit(SECONDS):
                    return Verdict(True, function(theirs, *args, **kwargs))
            except CheckFailed as wrong:
                return Verdict(False, str(wrong), hints)
            except KeyboardInterrupt:  # the stop button
                raise
            except BaseException as error:
                if isinstance(error, NotImplementedError) and theirs.running:
                    return Verdict(False, "your turn: replace the NotImplementedError line.", hints)
                return Verdict(False, _explained(error, theirs, expected), hints)

        return run

    return decorate
