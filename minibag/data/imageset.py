"""The one shape in which images travel through the course."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
BICUBIC = Image.Resampling.BICUBIC


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images of one size.

    Parameters
    ----------
    images : uint8 array (N, H, W, 3), RGB, 0..255
    labels : int64 array (N,), indices into ``classes``
    classes : tuple of the name of every class
    masks : bool array (N, H, W), True on the evidence for the class; None if that is not known

    Raises
    ------
    TypeError, ValueError
        If an array has another dtype; if shapes do not fit together, a label has no class, or two
        classes have one name.
    """

    images: Bytes
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    masks: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        _expect("images", self.images, np.uint8, ("N", "H", "W", 3))
        _expect("labels", self.labels, np.int64, self.images.shape[:1])
        if self.masks is not None:
            _expect("masks", self.masks, np.bool_, self.images.shape[:3])
        if not isinstance(self.classes, tuple) or not all(isinstance(c, str) for c in self.classes):
            raise TypeError(f"classes must be a tuple of str, got {self.classes!r}")
        if len(set(self.classes)) < len(self.classes):
            name = max(self.classes, key=self.classes.count)
            raise ValueError(f"two classes are called {name!r}: give each a name of its own")
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, but there are "
                f"{len(self.classes)} classes: labels must be 0..{len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int | slice | list[int] | NDArray) -> Self:
        """Return the chosen images as an ImageSet; an int gives a set of one image.

        ``index`` may be a slice, an array of indices or a boolean array (N,).
        """
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        if isinstance(index, list):
            index = np.asarray(index, dtype=None if index else int)
        return self._map_arrays(lambda array: array[index])

    def subset(self, n: int, seed: int = 0) -> Self:
        """Return ``n`` random images, as many of each class as possible, in their old order.

        Raises ValueError if n is negative or larger than the set.
        """
        if not 0 <= n <= len(self):
            raise ValueError(f"a subset of {n} images was asked of a set of {len(self)}")
        shuffled = np.random.default_rng(seed).permutation(len(self))
        rank = np.empty(len(self), dtype=int)  # 0 for the first image of its class, 1 for the next
        for label in range(len(self.classes)):
            mine = shuffled[self.labels[shuffled] == label]
            rank[mine] = np.arange(len(mine))
        first_by_rank = shuffled[np.argsort(rank[shuffled], kind="stable")]
        return self[np.sort(first_by_rank[:n])]

    def resize(self, side: int) -> Self:
        """Return the set at ``side`` x ``side`` pixels, antialiased (bicubic); masks come along.

        A pixel of the new mask is True if at least half of it was covered. Raises ValueError if
        ``side`` is not positive.
        """
        if side < 1:
            raise ValueError(f"side must be at least 1 pixel, got {side}")
        if self.images.shape[1:3] == (side, side):
            return self

        def resized(array: NDArray) -> NDArray:
            if array.ndim < 3:
                return array
            return _resized_masks(array, side) if array.dtype == bool else _resized(array, side)

        return self._map_arrays(resized)

    def _map_arrays(self, function: Callable[[NDArray], NDArray]) -> Self:
        """Apply a function to every array of the set, also to those that a subclass adds."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            values[name] = function(value) if isinstance(value, np.ndarray) else value
        return replace(self, **values)


def _resized(images: Bytes, side: int) -> Bytes:
    new = np.empty((len(images), side, side, 3), np.uint8)
    for i, image in enumerate(images):
        new[i] = np.asarray(Image.fromarray(image).resize((side, side), BICUBIC))
    return new


def _resized_masks(masks: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    new = np.empty((len(masks), side, side), bool)
    for i, mask in enumerate(masks):
        cover = Image.fromarray(mask.astype(np.uint8) * 255)
        new[i] = np.asarray(cover.resize((side, side), Image.Resampling.BILINEAR)) >= 128
    return new


def _expect(name: str, array: object, dtype: type, shape: tuple[int | str, ...]) -> None:
    """Raise unless ``array`` is an array of this dtype and shape, where a str stands for any."""
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        given = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a {dtype.__name__} array, got {given}: convert it first")
    sides = zip(array.shape, shape, strict=False)
    if array.ndim != len(shape) or any(isinstance(b, int) and a != b for a, b in sides):
        expected = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({expected}), got {array.shape}")
