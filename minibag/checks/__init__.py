"""Exercise checks, shared by class, homework and grader: one module per lesson."""

from minibag.checks.core import CheckFailed, Verdict, check

__all__ = ["CheckFailed", "Verdict", "check"]
