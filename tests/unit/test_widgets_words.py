"""The word explorer: its picture, its controls, its buttons, and the wall that it shows."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minibag.bag import PatchGrid
from minibag.data import ImageSet
from minibag.figures.html import png
from minibag.figures.words import (
    Wall,
    draw_wall,
    explore_word,
    wall_of_words,
    word_colours,
    word_use,
)
from minibag.widgets.words import WordExplorer
from tests.pictures import pictures, pixels

GRID = PatchGrid(size=8, stride=4, offset=0, shape=(3, 3))


@pytest.fixture
def scene():
    """Five noisy images of 16 px with a word map each; word 6 of 8 occurs nowhere."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    word_maps = rng.choice([0, 1, 2, 3, 4, 5, 7], (5, 3, 3))
    word_maps[0] = [[1, 1, 3], [3, 3, 3], [5, 5, 1]]
    distances = rng.random((5, 3, 3))
    data = ImageSet(images, np.arange(5) % 2, ("cat", "dog"))
    return data, word_maps, distances, wall_of_words(images, GRID, word_maps, distances, n=3)


@pytest.fixture
def explorer(scene):
    data, word_maps, _, wall = scene
    return WordExplorer(data, word_maps, GRID, wall, image=0, word=3)


def test_the_picture_is_that_of_the_figure_function(explorer, scene):
    data, word_maps, _, wall = scene
    for image, word in ((0, 3), (2, 0), (4, 6)):
        explorer.controls["image"].value, explorer.controls["word"].value = image, word
        expected = png(explore_word(data.images, word_maps, GRID, wall, image=image, word=word))
        np.testing.assert_array_equal(pictures(explorer.view.value)[0], pixels(expected))
        assert word_use(word_maps, image, word) in explorer.text.value


def test_pictures_of_different_words_differ(explorer):
    before = explorer.view.value
    explorer.controls["word"].value = 5
    assert explorer.view.value != before


def test_buttons_step_through_the_words_of_the_image_and_round_the_end(explorer):
    word = explorer.controls["word"]
    visited = []
    for _ in range(3):
        explorer.next.click()
        visited.append(word.value)
    assert visited == [5, 1, 3]
    explorer.previous.click()
    assert word.value == 1
    word.value = 4  # does not fire here: go to its neighbours
    explorer.previous.click()
    assert word.value == 3


def test_controls_are_labelled_and_within_range(explorer, scene):
    image, word = explorer.controls["image"], explorer.controls["word"]
    assert (image.description, image.max) == ("Image", 4)
    assert (word.description, word.max) == ("Word", 7)
    for button in (explorer.previous, explorer.next):
        assert button.description
        assert button.tooltip


def test_an_error_in_a_callback_stands_in_the_widget(explorer, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("the wall fell down")

    monkeypatch.setattr("minibag.widgets.words.explore_word", broken)
    explorer.controls["word"].value = 5
    assert "the wall fell down" in explorer.text.value
    assert 'role="alert"' in explorer.text.value


def test_refuses_maps_that_do_not_fit(scene):
    data, word_maps, distances, wall = scene
    with pytest.raises(ValueError, match="4 word maps"):
        WordExplorer(data, word_maps[:4], GRID, wall)
    with pytest.raises(ValueError, match="wall of 3 words"):
        WordExplorer(data, word_maps, GRID, Wall(wall.mean[:3], wall.nearest[:3]))
    with pytest.raises(ValueError, match=r"maps of shape \(5, 3, 3\)"):
        wall_of_words(data.images, GRID, word_maps[:, :2], distances[:, :2])


def test_the_picture_costs_as_much_with_many_words_as_with_few(scene):
    """No layout is solved, and no artist is drawn for each word: a slider waits for the picture."""
    data, word_maps, _, wall = scene
    many = Wall(np.repeat(wall.mean, 50, 0), np.repeat(wall.nearest, 50, 0))
    figures = [
        explore_word(data.images, word_maps, GRID, words, image=0, word=3) for words in (wall, many)
    ]
    few, more = (len(figure.findobj(lambda artist: artist.axes)) for figure in figures)
    ticks = 40  # labels of the longer axis, and their marks
    assert few <= more <= few + ticks
    assert [figure.get_layout_engine() for figure in figures] == [None, None]
    for figure in figures:
        plt.close(figure)


def test_tf_idf_of_the_caption_is_that_of_a_loop(scene):
    _, word_maps, _, _ = scene
    images_with_word = sum(3 in words for words in word_maps)
    share = list(word_maps[0].ravel()).count(3) / 9
    assert f"4 of 9 cells (tf {share:.3f})" in word_use(word_maps, 0, 3)
    assert word_use(word_maps, 0, 3).endswith(f"{share * np.log(5 / images_with_word):.3f}")
    assert word_use(word_maps, 0, 6).endswith("tf-idf 0.000")


def test_the_wall_is_that_of_a_loop_over_patches(scene):
    data, word_maps, distances, wall = scene
    for word in range(8):
        members = [
            (distances[n, i, j], n, data.images[n, 4 * i : 4 * i + 8, 4 * j : 4 * j + 8])
            for n, i, j in np.argwhere(word_maps == word)
        ]
        best = {}  # the nearest patch of every image
        for _distance, n, patch in sorted(members, key=lambda member: member[0]):
            best.setdefault(n, patch)
        near = [*list(best.values())[:3], *[np.full((8, 8, 3), 255)] * 3][:3]
        np.testing.assert_array_equal(wall.nearest[word], near)
        mean = np.mean([m[2] for m in members], axis=0).round() if members else 255
        np.testing.assert_array_equal(wall.mean[word], np.broadcast_to(mean, (8, 8, 3)))


def test_stretched_patches_do_not_depend_on_colour_and_contrast(scene):
    data, word_maps, distances, _ = scene
    faint = (data.images.mean(3, keepdims=True) // 4 + 90).astype(np.uint8).repeat(3, axis=3)
    strong, weak = (
        wall_of_words(images, GRID, word_maps, distances, stretched=True).nearest.astype(int)
        for images in (data.images, faint)
    )
    assert np.abs(strong - weak).max() < 12  # the quarter of the contrast has been rounded
    assert (strong[..., 0] == strong[..., 2]).all()


def test_every_word_has_its_own_colour_and_like_words_like_colours():
    line = np.linspace(0, 1, 50)[:, None] * np.ones(4)
    words = line + np.random.default_rng(0).normal(0, 1e-3, (50, 4))
    colours = word_colours(words)
    assert len(np.unique(colours, axis=0)) == 50
    assert 0 <= colours.min() <= colours.max() <= 1
    red = colours[:, 0] - colours[0, 0]
    assert (np.diff(np.abs(red)) > 0).all()


def test_the_wall_draws_one_row_for_each_chosen_word(scene):
    figure = draw_wall(scene[3], [2, 5], ["two", "five"], "Wall")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["two", "five"]
    assert figure.axes[0].get_title() == "Wall"
