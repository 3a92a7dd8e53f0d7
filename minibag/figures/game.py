"""Views of patches without their places: the game Be the BagNet, one patch and its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from minibag.bag import PatchGrid
from minibag.figures.html import bars, card, img, row, verdict
from minibag.stats import wilson_interval

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]
Cell = tuple[int, int]
# The machine's answers come a moment after yours: first you hope, then you know.
STYLE = """<style>
.minibag-late { animation: minibag-in 0.4s 0.7s both; }
@keyframes minibag-in { from { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .minibag-late { animation: none; } }
.minibag-widget :is(td, th).said { text-align: left; padding: 3px 14px 3px 0; }
</style>"""


@dataclass(frozen=True)
class Round:
    """All there is to see of one round of the game.

    Parameters
    ----------
    image : (H, W, 3)
    grid : where the patches lie
    cells : (i, j) of the patches shown so far, in order
    classes, truth : names, and the index of the true class
    evidence : (C, h, w), what the BagNet says of the image
    guess : index of the class that the player named; None before that
    """

    image: Image
    grid: PatchGrid
    cells: tuple[Cell, ...]
    classes: tuple[str, ...]
    truth: int
    evidence: Floats
    guess: int | None = None

    @property
    def logits(self) -> Floats:
        """(C,): the mean of the BagNet's evidence over the patches shown."""
        return self.evidence[(slice(None), *np.transpose(self.cells))].mean(1)

    @property
    def patches(self) -> list[Image]:
        """The pixels of the patches shown."""
        return [crop(self.image, self.grid, cell) for cell in self.cells]

    def text(self) -> str:
        """Return the state in words."""
        n, q = counted(len(self.cells), "patch"), self.grid.size
        if self.guess is None:
            return f"You see {n} of {len(self.grid)}, {q} x {q} pixels each. Which class?"
        said = [
            f"{who} said {self.classes[c]}, {'right' if c == self.truth else 'wrong'}"
            for who, c in (("you", self.guess), (f"BagNet-{q}", int(self.logits.argmax())))
        ]
        return f"It is: {self.classes[self.truth]}. From {n} {said[0]}; {said[1]}."


class Tally(NamedTuple):
    """Answers at patches of side ``q``: how many, how many right, mean patches seen, chance."""

    q: int
    n: int
    right: int
    bagnet_right: int
    patches: float
    chance: float


class Pictures(NamedTuple):
    """Pictures (H, W, 3), each with its title."""

    images: list[Image]
    titles: list[str]


def counted(n: int, thing: str) -> str:
    """Return a number with its noun: 1 patch, 2 patches."""
    return f"{n} {thing}" + ("" if n == 1 else "es" if thing.endswith("ch") else "s")


def crop(image: Image, grid: PatchGrid, cell: Cell) -> Image:
    """Return the pixels of a patch, cut at the edges of the image."""
    top, left, bottom, right = grid.box(*cell)
    return image[max(top, 0) : bottom, max(left, 0) : right]


def framed(image: Image, grid: PatchGrid, cells: Sequence[Cell]) -> Image:
    """Return an image enlarged to 320 pixels or more, with frames around patches.

    Frames are white within black, to be seen on any ground, and numbered if there are several.
    """
    scale = -(-320 // image.shape[1])
    big = Pillow.fromarray(image.repeat(scale, 0).repeat(scale, 1))
    draw = ImageDraw.Draw(big)
    for number, (top, left, bottom, right) in enumerate((grid.box(*c) for c in cells), 1):
        box = (left * scale, top * scale, right * scale - 1, bottom * scale - 1)
        draw.rectangle(box, outline="black", width=5)
        draw.rectangle((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1), outline="white", width=3)
        if len(cells) > 1:
            place = box[0] + 7, box[1] + 2
            draw.text(
                place, f"{number}", "white", stroke_width=3, stroke_fill="black", font_size=22
            )
    return np.asarray(big)


def tiles(pictures: Pictures, side: int) -> str:
    """Return pictures ``side`` pixels wide, in as many rows as it takes, each above its title."""
    shown = (
        card(img(p, f"patch: {t}", f"width:{side}px"), *map(escape, t.splitlines()), width=side)
        for p, t in zip(*pictures, strict=True)
    )
    return row(*shown)


def game(seen: Round, title: str, score: str) -> str:
    """Return the page of a round: the patches; after the guess also the image and who was right."""
    n, size = len(seen.cells), "width:min(320px,30vw)"
    numbers = [f"{i}" for i in range(1, n + 1)]
    patches = tiles(Pictures(seen.patches, numbers), 120 if n <= 10 else 72 if n <= 28 else 48)
    question, answers = "Which class is it?", ""
    picture = (
        f'<div aria-hidden="true" style="{size};aspect-ratio:1;display:grid;place-items:center;'
        'background:rgba(128,128,128,.2);font-size:120px">?</div>'
    )
    if seen.guess is not None:
        question, answers = f"It is: {escape(seen.classes[seen.truth])}", _answers(seen)
        picture = img(framed(seen.image, seen.grid, seen.cells), "the whole picture", size)
    return (
        f'{STYLE}<div style="font-size:20px;margin:8px 0"><b>{title}</b> &ensp; {score}</div>'
        f'<div style="display:flex;gap:28px">{card(_large(question), picture)}'
        f'<div style="flex:1">{patches}{answers}</div></div>'
    )


def _large(text: str) -> str:
    return f'<div style="font-size:24px;margin-bottom:4px">{text}</div>'


def _answers(seen: Round) -> str:
    """Return who said what, the BagNet a moment later."""
    name, said = f"BagNet-{seen.grid.size}", np.arange(len(seen.classes)) == seen.guess
    lines = (
        ("You", counted(len(seen.cells), "patch"), said, ""),
        (name, "the same", seen.logits, "minibag-late"),
        (name, f"all {len(seen.grid)}", seen.evidence.mean((1, 2)), "minibag-late"),
    )
    body = "".join(
        f'<tr class="{late}"><th scope="row" class="said">{who}</th><td class="said">{saw}</td>'
        f'<td class="said">{verdict(logits, seen.classes, seen.truth)}</td></tr>'
        for who, saw, logits, late in lines
    )
    heads = "".join(f'<th scope="col" class="said">{h}</th>' for h in ("Who", "saw", "said"))
    you, bag = seen.guess == seen.truth, bool(seen.logits.argmax() == seen.truth)
    moral = {
        (True, True): "Both right!",
        (True, False): "You beat the machine!",
        (False, True): "The bag knew. It needs no places, only patches.",
        (False, False): "Too little to go by, for both.",
    }[you, bag]
    table = f'<table style="font-size:17px;margin-top:12px"><tr>{heads}</tr>{body}</table>'
    return f'{table}<div class="minibag-late">{_large(moral)}</div>'


def patch_page(
    places: Pictures, near: Pictures, said: tuple[Floats, Floats],
    classes: Sequence[str], truth: int | None,
) -> str:  # fmt: skip
    """Return the page of one patch: where it lies, what it says, and the nearest to it.

    Parameters
    ----------
    places : the image, the evidence and the patch
    near : the nearest patches
    said : (C,) logits of the patch, and of the image
    classes, truth : names, and the index of the true class, if it has one
    """
    heads = ("The patch says", "The image says (mean of all)")
    blocks = [
        card(escape(title), img(picture, title, "width:min(260px,23vw)"))
        for picture, title in zip(*places, strict=True)
    ]
    tables = [
        card(head, bars(logits, classes, truth, None, signed=True))
        for head, logits in zip(heads, said, strict=True)
    ]
    nearest = card("Patches of other images that say nearly the same", tiles(near, 96), width=480)
    key = "Red speaks for a class, blue against it. ★ is the true class."
    return f'{row(*blocks)}<div style="margin:8px 0">{key}</div>{row(*tables, nearest)}'


def human_accuracy(tallies: Sequence[Tally]) -> Figure:
    """Return accuracy against patch size: people with 95 % Wilson intervals, BagNet, chance."""
    fig, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
    q, n, right, bagnet_right, patches, chance = map(np.array, zip(*tallies, strict=True))
    x = np.arange(len(q))
    for name, shift, colour, marker, wins in (
        ("people", -0.08, "#0072b2", "o", right),
        ("BagNet, same patches", 0.08, "#d55e00", "s", bagnet_right),
    ):
        ends = np.transpose([wilson_interval(*counts) for counts in zip(wins, n, strict=True)])
        ax.errorbar(x + shift, wins / n, np.abs(ends - wins / n), label=name, color=colour,
                    marker=marker, ms=10, lw=2.5, capsize=6)  # fmt: skip
    ax.plot(x, chance, "--", color="#595959", marker="_", ms=24, lw=2, label="chance")
    rows = zip(q, n, patches, strict=True)
    names = [f"{q}\n{counted(n, 'answer')}\n{seen:.1f} patches each" for q, n, seen in rows]
    ax.set_xticks(x, names)
    ax.tick_params(labelsize=13)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(ylim=(0, 1.03), xlim=(-0.5, len(x) - 0.5))
    ax.set_xlabel("side q of the patches (pixels)", fontsize=14)
    ax.set_ylabel("right answers (95 % interval)", fontsize=14)
    ax.set_title("What people and a BagNet make of the same small patches", fontsize=15)
    fig.legend(loc="outside lower center", ncols=3, fontsize=13)
    return fig
