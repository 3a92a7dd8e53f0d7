"""Names of classes: how two lists of them differ, also where they look the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def difference(known: Sequence[str], given: Sequence[str]) -> str:
    """Say how the names ``given`` differ from those that are ``known``; empty if they do not.

    Names that look the same are spelled out: Unicode has two ways to write an é (NFC, which most
    systems store, and NFD, as on older Macs), and characters that nobody sees.
    """
    if tuple(known) == tuple(given):
        return ""
    ours, theirs = set(known), set(given)
    strange = [name for name in given if name not in ours]
    missing = [name for name in known if name not in theirs]
    looks = {look(name): name for name in known}
    if twins := [(looks[look(name)], name) for name in strange if look(name) in looks]:
        spelled = " and ".join(map(ascii, twins[0]))
        return f"{spelled} look the same (Unicode NFC and NFD?), but are two names: rename one"
    lists = {"unknown": strange, "missing": missing}
    said = [f"{what}: {few(names)}" for what, names in lists.items() if names]
    return "; ".join(said) or f"other order or number: {few(given)} instead of {few(known)}"


def look(name: str) -> str:
    """Return what a reader sees of a name: one way to write each letter, nothing invisible."""
    shown = "".join(c for c in unicodedata.normalize("NFKC", name) if c.isprintable())
    return " ".join(shown.split())


def few(names: Iterable[str], n: int = 5) -> str:
    """Return the first names and how many more there are, for a message."""
    names = list(names)
    return ", ".join(names[:n]) + (f" and {len(names) - n:,} more" if names[n:] else "")
