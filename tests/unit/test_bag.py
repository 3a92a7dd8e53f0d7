"""PatchGrid against loops that spell out its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibag.bag import PatchGrid

GRIDS = st.builds(
    PatchGrid,
    size=st.integers(1, 9),
    stride=st.integers(1, 6),
    offset=st.integers(-7, 7),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
SIDES = st.tuples(st.integers(1, 30), st.integers(1, 30))


def painted_by_loop(grid: PatchGrid, evidence: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    painted = np.zeros(sides)
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            for y in range(sides[0]):
                for x in range(sides[1]):
                    dy = y - grid.offset - i * grid.stride
                    dx = x - grid.offset - j * grid.stride
                    if 0 <= dy < grid.size and 0 <= dx < grid.size:
                        painted[y, x] += evidence[i, j] / grid.size**2
    return painted


@given(grid=GRIDS, sides=SIDES, seed=st.integers(0, 99))
def test_paint_equals_a_loop_over_patches_and_pixels(grid, sides, seed):
    evidence = np.random.default_rng(seed).normal(size=grid.shape)
    expected = painted_by_loop(grid, evidence, sides)
    np.testing.assert_allclose(grid.paint(evidence, sides), expected, atol=1e-12)


@given(grid=GRIDS, seed=st.integers(0, 99))
def test_paint_keeps_the_sum_of_patches_inside_the_image(grid, seed):
    inside = PatchGrid(grid.size, grid.stride, abs(grid.offset), grid.shape)
    _, _, bottom, right = inside.box(grid.shape[0] - 1, grid.shape[1] - 1)
    evidence = np.random.default_rng(seed).normal(size=(3, *grid.shape))
    painted = inside.paint(evidence, (bottom + 2, right + 1))
    assert painted.shape == (3, bottom + 2, right + 1)
    np.testing.assert_allclose(painted.sum((1, 2)), evidence.sum((1, 2)), atol=1e-9)


@given(grid=GRIDS)
def test_boxes_are_squares_one_stride_apart_around_the_centres(grid):
    rows, columns = grid.centres()
    assert (len(rows), len(columns)) == grid.shape
    assert len(grid) == len(rows) * len(columns)
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            top, left, bottom, right = grid.box(i, j)
            assert (top, left) == (grid.offset + i * grid.stride, grid.offset + j * grid.stride)
            assert bottom - top == right - left == grid.size
            assert rows[i] == np.mean(range(top, bottom))  # pixel p is centred on p
            assert columns[j] == np.mean(range(left, right))


def test_a_single_patch_paints_exactly_its_box():
    grid = PatchGrid(size=3, stride=2, offset=-1, shape=(4, 3))
    evidence = np.zeros(grid.shape)
    evidence[2, 1] = 9
    expected = np.zeros((8, 8))
    top, left, bottom, right = grid.box(2, 1)
    expected[top:bottom, left:right] = 1
    np.testing.assert_array_equal(grid.paint(evidence, (8, 8)), expected)


@pytest.mark.parametrize("cell", [(-1, 0), (0, -1), (2, 0), (0, 3)])
def test_a_cell_outside_the_grid_has_no_box(cell):
    with pytest.raises(IndexError, match="grid of 2 x 3"):
        PatchGrid(4, 2, 0, (2, 3)).box(*cell)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"stride": 0}, {"shape": (0, 3)}])
def test_an_empty_grid_is_refused_with_a_hint(wrong):
    with pytest.raises(ValueError, match="smaller than one patch"):
        PatchGrid(**{"size": 4, "stride": 2, "offset": 0, "shape": (2, 3)} | wrong)


@pytest.mark.parametrize("shape", [(3, 2), (2,), (2, 3, 1)])
def test_evidence_of_another_shape_is_not_painted(shape):
    with pytest.raises(ValueError, match="the grid is"):
        PatchGrid(4, 2, 0, (2, 3)).paint(np.ones(shape), (10, 10))
