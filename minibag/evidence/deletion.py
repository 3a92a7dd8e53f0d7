"""How fast a prediction falls when the cells that a map ranks highest are masked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from minibag.bag import Floats, Predictor
from minibag.evidence.scores import on_host

Fill = Literal["mean", "zero", "blur", "noise"]


def deletion_curve(
    model: Predictor,
    images: NDArray[np.uint8],
    maps: Any = None,
    counts: Sequence[int] = (0, 1, 2, 4, 8, 16, 32),
    cell: int = 8,
    fill: Fill = "mean",
    seed: int = 0,
) -> Floats:
    """Return the probability of the class that led at first, with the top cells masked: (N, K).

    The image is cut into cells of ``cell`` pixels, ranked by the mean of the map over the cell,
    equal ones in random order; the first k of the rank are filled, for every k of ``counts``. A
    map that finds what the model uses makes a curve that falls sooner than the random one. Masked
    images are unlike any the model was trained on: look at several fills before you conclude.

    Parameters
    ----------
    model : any Predictor
    images : uint8 (N, H, W, 3)
    maps : (N, H, W), array or tensor, evidence for the class; None ranks cells at random
    counts : the K numbers of masked cells, from 0 to all
    cell : side of the cells in pixels; those at the bottom and right edge may be cut off
    fill : "mean" colour of the image, "zero" (black), "blur" (Gaussian with a standard deviation
        of one cell) or "noise" (every byte drawn evenly)
    seed : of ties, random ranks and noise

    Raises
    ------
    ValueError
        If shapes, counts or fill are not as above, or a map is not finite.

    References
    ----------
    Brendel & Bethge, ICLR 2019 (sensitivity to masking); Samek et al., "Evaluating the
    visualization of what a deep neural network has learned", IEEE TNNLS 2017.
    """
    shape = images.shape[:3]
    maps = np.zeros(shape) if maps is None else on_host(maps)
    if maps.shape != shape or cell < 1 or not np.isfinite(maps).all():
        raise ValueError(
            f"expected finite maps {shape} as the images and cell >= 1, got maps {maps.shape}, "
            f"cell={cell}; spread evidence of patches with PatchGrid.paint"
        )
    rng = np.random.default_rng(seed)
    rank = _rank(maps, cell, rng)
    if not len(counts) or min(counts) < 0 or max(counts) > rank[0].size:
        raise ValueError(f"counts must be from 0 to the {rank[0].size} cells, got {[*counts]}")
    filled = _filled(images, cell, fill, rng)
    rank = rank.repeat(cell, 1).repeat(cell, 2)[:, : shape[1], : shape[2], None]
    every = np.arange(len(images))
    leading = model.predict_proba(images).argmax(1)
    masked = (np.where(rank < k, filled, images) for k in counts)
    return np.stack([model.predict_proba(batch)[every, leading] for batch in masked], axis=1)


def _rank(maps: Floats, cell: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the place of every cell in the order of its mean, 0 for the highest: (N, h, w)."""
    sums, area = maps, np.ones(maps.shape[1:])[None]
    for axis in (1, 2):
        starts = np.arange(0, maps.shape[axis], cell)
        sums, area = (np.add.reduceat(array, starts, axis) for array in (sums, area))
    means = (sums / area).reshape(len(maps), -1)
    order = np.lexsort((rng.random(means.shape), -means), axis=1)
    return order.argsort(1).reshape(sums.shape)


def _filled(
    images: NDArray[np.uint8], cell: int, fill: Fill, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return images made of nothing but the filling."""
    if fill == "mean":
        mean = images.mean((1, 2), keepdims=True).round().astype(np.uint8)
        return np.broadcast_to(mean, images.shape)
    if fill == "zero":
        return np.zeros_like(images)
    if fill == "blur":
        return gaussian_filter(images, (0, cell, cell, 0), mode="nearest")
    if fill == "noise":
        return rng.integers(0, 256, images.shape, np.uint8)
    raise ValueError(f'fill must be "mean", "zero", "blur" or "noise", got {fill!r}')
