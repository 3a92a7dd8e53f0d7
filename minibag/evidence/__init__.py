"""What the evidence of a model looks like, where it comes from, and whether to believe it."""

from importlib import import_module
from typing import Any

# Only what needs torch loads it, on first use: telling patches of a word model do not.
_HOME = {
    "heatmap": "dense",
    "Patch": "patches",
    "top_patches": "patches",
    "pointing_score": "scores",
    "energy_score": "scores",
    "saliency": "attribution",
    "input_x_gradient": "attribution",
    "integrated_gradients": "attribution",
    "grad_cam": "layerwise",
    "occlusion": "attribution",
    "deeplift": "layerwise",
    "lrp": "layerwise",
    "deletion_curve": "deletion",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"minibag.evidence.{_HOME[name]}"), name)
    raise AttributeError(f"module 'minibag.evidence' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
