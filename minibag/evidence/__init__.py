"""What the evidence of a model looks like, where it comes from, and whether to believe it."""

from importlib import import_module
from typing import Any

# Only what needs torch loads it, on first use: telling patches of a word model do not.
_NAMES = {
    "attribution": ("saliency", "input_x_gradient", "integrated_gradients", "occlusion"),
    "deletion": ("deletion_curve",),
    "dense": ("heatmap",),
    "layerwise": ("grad_cam", "lrp", "deeplift"),
    "patches": ("Patch", "top_patches"),
    "scores": ("pointing_score", "energy_score"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"minibag.evidence.{_HOME[name]}"), name)
    raise AttributeError(f"module 'minibag.evidence' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
