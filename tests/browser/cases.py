"""Every widget of the course: where it stands, how to move it, and what it must show then.

What it must show is worked out here, in the process of the tests, from the inputs that the
notebook names: by the figure functions, the models and the data of the library alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage import data, transform
from torch import nn

import minibag as mb
from minibag.figures import evidence, receptive, stage, words
from minibag.figures.html import png
from minibag.figures.stage import Answer, Scene
from minibag.widgets.evidence import EvidenceExplorer
from minibag.widgets.first import window_corner
from minibag.widgets.receptive import KINDS, NONE
from minibag.widgets.scramble import GRIDS, class_size
from tests.browser.lab import Area, eventually
from tests.pictures import pictures, pixels

View = tuple[Figure | str, *tuple[str, ...]]
Move = Callable[[Area], None]
Numbers = dict[str, float]
Pictures = Sequence[np.ndarray]
HOLD = "hold"  # the slow model draws nothing while this file is there
HALF_A_DIGIT = 0.00501  # of percents, and of logits with two places
MODELS = {"words": "critters-words", "BagNet-9": "critters-bagnet9", "ResNet": "critters-resnet"}
load = cache(mb.load)

# The cells that widgets need; the other lessons, which are shorter, are run as a whole.
CELLS = {
    "09_reading_a_bagnet.ipynb": ("import minibag as mb", "model, test =", "EvidenceExplorer("),
    "10_scrambled_images.ipynb": ("import minibag as mb", "ScrambleExplorer()", "BeTheBagNet("),
}
# Notebooks that are no lessons, written for the tests.
WRITTEN = {
    "slow.ipynb": f"""\
import time
from pathlib import Path

import ipywidgets
import numpy as np

from minibag.figures.html import img
from minibag.widgets.base import Redrawn

drawings = []


def slow(n):
    while Path({HOLD!r}).exists():
        time.sleep(0.01)
    if n == 45:
        raise ValueError("45 is too much")
    drawings.append(n)
    return img(np.full((8, 8, 3), 5 * n, np.uint8), "grey"), f"{{n}} in drawing {{len(drawings)}}"


Redrawn(slow, {{"n": ipywidgets.IntSlider(0, 0, 50, description="Grey")}})
""",
}


@dataclass(frozen=True)
class Place:
    """A widget in a notebook, found by a label that no other widget there has."""

    name: str
    notebook: str
    mark: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Case(Place):
    """A widget whose view depends on its controls alone.

    Parameters
    ----------
    labels : of the controls, by the names that ``expected`` has for their values
    expected : returns the view that belongs to these values, and what the text below it says
    moves : by key and by mouse; each must lead to another view
    numbers : returns what the tables of bars must say
    """

    labels: dict[str, str]
    expected: Callable[..., View]
    moves: tuple[Move, ...]
    numbers: Callable[..., list[Numbers]] | None = None

    def check(self, area: Area, before: Pictures = ()) -> Pictures:
        """Return the pictures shown: they, words and numbers are those of the controls' values."""
        values = {name: area.value(label) for name, label in self.labels.items()}
        view, *said = self.expected(**values)
        for text in said:
            assert text in area.says.inner_text()
        shown = area.pictures()
        wanted = [pixels(png(view))] if isinstance(view, Figure) else pictures(view)
        assert same(shown, wanted), "not the figure function's pictures"
        assert not same(shown, before), f"the pictures did not change: {values}"
        for nth, numbers in enumerate(self.numbers(**values) if self.numbers else []):
            table = area.table(nth)
            assert list(table) == list(numbers)
            assert table == pytest.approx(numbers, abs=HALF_A_DIGIT)
        return shown

    def check_moves(self, area: Area) -> None:
        """Check the widget at its start, and after every move of key and mouse."""
        seen = eventually(area.page, lambda: self.check(area))
        for move in self.moves:
            move(area)
            seen = eventually(area.page, partial(self.check, area, seen))


def same(some: Pictures, others: Pictures) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def peek(picture: int, q: int, whole: bool) -> View:
    critters = mb.critters("val", 8, seed=7)
    image, name = critters.images[picture - 1], critters.classes[critters.labels[picture - 1]]
    top, left = window_corner(critters.masks[picture - 1], 64, q)
    text = f"Picture {picture} through a window of {q} x {q} pixels"
    text += f", {100 * q * q / 64**2:.0f} % of the picture." + whole * f" Uncovered: {name}."
    return evidence.peek(image, top, left, q, whole), text


@cache
def photograph_words() -> tuple[Any, ...]:
    """Return what lesson 03 gives to its widget."""
    train = mb.photos("train", size=64, per_class=43)
    sift = mb.DenseSIFT(step=4, patch_size=16)
    grid = sift.grid((64, 64))
    descriptors = sift.transform(train.images)
    vocabulary = mb.Vocabulary(n_words=200, random_state=0).fit(descriptors)
    maps = vocabulary.predict(descriptors)
    distances = np.linalg.norm(descriptors - vocabulary.words_[maps], axis=-1)
    given = train.images, grid, maps, distances
    wall = words.wall_of_words(*given, n=8, stretched=True, sources=train.labels)
    return train, maps, grid, wall


def word(image: int, word: int) -> View:
    train, maps, grid, wall = photograph_words()
    name, use = train.classes[train.labels[image]], words.word_use(maps, image, word)
    figure = words.explore_word(train.images, maps, grid, wall, image=image, word=word)
    return figure, f"Image {image} ({name}), word {word}: {use}."


def field(unit: int, padded: bool, **menus: str) -> View:
    cat = transform.resize(data.chelsea()[:, 75:375], (64, 64), anti_aliasing=True)
    names = [name for name in menus.values() if name != NONE]
    layers = [
        (kernel, stride, padded * (kernel - 1) * dilation // 2, dilation)
        for kernel, stride, dilation in map(KINDS.get, names)
    ]
    found = mb.probe_receptive_field(nn.Sequential(*(nn.Conv2d(3, 3, *layer) for layer in layers)))
    titles = [f"{i} · {name}" for i, name in enumerate(names, 1)]
    first = found.offset + unit * found.stride
    text = f"q = {found.size}, stride {found.stride}, offset {found.offset}. The map has "
    figure = receptive.cone((255 * cat).astype(np.uint8), layers, titles, unit)
    return figure, text, f"unit {unit} sees the columns {first} to {first + found.size - 1}."


@cache
def critters() -> mb.ImageSet:
    return class_size()["critters"][0]


@cache
def curve(model: str, picture: int, seed: int, rotate: bool) -> np.ndarray:
    image, truth = critters().images[picture - 1], critters().labels[picture - 1]
    cut = [mb.scramble(image, grid, seed, rotate=rotate) for grid in GRIDS]
    return load(model).predict_proba(np.stack(cut))[:, truth]


def scrambled(picture: int, grid: int, seed: int, rotate: bool) -> View:
    images, answers = critters(), {}
    cut = mb.scramble(images.images[picture - 1], grid, seed, rotate=rotate)
    truth = int(images.labels[picture - 1])
    for name, of in MODELS.items():
        model, painted = load(of), None
        if name != "ResNet":
            painted = model.grid((64, 64)).paint(model.evidence(cut[None])[0, truth], (64, 64))
        answers[name] = Answer(model.predict_proba(cut[None])[0], painted)
    curves = {name: curve(of, picture, seed, rotate) for name, of in MODELS.items()}
    scene = Scene(
        images.images[picture - 1], cut, images.classes, truth, f"Picture {picture}",
        grid, GRIDS, answers, curves,
    )  # fmt: skip
    return stage.page(scene), scene.text()


@cache
def explorer() -> EvidenceExplorer:
    return EvidenceExplorer(mb.critters("test", 200), load("critters-bagnet9"))


def patch(target: str, **values: Any) -> View:
    return explorer().page(target=explorer().model.classes.index(target), **values)


def numbers_of_scrambled(picture: int, grid: int, seed: int, rotate: bool) -> list[Numbers]:
    """Return the five highest probabilities of each model."""
    cut = mb.scramble(critters().images[picture - 1], grid, seed, rotate=rotate)[None]
    answers = [load(of).predict_proba(cut)[0] for of in MODELS.values()]
    best = [np.argsort(-p, kind="stable")[:5] for p in answers]
    return [
        {critters().classes[c]: p[c] for c in five} for p, five in zip(answers, best, strict=True)
    ]


def numbers_of_patch(image: int, row: int, column: int, target: str) -> list[Numbers]:
    """Return the logits of the patch, and of the image."""
    model = load("critters-bagnet9")
    pixels = mb.critters("test", 200).images[image - 1 : image]
    logits = model.evidence(pixels)[0, :, row - 1, column - 1], model.logits(pixels)[0]
    return [dict(zip(model.classes, values, strict=True)) for values in logits]


def key(label: str, name: str = "ArrowRight") -> Move:
    return lambda area: area.press(label, name)


def drag(label: str, value: int) -> Move:
    return lambda area: area.drag(label, value)


def click(name: str) -> Move:
    return lambda area: area.click(name)


PEEK = Case(
    "peek",
    "00_start_here.ipynb",
    "window side q",
    {"picture": "picture", "q": "window side q (pixels)", "whole": "uncover the picture"},
    peek,
    (key("picture"), key("window side q (pixels)"), drag("window side q (pixels)", 33),
     click("uncover the picture"), drag("picture", 6)),
)  # fmt: skip
WORD = Case(
    "words",
    "03_visual_words.ipynb",
    "Next word here",
    {"image": "Image", "word": "Word"},
    word,
    (key("Word"), key("Image"), drag("Word", 120), click("Next word here"),
     click("Previous word here")),
)  # fmt: skip
UNIT, PAD = "Unit (column in the last map)", "Pad with zeros, so that maps keep their size"
FIELD = Case(
    "receptive-field",
    "06_how_far_does_a_unit_see.ipynb",
    "Layer 1",
    {"unit": UNIT, "padded": PAD, **{f"layer{i}": f"Layer {i}" for i in range(1, 7)}},
    field,
    (key(UNIT), drag(UNIT, 20),
     key("Layer 4", "ArrowDown"), click(PAD)),
)  # fmt: skip
SCRAMBLE = Case(
    "scramble",
    "10_scrambled_images.ipynb",
    "Cells a side",
    {"picture": "Picture", "grid": "Cells a side", "seed": "Another shuffle",
     "rotate": "Also turn the cells"},
    scrambled,
    (key("Cells a side"), drag("Cells a side", 8), key("Picture"), drag("Another shuffle", 50),
     click("Also turn the cells")),
    numbers_of_scrambled,
)  # fmt: skip
PATCH = Case(
    "patches",
    "09_reading_a_bagnet.ipynb",
    "Patch row",
    {"image": "Image", "row": "Patch row", "column": "Patch column", "target": "Evidence for"},
    patch,
    (key("Patch row", "ArrowLeft"), drag("Patch column", 5), key("Evidence for", "ArrowDown"),
     click("Go to the strongest patch"), key("Image")),
    numbers_of_patch,
)  # fmt: skip
GAME = Place("game", "10_scrambled_images.ipynb", "Your guess")
CASES = (PEEK, WORD, FIELD, SCRAMBLE, PATCH)
