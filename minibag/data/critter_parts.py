"""The local parts that tell critters apart: one function of local coordinates for each.

Every part fills the disc ``x**2 + y**2 <= 1`` of its own coordinates (y points down) and returns
two signed distances: of the whole part, painted pale, and of the ink lines on it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minibag.data.drawing import Field, capsule

Part = Callable[[Field, Field], tuple[Field, Field]]


def _disc(x: Field, y: Field, cx: float, cy: float, radius: float) -> Field:
    across, down = x - np.float32(cx), y - np.float32(cy)
    return np.sqrt(across * across + down * down) - np.float32(radius)


def _union(*shapes: Field) -> Field:
    whole = shapes[0]
    for shape in shapes[1:]:
        whole = np.minimum(whole, shape)
    return whole


def eye(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a white ball with a pupil and three lashes."""
    ball = _disc(x, y, 0, 0.3, 0.62)
    pupil = _disc(x, y, 0, 0.34, 0.33)
    lashes = [capsule(x, y, (side * 0.38, -0.28, side * 0.62, -0.66), 0.1) for side in (-1, 1)] + [
        capsule(x, y, (0, -0.4, 0, -0.86), 0.1)
    ]
    return ball, _union(pupil, np.abs(ball) - 0.09, *lashes)


def feather(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a slim leaf with a shaft and slanting barbs."""
    leaf = np.abs(x) * 1.15 + y * y * 0.5 - 0.46
    barbs = (y + np.abs(x) * 1.1) * 2.6
    stripes = np.abs(barbs - np.floor(barbs) - 0.5) * 0.4 - 0.09
    shaft = np.abs(x) - 0.07
    return leaf, np.maximum(_union(shaft, stripes), leaf)


def scale(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw three overlapping round scales, one above two."""
    arcs = [
        np.maximum(np.abs(_disc(x, y, cx, cy, 0.42)) - 0.09, cy - y)
        for cx, cy in ((-0.42, 0.1), (0.42, 0.1), (0, -0.5))
    ]
    body = _union(
        _disc(x, y, -0.42, 0.1, 0.45), _disc(x, y, 0.42, 0.1, 0.45), _disc(x, y, 0, -0.5, 0.45)
    )
    return np.maximum(body, -0.5 - y), _union(*arcs)


def fur(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a tuft: five hairs that fan out."""
    hairs = [
        capsule(x, y, (i * 0.16, 0.75, i * 0.36, -0.85 + 0.1 * i * i), 0.1)
        for i in (-2, -1, 0, 1, 2)
    ]
    return _union(*hairs) + 0.02, _union(*hairs[::2])


def fin(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a sail with rays that spread from one corner."""
    quarter = np.maximum(_disc(x, y, -0.6, 0.6, 1.45), np.maximum(-0.65 - x, y - 0.65))
    rays = [
        capsule(x, y, (-0.6, 0.6, ex, ey), 0.08)
        for ex, ey in ((-0.5, -0.8), (0.15, -0.55), (0.65, 0.0), (0.8, 0.55))
    ]
    return quarter, np.maximum(_union(*rays), quarter)


def beak(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a pointed beak, closed, with its line."""
    wedge = np.maximum(np.abs(y) * 1.0 + x * 0.62 - 0.55, -0.75 - x)
    line = np.maximum(np.abs(y) - 0.09, wedge)
    return wedge, _union(line, np.abs(wedge + 0.07) - 0.08)


def shell(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw a snail's shell: rings that touch at one side."""
    rings = [np.abs(_disc(x, y, cx, 0, r)) - 0.1 for cx, r in ((0, 0.86), (0.26, 0.5), (0.4, 0.16))]
    return _disc(x, y, 0, 0, 0.9), _union(*rings)


def spot(x: Field, y: Field) -> tuple[Field, Field]:
    """Draw three round dots."""
    dots = _union(
        _disc(x, y, -0.48, 0.36, 0.36), _disc(x, y, 0.48, 0.36, 0.36), _disc(x, y, 0, -0.5, 0.36)
    )
    return dots - 0.12, dots


PARTS: dict[str, Part] = {
    "eye": eye,
    "feather": feather,
    "scale": scale,
    "fur": fur,
    "fin": fin,
    "beak": beak,
    "shell": shell,
    "spot": spot,
}
