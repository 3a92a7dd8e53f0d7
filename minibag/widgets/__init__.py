"""Pictures that answer a hand: thin shells around the figure functions, made of core ipywidgets."""

from importlib import import_module
from typing import Any

_HOME = {
    "ScrambleExplorer": "minibag.widgets.scramble",
    "BeTheBagNet": "minibag.widgets.game",
    "pool": "minibag.widgets.answers",
    "EvidenceExplorer": "minibag.widgets.evidence",
    "WordExplorer": "minibag.widgets.words",
    "ReceptiveFieldBuilder": "minibag.widgets.receptive",
    "peek": "minibag.widgets.first",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'minibag.widgets' has no attribute {name!r}")
