"""What the picture of accuracy against the grid shows."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from minibag.experiments import ScrambledAccuracy
from minibag.figures.scrambled import STYLES, accuracy_curves


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def points(*accuracies, grids=(1, 2, 4)):
    pairs = zip(grids, accuracies, strict=True)
    return [ScrambledAccuracy(g, a, max(a - 0.1, 0), min(a + 0.05, 1), 100) for g, a in pairs]


def test_curves_show_percent_with_their_intervals():
    axes = accuracy_curves({"words": points(0.9, 0.5, 0)}, 0.25, "Down it goes").axes[0]
    curve, _, (bars,) = axes.containers[0]
    np.testing.assert_allclose(curve.get_ydata(), [90, 50, 0])
    np.testing.assert_allclose(np.asarray(curve.get_xdata(), float), [1, 2, 4])
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[80, 95], [40, 55], [0, 5]], atol=1e-9)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 x 1", "2 x 2", "4 x 4"]
    assert axes.get_title() == "Down it goes"
    assert 25 in {line.get_ydata()[0] for line in axes.lines}  # chance


def test_eight_curves_differ_without_colour_and_their_labels_do_not_overlap():
    rows = {f"model {k}": points(0.9, 0.5, 0.12 + k / 1000) for k in range(8)}
    figure = accuracy_curves(rows, 0.1, "All alike")
    axes = figure.axes[0]
    curves = [container[0] for container in axes.containers]
    assert len({curve.get_marker() for curve in curves}) == 8
    assert len({curve.get_color() for curve in curves}) == 8
    assert len({tuple(curve.get_xdata()) for curve in curves}) == 8  # bars side by side
    figure.canvas.draw()
    labels = [text for text in axes.texts if text.get_text() in rows]
    boxes = sorted((Text.get_window_extent(text) for text in labels), key=lambda box: box.y0)
    assert len(boxes) == 8
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert [text.get_text() for text in sorted(labels, key=lambda t: t.xyann[1])] == [*rows]


def test_models_may_have_other_grids():
    rows = {"a": points(0.9, 0.5, 0.2), "b": points(0.8, 0.3, grids=(1, 16))}
    axes = accuracy_curves(rows, 0.1, "").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "16 x 16"


@pytest.mark.parametrize("rows", [{}, {"a": []}, {f"{k}": points(1, 1, 1) for k in range(9)}])
def test_nothing_to_draw_and_too_much_are_refused(rows):
    with pytest.raises(ValueError, match=f"1 to {len(STYLES)} curves"):
        accuracy_curves(rows, 0.1, "")
