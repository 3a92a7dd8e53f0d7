"""What happens to a model when its images change, or its numbers: scrambled, textured, rounded."""

from importlib import import_module
from typing import Any

from minibag.experiments.accuracy import ScrambledAccuracy, accuracy_by_grid
from minibag.experiments.bags import scrambled_evidence
from minibag.experiments.scramble import Shuffle, scramble, surviving_patches, unscramble

__all__ = [
    "ScrambledAccuracy",
    "Shuffle",
    "accuracy_by_grid",
    "scramble",
    "scrambled_evidence",
    "surviving_patches",
    "unscramble",
]
# These need torch, and load it on first use: scrambling for a word model does not.
_TORCH = {
    **dict.fromkeys(["gram", "synthesise", "texture_net"], "textures"),
    **dict.fromkeys(["fragile", "in_precision", "rounded"], "precision"),
}
__all__ += [*_TORCH]


def __getattr__(name: str) -> Any:
    if name in _TORCH:
        return getattr(import_module(f"minibag.experiments.{_TORCH[name]}"), name)
    raise AttributeError(f"module 'minibag.experiments' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
