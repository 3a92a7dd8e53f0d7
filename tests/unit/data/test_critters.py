"""Critters: the same bytes everywhere, and no cue but the parts."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from minibag.data import critters
from minibag.data.critter_parts import PARTS
from minibag.data.critter_scene import PART_GAP, PART_WIDTH
from minibag.words import DenseSIFT

GOLDEN = {
    "plain": "b48f84298a867b1cc1a0dae400cac3b2ee7ddba041286c7954aac6c293b089f8",
    "arrangement": "e5f26766d7a2fb79e6f3062d23db52452dcb61b294ab8ea71f1aec2c59aab885",
    "switches": "b58f9f309561d26c37310e80020f4c015c3a4f5c817d87fd086be6b18bd9805c",
}
KWARGS = {
    "plain": {},
    "arrangement": {"arrangement": True},
    "switches": {"shortcut": {"fin": 0.9}, "texture_conflict": 0.5, "size": 48, "seed": 7},
}


def digest(made) -> str:
    arrays = (made.images, made.labels, made.masks, made.outlines, made.distractors)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_seed_gives_the_golden_bytes(name):
    assert digest(critters("train", 40, **KWARGS[name])) == GOLDEN[name]


def test_an_image_does_not_depend_on_how_many_are_drawn():
    few, many = critters("val", 10), critters("val", 70)
    np.testing.assert_array_equal(few.images, many.images[:10])
    np.testing.assert_array_equal(few.labels, many.labels[:10])
    np.testing.assert_array_equal(few.masks, many.masks[:10])


def test_splits_and_seeds_share_no_image():
    sets = [critters(split, 40, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)]
    pixels = {image.tobytes() for made in sets for image in made.images}
    assert len(pixels) == 6 * 40


def test_labels_are_balanced_and_classes_are_those_asked_for():
    made = critters("train", 30, classes=("shell", "eye", "fur"))
    assert made.classes == ("shell", "eye", "fur")
    assert np.bincount(made.labels).tolist() == [10, 10, 10]


@pytest.mark.parametrize("size", [64, 128])
def test_parts_are_no_wider_than_promised(size):
    angles = np.linspace(0, 2 * np.pi, 90)
    far = (2 * 32 / (PART_WIDTH * 0.46)) / 4  # well outside the part
    ring = np.linspace(0.5 / 0.46, far, 30)[:, None]
    for part in PARTS.values():
        whole, lines = part(ring * np.cos(angles), ring * np.sin(angles))
        assert (np.minimum(whole, lines) > 0).all(), part.__name__
    spots = critters("train", 40, size, classes=("shell", "spot"))
    for mask in spots.masks[spots.labels == 0]:
        boxes = ndimage.find_objects(ndimage.label(mask, np.ones((3, 3)))[0])
        sides = [b.stop - b.start for box in boxes for b in box]
        assert max(sides) <= PART_WIDTH * size / 64 + 1


def test_masks_mark_the_parts_of_the_own_class_only():
    made = critters("train", 64)
    for mask in made.masks:
        assert 0.02 < mask.mean() < 0.25
    counts = [ndimage.label(m, np.ones((3, 3)))[1] for m in made.masks[made.labels == 6]]
    assert set(counts) <= {5, 6}  # shells in one piece each: five own parts and a visitor, or six


def test_the_mean_colour_does_not_tell_the_class():
    train, test = critters("train", 800), critters("test", 400)

    def mean_colour(made):
        return made.images.reshape(len(made), -1, 3).mean(axis=1)

    head = make_pipeline(StandardScaler(), LogisticRegression())
    hits = head.fit(mean_colour(train), train.labels).score(mean_colour(test), test.labels)
    assert hits < 1 / 8 + 3 * np.sqrt(1 / 8 * 7 / 8 / 400)


def test_arrangements_have_the_same_parts_and_equal_chances_in_every_corner():
    made = critters("train", 400, arrangement=True)
    assert made.classes == ("rows", "columns")
    assert (made.outlines == -1).all()
    half = np.stack(
        [made.masks[:, r, c].sum(axis=(1, 2)) for r in _halves(64) for c in _halves(64)], axis=1
    )
    assert (half > 20).all()  # a part in every quarter of every image
    by_class = [half[made.labels == label].mean(axis=0) for label in (0, 1)]
    spread = half.std(axis=0) / np.sqrt(100)
    assert (np.abs(by_class[0] - by_class[1]) < 3 * spread).all()


def _halves(size):
    return slice(0, size // 2), slice(size // 2, size)


@pytest.mark.parametrize("size", [64, 128])
def test_no_patch_up_to_the_gap_sees_two_parts_of_an_arrangement(size):
    made = critters("train", 60, size, arrangement=True)
    gap = PART_GAP * size // 64
    for mask in made.masks:
        quarters = [np.argwhere(mask & _quarter(size, i, j)) for i in (0, 1) for j in (0, 1)]
        boxes = np.array([[q.min(axis=0), q.max(axis=0)] for q in quarters])
        for one in range(4):
            for two in range(one):
                apart = np.maximum(boxes[one, 0] - boxes[two, 1], boxes[two, 0] - boxes[one, 1]) - 1
                assert apart.max() >= gap


def _quarter(size, i, j):
    mask = np.zeros((size, size), bool)
    mask[_halves(size)[i], _halves(size)[j]] = True
    return mask


def test_a_shortcut_is_planted_at_its_rate_and_only_there():
    plain, planted = critters("train", 400), critters("train", 400, shortcut={"fin": 0.9})
    has = planted.distractors.any(axis=(1, 2))
    fin = planted.labels == planted.classes.index("fin")
    assert has[fin].mean() == pytest.approx(0.9, abs=0.13)
    assert not has[~fin].any()
    assert not (planted.distractors & planted.masks).any()
    np.testing.assert_array_equal(plain.images[~has], planted.images[~has])
    changed = (plain.images != planted.images).any(axis=-1)
    assert changed[has].any(axis=(1, 2)).all()
    assert (planted.distractors[has].sum(axis=(1, 2)) > 60).all()


def test_outlines_agree_or_clash_as_asked():
    agree, clash = (critters("train", 80, texture_conflict=rate) for rate in (0, 1))
    np.testing.assert_array_equal(agree.outlines, agree.labels)
    assert (clash.outlines != clash.labels).all()
    assert set(clash.outlines) == set(range(8))
    half = critters("train", 400, texture_conflict=0.5)
    assert (half.outlines == half.labels).mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"split": "dev"}, "train, val, test"),
        ({"n": 0}, "n=0"),
        ({"size": 16}, "at least 32"),
        ({"classes": ("eye",)}, "two or more"),
        ({"classes": ("eye", "eye")}, "different"),
        ({"classes": ("eye", "wheel")}, "feather"),
        ({"shortcut": {"wheel": 0.5}}, "wheel"),
        ({"shortcut": {"fin": 1.5}}, "1.5"),
        ({"texture_conflict": 2}, "0..1"),
        ({"arrangement": True, "texture_conflict": 0.5}, "leave"),
        ({"arrangement": True, "classes": ("eye", "fin")}, "leave"),
    ],
)
def test_bad_switches_are_named(kwargs, says):
    with pytest.raises(ValueError, match=says):
        critters(**{"split": "train", "n": 4, **kwargs})


def words_accuracy(train, test, n_words=150):
    """Accuracy of a linear SVM on histograms of visual words (grey SIFT, 16-pixel patches)."""
    sift = DenseSIFT(step=4, patch_size=16)
    descriptors = [sift.transform(made.images) for made in (train, test)]
    kmeans = MiniBatchKMeans(n_words, random_state=0, batch_size=4096, n_init=1)
    kmeans.fit(descriptors[0].reshape(-1, 128)[::5])
    words = [kmeans.predict(d.reshape(-1, 128)).reshape(len(d), -1) for d in descriptors]
    counts = [np.array([np.bincount(w, minlength=n_words) for w in each]) for each in words]
    head = make_pipeline(StandardScaler(), LinearSVC(C=0.003)).fit(counts[0], train.labels)
    return head.score(counts[1], test.labels)


def test_a_linear_word_model_tells_the_classes():
    assert words_accuracy(critters("train", 1000), critters("test", 400)) >= 0.9


def test_a_linear_word_model_is_at_chance_on_arrangements():
    sets = [critters(split, n, arrangement=True) for split, n in (("train", 800), ("test", 1000))]
    assert abs(words_accuracy(*sets) - 0.5) < 3 * np.sqrt(0.25 / 1000)
