"""The evidence explorer: what it shows of a patch is what the model says, words or BagNet."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

import minibag as mb
from minibag.data import ImageSet
from minibag.figures.game import framed
from minibag.widgets import EvidenceExplorer
from tests.pictures import pictures


@pytest.fixture(scope="module")
def images():
    return mb.critters("test", 24)


@pytest.fixture(scope="module", params=["words", "BagNet"])
def model(request, images):
    if request.param == "BagNet":
        return mb.load("critters-bagnet9")
    return mb.BagOfVisualWords(mb.DenseSIFT(step=8), n_words=20).fit(mb.critters("train", 80))


@pytest.fixture
def explorer(images, model):
    return EvidenceExplorer(images, model)


def numbers(html):
    """The two tables of bars: the logits of the patch, and of the image."""
    values = [float(v) for v in re.findall(r">([+-]\d+\.\d\d)</td>", html)]
    return np.reshape(values, (2, -1))


def move(explorer, **values):
    for name, value in values.items():
        explorer.controls[name].value = value


def test_the_numbers_on_the_page_are_those_of_the_model(explorer, images, model):
    h, w = explorer.grid.shape
    for image, row, column in ((1, 1, 1), (5, h, 2), (24, 3, w)):
        move(explorer, image=image, row=row, column=column)
        patch, whole = numbers(explorer.view.value)
        one = images.images[image - 1 : image]
        np.testing.assert_allclose(
            patch, model.evidence(one)[0, :, row - 1, column - 1], atol=0.00501
        )
        np.testing.assert_allclose(whole, model.logits(one)[0], atol=0.00502)


def test_the_text_says_the_same_in_words(explorer, images, model):
    move(explorer, image=3, target=2, row=2, column=4)
    evidence = model.evidence(images.images[2:3])[0]
    assert f"says {evidence[2, 1, 3]:+.2f} for scale" in explorer.text.value
    assert f"most for {model.classes[evidence[:, 1, 3].argmax()]}" in explorer.text.value
    assert f"says {evidence[2].mean():+.2f}." in explorer.text.value


def test_the_pictures_are_the_image_with_a_frame_and_the_patch(explorer, images):
    move(explorer, image=2, row=2, column=3)
    whole, painted, patch, *near = pictures(explorer.view.value)
    pixels = images.images[1]
    np.testing.assert_array_equal(whole, framed(pixels, explorer.grid, [(1, 2)]))
    assert painted.shape == whole.shape
    top, left, bottom, right = explorer.grid.box(1, 2)
    np.testing.assert_array_equal(patch, pixels[top:bottom, left:right])
    assert len(near) == 8


def test_the_map_is_red_where_patches_speak_for_the_class_and_blue_against(images, model):
    explorer = EvidenceExplorer(images, model)
    maps = explorer.evidence(1)
    painted = explorer.grid.paint(maps, images.images.shape[1:3])
    for target in range(2):
        move(explorer, target=target)
        shown = explorer.places(**explorer.values)[1][0].astype(int)
        scale = shown.shape[0] // 64
        y, x = np.unravel_index(np.abs(painted[target]).argmax(), painted.shape[1:])
        red, _, blue = shown[y * scale + scale // 2, x * scale + scale // 2]
        framed_now = explorer.controls["row"].value, explorer.controls["column"].value
        top, left, bottom, right = explorer.grid.box(framed_now[0] - 1, framed_now[1] - 1)
        if not (top <= y < bottom and left <= x < right):
            assert np.sign(red - blue) == np.sign(painted[target, y, x])


def test_nearest_patches_are_those_of_a_loop_the_best_of_each_other_image(explorer, images, model):
    move(explorer, image=4, row=3, column=3)
    mine = model.evidence(images.images[3:4])[0, :, 2, 2]
    found = []
    for n, maps in enumerate(model.evidence(images.images)):
        if n != 3:
            away = {(i, j): float(np.sqrt(((maps[:, i, j] - mine) ** 2).sum()))
                    for i, j in np.ndindex(maps.shape[1:])}  # fmt: skip
            cell = min(away, key=away.get)
            found.append((away[cell], n, *cell))
    found.sort()
    shown = pictures(explorer.view.value)[3:]
    titles = re.findall(r">(\w+)<br>(\d+\.\d\d) away</div>", explorer.view.value)
    assert len(shown) == len(titles) == 8
    np.testing.assert_allclose(
        [float(d) for _, d in titles], [d for d, *_ in found[:8]], atol=0.0051
    )
    if isinstance(model, mb.BagOfVisualWords):
        return  # patches of the same word are equally near
    for (_, n, i, j), (name, _), patch in zip(found, titles, shown, strict=False):
        top, left, bottom, right = explorer.grid.box(i, j)
        np.testing.assert_array_equal(patch, images.images[n, top:bottom, left:right])
        assert name == images.classes[images.labels[n]]


def test_an_image_is_not_its_own_neighbour_even_in_a_reference_of_its_own(images):
    explorer = EvidenceExplorer(images[:4], mb.load("critters-bagnet9"), images[2:12], k=50)
    assert len(explorer.nearest(3, 2, 2)) == 9  # ten images, one of them is itself
    assert len(explorer.nearest(1, 2, 2)) == 10


def test_the_evidence_of_the_reference_is_computed_once_and_of_200_images_at_most():
    class Counting:
        def __init__(self):
            self.model, self.seen = mb.load("critters-bagnet9"), []
            self.classes, self.grid = self.model.classes, self.model.grid

        def evidence(self, images):
            self.seen.append(len(images))
            return self.model.evidence(images)

    counting = Counting()
    explorer = EvidenceExplorer(mb.critters("test", 210), counting)
    move(explorer, row=2, column=2)
    move(explorer, image=2)
    assert counting.seen == [200, 1, 1]


def test_it_starts_with_the_strongest_patch_and_goes_back_to_it(explorer, model):
    evidence = explorer.evidence(1)
    target = int(evidence.mean((1, 2)).argmax())
    i, j = np.unravel_index(evidence[target].argmax(), evidence.shape[1:])
    start = {"image": 1, "target": target, "row": i + 1, "column": j + 1}
    assert explorer.values == start
    move(explorer, row=1, column=1)
    explorer.strongest.click()
    assert explorer.values == start


def test_sliders_end_where_the_grid_does_and_all_controls_are_labelled(explorer, images):
    controls = explorer.controls
    assert controls["image"].max == len(images)
    assert (controls["row"].max, controls["column"].max) == explorer.grid.shape
    assert all(control.description for control in (*controls.values(), explorer.strongest))


def test_images_of_a_class_that_the_model_does_not_know_have_no_star(images):
    strange = ImageSet(images.images, images.labels, tuple(f"kind {c}" for c in range(8)))
    explorer = EvidenceExplorer(strange, mb.load("critters-bagnet9"))
    assert explorer.view.value.count("the true class") < 2
    assert f"kind {images.labels[0]}" in explorer.view.value


def test_a_page_without_a_kernel_shows_the_same(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    assert bundle["image/png"]
    assert metadata["image/png"]["alt"] in explorer.text.value.replace("&#x27;", "'")


def test_an_error_in_a_callback_stands_in_the_widget(explorer, monkeypatch):
    def broken(*args):
        raise RuntimeError("no votes today")

    monkeypatch.setattr("minibag.widgets.evidence.patch_page", broken)
    move(explorer, row=1 + explorer.controls["row"].value % 2)
    assert "no votes today" in explorer.text.value
    assert 'role="alert"' in explorer.text.value


def test_refuses_a_model_that_diverged(images):
    class Diverged:
        classes, grid = images.classes, mb.load("critters-bagnet9").grid

        def evidence(self, pixels):
            return np.full((len(pixels), 8, 7, 7), np.nan)

    with pytest.raises(ValueError, match="not finite"):
        EvidenceExplorer(images, Diverged())


def test_refuses_what_has_nothing_to_show(images):
    model = mb.load("critters-bagnet9")
    for arguments in ((images[:0],), (images, images[:0])):
        with pytest.raises(ValueError, match="expected images, reference images and k"):
            EvidenceExplorer(arguments[0], model, *arguments[1:])
    with pytest.raises(ValueError, match="k=0"):
        EvidenceExplorer(images, model, k=0)


def test_moving_a_patch_draws_no_figure(explorer, monkeypatch):
    """A figure alone would take longer than all else that a slider has to wait for."""
    before = explorer.view.value
    monkeypatch.setattr(Figure, "__init__", lambda *_, **__: pytest.fail("a figure was drawn"))
    move(explorer, row=1 + explorer.controls["row"].value % 2)
    assert explorer.view.value != before
