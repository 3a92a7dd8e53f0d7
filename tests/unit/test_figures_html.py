"""Pieces of pages: what is drawn has the size, place and colour that the numbers say."""

import re

import numpy as np
import pytest

from minibag.figures.html import AGAINST, FOR, LINES, bars, curves, key, overlay, verdict

CLASSES = ("cat", "dog", "<emu>")


def rows_of(html):
    """(name, start in %, width in %, colour, number) of every bar."""
    pattern = (
        r'<th.*?>(.*?)</th>.*?margin-left:(.*?)%;width:(.*?)%;background:(.*?)".*?>([^<>]+)</td>'
    )
    return [
        (name, float(start), float(width), colour, number)
        for name, start, width, colour, number in re.findall(pattern, html)
    ]


def test_bars_of_probabilities_are_as_long_as_they_are_likely_the_longest_first():
    found = rows_of(bars(np.array([0.25, 0.1, 0.65]), CLASSES))
    blue = LINES[0][0]
    assert found == [
        ("&lt;emu&gt;", 0, 65, blue, "65 %"),
        ("cat", 0, 25, blue, "25 %"),
        ("dog", 0, 10, blue, "10 %"),
    ]
    assert len(rows_of(bars(np.array([0.25, 0.1, 0.65]), CLASSES, k=2))) == 2


def test_signed_bars_grow_from_the_middle_red_to_the_right_and_blue_to_the_left():
    found = rows_of(bars(np.array([2.0, -4.0, 0.0]), CLASSES, k=None, signed=True))
    assert found[:2] == [("cat", 50, 25, FOR, "+2.00"), ("dog", 0, 50, AGAINST, "-4.00")]
    assert found[2][2] == 0
    assert [row[2] for row in rows_of(bars(np.zeros(3), CLASSES, signed=True))] == [0, 0, 0]


def test_the_true_class_has_a_star_that_can_be_read_aloud():
    marked = [name for name, *_ in rows_of(bars(np.array([0.6, 0.3, 0.1]), CLASSES, 1))]
    assert "★" not in marked[0] + marked[2]
    assert re.fullmatch(r'dog <span role="img" aria-label="the true class".*>★</span>', marked[1])


@pytest.mark.parametrize(
    ("truth", "said"), [(1, "<b>✓ dog</b>, right"), (0, "<b>✗ dog</b>, wrong")]
)
def test_verdict_says_in_words_and_marks_who_is_right(truth, said):
    assert verdict(np.array([0.1, 0.7, 0.2]), CLASSES, truth) == said


def test_curves_run_from_left_to_right_and_from_nought_to_a_hundred():
    series = {"a": np.array([1, 0.5, 0]), "waits": None, "<b>": np.array([0, 0, 1])}
    html = curves((1, 4, 16), series, 4, "Probability")
    lines = re.findall(r'<polyline points="(.*?)".*?stroke="(.*?)".*?dasharray="(.*?)"', html)
    assert [(colour, dash) for _, colour, dash in lines] == [LINES[0], LINES[2]]  # None has one too
    (one, half, nought), (low, _, high) = (
        [tuple(map(float, point.split(","))) for point in points.split()] for points, *_ in lines
    )
    assert half == ((one[0] + nought[0]) / 2, (one[1] + nought[1]) / 2)  # 4 is half way to 16
    assert one[0] == low[0] < nought[0] == high[0]
    assert one[1] == high[1] < nought[1] == low[1]  # down the page
    now = re.search(r'<path d="M([\d.]+) [\d.]+v[\d.]+" stroke="currentColor" stroke-dash', html)
    assert float(now[1]) == half[0]
    assert (
        'aria-label="Probability against cells a side, now 4; a: 100 % at 1, 50 % at 4, 0 % at 16; '
        '&lt;b&gt;: 0 % at 1, 0 % at 4, 100 % at 16"'
    ) in html


def test_the_key_of_a_line_is_drawn_like_the_line():
    for line, (colour, dash) in enumerate(LINES):
        assert f'stroke="{colour}"' in key(line)
        assert f'stroke-dasharray="{dash}"' in key(line)


def test_evidence_is_red_for_blue_against_and_leaves_the_rest_pale_grey():
    image = np.full((1, 4, 3), (200, 0, 100), np.uint8)
    shown = overlay(image, np.array([[0, 1, -1, 9]]), 1.0).astype(int)
    assert shown[0, 0].tolist() == [round(255 * (100 + 300) / 555)] * 3
    assert shown[0, 1, 0] > shown[0, 1, 2] + 50
    assert shown[0, 2, 2] > shown[0, 2, 0] + 50
    np.testing.assert_array_equal(shown[0, 3], shown[0, 1])  # none is darker than the bound
