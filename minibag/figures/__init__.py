"""Pure figure functions: data in, matplotlib Figure out; ``show`` displays one with alt text."""

from minibag.figures.base import show

__all__ = ["show"]
