"""Ask a patch: move over an image and see what each patch says, and which others say the same."""

from __future__ import annotations

from functools import lru_cache

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minibag.bag import BagPredictor, finite
from minibag.data import ImageSet
from minibag.figures.game import counted, crop, framed, patch_page, still
from minibag.figures.html import darkest, overlay
from minibag.widgets.base import Redrawn

REFERENCE = 200  # images whose patches are compared, unless others are given


class EvidenceExplorer(Redrawn):
    """Pick an image and a class, move a patch: its evidence, the image's, and its nearest patches.

    Nearest are the patches that the model votes for most alike: those with the smallest Euclidean
    distance between their vectors of evidence, one of an image and none of the image itself.
    Patches of the same word say the same: which of them are shown is drawn at random.

    Parameters
    ----------
    images : ImageSet to look at
    model : any bag model, of words or a BagNet
    reference : images whose patches are compared, all of them; None takes at most 200 of
        ``images``. Their evidence is computed once, here
    k : how many nearest patches are shown

    Raises
    ------
    ValueError
        If there are no images, no reference images, k is below 1, or evidence is not finite.
    """

    def __init__(
        self, images: ImageSet, model: BagPredictor, reference: ImageSet | None = None, *,
        k: int = 8,
    ) -> None:  # fmt: skip
        if reference is None:
            reference = images.subset(min(len(images), REFERENCE))
        # Among patches that are equally near, no class comes first.
        reference = reference[np.random.default_rng(0).permutation(len(reference))]
        if not len(images) or not len(reference) or k < 1:
            counts = f"{len(images)}, {len(reference)} and k={k}"
            raise ValueError(f"expected images, reference images and k of at least 1, got {counts}")
        self.images, self.model, self.reference, self.k = images, model, reference, k
        self.grid = model.grid(images.images.shape[1:3])
        self.votes = np.moveaxis(finite(model.evidence(reference.images)), 1, 3)  # (R, h, w, C)
        self.evidence = lru_cache(32)(self._evidence)
        best = int(self.evidence(1).mean((1, 2)).argmax())
        names = [(name, c) for c, name in enumerate(model.classes)]
        ends = {"Image": len(images), "Patch row": self.grid.shape[0],
                "Patch column": self.grid.shape[1]}  # fmt: skip
        image, row, column = (widgets.IntSlider(1, 1, n, description=d) for d, n in ends.items())
        menu = widgets.Dropdown(options=names, value=best, description="Evidence for")
        controls = {"image": image, "target": menu, "row": row, "column": column}
        super().__init__(self.page, controls, self.twin_of)
        self.strongest = widgets.Button(
            description="Go to the strongest patch", layout={"width": "auto"}
        )
        self.strongest.on_click(lambda _: self.attempt(self.go_to_strongest))
        for control in (menu, row, column):
            control.layout.width = "18em"
        wrap = {"flex_flow": "row wrap"}
        lines = ([image, self.strongest], [menu, row, column])
        boxes = (widgets.HBox(line, layout=wrap) for line in lines)
        self.children = (self.look, *boxes, self.view, self.text)
        self.go_to_strongest()

    def go_to_strongest(self) -> None:
        """Move to the patch of the image with the most evidence for the class."""
        maps = self.evidence(self.values["image"])[self.values["target"]]
        row, column = divmod(int(maps.argmax()), maps.shape[1])
        self.controls["row"].value, self.controls["column"].value = row + 1, column + 1

    def nearest(self, image: int, row: int, column: int) -> list[tuple[NDArray[np.uint8], str]]:
        """Return the patches that say most alike, one of an image, with class and distance."""
        logits = self.evidence(image)[:, row - 1, column - 1]
        distances = np.linalg.norm(self.votes - logits, axis=3)
        pixels, images = self.images.images[image - 1], self.reference.images
        if images.shape[1:] == pixels.shape:
            distances[(images == pixels).all((1, 2, 3))] = np.inf  # the image itself
        grid, found = self.model.grid(images.shape[1:3]), []
        for r in np.argsort(distances.min((1, 2)), kind="stable")[: self.k]:
            i, j = divmod(int(distances[r].argmin()), grid.shape[1])
            name, away = self.reference.classes[self.reference.labels[r]], distances[r, i, j]
            if np.isfinite(away):
                found.append((crop(images[r], grid, (i, j)), f"{name}\n{away:.2f} away"))
        return found

    def places(
        self, image: int, target: int, row: int, column: int
    ) -> list[tuple[NDArray[np.uint8], str]]:
        """Return the image and the evidence with the patch framed, and the patch."""
        pixels, cell = self.images.images[image - 1], (row - 1, column - 1)
        maps = self.grid.paint(self.evidence(image), pixels.shape[:2])
        painted = overlay(pixels, maps[target], darkest(maps))
        name = self.images.classes[self.images.labels[image - 1]]
        return [
            (framed(pixels, self.grid, [cell]), f"The image: {name}"),
            (framed(painted, self.grid, [cell]), f"Evidence for {self.model.classes[target]}"),
            (crop(pixels, self.grid, cell), "The patch"),
        ]

    def page(self, image: int, target: int, row: int, column: int) -> tuple[str, str]:
        """Return all there is to see of the patch in this row and column, and in words."""
        classes, evidence = self.model.classes, self.evidence(image)
        name = self.images.classes[self.images.labels[image - 1]]
        patch, whole, q = evidence[:, row - 1, column - 1], evidence.mean((1, 2)), self.grid.size
        said = {"The patch says": patch, "The image says (mean of all)": whole}
        text = (
            f"The patch in row {row}, column {column}, {q} x {q} pixels, says {patch[target]:+.2f} "
            f"for {classes[target]}, and most for {classes[patch.argmax()]}. The image, the mean "
            f"of {counted(len(self.grid), 'patch')}, says {whole[target]:+.2f}."
        )
        truth = classes.index(name) if name in classes else None
        pictures = self.places(image, target, row, column), self.nearest(image, row, column)
        return patch_page(*pictures, said, classes, truth), text

    def twin_of(self, **values: int) -> tuple[Figure, str]:
        """Return the same pictures as a figure, and the same words."""
        text = self.page(**values)[1]
        near = self.nearest(values["image"], values["row"], values["column"])
        return still([*self.places(**values), *near], text), text

    def _evidence(self, image: int) -> NDArray[np.floating]:
        """Return what the model says of an image, counted from 1: (C, h, w)."""
        return finite(self.model.evidence(self.images.images[image - 1 : image]))[0]
