"""Scrambling moves cells and loses nothing: properties, and a search by brute force."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibag as mb
from minibag.bag import PatchGrid
from minibag.experiments import Shuffle, scramble, surviving_patches, unscramble


@st.composite
def settings_of_shuffles(draw, side=17):
    """(H, W), grid, seed, rotate: every grid that fits, sides that divide and that do not."""
    shape = draw(st.tuples(st.integers(1, side), st.integers(1, side)))
    grid = draw(st.integers(1, min(shape)))
    return shape, grid, draw(st.integers(0, 10**6)), draw(st.booleans())


def numbered(n, height, width, dtype=np.int64):
    """Images whose pixels all differ, (n, H, W, 3)."""
    return np.arange(n * height * width * 3, dtype=dtype).reshape(n, height, width, 3)


def edges(side, grid):
    """Edges of cells that differ by at most one pixel."""
    return [k * side // grid for k in range(grid + 1)]


def cells_of(image, rows, columns):
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield image[top:bottom, left:right]


@given(settings_of_shuffles(), st.integers(0, 3))
def test_unscramble_undoes_scramble(setting, n):
    shape, grid, seed, rotate = setting
    images = numbered(n, *shape)
    there = scramble(images, grid, seed, rotate=rotate)
    np.testing.assert_array_equal(unscramble(there, grid, seed, rotate=rotate), images)


@given(settings_of_shuffles())
def test_every_pixel_is_kept_and_some_move(setting):
    shape, grid, seed, rotate = setting
    images = numbered(2, *shape)
    there = scramble(images, grid, seed, rotate=rotate)
    assert (there.shape, there.dtype) == (images.shape, images.dtype)
    for image, moved in zip(images, there, strict=True):
        before, after = (sorted(map(tuple, x.reshape(-1, 3))) for x in (image, moved))
        assert before == after
        assert (image == moved).all() == (grid == 1)


@given(settings_of_shuffles())
def test_each_cell_of_the_result_is_a_cell_of_the_image(setting):
    shape, grid, seed, rotate = setting
    (image,) = numbered(1, *shape)
    shuffle = Shuffle.draw(shape, grid, seed, rotate=rotate)
    known = [
        np.rot90(cell, k).tolist()
        for cell in cells_of(image, *(edges(side, grid) for side in shape))
        for k in (range(4) if rotate else [0])
    ]
    found = cells_of(shuffle.apply(image), shuffle.rows, shuffle.columns)
    which = [known.index(cell.tolist()) // (4 if rotate else 1) for cell in found]
    assert sorted(which) == list(range(grid**2))  # each of them once


@given(settings_of_shuffles())
def test_result_shows_what_the_shuffle_says(setting):
    shape, grid, seed, rotate = setting
    (image,) = numbered(1, *shape)
    shuffle = Shuffle.draw(shape, grid, seed, rotate=rotate)
    places = cells_of(shuffle.apply(image), shuffle.rows, shuffle.columns)
    told = zip(places, shuffle.source.reshape(-1, 2), shuffle.turns.ravel(), strict=True)
    for cell, (top, left), turns in told:
        back = np.rot90(cell, -turns)
        bottom, right = top + back.shape[0], left + back.shape[1]
        np.testing.assert_array_equal(back, image[top:bottom, left:right])


@given(settings_of_shuffles(), st.integers(1, 5))
def test_shuffle_of_an_image_depends_on_its_number_and_not_on_the_others(setting, n):
    shape, grid, seed, rotate = setting
    images = numbered(n + 1, *shape)
    there = scramble(images, grid, seed, rotate=rotate)
    np.testing.assert_array_equal(there[:n], scramble(images[:n], grid, seed, rotate=rotate))
    alone = Shuffle.draw(shape, grid, seed, n, rotate=rotate).apply(images[n])
    np.testing.assert_array_equal(there[n], alone)
    np.testing.assert_array_equal(there[0], scramble(images[0], grid, seed, rotate=rotate))


@given(settings_of_shuffles())
def test_turning_cells_leaves_them_in_the_same_places(setting):
    shape, grid, seed, _ = setting
    still, turned = (Shuffle.draw(shape, grid, seed, rotate=r) for r in (False, True))
    assert not still.turns.any()
    np.testing.assert_array_equal(still.source, turned.source)
    np.testing.assert_array_equal(still.rows, turned.rows)
    np.testing.assert_array_equal(still.columns, turned.columns)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.bool_])
def test_any_dtype_is_kept(dtype):
    assert scramble(np.ones((2, 6, 5, 3), dtype), 3).dtype == dtype


def test_same_seed_repeats_and_images_are_shuffled_differently():
    image = numbered(1, 12, 12)
    images = np.repeat(image, 2, axis=0)
    first, other = scramble(images, 4, 1), scramble(images, 4, 2)
    np.testing.assert_array_equal(first, scramble(images, 4, 1))
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("rotate", [False, True])
def test_masks_go_with_their_pixels(rotate):
    before = mb.critters("test", 5, 33)
    marked = before.images.copy()
    marked[..., 0] = before.masks * 255
    after = scramble(mb.ImageSet(marked, before.labels, before.classes, before.masks), 4, 3,
                     rotate=rotate)  # fmt: skip
    np.testing.assert_array_equal(after.masks, after.images[..., 0] == 255)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert after.classes == before.classes
    back = unscramble(after, 4, 3, rotate=rotate)
    np.testing.assert_array_equal(back.masks, before.masks)
    np.testing.assert_array_equal(back.images, marked)


def test_whatever_a_set_knows_of_its_pixels_goes_with_them():
    before = mb.critters("test", 40, 32, shortcut={"eye": 1.0})
    assert before.distractors.any()
    marked = before.images.copy()
    marked[..., 0] = before.distractors * 255
    after = scramble(replace(before, images=marked), 4)
    np.testing.assert_array_equal(after.distractors, after.images[..., 0] == 255)


def test_a_set_without_masks_stays_without():
    images = mb.ImageSet(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1]), ("a", "b"))
    assert scramble(images, 2).masks is None


@pytest.mark.parametrize("shape", [(6, 6), (7, 8)])
def test_every_cell_comes_to_every_place_about_equally_often(shape):
    n, grid = 1200, 3
    sources = np.stack([Shuffle.draw(shape, grid, 0, k).source for k in range(n)])
    numbers = sources[..., 0] * 100 + sources[..., 1]
    # Where sides differ, a cell reaches nearly every place, as seams move along.
    for place in np.ndindex(grid, grid):
        _, counts = np.unique(numbers[:, *place], return_counts=True)
        assert len(counts) == grid**2
        assert counts.min() > n / grid**2 / 2
        assert counts.max() < n / grid**2 * 2


def test_all_four_turns_occur_where_cells_are_square_and_two_where_not():
    square = [Shuffle.draw((4, 4), 2, k, rotate=True).turns for k in range(200)]
    assert (np.bincount(np.ravel(square)) > 150).all()  # 800 turns
    oblong = [Shuffle.draw((4, 6), 2, k, rotate=True).turns for k in range(50)]
    assert {*np.ravel(oblong).tolist()} == {0, 2}


@pytest.mark.parametrize("grid", [0, -1, 5])
def test_grids_that_do_not_fit_are_refused(grid):
    with pytest.raises(ValueError, match=f"1 to 4 .*4 x 9 pixels, got {grid}"):
        scramble(np.zeros((2, 4, 9, 3)), grid)
    with pytest.raises(ValueError, match="1 to 4"):
        Shuffle.draw((4, 9), grid)


def test_grids_and_seeds_are_whole_numbers_of_any_kind():
    images = numbered(1, 6, 6)
    same = scramble(images, np.uint8(3), np.int64(5))
    np.testing.assert_array_equal(same, scramble(images, 3, 5))
    for grid, seed in ((2.0, 0), (2, 1.5), (2, None)):
        with pytest.raises(TypeError, match="integer"):
            scramble(images, grid, seed)
    with pytest.raises(ValueError, match="non-negative"):
        scramble(images, 2, -1)


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (1, 2, 4, 4, 3), (2, 4, 4, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(N, H, W, 3\)"):
        scramble(np.zeros(shape), 2)


def survivors_by_labels(patches, shuffle):
    """Number the cells of the result, and ask of each patch whether it holds one number only."""
    labels = np.zeros((shuffle.rows[-1], shuffle.columns[-1]))
    for number, cell in enumerate(cells_of(labels, shuffle.rows, shuffle.columns)):
        cell[:] = number
    kept = np.empty(patches.shape, bool)
    for i, j in np.ndindex(patches.shape):
        top, left, bottom, right = patches.box(i, j)
        kept[i, j] = len(np.unique(labels[max(top, 0) : bottom, max(left, 0) : right])) == 1
    return kept


@given(settings_of_shuffles(), st.data())
def test_survivors_are_the_patches_inside_one_cell(setting, data):
    shape, grid, seed, rotate = setting
    size, stride = (data.draw(st.integers(1, min(shape))) for _ in range(2))
    margin = data.draw(st.integers(0, (size - 1) // 2))  # larger patches may reach over the edge
    shown = tuple((side + 2 * margin - size) // stride + 1 for side in shape)
    patches = PatchGrid(size, stride, -margin, shown)
    shuffle = Shuffle.draw(shape, grid, seed, rotate=rotate)
    kept = surviving_patches(patches, shuffle)
    np.testing.assert_array_equal(kept, survivors_by_labels(patches, shuffle))


@settings(max_examples=30)
@given(
    grid=st.integers(1, 5), steps=st.integers(1, 6), stride=st.integers(1, 4), q=st.integers(1, 12)
)
def test_number_of_survivors_by_arithmetic(grid, steps, stride, q):
    cell = steps * stride  # the stride divides the cell
    side = grid * cell
    if q > side:
        return
    patches = PatchGrid(q, stride, 0, ((side - q) // stride + 1,) * 2)
    kept = surviving_patches(patches, Shuffle.draw((side, side), grid))
    in_a_cell = max((cell - q) // stride + 1, 0)
    assert kept.sum() == (grid * in_a_cell) ** 2
