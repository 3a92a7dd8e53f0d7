"""Where the parts of a critter stand, and the painting of a whole batch of critters."""

from __future__ import annotations

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
    fall_light,
)
from minibag.data.critter_parts import PARTS
from minibag.data.drawing import ONE, Draws, Field, Window, cover, paint, turn
from minibag.data.imageset import Bytes

PART_WIDTH = 14  # no part is wider than this many pixels at size 64; it grows with the size
PART_GAP = 18  # with arrangement=True no two parts come nearer than this, at size 64

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RING = np.array(
    [[0, -1], [0.87, -0.5], [0.87, 0.5], [0, 1], [-0.87, 0.5], [-0.87, -0.5]], np.float32
)
CORNERS = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], np.float32)
TWINS = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])  # corners alike in rows, in columns


@dataclass
class Slots:
    """What stands where on the bodies; every array is (B, slots)."""

    kinds: Ints  # index into PARTS
    own: Mask  # whether the part is of the image's class
    x: Field  # in half axes of the body
    y: Field


def ring_slots(draws: Draws, kinds: Ints, visitors: Ints) -> Slots:
    """Six parts around the face: all of one kind, or five and one visitor (kinds are (B,))."""
    place = np.float32(0.68) * RING + draws.uniform(-0.04, 0.04, 6, 2)
    guest = np.floor(draws.uniform(0, 12)).astype(int)  # the slot of the visitor; from 6 on: none
    own = np.arange(6) != guest[:, None]
    return Slots(np.where(own, kinds[:, None], visitors[:, None]), own, *np.moveaxis(place, 2, 0))


def layout_slots(draws: Draws, labels: Ints) -> Slots:
    """Two eyes and two feathers at the corners of a square; twins in rows (0) or columns (1)."""
    kinds = TWINS[labels] ^ (draws.uniform(0, 1) < 0.5)[:, None]
    codes = np.array([list(PARTS).index(name) for name in ("eye", "feather")])
    place = np.float32(0.69) * CORNERS + draws.uniform(-0.074, 0.074, 4, 2)
    return Slots(codes[kinds], np.ones(kinds.shape, bool), *np.moveaxis(place, 2, 0))


def draw_scene(
    draws: Draws, size: int, slots: Slots, outlines: Ints, fingers: Mask, *, roomy: bool
) -> tuple[Bytes, Mask, Mask]:
    """Paint a batch: images (B, size, size, 3), masks of own parts, masks of distractors.

    ``outlines`` (B,) are rows of OUTLINES, -1 draws one at random; ``fingers`` (B,) says who gets
    the distractor; ``roomy`` bodies are large and square, so that their corners are far apart.
    """
    free = np.floor(draws.uniform(0, len(OUTLINES))).astype(int)
    hue = draws.uniform(0, 1)
    canvas = draw_ground(draws, size, hue + draws.uniform(0.25, 0.75))
    body = draw_body(draws, canvas, hue, OUTLINES[np.where(outlines < 0, free, outlines)], roomy)
    draw_face(draws, canvas, body)
    distractors = draw_fingers(draws, canvas, fingers)
    masks = _draw_parts(draws, canvas, body, slots, distractors)
    fall_light(draws, canvas)
    pixels = np.floor(np.minimum(np.maximum(canvas, 0), ONE) * 255 + np.float32(0.5))
    return pixels.astype(np.uint8).transpose(0, 2, 3, 1), masks, distractors


def _draw_parts(draws: Draws, canvas: Field, body: Body, slots: Slots, distractors: Mask) -> Mask:
    """Paint the parts; return the pixels of own parts, and clear what they hide of distractors."""
    radius = np.float32(PART_WIDTH * 0.46)
    px, py = body.place(slots.x * body.a[..., 0], slots.y * body.b[..., 0])
    tilt = body.tilt + draws.uniform(-0.06, 0.06, slots.x.shape[1], 1)
    masks = np.zeros(distractors.shape, bool)
    for slot in range(slots.x.shape[1]):
        window = Window(canvas, px[:, slot], py[:, slot], PART_WIDTH + 1)
        x, y = turn(window.x / radius, window.y / radius, tilt[:, slot, :, None])
        whole, lines = np.empty_like(x), np.empty_like(x)
        for code, part in enumerate(PARTS.values()):
            if (mine := slots.kinds[:, slot] == code).any():
                whole[mine], lines[mine] = part(x[mine], y[mine])
        whole, lines = (cover(d, float(radius) * canvas.shape[-1] / 64) for d in (whole, lines))
        paint(window.pixels, whole, body.pale)
        paint(window.pixels, lines, body.ink)
        window.put()
        marked = np.maximum(whole, lines) > 0.5
        distractors[window.at] &= ~marked
        masks[window.at] |= marked & slots.own[:, slot, None, None]
    return masks
