"""What all widgets share: one that is closed, or made again by its cell, leaves nothing behind."""

import gc
import weakref

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

import minibag as mb
from minibag.figures.html import img
from minibag.widgets import base
from minibag.widgets.base import Redrawn

CRITTERS = mb.critters("test", 16)
BAGNET = mb.load("critters-bagnet9")
MAKERS = {
    "scramble": lambda: mb.widgets.ScrambleExplorer({"mine": (CRITTERS, {"bag": BAGNET})}),
    "game": lambda: mb.widgets.BeTheBagNet(CRITTERS, {9: BAGNET}),
    "evidence": lambda: mb.widgets.EvidenceExplorer(CRITTERS, BAGNET),
    "receptive": lambda: mb.widgets.ReceptiveFieldBuilder(CRITTERS.images[0]),
    "peek": lambda: mb.widgets.peek(CRITTERS),
}


def small() -> Redrawn:
    picture = img(np.zeros((2, 2, 3), np.uint8), "black")
    return Redrawn(lambda n: (picture, "black"), {"n": ipywidgets.IntSlider(description="n")})


@pytest.mark.parametrize("name", MAKERS)
def test_a_closed_widget_leaves_nothing_behind(name):
    before = set(_instances)
    widget = MAKERS[name]()
    gone = weakref.ref(widget)
    widget.close()
    widget.close()  # twice is no error
    del widget
    gc.collect()
    assert set(_instances) == before
    assert gone() is None


class Kernel:
    """Stands in for a kernel that runs cells."""

    def run(self, cell, number):
        self.request = {"metadata": {"cellId": cell}, "header": {"msg_id": f"run {number}"}}

    def get_parent(self):
        return self.request


def test_a_cell_that_is_run_again_lets_its_last_widgets_go_and_no_others(monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(base, "get_ipython", lambda: kernel)
    monkeypatch.setattr(base, "_MADE", {})
    kernel.run("a", 1)
    first, second = small(), small()
    kernel.run("b", 2)
    other = small()
    assert all(widget.comm is not None for widget in (first, second, other))
    kernel.run("a", 3)
    again = small()
    assert first.comm is None
    assert second.comm is None
    assert other.comm is not None
    assert again.comm is not None


def test_where_no_cell_is_known_nothing_is_closed(monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(base, "get_ipython", lambda: kernel)
    for number in range(2):
        kernel.request = {"header": {"msg_id": f"run {number}"}}
        widget = small()
    assert widget.comm is not None
