"""Real photographs without a download: tiles of those inside scikit-image and scikit-learn."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from minibag.data.imageset import BICUBIC, ImageSet

PHOTOGRAPHS = {  # all lie inside the installed packages; nothing is fetched
    "astronaut": "skimage/data/astronaut.png",
    "bricks": "skimage/data/brick.png",
    "cameraman": "skimage/data/camera.png",
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "temple": "sklearn/datasets/images/china.jpg",
    "tissue": "skimage/data/ihc.png",
}
SHORT_SIDE = 400  # every photograph is scaled to this many pixels on its shorter side
CELL, GAP = 100, 16  # a board of cells of this side; no tile comes nearer to a border than GAP / 2
TILES = (52, 68, 84)  # sides of the tiles in the scaled photograph


def photos(split: str, size: int = 64, per_class: int = 60, seed: int = 0) -> ImageSet:
    """Cut tiles from photographs; the class is the photograph a tile comes from.

    Each photograph is a chess board: train tiles lie inside its white cells, test tiles inside
    its black ones, ``GAP`` pixels apart. Tiles have three scales and may overlap within a split.

    Parameters
    ----------
    split : "train" or "test"
    size : side of the tiles in pixels
    per_class : tiles of each photograph
    seed : where the tiles lie

    Returns
    -------
    ImageSet of ``14 * per_class`` images

    Raises
    ------
    ValueError
        If the split is unknown or a number is not positive.
    FileNotFoundError
        If a package or a photograph in it is missing.
    """
    if split not in ("train", "test"):
        raise ValueError(f"photos have the splits 'train' and 'test', got {split!r}")
    if min(size, per_class) < 1:
        raise ValueError(f"size and per_class must be positive, got {size} and {per_class}")
    rng = np.random.default_rng([seed, split == "test"])
    images = np.empty((len(PHOTOGRAPHS) * per_class, size, size, 3), np.uint8)
    labels = np.repeat(np.arange(len(PHOTOGRAPHS)), per_class).astype(np.int64)
    for image, label in zip(images, labels, strict=True):
        photograph = _photograph(list(PHOTOGRAPHS.values())[label])
        left, top, side = _tile(rng, photograph.width, photograph.height, split == "test")
        box = (left, top, left + side, top + side)
        image[:] = np.asarray(photograph.resize((size, size), BICUBIC, box=box))
    return ImageSet(images, labels, tuple(PHOTOGRAPHS))


def _tile(rng: np.random.Generator, width: int, height: int, black: bool) -> tuple[int, int, int]:
    """Draw left, top and side of a tile inside a cell of one colour."""
    board = np.indices((height // CELL, width // CELL)).reshape(2, -1).T
    row, column = rng.choice(board[board.sum(axis=1) % 2 == black])
    side = int(rng.choice(TILES))
    top, left = rng.integers(GAP // 2, CELL - GAP // 2 - side, size=2, endpoint=True)
    return int(column * CELL + left), int(row * CELL + top), side


@cache
def _photograph(path: str) -> Image.Image:
    """Read a photograph out of an installed package."""
    package, inside = path.split("/", 1)
    spec = find_spec(package)  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{package} is not installed, and photos() reads its photographs")
    with Image.open(Path(spec.origin).parent / inside) as image:
        scale = SHORT_SIDE / min(image.size)
        shape = (round(image.width * scale), round(image.height * scale))
        return image.convert("RGB").resize(shape, BICUBIC)
