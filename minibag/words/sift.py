"""Dense SIFT: one gradient-histogram descriptor for every patch of a regular grid.

Four steps, each a few lines of array code: gradients, eight orientation maps, pooling into 4 x 4
bins, Lowe's normalisation. Pooling is linear and separable, hence one small sparse matrix per axis.

Sources: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, section 6;
Arandjelovic & Zisserman, CVPR 2012 (RootSIFT); van de Sande et al., TPAMI 2010 (opponent SIFT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin

from minibag.bag import PatchGrid

Floats = NDArray[np.float32]

N_BINS, N_ORIENTATIONS = 4, 8
CLIP = 0.2  # no entry may be larger: one strong edge must not outshout the rest of the patch
TINY = np.float32(1e-12)  # keeps 0 / 0 at 0

CHANNELS = {  # each row mixes R, G and B into one channel
    "grey": np.array([[0.299, 0.587, 0.114]]),
    "rgb": np.eye(3),
    "opponent": np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]]),
}


class DenseSIFT(TransformerMixin, BaseEstimator):
    """SIFT descriptors of all patches on a regular grid, as a scikit-learn transformer.

    A descriptor depends on nothing but its ``patch_size`` x ``patch_size`` pixels: bins fade into
    each other linearly, but never over the edge of the patch.

    Entry ``(row * 4 + column) * 8 + orientation`` is the gradient strength found in that bin;
    orientations go counter-clockwise in steps of 45 degrees from "brighter to the right". This is
    OpenCV's order. Several colour channels follow one another, 128 entries each.

    Parameters
    ----------
    step : int
        Distance between neighbouring patches in pixels.
    patch_size : int or sequence of int
        Side of the patches in pixels. Several sizes share one grid of centres (so all are even or
        all odd): the smallest lie inside the image, larger ones may reach over its edge, where
        there is no gradient.
    color : {"grey", "rgb", "opponent"}
        Channels to describe.
    root : bool
        Return RootSIFT: the square root of the descriptor divided by its sum.
    min_contrast : float
        A patch whose histogram is shorter than this before normalisation gets zeros instead of
        magnified noise (entries are mean gradients per pixel of images in [0, 1]; 0.005 is about
        the rounding noise of an 8-bit image).

    Examples
    --------
    >>> DenseSIFT().transform(np.zeros((1, 64, 64, 3), np.uint8)).shape
    (1, 13, 13, 128)
    """

    def __init__(
        self,
        step: int = 4,
        patch_size: int | Sequence[int] = 16,
        *,
        color: str = "grey",
        root: bool = False,
        min_contrast: float = 0.005,
    ) -> None:
        self.step = step
        self.patch_size = patch_size
        self.color = color
        self.root = root
        self.min_contrast = min_contrast

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
        small, large = min(sizes), max(sizes)
        h, w = ((side - small) // self.step + 1 for side in image_shape)
        return PatchGrid(large, self.step, (small - large) // 2, (h, w))

    def transform(self, images: ArrayLike) -> Floats:
        """Describe every patch of uint8 images (N, H, W, 3) or grey floats (N, H, W) in [0, 1].

        Returns float32 (N, h, w, D) with D = 128 per channel, or (N, h, w, S, D) for a sequence of
        S patch sizes. The 128 entries of a channel have length 1, or 0 where the patch is flat.
        Raises ValueError for other shapes, types or values, and for images smaller than a patch.
        """
        channels = _channels(np.asarray(images), self.color)
        sides = channels.shape[2:]
        grid, sizes = self.grid(sides), self._sizes()
        pools = [list(map(pooling_matrix, grid.centres(), (s, s), sides)) for s in sizes]
        out = np.empty((len(channels), *grid.shape, len(sizes), 128 * channels.shape[1]), "f4")
        for image, descriptors in zip(channels, out, strict=True):
            maps = orientation_maps(image)
            for i, (rows, cols) in enumerate(pools):
                descriptors[:, :, i] = self._normalise(pool(maps, rows, cols))
        return out[:, :, :, 0] if np.ndim(self.patch_size) == 0 else out

    def _sizes(self) -> list[int]:
        sizes = np.atleast_1d(self.patch_size).tolist()
        if self.step < 1 or min(sizes) < 4 or len({size % 2 for size in sizes}) > 1:
            raise ValueError(
                "DenseSIFT needs step >= 1 and patch sizes >= 4, all even or all odd (to share "
                f"centres), got step={self.step}, patch_size={self.patch_size}"
            )
        return sizes

    def _normalise(self, histograms: Floats) -> Floats:
        """Scale histograms (h, w, C, 128) to length 1, clip, scale again: (h, w, C * 128)."""
        length = _length(histograms)
        np.minimum(histograms, CLIP * length, out=histograms)
        histograms /= np.maximum(_length(histograms), TINY)
        histograms[length[..., 0] <= self.min_contrast] = 0
        if self.root:
            histograms /= np.maximum(histograms.sum(axis=-1, keepdims=True), TINY)
            np.sqrt(histograms, out=histograms)
        return histograms.reshape(*histograms.shape[:2], -1)


def orientation_maps(channels: Floats) -> Floats:
    """Split each gradient of (C, H, W) into its two nearest compass directions: (H, C, 8, W).

    A gradient between two directions is written as a sum of the two, like a force in a
    parallelogram. That needs no angle: the part along "right" is ``dx - |dy|``, the part along
    "right and up" is ``sqrt(2) * min(dx, dy)``, and what is negative points elsewhere.
    """
    padded = np.pad(channels, ((0, 0), (1, 1), (1, 1)), mode="edge").transpose(1, 0, 2)
    dx = (padded[1:-1, :, 2:] - padded[1:-1, :, :-2]) / 2
    dy = (padded[:-2, :, 1:-1] - padded[2:, :, 1:-1]) / 2  # upwards, while rows count down
    maps = np.empty((*dx.shape[:2], N_ORIENTATIONS, dx.shape[2]), np.float32)
    for quarter in range(4):
        maps[:, :, 2 * quarter] = dx - abs(dy)
        maps[:, :, 2 * quarter + 1] = np.minimum(dx, dy) * np.float32(np.sqrt(2))
        dx, dy = dy, -dx  # the same again, seen from 90 degrees on
    return np.maximum(maps, 0, out=maps)


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
    """Sum orientation maps (H, C, 8, W) over the bins of every patch: (h, w, C, 128)."""
    height, n_channels, _, width = maps.shape
    h, w = rows.shape[0] // N_BINS, cols.shape[0] // N_BINS
    pooled = rows @ maps.reshape(height, -1)  # (h * 4, C * 8 * W)
    pooled = cols @ pooled.reshape(-1, width).T  # (w * 4, h * 4 * C * 8)
    bins = pooled.reshape(w, N_BINS, h, N_BINS, n_channels, N_ORIENTATIONS)
    return bins.transpose(2, 0, 4, 3, 1, 5).reshape(h, w, n_channels, -1)


def _length(histograms: Floats) -> Floats:
    return np.sqrt(np.einsum("...d,...d", histograms, histograms))[..., None]


def _channels(images: NDArray[Any], color: str) -> Floats:
    """Return the channels to describe, float32 (N, C, H, W), or raise ValueError."""
    if color not in CHANNELS:
        raise ValueError(f"color is one of {', '.join(CHANNELS)}, got {color!r}")
    if images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8:
        mixed = images @ (CHANNELS[color].T / 255).astype(np.float32)
        return np.moveaxis(mixed, 3, 1)
    if images.ndim == 3 and images.dtype.kind == "f" and color == "grey":
        if not (images.min() >= 0 and images.max() <= 1):  # also catches NaN
            raise ValueError("grey float images must lie in [0, 1]; divide 8-bit images by 255")
        return images[:, None].astype(np.float32)
    raise ValueError(
        'DenseSIFT takes uint8 images (N, H, W, 3), or with color="grey" also grey floats '
        f"(N, H, W) in [0, 1]; got {images.dtype} {images.shape} with color={color!r}"
    )
