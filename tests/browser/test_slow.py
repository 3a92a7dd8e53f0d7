"""A model that takes most of a second for each picture: nobody waits for old ones."""

import time

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.cases import DRAWING
from tests.browser.lab import Area

# Looks at every frame: a test that asks now and then may miss the half second of a drawing.
NOTE_WORKING = """() => {
    const look = () => {
        const busy = document.querySelector('.minibag-busy');
        window.worked = busy !== null && getComputedStyle(busy).visibility == 'visible';
        if (!window.worked) requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture
def area(lesson) -> Area:
    return Area(lesson("slow.ipynb").page, "Grey")


def test_a_key_held_down_draws_the_last_value_and_few_others(area: Area):
    area.page.evaluate(NOTE_WORKING)
    area.control("Grey").focus()
    start = time.monotonic()
    for _ in range(30):
        area.page.keyboard.down("ArrowRight")
    area.page.keyboard.up("ArrowRight")
    held = time.monotonic() - start
    expect(area.says).to_contain_text("30 in drawing")
    assert area.page.evaluate("window.worked")
    (picture,) = area.pictures()
    assert np.unique(picture) == 5 * 30
    # The widget's first and its stand-in's, those begun while the key was down, the last value's.
    assert int(area.says.inner_text().split()[-1]) <= 2 + (1 + held // DRAWING) + 1 < 30
    assert area.value("Grey") == 30


def test_an_error_stands_in_the_widget_until_the_next_good_value(area: Area):
    area.drag("Grey", 44)
    expect(area.says).to_contain_text("44 in drawing")
    area.press("Grey", "ArrowRight")
    expect(area.at.get_by_role("alert")).to_have_text("ValueError: 45 is too much")
    area.press("Grey", "ArrowRight")
    expect(area.says).to_contain_text("46 in drawing")
    expect(area.at.get_by_role("alert")).to_have_count(0)
