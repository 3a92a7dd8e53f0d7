"""The local parts that tell critters apart: one function of local coordinates for each.

A part lies in the disc ``x**2 + y**2 <= 1`` of its own coordinates (y points down). Its function
returns two signed distances: to the whole part, painted pale, and to the ink lines on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minibag.data.drawing import Field, disc, stroke, union

Part = Callable[[Field, Field], tuple[Field, Field]]
RIM = np.float32(0.1)  # half the width of an ink line


def eye(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a ball with a pupil and three lashes."""
    ball = disc(x, y, (0, 0.28), 0.64)
    roots, tips = (
        ((-0.4, -0.28), (0, -0.4), (0.4, -0.28)),
        ((-0.66, -0.62), (0, -0.88), (0.66, -0.62)),
    )
    lashes = [stroke(x, y, root, tip, 0.09) for root, tip in zip(roots, tips, strict=True)]
    return ball, union(disc(x, y, (0, 0.28), 0.22), np.abs(ball) - np.float32(0.08), *lashes)


def feather(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a plume with a shaft and slanting barbs."""
    plume = np.maximum(disc(x, y, (-0.44, -0.08), 1.04), disc(x, y, (0.44, -0.08), 1.04))
    barb = (y + np.abs(x)) * np.float32(2.0)
    barbs = np.abs(barb - np.floor(barb) - np.float32(0.5)) * np.float32(0.3) - np.float32(0.04)
    shaft = stroke(x, y, (0, -0.6), (0, 0.92), 0.08)
    return plume, union(np.maximum(barbs, plume), shaft, np.abs(plume) - np.float32(0.06))


def scale(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw three round scales, two of them over a third."""
    whole: Field
    lines: Field
    whole, lines = disc(x, y, (0, 0.22), 0.6), np.abs(disc(x, y, (0, 0.22), 0.56)) - RIM
    for cx in (-0.45, 0.45):
        tile, arc = disc(x, y, (cx, -0.28), 0.48), np.abs(disc(x, y, (cx, -0.28), 0.44)) - RIM
        whole, lines = union(whole, tile), union(arc, np.maximum(lines, -tile))
    cut = np.float32(-0.5) - y
    return np.maximum(whole, cut), np.maximum(lines, cut)


def fur(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a tuft of hairs that fan out."""
    tips = ((-0.8, -0.36), (-0.44, -0.72), (0.0, -0.84), (0.44, -0.72), (0.8, -0.36))
    hairs = union(*(stroke(x, y, (tip[0] * 0.3, 0.78), tip, 0.075) for tip in tips))
    return hairs - np.float32(0.06), hairs


def fin(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a sail whose rays spread from one corner."""
    corner = (-0.64, 0.62)
    sail = np.maximum(disc(x, y, corner, 1.36), np.maximum(corner[0] - x, y - corner[1]))
    ends = ((-0.62, -0.7), (-0.08, -0.56), (0.43, -0.14), (0.68, 0.6))
    rays = union(*(stroke(x, y, corner, end, 0.07) for end in ends))
    return sail, union(np.maximum(rays, sail), np.abs(sail) - np.float32(0.07))


def beak(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a beak, its upper half longer than the lower, with a nostril."""
    back = x - np.float32(0.6)
    upper = np.maximum(np.maximum(disc(x, y, (0.5, 0.72), 1.46), back), y - np.float32(0.12))
    lower = np.maximum(np.maximum(disc(x, y, (0.5, -0.3), 1.02), back), np.float32(0.12) - y)
    nostril = disc(x, y, (0.12, -0.26), 0.13)
    return union(upper, lower), union(
        np.abs(upper) - np.float32(0.08), np.abs(lower) - np.float32(0.08), nostril
    )


def shell(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a snail's shell: rings that touch at one side."""
    rings = [
        np.abs(disc(x, y, (cx, 0), r)) - np.float32(0.08) for cx, r in ((0, 0.76), (0.28, 0.4))
    ]
    return disc(x, y, (0, 0), 0.76), union(*rings, disc(x, y, (0.4, 0), 0.14))


def spot(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw three round dots with a pale rim."""
    dots = union(*(disc(x, y, c, 0.34) for c in ((-0.46, 0.34), (0.46, 0.34), (0, -0.48))))
    return dots - np.float32(0.12), dots


PARTS: dict[str, Part] = {
    part.__name__: part for part in (eye, feather, scale, fur, fin, beak, shell, spot)
}
