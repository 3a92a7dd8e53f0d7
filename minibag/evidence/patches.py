"""The patches that speak most for a class: which local features a bag model goes by."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from minibag.bag import BagPredictor, finite
from minibag.data import ImageSet
from minibag.data.names import difference

Kind = Literal["any", "telling", "misleading"]
BATCH = 64  # images whose evidence is held at a time


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch of an image and what it says.

    Parameters
    ----------
    value : evidence for the class that was asked for
    image : index of the image in the set, or its place in the stream, from 0
    label : class of that image
    cell : (i, j) of the patch in the evidence map
    box : (top, left, bottom, right) in pixels, ends exclusive
    crop : its pixels, uint8 (q, q, 3); smaller where the box reaches over the edge of the image
    """

    value: float
    image: int
    label: int
    cell: tuple[int, int]
    box: tuple[int, int, int, int]
    crop: NDArray[np.uint8]


def top_patches(
    model: BagPredictor,
    images: ImageSet | Iterable[ImageSet],
    target: int,
    k: int = 10,
    kind: Kind = "any",
    per_image: int | None = 1,
    progress: bool = False,
) -> list[Patch]:
    """Return the k patches with the most evidence for a class, the strongest first.

    Reads the images once, 64 at a time, and keeps k patches: a data set of any size will do.
    Among equal values the one that comes first wins (by image, then by row and column).

    Parameters
    ----------
    model : any bag model, of words or a BagNet
    images : ImageSet, or ImageSets one after the other, as from `stream_folder`; labels count the
        classes of the model
    target : index of the class in ``model.classes``
    k : how many patches; fewer come back if there are not so many
    kind : "any" image; "telling", only images of the class; "misleading", only of other classes
    per_image : patches of one image at most, its strongest; None for no limit
    progress : show a progress bar, in images

    Returns
    -------
    list of Patch; image indices count all images given, also those that ``kind`` leaves out

    Raises
    ------
    ValueError
        If k or per_image is below 1, there is no such class or kind, the images have other
        classes than the model or in another order, none is of that kind, or evidence is not finite.
    TypeError
        If the model is no bag, or target no whole number.

    References
    ----------
    Brendel & Bethge, ICLR 2019, the figure of the most informative patches.
    """
    if not isinstance(model, BagPredictor):
        raise TypeError(f"telling patches need a bag (BagNet or words), got {type(model).__name__}")
    target = operator.index(target)
    if not 0 <= target < len(model.classes):
        raise ValueError(f"target must be 0 to {len(model.classes) - 1}, got {target}")
    if k < 1 or (per_image is not None and per_image < 1):
        raise ValueError(f"k and per_image must be at least 1, got k={k}, per_image={per_image}")
    if kind not in ("any", "telling", "misleading"):
        raise ValueError(f'kind must be "any", "telling" or "misleading", got {kind!r}')
    best: list[Patch] = []
    seen = 0
    total = len(images) if isinstance(images, ImageSet) else None
    with tqdm(total=total, unit="image", disable=not progress) as bar:
        for batch in _batches(images, model.classes):
            of_class = batch.labels == target
            wanted = {"any": of_class | True, "telling": of_class, "misleading": ~of_class}[kind]
            if wanted.any():
                numbers = seen + np.flatnonzero(wanted)
                best += _strongest(model, batch[wanted], numbers, target, k, per_image)
                best = sorted(best, key=lambda patch: -patch.value)[:k]  # stable: first come first
            seen += len(batch)
            bar.update(len(batch))
    if not best:
        raise ValueError(f"none of the images is of kind {kind!r} for {model.classes[target]!r}")
    return best


def _batches(images: ImageSet | Iterable[ImageSet], classes: tuple[str, ...]) -> Iterator[ImageSet]:
    """Yield all images in order, at most BATCH at a time."""
    for part in [images] if isinstance(images, ImageSet) else images:
        if apart := difference(classes, part.classes):
            raise ValueError(
                f"the images do not have the classes of the model, so that a label means two "
                f"things: {apart}. Train and read on image sets with the same classes"
            )
        for start in range(0, len(part), BATCH):
            yield part[start : start + BATCH]


def _strongest(
    model: BagPredictor,
    batch: ImageSet,
    numbers: NDArray[np.intp],
    target: int,
    k: int,
    per_image: int | None,
) -> list[Patch]:
    """Return the k strongest patches of a batch; ``numbers`` are the indices of its images."""
    maps = finite(model.evidence(batch.images)[:, target])
    grid = model.grid(batch.images.shape[1:3])
    flat = maps.reshape(len(maps), -1)
    cells = np.argsort(-flat, axis=1, kind="stable")[:, :per_image]
    values = np.take_along_axis(flat, cells, axis=1)
    patches = []
    for place in np.argsort(-values, axis=None, kind="stable")[:k]:
        n, rank = np.unravel_index(place, values.shape)
        i, j = divmod(int(cells[n, rank]), grid.shape[1])
        top, left, bottom, right = box = grid.box(i, j)
        crop = batch.images[n, max(top, 0) : bottom, max(left, 0) : right].copy()
        value, label = float(values[n, rank]), int(batch.labels[n])
        patches.append(Patch(value, int(numbers[n]), label, (i, j), box, crop))
    return patches
