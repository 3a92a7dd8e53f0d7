"""The widget for the stage: scramble a picture, and see which models still know what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.bag import BagPredictor, PatchGrid, Predictor, finite
from minibag.data import ImageSet, critters, imagenette
from minibag.data.imagenette import find_imagenette
from minibag.data.names import difference
from minibag.experiments import scramble
from minibag.figures.html import png
from minibag.figures.stage import Answer, Scene, explorer, page
from minibag.machine import expand, give_back_memory, whole_file
from minibag.nets import load
from minibag.widgets.base import Redrawn

GRIDS = (1, 2, 3, 4, 6, 8, 12, 16)  # of the curve
ZOO = {
    "words": "words",
    "BagNet-5": "bagnet5",
    "BagNet-9": "bagnet9",
    "BagNet-17": "bagnet17",
    "ResNet": "resnet",
    "VGG": "vgg",
    "DenseNet": "densenet",
}
SHOWN = ("words", "BagNet-9", "ResNet")  # side by side at the start
Floats = NDArray[np.floating]
Collections = Mapping[str, tuple[ImageSet, Mapping[str, Predictor | str]]]


def class_size(n: int = 200) -> dict[str, tuple[ImageSet, dict[str, Predictor | str]]]:
    """Return critters, and photographs of Imagenette if they are here, with the zoo's models.

    About ``n`` images of 64 x 64 pixels each, in mixed order; no model learned from them.
    """
    sets: dict[str, ImageSet] = {"critters": critters("test", n, 64)}
    with suppress(FileNotFoundError):  # without them there are critters
        find_imagenette()
        sets["Imagenette"] = imagenette("val", 64, limit=-(-n // 10))
    return {
        name: (
            images[np.random.default_rng(0).permutation(len(images))],
            {shown: f"{name.lower()}-{model}" for shown, model in ZOO.items()},
        )
        for name, images in sets.items()
    }


class ScrambleExplorer(Redrawn):
    """Pick a picture, cut it into cells, shuffle them: evidence, answers and their curve.

    Parameters
    ----------
    collections : by name, images with their models by name: any `Predictor` with the classes of
        the images, or what `minibag.load` takes. None is `class_size()`
    folder : where the button saves pictures; signs in a collection's name that are no letters
        and might lead elsewhere become codes such as %2F

    Raises
    ------
    ValueError
        If there is no collection, or one has no images or no models.
    """

    def __init__(self, collections: Collections | None = None, folder: str | Path = ".") -> None:
        self.collections = class_size() if collections is None else dict(collections)
        if not self.collections or not all(len(i) and m for i, m in self.collections.values()):
            raise ValueError("give at least one collection, each with images and models")
        self.folder = expand(folder)
        self.model = lru_cache(None)(self._model)
        self.said = lru_cache(512)(self._said)  # a slider moved back has its answers at once
        self.curves: dict[tuple[Any, ...], Floats] = {}
        names = dict.fromkeys(n for _, models in self.collections.values() for n in models)
        shown = [n for n in SHOWN if n in names] or list(names)[:3]
        self.boxes = {n: widgets.Checkbox(n in shown, description=n, indent=False) for n in names}
        menu = widgets.Dropdown(options=list(self.collections), description="Pictures from")
        hidden = "Ask first: hide the original and all answers"
        super().__init__(
            lambda **values: (page(scene := self.scene(**values)), scene.text()),
            {
                "collection": menu,
                "picture": widgets.IntSlider(1, 1, 1000, description="Picture"),
                "grid": widgets.IntSlider(1, 1, 16, description="Cells a side"),
                "seed": widgets.IntSlider(0, 0, 99, description="Another shuffle"),
                "rotate": widgets.Checkbox(False, description="Also turn the cells", indent=False),
                "hidden": widgets.Checkbox(False, description=hidden, indent=False),
                **self.boxes,
            },
            twin=self.twin_of,
        )
        self.save = widgets.Button(description="Save this picture")
        self.save.on_click(lambda _: self.attempt(self.save_picture))
        self._arrange()

    def _arrange(self) -> None:
        """Sliders side by side, one line of boxes and the button, one line of models."""
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        *sliders, rotate, hidden = (c for n, c in self.controls.items() if n not in self.boxes)
        for slider in sliders:
            slider.layout.width = "28em"
        for control in (rotate, hidden, self.save, *self.boxes.values()):
            control.layout.width = "auto"
        self.children = (
            self.look,
            widgets.HBox(sliders, layout=wrap),
            widgets.HBox([rotate, hidden, self.save], layout=wrap),
            widgets.HBox([widgets.HTML("Models:"), *self.boxes.values()], layout=wrap),
            self.view,
            self.text,
        )

    def scene(
        self,
        collection: str,
        picture: int,
        grid: int,
        seed: int,
        rotate: bool,
        hidden: bool,
        **chosen: bool,
    ) -> Scene:
        """Return all that there is to see; the sliders end where the collection does."""
        images, models = self.collections[collection]
        self.controls["picture"].max = len(images)
        self.controls["grid"].max = side = min(16, *images.images.shape[1:3])
        grid = min(grid, side)
        for name, box in self.boxes.items():
            box.layout.display = None if name in models else "none"
        n = min(picture, len(images)) - 1
        names = [] if hidden else [name for name in models if chosen[name]]
        return Scene(
            original=images.images[n],
            scrambled=scramble(images.images[n], grid, seed, rotate=rotate),
            classes=images.classes,
            truth=int(images.labels[n]),
            name=f"Picture {n + 1}",
            grid=grid,
            grids=self.grids(collection),
            answers={name: self.answer(collection, name, n, grid, seed, rotate) for name in names},
            curves={name: self.curves.get((collection, name, n, seed, rotate)) for name in names},
            hidden=hidden,
        )

    def redraw(self) -> None:
        """Show the picture and the answers at once; then work out the curve, if it is a new one."""
        super().redraw()
        v = self.values
        key = v["picture"] - 1, v["seed"], v["rotate"]
        names = [n for n in self.collections[v["collection"]][1] if v[n] and not v["hidden"]]
        shown = {(v["collection"], n, *key) for n in names}
        if not shown <= self.curves.keys():
            self.curves = dict([*self.curves.items()][-512:])  # those of the last few minutes
            self.curves |= {of: self.curve(*of) for of in shown - self.curves.keys()}
            give_back_memory()
            super().redraw()

    def grids(self, collection: str) -> tuple[int, ...]:
        """Return the grids of the curve that the images of a collection allow."""
        side = min(self.collections[collection][0].images.shape[1:3])
        return tuple(grid for grid in GRIDS if grid <= side)

    def _model(self, collection: str, name: str) -> Predictor:
        """Return a model, read from its file when it is first asked for."""
        images, models = self.collections[collection]
        found = models[name]
        model = load(found) if isinstance(found, str) else found
        if apart := difference(model.classes, images.classes):
            raise ValueError(f"the images do not have the classes of {name}: {apart}")
        return model

    def answer(self, collection: str, name: str, *shown: Any) -> Answer:
        """Return what a model says of an image (its number, grid, seed, rotate), evidence painted.

        What was said is kept, not what is painted: that would be a lot for large images.
        """
        probabilities, evidence, grid = self.said(collection, name, *shown)
        shape = self.collections[collection][0].images.shape[1:3]
        return Answer(probabilities, None if grid is None else grid.paint(evidence, shape))

    def _said(
        self, collection: str, name: str, n: int, grid: int, seed: int, rotate: bool
    ) -> tuple[Floats, Any, PatchGrid | None]:
        """Return probabilities for image n, scrambled; of a bag also its evidence and grid."""
        images, model = self.collections[collection][0], self.model(collection, name)
        batch = scramble(images.images[n], grid, seed, rotate=rotate)[None]
        probabilities = finite(model.predict_proba(batch)[0], name)
        # Words have the methods of a bag with every encoding, but not always the evidence.
        if not isinstance(model, BagPredictor) or getattr(model, "mixes_patches", False):
            return probabilities, None, None
        evidence = model.evidence(batch)[0, images.labels[n]].copy()  # and not of all classes
        return probabilities, evidence, model.grid((batch.shape[1], batch.shape[2]))

    def curve(self, collection: str, name: str, n: int, seed: int, rotate: bool) -> Floats:
        """Return the probability of the true class of image n at all grids."""
        images, model = self.collections[collection][0], self.model(collection, name)
        batch = [
            scramble(images.images[n], grid, seed, rotate=rotate) for grid in self.grids(collection)
        ]
        return finite(model.predict_proba(np.stack(batch)), name)[:, images.labels[n]]

    def twin_of(self, **values: Any) -> tuple[Figure, str]:
        """Return the same as a figure, and in words."""
        scene = self.scene(**values)
        return explorer(scene), scene.text()

    def save_picture(self) -> None:
        """Write what the widget shows to a PNG file, and say where."""
        v = self.values
        name = re.sub(r"[^\w .-]", lambda sign: f"%{ord(sign[0]):02X}", v["collection"])
        path = self.folder / f"{name}-{v['picture']}-in-{v['grid']}x{v['grid']}.png"
        figure, _ = self.twin_of(**v)
        with whole_file(path) as part:
            part.write_bytes(png(figure))
        self.say(f"Saved as {path}.")
