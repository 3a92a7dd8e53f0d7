"""Critters: small procedural creatures whose class is told by local parts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibag.data.critter_parts import PARTS
from minibag.data.drawing import Draws, Field, cover, ellipse, hue, noise, paint
from minibag.data.imageset import ImageSet

PART_WIDTH = 10  # no part is wider than this many pixels at size 64 (scale with the size)
SPLITS = ("train", "val", "test")
CHUNK = 32  # images drawn together: large enough for NumPy, small enough for the cache
RAW = 800  # raw numbers that every image owns
N_SLOTS = 6


@dataclass(frozen=True, eq=False)
class CritterSet(ImageSet):
    """An ImageSet of critters."""


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
    """Draw ``n`` critters (first version)."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    names = ("rows", "columns") if arrangement else tuple(classes)
    stream = np.random.PCG64([seed, SPLITS.index(split)])
    labels = _labels(n, len(names), np.random.PCG64([seed, SPLITS.index(split), 1]))
    images = np.empty((n, size, size, 3), np.uint8)
    masks = np.empty((n, size, size), bool)
    for start in range(0, n, CHUNK):
        these = slice(start, min(start + CHUNK, n))
        count = these.stop - start
        draws = Draws(stream.random_raw(count * RAW).reshape(count, RAW))
        images[these], masks[these] = _draw(draws, labels[these], size, names, arrangement)
    return CritterSet(images, labels, names, masks)


def _labels(n: int, n_classes: int, stream: np.random.PCG64) -> NDArray[np.int64]:
    """Balanced labels: every block of n_classes images holds each class once, in random order."""
    blocks = -(-n // n_classes)
    raw = stream.random_raw(blocks * n_classes).reshape(blocks, n_classes)
    return np.argsort(raw, axis=1, kind="stable").reshape(-1)[:n].astype(np.int64)


def _draw(draws, labels, size, names, arrangement):
    count = len(labels)
    scale = size / 64
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(scale)
    canvas = _background(draws, size)
    # body
    if arrangement:
        cx, cy = draws.uniform(30, 34, 2, 1, 1).swapaxes(0, 1)
        a = draws.uniform(25, 27, 1, 1)
        b = draws.uniform(25, 27, 1, 1)
    else:
        cx, cy = draws.uniform(26, 38, 2, 1, 1).swapaxes(0, 1)
        a = draws.uniform(19, 23, 1, 1)
        b = draws.uniform(19, 23, 1, 1)
    t = draws.uniform(-0.2, 0.2, 1, 1)
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    x0, y0 = axis[None, None, :] - cx, axis[None, :, None] - cy
    x, y = cos * x0 + sin * y0, cos * y0 - sin * x0
    body = hue(draws.uniform(0, 1), draws.uniform(0.25, 0.7), draws.uniform(0.5, 0.8))
    ink = hue(draws.uniform(0, 1), draws.uniform(0.3, 0.9), draws.uniform(0.05, 0.25))
    pale = hue(draws.uniform(0, 1), draws.uniform(0.0, 0.25), draws.uniform(0.9, 1))
    alpha = cover(ellipse(x, y, a, b), scale)
    lx, ly = draws.uniform(-0.7, 0.7, 2, 1, 1).swapaxes(0, 1)
    nx, ny = x / a, y / b
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    shade = 0.75 + 0.3 * (lx * nx + ly * ny) + 0.25 * nz
    paint(canvas, alpha, body * shade[:, None])
    # face
    for side in (-1, 1):
        paint(canvas, cover(ellipse(x - side * 4, y + 1, 2.4, 2.8), scale), np.float32(1))
        paint(canvas, cover(ellipse(x - side * 4, y + 0.6, 1.2, 1.5), scale), np.float32(0.05))
    # slots
    kinds, sx, sy = _slots(draws, labels, names, arrangement)
    px = cx[:, :, 0] + cos[:, :, 0] * sx - sin[:, :, 0] * sy
    py = cy[:, :, 0] + cos[:, :, 0] * sy + sin[:, :, 0] * sx
    masks = _parts(canvas, draws, kinds, labels, px, py, ink, pale, scale, arrangement)
    light = draws.uniform(0.8, 1.1, 3, 1, 1)
    canvas *= light
    out = np.floor(np.minimum(np.maximum(canvas, 0), np.float32(1)) * 255 + np.float32(0.5))
    return out.astype(np.uint8).transpose(0, 2, 3, 1), masks


def _slots(draws, labels, names, arrangement):
    count = len(labels)
    if arrangement:
        sx = np.float32([[-16.5, 16.5, -16.5, 16.5]]) + draws.uniform(-1, 1, 4) * 0
        sy = np.float32([[-16.5, -16.5, 16.5, 16.5]]) + draws.uniform(-1, 1, 4) * 0
        flip = (draws.uniform(0, 1) < 0.5).astype(int)
        rows = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])[labels]
        kinds = (rows + flip[:, None]) % 2  # 0 eye, 1 feather
        return kinds, sx, sy
    ring = np.float32(
        [[0, -13.5], [11.7, -6.75], [11.7, 6.75], [0, 13.5], [-11.7, 6.75], [-11.7, -6.75]]
    )
    where = ring[None] + draws.uniform(-1.2, 1.2, 6, 2)
    codes = np.array([list(PARTS).index(name) for name in names])
    kinds = np.repeat(codes[labels][:, None], 6, axis=1)
    stray = draws.uniform(0, 1)
    other = (labels + 1 + np.floor(draws.uniform(0, 1) * (len(names) - 1)).astype(int)) % len(names)
    kinds[stray < 0.5, 0] = codes[other[stray < 0.5]]
    return kinds, where[:, :, 0], where[:, :, 1]


def _parts(canvas, draws, kinds, labels, px, py, ink, pale, scale, arrangement):
    count, slots = kinds.shape
    size = canvas.shape[-1]
    width = int(np.ceil((PART_WIDTH + 2) * scale))
    left = np.clip(np.floor(px * scale - width / 2).astype(int), 0, size - width)
    top = np.clip(np.floor(py * scale - width / 2).astype(int), 0, size - width)
    cols, rows = left[..., None] + np.arange(width), top[..., None] + np.arange(width)
    radius = np.float32(PART_WIDTH / 2)
    u = ((cols + 0.5).astype(np.float32) / np.float32(scale) - px[..., None]) / radius
    v = ((rows + 0.5).astype(np.float32) / np.float32(scale) - py[..., None]) / radius
    t = draws.uniform(-0.25, 0.25, slots, 1, 1)
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    x = cos * u[:, :, None, :] + sin * v[:, :, :, None]
    y = cos * v[:, :, :, None] - sin * u[:, :, None, :]
    whole, lines = np.empty_like(x), np.empty_like(x)
    for code, part in enumerate(PARTS.values()):
        mine = kinds == code
        if mine.any():
            whole[mine], lines[mine] = part(x[mine], y[mine])
    whole, lines = (cover(d, float(radius) * scale) for d in (whole, lines))
    masks = np.zeros((count, size, size), bool)
    b = np.arange(count)[:, None, None]
    ch = np.arange(3)[None, :, None, None]
    for slot in range(slots):
        r, c = rows[:, slot, :, None], cols[:, slot, None, :]
        window = canvas[b[..., None], ch, r[:, None], c[:, None]]
        paint(window, whole[:, slot], pale)
        paint(window, lines[:, slot], ink)
        canvas[b[..., None], ch, r[:, None], c[:, None]] = window
        masks[b, r, c] |= np.maximum(whole, lines)[:, slot] > 0.5
    return masks


def _background(draws, size):
    dark = hue(draws.uniform(0, 1), draws.uniform(0.1, 0.6), draws.uniform(0.2, 0.7))
    light = hue(draws.uniform(0, 1), draws.uniform(0.1, 0.6), draws.uniform(0.3, 0.9))
    mix = 0
    for h, w in ((5, 5), (9, 9), (17, 17), (5, 17), (17, 5)):
        weight = draws.uniform(0, 0.6, 1, 1)
        mix = mix + weight * noise(draws.uniform(0, 1, h, w), size)
    mix = np.minimum(mix / np.float32(1.5), np.float32(1))
    return dark + mix[:, None] * (light - dark)
