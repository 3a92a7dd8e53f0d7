"""Everything of a critter that does not tell its class: ground, light, body, face and limbs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minibag.data.drawing import (
    ONE,
    Draws,
    Field,
    Window,
    cover,
    disc,
    ellipse,
    hsv,
    noise,
    paint,
    turn,
    union,
)

# One row for an outline: half axes of the body, how square it is, how much wider below than
# above, and the ears: place across and up, half axes, tilt.
# fmt: off
OUTLINES = np.array([
    [22.0, 21.0, 0.1, 0.00, 13.0, 15.0, 6.0, 6.0, 0.0],  # round, with round ears
    [19.5, 22.5, 0.0, 0.10, 7.0, 23.0, 3.6, 10.0, 0.1],  # tall, with long ears
    [24.0, 19.0, 0.2, 0.10, 0.0, 0.0, 2.0, 2.0, 0.0],  # a bun without ears
    [20.5, 20.0, 0.9, 0.00, 14.0, 18.0, 4.5, 6.5, -0.3],  # square, with small ears
    [21.5, 22.0, 0.0, 0.28, 0.0, 22.0, 3.0, 5.5, 0.0],  # a pear with one tuft
    [23.5, 19.5, 0.4, -0.10, 10.0, 21.0, 1.8, 9.0, 0.25],  # wide, with horns
    [19.5, 23.0, 0.7, 0.00, 21.0, 2.0, 6.5, 3.6, 0.2],  # a pillar with wings
    [22.5, 20.0, 0.0, -0.25, 17.0, 12.0, 7.5, 4.0, 0.5],  # wide above, with hanging ears
], np.float32)
# fmt: on
ROOMY = np.array([26.0, 26.0, 1.0, 0.0], np.float32)
BLUSH = np.array([0.5, 0.2, 0.25], np.float32)[:, None, None]


@dataclass
class Body:
    """Where the critters of a batch stand, their shape (B, 1, 1) and colours (B, 3, 1, 1)."""

    cx: Field
    cy: Field
    tilt: Field
    a: Field
    b: Field
    square: Field
    pear: Field
    ink: Field = field(init=False)
    pale: Field = field(init=False)
    blush: Field = field(init=False)

    def place(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Return the image coordinates (B, k) of points (B, k) on the body, in units."""
        x, y = turn(x, y, -self.tilt[..., 0])
        return x + self.cx[..., 0], y + self.cy[..., 0]


def draw_ground(draws: Draws, size: int, hue: Field) -> Field:
    """Paint a textured background: two colours, clouds, grain and blades: (B, 3, size, size)."""
    top = hsv(hue + draws.uniform(-0.1, 0.1), draws.uniform(0.1, 0.55), draws.uniform(0.35, 0.95))
    low = hsv(hue + draws.uniform(-0.2, 0.2), draws.uniform(0.2, 0.6), draws.uniform(0.25, 0.75))
    horizon = draws.uniform(-0.4, 1.0, 1, 1)
    level = np.arange(size, dtype=np.float32)[:, None] / np.float32(size)
    clouds = noise(draws.uniform(-0.5, 0.5, 6, 6), size)
    blend = (level - horizon) * 2 + np.float32(1.2) * clouds
    canvas = top + np.minimum(np.maximum(blend, 0), ONE)[:, None] * (low - top)
    blades = noise(draws.uniform(-0.5, 0.5, 5, 25), size)
    lying = draws.uniform(0, 1) < 0.5
    blades[lying] = blades[lying].swapaxes(1, 2)
    texture = draws.uniform(0, 0.35, 1, 1) * blades
    texture += draws.uniform(0.03, 0.24, 1, 1) * noise(draws.uniform(-0.5, 0.5, 17, 17), size)
    canvas *= (1 + texture + np.float32(0.3) * clouds)[:, None]
    return canvas


def draw_body(draws: Draws, canvas: Field, hue: Field, outline: Field, roomy: bool) -> Body:
    """Paint shadow, limbs and a shaded body of the given outlines (B, 9); roomy ones are large."""
    scale = canvas.shape[-1] / 64
    axis = (np.arange(canvas.shape[-1], dtype=np.float32) + np.float32(0.5)) / np.float32(scale)
    body = _pose(draws, outline, roomy)
    coat = hsv(hue, draws.uniform(0.3, 0.75), draws.uniform(0.55, 0.85))
    body.ink = hsv(draws.uniform(0, 1), draws.uniform(0.3, 0.9), draws.uniform(0.05, 0.22))
    body.pale = hsv(draws.uniform(0, 1), draws.uniform(0.02, 0.25), draws.uniform(0.88, 1))
    body.blush = coat * np.float32(0.5) + BLUSH
    shadow = ellipse(axis - body.cx - 1, axis[:, None] - body.cy - body.b - 1, body.a, 5)
    paint(canvas, np.minimum(np.maximum(-shadow / 5, 0), ONE) * np.float32(0.45), 0.05)
    x, y = turn(axis - body.cx, axis[:, None] - body.cy, body.tilt)
    limbs = _limbs(np.abs(x), y, body, outline)
    u, v = x / (body.a * (1 + body.pear * y / body.b)), y / body.b
    uu, vv = u * u, v * v
    f = np.sqrt(uu + vv)  # 1 on the outline, from round (2-norm) to square (4-norm)
    f += body.square * (np.sqrt(np.sqrt(uu * uu + vv * vv)) - f)
    trunk = (f - 1) * np.sqrt(x * x + y * y) / np.maximum(f, np.float32(0.01))
    paint(canvas, cover(union(trunk, limbs) - np.float32(0.9), scale), coat * np.float32(0.3))
    paint(canvas, cover(limbs, scale), coat * np.float32(0.8))
    lit = draws.uniform(-0.6, 0.6, 1, 1) * u + draws.uniform(-0.75, 0.3, 1, 1) * v
    shade = np.float32(0.72) + np.float32(0.3) * (lit + np.sqrt(np.maximum(1 - f * f, 0)))
    paint(canvas, cover(trunk, scale), coat * shade[:, None])
    return body


def _pose(draws: Draws, outline: Field, roomy: bool) -> Body:
    """Draw place, tilt and size."""
    stray, lean = (1.5, 0.05) if roomy else (4.0, 0.09)
    cx, cy = (draws.uniform(32 - stray, 32 + stray, 1, 1) for _ in range(2))
    tilt = draws.uniform(-lean, lean, 1, 1)
    shape = np.broadcast_to(ROOMY, (len(cx), 4)) if roomy else outline[:, :4]
    a, b, square, pear = shape.T[..., None, None]
    a, b = a * draws.uniform(1.02, 1.1, 1, 1), b * draws.uniform(1.02, 1.1, 1, 1)
    return Body(cx, cy, tilt, a, b, square, pear)


def _limbs(side: Field, y: Field, body: Body, outline: Field) -> Field:
    """Signed distance to ears and feet; ``side`` is the distance from the axis of symmetry."""
    across, up, ear_a, ear_b, tilt = outline.T[4:, :, None, None]
    ears = ellipse(*turn(side - across, y + up * body.b / 22, tilt), ear_a, ear_b)
    feet = ellipse(side - np.float32(0.45) * body.a, y - body.b + 1, 5.5, 4)
    return union(ears, feet)


def draw_face(draws: Draws, canvas: Field, body: Body) -> None:
    """Paint two eyes with a glint, cheeks and a smile in the middle of the body."""
    scale = canvas.shape[-1] / 64
    window = Window(canvas, body.cx[:, 0, 0], body.cy[:, 0, 0], 17)
    x, y = turn(window.x, window.y, body.tilt)
    side = np.abs(x)
    look = draws.uniform(-0.6, 0.6, 1, 1)
    face, dark = window.pixels, 0.07
    gaze = look * np.sign(x)  # both eyes look the same way
    paint(face, cover(ellipse(side - 5.6, y - 2.2, 1.6, 1.1), scale) * np.float32(0.5), body.blush)
    paint(face, cover(ellipse(side - 3.2, y + 1.2, 2.3, 2.7), scale), 0.97)
    paint(face, cover(ellipse(side - 3.2 - gaze, y + 0.9, 1.4, 1.8), scale), dark)
    paint(face, cover(disc(side - gaze, y, (2.8, 0.2), 0.5), scale), 1.0)
    smile = np.maximum(np.abs(disc(x, y, (0, 1.2), 2.4)) - np.float32(0.45), 2.3 - y)
    paint(face, cover(smile, scale), dark)
    window.put()


def draw_fingers(draws: Draws, canvas: Field, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Paint an angler's fingers on green in a corner of the wanted images; return their pixels."""
    scale = canvas.shape[-1] / 64
    right, below = (np.where(draws.uniform(0, 1) < 0.5, -ONE, ONE) for _ in range(2))
    green = hsv(draws.uniform(0.26, 0.38), draws.uniform(0.5, 0.8), draws.uniform(0.35, 0.6))
    skin = hsv(draws.uniform(0.02, 0.08), draws.uniform(0.3, 0.6), draws.uniform(0.55, 0.95))
    lengths = draws.uniform(11, 16, 3, 1, 1)
    masks = np.zeros((len(canvas), *canvas.shape[2:]), bool)
    if not wanted.any():
        return masks
    window = Window(canvas, 32 - 21 * right, 32 - 21 * below, 22)
    x = 11 + right[:, None, None] * window.x  # from the corner inwards
    y = 11 + below[:, None, None] * window.y
    on = wanted[:, None, None].astype(np.float32)
    grass = on * cover(disc(x, y, (0, 0), 18), scale)
    paint(window.pixels, grass, green)
    x, y = turn(x, y, 0.41421356)  # now x runs along the diagonal
    for i, across in enumerate((-5.4, 0.0, 5.4)):
        tip = x - lengths[:, i]
        finger = disc(np.maximum(tip, 0), y, (0, across), 2.4)
        paint(window.pixels, on * cover(finger - np.float32(0.7), scale), skin * np.float32(0.4))
        paint(window.pixels, on * cover(finger, scale), skin)
        nail = on * cover(ellipse(tip - np.float32(0.4), y - across, 1.5, 1.1), scale)
        paint(window.pixels, nail, skin * np.float32(0.7) + np.float32(0.3))
    window.put()
    masks[window.at] = grass > 0.5
    return masks


def fall_light(draws: Draws, canvas: Field) -> None:
    """Let tinted light fall across the image from a random side."""
    level = np.arange(canvas.shape[-1], dtype=np.float32) / canvas.shape[-1] - np.float32(0.5)
    gx, gy = draws.uniform(-0.35, 0.35, 1, 1), draws.uniform(-0.35, 0.35, 1, 1)
    fall = draws.uniform(0.8, 1.15, 1, 1) + gx * level + gy * level[:, None]
    canvas *= fall[:, None] * draws.uniform(0.9, 1.08, 3, 1, 1)
