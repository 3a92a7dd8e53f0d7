"""Pictures that answer a hand: thin shells around the figure functions, made of core ipywidgets.

ImportError if ipywidgets is not installed: the extra ``lab`` brings it.
"""

from importlib import import_module
from typing import Any

try:
    import ipywidgets  # noqa: F401
except ImportError as missing:
    raise ImportError("minibag.widgets needs ipywidgets: pip install 'minibag[lab]'") from missing

_HOME = {
    "ScrambleExplorer": "minibag.widgets.scramble",
    "BeTheBagNet": "minibag.widgets.game",
    "pool": "minibag.widgets.answers",
    "predict": "minibag.widgets.predictions",
    "pool_predictions": "minibag.widgets.predictions",
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
