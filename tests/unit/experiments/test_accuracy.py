"""Accuracy against the grid is what a plain loop over images finds."""

import numpy as np
import pytest

import minibag as mb
from minibag.experiments import accuracy_by_grid, scramble
from minibag.stats import wilson_interval

IMAGES = mb.critters("test", 30, 32)


class Corner:
    """Judges by the colour of the upper left pixel: a model that scrambling confuses at once."""

    classes = IMAGES.classes

    def logits(self, images):
        self.seen = len(images)
        return np.eye(len(self.classes))[images[:, 0, 0].sum(1) % len(self.classes)]

    def predict_proba(self, images):
        return self.logits(images)


@pytest.mark.parametrize("rotate", [False, True])
def test_rows_are_those_of_a_plain_loop(rotate):
    model = Corner()
    rows = accuracy_by_grid(model, IMAGES, (1, 3, 5), seed=4, rotate=rotate)
    assert [row.grid for row in rows] == [1, 3, 5]
    for row in rows:
        moved = scramble(IMAGES, row.grid, 4, rotate=rotate)
        right = sum(
            model.logits(image[None])[0].argmax() == label
            for image, label in zip(moved.images, moved.labels, strict=True)
        )
        assert row.accuracy == right / 30
        assert (row.low, row.high) == wilson_interval(right, 30)
        assert row.n == 30


def test_grid_1_is_the_plain_accuracy_of_a_trained_model():
    model, images = mb.load("critters-vgg"), mb.critters("test", 30)
    one, many = accuracy_by_grid(model, images, (1, 16))
    assert one.accuracy == (model.logits(images.images).argmax(1) == images.labels).mean() > 0.8
    assert many.accuracy < 0.5


def test_images_go_through_the_model_in_batches(monkeypatch):
    monkeypatch.setattr("minibag.experiments.accuracy.BATCH", 8)
    model = Corner()
    whole = accuracy_by_grid(Corner(), IMAGES, (2,))
    assert accuracy_by_grid(model, IMAGES, (2,)) == whole
    assert model.seen == 30 - 3 * 8


def test_progress_counts_images(capsys):
    accuracy_by_grid(Corner(), IMAGES, (1, 2), progress=True)
    assert "60/60" in capsys.readouterr().err


@pytest.mark.parametrize("images", [IMAGES[:0], mb.ImageSet(IMAGES.images, IMAGES.labels, tuple(
    reversed(IMAGES.classes)))])  # fmt: skip
def test_no_images_and_other_classes_are_refused(images):
    with pytest.raises(ValueError, match=r"no images|same classes, in the same order"):
        accuracy_by_grid(Corner(), images)


def test_a_model_that_diverged_has_no_accuracy():
    class Diverged(Corner):
        def logits(self, images):
            return np.full((len(images), 8), np.nan)

    with pytest.raises(ValueError, match="not finite"):
        accuracy_by_grid(Diverged(), IMAGES, (1,))


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 to 32"):
        accuracy_by_grid(Corner(), IMAGES, (1, 64))
