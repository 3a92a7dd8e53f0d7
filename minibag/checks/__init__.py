"""Exercise checks, shared by class, homework and grader: ``mb.checks.lesson01`` and so on."""

from importlib import import_module
from types import ModuleType

from minibag.checks.core import CheckFailed, Verdict, check

__all__ = ["CheckFailed", "Verdict", "check"]
_LESSONS = tuple(f"lesson{number:02d}" for number in range(13))


def __getattr__(name: str) -> ModuleType:
    # Lessons load on first use: the later ones need torch.
    if name in _LESSONS:
        return import_module(f"minibag.checks.{name}")
    raise AttributeError(f"module 'minibag.checks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_LESSONS])
