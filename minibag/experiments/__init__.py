"""What happens to a model when its images change: scrambled cells, textures without layout."""

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
