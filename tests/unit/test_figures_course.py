"""The course's map and ladder and the pictures of a vote: what they show and what they refuse."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from benchmarks import record, words_ladder, zoo
from minibag.figures import course, evidence


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_the_map_has_a_card_for_every_lesson_and_dashes_those_to_come():
    figure = course.course_map({0, 1, 2})
    cards = figure.axes[0].patches
    cards = [card for card in cards if type(card).__name__ == "FancyBboxPatch"]
    assert len(cards) == 13
    assert [card.get_linestyle() for card in cards] == ["solid"] * 3 + ["dashed"] * 10
    assert {f"{number:02d}" for number in range(13)} <= set(texts(figure))


RUNG = course.Rung(0.8, 0.75, 0.82, 55_210, [16, 24, 32])


def test_the_ladder_has_a_bar_with_its_interval_only_for_what_was_measured():
    figure = course.ladder({"Fisher vectors": RUNG}, "toys", classes=8)
    bars = [patch.get_width() for patch in figure.axes[0].patches]
    assert bars == pytest.approx([12.5, 80])
    whisker = figure.axes[0].collections[0].get_segments()[0]
    assert whisker == pytest.approx(np.array([[75, 5], [82, 5]]))
    assert figure.axes[0].get_yticklabels()[5].get_text() == "Fisher vectors"
    assert texts(figure).count("to come") == len(course.RUNGS) - 1
    assert "toys" in figure.axes[0].get_title()


@pytest.mark.parametrize(
    ("patch_size", "parameters", "words"),
    [
        ([16, 24, 32], 55_210, {"16-32 px", "55 k"}),
        (9, 15_688_744, {"9 px", "15.7 M"}),
        (None, 999_999, {"whole image", "1.0 M"}),
    ],
)
def test_the_ladder_says_what_a_rung_sees_and_how_large_it_is(patch_size, parameters, words):
    rung = RUNG._replace(patch_size=patch_size, parameters=parameters)
    assert words <= {*texts(course.ladder({"BagNet-9": rung}, "toys", classes=10))}


@pytest.mark.parametrize(
    "measured",
    [{"luck": RUNG}, {"BagNet-9": RUNG._replace(accuracy=80)}, {"BagNet-9": RUNG._replace(low=1)}],
)
def test_the_ladder_refuses_unknown_rungs_percent_and_a_strange_interval(measured):
    with pytest.raises(ValueError, match="is no accuracy in its interval"):
        course.ladder(measured, "toys", classes=10)


def test_every_rung_that_the_benchmark_records_has_its_place_on_the_ladder(tmp_path):
    names = [name for _, heads in words_ladder.rungs() for name in heads][1:]  # chance is known
    names = [name for name in names if "VLAD" not in name]
    row = {"interval": [0.0, 1.0], "parameters": 7, "patch_size": None}
    rungs = {name: {"accuracy": k / 10, **row} for k, name in enumerate(names)}
    (tmp_path / "words_ladder.json").write_text(json.dumps({"rungs": rungs}))
    (tmp_path / "words_ladder_tried.json").write_text("{}")
    read = course.measured(tmp_path)
    assert list(read) == list(course.RUNGS)[: len(names)]
    expected = [course.Rung(k / 10, 0, 1, 7, None) for k in range(len(names))]
    assert list(read.values()) == expected


def test_networks_of_the_zoo_stand_under_the_size_of_their_images():
    rung_of = {name: rung for rung, (name, _) in course.RUNGS.items()}
    for model, name in zoo.RUNGS.items():
        assert rung_of[name].endswith(f", {zoo.side_of(model)} px")


def test_the_stored_results_fill_their_rungs():
    read = course.measured(record.RESULTS)
    stored = [json.loads(path.read_text()) for path in record.RESULTS.glob("*_ladder.json")]
    names = {name for result in stored for name in result["rungs"]}
    aside = {"chance", "VLAD 64, linear", "k-means words 128 of pixels, linear"}
    assert len(read) == len(names - aside)
    course.ladder(read, "Imagenette", classes=10)


def test_networks_of_any_ladder_need_no_interval_in_one_piece(tmp_path):
    row = {"accuracy": 0.8, "low": 0.7, "high": 0.9, "parameters": 7, "patch_size": 9}
    (tmp_path / "zoo_ladder.json").write_text(json.dumps({"rungs": {"BagNet-9": row}}))
    assert course.measured(tmp_path) == {"BagNet-9": course.Rung(0.8, 0.7, 0.9, 7, 9)}


def test_what_was_never_recorded_is_not_measured(tmp_path):
    assert course.measured(tmp_path / "nowhere") == {}


def test_a_gallery_needs_a_title_for_every_image():
    with pytest.raises(ValueError, match="2 images and 1 titles"):
        evidence.gallery(np.zeros((2, 4, 4)), ["one"], "toys")


def test_a_gallery_fills_rows_and_leaves_the_rest_empty():
    figure = evidence.gallery(np.zeros((5, 4, 4, 3), np.uint8), list("abcde"), "toys", columns=3)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 1, 0]
    assert [ax.get_title() for ax in figure.axes[:5]] == list("abcde")


def test_the_table_of_votes_is_white_at_zero_and_as_far_red_as_blue():
    votes = np.array([[3.0, 0.0], [-1.0, 0.5]])
    image = evidence.vote_table(votes, ["a", "b"], ["x", "y"], "toys").axes[0].images[0]
    assert image.get_clim() == (-3, 3)
    assert np.array_equal(image.get_array(), votes.T)
    red, _, blue, _ = image.to_rgba(np.array([3.0]))[0]
    assert red > blue


def test_no_evidence_leaves_the_grey_image_alone():
    images = np.full((1, 8, 8, 3), 200, np.uint8)
    evidence_map = np.zeros((8, 8))
    evidence_map[2, 3], evidence_map[5, 5] = 1.0, -1.0
    figure = evidence.evidence_on_images(images, [evidence_map], ["a"], "toys")
    painted = figure.axes[1].images[1]
    alpha, colours = painted.get_alpha(), painted.get_array()
    assert alpha[0, 0] == 0
    assert alpha[2, 3] == alpha[5, 5] > 0.8
    assert colours[2, 3, 0] > colours[2, 3, 2]
    assert colours[5, 5, 2] > colours[5, 5, 0]


def test_two_bags_hang_from_one_line():
    above, below = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    bars = evidence.two_bags(above, below, ("x", "y"), "toys").axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([20, 80, -50, -50])


def test_a_wall_shows_every_patch_at_full_contrast():
    rows = {"a": np.full((2, 4, 4), -0.1), "b": np.full((2, 4, 4), 7.0)}
    ax = evidence.wall(rows, "toys").axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert set(np.unique(ax.images[0].get_array())) == {-1, 1}


def test_a_window_is_cut_where_its_frame_lies():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    window, place = evidence.peek(image, top=4, left=9, q=7, whole=False).axes
    assert np.array_equal(window.images[0].get_array(), image[4:11, 9:16])
    shown = place.images[0].get_array()
    assert np.array_equal(shown[4:11, 9:16], image[4:11, 9:16])
    assert (shown[20:] == 225).all()
    assert place.patches[0].get_xy() == (8.5, 3.5)
    assert place.patches[0].get_edgecolor() == to_rgba("#d62728")
