"""Does a map point at the evidence? Scores of maps against masks, one value an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibag.bag import Floats

TIE = 1e-6  # of the largest absolute value of a map: what rounding may split


def pointing_score(maps: Any, masks: NDArray[np.bool_]) -> Floats:
    """Return how often the maximum of each map lies in the mask: (N,), 0 or 1 but for ties.

    If several pixels share the maximum (within one millionth of the largest absolute value), the
    score is the share of them in the mask: the expected hit of one drawn at random. A constant
    map gets the share of the image that the mask covers, which is chance.

    Parameters
    ----------
    maps : (N, H, W), array or tensor; paint evidence of patches first (`PatchGrid.paint`)
    masks : bool (N, H, W), True on the evidence

    Raises
    ------
    ValueError
        If the shapes differ, a map is not finite, or a mask is empty: there is nothing to hit.

    References
    ----------
    Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016 (pointing game;
    theirs also counts a miss by up to 15 pixels as a hit, ours does not).
    """
    maps, masks = _checked(maps, masks)
    slack = TIE * np.abs(maps).max(1, keepdims=True)
    at_maximum = maps >= maps.max(1, keepdims=True) - slack
    return (at_maximum & masks).sum(1) / at_maximum.sum(1)


def energy_score(maps: Any, masks: NDArray[np.bool_]) -> Floats:
    """Return the share of the positive evidence of each map that lies in the mask: (N,), 0..1.

    A map without positive evidence points nowhere; it gets the share of the image that the mask
    covers, as a constant map does. Parameters and errors as `pointing_score`.

    References
    ----------
    Wang et al., "Score-CAM", CVPR Workshops 2020 (energy-based pointing game).
    """
    maps, masks = _checked(maps, masks)
    positive = np.maximum(maps, 0)
    positive[positive.max(1) == 0] = 1
    return (positive * masks).sum(1) / positive.sum(1)


def on_host(maps: Any) -> Floats:
    """Return maps, an array or a tensor on any device, as an array of float64."""
    return np.asarray(maps.detach().cpu() if hasattr(maps, "detach") else maps, float)


def _checked(maps: Any, masks: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return both as (N, H W), checked."""
    maps, masks = on_host(maps), np.asarray(masks)
    if maps.ndim != 3 or maps.shape != masks.shape or masks.dtype != bool or not maps.size:
        raise ValueError(
            f"expected maps and bool masks of one shape (N, H, W), got {maps.shape} and "
            f"{masks.dtype} {masks.shape}; spread evidence of patches with PatchGrid.paint"
        )
    maps, masks = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1)
    if not np.isfinite(maps).all():
        raise ValueError("maps must be finite")
    if not masks.any(1).all():
        empty = np.flatnonzero(~masks.any(1))
        raise ValueError(f"nothing to hit, leave these images out: masks {empty[:5]} are empty")
    return maps, masks
