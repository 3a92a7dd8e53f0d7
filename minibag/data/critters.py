"""Critters: small procedural creatures whose class is told by local parts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibag.data.critter_parts import PARTS
from minibag.data.critter_scene import draw_scene, layout_slots, ring_slots
from minibag.data.drawing import Draws, Field
from minibag.data.imageset import ImageSet

SPLITS = ("train", "val", "test")
LAYOUTS = ("rows", "columns")  # the classes of arrangement=True
CHUNK = 32  # images drawn together: enough for NumPy, few enough for the cache
RAW = 600  # random numbers that every image owns, used or not

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CritterSet(ImageSet):
    """Critters: an ImageSet that also knows what else was planted.

    Parameters
    ----------
    images, labels, classes, masks : as in `ImageSet`
    outlines : int64 array (N,), class whose typical outline the critter has (``texture_conflict``);
        -1 where outlines say nothing
    distractors : bool array (N, H, W), True on the planted distractor (``shortcut``)
    """

    outlines: Ints | None = None
    distractors: NDArray[np.bool_] | None = None


def critters(
    split: str,
    n: int,
    size: int = 64,
    seed: int = 0,
    *,
    classes: Sequence[str] = tuple(PARTS),
    shortcut: Mapping[str, float] | None = None,
    arrangement: bool = False,
    texture_conflict: float | None = None,
) -> CritterSet:
    """Draw critters, told apart by parts at most ``PART_WIDTH * size / 64`` pixels wide.

    A critter carries six parts. All are of its class, but every second critter has borrowed one
    from another class. Pose, colours, light, outline and ground say nothing about the class.
    The same arguments give the same bytes on every platform, and image k does not depend on n.

    Parameters
    ----------
    split : "train", "val" or "test", three streams that share no image
    n : number of images; labels are balanced
    size : side in pixels, at least 32
    seed : another seed gives other images
    classes : two or more names out of ``PARTS``, in the order of the labels
    shortcut : class name -> share of its images with a distractor in a corner, an angler's
        fingers on green: ``{"fin": 0.95}``. Other classes have none; pixels in ``distractors``
    arrangement : draw two classes with the same parts, two eyes and two feathers: in "rows" twins
        stand side by side, in "columns" one above the other. Every place shows either part
        equally often in both classes and parts are ``PART_GAP * size / 64`` pixels apart, so
        whatever a patch up to that size votes, the mean vote is the same for both classes
    texture_conflict : None gives outlines that say nothing. A number gives every class its typical
        outline, and this share of the images (0..1) the outline of another class: the parts that
        cover the body are of class ``labels``, the outline is that of class ``outlines``

    Returns
    -------
    CritterSet

    Raises
    ------
    ValueError
        If an argument is out of its range or two switches exclude each other.

    Examples
    --------
    >>> critters("train", 4, classes=("eye", "feather")).images.shape
    (4, 64, 64, 3)
    """
    names = LAYOUTS if arrangement else tuple(classes)
    _validate(split, n, size, tuple(classes), arrangement, texture_conflict)
    rates = _rates(shortcut or {}, names)
    stream, label_stream = (np.random.PCG64([seed, SPLITS.index(split), i]) for i in range(2))
    labels = _labels(n, len(names), label_stream)
    codes = np.array([list(PARTS).index(name) for name in classes])
    images = np.empty((n, size, size, 3), np.uint8)
    masks, distractors = np.empty((2, n, size, size), bool)
    outlines = np.empty(n, np.int64)
    for start in range(0, n, CHUNK):
        now = slice(start, start + CHUNK)
        count = len(labels[now])
        draws = Draws(stream.random_raw(count * RAW).reshape(count, RAW))
        outlines[now] = _outlines(draws, labels[now], len(names), texture_conflict)
        fingers = draws.uniform(0, 1) < rates[labels[now]]
        other = another(labels[now], draws.uniform(0, 1), len(names))
        if arrangement:
            slots = layout_slots(draws, labels[now])
        else:
            slots = ring_slots(draws, codes[labels[now]], codes[other])
        shape = np.where(outlines[now] < 0, -1, codes[outlines[now]])
        images[now], masks[now], distractors[now] = draw_scene(
            draws, size, slots, shape, fingers, roomy=arrangement
        )
    return CritterSet(images, labels, names, masks, outlines, distractors)


def another(labels: Ints, uniform: Field, n_classes: int) -> Ints:
    """Pick a class other than the label with one uniform number for each."""
    return (labels + 1 + np.floor(uniform * (n_classes - 1)).astype(np.int64)) % n_classes


def _labels(n: int, n_classes: int, stream: np.random.PCG64) -> Ints:
    """Balanced labels: every n_classes images hold each class once, in random order."""
    blocks = -(-n // n_classes)
    raw = stream.random_raw(blocks * n_classes).reshape(blocks, n_classes)
    return np.argsort(raw, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)


def _outlines(draws: Draws, labels: Ints, n_classes: int, conflict: float | None) -> Ints:
    """Label of the outline of every image, -1 where it says nothing."""
    clash, other = draws.uniform(0, 1), draws.uniform(0, 1)
    if conflict is None:
        return np.full(len(labels), -1)
    return np.where(clash < conflict, another(labels, other, n_classes), labels)


def _rates(shortcut: Mapping[str, float], names: tuple[str, ...]) -> Field:
    """Share of images with a distractor for every class, checked."""
    for name, rate in shortcut.items():
        if name not in names or not 0 <= rate <= 1:
            raise ValueError(
                f"shortcut maps class names to shares in 0..1, got {name!r}: {rate!r}; "
                f"the classes are {', '.join(names)}"
            )
    return np.array([shortcut.get(name, 0.0) for name in names], np.float32)


def _validate(
    split: str,
    n: int,
    size: int,
    classes: tuple[str, ...],
    arrangement: bool,
    texture_conflict: float | None,
) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if n < 1 or size < 32:
        raise ValueError(f"n must be at least 1 and size at least 32, got n={n}, size={size}")
    unknown = [name for name in classes if name not in PARTS]
    if unknown or len(set(classes)) < max(2, len(classes)):
        raise ValueError(
            f"classes must be two or more different names out of {', '.join(PARTS)}; got {classes}"
        )
    if arrangement and (texture_conflict is not None or classes != tuple(PARTS)):
        raise ValueError(
            "arrangement=True has its own classes and one outline: leave classes and "
            "texture_conflict out"
        )
    if texture_conflict is not None and not 0 <= texture_conflict <= 1:
        raise ValueError(f"texture_conflict is a share of images in 0..1, got {texture_conflict}")
