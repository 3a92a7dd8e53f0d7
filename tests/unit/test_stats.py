"""The interval of a rate against its formula and against its promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibag.stats import wilson_interval


@given(total=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_interval_equals_its_formula(total, share):
    right, z = round(share * total), 1.959963984540054
    p = right / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2))
    np.testing.assert_allclose(
        wilson_interval(right, total), (centre - half, centre + half), atol=1e-9
    )


def test_wilson_interval_covers_the_true_rate_as_often_as_it_promises():
    rng = np.random.default_rng(0)
    rates = rng.uniform(0.02, 0.98, size=2000)
    found = [wilson_interval(k, 100) for k in rng.binomial(100, rates)]
    held = [low <= rate <= high for rate, (low, high) in zip(rates, found, strict=True)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("counts", [(1, 0), (-1, 5), (6, 5), (1, 5, 1.0), (1, 5, 0)])
def test_impossible_counts_are_refused(counts):
    with pytest.raises(ValueError, match="right="):
        wilson_interval(*counts)
