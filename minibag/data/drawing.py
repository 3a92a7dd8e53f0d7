"""Numbers and strokes from which critters are drawn: the same bytes on every platform.

Random numbers come straight from PCG64's raw bits, and pictures from +, -, *, /, sqrt, floor and
comparisons only, which IEEE 754 defines to the last bit (sin, exp or a sum of many numbers do
depend on the machine). Shapes live in *units*: 64 units across the image at any size in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
ONE = np.float32(1)


class Draws:
    """Uniform random numbers for a batch: row k belongs to image k alone.

    Parameters
    ----------
    raw : uint64 array (B, R)
        Raw bits; every image owns R of them, so its pixels do not depend on its neighbours.
    """

    def __init__(self, raw: NDArray[np.uint64]) -> None:
        self._values = (raw >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)
        self._next = 0

    def uniform(self, low: float, high: float, *shape: int) -> Field:
        """Return (B, *shape) numbers, low <= number < high."""
        count = int(np.prod(shape, dtype=int))
        values = self._values[:, self._next : self._next + count]
        self._next += count
        return (low + (high - low) * values.reshape(-1, *shape)).astype(np.float32)


def noise(lattice: Field, size: int) -> Field:
    """Smooth noise (B, size, size): interpolated between the points of a lattice (B, h, w)."""
    return _stretch(_stretch(lattice, size).transpose(0, 2, 1), size).transpose(0, 2, 1)


def _stretch(lattice: Field, size: int) -> Field:
    """Interpolate axis 1 to ``size`` points, with a smooth step between neighbours."""
    cells = lattice.shape[1] - 1
    at = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells)) / size
    left = np.floor(at).astype(int)
    t = (at - left.astype(np.float32)).astype(np.float32)[:, None]
    t = t * t * (3 - 2 * t)
    start, end = lattice[:, left], lattice[:, left + 1]
    return start + t * (end - start)


def hue(h: Field, saturation: Field, value: Field) -> Field:
    """Colours (B, 3, 1, 1) in 0..1 from hue, saturation and value (B,), each in 0..1."""
    ramps = np.stack([np.abs(h * 6 - 3) - 1, 2 - np.abs(h * 6 - 2), 2 - np.abs(h * 6 - 4)], axis=1)
    pure = np.minimum(np.maximum(ramps, 0), ONE)
    colour = value[:, None] * (1 - saturation[:, None] * (1 - pure))
    return colour[:, :, None, None]


def cover(distance: Field, pixels_per_unit: float) -> Field:
    """Antialiased coverage 0..1 of a shape from its signed distance (negative inside) in units."""
    half = np.float32(0.5)
    return np.minimum(np.maximum(half - distance * np.float32(pixels_per_unit), 0), ONE)


def paint(canvas: Field, alpha: Field, colour: Field) -> None:
    """Lay a colour (B, 3, h, w or 1, 1) over the canvas (B, 3, h, w) where alpha (B, h, w) is 1."""
    canvas += alpha[:, None] * (colour - canvas)


def ellipse(x: Field, y: Field, a: Field | float, b: Field | float) -> Field:
    """Signed distance (along the ray from the centre) to an ellipse with half axes a and b."""
    f = np.sqrt((x / a) ** 2 + (y / b) ** 2) + np.float32(1e-6)
    return np.sqrt(x * x + y * y) * (1 - 1 / f) + np.where(f < 1e-3, -np.minimum(a, b), 0)


def capsule(x: Field, y: Field, ends: tuple[float, float, float, float], radius: float) -> Field:
    """Signed distance to a stroke with round ends from (x0, y0) to (x1, y1)."""
    x0, y0, x1, y1 = (np.float32(end) for end in ends)
    dx, dy = x1 - x0, y1 - y0
    t = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)
    t = np.minimum(np.maximum(t, 0), ONE)
    across, down = x - x0 - t * dx, y - y0 - t * dy
    return np.sqrt(across * across + down * down) - np.float32(radius)
