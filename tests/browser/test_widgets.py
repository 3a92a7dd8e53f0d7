"""Every widget of the course answers keys and mouse with the right picture, and can be read."""

import pytest

from tests.browser.cases import CASES, GAME, Case, Place
from tests.browser.lab import Area


@pytest.mark.parametrize("case", CASES, ids=str)
def test_keys_and_mouse_lead_to_the_right_pictures_and_numbers(lesson, case: Case):
    case.check_moves(Area(lesson(case.notebook).page, case.mark))


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("place", [*CASES, GAME], ids=str)
def test_a_widget_can_be_read_and_reached(lesson, place: Place, theme: str):
    lab = lesson(place.notebook)
    lab.theme(theme)
    assert Area(lab.page, place.mark).faults(f"{place}-{theme.lower()}") == []
