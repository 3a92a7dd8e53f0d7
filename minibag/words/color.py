"""Local colour: what SIFT does not see.

Source: Clinchant et al., "XRCE's participation to ImagEval", CIVR 2007 (local colour statistics).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibag.words.patches import N_BINS, Floats, PatchDescriptor


class LocalColor(PatchDescriptor):
    """Mean and spread of red, green and blue in the 4 x 4 bins of every patch: 96 numbers.

    Entry ``(row * 4 + column) * 6 + k`` is the mean (k = 0, 1, 2 for R, G, B) or the standard
    deviation (k = 3, 4, 5) of the colour in that bin, in [0, 1]. Bins outside the image are 0.

    Parameters
    ----------
    step, patch_size
        As in `DenseSIFT`: the patches and their bins are the same.

    Examples
    --------
    >>> LocalColor().transform(np.zeros((1, 64, 64, 3), np.uint8)).shape
    (1, 13, 13, 96)
    """

    def __init__(self, step: int = 4, patch_size: int | Sequence[int] = 16) -> None:
        self.step = step
        self.patch_size = patch_size

    _n_entries = 6 * N_BINS**2

    def _checked(self, images: NDArray[Any]) -> NDArray[Any]:
        if images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8:
            return images
        raise ValueError(
            f"LocalColor takes uint8 images (N, H, W, 3), got {images.dtype} {images.shape}"
        )

    def _maps(self, image: NDArray[Any]) -> Floats:
        colours = image.transpose(0, 2, 1).astype(np.float32) / 255  # (H, 3, W)
        one = np.ones_like(colours[:, :1])
        return np.concatenate([one, colours, colours**2], axis=1)[:, None]

    def _finish(self, bins: Floats) -> Floats:
        sums = bins.reshape(*bins.shape[:2], N_BINS**2, 7)  # of 1, R, G, B and their squares
        moments = sums[..., 1:] / np.maximum(sums[..., :1], 1e-6)
        means, squares = moments[..., :3], moments[..., 3:]
        spread = np.sqrt(np.maximum(squares - means**2, 0))
        return np.concatenate([means, spread], axis=-1).reshape(*bins.shape[:2], -1)
