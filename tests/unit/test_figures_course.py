"""The course's map and ladder and the pictures of a vote: what they show and what they refuse."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from benchmarks import words_ladder
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


def test_the_ladder_has_a_bar_only_for_what_was_measured():
    figure = course.ladder({"chance": 0.1, "Fisher vectors": 0.8}, "toys")
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([10, 80])
    assert texts(figure).count("to come") == len(course.RUNGS) - 2
    assert "toys" in figure.axes[0].get_title()


@pytest.mark.parametrize("measured", [{"luck": 0.1}, {"chance": 10}])
def test_the_ladder_refuses_unknown_rungs_and_percent(measured):
    with pytest.raises(ValueError, match="not an accuracy in"):
        course.ladder(measured, "toys")


def test_every_rung_that_the_benchmark_records_has_its_place_on_the_ladder(tmp_path):
    names = [name for _, heads in words_ladder.rungs() for name in heads if "VLAD" not in name]
    rungs = {name: {"accuracy": k / 10} for k, name in enumerate(names)}
    (tmp_path / "words_ladder.json").write_text(json.dumps({"rungs": rungs}))
    (tmp_path / "words_ladder_tried.json").write_text("{}")
    read = course.measured(tmp_path)
    assert list(read) == list(course.RUNGS)[: len(names)]
    assert list(read.values()) == [k / 10 for k in range(len(names))]


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
