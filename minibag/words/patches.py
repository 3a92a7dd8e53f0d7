"""Patch descriptors: what all share (the grid, pooling into 4 x 4 bins), and the simplest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin

from minibag.bag import PatchGrid

Floats = NDArray[np.float32]
N_BINS = 4


class PatchDescriptor(TransformerMixin, BaseEstimator):
    """Base of the transformers that describe all patches on a regular grid.

    A subclass says which maps of the image to pool and what becomes of the bins. Bins fade into
    each other, but they end with the patch: a descriptor sees no pixel outside, unless its maps do.
    """

    step: int
    patch_size: int | Sequence[int]
    _checked: Callable[[NDArray[Any]], NDArray[Any]]  # images as `_maps` takes them, or ValueError
    _maps: Callable[[NDArray[Any]], Floats]  # image to K maps of each of C channels: (H, C, K, W)
    _finish: Callable[[Floats], Floats]  # pooled bins (h, w, C, 16 * K) to descriptors (h, w, D)
    _reach = 0  # pixels that are seen beyond each edge of a patch

    def fit(self, images: Any = None, labels: Any = None) -> Self:
        """Return self: there is nothing to learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie; ``size`` is the largest.

        Raises ValueError if the image is smaller than the smallest patch.
        """
        sizes = self._sizes()
        small, large = min(sizes), max(sizes) + 2 * self._reach
        h, w = ((side - small) // self.step + 1 for side in image_shape)
        return PatchGrid(large, self.step, (small - large) // 2, (h, w))

    def transform(self, images: ArrayLike) -> Floats:
        """Describe every patch of uint8 images (N, H, W, 3), or of grey floats where allowed.

        Returns float32 (N, h, w, D), or (N, h, w, S, D) for a sequence of S patch sizes. Raises
        ValueError for other shapes, types or values, and for images smaller than a patch.
        """
        images = self._checked(np.asarray(images))
        if len(images) == 0:
            raise ValueError(f"no images to describe: got shape {images.shape}")
        sides = images.shape[1:3]
        grid, sizes = self.grid(sides), self._sizes()
        pools = [list(map(pooling_matrix, grid.centres(), (s, s), sides)) for s in sizes]
        found = np.empty((len(images), *grid.shape, len(sizes), self._n_entries), np.float32)
        for image, descriptors in zip(images, found, strict=True):
            maps = self._maps(image)
            for i, (rows, cols) in enumerate(pools):
                descriptors[:, :, i] = self._finish(pool(maps, rows, cols))
        return found[:, :, :, 0] if np.ndim(self.patch_size) == 0 else found

    def _sizes(self) -> list[int]:
        sizes = np.atleast_1d(self.patch_size)
        whole = np.append(sizes, self.step).dtype.kind in "iu" and len(sizes) > 0
        if not whole or self.step < 1 or sizes.min() < 4 or len({*(sizes % 2)}) > 1:
            raise ValueError(
                f"{type(self).__name__} needs whole numbers: step >= 1, patch sizes >= 4, all even "
                f"or all odd (to share centres), got step={self.step}, patch_size={self.patch_size}"
            )
        return sizes.tolist()


def pooling_matrix(centres: NDArray[np.floating], size: int, n_pixels: int) -> csr_array:
    """Return the weight of every pixel of one axis in every bin: (n_centres * 4, n_pixels).

    A weight falls linearly from the middle of a bin to the middle of the next. The outermost
    pixels of a patch have none, for their gradients would look at the pixels outside.
    """
    width = size / N_BINS
    offset = np.arange(n_pixels) - centres[:, None, None]
    middle = width * (np.arange(N_BINS)[:, None] - (N_BINS - 1) / 2)
    weight = np.maximum(0, 1 - abs(offset - middle) / width) / width
    inside = abs(offset) < size / 2 - 1
    return csr_array((weight * inside).reshape(-1, n_pixels), dtype=np.float32)


def pool(maps: Floats, rows: csr_array, cols: csr_array) -> Floats:
    """Sum maps (H, C, K, W) over the bins of every patch: (h, w, C, 16 * K).

    Pooling is linear and separable: a matrix product along the rows, then one along the columns.
    """
    height, n_channels, n_maps, width = maps.shape
    h, w = rows.shape[0] // N_BINS, cols.shape[0] // N_BINS
    pooled = rows @ maps.reshape(height, -1)  # (h * 4, C * K * W)
    pooled = cols @ pooled.reshape(-1, width).T  # (w * 4, h * 4 * C * K)
    bins = pooled.reshape(w, N_BINS, h, N_BINS, n_channels, n_maps)
    return bins.transpose(2, 0, 4, 3, 1, 5).reshape(h, w, n_channels, -1)


class LocalColor(PatchDescriptor):
    """Mean and spread of red, green and blue in the 4 x 4 bins of every patch: 96 numbers.

    What SIFT does not see (Clinchant et al., "XRCE's participation to ImagEval", CIVR 2007).
    Entry ``(row * 4 + column) * 6 + k`` is the mean (k = 0, 1, 2 for R, G, B) or the standard
    deviation (k = 3, 4, 5) of the colour in that bin, in [0, 1]. Bins outside the image are 0.

    Parameters
    ----------
    step, patch_size : as in `DenseSIFT`; the patches and their bins are the same
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
        colours = image.transpose(0, 2, 1).astype(np.float64) / 255  # (H, 3, W)
        one = np.ones_like(colours[:, :1])
        return np.concatenate([one, colours, colours**2], axis=1)[:, None]

    def _finish(self, bins: Floats) -> Floats:
        sums = bins.reshape(*bins.shape[:2], N_BINS**2, 7)  # of 1, R, G, B and their squares
        moments = sums[..., 1:] / np.maximum(sums[..., :1], 1e-6)
        means, squares = moments[..., :3], moments[..., 3:]
        spread = np.sqrt(np.maximum(squares - means**2, 0))
        return np.concatenate([means, spread], axis=-1).reshape(*bins.shape[:2], -1)
