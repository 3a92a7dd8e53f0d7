"""What every widget of the course shares: labelled controls above a picture and a line of text.

A widget is a thin shell around a figure function. The picture is a core `ipywidgets.Image` (it
redraws in JupyterLab, Notebook, VS Code and Voilà alike); the text below it says the same in words.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def png(figure: Figure, dpi: int = 90) -> bytes:
    """Return a figure as PNG bytes and close it, so that redrawing does not pile up figures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return buffer.getvalue()


class Redrawn(widgets.VBox):
    """Controls above a picture that is drawn again whenever one of them changes.

    Parameters
    ----------
    draw : callable
        Gets the control values by keyword, returns ``(figure, text)``: the picture and one or two
        sentences that say what it shows, read aloud by screen readers after every change.
    controls : dict of ipywidgets controls
        By the name under which ``draw`` expects the value. Each needs a ``description``, its
        visible label; core sliders, dropdowns and checkboxes are reached with Tab and arrow keys.

    Raises
    ------
    ValueError
        If a control has no description. Errors of the first drawing are raised as they are; an
        error in a later one stands in the widget, in place of the text, until the next change.
    """

    def __init__(
        self,
        draw: Callable[..., tuple[Figure, str]],
        controls: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.add_class("minibag-widget")  # where styles and browser tests find it
        self.draw, self.controls = draw, dict(controls)
        # At its own size: a VBox would stretch it over the whole window.
        layout = {"max_width": "100%", "align_self": "flex-start"}
        self.picture = widgets.Image(format="png", layout=layout)
        self.text = widgets.HTML()
        for name, control in self.controls.items():
            if not control.description:
                raise ValueError(f"control {name!r} needs a description, its visible label")
            control.style.description_width = "initial"
            control.layout.width, control.layout.max_width = "34em", "100%"
            control.observe(self._on_change, names="value")
        self.children = (*self.controls.values(), self.picture, self.text)
        self._redraw()

    def _redraw(self) -> None:
        figure, text = self.draw(**{name: c.value for name, c in self.controls.items()})
        self.picture.value = png(figure)
        self.text.value = f'<div role="status">{html.escape(text)}</div>'

    def _on_change(self, _change: object) -> None:
        # A callback has no cell to raise into: the reader must see the error in the widget itself.
        try:
            self._redraw()
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            self.text.value = f'<div role="alert" style="color:#a34700"><b>{message}</b></div>'
