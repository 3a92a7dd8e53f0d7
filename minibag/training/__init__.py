"""One loop that trains every network of the course, on one CPU or on many GPUs."""

from minibag.training.loop import fit
from minibag.training.recipe import IMAGENET, Recipe

__all__ = ["IMAGENET", "Recipe", "fit"]
