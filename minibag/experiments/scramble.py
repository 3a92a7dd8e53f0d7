"""Cut an image into cells and shuffle them: what is local stays, how it was arranged is gone.

A bag model sums over patches, so it cannot notice, save where a patch lies across a seam.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minibag.bag import PatchGrid
from minibag.data import ImageSet

Ints = NDArray[np.intp]
Images = TypeVar("Images", NDArray[Any], ImageSet)


@dataclass(frozen=True, eq=False)
class Shuffle:
    """How one image is scrambled: which cell goes where. `Shuffle.draw` makes one at random.

    Cell (i, j) of the result covers ``rows[i] <= y < rows[i + 1]`` and ``columns[j] <= x <
    columns[j + 1]``, and shows the cell of the image with the top left pixel ``source[i, j]``,
    turned by ``turns[i, j]`` quarter turns to the left.

    Parameters
    ----------
    rows, columns : (grid + 1,) edges of the cells of the result in pixels
    source : (grid, grid, 2) row and column of the cells of the image in pixels
    turns : (grid, grid), 0 to 3
    """

    rows: Ints
    columns: Ints
    source: Ints
    turns: Ints

    @classmethod
    def draw(
        cls, image_shape: tuple[int, int], grid: int, seed: int = 0, index: int = 0, *,
        rotate: bool = False,
    ) -> Shuffle:  # fmt: skip
        """Draw the shuffle of image number ``index`` of a set; see `scramble`."""
        grid, seed = operator.index(grid), operator.index(seed)
        if not 1 <= grid <= min(image_shape):
            raise ValueError(
                f"grid must be 1 to {min(image_shape)} cells a side for an image of "
                f"{image_shape[0]} x {image_shape[1]} pixels, got {grid}"
            )
        rng = np.random.default_rng((seed, index))
        while True:
            shuffle = cls._draw(image_shape, grid, rng, rotate and grid > 1)
            places = shuffle.source.reshape(-1, 2) @ (image_shape[1], 1)
            if grid == 1 or (np.diff(places) < 0).any():  # else each cell is where it was
                return shuffle

    @classmethod
    def _draw(
        cls, image_shape: tuple[int, int], grid: int, rng: np.random.Generator, rotate: bool
    ) -> Shuffle:
        """Draw places for all cells; sides that differ by a pixel are shuffled among themselves."""
        heights, widths = (np.diff(np.arange(grid + 1) * side // grid) for side in image_shape)
        tops, lefts = (np.cumsum(sides) - sides for sides in (heights, widths))
        corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)
        new_heights, new_widths = rng.permutation(heights), rng.permutation(widths)
        shapes, new_shapes = _shapes(heights, widths), _shapes(new_heights, new_widths)
        # As many cells of each shape before as after: the k-th of a shape becomes the k-th of it.
        shuffled = rng.permutation(grid * grid)
        source = np.empty_like(corners)
        by_shape = shuffled[np.argsort(shapes[shuffled], kind="stable")]
        source[np.argsort(new_shapes, kind="stable")] = corners[by_shape]
        turns = rng.integers(0, 4, (grid, grid)) * rotate  # drawn in any case: the same places
        oblong = new_heights[:, None] != new_widths
        turns = np.where(oblong, turns // 2 * 2, turns)  # those only fit upside down
        rows, columns = (np.append(0, np.cumsum(sides)) for sides in (new_heights, new_widths))
        return cls(rows, columns, source.reshape(grid, grid, 2), turns)

    @cached_property
    def order(self) -> Ints:
        """(H W,): the pixel of the image, counted row by row, that each pixel of the result shows.

        Its ``argsort`` is the way back.
        """
        height, width = int(self.rows[-1]), int(self.columns[-1])
        pixels = np.arange(height * width).reshape(height, width)
        result = np.empty_like(pixels)
        for i, j in np.ndindex(self.turns.shape):
            place = np.s_[self.rows[i] : self.rows[i + 1], self.columns[j] : self.columns[j + 1]]
            h, w = result[place].shape
            top, left = self.source[i, j]
            result[place] = np.rot90(pixels[top : top + h, left : left + w], int(self.turns[i, j]))
        return result.ravel()

    def apply(self, image: NDArray[Any], *, back: bool = False) -> NDArray[Any]:
        """Return an image or mask (H, W, ...) scrambled, or put together again."""
        order = np.argsort(self.order) if back else self.order
        return image.reshape(len(order), *image.shape[2:])[order].reshape(image.shape)


def _shapes(heights: Ints, widths: Ints) -> Ints:
    """Return one number for the shape of each cell, (grid * grid,)."""
    return (heights[:, None] * (widths.max() + 1) + widths).ravel()


def scramble(images: Images, grid: int, seed: int = 0, *, rotate: bool = False) -> Images:
    """Cut images into ``grid`` x ``grid`` cells and shuffle the cells; every pixel is kept.

    Where a side does not divide, cells differ by one pixel; they change places with cells of their
    own shape, and the seams move, so that none stays where it was by force. At least one cell
    moves, unless ``grid`` is 1, which returns the images as they are.

    Parameters
    ----------
    images : array (N, H, W, 3) of any dtype, one image (H, W, 3), or an ImageSet with its masks
    grid : cells a side, 1 to min(H, W)
    seed : whole number of at least 0. Image n has a shuffle of its own, the same in a set of any
        size: `Shuffle.draw` with ``index=n``
    rotate : also turn each cell by a random multiple of 90 degrees (180 if it is not square)

    Returns
    -------
    The same type, shape and dtype

    Raises
    ------
    ValueError
        If the images have another shape, grid does not lie in 1 to min(H, W), or seed is negative.
    TypeError
        If grid or seed is no whole number.
    """
    return _scrambled(images, grid, seed, rotate, back=False)


def unscramble(images: Images, grid: int, seed: int = 0, *, rotate: bool = False) -> Images:
    """Undo `scramble` with the same grid, seed and rotate."""
    return _scrambled(images, grid, seed, rotate, back=True)


def _scrambled(images: Images, grid: int, seed: int, rotate: bool, back: bool) -> Images:
    if isinstance(images, ImageSet):
        # Masks, and what else a subclass keeps of every pixel, go with the pixels.
        return images._map_arrays(
            lambda array: array if array.ndim < 3 else _each(array, grid, seed, rotate, back)
        )
    pixels = np.asarray(images)
    if pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
        raise ValueError(f"expected images (N, H, W, 3) or one (H, W, 3), got {pixels.shape}")
    if pixels.ndim == 3:
        return _each(pixels[None], grid, seed, rotate, back)[0]
    return _each(pixels, grid, seed, rotate, back)


def _each(images: NDArray[Any], grid: int, seed: int, rotate: bool, back: bool) -> NDArray[Any]:
    """Return images or masks (N, H, W, ...), each with its own shuffle."""
    result = np.empty_like(images)
    for n, image in enumerate(images):
        shuffle = Shuffle.draw(images.shape[1:3], grid, seed, n, rotate=rotate)
        result[n] = shuffle.apply(image, back=back)
    return result


def surviving_patches(patches: PatchGrid, shuffle: Shuffle) -> NDArray[np.bool_]:
    """Return which patches touch no seam: (h, w), true where a patch lies within one cell.

    Such a patch shows what a patch of the unscrambled image showed, perhaps between two places of
    its grid, and turned if the cell is.

    Parameters
    ----------
    patches : where a bag model looks, ``model.grid((H, W))``
    shuffle : from `Shuffle.draw` for an image of that size
    """
    rows, columns = (
        _within(patches, n, edges)
        for n, edges in zip(patches.shape, (shuffle.rows, shuffle.columns), strict=True)
    )
    return rows[:, None] & columns


def _within(patches: PatchGrid, n: int, edges: Ints) -> NDArray[np.bool_]:
    """Return for n patches along one side whether no inner edge cuts them."""
    first = patches.offset + patches.stride * np.arange(n)[:, None]
    seams = edges[1:-1]
    cut = (first < seams) & (seams < first + patches.size)
    return np.logical_not(cut.any(axis=1))
