"""Numbers and strokes from which critters are drawn: the same bytes on every platform.

Random numbers are PCG64's raw bits, and pictures are made with +, -, *, /, sqrt, floor and
comparisons only, which IEEE 754 defines to the last bit (sin, exp and sums of many numbers differ
between machines). Lengths are in *units*: an image is 64 units wide at any size in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]  # float32 throughout
Point = tuple[float, float]
ONE = np.float32(1)


class Draws:
    """Uniform random numbers for a batch; image k owns row k of ``raw`` (uint64, (B, R))."""

    def __init__(self, raw: NDArray[np.uint64]) -> None:
        self._values = (raw >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        self._next = 0

    def uniform(self, low: float, high: float, *shape: int) -> Field:
        """Return the next (B, *shape) numbers, low <= number < high."""
        start, self._next = self._next, self._next + int(np.prod(shape, dtype=int))
        values = self._values[:, start : self._next].reshape(-1, *shape)
        return np.float32(low) + np.float32(high - low) * values


def noise(lattice: Field, size: int) -> Field:
    """Interpolate a lattice of random numbers (B, h, w) smoothly to (B, size, size)."""
    return _stretch(_stretch(lattice, size).swapaxes(1, 2), size).swapaxes(1, 2)


def _stretch(lattice: Field, size: int) -> Field:
    """Interpolate axis 1 to ``size`` points."""
    at = (np.arange(size) + 0.5) * (lattice.shape[1] - 1) / size
    left = np.floor(at).astype(int)
    t = (at - left).astype(np.float32)[:, None]
    start = lattice[:, left]
    return start + (t * t * (3 - 2 * t)) * (lattice[:, left + 1] - start)


def hsv(hue: Field, saturation: Field, value: Field) -> Field:
    """Colours (B, 3, 1, 1) from hue (any number, period 1), saturation and value (B,) in 0..1."""
    h = (hue - np.floor(hue)) * 6
    ramps = np.stack([np.abs(h - 3) - 1, 2 - np.abs(h - 2), 2 - np.abs(h - 4)], axis=1)
    white = 1 - np.minimum(np.maximum(ramps, 0), ONE)
    return (value[:, None] * (1 - saturation[:, None] * white))[:, :, None, None]


def cover(distance: Field, pixels_per_unit: float) -> Field:
    """Antialiased coverage, 0..1, of a shape from its signed distance (negative inside)."""
    return np.minimum(np.maximum(np.float32(0.5) - distance * np.float32(pixels_per_unit), 0), ONE)


def paint(canvas: Field, alpha: Field, colour: Field | float) -> None:
    """Lay a colour (B, 3, h, w or 1, 1) over the canvas (B, 3, h, w) where alpha (B, h, w) is 1."""
    canvas += alpha[:, None] * (np.float32(colour) - canvas)


def turn(x: Field, y: Field, t: Field | float) -> tuple[Field, Field]:
    """Rotate coordinates by twice the angle whose tangent is ``t``, without sine or cosine."""
    cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    return cos * x + sin * y, cos * y - sin * x


def disc(x: Field, y: Field, centre: Point, radius: Field | float) -> Field:
    """Signed distance to a disc."""
    across, down = x - np.float32(centre[0]), y - np.float32(centre[1])
    return np.sqrt(across * across + down * down) - np.float32(radius)


def ellipse(x: Field, y: Field, a: Field | float, b: Field | float) -> Field:
    """Distance along the ray to an ellipse around (0, 0) with half axes a and b."""
    u, v = x / np.float32(a), y / np.float32(b)
    f = np.sqrt(u * u + v * v)
    return (f - 1) * np.sqrt(x * x + y * y) / np.maximum(f, np.float32(0.01))


def stroke(x: Field, y: Field, start: Point, end: Point, radius: float) -> Field:
    """Signed distance to a straight stroke with round ends."""
    dx, dy = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    x, y = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.minimum(np.maximum((x * dx + y * dy) / (dx * dx + dy * dy), 0), ONE)
    across, down = x - t * dx, y - t * dy
    return np.sqrt(across * across + down * down) - np.float32(radius)


def union(*shapes: Field) -> Field:
    """Signed distance to several shapes together."""
    whole = shapes[0]
    for shape in shapes[1:]:
        whole = np.minimum(whole, shape)
    return whole


class Window:
    """A square around (cx, cy) cut out of every image, so that a small shape costs little.

    ``x`` (B, 1, h) and ``y`` (B, h, 1) are coordinates from the centre, ``pixels`` (B, 3, h, h) is
    a copy to paint on that `put` writes back, ``at`` its index in a (B, size, size) array.
    """

    def __init__(self, canvas: Field, cx: Field, cy: Field, width: float) -> None:
        size = canvas.shape[-1]
        side = min(size, int(np.ceil(width * size / 64)) + 1)
        scale = np.float32(size / 64)
        centre = np.stack([cy, cx])[..., None]
        first = np.floor(centre * scale - np.float32(side / 2)).astype(int)
        line = np.minimum(np.maximum(first, 0), size - side) + np.arange(side)
        here = (line.astype(np.float32) + np.float32(0.5)) / scale - centre
        self.y, self.x = here[0][:, :, None], here[1][:, None, :]
        self.at = np.arange(len(cx))[:, None, None], line[0][:, :, None], line[1][:, None, :]
        self._canvas = canvas.transpose(0, 2, 3, 1)
        self.pixels = self._canvas[self.at].transpose(0, 3, 1, 2)

    def put(self) -> None:
        """Write the pixels back into the canvas."""
        self._canvas[self.at] = self.pixels.transpose(0, 2, 3, 1)
