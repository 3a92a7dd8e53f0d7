"""Dense SIFT: one gradient-histogram descriptor for every patch of a regular grid.

Four steps, each a few lines of array code: gradients (of a blurred image, if asked), eight
orientation maps, pooling into 4 x 4 bins (see ``patches``), and Lowe's normalisation.

Sources: Lowe, "Distinctive image features from scale-invariant keypoints", IJCV 2004, section 6;
Arandjelovic & Zisserman, CVPR 2012 (RootSIFT); van de Sande et al., TPAMI 2010 (opponent SIFT).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from minibag.words.patches import N_BINS, Floats, PatchDescriptor

N_ORIENTATIONS = 8
CLIP = 0.2  # no entry may be larger: one strong edge must not outshout the rest of the patch
TINY = np.float32(1e-12)  # keeps 0 / 0 at 0

CHANNELS = {  # each row mixes R, G and B into one channel
    "grey": np.array([[0.299, 0.587, 0.114]]),
    "rgb": np.eye(3),
    "opponent": np.array([[1, -1, 0], [1, 1, -2], [1, 1, 1]]) / np.sqrt([[2], [6], [3]]),
}


class DenseSIFT(PatchDescriptor):
    """SIFT descriptors of all patches on a regular grid, as a scikit-learn transformer.

    A descriptor depends on nothing but its ``patch_size`` x ``patch_size`` pixels: bins fade into
    each other linearly, but never over the edge of the patch.

    Entry ``(row * 4 + column) * 8 + orientation`` is the gradient strength found in that bin;
    orientations go counter-clockwise in steps of 45 degrees from "brighter to the right". This is
    OpenCV's order. Several colour channels follow one another, 128 entries each. The entries of a
    channel have length 1, or 0 where the patch is flat.

    Parameters
    ----------
    step : distance between neighbouring patches in pixels
    patch_size : side of the patches in pixels, or several sizes. They share one grid of centres (so
        all are even or all odd): the smallest lie inside the image, larger ones may reach over its
        edge, where there is no gradient.
    color : channels to describe: "grey", "rgb" or "opponent"
    root : return RootSIFT, the square root of the descriptor divided by its sum
    min_contrast : a patch whose histogram is shorter than this before normalisation gets zeros
        instead of magnified noise (entries are mean gradients per pixel of images in [0, 1]; 0.005
        is about the rounding noise of an 8-bit image)
    blur : standard deviation in pixels of a Gaussian that smooths the image before the gradients.
        Lowe's is a twelfth of the patch, less what the camera has blurred: 1.2 for 16 pixels. It
        helps to find a patch again under noise, but a bag of words gains nothing by it
        (``python -m benchmarks.words_ladder --blur``), hence the default 0. A blurred descriptor
        sees ``3 * blur`` pixels more on all sides, and `grid` says so.

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
        blur: float = 0.0,
    ) -> None:
        self.step = step
        self.patch_size = patch_size
        self.color = color
        self.root = root
        self.min_contrast = min_contrast
        self.blur = blur

    @property
    def _reach(self) -> int:  # type: ignore[override]
        return round(3 * self.blur)

    @property
    def _n_entries(self) -> int:
        return len(CHANNELS[self.color]) * N_BINS**2 * N_ORIENTATIONS

    def _checked(self, images: NDArray[Any]) -> NDArray[Any]:
        if self.color not in CHANNELS:
            raise ValueError(f"color is one of {', '.join(CHANNELS)}, got {self.color!r}")
        if not 0 <= self.blur < np.inf:
            raise ValueError(f"blur is a number of pixels, 0 or more, got {self.blur!r}")
        if images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8:
            return images
        if images.ndim == 3 and images.dtype.kind == "f" and self.color == "grey":
            if not np.all((images >= 0) & (images <= 1)):  # NaN is not
                raise ValueError("grey float images must lie in [0, 1]; divide 8-bit images by 255")
            return images
        raise ValueError(
            'DenseSIFT takes uint8 images (N, H, W, 3), or with color="grey" also grey floats '
            f"(N, H, W) in [0, 1]; got {images.dtype} {images.shape} with color={self.color!r}"
        )

    def _maps(self, image: NDArray[Any]) -> Floats:
        if image.ndim == 2:
            channels = image[None].astype(np.float32)
        else:
            mixed = image @ (CHANNELS[self.color].T / 255).astype(np.float32)  # (H, W, C)
            channels = np.moveaxis(mixed, 2, 0)
        if self.blur:
            sigma = (0, self.blur, self.blur)
            channels = ndimage.gaussian_filter(
                channels, sigma, mode="nearest", radius=(0, self._reach, self._reach)
            )
        return orientation_maps(channels)

    def _finish(self, histograms: Floats) -> Floats:
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


def _length(histograms: Floats) -> Floats:
    return np.sqrt(np.einsum("...d,...d", histograms, histograms))[..., None]
