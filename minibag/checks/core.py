"""How an exercise is checked: try the student's answer, say what is wrong, offer hints.

A check never stops the notebook: it returns a `Verdict` that shows itself. A grader calls
``verdict.require()``, which raises.
"""

from __future__ import annotations

import functools
import html
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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


def _not_none(student: Any) -> Any:
    """Wrap a student's function: the forgotten ``return`` is named before it confuses a check."""

    def run(*args: Any, **kwargs: Any) -> Any:
        answer = student(*args, **kwargs)
        refuse((answer is None, "the function returns None: does it end with `return ...`?"))
        return answer

    return run if callable(student) else student


def check(*hints: str) -> Callable[[Callable[..., str]], Callable[..., Verdict]]:
    """Turn a function that raises CheckFailed, or returns praise, into one that gives a Verdict.

    Whatever the student's code raises becomes a message with the line it came from: the check's
    job is to explain it, not to hide it. At most three hints.
    """
    if len(hints) > 3:
        raise ValueError(f"an exercise has at most three hints, got {len(hints)}")

    def decorate(function: Callable[..., str]) -> Callable[..., Verdict]:
        @functools.wraps(function)
        def run(student: Any, *args: Any, **kwargs: Any) -> Verdict:
            try:
                return Verdict(True, function(_not_none(student), *args, **kwargs))
            except CheckFailed as wrong:
                return Verdict(False, str(wrong), hints)
            except NotImplementedError:
                return Verdict(False, "your turn: replace the NotImplementedError line.", hints)
            except Exception as error:  # the student's own: named, with its place
                frame = traceback.extract_tb(error.__traceback__)[-1]
                return Verdict(
                    False,
                    f"your code raised {type(error).__name__}: {error} "
                    f"(line {frame.lineno} in {frame.name}: {frame.line})",
                    hints,
                )

        return run

    return decorate
