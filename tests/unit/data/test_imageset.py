"""ImageSet: validated, indexed and resized as a whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minibag.data import CritterSet, ImageSet, critters


def make(n: int = 6, side: int = 8, classes: tuple[str, ...] = ("a", "b", "c")) -> ImageSet:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    masks = rng.random((n, side, side)) < 0.3
    return ImageSet(images, np.arange(n) % len(classes), classes, masks)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"images": np.zeros((2, 4, 4), np.uint8)}, ValueError, r"\(N, H, W, 3\)"),
        ({"images": np.zeros((2, 4, 4, 3))}, TypeError, "uint8"),
        ({"labels": np.zeros(3, np.int64)}, ValueError, r"\(2,\)"),
        ({"labels": np.zeros(2, np.int32)}, TypeError, "int64"),
        ({"labels": [0, 1]}, TypeError, "list"),
        ({"labels": np.array([0, 2])}, ValueError, "0..1"),
        ({"labels": np.array([-1, 0])}, ValueError, "-1"),
        ({"masks": np.zeros((2, 4, 5), bool)}, ValueError, "masks"),
        ({"masks": np.zeros((2, 4, 4), np.uint8)}, TypeError, "bool"),
        ({"classes": ["a", "b"]}, TypeError, "tuple"),
    ],
)
def test_wrong_arrays_are_refused_by_name(change, error, says):
    good = {
        "images": np.zeros((2, 4, 4, 3), np.uint8),
        "labels": np.array([0, 1]),
        "classes": ("a", "b"),
        "masks": None,
    }
    ImageSet(**good)
    with pytest.raises(error, match=says):
        ImageSet(**{**good, **change})


@pytest.mark.parametrize("index", [slice(1, 4), np.array([3, 0]), [5], [], np.arange(6) % 2 == 0])
def test_indexing_takes_images_labels_and_masks_together(index):
    whole = make()
    part = whole[index]
    picked = np.arange(6)[np.asarray(index, int) if isinstance(index, list) else index]
    assert len(part) == len(picked)
    np.testing.assert_array_equal(part.images, whole.images[picked])
    np.testing.assert_array_equal(part.labels, whole.labels[picked])
    np.testing.assert_array_equal(part.masks, whole.masks[picked])


def test_one_index_gives_a_set_of_one():
    assert make()[-1].images.shape == (1, 8, 8, 3)


@given(n=st.integers(0, 20), seed=st.integers(0, 5))
def test_a_subset_is_as_balanced_as_the_set_allows(n, seed):
    labels = np.array([0] * 12 + [1] * 3 + [2] * 5)
    whole = ImageSet(np.zeros((20, 1, 1, 3), np.uint8), labels, ("a", "b", "c"))
    counts = np.bincount(whole.subset(n, seed).labels, minlength=3)
    assert counts.sum() == n
    full = counts == [12, 3, 5]  # a class may lag behind only when all its images are in
    assert all(count >= counts.max() - 1 for count in counts[~full])


def test_a_subset_depends_on_the_seed_alone_and_keeps_the_order():
    whole = make(60)
    first, again, other = whole.subset(10, 1), whole.subset(10, 1), whole.subset(10, 2)
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)
    where = [int(np.flatnonzero((whole.images == i).all(axis=(1, 2, 3)))[0]) for i in first.images]
    assert where == sorted(where)


def test_a_subset_larger_than_the_set_is_refused():
    with pytest.raises(ValueError, match="set of 6"):
        make().subset(7)


def test_resize_antialiases_as_pillow_does_and_takes_the_masks_along():
    whole = make(2, 32)
    small = whole.resize(12)
    expected = Image.fromarray(whole.images[1]).resize((12, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(small.images[1], np.asarray(expected))
    assert small.masks.shape == (2, 12, 12)
    checker = ImageSet(
        np.repeat((np.indices((64, 64)).sum(0) % 2 * 255)[None, ..., None], 3, 3).astype(np.uint8),
        np.zeros(1, np.int64),
        ("a",),
    )
    assert np.ptp(checker.resize(16).images[:, 2:-2, 2:-2].astype(int)) < 16  # grey, no moire


def test_a_mask_pixel_survives_if_half_of_it_was_covered():
    masks = np.zeros((1, 8, 8), bool)
    masks[:, :4] = True
    whole = ImageSet(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1, np.int64), ("a",), masks)
    assert whole.resize(2).masks.tolist() == [[[True, True], [False, False]]]


def test_resize_refuses_no_pixels():
    with pytest.raises(ValueError, match="at least 1"):
        make().resize(0)


def test_critters_stay_critters_when_indexed_and_resized():
    some = critters("train", 4, shortcut={"fin": 1.0})[:2].resize(32)
    assert isinstance(some, CritterSet)
    assert some.distractors.shape == (2, 32, 32)
    assert some.outlines.shape == (2,)


def test_two_classes_of_one_name_are_refused():
    images, labels = np.zeros((2, 4, 4, 3), np.uint8), np.arange(2)
    with pytest.raises(ValueError, match="two classes are called 'cat'"):
        ImageSet(images, labels, ("cat", "dog", "cat"))
    assert ImageSet(images, labels, ("cat", "Cat")).classes == ("cat", "Cat")
