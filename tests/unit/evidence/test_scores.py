"""Scores of maps against masks: chance is what a map gets that says nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minibag.evidence import energy_score, pointing_score

SCORES = pytest.mark.parametrize("score", [pointing_score, energy_score])


def draw(seed, n=5, shape=(6, 7), levels=3):
    rng = np.random.default_rng(seed)
    maps = rng.integers(-1, levels, (n, *shape)).astype(float)
    masks = rng.random((n, *shape)) < 0.4
    masks[:, 0, 0] = True
    return maps, masks


@given(st.integers(0, 999), st.sampled_from([1, 2, 50]))
def test_pointing_is_the_mean_hit_over_all_maxima(seed, levels):
    maps, masks = draw(seed, levels=levels)
    for value, one, mask in zip(pointing_score(maps, masks), maps, masks, strict=True):
        hits = [mask[at] for at in np.ndindex(one.shape) if one[at] == one.max()]
        assert value == pytest.approx(np.mean(hits))


@given(st.integers(0, 999))
def test_energy_is_the_share_of_positive_evidence_inside(seed):
    maps, masks = draw(seed)
    for value, one, mask in zip(energy_score(maps, masks), maps, masks, strict=True):
        inside = sum(max(one[at], 0) for at in np.ndindex(one.shape) if mask[at])
        assert value == pytest.approx(inside / sum(max(v, 0) for v in one.flat))


@SCORES
@given(seed=st.integers(0, 999), scale=st.floats(1e-6, 1e6))
def test_scale_does_not_matter_and_inside_and_outside_add_to_one(score, seed, scale):
    maps, masks = draw(seed, levels=9)
    masks[:, -1, -1] = False
    np.testing.assert_allclose(score(maps * scale, masks), score(maps, masks))
    np.testing.assert_allclose(score(maps, masks) + score(maps, ~masks), 1)


@SCORES
@pytest.mark.parametrize("value", [0, 1e-30, 7])
def test_a_constant_map_gets_the_share_of_the_image_that_is_masked(score, value):
    _, masks = draw(0)
    found = score(np.full(masks.shape, value), masks)
    np.testing.assert_allclose(found, masks.mean((1, 2)))


def test_a_map_without_positive_evidence_scores_chance():
    maps, masks = draw(1)
    np.testing.assert_allclose(energy_score(-np.abs(maps), masks), masks.mean((1, 2)))


def test_rounding_does_not_split_a_tie():
    maps = np.zeros((1, 1, 4), np.float32)
    maps[0, 0, :2] = 0.3, 0.3 * (1 + 2e-7)
    assert pointing_score(maps, maps == maps[0, 0, 0]) == 0.5


@SCORES
def test_tensors_are_welcome(score):
    maps, masks = draw(2)
    np.testing.assert_array_equal(score(torch.tensor(maps), masks), score(maps, masks))


@SCORES
def test_what_cannot_be_scored_is_refused(score):
    maps, masks = draw(0)
    with pytest.raises(ValueError, match="PatchGrid"):
        score(maps[:, :3], masks)
    with pytest.raises(ValueError, match="int64"):
        score(maps, masks.astype(int))
    with pytest.raises(ValueError, match="finite"):
        score(np.where(maps > 0, np.nan, maps), masks)
    masks[3] = False
    with pytest.raises(ValueError, match=r"masks \[3\] are empty"):
        score(maps, masks)
