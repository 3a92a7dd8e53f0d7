"""A model that is slower than the hand: nobody waits for old pictures."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.browser.cases import HOLD
from tests.browser.lab import Area


@pytest.fixture
def area(lesson) -> Area:
    return Area(lesson("slow.ipynb").page, "Grey")


def test_a_key_held_down_draws_the_last_value_and_none_between(area: Area, course: Path):
    hold = course / "my" / HOLD
    hold.touch()
    area.control("Grey").focus()
    for _ in range(30):
        area.page.keyboard.down("ArrowRight")
    area.page.keyboard.up("ArrowRight")
    expect(area.at.locator(".minibag-busy")).to_be_visible()
    hold.unlink()
    expect(area.says).to_contain_text("30 in drawing")
    (picture,) = area.pictures()
    assert np.unique(picture) == 5 * 30
    # The widget's first and its stand-in's, the one that the key began, the last value's.
    assert area.says.inner_text().split()[-1] == "4"
    assert area.value("Grey") == 30


def test_an_error_stands_in_the_widget_until_the_next_good_value(area: Area):
    area.drag("Grey", 44)
    expect(area.says).to_contain_text("44 in drawing")
    area.press("Grey", "ArrowRight")
    expect(area.at.get_by_role("alert")).to_have_text("ValueError: 45 is too much")
    area.press("Grey", "ArrowRight")
    expect(area.says).to_contain_text("46 in drawing")
    expect(area.at.get_by_role("alert")).to_have_count(0)
