"""The contract of the whole course: images -> patches -> evidence -> bag -> class.

A *bag model* turns every patch of an image into evidence for every class; the mean of the
evidence over the patches is the image's logits. A histogram of visual words with a linear
classifier is one, a BagNet (Brendel & Bethge, ICLR 2019) is another. Everything that only needs
this contract (heat maps, telling patches, scrambling) works on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of a bag model lie in an image.

    Cell ``(i, j)`` of an evidence map saw the pixels
    ``offset + i * stride <= y < offset + i * stride + size`` and the same for ``x`` with ``j``.

    Parameters
    ----------
    size : int
        Side of the square patches in pixels (the q of BagNet-q).
    stride : int
        Distance between neighbouring patches in pixels.
    offset : int
        Row and column of the first pixel of patch (0, 0); negative if the patch is padded.
    shape : (h, w)
        Number of patches down and across.

    Raises
    ------
    ValueError
        If size, stride or a side of shape is not positive.
    """

    size: int
    stride: int
    offset: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.size, self.stride, *self.shape) < 1:
            raise ValueError(
                f"a PatchGrid needs size, stride and shape of at least 1, got size={self.size}, "
                f"stride={self.stride}, shape={self.shape}; is the image smaller than one patch?"
            )

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def box(self, i: int, j: int) -> tuple[int, int, int, int]:
        """Return ``(top, left, bottom, right)`` of patch (i, j) in pixels, ends exclusive.

        Raises IndexError if there is no such patch.
        """
        if not (0 <= i < self.shape[0] and 0 <= j < self.shape[1]):
            raise IndexError(f"no patch ({i}, {j}) in a grid of {self.shape[0]} x {self.shape[1]}")
        top, left = self.offset + i * self.stride, self.offset + j * self.stride
        return top, left, top + self.size, left + self.size

    def centres(self) -> tuple[Floats, Floats]:
        """Return the rows (h,) and columns (w,) of the patch centres, in pixel coordinates.

        Pixel ``p`` covers ``p - 0.5 .. p + 0.5``, so a 3-pixel patch at offset 0 is centred on 1.
        """
        first = self.offset + (self.size - 1) / 2
        return (
            first + self.stride * np.arange(self.shape[0]),
            first + self.stride * np.arange(self.shape[1]),
        )

    def paint(self, evidence: Floats, image_shape: tuple[int, int]) -> Floats:
        """Spread evidence (..., h, w) evenly over the pixels each patch saw: (..., H, W).

        Every pixel gets the sum over the patches that contain it, each divided by the patch's
        area, so the sum of the map equals the sum of the evidence (of patches inside the image).

        Raises ValueError if the last two axes of ``evidence`` are not ``shape``.
        """
        if evidence.shape[-2:] != self.shape:
            raise ValueError(f"evidence ends in {evidence.shape[-2:]}, the grid is {self.shape}")
        rows = self._membership(self.shape[0], image_shape[0])
        cols = self._membership(self.shape[1], image_shape[1])
        return rows.T @ evidence @ cols / self.size**2

    def _membership(self, n_patches: int, n_pixels: int) -> Floats:
        """(n_patches, n_pixels): 1 where the patch contains the pixel."""
        start = self.offset + self.stride * np.arange(n_patches)[:, None]
        pixel = np.arange(n_pixels)[None, :]
        return ((pixel >= start) & (pixel < start + self.size)).astype(float)


@runtime_checkable
class Predictor(Protocol):
    """What every trained model of the course can do, on uint8 images (N, H, W, 3).

    Bag models also have ``evidence(images)`` -> (N, C, h, w), whose mean over h and w is
    ``logits(images)``, and ``grid(image_shape)`` -> PatchGrid, which says what each cell saw.
    """

    classes: tuple[str, ...]

    def logits(self, images: NDArray[np.uint8]) -> Floats:
        """Return the score of every class: (N, C)."""
        ...

    def predict_proba(self, images: NDArray[np.uint8]) -> Floats:
        """Return the probability of every class, the softmax of the logits: (N, C)."""
        ...


@runtime_checkable
class BagPredictor(Predictor, Protocol):
    """A Predictor whose logits are a mean of patch evidence."""

    def evidence(self, images: NDArray[np.uint8]) -> Floats:
        """Return the evidence of every patch for every class: (N, C, h, w)."""
        ...

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie."""
        ...


def finite(values: Floats, who: str = "the model") -> Floats:
    """Return what a model says, ValueError if it is not finite: argmax takes NaN for the best."""
    if not np.isfinite(values).all():
        raise ValueError(f"{who} gives numbers that are not finite: has its training diverged?")
    return values


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes; ValueError unless they are one or more different texts."""
    names = tuple(classes) if isinstance(classes, Sequence) else ()
    if isinstance(classes, str) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected the names of the classes as texts, got {classes!r:.200}")
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"classes must have different names, but {twice!r:.100} stands twice")
    return names
