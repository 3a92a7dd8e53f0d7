"""Images from a folder of class folders, all at once or in batches."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from minibag.data.decode import SUFFIXES, OnError, UnreadableImageError, read_images
from minibag.data.imageset import ImageSet
from minibag.data.names import few
from minibag.machine import expand

# What systems, servers and tools put beside pictures, in lower case; hidden names begin with a dot.
SYSTEM = {
    "__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin",
    "lost+found", "recycler", "system volume information",
}  # fmt: skip
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# Pictures to a person, but in formats that are not read here.
OTHER_PICTURES = {
    ".arw", ".cr2", ".cr3", ".dds", ".dng", ".emf", ".eps", ".fits", ".heic", ".heif", ".icns",
    ".ico", ".jxl", ".nef", ".orf", ".pcx", ".ps", ".psd", ".qoi", ".raw", ".rw2", ".sgi", ".svg",
    ".tga", ".wmf", ".xbm", ".xpm",
}  # fmt: skip


def list_folder(path: str | Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Return the files, labels (N,) and class names of a folder of class folders.

    Classes are the sub-folders, in the order of their names (composed: Unicode's NFC); their
    images are the files below them whose suffix is in ``decode.SUFFIXES``, also through linked
    folders. What is hidden or belongs to a system (``SYSTEM``) does not count. A warning names
    pictures beside the class folders or in other formats, and links that lead nowhere.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no class folders, only one, or splits; or a class folder without an image, with
        splits inside, or with a name that is no UTF-8 or looks like another's.
    """
    root = expand(path)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {root}: expected a folder with one folder per class")
    if splits := splits_of(root):
        names = few(map(str, splits.values()))
        raise ValueError(f"{root} holds splits, not classes: give one of them ({names})")
    folders = _class_folders(root)
    strange = [entry.path for entry in _visible(root) if _suffix(entry) or _is_lost(entry)]
    per_class = [_files(folder, strange) for folder in folders.values()]
    if empty := [name for name, files in zip(folders, per_class, strict=True) if not files]:
        count = f"{len(empty)} of {len(folders)} class folders"
        raise ValueError(f"{count} without an image in {root}: {few(empty)}")
    if len(folders) == 1:
        raise ValueError(_one_class(root, *folders.values()))
    if strange:
        reason = "not in a class folder, in another format, or a link that leads nowhere"
        warnings.warn(f"{len(strange)} do not count: {few(strange)} ({reason})", stacklevel=3)
    labels = np.repeat(np.arange(len(folders)), [len(files) for files in per_class])
    return [file for files in per_class for file in files], labels, tuple(folders)


def splits_of(path: str | Path) -> dict[str, Path]:
    """Return "train", "val", "test" -> its folder, as many as there are; {} without splits.

    ``Training/``, ``valid/`` and the other names in ``SPLITS`` are known too, in any case. A class
    may be called so: a single folder is a split only if it holds folders and no picture, and
    either is "train" or stands alone. Raises ValueError if two folders are the same split.
    """
    root = expand(path)
    folders = list(filter(_is_folder, _visible(root))) if root.is_dir() else []
    splits = _named_as_splits(folders)
    if len(splits) == 1:
        inside = _visible(*splits.values())
        holds_classes = any(map(_is_folder, inside)) and not any(map(_suffix, inside))
        if not holds_classes or ("train" not in splits and len(folders) > 1):
            return {}
    return splits


def _named_as_splits(folders: Iterable[os.DirEntry[str]]) -> dict[str, Path]:
    """Return the folders that have names of splits; ValueError if two are the same split."""
    splits: dict[str, Path] = {}
    for folder in folders:
        split = SPLITS.get(folder.name.lower())
        if split in splits:
            raise ValueError(f"{folder.path} and {splits[split]} are the same split: keep one")
        if split:
            splits[split] = Path(folder.path)
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what a person would count in a folder, sorted by name."""
    with os.scandir(folder) as entries:
        seen = [e for e in entries if e.name[0] != "." and e.name.lower() not in SYSTEM]
    return sorted(seen, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one; a link to itself does not."""
    linked = entry.is_symlink() and Path(entry).is_dir()
    return linked or entry.is_dir(follow_symlinks=False)


def _suffix(entry: os.DirEntry[str]) -> str:
    """Return the suffix of what a person would take for a picture, in lower case, else ""."""
    suffix = Path(entry.name).suffix.lower()
    known = suffix in SUFFIXES or suffix in OTHER_PICTURES
    return suffix if known and not _is_folder(entry) else ""


def _is_lost(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry).exists()


def _class_folders(root: Path) -> dict[str, Path]:
    """Return class name -> folder, sorted by name; ValueError for names that are no names."""
    folders: dict[str, Path] = {}
    for entry in _visible(root):
        if not _is_folder(entry):
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"class folder {entry.name!r} is not in UTF-8: rename it") from None
        name = unicodedata.normalize("NFC", entry.name)
        if name in folders:
            raise ValueError(
                f"two class folders in {root} look the same, {folders[name].name!a} and "
                f"{entry.name!a}: one has composed letters, one letters and accents. Join them"
            )
        folders[name] = Path(entry.path)
    if not folders:
        raise ValueError(f"{root} has no sub-folders: expected one folder of images per class")
    return dict(sorted(folders.items()))


def _files(folder: Path, strange: list[str]) -> list[Path]:
    """Return the image files below a class folder; add to ``strange`` what does not count there.

    Linked folders are followed. A folder counts once, however many links lead there, and those
    around the class folder do not count, so no link leads in a circle.
    """
    files: list[Path] = []
    home, waiting = folder.resolve(), [folder]
    seen = {home, *home.parents}
    while waiting:
        entries = _visible(waiting.pop())
        below = list(filter(_is_folder, entries))
        if len(splits := _named_as_splits(below)) > 1:
            raise ValueError(f"{few(map(str, splits.values()))}: splits go around classes, not in")
        for entry in below:
            if (target := Path(entry.path).resolve()) not in seen:
                seen.add(target)
                waiting.append(Path(entry.path))
        for entry in entries:
            if (suffix := _suffix(entry)) in SUFFIXES:
                files.append(Path(entry.path))
            elif suffix or _is_lost(entry):
                strange.append(entry.path)
    return sorted(files)


def _one_class(root: Path, only: Path) -> str:
    """Return why one class is refused, and which folder may have been meant."""
    nested = any(map(_is_folder, _visible(only)))
    meant = f"{only}, if its folders are the classes" if nested else f"{root.parent}"
    return (
        f"{root} holds one class folder, {only.name!r}, but a class is told from others: give the "
        f"folder that has one folder per class (perhaps {meant})"
    )


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
        If it is no folder of two or more class folders with images, see `list_folder`, or files are
        unreadable; with on_error="skip" only if all are.
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
