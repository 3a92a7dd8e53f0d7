"""DenseSIFT computes SIFT: against a plain loop, against scikit-image, and by its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import rgb2gray
from skimage.feature import SIFT
from skimage.filters import gaussian
from sklearn import datasets
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from minibag.words import DenseSIFT

seeds = st.integers(0, 2**32 - 1)


def noise(seed=0, shape=(1, 40, 40)):
    """Random grey images that use the middle of [0, 1], smooth enough to have edges."""
    images = gaussian(np.random.default_rng(seed).random(shape), (0, 1, 1))
    return (0.3 + 0.4 * (images - images.min()) / np.ptp(images)).astype(np.float32)


def one_by_one(image, size, row, col):
    """SIFT of the patch centred on (row, col), pixel by pixel with angles, in float64."""
    padded = np.pad(image.astype(float), 1, mode="edge")
    histogram = np.zeros((4, 4, 8))
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            dy, dx = (y - row) / (size / 4), (x - col) / (size / 4)  # from the centre, in bins
            if max(abs(y - row), abs(x - col)) >= size / 2 - 1:
                continue
            right = (padded[y + 1, x + 2] - padded[y + 1, x]) / 2
            up = (padded[y, x + 1] - padded[y + 2, x + 1]) / 2
            angle = np.arctan2(up, right) % (2 * np.pi)
            first, rest = int(angle // (np.pi / 4)) % 8, angle % (np.pi / 4)
            for r in range(4):
                for c in range(4):
                    weight = max(0, 1 - abs(dy - r + 1.5)) * max(0, 1 - abs(dx - c + 1.5))
                    strength = weight * np.hypot(right, up) / np.sin(np.pi / 4)
                    histogram[r, c, first] += strength * np.sin(np.pi / 4 - rest)
                    histogram[r, c, (first + 1) % 8] += strength * np.sin(rest)
    unit = histogram.ravel() / np.linalg.norm(histogram)
    clipped = np.minimum(unit, 0.2)
    return clipped / np.linalg.norm(clipped)


@pytest.mark.parametrize("size", [8, 14, 15])
def test_descriptors_equal_a_loop_over_pixels(size):
    image = noise(shape=(1, 23, 28))
    sift = DenseSIFT(step=5, patch_size=size)
    rows, cols = sift.grid((23, 28)).centres()
    slow = [[one_by_one(image[0], size, row, col) for col in cols] for row in rows]
    np.testing.assert_allclose(sift.transform(image)[0], slow, atol=1e-5)


def test_larger_patches_on_a_shared_grid_equal_a_loop_over_pixels():
    image = noise(shape=(1, 20, 24))
    sift = DenseSIFT(step=8, patch_size=(8, 16))
    grid = sift.grid((20, 24))
    assert (grid.size, grid.offset, grid.shape) == (16, -4, (2, 3))
    rows, cols = grid.centres()
    slow = [
        [[one_by_one(image[0], size, row, col) for size in (8, 16)] for col in cols] for row in rows
    ]
    np.testing.assert_allclose(sift.transform(image)[0], slow, atol=1e-5)


def photographs():
    images = [
        data.astronaut(),
        data.coffee(),
        data.chelsea(),
        *datasets.load_sample_images().images,
    ]
    return [rgb2gray(image)[40:240, 60:260] for image in images]


@pytest.mark.parametrize("size", [16, 24])
def test_agrees_with_scikit_image_on_photographs(size):
    sigma = size / 4 / 3  # Lowe: a bin is three standard deviations of the keypoint's blur wide
    dense = DenseSIFT(step=12, patch_size=size, min_contrast=0)
    cosines = []
    for image in photographs():
        rows, cols = dense.grid(image.shape).centres()
        theirs = SIFT(upsampling=1, n_octaves=1, n_scales=1, sigma_min=sigma)
        theirs.positions = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
        n = len(theirs.positions)
        theirs.scales = theirs.octaves = np.zeros(n, int)
        theirs.sigmas, theirs.orientations = np.full(n, sigma), np.zeros(n)
        theirs.extract(image)
        # scikit-image counts its orientations from "brighter below", ours from "to the right"
        there = np.roll(theirs.descriptors.reshape(n, 16, 8).astype(float), -2, axis=2)
        there = there.reshape(n, 128) / np.linalg.norm(there, axis=(1, 2))[:, None]
        blurred = gaussian(image, np.sqrt(sigma**2 - 0.5**2), mode="reflect")
        here = dense.transform(np.clip(blurred, 0, 1)[None]).reshape(n, 128)
        cosines.extend((here * there).sum(1))
    assert len(cosines) >= 1000
    assert np.median(cosines) >= 0.95
    assert np.quantile(cosines, 0.05) >= 0.85


@given(seeds, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=20)
def test_moving_the_image_by_a_step_moves_the_descriptors(seed, down, right):
    image, sift = noise(seed), DenseSIFT(step=4, patch_size=12)
    moved = sift.transform(image[:, 4 * down :, 4 * right :])
    np.testing.assert_allclose(moved, sift.transform(image)[:, down:, right:], atol=1e-5)


@given(seeds, st.integers(0, 6), st.integers(0, 6))
@settings(max_examples=20)
def test_a_descriptor_sees_the_pixels_of_its_box_and_no_others(seed, i, j):
    image, sift = noise(seed), DenseSIFT(step=4, patch_size=14)
    top, left, bottom, right = sift.grid((40, 40)).box(i, j)
    other = noise(seed + 1)
    other[:, top:bottom, left:right] = image[:, top:bottom, left:right]
    same = [sift.transform(x)[0, i, j] for x in (image, other)]
    np.testing.assert_array_equal(*same)
    other[:, top : top + 2, left : left + 2] += 0.2  # the very corner counts
    assert np.abs(sift.transform(other)[0, i, j] - same[0]).max() > 1e-4


@pytest.mark.parametrize("blur", [0.4, 1.2, 2])
def test_blur_smooths_the_image_before_its_gradients(blur):
    image = noise(shape=(1, 40, 40))
    smooth = gaussian(image, (0, blur, blur), mode="nearest", truncate=round(3 * blur) / blur)
    found = DenseSIFT(blur=blur).transform(image)
    np.testing.assert_allclose(found, DenseSIFT().transform(smooth), atol=1e-4)
    colour = (np.repeat(image[..., None], 3, axis=3) * 255).astype(np.uint8)
    grey = DenseSIFT(blur=blur).transform(colour @ np.array([0.299, 0.587, 0.114]) / 255)
    np.testing.assert_allclose(DenseSIFT(blur=blur).transform(colour), grey, atol=1e-3)


@pytest.mark.parametrize("blur", [0.4, 1.2])
def test_a_blurred_descriptor_sees_what_its_grid_says_and_no_more(blur):
    image, sift = noise(), DenseSIFT(step=4, patch_size=14, blur=blur)
    grid, plain = sift.grid((40, 40)), DenseSIFT(step=4, patch_size=14).grid((40, 40))
    np.testing.assert_array_equal(grid.centres(), plain.centres())
    assert grid.size == 14 + 2 * round(3 * blur)
    top, left, bottom, right = grid.box(3, 3)
    other = noise(1)
    other[:, top:bottom, left:right] = image[:, top:bottom, left:right]
    same = [sift.transform(x)[0, 3, 3] for x in (image, other)]
    np.testing.assert_allclose(*same, atol=1e-6)
    other[:, top:bottom, left] += 0.2  # the outermost column counts
    assert np.abs(sift.transform(other)[0, 3, 3] - same[0]).max() > 1e-5


@given(seeds, st.sampled_from(["grey", "rgb", "opponent"]), st.booleans())
@settings(max_examples=20)
def test_descriptors_have_length_one_in_every_channel(seed, color, root):
    images = np.random.default_rng(seed).integers(0, 256, (2, 20, 26, 3), dtype=np.uint8)
    found = DenseSIFT(step=3, patch_size=(8, 12), color=color, root=root).transform(images)
    channels = 1 if color == "grey" else 3
    assert found.shape == (2, 5, 7, 2, 128 * channels)
    assert found.dtype == np.float32
    lengths = np.linalg.norm(found.reshape(-1, 128), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert found.min() >= 0


@given(seeds, st.floats(-0.3, 0.3), st.floats(0.2, 1))
@settings(max_examples=20)
def test_brightness_and_contrast_do_not_matter(seed, offset, gain):
    image, sift = noise(seed), DenseSIFT()
    changed = (image - 0.5) * gain + 0.5 + offset
    np.testing.assert_allclose(sift.transform(changed), sift.transform(image), atol=1e-4)


@given(seeds)
@settings(max_examples=20)
def test_a_quarter_turn_permutes_grid_bins_and_orientations(seed):
    image, sift = noise(seed), DenseSIFT(step=4, patch_size=16)
    found = sift.transform(image)[0].reshape(7, 7, 4, 4, 8)
    turned = sift.transform(np.rot90(image, axes=(1, 2)).copy())[0].reshape(7, 7, 4, 4, 8)
    expected = np.roll(np.rot90(np.rot90(found, axes=(0, 1)), axes=(2, 3)), 2, axis=4)
    np.testing.assert_allclose(turned, expected, atol=1e-5)


@pytest.mark.parametrize(("orientation", "towards"), [(0, (0, 1)), (2, (-1, 0)), (4, (0, -1))])
def test_orientation_points_to_the_brighter_side(orientation, towards):
    rows, cols = np.mgrid[:16, :16] / 16
    ramp = 0.5 + 0.5 * (towards[0] * rows + towards[1] * cols)
    found = DenseSIFT().transform(ramp[None])[0, 0, 0].reshape(16, 8)
    assert (found.argmax(1) == orientation).all()
    assert found[:, orientation].sum() > 0.99 * found.sum()


def test_a_root_descriptor_is_the_square_root_of_its_share():
    plain, root = (DenseSIFT(root=root).transform(noise()) for root in (False, True))
    np.testing.assert_allclose(root**2, plain / plain.sum(-1, keepdims=True), atol=1e-6)


def test_opponent_colour_of_a_grey_image_has_intensity_only():
    grey = (noise() * 255).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=3)
    found = DenseSIFT(color="opponent").transform(rgb)
    assert not found[..., :256].any()
    np.testing.assert_allclose(found[..., 256:], DenseSIFT().transform(rgb), atol=1e-4)


def test_flat_patches_are_zero_and_low_noise_counts_as_flat():
    flat = np.full((1, 32, 32, 3), 77, np.uint8)
    speck = flat.copy()
    speck[0, 7, 7] += 1
    for color in ("grey", "opponent"):
        for root in (False, True):
            sift = DenseSIFT(color=color, root=root)
            assert not sift.transform(flat).any()
            assert not sift.transform(speck).any()
    assert DenseSIFT(min_contrast=0).transform(speck)[0, 0, 0].any()


def test_bytes_and_grey_floats_give_the_same():
    bytes_ = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), dtype=np.uint8)
    grey = bytes_ @ np.array([0.299, 0.587, 0.114]) / 255
    sift = DenseSIFT()
    np.testing.assert_allclose(sift.transform(bytes_), sift.transform(grey), atol=1e-4)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 20, 20, 3)), "uint8 images"),
        (np.zeros((20, 20, 3), np.uint8), "uint8 images"),
        (np.zeros((1, 20, 20), np.uint8), "uint8 images"),
        (np.zeros((1, 20, 20, 4), np.uint8), "uint8 images"),
        (np.full((1, 20, 20), np.nan), "lie in"),
        (np.full((1, 20, 20), 128.0), "divide 8-bit images by 255"),
        (np.zeros((1, 12, 20, 3), np.uint8), "smaller than one patch"),
        (np.zeros((0, 20, 20, 3), np.uint8), "no images"),
    ],
)
def test_wrong_images_are_refused_with_a_reason(images, words):
    with pytest.raises(ValueError, match=words):
        DenseSIFT().transform(images)


@pytest.mark.parametrize(
    "options",
    [
        {"step": 0},
        {"step": 2.5},
        {"step": "4"},
        {"patch_size": 3},
        {"patch_size": (8, 11)},
        {"patch_size": 8.5},
        {"patch_size": ()},
        {"color": "hsv"},
        {"blur": -1},
        {"blur": np.nan},
    ],
)
def test_wrong_options_are_refused_when_used(options):
    with pytest.raises(ValueError, match=r"DenseSIFT needs|color is one of|blur is"):
        DenseSIFT(**options).transform(np.zeros((1, 20, 20, 3), np.uint8))


def test_it_is_a_scikit_learn_transformer():
    sift = DenseSIFT(step=8, patch_size=(16, 24), root=True)
    assert clone(sift).get_params() == sift.get_params()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    flatten = FunctionTransformer(lambda found: found.reshape(-1, 128))
    words = make_pipeline(sift, flatten, MiniBatchKMeans(3, n_init=1)).fit_predict(images)
    assert words.shape == (4 * 3 * 3 * 2,)
