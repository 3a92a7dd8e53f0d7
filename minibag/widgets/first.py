"""The first widget: look at a picture through a small window and guess its class."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from minibag.data import ImageSet
from minibag.figures import evidence
from minibag.widgets.base import Redrawn


def window_corner(mask: NDArray[np.bool_] | None, side: int, q: int) -> tuple[int, int]:
    """Return (top, left) of a q x q window centred on the largest piece of evidence.

    Parameters
    ----------
    mask : (side, side) bool or None
        Pixels that carry evidence; None, or an empty mask, gives the middle of the image.
    side, q : int
        Sides of the square image and of the window in pixels. The window is kept inside.

    Raises
    ------
    ValueError
        If the window does not fit into the image.
    """
    if not 1 <= q <= side:
        raise ValueError(
            f"a window of {q} pixels does not fit an image of {side}; choose a q <= {side}"
        )
    centre = (side / 2, side / 2)
    if mask is not None and mask.any():
        pieces, _ = ndimage.label(mask)
        largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
        rows, columns = np.nonzero(pieces == largest)
        middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        centre = (rows[middle] + 0.5, columns[middle] + 0.5)
    top, left = (int(np.clip(round(c - q / 2), 0, side - q)) for c in centre)
    return top, left


def peek(images: ImageSet, q: int = 7) -> Redrawn:
    """Return the widget: look at an image through a q x q window, widen it, guess, uncover.

    Parameters
    ----------
    images : ImageSet
        Square images; with masks the window lies on the evidence, without in the middle.
    q : int
        Side of the window at the start, in pixels.
    """
    side = images.images.shape[1]

    def draw(picture: int, q: int, whole: bool) -> tuple[Figure, str]:
        n = picture - 1
        mask = None if images.masks is None else images.masks[n]
        top, left = window_corner(mask, side, q)
        name = images.classes[images.labels[n]]
        share = f"{100 * q**2 / side**2:.0f} % of the picture"
        text = f"Picture {picture} through a window of {q} x {q} pixels, {share}. " + (
            f"Uncovered: {name}." if whole else "Which class is it? Guess, then uncover it."
        )
        return evidence.peek(images.images[n], top, left, q, whole), text

    return Redrawn(
        draw,
        {
            "picture": widgets.IntSlider(1, 1, len(images), description="picture"),
            "q": widgets.IntSlider(q, 3, side, description="window side q (pixels)"),
            "whole": widgets.Checkbox(False, description="uncover the picture"),
        },
    )
