"""LocalColor is the weighted mean and spread of colour in the bins of a patch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minibag.words import DenseSIFT, LocalColor


def noise(seed=0, shape=(1, 24, 28, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def one_by_one(image, size, row, col):
    """Weighted mean and spread of each bin, with NumPy's own average."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    y, x = (y - row) / (size / 4), (x - col) / (size / 4)
    seen = np.maximum(abs(y), abs(x)) < 2 - 4 / size
    found = []
    for r in range(4):
        for c in range(4):
            near = np.maximum(0, 1 - abs(y - r + 1.5)) * np.maximum(0, 1 - abs(x - c + 1.5))
            mean = np.average(image / 255, axis=(0, 1), weights=near * seen)
            spread = np.average((image / 255 - mean) ** 2, axis=(0, 1), weights=near * seen) ** 0.5
            found.extend([*mean, *spread])
    return found


@pytest.mark.parametrize("size", [9, 16])
def test_statistics_equal_weighted_averages(size):
    images, color = noise(), LocalColor(step=6, patch_size=size)
    rows, cols = color.grid((24, 28)).centres()
    slow = [[one_by_one(images[0], size, row, col) for col in cols] for row in rows]
    np.testing.assert_allclose(color.transform(images)[0], slow, atol=1e-4)


def test_it_describes_the_patches_that_dense_sift_describes():
    images, options = noise(), {"step": 5, "patch_size": (12, 16, 24)}
    sift, color = DenseSIFT(**options), LocalColor(**options)
    assert sift.grid((24, 28)) == color.grid((24, 28))
    assert sift.transform(images).shape[:-1] == color.transform(images).shape[:-1] == (1, 3, 4, 3)


@given(st.tuples(*[st.integers(0, 255)] * 3))
@settings(max_examples=20)
def test_one_colour_has_itself_as_mean_and_no_spread(rgb):
    images = np.full((1, 20, 20, 3), rgb, np.uint8)
    found = LocalColor(patch_size=(12, 20)).transform(images).reshape(-1, 6)
    inside = found[found.any(1)] if any(rgb) else found
    np.testing.assert_allclose(inside[:, :3] * 255, np.tile(rgb, (len(inside), 1)), atol=1e-3)
    assert inside[:, 3:].max() < 2e-3


@pytest.mark.parametrize("images", [np.zeros((1, 20, 20)), np.zeros((1, 20, 20, 3))])
def test_wrong_images_are_refused_with_a_reason(images):
    with pytest.raises(ValueError, match="uint8 images"):
        LocalColor().transform(images)
