"""Lessons run through in the JupyterLab that `make lab` starts, and their widgets answer."""

import pytest

from tests.browser.lab import Lab, errors, fingerprint, wait_for_change

WIDGETS = ["00_start_here.ipynb", "03_visual_words.ipynb", "06_how_far_does_a_unit_see.ipynb"]


@pytest.mark.parametrize("lesson", WIDGETS)
def test_lesson_runs_and_its_widget_answers_the_keyboard(lab: Lab, lesson: str):
    lab.open(lesson)
    assert errors(lab.run_all()) == []
    area = lab.widget("minibag-widget")
    image, slider = area.locator("img"), area.get_by_role("slider")
    words = area.get_by_role("status")
    first, said = fingerprint(image), words.inner_text()
    slider.first.focus()
    lab.page.keyboard.press("ArrowRight")
    second = wait_for_change(lab.page, image, first)
    assert words.inner_text() != said
    lab.page.keyboard.press("ArrowLeft")
    assert wait_for_change(lab.page, image, second) == first
    assert lab.page_errors == []
