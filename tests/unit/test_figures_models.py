"""What the pictures of a judged model show."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minibag.figures.models import confusion_figure, explanation

IMAGE = np.full((12, 12, 3), 90, np.uint8)
SCORES = {"cat": -1.0, "dog": 2.0, "eel": 0.5, "fox": -3.0}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_confusions_are_written_in_the_cell_of_true_row_and_predicted_column():
    axes = confusion_figure(np.array([[3, 1], [0, 4]]), ("cat", "dog")).axes[0]
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {
        ((0, 0), "3"), ((1, 0), "1"), ((1, 1), "4"),
    }  # fmt: skip
    assert axes.get_title().startswith("88% are right")  # 7 of 8
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")


def test_shares_are_of_the_true_class_also_where_a_class_has_no_image():
    axes = confusion_figure(np.array([[3, 1], [0, 0]]), ("cat", "dog")).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])


def test_a_matrix_of_another_size_is_refused():
    with pytest.raises(ValueError, match="3 x 3 matrix"):
        confusion_figure(np.eye(2, dtype=int), ("a", "b", "c"))


def test_evidence_is_white_at_zero_and_the_same_scale_both_ways():
    evidence = np.zeros((12, 12))
    evidence[2, 3] = -4
    _, middle, _, _ = explanation(IMAGE, evidence, "dog", SCORES).axes
    assert middle.images[1].get_clim() == (-4, 4)
    np.testing.assert_array_equal(middle.images[1].get_array(), evidence)


def test_scores_are_ranked_and_the_target_is_always_among_them():
    bars = explanation(IMAGE, np.zeros((12, 12)), "fox", SCORES, top=2).axes[2]
    assert [t.get_text() for t in bars.get_yticklabels()] == ["dog", "fox"]
    assert [patch.get_width() for patch in bars.patches] == [2.0, -3.0]
    assert bars.get_title() == "decided: dog"
