"""Be the BagNet: name the class of an image from a few of its patches, as a bag model has to."""

from __future__ import annotations

import csv
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from minibag.bag import BagPredictor, finite
from minibag.data import ImageSet
from minibag.data.names import difference
from minibag.figures.game import Round, counted, framed, game, still
from minibag.machine import expand, whole_file
from minibag.widgets.answers import COLUMNS, plain
from minibag.widgets.base import Redrawn


class BeTheBagNet(Redrawn):
    """The game: see patches of an image one by one, name its class, compare with the BagNet.

    All classes are drawn equally often, whatever the set holds, and no image twice before all of
    its class were shown. Patches lie side by side in random order, for a bag has no places. The
    BagNet answers from the same patches: the mean of its evidence over them.

    "Save my answers" writes one CSV file a game, whole or not at all, and writes it anew when it
    is pressed again. It holds no names of people or places, one line for each answer:

    round : 1 for the first picture
    q : side of the patches in pixels
    patches : how many were shown before the answer
    classes : number of classes to choose from; chance is one of them
    class, guess, bagnet : names of the true class, the player's and the BagNet's
    right, bagnet_right : 1 or 0

    Parameters
    ----------
    images : ImageSet that the models did not learn from
    models : BagNets, or other bags, by the side q of their patches; None takes those of the zoo
        that know the classes of the images
    rounds : pictures until the result; playing on is possible
    folder : where answers are saved; made if it is missing
    seed : the same seed gives the same pictures, and the same patches at the same q

    Raises
    ------
    ValueError
        If there are no images, rounds is below 1, no model knows the classes, or a model has
        other classes or patches than was said.
    """

    def __init__(
        self, images: ImageSet, models: Mapping[int, BagPredictor] | None = None, *,
        rounds: int = 10, folder: str | Path = "answers", seed: int | None = None,
    ) -> None:  # fmt: skip
        if not len(images) or rounds < 1:
            raise ValueError(f"the game needs images and rounds, got {len(images)} and {rounds}")
        self.images, self.rounds, self.folder = images, rounds, expand(folder)
        self.models = checked(images, zoo_bagnets(images.classes) if models is None else models)
        self.rng = np.random.default_rng(seed)
        self.waiting: dict[int, list[int]] = defaultdict(list)  # images by label, not yet shown
        self.file = f"be-the-bagnet-{secrets.token_hex(4)}.csv"
        self.answers: list[tuple[Any, ...]] = []
        self.more = self._button("Show one more patch", self.show_more)
        self.next = self._button("Next picture", self.next_picture)
        self.save = self._button("Save my answers", self.save_answers)
        self.guesses = [
            self._button(name, partial(self.guess, c)) for c, name in enumerate(images.classes)
        ]
        sizes = [(f"{q} x {q} pixels", q) for q in sorted(self.models)]
        middle = sizes[len(sizes) // 2][1]
        menu = widgets.Dropdown(options=sizes, value=middle, description="Patch size q")
        self.deal(middle)
        super().__init__(self.page, {"q": menu}, twin=self.twin_of)
        menu.layout.width = "auto"
        wrap = {"flex_flow": "row wrap", "align_items": "center"}
        ask = widgets.HTML("Your guess:")
        lines = ([menu, self.more, self.next, self.save], [ask, *self.guesses])
        boxes = (widgets.HBox(line, layout=wrap) for line in lines)
        self.children = (self.look, *boxes, self.view, self.text)

    def _button(self, label: str, action: Callable[[], None]) -> widgets.Button:
        button = widgets.Button(description=label, layout={"width": "auto", "height": "40px"})
        # The second click of a double click comes when the button is out of its turn.
        button.on_click(lambda _: None if button.disabled else self.attempt(action))
        return button

    def deal(self, q: int) -> None:
        """Draw a picture and the order of its patches, and show the first one."""
        label = int(self.rng.choice(np.unique(self.images.labels)))
        if not self.waiting[label]:
            mine = np.flatnonzero(self.images.labels == label)
            self.waiting[label] = self.rng.permutation(mine).tolist()
        image = self.images.images[self.waiting[label].pop()]
        grid = self.models[q].grid(image.shape[:2])
        evidence = finite(self.models[q].evidence(image[None]))
        # A child of its own: pictures to come do not depend on how many patches there are.
        order = self.rng.spawn(1)[0].permutation(list(np.ndindex(grid.shape)))
        self.order = [(int(i), int(j)) for i, j in order]
        cells = tuple(self.order[:1])
        self.round = Round(image, grid, cells, self.images.classes, label, evidence[0])

    @property
    def fresh(self) -> bool:
        """Whether the game is at its very start, where the patch size may still be chosen."""
        return not self.answers and len(self.round.cells) == 1

    def redraw(self) -> None:
        """Show the round; another patch size at the very start deals another picture."""
        q = self.values["q"]
        if self.fresh and q != self.round.grid.size:
            self.deal(q)
        super().redraw()
        asking = self.round.guess is None
        self.controls["q"].disabled = asking and not self.fresh
        self.more.disabled = not asking or len(self.round.cells) == len(self.order)
        for button in self.guesses:
            button.disabled = not asking
        self.next.disabled, self.save.disabled = asking, not self.answers
        self.next.description = "Play on" if self.over else "Next picture"

    @property
    def over(self) -> bool:
        """Whether the result is due: the last round of the game was just answered."""
        return self.round.guess is not None and len(self.answers) == self.rounds

    def show_more(self) -> None:
        """Show one more patch of the picture."""
        n = len(self.round.cells) + 1
        self.round = replace(self.round, cells=tuple(self.order[:n]))
        self.redraw()
        if self.more.disabled:
            self.guesses[0].focus()

    def guess(self, label: int) -> None:
        """Answer with a class; the truth comes out."""
        self.round = seen = replace(self.round, guess=label)
        truth, guess, bag = (seen.classes[c] for c in (seen.truth, label, seen.logits.argmax()))
        sizes = len(self.answers) + 1, seen.grid.size, len(seen.cells), len(seen.classes)
        self.answers.append((*sizes, truth, guess, int(guess == truth), bag, int(bag == truth)))
        self.redraw()
        (self.save if self.over else self.next).focus()  # its own button has just been disabled

    def next_picture(self) -> None:
        """Go on with another picture, at the patch size of the menu."""
        self.deal(self.values["q"])
        self.redraw()
        self.more.focus()

    @property
    def right(self) -> tuple[int, int]:
        """How many answers of yours were right, and how many of the BagNet's."""
        you, bag = (COLUMNS.index(name) for name in ("right", "bagnet_right"))
        return sum(a[you] for a in self.answers), sum(a[bag] for a in self.answers)

    def title(self) -> str:
        """Return where in the game we are, and who has won."""
        you, bag = self.right
        if self.over:
            return "You win!" if you > bag else "The BagNet wins!" if bag > you else "A draw!"
        number = len(self.answers) + (self.round.guess is None)
        return f"Picture {number}" + (f" of {self.rounds}" if number <= self.rounds else "")

    def page(self, q: int) -> tuple[str, str]:
        """Return the view of the round as HTML, and in words."""
        n, title, text = len(self.answers), self.title(), self.round.text()
        score = "you {} of {n}, BagNet {} of {n}".format(*self.right, n=n) if n else ""
        text += f" Score: {score}." if n else ""
        text += f" {title} Save your answers for the class, or play on." if self.over else ""
        return game(self.round, title, score), text

    def twin_of(self, q: int) -> tuple[Figure, str]:
        """Return the view of the round as a figure, and in words."""
        seen, text = self.round, self.page(q)[1]
        pictures = [(patch, f"patch {i}") for i, patch in enumerate(seen.patches, 1)]
        if seen.guess is not None:
            whole = framed(seen.image, seen.grid, seen.cells)
            pictures.insert(0, (whole, seen.classes[seen.truth]))
        return still(pictures, text), text

    def save_answers(self) -> None:
        """Write all answers of this game to its file, and say where that is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / self.file
        rows = [[plain(value) for value in answer] for answer in self.answers]
        with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        self.say(f"Saved {counted(len(self.answers), 'answer')} as {path}.")


def zoo_bagnets(classes: tuple[str, ...]) -> dict[int, BagPredictor]:
    """Return the BagNets that came with minibag for these classes, by patch size."""
    from minibag.nets import BagNetPredictor, list_models, load

    models = [load(name) for name in list_models() if re.fullmatch(r".*-bagnet\d+", name)]
    bags = [m for m in models if isinstance(m, BagNetPredictor) and m.classes == classes]
    return {bag.grid((64, 64)).size: bag for bag in bags}


def checked(images: ImageSet, models: Mapping[int, BagPredictor]) -> dict[int, BagPredictor]:
    """Return the models if they fit the images, ValueError otherwise."""
    if not models:
        raise ValueError(
            f"no BagNet came with minibag for {images.classes}: give models={{q: bag}}"
        )
    for q, model in models.items():
        size = model.grid(images.images.shape[1:3]).size
        if size != q:
            raise ValueError(f"expected a model of patch size {q}, got {size}")
        if apart := difference(model.classes, images.classes):
            raise ValueError(f"the images do not have the classes of the model of {q}: {apart}")
    return dict(models)
