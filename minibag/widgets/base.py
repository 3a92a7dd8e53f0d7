"""What every widget of the course shares: labelled controls above a view and a line of text.

A widget is a thin shell around a pure function of its controls. The view is one core
`ipywidgets.HTML` that is replaced as a whole (JupyterLab, Notebook, VS Code and Voilà redraw it
alike, and never show half a change); the text below it says the same in words.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakSet

import ipywidgets as widgets
from IPython import get_ipython
from matplotlib.figure import Figure

from minibag.figures.base import compact
from minibag.figures.html import img, png

# What no trait of ipywidgets (8.1) can mend: screen readers call a control by its label, and only
# a slider's label is not tied to it; Notebook 7 and JupyterLab take the arrow keys of sliders and
# menus for their cells, unless told not to. Parts of a widget may come late, hence the observer.
MEND = """
    const area = this.closest('.minibag-widget');
    const mend = () => area.querySelectorAll('[role=slider], select').forEach(control => {
        const label = control.closest('.widget-inline-hbox')?.querySelector('label');
        if (label) control.setAttribute('aria-label', label.textContent);
        control.setAttribute('data-lm-suppress-shortcuts', 'true');
    });
    new MutationObserver(mend).observe(area, {childList: true, subtree: true});
    mend();
"""
# Large type for the back row; colours of the page's theme, dark ones too. "Working" only shows
# after 0.4 s, so that it does not flicker while a fast model answers a slider.
STYLE = """
.minibag-widget { --jp-widgets-font-size: 16px; --jp-widgets-inline-height: 32px; }
.minibag-widget, .minibag-widget .widget-html-content { font-size: 16px; line-height: 1.4; }
.minibag-widget { color: var(--jp-ui-font-color1, #111); padding: 4px; }
.minibag-widget .widget-label, .minibag-widget .widget-readout { color: inherit; }
.minibag-widget :focus-visible { outline: 3px solid #0b6e8a; outline-offset: 2px; }
.minibag-widget .widget-checkbox, .minibag-widget .widget-button { margin-right: 18px; }
.minibag-widget img { max-width: 100%; height: auto; }
.minibag-widget .pixels { image-rendering: pixelated; }
.minibag-busy { visibility: hidden; animation: 0s linear 0.4s forwards minibag-late; }
@keyframes minibag-late { to { visibility: visible; } }
.minibag-error { color: #a33400; background: #fff; padding: 2px 6px; font-weight: bold; }
"""
BUSY = '<div class="minibag-busy">Working …</div>'


_MADE: dict[str, tuple[str, WeakSet[Redrawn]]] = {}  # by cell: its last run, and what that made


def _replace_earlier_run(widget: Redrawn) -> None:
    """Close what an earlier run of the same cell made: its output is gone from the page."""
    ask = getattr(get_ipython(), "get_parent", None)  # outside a kernel there is none
    request = ask() if ask else {}
    cell = request.get("metadata", {}).get("cellId")
    if not cell:
        return
    run = request["header"]["msg_id"]
    before, made = _MADE.get(cell, (run, WeakSet()))
    if before != run:
        for old in list(made):
            old.close()
        made = WeakSet()
    made.add(widget)
    _MADE[cell] = run, made


class Redrawn(widgets.VBox):
    """Controls above a view that is drawn again whenever one of them changes.

    While a drawing takes its time, the page keeps only the newest value of a control and sends it
    when the drawing is done: dragging never piles up old frames.

    Parameters
    ----------
    draw : callable
        Gets the control values by keyword, returns ``(view, text)``: a figure or HTML, and one or
        two sentences that say what it shows, read aloud by screen readers after every change.
    controls : dict of ipywidgets controls
        By the name under which ``draw`` expects the value. Each needs a ``description``, its
        visible label; core sliders, dropdowns and checkboxes are reached with Tab and arrow keys.
    twin : callable
        Gets the same values, returns ``(figure, alt)``: what stands in for the widget on pages
        without a kernel (a stored notebook, a printed one); not needed if ``draw`` returns figures

    Raises
    ------
    ValueError
        If a control has no description. Errors of the first drawing are raised as they are; an
        error in a later one stands in the widget, in place of the text, until the next change.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[Figure | str, str]],
        controls: Mapping[str, Any],
        twin: Callable[..., tuple[Figure, str]] | None = None,
    ) -> None:
        super().__init__()
        self.add_class("minibag-widget")  # where styles and browser tests find it
        self.draw, self.controls = draw, dict(controls)
        self.twin: Callable[..., tuple[Figure | str, str]] = twin or draw
        style = f'<style onload="{MEND}">{STYLE}</style>'
        self.look = widgets.HTML(style, layout={"display": "none"})
        self.view = widgets.HTML()
        self.text = widgets.HTML()
        for name, control in self.controls.items():
            if not control.description:
                raise ValueError(f"control {name!r} needs a description, its visible label")
            control.style.description_width = "initial"
            control.layout.width, control.layout.max_width = "34em", "100%"
            control.observe(lambda _: self.attempt(self.redraw), names="value")
        self.children = (self.look, *self.controls.values(), self.view, self.text)
        self.redraw()
        _replace_earlier_run(self)

    def close(self) -> None:
        """Let go of this widget and all its parts, with what they hold.

        ipywidgets keeps every part alive until it is closed itself. Running a cell again closes
        what its last run made.
        """
        parts: list[widgets.Widget] = [self]
        for part in parts:  # grows meanwhile
            values = (getattr(part, name) for name in part.keys)
            lines = (value if isinstance(value, tuple) else (value,) for value in values)
            found = (p for line in lines for p in line if isinstance(p, widgets.Widget))
            parts += dict.fromkeys(p for p in found if p not in parts)
        for part in parts[1:]:
            part.close()
        super().close()

    @property
    def values(self) -> dict[str, Any]:
        """What the controls say now, by name."""
        return {name: control.value for name, control in self.controls.items()}

    def redraw(self) -> None:
        """Draw what the controls say."""
        view, text = self.draw(**self.values)
        self.view.value = img(view, text) if isinstance(view, Figure) else view
        self.say(text)

    def say(self, text: str) -> None:
        """Show one or two sentences below the view."""
        self.text.value = f'<div role="status">{html.escape(text)}</div>'

    def attempt(self, action: Callable[[], None]) -> None:
        """Do what a control or a button asks for; show an error in the widget, if there is one.

        A callback has no cell to raise into: the reader must see the error in the widget itself.
        """
        before, self.text.value = self.text.value, BUSY
        try:
            action()
            if self.text.value == BUSY:  # there was nothing to say
                self.text.value = before
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            self.text.value = f'<div role="alert" class="minibag-error">{message}</div>'

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Add a picture of what the controls say for pages without a kernel."""
        bundle = super()._repr_mimebundle_(**options)
        figure, alt = self.twin(**self.values)
        if isinstance(figure, str):
            return bundle
        picture = base64.b64encode(compact(png(figure))).decode()
        stand_in = {"image/png": picture, "text/plain": alt}
        return {**bundle, **stand_in}, {"image/png": {"alt": alt}}
