"""Names that people give to classes, files and models are drawn and shown as they are written."""

import importlib
import inspect
import pkgutil
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from minibag import figures
from minibag.bag import PatchGrid
from minibag.evidence import Patch
from minibag.experiments import ScrambledAccuracy
from minibag.figures import (
    build,
    classify,
    course,
    evidence,
    game,
    html,
    learned,
    models,
    predicted,
    reading,
    receptive,
    scrambled,
    sift,
    stage,
    training,
    words,
)
from minibag.figures.base import as_written

ODD = "a$b$c_{"  # as mathematics it is an error
LOST = "5$ or 10$"  # as mathematics it loses its dollars
PICTURE = np.zeros((8, 8, 3), np.uint8)
GREY = np.linspace(0, 1, 64).reshape(8, 8)
WALL = words.Wall(np.zeros((2, 4, 4, 3), np.uint8), np.zeros((2, 3, 4, 4, 3), np.uint8))
GRID = PatchGrid(4, 4, 0, (2, 2))
PATCH = Patch(1.0, 0, 0, (0, 0), (0, 0, 4, 4), PICTURE)
SEARCH = SimpleNamespace(
    n_splits_=2,
    cv_results_={
        "param_C": [1, 2], f"param_{ODD}": [1, 1],
        "std_test_score": np.ones(2), "mean_test_score": np.ones(2),
    },
)  # fmt: skip


def scene(odd=ODD, lost=LOST, hidden=False):
    answer = stage.Answer(np.array([0.4, 0.6]), None)
    return stage.Scene(
        PICTURE, PICTURE, (odd, lost), 0, odd, 2, (1, 2), {lost: answer}, {lost: np.ones(2)}, hidden
    )


FIGURES = {  # every figure function that takes a name or a title, drawn with the odd ones
    build.bills: ({ODD: np.ones((2, 2))}, [ODD, LOST]),
    build.learning_curve: (
        [dict(epoch=1, loss=1, train_accuracy=1, val_loss=1, val_accuracy=1)], 9, ODD,
    ),
    classify.tuning_curves: (SEARCH, "C", ODD),
    classify.word_votes: (np.ones(2), WALL.nearest, ODD),
    classify.displacements: (np.eye(2), {ODD: np.eye(2), LOST: np.eye(2)}),
    classify.measured_ladder: ({ODD: (1, 2), LOST: (2, 2)}, 0.5, ODD),
    course.ladder: ({}, ODD, 10),
    evidence.gallery: ([PICTURE, PICTURE], [ODD, LOST], ODD),
    evidence.vote_table: (np.eye(2), [ODD, LOST], [LOST, ODD], ODD),
    evidence.evidence_on_images: ([PICTURE], [GREY], [ODD], LOST),
    evidence.wall: ({ODD: GREY[None], LOST: GREY[None]}, ODD),
    evidence.two_bags: (np.ones(3), np.ones(3), (ODD, LOST), ODD),
    game.still: ([(PICTURE, ODD)], LOST),
    learned.filter_walls: ({ODD: np.ones((2, 4, 4, 3))}, LOST),
    learned.before_after: (
        learned.Words(np.ones((2, 4, 4, 3)), WALL.nearest),
        learned.Words(np.ones((2, 4, 4, 3)), WALL.nearest), [0, 1], ODD,
    ),
    learned.learning_curve: ([1.0], [1, 2], 4, ODD),
    learned.few_words: ([10, 100], {ODD: np.ones((2, 2)), LOST: np.ones((2, 2))}, 0.1),
    models.confusion_figure: (np.eye(2, dtype=int), [ODD, LOST]),
    models.explanation: (PICTURE, GREY, ODD, {ODD: 1.0, LOST: 2.0}),
    predicted.crowd: ({ODD: ["1"], LOST: [ODD]}, {LOST: ODD}),
    reading.patch_lists: ({ODD: [PATCH]}, ODD, [LOST]),
    reading.map_wall: (PICTURE, {ODD: GREY, LOST: GREY}, ODD),
    reading.scored: ({ODD: (0.5, 0.4, 0.6), LOST: (0.5, 0.4, 0.6)}, 0.1, ODD, LOST),
    receptive.cone: (np.zeros((16, 16, 3), np.uint8), [(3, 1, 0, 1)], [ODD], 3),
    receptive.squares: ([PICTURE], [ODD], {ODD: 3, LOST: 5}, ODD),
    receptive.maps: ({ODD: GREY, LOST: GREY}, ODD, LOST, [np.ones(2)] * 2),
    scrambled.accuracy_curves: (
        {n: [ScrambledAccuracy(g, 0.5, 0.4, 0.6, 9) for g in (1, 2)] for n in (ODD, LOST)},
        0.1, ODD,
    ),
    sift.glyphs: (GREY[None], np.ones((1, 128)), [ODD], LOST),
    sift.bars: ({ODD: np.ones(3), LOST: np.ones(3)}, ODD, LOST, ODD),
    sift.key_points: (GREY, np.ones((1, 2)), np.ones(1), ODD),
    sift.matches: ([GREY, GREY], [np.ones((1, 2))] * 2, np.ones(1, bool), ODD),
    sift.curves: ({ODD: (np.arange(2), {ODD: np.ones(2), LOST: np.ones(2)})}, ODD, LOST),
    stage.explorer: (scene(),),
    training.roofline: ({ODD: np.ones((1, 2)), LOST: np.ones((1, 2))}, 1e9, 1e9, ODD),
    training.gradient_sizes: ({ODD: np.ones(2), LOST: np.ones(2)}, ODD),
    training.paths: ({ODD: [0.1, 0.2], LOST: [0.1, 0.2]}, 1, ODD),
    training.learning_curves: ({ODD: [dict(epoch=1, val_accuracy=0.5)]}, 9, LOST),
    training.accuracy_by_reach: (
        {ODD: [(3, 0.5, 0.4, 0.6)], LOST: [(9, 0.5, 0.4, 0.6)]}, 0.1, ODD, LOST,
    ),
    words.draw_wall: (WALL, [0, 1], [ODD, LOST], ODD),
    words.draw_histograms: ([PICTURE] * 2, np.ones((2, 3)), [ODD, LOST], ODD),
    words.draw_curves: ([1, 10], {ODD: np.ones((2, 2)), LOST: np.ones((2, 2))}, 0.1, ODD, LOST),
}  # fmt: skip


def figure_functions():
    for found in pkgutil.iter_modules(figures.__path__):
        module = importlib.import_module(f"minibag.figures.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            made = inspect.signature(function).return_annotation
            if made in ("Figure", Figure) and not name.startswith("_"):
                yield function


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_every_figure_function_is_wrapped_and_drawn_here_if_it_takes_text():
    for function in figure_functions():
        assert function.__code__ is as_written(function).__code__, function
        notes = str(inspect.signature(function))
        assert "str" not in notes or function in FIGURES, f"{function} takes names: draw it here"


@pytest.mark.parametrize(
    ("draw", "given"), FIGURES.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_names_with_dollars_are_drawn_as_they_are_written(draw, given):
    figure = draw(*given)
    figure.canvas.draw()  # raised ParseFatalException
    texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    odd = [text for text in texts if ODD in text.get_text() or LOST in text.get_text()]
    assert odd
    assert not any(text.get_parse_math() for text in odd)
    assert all("mathdefault" in text.get_text() for text in texts if text.get_parse_math())


def test_powers_of_ten_on_a_logarithmic_axis_are_still_raised():
    figure = classify.tuning_curves(SEARCH, "C", ODD)
    figure.canvas.draw()
    ticks = [t for t in figure.axes[0].get_xticklabels(which="both") if "10^" in t.get_text()]
    assert ticks
    assert all(tick.get_parse_math() for tick in ticks)


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.said = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.said += " ".join(value or "" for _, value in attrs)

    def handle_data(self, data):
        self.said += data


EVIL = "<blink>&amp;\"'"
ROUND = game.Round(PICTURE, GRID, ((0, 0),), (EVIL, "b"), 0, np.zeros((2, 2, 2)), 0)
PAGES = {
    "bars": lambda: html.bars(np.array([0.4, 0.6]), [EVIL, "b"]),
    "verdict": lambda: html.verdict(np.array([1.0, 0.0]), [EVIL, "b"], 0),
    "img": lambda: html.img(PICTURE, EVIL),
    "curves": lambda: html.curves((1, 2), {EVIL: np.ones(2)}, 1, EVIL),
    "stage": lambda: stage.page(scene(EVIL, EVIL)),
    "tiles": lambda: game.tiles([(PICTURE, EVIL)], "9px"),
    "game": lambda: game.game(ROUND, "title", "score"),
    "patch": lambda: game.patch_page(
        [(PICTURE, EVIL)], [(PICTURE, EVIL)], {EVIL: np.ones(2)}, [EVIL, "b"], 0
    ),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_names_on_a_page_are_text_not_tags(page):
    parsed = Tags(page())
    assert "blink" not in parsed.tags
    assert EVIL in parsed.said
