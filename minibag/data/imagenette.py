"""Imagenette: ten classes of ImageNet photographs, tench among them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from minibag.data.decode import read_images
from minibag.data.folder import list_folder
from minibag.data.imageset import ImageSet
from minibag.machine import expand

# The layouts of torchvision.datasets.Imagenette, largest first; names as its class names.
FOLDERS = ("imagenette2", "imagenette2-320", "imagenette2-160")
NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def find_imagenette(root: str | Path | None = None, size: int = 160) -> Path:
    """Return the folder of Imagenette below ``root``: the smallest copy with sides >= ``size``.

    ``root`` None looks in ``$MINIBAG_DATA``, or if that is not set in ``data/`` and ``../data/``
    (lessons run in ``notebooks/``). Raises FileNotFoundError with the command that fetches the set
    if there is none.
    """
    given = root if root is not None else os.environ.get("MINIBAG_DATA")
    bases = [expand(given)] if given else [Path("data"), Path("../data")]
    found = [base / name for base in bases for name in FOLDERS if (base / name).is_dir()]
    if not found:
        where = f" --root {given}" if given else ""
        raise FileNotFoundError(
            f"no Imagenette in {' or '.join(map(str, bases))} (looked for {', '.join(FOLDERS)}). "
            f"Fetch it in the course's folder with `python data_scripts/get_imagenette.py{where}`, "
            "or set MINIBAG_DATA to the folder that has it."
        )
    side = {"imagenette2-160": 160, "imagenette2-320": 320}
    large_enough = [folder for folder in found if side.get(folder.name, size) >= size]
    return large_enough[-1] if large_enough else found[0]


def imagenette(
    split: str,
    size: int = 160,
    root: str | Path | None = None,
    *,
    limit: int | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    crop: float = 1.0,
) -> ImageSet:
    """Load Imagenette (Howard, fast.ai, 2019), whichever size of it was fetched.

    Parameters
    ----------
    split : "train" (9,469 photographs) or "val" (3,925)
    size : side in pixels of the centre square, scaled
    root : where to look, see `find_imagenette`
    limit : at most this many images of each class (the first by file name)
    n_jobs, progress, crop : as in `image_folder`

    Returns
    -------
    ImageSet with ten classes by name

    Raises
    ------
    FileNotFoundError
        If the data set is not there; the message names the command that fetches it.
    ValueError
        If the split or limit is unknown, or files are unreadable.
    """
    if split not in ("train", "val"):
        raise ValueError(f"Imagenette has the splits 'train' and 'val', got {split!r}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 image per class, got {limit}")
    files, labels, folders = list_folder(find_imagenette(root, size) / split)
    unknown = [name for name in folders if name not in NAMES]
    if unknown:
        raise ValueError(f"folders that are not Imagenette classes: {', '.join(unknown)}")
    first = np.searchsorted(labels, labels)  # labels are sorted
    chosen = np.flatnonzero(np.arange(len(labels)) - first < (limit or len(labels)))
    images, _ = read_images([files[i] for i in chosen], size, "raise", n_jobs, progress, crop)
    return ImageSet(images, labels[chosen], tuple(NAMES[name] for name in folders))
