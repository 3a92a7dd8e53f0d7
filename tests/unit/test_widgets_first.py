"""The shared widget shell, and the first widget, driven without a browser."""

import base64

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibag.data import ImageSet
from minibag.figures.html import DPI, png
from minibag.widgets.base import Redrawn
from minibag.widgets.first import peek, window_corner
from tests.pictures import pictures as shown
from tests.pictures import pixels


def dots(n):
    if n == 5:
        raise ValueError("five <dots> are too many")
    figure, axes = plt.subplots()
    axes.plot(range(n))
    return figure, f"{n} < 9 dots"


def slider(**options):
    return widgets.IntSlider(3, 1, 9, description="dots", **options)


def pictures():
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 32, 32), bool)
    masks[0, 20:26, 4:10] = True
    return ImageSet(
        rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8),
        np.array([0, 1, 0]),
        ("owl", "fish"),
        masks,
    )


def test_a_moved_control_redraws_picture_and_text():
    widget = Redrawn(dots, {"n": slider()})
    before = widget.view.value
    widget.controls["n"].value = 7
    assert widget.view.value != before
    assert len(shown(widget.view.value)) == 1
    assert "7 &lt; 9 dots" in widget.text.value


def test_an_error_in_a_callback_stands_in_the_widget_until_the_next_change():
    widget = Redrawn(dots, {"n": slider()})
    widget.controls["n"].value = 5
    assert "ValueError: five &lt;dots&gt; are too many" in widget.text.value
    assert 'role="alert"' in widget.text.value
    widget.controls["n"].value = 6
    assert "alert" not in widget.text.value


def test_an_error_at_the_start_is_raised_in_the_cell():
    control = slider()
    control.value = 5
    with pytest.raises(ValueError, match="too many"):
        Redrawn(dots, {"n": control})


def test_a_control_without_a_label_is_refused():
    with pytest.raises(ValueError, match="'n' needs a description"):
        Redrawn(dots, {"n": widgets.IntSlider()})


def test_redrawing_leaves_no_figures_open():
    open_before = plt.get_fignums()
    widget = Redrawn(dots, {"n": slider()})
    for n in (4, 6, 7):
        widget.controls["n"].value = n
    assert plt.get_fignums() == open_before


def test_every_widget_can_be_found_in_the_page():
    assert "minibag-widget" in Redrawn(dots, {"n": slider()})._dom_classes


def test_a_figure_becomes_a_png_and_is_closed_an_image_keeps_its_pixels():
    figure, _ = plt.subplots(figsize=(3, 2))
    assert pixels(png(figure)).shape == (2 * DPI, 3 * DPI, 3)
    assert not plt.fignum_exists(figure.number)
    image = pictures().images[0]
    np.testing.assert_array_equal(pixels(png(image)), image)


def test_a_stored_page_gets_a_picture_and_its_alt_text_instead_of_the_widget():
    data, metadata = Redrawn(dots, {"n": slider()})._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == metadata["image/png"]["alt"] == "3 < 9 dots"
    assert pixels(base64.b64decode(data["image/png"])).std() > 0


def test_a_button_with_nothing_to_say_leaves_the_text_as_it_was():
    widget = Redrawn(dots, {"n": slider()})
    before = widget.text.value
    widget.attempt(lambda: None)
    assert widget.text.value == before


@given(st.integers(1, 32), st.integers(0, 31), st.integers(0, 31))
def test_the_window_stays_inside_and_holds_the_evidence(q, row, column):
    mask = np.zeros((32, 32), bool)
    mask[row, column] = True
    top, left = window_corner(mask, 32, q)
    assert 0 <= top <= 32 - q
    assert 0 <= left <= 32 - q
    assert mask[top : top + q, left : left + q].any()


def test_the_window_lies_on_the_largest_piece_of_evidence():
    mask = np.zeros((32, 32), bool)
    mask[2:4, 2:4] = mask[20:26, 4:10] = True
    assert window_corner(mask, 32, 6) == (20, 4)


def test_without_evidence_the_window_lies_in_the_middle():
    assert window_corner(None, 32, 8) == (12, 12)
    assert window_corner(np.zeros((32, 32), bool), 32, 8) == (12, 12)


@pytest.mark.parametrize("q", [0, 33])
def test_a_window_that_does_not_fit_is_refused(q):
    with pytest.raises(ValueError, match="does not fit an image of 32"):
        window_corner(None, 32, q)


def test_peek_keeps_the_class_secret_until_the_picture_is_uncovered():
    widget = peek(pictures())
    assert "owl" not in widget.text.value
    widget.controls["whole"].value = True
    assert "Uncovered: owl." in widget.text.value
    widget.controls["picture"].value = 2
    assert "fish" in widget.text.value


def test_peek_widens_its_window_up_to_the_whole_picture():
    widget = peek(pictures())
    widget.controls["q"].value = 32
    assert "32 x 32 pixels, 100 % of the picture" in widget.text.value


def test_every_control_is_labelled_and_a_core_control():
    for control in peek(pictures()).controls.values():
        assert control.description
        assert isinstance(control, widgets.IntSlider | widgets.Checkbox)
