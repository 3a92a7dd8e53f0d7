"""The deletion curve masks the cells a map ranks first, and reads the leading class's share."""

import numpy as np
import pytest

from minibag.evidence import deletion_curve


class Brightness:
    """Two classes; the second is as probable as the top left 8 x 8 pixels are bright."""

    classes = ("dark", "bright")

    def __init__(self):
        self.seen = []

    def predict_proba(self, images):
        self.seen.append(images)
        bright = images[:, :8, :8].mean((1, 2, 3)) / 255
        return np.stack([1 - bright, bright], 1)

    logits = predict_proba


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(180, 250, (4, 20, 28, 3)).astype(np.uint8)


def corner(images, value=1.0):
    maps = np.zeros(images.shape[:3])
    maps[:, :8, :8] = value
    return maps


def test_masking_what_the_model_uses_first_makes_the_curve_fall_at_once(images):
    model = Brightness()
    full = model.predict_proba(images)[:, 1]
    curve = deletion_curve(model, images, corner(images), (0, 1, 12), fill="zero")
    np.testing.assert_allclose(curve, np.stack([full, 0 * full, 0 * full], 1))
    last = deletion_curve(model, images, corner(images, -1), (0, 1, 11, 12), fill="zero")
    np.testing.assert_allclose(last, np.stack([full, full, full, 0 * full], 1))


@pytest.mark.parametrize("fill", ["mean", "zero", "blur", "noise"])
def test_exactly_the_first_k_cells_change(images, fill):
    model, maps = Brightness(), np.random.default_rng(1).normal(size=images.shape[:3])
    deletion_curve(model, images, maps, (0, 3, 12), fill=fill)
    _, none, three, every = model.seen
    np.testing.assert_array_equal(none, images)
    for n in range(len(images)):
        cells = [(top, left) for top in (0, 8, 16) for left in (0, 8, 16, 24)]
        means = {(t, m): maps[n, t : t + 8, m : m + 8].mean() for t, m in cells}
        for rank, (t, m) in enumerate(sorted(cells, key=means.get, reverse=True)):
            at = (n, slice(t, t + 8), slice(m, m + 8))
            assert (three[at] != images[at]).any() == (rank < 3)
            np.testing.assert_array_equal(three[at], every[at] if rank < 3 else images[at])


def test_fills_are_what_they_are_called(images):
    filled = {}
    for fill in ("mean", "zero", "blur", "noise"):
        model = Brightness()
        deletion_curve(model, images, counts=[12], fill=fill)
        filled[fill] = model.seen[-1].astype(float)
    assert np.abs(filled["mean"] - images.mean((1, 2), keepdims=True)).max() <= 0.5
    assert filled["zero"].max() == 0
    assert filled["blur"].std() < images.std() / 3
    assert np.abs(filled["blur"].mean() - images.mean()) < 2
    assert 0 <= filled["noise"].min() < 5 < 250 < filled["noise"].max()


def test_random_ranks_are_even_and_repeatable():
    images = np.full((600, 16, 16, 3), 200, np.uint8)
    curve = deletion_curve(Brightness(), images, counts=(0, 1, 2, 4), fill="zero", seed=3)
    assert np.abs((curve[:, 1:] == 0).mean(0) - [0.25, 0.5, 1]).max() < 0.07
    counts = np.array([0, 1, 2, 4])  # was taken for a truth value
    again = deletion_curve(Brightness(), images, counts=counts, fill="zero", seed=3)
    np.testing.assert_array_equal(curve, again)


def test_the_class_is_the_one_that_led_before(images):
    curve = deletion_curve(Brightness(), images // 10, corner(images), (0, 1), fill="noise")
    assert (curve[:, 0] > 0.9).all()  # dark
    assert (curve[:, 1] < 0.6).all()  # still dark's, though bright may lead now


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"maps": np.zeros((4, 3, 4))}, "PatchGrid.paint"),
        ({"maps": np.full((4, 20, 28), np.inf)}, "finite"),
        ({"cell": 0}, "cell=0"),
        ({"counts": (0, 13)}, "12 cells"),
        ({"counts": ()}, "12 cells"),
        ({"counts": np.array([], int)}, "12 cells"),
        ({"counts": [0], "fill": "grey"}, "fill must be"),
    ],
)
def test_wrong_input_is_refused(images, options, match):
    with pytest.raises(ValueError, match=match):
        deletion_curve(Brightness(), images, **options)
