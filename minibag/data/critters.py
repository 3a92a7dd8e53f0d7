"""Critters: small procedural creatures whose class is told by local parts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibag.data.critter_body import (
    OUTLINES,
    Body,
    draw_body,
    draw_face,
    draw_fingers,
    draw_ground,
    light,
)
from minibag.data.critter_parts import PARTS
from minibag.data.drawing import Draws, Field, Window, cover, paint, turn
from minibag.data.imageset import ImageSet

PART_WIDTH = 14  # no part is wider than this many pixels at size 64; it grows with the size
PART_GAP = 18  # with arrangement=True no two parts are nearer than this, at size 64
SPLITS = ("train", "val", "test")
LAYOUTS = ("rows", "columns")  # the classes of arrangement=True
CHUNK = 32  # images drawn together: enough for NumPy, few enough for the cache
RAW = 600  # random numbers every image owns, used or not


@dataclass(frozen=True, eq=False)
class CritterSet(ImageSet):
    """Critters: an ImageSet that also knows what else was planted.

    Parameters
    ----------
    outlines : int64 array (N,)
        Index into ``classes`` of the class whose typical outline the critter has
        (``texture_conflict``); -1 where outlines say nothing.
    distractors : bool array (N, H, W)
        True on the planted distractor (``shortcut``).
    """

    outlines: NDArray[np.int64] | None = None
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
    """Draw critters: classes are told by parts at most ``PART_WIDTH * size / 64`` pixels wide.

    A critter carries six parts. All are of its class, but every second critter has borrowed one
    from another class. Pose, colours, light, outline and ground say nothing about the class.
    The same arguments give the same bytes on every platform, and image k does not depend on n.

    Parameters
    ----------
    split : "train", "val" or "test", three streams without a common image
    n : number of images; labels are balanced
    size : side in pixels, at least 32
    seed : another seed gives other images
    classes : at least two names out of ``PARTS``; their order is the order of the labels
    shortcut : class name -> share of its images with a distractor (an angler's fingers on green)
        in a corner, for example ``{"fin": 0.95}``; its pixels are in ``distractors``
    arrangement : two classes with the same parts, two eyes and two feathers: in "rows" twins
        stand side by side, in "columns" above each other. Every place shows either part equally
        often in both classes and parts are ``PART_GAP * size / 64`` pixels apart, so patches up
        to that size carry no evidence at all
    texture_conflict : None gives outlines that say nothing; otherwise every class has its typical
        outline, and this share of the images (0..1) wears that of another class. The label
        remains the class of the parts; ``outlines`` has the class of the outline

    Returns
    -------
    CritterSet whose ``masks`` are True on the parts of the image's own class

    Raises
    ------
    ValueError
        If an argument is out of its range or two switches exclude each other.
    """
    names = LAYOUTS if arrangement else tuple(classes)
    _validate(split, n, size, names, arrangement, texture_conflict)
    rates = _rates(shortcut or {}, names)
    stream, label_stream = (np.random.PCG64([seed, SPLITS.index(split), i]) for i in range(2))
    labels = _labels(n, len(names), label_stream)
    chunks = []
    for start in range(0, n, CHUNK):
        chosen = labels[start : start + CHUNK]
        draws = Draws(stream.random_raw(len(chosen) * RAW).reshape(-1, RAW))
        outlines = _outlines(draws, chosen, len(names), texture_conflict)
        fingers = draws.uniform(0, 1) < rates[chosen]
        slots = _layout(draws, chosen) if arrangement else _ring(draws, chosen, names)
        chunks.append(
            (*_draw(draws, size, chosen, slots, outlines, fingers, arrangement), outlines)
        )
    images, masks, distractors, outlines = (
        np.concatenate(parts) for parts in zip(*chunks, strict=True)
    )
    return CritterSet(images, labels, names, masks, outlines, distractors)


@dataclass
class Slots:
    """What stands where on a body: arrays (B, slots); x and y in units of its half axes."""

    kinds: NDArray[np.int64]  # index into PARTS
    own: NDArray[np.bool_]  # whether the part belongs to the image's class
    x: Field
    y: Field


def _validate(split, n, size, names, arrangement, texture_conflict) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if n < 1 or size < 32:
        raise ValueError(
            f"n must be at least 1 and size at least 32 pixels, got n={n}, size={size}"
        )


def _rates(shortcut: Mapping[str, float], names: tuple[str, ...]) -> Field:
    return np.float32([shortcut.get(name, 0) for name in names])


def _labels(n: int, n_classes: int, stream: np.random.PCG64) -> NDArray[np.int64]:
    """Balanced labels: every block of n_classes images holds each class once, in random order."""
    blocks = -(-n // n_classes)
    raw = stream.random_raw(blocks * n_classes).reshape(blocks, n_classes)
    return np.argsort(raw, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)


def _outlines(
    draws: Draws, labels: NDArray[np.int64], n_classes: int, conflict: float | None
) -> NDArray[np.int64]:
    """Index of the class whose outline an image gets, -1 for none."""
    clash, other = draws.uniform(0, 1), draws.uniform(0, 1)
    if conflict is None:
        return np.full(len(labels), -1)
    return np.where(clash < conflict, _another(labels, other, n_classes), labels)


def _another(labels: NDArray[np.int64], uniform: Field, n_classes: int) -> NDArray[np.int64]:
    """Draw another class than the label."""
    return (labels + 1 + np.floor(uniform * (n_classes - 1)).astype(int)) % n_classes


RING = np.float32([[0, -1], [0.87, -0.5], [0.87, 0.5], [0, 1], [-0.87, 0.5], [-0.87, -0.5]])


def _ring(draws: Draws, labels: NDArray[np.int64], names: tuple[str, ...]) -> Slots:
    """Six parts around the face, five or six of them of the image's class."""
    codes = np.array([list(PARTS).index(name) for name in names])
    place = RING * np.float32(0.68) + draws.uniform(-0.03, 0.03, 6, 2)
    own = np.ones((len(labels), 6), bool)
    visitor = np.floor(draws.uniform(0, 12)).astype(int)  # six and more: nobody
    other = codes[_another(labels, draws.uniform(0, 1), len(names))]
    own[np.arange(6) == visitor[:, None]] = False
    kinds = np.where(own, codes[labels][:, None], other[:, None])
    return Slots(kinds, own, place[..., 0], place[..., 1])


def _layout(draws: Draws, labels: NDArray[np.int64]) -> Slots:
    """Two eyes and two feathers at the corners of a square, twins in rows or in columns."""
    rows, columns = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    kinds = np.where(labels[:, None] == 0, rows, columns)
    kinds = kinds ^ (draws.uniform(0, 1) < 0.5)[:, None]
    place = np.float32([[-1, -1], [1, -1], [-1, 1], [1, 1]]) * np.float32(0.63) + draws.uniform(
        -0.02, 0.02, 4, 2
    )
    codes = np.array([list(PARTS).index(name) for name in ("eye", "feather")])
    return Slots(codes[kinds], np.ones(kinds.shape, bool), place[..., 0], place[..., 1])


def _draw(draws, size, labels, slots, outlines, fingers, roomy):
    """Paint one batch: images, evidence masks and distractor masks."""
    hue = draws.uniform(0, 1)
    free = np.floor(draws.uniform(0, len(OUTLINES))).astype(int)
    outline = OUTLINES[np.where(outlines < 0, free, outlines)]
    canvas = draw_ground(draws, size, hue + draws.uniform(0.25, 0.75))
    body = draw_body(draws, canvas, hue, outline, roomy)
    draw_face(draws, canvas, body)
    distractors = draw_fingers(draws, canvas, fingers)
    masks, any_part = _draw_parts(draws, canvas, body, slots)
    light(draws, canvas)
    pixels = np.floor(np.minimum(np.maximum(canvas, 0), np.float32(1)) * 255 + np.float32(0.5))
    return pixels.astype(np.uint8).transpose(0, 2, 3, 1), masks, distractors & ~any_part


def _draw_parts(draws: Draws, canvas: Field, body: Body, slots: Slots):
    """Paint the parts; return the pixels of the image's own parts and of all parts."""
    count, n_slots = slots.kinds.shape
    radius = np.float32(PART_WIDTH * 0.46)
    px, py = body.place(slots.x * body.a[..., 0], slots.y * body.b[..., 0])
    tilt = body.tilt + draws.uniform(-0.07, 0.07, n_slots, 1)
    masks, any_part = np.zeros((2, count, *canvas.shape[2:]), bool)
    for slot in range(n_slots):
        window = Window(canvas, px[:, slot], py[:, slot], PART_WIDTH + 1)
        x, y = turn(window.x / radius, window.y / radius, tilt[:, slot, :, None])
        whole, lines = np.empty_like(x), np.empty_like(x)
        for code, part in enumerate(PARTS.values()):
            mine = slots.kinds[:, slot] == code
            if mine.any():
                whole[mine], lines[mine] = part(x[mine], y[mine])
        whole, lines = (cover(d, float(radius) * canvas.shape[-1] / 64) for d in (whole, lines))
        paint(window.pixels, whole, body.pale)
        paint(window.pixels, lines, body.ink)
        window.put()
        marked = np.maximum(whole, lines) > 0.5
        any_part[window.at] |= marked
        masks[window.at] |= marked & slots.own[:, slot, None, None]
    return masks, any_part
