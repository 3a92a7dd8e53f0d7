"""Images from a folder of class folders, all at once or in batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from minibag.data.decode import OnError, UnreadableImageError, read_images
from minibag.data.imageset import ImageSet


def list_folder(path: str | Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Return the files, labels (N,) and class names of a folder of class folders.

    Classes are the sub-folders in alphabetical order; their images are the files below them
    whose suffix Pillow can open (hidden files and other suffixes do not count). Raises
    FileNotFoundError without the folder, ValueError without class folders or images in one.
    """
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}: expected a folder with one folder per class")
    folders = sorted(d for d in root.iterdir() if d.is_dir() and not d.name.startswith("."))
    if not folders:
        raise ValueError(f"{root} has no sub-folders: expected one folder of images per class")
    suffixes = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    per_class = [
        sorted(f for f in d.rglob("[!.]*") if f.suffix.lower() in suffixes and f.is_file())
        for d in folders
    ]
    empty = [d.name for d, files in zip(folders, per_class, strict=True) if not files]
    if empty:
        raise ValueError(f"class folders without an image in {root}: {', '.join(empty)}")
    labels = np.repeat(np.arange(len(folders)), [len(files) for files in per_class])
    files = [file for files in per_class for file in files]
    return files, labels.astype(np.int64), tuple(d.name for d in folders)


def image_folder(
    path: str | Path,
    size: int,
    on_error: OnError = "raise",
    n_jobs: int | None = None,
    progress: bool = False,
    crop: float = 1.0,
) -> ImageSet:
    """Load a folder of class folders: ``path/class name/any image``.

    Parameters
    ----------
    path : folder with one sub-folder per class; their sorted names are the classes
    size : side of the images in pixels: the centre square of a photograph, scaled. For a trained
        model take ``image_folder(path, **model.preparation)``: it sees them as in training.
    on_error : "raise" lists all unreadable files in one error, "skip" leaves them out and warns
    n_jobs : threads that decode; None takes every CPU this process may use
    progress : show a progress bar
    crop : share of the square's side that is kept, 1 is all of it; see `read_image`

    Returns
    -------
    ImageSet of all images, in the order of classes and file names

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If there are no class folders, an empty one, or unreadable files; with on_error="skip"
        only if all are.
    """
    files, labels, classes = list_folder(path)
    images, kept = read_images(files, size, on_error, n_jobs, progress, crop)
    if not len(kept):
        raise UnreadableImageError(f"not one of the {len(files)} image files in {path} is readable")
    return ImageSet(images, labels[kept], classes)


def stream_folder(
    path: str | Path,
    size: int,
    batch_size: int = 256,
    seed: int | None = 0,
    on_error: OnError = "raise",
    n_jobs: int | None = None,
    crop: float = 1.0,
) -> Iterator[ImageSet]:
    """Yield the images of `image_folder` in batches, for sets larger than memory.

    Parameters
    ----------
    path, size, on_error, n_jobs, crop : as in `image_folder`, batch by batch
    batch_size : images per batch (the last batch may be smaller)
    seed : shuffles the files, so that every batch mixes the classes; None keeps their order

    Yields
    ------
    ImageSet with the classes of the whole folder

    Raises
    ------
    FileNotFoundError, ValueError
        As in `image_folder`; a folder that cannot be listed raises at the call, not later.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    files, labels, classes = list_folder(path)
    order = np.arange(len(files))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(files))

    def batches() -> Iterator[ImageSet]:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            images, kept = read_images(
                [files[i] for i in chosen], size, on_error, n_jobs, crop=crop
            )
            if len(kept):
                yield ImageSet(images, labels[chosen[kept]], classes)

    return batches()
