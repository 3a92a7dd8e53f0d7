"""Dense SIFT: one gradient-histogram descriptor per patch of a regular grid.

Every step is a few lines of array code: gradients, eight orientation maps, pooling into 4 x 4 bins,
and Lowe's normalisation. The pooling is linear and separable, so it is two matrix products.

References: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004, section 6;
Arandjelovic & Zisserman, CVPR 2012 (RootSIFT); van de Sande et al., PAMI 2010 (colour SIFT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from minibag.bag import PatchGrid

Floats = NDArray[np.float32]
N_BINS, N_ORIENTATIONS = 4, 8


class DenseSIFT(TransformerMixin, BaseEstimator):
    """SIFT descriptors of all patches on a grid.

    Entry ``(row bin * 4 + column bin) * 8 + orientation`` of a descriptor is the weighted gradient
    magnitude in one of 4 x 4 bins; orientations go counter-clockwise from "brighter to the right"
    in steps of 45 degrees. This is the order of OpenCV.

    Parameters
    ----------
    step : int
        Distance between neighbouring patches in pixels.
    patch_size : int or tuple of int
        Side of the patches in pixels. Several sizes share one grid of centres.
    root : bool
        Return RootSIFT: square roots of the L1-normalised descriptor.
    """

    def __init__(
        self, step: int = 4, patch_size: int | Sequence[int] = 16, *, root: bool = False
    ) -> None:
        self.step = step
        self.patch_size = patch_size
        self.root = root

    def fit(self, images: Any = None, labels: Any = None) -> Self:
        """Do nothing: there is nothing to learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie; ``size`` is the largest."""
        sizes = np.atleast_1d(self.patch_size)
        small, large = int(sizes.min()), int(sizes.max())
        h, w = ((side - small) // self.step + 1 for side in image_shape)
        return PatchGrid(large, self.step, (small - large) // 2, (h, w))

    def transform(self, images: ArrayLike) -> Floats:
        """Return the descriptors (N, h, w, 128), or (N, h, w, S, 128) for a tuple of S sizes."""
        grey = _grey(np.asarray(images))
        grid = self.grid(grey.shape[1:])
        maps = orientation_maps(grey)
        sizes = np.atleast_1d(self.patch_size)
        scales = [self._describe(maps, grid, int(size)) for size in sizes]
        return scales[0] if np.ndim(self.patch_size) == 0 else np.stack(scales, axis=3)

    def _describe(self, maps: Floats, grid: PatchGrid, size: int) -> Floats:
        rows, cols = (
            pooling_matrix(centres, size, side)
            for centres, side in zip(grid.centres(), maps.shape[2:], strict=True)
        )
        pooled = rows @ maps @ cols.T  # (N, 8, h * 4, w * 4)
        n, (h, w) = len(maps), grid.shape
        bins = pooled.reshape(n, N_ORIENTATIONS, h, N_BINS, w, N_BINS)
        return normalise(bins.transpose(0, 2, 4, 3, 5, 1).reshape(n, h, w, -1), root=self.root)


def orientation_maps(grey: Floats) -> Floats:
    """Split the gradient magnitude of images (N, H, W) over 8 orientations: (N, 8, H, W).

    Each gradient goes to its two nearest orientations, in proportion.
    """
    padded = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    up = padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]
    magnitude = np.hypot(right, up)
    angle = np.arctan2(up, right) * np.float32(N_ORIENTATIONS / (2 * np.pi))
    maps = [
        magnitude * np.maximum(0, 1 - np.abs((angle - o + 4) % N_ORIENTATIONS - 4))
        for o in range(N_ORIENTATIONS)
    ]
    return np.stack(maps, axis=1).astype(np.float32, copy=False)


def pooling_matrix(centres: NDArray[np.floating], size: int, n_pixels: int) -> Floats:
    """Return the weight (n_centres * 4, n_pixels) of every pixel in every bin, along one axis.

    A bin is a triangle as wide as two bins (linear interpolation), times a Gaussian around the
    patch centre whose standard deviation is half the patch (Lowe, section 6.1).
    """
    width = size / N_BINS
    offset = (np.arange(n_pixels) - centres[:, None, None]) / width  # in bins, from the centre
    bin_centre = (np.arange(N_BINS) - (N_BINS - 1) / 2)[:, None]
    triangle = np.maximum(0, 1 - np.abs(offset - bin_centre))
    gauss = np.exp(-(offset**2) / (2 * (N_BINS / 2) ** 2))
    return (triangle * gauss).reshape(-1, n_pixels).astype(np.float32)


def normalise(descriptors: Floats, *, root: bool = False) -> Floats:
    """Scale to length 1, cut entries at 0.2 (one strong edge must not rule), scale again."""
    descriptors = descriptors / _length(descriptors)
    descriptors = np.minimum(descriptors, 0.2)
    if root:
        return np.sqrt(descriptors / np.maximum(descriptors.sum(-1, keepdims=True), 1e-12))
    return descriptors / _length(descriptors)


def _length(vectors: Floats) -> Floats:
    return np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def _grey(images: NDArray[Any]) -> Floats:
    """Return uint8 (N, H, W, 3) or grey floats (N, H, W) as float32 (N, H, W) in [0, 1]."""
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3:
        return images @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    if np.issubdtype(images.dtype, np.floating) and images.ndim == 3:
        return images.astype(np.float32, copy=False)
    raise ValueError(
        f"DenseSIFT takes uint8 images (N, H, W, 3) or grey floats (N, H, W) in [0, 1], "
        f"got {images.dtype} {images.shape}"
    )
