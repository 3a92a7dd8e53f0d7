"""A figure is stored small, and its greys stay what they were."""

import io

import numpy as np
from PIL import Image

from minibag.figures.base import compact


def stored(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "png")
    return np.asarray(Image.open(io.BytesIO(compact(file.getvalue()))).convert("RGB")).astype(int)


def test_a_grey_picture_keeps_every_level():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (40, 1))[..., None], 3, axis=2)
    np.testing.assert_array_equal(stored(ramp), ramp)


def test_greys_beside_colours_move_by_a_level_at_most():
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (80, 1))[..., None], 3, axis=2)
    ramp[:20] = np.random.default_rng(0).integers(0, 256, (20, 256, 3))
    assert np.abs(stored(ramp)[20:] - ramp[20:]).max() <= 1


def test_a_picture_without_any_grey_is_stored_too():
    plain = np.full((8, 8, 3), (200, 30, 30), np.uint8)
    assert np.abs(stored(plain) - plain).max() <= 4
