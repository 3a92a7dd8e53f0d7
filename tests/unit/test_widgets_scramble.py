"""The scrambling widget without a browser: what it shows is what the models say."""

import re

import numpy as np
import pytest

import minibag as mb
from minibag.data import ImageSet
from minibag.figures.html import LINES, overlay, png
from minibag.widgets.scramble import GRIDS, ScrambleExplorer
from tests.pictures import pictures, pixels

NETS = {"BagNet-9": "critters-bagnet9", "ResNet": "critters-resnet"}


@pytest.fixture(scope="module")
def critters():
    return mb.critters("test", 6, 64)


@pytest.fixture
def explorer(critters, tmp_path):
    return ScrambleExplorer({"critters": (critters, NETS)}, folder=tmp_path)


def shares(html):
    """Return the percentages of every model's bars, in the order of the page."""
    return [
        [int(p) for p in re.findall(r">(\d+) %</td>", table)] for table in html.split("<table")[1:]
    ]


def test_it_shows_the_scrambled_image_and_what_the_models_say_of_it(explorer, critters):
    c = explorer.controls
    c["picture"].value, c["grid"].value, c["seed"].value, c["rotate"].value = 3, 4, 7, True
    scrambled = mb.scramble(critters.images[2], 4, 7, rotate=True)
    original, shown, evidence = pictures(explorer.view.value)
    np.testing.assert_array_equal(original, critters.images[2])
    np.testing.assert_array_equal(shown, scrambled)
    truth = critters.labels[2]
    for model, found in zip(NETS.values(), shares(explorer.view.value), strict=True):
        expected = np.sort(mb.load(model).predict_proba(scrambled[None])[0])[::-1][:5]
        np.testing.assert_allclose(found, 100 * expected, atol=0.51)
    bag = mb.load("critters-bagnet9")
    painted = bag.grid((64, 64)).paint(bag.evidence(scrambled[None])[0, truth], (64, 64))
    bound = np.quantile(np.abs(painted), 0.995)
    np.testing.assert_array_equal(evidence, overlay(scrambled, painted, bound))


def test_words_and_marks_say_who_is_right(explorer, critters):
    truth = critters.classes[critters.labels[0]]
    assert 'alt="Not cut"' in explorer.view.value
    assert f"Picture 1, not cut: {truth}; BagNet-9 says " in explorer.text.value
    for model in NETS.values():
        guess = critters.classes[mb.load(model).logits(critters.images[:1])[0].argmax()]
        mark = "✓" if guess == truth else "✗"
        assert f"{mark} {guess}</b>" in explorer.view.value


def test_the_curve_is_the_probability_of_the_true_class_on_every_grid(explorer, critters):
    explorer.controls["picture"].value = 2
    truth, net = critters.labels[1], mb.load("critters-resnet")
    for grid, found in zip(GRIDS, explorer.curve("critters", "ResNet", 1, 0, False), strict=True):
        image = mb.scramble(critters.images[1], grid)
        assert found == pytest.approx(net.predict_proba(image[None])[0, truth], abs=1e-5)
    assert explorer.view.value.count("<polyline") == 2
    first, last = (
        100 * net.predict_proba(mb.scramble(critters.images[1], grid)[None])[0, truth]
        for grid in (1, 16)
    )
    turned = mb.scramble(critters.images[1], 4, 3, rotate=True)[None]
    assert explorer.curve("critters", "ResNet", 1, 3, True)[GRIDS.index(4)] == pytest.approx(
        net.predict_proba(turned)[0, truth], abs=1e-5
    )
    (label,) = re.findall(r'aria-label="(Probability[^"]*)"', explorer.view.value)
    assert f"; ResNet: {first:.0f} % at 1, " in label
    assert label.endswith(f" {last:.0f} % at 16")


def test_curves_that_are_shown_stay_when_old_ones_go(explorer):
    explorer.boxes["ResNet"].value = False
    explorer.controls["seed"].value = 1
    explorer.curves |= {("critters", "newer", n, 0, False): np.zeros(8) for n in range(600)}
    explorer.boxes["ResNet"].value = True  # a new curve, beside the oldest
    assert explorer.view.value.count("<polyline") == 2
    assert len(explorer.curves) < 600


def test_eight_models_have_lines_that_differ_in_colour_and_in_dashes(critters):
    nets = {f"net {k}": "critters-bagnet5" for k in range(8)}
    explorer = ScrambleExplorer({"critters": (critters, nets)})
    for box in explorer.boxes.values():
        box.value = True
    lines = re.findall(r'<polyline.*?stroke="(.*?)".*?dasharray="(.*?)"', explorer.view.value)
    assert len({colour for colour, _ in lines}) == len({dash for _, dash in lines}) == 8
    figure, _ = explorer.twin(**explorer.values)
    assert [line.get_color() for line in figure.axes[2].lines[:8]] == [c for c, _ in LINES]


def test_a_slider_moved_back_asks_no_model_again(critters):
    asked = []

    class Counting:
        classes = critters.classes

        def predict_proba(self, images):
            asked.append(len(images))
            return np.tile(np.eye(8)[0], (len(images), 1))

    explorer = ScrambleExplorer({"critters": (critters, {"counting": Counting()})})
    assert asked == [1, len(GRIDS)]
    for grid in (2, 1, 2):
        explorer.controls["grid"].value = grid
    assert asked == [1, len(GRIDS), 1]


def test_words_without_evidence_per_patch_are_shown_as_no_bag(critters):
    learn = mb.critters("train", 40, 64)
    words = {
        encoding: mb.BagOfVisualWords(mb.DenseSIFT(8), 8, encoding).fit(learn)
        for encoding in ("histogram", "pyramid", "vlad")
    }
    explorer = ScrambleExplorer({"critters": (critters, words)})
    cards = explorer.view.value.split("<table")[1:]
    assert [len(pictures(card)) for card in cards] == [1, 1, 0]
    assert ["Not a bag" in card for card in cards] == [False, False, True]
    assert "vlad says" in explorer.text.value


def test_a_class_is_asked_before_it_sees_the_original_or_an_answer(explorer, critters):
    explorer.controls["grid"].value = 4
    assert 'alt="Cut into 4 x 4 cells, shuffled"' in explorer.view.value
    explorer.controls["hidden"].value = True
    (shown,) = pictures(explorer.view.value)
    np.testing.assert_array_equal(shown, mb.scramble(critters.images[0], 4))
    said = explorer.view.value + explorer.text.value
    assert "What is it?" in said
    assert not any(name in re.sub(r'src="[^"]*"', "", said) for name in critters.classes)


def test_models_can_be_put_side_by_side_or_left_out(explorer):
    explorer.boxes["ResNet"].value = False
    assert len(shares(explorer.view.value)) == 1
    explorer.boxes["BagNet-9"].value = False
    assert len(pictures(explorer.view.value)) == 2
    assert 'role="status"' in explorer.text.value


def test_another_collection_brings_its_own_pictures_and_models(critters):
    flat = ImageSet(np.full((2, 20, 30, 3), 90, np.uint8), np.array([0, 1]), ("light", "dark"))

    class Guess:
        classes = ("light", "dark")

        def logits(self, images):
            return np.tile([0.0, 1.0], (len(images), 1))

        def predict_proba(self, images):
            return np.tile([0.25, 0.75], (len(images), 1))

    explorer = ScrambleExplorer({"critters": (critters, NETS), "flat": (flat, {"guess": Guess()})})
    explorer.controls["picture"].value = 5
    explorer.boxes["guess"].value = True
    explorer.controls["collection"].value = "flat"
    assert explorer.controls["picture"].max == explorer.controls["picture"].value == 2
    assert [n for n, box in explorer.boxes.items() if box.layout.display != "none"] == ["guess"]
    assert shares(explorer.view.value) == [[75, 25]]
    assert "Picture 2, not cut: dark; guess says dark (75 %)" in explorer.text.value
    explorer.controls["grid"].value = 16
    assert pictures(explorer.view.value)[1].shape == (20, 30, 3)


def test_small_images_end_the_slider_of_the_grid(critters):
    tiny = ImageSet(critters.images[:, :9, :30], critters.labels, critters.classes)
    nets = {"BagNet-5": "critters-bagnet5"}
    explorer = ScrambleExplorer({"critters": (critters, nets), "tiny": (tiny, nets)})
    explorer.controls["grid"].value = 16
    explorer.controls["collection"].value = "tiny"
    assert explorer.controls["grid"].value == explorer.controls["grid"].max == 9
    np.testing.assert_array_equal(pictures(explorer.view.value)[1], mb.scramble(tiny.images[0], 9))
    explorer.controls["collection"].value = "critters"
    assert explorer.controls["grid"].max == 16


def test_names_are_text_and_no_html():
    strange = ImageSet(np.zeros((1, 16, 16, 3), np.uint8), np.array([0]), ("<i>a&b", "c"))

    class Guess:
        classes = strange.classes

        def predict_proba(self, images):
            return np.tile([0.25, 0.75], (len(images), 1))

    explorer = ScrambleExplorer({"strange": (strange, {"<b>ox": Guess()})})
    assert not {"<i>", "<b>ox"} & {*re.findall(r"<i>|<b>ox", explorer.view.value)}
    assert explorer.view.value.count("&lt;i&gt;a&amp;b") >= 3


def test_a_picture_is_saved_and_stands_in_for_the_widget(explorer, tmp_path):
    explorer.controls["grid"].value = 2
    explorer.save.click()
    assert "Saved as" in explorer.text.value
    saved = pixels((tmp_path / "critters-1-in-2x2.png").read_bytes())
    data, metadata = explorer._repr_mimebundle_()
    assert "cut into 2 x 2 cells" in metadata["image/png"]["alt"] == data["text/plain"]
    np.testing.assert_array_equal(saved, pixels(png(explorer.twin(**explorer.values)[0])))


@pytest.mark.parametrize(
    ("name", "file"),
    [("../x", "..%2Fx"), ("a\\b\0", "a%5Cb%00"), ("Vögel 2", "Vögel 2"), ("\udcff", "%DCFF")],
)
def test_a_picture_is_saved_in_its_folder_whatever_the_collection_is_called(
    critters, tmp_path, name, file
):
    (tmp_path / "here").mkdir()
    nets = {"ResNet": NETS["ResNet"]}
    explorer = ScrambleExplorer({name: (critters, nets)}, folder=tmp_path / "here")
    explorer.save.click()
    assert "Saved as" in explorer.text.value
    saved = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")]
    assert saved == [f"here/{file}-1-in-1x1.png"]


def test_what_goes_wrong_is_said_in_the_widget(explorer, tmp_path):
    explorer.folder = tmp_path / "missing"
    explorer.save.click()
    assert 'role="alert"' in explorer.text.value
    assert "missing" in explorer.text.value
    explorer.controls["grid"].value = 3
    assert 'role="status"' in explorer.text.value


def test_a_model_that_diverged_gives_no_answer(critters):
    class Diverged:
        classes = critters.classes

        def predict_proba(self, images):
            return np.full((len(images), 8), np.nan)

    explorer = ScrambleExplorer({"critters": (critters, {**NETS, "third": "critters-bagnet5",
                                                         "lost": Diverged()})})  # fmt: skip
    explorer.boxes["lost"].value = True
    assert "lost gives numbers that are not finite" in explorer.text.value
    explorer.boxes["lost"].value = False
    assert 'role="status"' in explorer.text.value


def test_a_curve_that_diverges_is_said_and_not_drawn(critters):
    class Diverging:
        classes = critters.classes

        def predict_proba(self, images):
            return np.full((len(images), 8), np.nan if len(images) > 1 else 1 / 8)

    models = {**NETS, "third": "critters-bagnet5", "lost": Diverging()}
    explorer = ScrambleExplorer({"critters": (critters, models)})
    explorer.boxes["lost"].value = True
    assert "lost gives numbers that are not finite" in explorer.text.value
    assert "nan" not in re.sub(r'src="[^"]*"', "", explorer.view.value)


def test_a_slow_curve_says_that_it_is_worked_out_beside_the_answer(critters):
    shown = []

    class Watching:
        classes = critters.classes

        def predict_proba(self, images):
            if len(images) == len(GRIDS) and explorer:
                shown.append(explorer.view.value + explorer.text.value)
            return np.full((len(images), 8), 1 / 8)

    explorer = None
    explorer = ScrambleExplorer({"critters": (critters, {"watching": Watching()})})
    explorer.controls["picture"].value = 2
    (meanwhile,) = shown
    assert 'class="minibag-busy"' in meanwhile
    assert "Picture 2, not cut" in meanwhile
    assert "minibag-busy" not in explorer.view.value


def test_collections_without_images_models_or_the_same_classes_are_refused(critters):
    for wrong in ({}, {"none": (critters[:0], NETS)}, {"none": (critters, {})}):
        with pytest.raises(ValueError, match="at least one collection"):
            ScrambleExplorer(wrong)
    with pytest.raises(ValueError, match="classes of BagNet"):
        ScrambleExplorer({"critters": (critters, {"BagNet": "imagenette-bagnet9"})})
