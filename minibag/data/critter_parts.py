"""The local parts that tell critters apart: one function of local coordinates for each.

A part lies in the disc ``x**2 + y**2 <= 1`` of its own coordinates (y points down). Its function
returns two signed distances: to the whole part, painted pale, and to the ink lines on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minibag.data.drawing import Field, disc, stroke, union

Part = Callable[[Field, Field], tuple[Field, Field]]
RIM = 0.08  # half the width of an ink line


def eye(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a ball with a pupil and three lashes."""
    ball = disc(x, y, (0, 0.3), 0.58)
    lash_ends = (
        ((-0.38, -0.24), (-0.62, -0.62)),
        ((0, -0.36), (0, -0.86)),
        ((0.38, -0.24), (0.62, -0.62)),
    )
    lashes = [stroke(x, y, start, end, 0.1) for start, end in lash_ends]
    return ball, union(disc(x, y, (0, 0.36), 0.3), np.abs(ball) - RIM, *lashes)


def feather(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a plume with a shaft and slanting barbs."""
    plume = np.maximum(disc(x, y, (-0.62, -0.1), 1.1), disc(x, y, (0.62, -0.1), 1.1))
    barb = (y + np.abs(x)) * np.float32(2.4)
    barbs = np.abs(barb - np.floor(barb) - np.float32(0.5)) * np.float32(0.3) - np.float32(0.06)
    shaft = stroke(x, y, (0, -0.6), (0, 0.92), 0.07)
    return plume, union(np.maximum(barbs, plume), shaft, np.abs(plume) - np.float32(0.05))


def scale(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw overlapping round scales, two above one."""
    whole, lines = None, None
    for centre in ((0.0, 0.12), (-0.42, -0.34), (0.42, -0.34)):
        tile = np.maximum(disc(x, y, centre, 0.5), np.float32(centre[1] - 0.2) - y)
        arc = np.maximum(np.abs(disc(x, y, centre, 0.46)) - RIM, np.float32(centre[1] - 0.2) - y)
        lines = arc if lines is None else union(arc, np.maximum(lines, -tile))
        whole = tile if whole is None else union(whole, tile)
    assert whole is not None and lines is not None
    return whole, lines


def fur(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a tuft of hairs that fan out."""
    tips = ((-0.72, -0.42), (-0.4, -0.74), (0.0, -0.86), (0.4, -0.74), (0.72, -0.42))
    hairs = [stroke(x, y, (tip[0] * 0.3, 0.78), tip, 0.09) for tip in tips]
    return union(*hairs) - np.float32(0.06), union(*hairs)


def fin(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a sail whose rays spread from one corner."""
    corner = (-0.55, 0.62)
    sail = np.maximum(disc(x, y, corner, 1.32), np.maximum(corner[0] - x, y - corner[1]))
    ends = ((-0.5, -0.66), (0.08, -0.5), (0.5, -0.1), (0.72, 0.56))
    rays = union(*(stroke(x, y, corner, end, 0.07) for end in ends))
    return sail, union(np.maximum(rays, sail), np.abs(sail) - np.float32(0.06))


def beak(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a pointed beak with its mouth line and a nostril."""
    wedge = np.maximum(np.abs(y) + x * np.float32(0.62) - np.float32(0.46), -0.7 - x) * np.float32(
        0.85
    )
    mouth = np.maximum(np.abs(y) - RIM, wedge)
    return wedge, union(mouth, np.abs(wedge) - RIM)


def shell(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a snail's shell: rings that touch at one side."""
    rings = [
        np.abs(disc(x, y, (cx, 0), r)) - RIM for cx, r in ((0, 0.84), (0.24, 0.54), (0.44, 0.26))
    ]
    return disc(x, y, (0, 0), 0.84), union(*rings)


def spot(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw three round dots with a pale halo."""
    dots = union(*(disc(x, y, c, 0.32) for c in ((-0.48, 0.36), (0.48, 0.36), (0, -0.5))))
    return dots - np.float32(0.14), dots


PARTS: dict[str, Part] = {
    part.__name__: part for part in (eye, feather, scale, fur, fin, beak, shell, spot)
}
