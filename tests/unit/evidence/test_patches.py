"""The strongest patches are those that a sort of all patches puts first, however they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibag as mb
from minibag.evidence import patches

CLASSES = ("fox", "hen", "owl")


class FakeBag:
    """Patches of 4 x 4 pixels, 3 apart, from 1 pixel outside; few values, so that many tie."""

    classes = CLASSES

    def __init__(self):
        self.most = 0

    def grid(self, shape):
        return mb.PatchGrid(4, 3, -1, tuple((side - 2) // 3 + 1 for side in shape))

    def evidence(self, images):
        self.most = max(self.most, len(images))
        h, w = self.grid(images.shape[1:3]).shape
        centres = images[:, : 3 * h : 3, : 3 * w : 3].astype(float)
        return np.moveaxis(centres, 3, 1) - 2

    def logits(self, images):
        return self.evidence(images).mean((2, 3))

    predict_proba = logits


def random_set(n, seed, levels=4, shape=(9, 11)):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, levels, (n, *shape, 3)).astype(np.uint8)
    return mb.ImageSet(images, rng.integers(0, 3, n), CLASSES)


def brute_force(model, images, target, k, kind, per_image):
    every = []
    for n in range(len(images)):
        same = images.labels[n] == target
        if kind == "any" or same == (kind == "telling"):
            cells = np.ndenumerate(model.evidence(images.images[n : n + 1])[0, target])
            mine = sorted((-value, n, i, j) for (i, j), value in cells)
            every += mine[:per_image]
    return [(-value, n, (i, j)) for value, n, i, j in sorted(every)[:k]]


@settings(max_examples=60)
@given(
    n=st.integers(1, 12),
    seed=st.integers(0, 99),
    target=st.integers(0, 2),
    k=st.integers(1, 40),
    kind=st.sampled_from(["any", "telling", "misleading"]),
    per_image=st.sampled_from([1, 2, 5, None]),
    batches=st.lists(st.integers(0, 12), max_size=4),
)
def test_they_are_those_of_a_sort_of_all_patches(n, seed, target, k, kind, per_image, batches):
    model, images = FakeBag(), random_set(n, seed)
    expected = brute_force(model, images, target, k, kind, per_image)
    stream = [images[np.array(part)] for part in np.split(np.arange(n), np.sort(batches))]
    for given_images in (images, iter(stream)):
        if not expected:
            with pytest.raises(ValueError, match="none of the images"):
                mb.top_patches(model, given_images, target, k, kind, per_image)
            continue
        found = mb.top_patches(model, given_images, target, k, kind, per_image)
        assert [(p.value, p.image, p.cell) for p in found] == expected


def test_a_patch_says_where_it_is_and_shows_its_pixels():
    model, images = FakeBag(), random_set(20, 0, levels=256)
    for patch in mb.top_patches(model, images, 1, 100, per_image=None):
        top, left, bottom, right = patch.box
        assert patch.box == model.grid((9, 11)).box(*patch.cell)
        assert patch.label == images.labels[patch.image]
        inside = images.images[patch.image, max(top, 0) : bottom, max(left, 0) : right]
        np.testing.assert_array_equal(patch.crop, inside)
        assert patch.crop.flags.owndata  # else it would keep its whole batch in memory


def test_one_patch_an_image_unless_more_are_asked_for():
    model, images = FakeBag(), random_set(6, 0)
    assert sorted(p.image for p in mb.top_patches(model, images, 0, 99)) == [*range(6)]
    twice = mb.top_patches(model, images, 0, 99, per_image=2)
    assert sorted(p.image for p in twice) == sorted([*range(6), *range(6)])


def test_large_batches_are_read_in_small_ones_and_a_stream_one_by_one(monkeypatch):
    monkeypatch.setattr(patches, "BATCH", 5)
    model, images = FakeBag(), random_set(23, 0)
    expected = [(p.value, p.image, p.cell) for p in mb.top_patches(FakeBag(), images, 2, 9)]
    pulled = []

    def stream():
        for start in (0, 12):
            pulled.append((start, model.most))
            yield images[start : start + 12]

    found = mb.top_patches(model, stream(), 2, 9)
    assert [(p.value, p.image, p.cell) for p in found] == expected
    assert model.most == 5
    assert pulled == [(0, 0), (12, 5)]  # the second batch came after the first had been read


def test_progress_counts_images(capsys):
    mb.top_patches(FakeBag(), random_set(7, 0), 0, 2, progress=True)
    assert "7/7" in capsys.readouterr().err
    mb.top_patches(FakeBag(), random_set(7, 0), 0, 2)
    assert capsys.readouterr().err == ""


def test_a_word_model_will_do():
    train = mb.critters("train", 60, size=32)
    model = mb.BagOfVisualWords(mb.DenseSIFT(8, 16), n_words=20).fit(train)
    evidence = model.evidence(train.images)[:, 3]
    best = mb.top_patches(model, train, 3, 5, kind="misleading")
    assert [evidence[(p.image, *p.cell)] for p in best] == [p.value for p in best]
    assert all(p.label != 3 and p.crop.shape == (16, 16, 3) for p in best)
    assert best[0].value == evidence[train.labels != 3].max()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"target": 3}, "0 to 2, got 3"),
        ({"target": -1}, "0 to 2"),
        ({"k": 0}, "at least 1"),
        ({"per_image": 0}, "at least 1"),
        ({"kind": "best"}, "kind must be"),
    ],
)
def test_wrong_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        mb.top_patches(FakeBag(), random_set(3, 0), **{"target": 0, **options})


def test_images_of_other_classes_and_broken_evidence_are_refused():
    images = random_set(3, 0)
    for classes in ((*CLASSES, "yak"), CLASSES[::-1]):  # labels would mean other classes
        other = mb.ImageSet(images.images, images.labels, classes)
        with pytest.raises(ValueError, match="classes of the model, so that a label means two"):
            mb.top_patches(FakeBag(), other, 0)
    model = FakeBag()
    model.evidence = lambda images: np.full((len(images), 3, 3, 4), np.nan)
    with pytest.raises(ValueError, match="not finite"):
        mb.top_patches(model, images, 0)
    with pytest.raises(TypeError):
        mb.top_patches(FakeBag(), images, 1.5)
    with pytest.raises(TypeError, match=r"need a bag .*got NetPredictor"):
        mb.top_patches(mb.load("critters-resnet"), mb.critters("test", 2), 0)
    with pytest.raises(ValueError, match="none of the images"):
        mb.top_patches(FakeBag(), iter([]), 0)
