"""The widget of lesson 06: stack layers and watch how far a unit sees."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from minibag.figures.receptive import cone, maps_of
from minibag.nets.receptive import receptive_field
from minibag.widgets.base import Redrawn

KINDS = {  # (kernel, stride, dilation) by the name in the menu
    "1x1": (1, 1, 1),
    "3x3": (3, 1, 1),
    "3x3, stride 2": (3, 2, 1),
    "3x3, dilation 2": (3, 1, 2),
    "5x5": (5, 1, 1),
    "7x7, stride 2": (7, 2, 1),
    "2x2 pool, stride 2": (2, 2, 1),
}
NONE = "(no layer)"


class ReceptiveFieldBuilder(Redrawn):
    """Menus for up to six layers, a slider for the unit, and a goal to reach.

    Parameters
    ----------
    image : (S, S, 3) uint8
        The picture that the stack looks at.
    layers : names from ``KINDS``, the stack at the start
    goal : (q, stride) to reach

    Raises
    ------
    ValueError
        If there are more than six layers, a name is unknown, or the stack does not fit the image.
    """

    def __init__(
        self,
        image: NDArray[np.uint8],
        layers: tuple[str, ...] = ("3x3", "3x3", "3x3"),
        goal: tuple[int, int] = (17, 8),
    ) -> None:
        if len(layers) > 6 or not set(layers) <= set(KINDS):
            raise ValueError(f"give up to six layers from {', '.join(KINDS)}, got {layers}")
        self.image, self.goal = image, goal
        menus = {
            f"layer{i}": widgets.Dropdown(
                options=[NONE, *KINDS], value=name, description=f"Layer {i}"
            )
            for i, name in enumerate((*layers, *[NONE] * (6 - len(layers))), start=1)
        }
        unit = widgets.IntSlider(0, 0, len(image) - 1, description="Unit (column in the last map)")
        padded = widgets.Checkbox(False, description="Pad with zeros, so that maps keep their size")
        super().__init__(self.picture_of, {"unit": unit, "padded": padded, **menus})
        for menu in menus.values():
            menu.layout.width = "17em"
        stack = widgets.HBox(
            list(menus.values()), layout={"flex_flow": "row wrap", "max_width": "56em"}
        )
        self.children = (self.look, stack, unit, padded, self.view, self.text)

    def picture_of(self, unit: int, padded: bool, **menus: str) -> tuple[Figure, str]:
        """Return the cone of a unit on the image, and the same in words."""
        names = [name for name in menus.values() if name != NONE]
        layers = [
            (k, stride, (k - 1) * dilation // 2 if padded else 0, dilation)
            for k, stride, dilation in (KINDS[name] for name in names)
        ]
        *_, (_, n) = maps_of(layers, len(self.image))
        self.controls["unit"].max = n - 1
        unit = min(unit, n - 1)
        with torch.device("meta"):
            net = nn.Sequential(*(nn.Conv2d(3, 3, *layer) for layer in layers))
        field = receptive_field(net)
        first = field.offset + unit * field.stride
        reached = (field.size, field.stride) == self.goal
        text = (
            f"q = {field.size}, stride {field.stride}, offset {field.offset}. The map has "
            f"{n} x {n} units; unit {unit} sees the columns {first} to {first + field.size - 1}. "
            f"Goal: q = {self.goal[0]} with stride {self.goal[1]}. "
            f"{'Reached!' if reached else 'Not yet.'}"
        )
        return cone(
            self.image, layers, [f"{i} · {name}" for i, name in enumerate(names, 1)], unit
        ), text
