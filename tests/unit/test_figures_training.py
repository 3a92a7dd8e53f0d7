"""What the pictures of lesson 08 show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minibag.figures import training
from minibag.stats import wilson_interval


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_the_roof_rises_with_the_bandwidth_and_ends_at_the_rate():
    layers = np.array([[0.5, 1e9, 7], [80, 3e10, 7]])
    axes = training.roofline({"1x1": layers}, 4e10, 8e9, "The roof").axes[0]
    roof, seen = axes.lines[:2]
    work, height = map(np.asarray, roof.get_data())
    np.testing.assert_allclose(height, np.minimum(40, 8 * work))
    assert work[0] < 0.5
    assert work[-1] > 80
    np.testing.assert_allclose(seen.get_data(), [[0.5, 80], [1, 30]])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert 5 in axes.lines[2].get_xdata()  # where memory ceases to be the limit


def test_histograms_count_every_number_but_zeros():
    values = np.array([0, 2.0**-30, -(2.0**-30), 2.0**-10, 2.0**-10.5, 0])
    axes = training.gradient_sizes({"maps": values}, "").axes[0]
    shares, edges, _ = axes.patches[0].get_data()
    heights = dict(zip(edges[:-1], shares, strict=True))
    assert heights[-30] == 50
    assert heights[-10] == 25
    assert heights[-11] == 25
    assert sum(shares) == 100


def test_what_fp16_loses_is_shaded():
    axes = training.gradient_sizes({"maps": np.ones(3)}, "").axes[0]
    spans = {p.get_label(): (p.get_x(), p.get_x() + p.get_width()) for p in axes.patches[1:]}
    assert spans == {"become 0 in fp16": (-40, -25), "lose bits in fp16": (-25, -14)}
    small, zero = np.float16(2.0**-24), np.float16(2.0**-25.01)
    assert small > 0
    assert zero == 0


def test_paths_are_in_percent_from_the_first_step_asked_for():
    axes = training.paths({"one": [0.1, 0.2, 0.4], "two": [0, 0, 1]}, 2, "").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_data(), [[2, 3], [20, 40]])
    np.testing.assert_allclose(axes.lines[1].get_data(), [[2, 3], [0, 100]])


def test_learning_curves_have_their_intervals_and_may_differ_in_length():
    rows = [{"epoch": k, "val_accuracy": k / 4} for k in (1, 2, 3)]
    axes = training.learning_curves({"a": rows, "b": rows[:1]}, 100, "They learn").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_data(), [[1, 2, 3], [25, 50, 75]])
    np.testing.assert_allclose(axes.lines[1].get_data(), [[1], [25]])
    ends = axes.collections[0].get_paths()[0].vertices[:, 1]
    low, high = wilson_interval(75, 100)
    assert any(np.isclose(ends, 100 * low))
    assert any(np.isclose(ends, 100 * high))
    assert axes.get_title() == "They learn"


def test_accuracy_by_reach_has_a_bar_for_each_network_and_a_tick_for_each_reach():
    series = {"small": [[9, 0.5, 0.45, 0.6], [64, 0.8, 0.7, 0.9]], "none yet": []}
    axes = training.accuracy_by_reach(series, 0.1, "pixels", "More").axes[0]
    (container,) = axes.containers
    curve, _, (bars,) = container
    np.testing.assert_allclose(curve.get_data(), [[9, 64], [50, 80]])
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[45, 60], [70, 90]])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["9", "64"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["small"]
    assert 10 in {line.get_ydata()[0] for line in axes.lines}  # chance


def test_reach_may_be_a_share_of_the_side():
    axes = training.accuracy_by_reach({"a": [[9 / 64, 0.5, 0.4, 0.6]]}, 0.1, "share", "").axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.14"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda many: training.paths({name: [0.5] for name in many}, 1, ""),
        lambda many: training.accuracy_by_reach(
            {n: [[9, 0.5, 0.4, 0.6]] for n in many}, 0.1, "", ""
        ),
    ],
)
def test_five_lines_differ_in_colour_and_in_stroke_or_marker(draw):
    axes = draw("abcde").axes[0]
    lines = [line for line in axes.lines if line.get_color() in {s[0] for s in training.STYLES}]
    assert len({line.get_color() for line in lines}) == 5
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) >= 4
