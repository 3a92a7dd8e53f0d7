"""Views of patches without their places: the game Be the BagNet, one patch and its evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from minibag.bag import PatchGrid
from minibag.figures.base import as_written
from minibag.figures.evidence import gallery
from minibag.figures.html import bars, card, img, row, verdict
from minibag.stats import wilson_interval

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]
Cell = tuple[int, int]
Titled = Sequence[tuple[Image, str]]  # pictures (H, W, 3) with their titles
# The machine's answers come a moment after yours: first you hope, then you know.
STYLE = """<style>
.minibag-then { animation: minibag-then 0.4s 0.7s both; }
@keyframes minibag-then { from { opacity: 0; } }
@media (prefers-reduced-motion: reduce) { .minibag-then { animation: none; } }
.minibag-said { font-size: 17px; margin-top: 12px; }
.minibag-said :is(td, th) { text-align: left; padding: 3px 14px 3px 0; }
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


def counted(n: int, thing: str) -> str:
    """Return a number with its noun: 1 patch, 2 patches."""
    return f"{n} {thing}" + ("" if n == 1 else "es" if thing.endswith("ch") else "s")


def crop(image: Image, grid: PatchGrid, cell: Cell) -> Image:
    """Return the pixels of a patch, cut at the edges of the image."""
    top, left, bottom, right = grid.box(*cell)
    return image[max(top, 0) : bottom, max(left, 0) : right]


def framed(image: Image, grid: PatchGrid, cells: Sequence[Cell]) -> Image:
    """Return an image, its longer side enlarged to 320 pixels or more, with frames around patches.

    Frames are white within black, to be seen on any ground, and numbered if there are several.
    """
    scale = -(-320 // max(image.shape[:2]))
    big = Pillow.fromarray(image.repeat(scale, 0).repeat(scale, 1))
    draw = ImageDraw.Draw(big)
    for number, cell in enumerate(cells, 1):
        top, left, bottom, right = (scale * edge for edge in grid.box(*cell))
        draw.rectangle((left, top, right - 1, bottom - 1), outline="black", width=5)
        draw.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline="white", width=3)
        label, place = f"{number}" if len(cells) > 1 else "", (left + 7, top + 2)
        draw.text(place, label, "white", stroke_width=3, stroke_fill="black", font_size=22)
    return np.asarray(big)


def tiles(pictures: Titled, side: str) -> str:
    """Return pictures as wide as ``side`` (CSS), in as many rows as it takes, titles below."""
    shown = []
    for picture, title in pictures:
        image = img(picture, f"patch: {title}", "width:100%;display:block")
        name = escape(title).replace("\n", "<br>")
        shown.append(f'<div style="width:{side}">{image}{name}</div>')
    return row(*shown)


def game(seen: Round, title: str, score: str) -> str:
    """Return the page of a round: the patches; after the guess also the image and who was right."""
    n, size = len(seen.cells), "width:min(320px,30vw)"
    side = "min(120px,11vw)" if n <= 10 else "72px" if n <= 28 else "48px"
    patches = tiles([(patch, f"{i}") for i, patch in enumerate(seen.patches, 1)], side)
    if seen.guess is None:
        head, answers = "Which class is it?", ""
        rows, columns, _ = seen.image.shape
        veil = "display:grid;place-items:center;background:rgba(128,128,128,.2);font-size:120px"
        shape = f"{size};aspect-ratio:{columns}/{rows}"
        picture = f'<div aria-hidden="true" style="{shape};{veil}">?</div>'
    else:
        head, answers = f"It is: {escape(seen.classes[seen.truth])}", _answers(seen)
        picture = img(framed(seen.image, seen.grid, seen.cells), "the whole picture", size)
    return (
        f'{STYLE}<div style="font-size:20px;margin:8px 0"><b>{title}</b> &ensp; {score}</div>'
        f'<div style="display:flex;gap:28px">{card(_large(head), picture)}'
        f'<div style="flex:1">{patches}{answers}</div></div>'
    )


def _large(text: str) -> str:
    return f'<div style="font-size:24px;margin-bottom:4px">{text}</div>'


def _answers(seen: Round) -> str:
    """Return who said what, the BagNet a moment later."""
    name, said = f"BagNet-{seen.grid.size}", np.arange(len(seen.classes)) == seen.guess
    lines = (
        (f"You, from {counted(len(seen.cells), 'patch')}", said),
        (f"{name}, from the same", seen.logits),
        (f"{name}, from all {len(seen.grid)}", seen.evidence.mean((1, 2))),
    )
    you, *machine = (
        f'<tr><th scope="row">{who}</th><td>{verdict(logits, seen.classes, seen.truth)}</td></tr>'
        for who, logits in lines
    )
    moral = {
        (True, True): "Both right!",
        (True, False): "You beat the machine!",
        (False, True): "The bag knew. It needs no places, only patches.",
        (False, False): "Too little to go by, for both.",
    }[seen.guess == seen.truth, bool(seen.logits.argmax() == seen.truth)]
    return (
        f'<table class="minibag-said">{you}<tbody class="minibag-then">{"".join(machine)}</tbody>'
        f'</table><div class="minibag-then">{_large(moral)}</div>'
    )


def patch_page(
    places: Titled, near: Titled, said: Mapping[str, Floats], classes: Sequence[str],
    truth: int | None,
) -> str:  # fmt: skip
    """Return the page of one patch: where it lies, what it says, and the nearest to it.

    Parameters
    ----------
    places : the image, the evidence and the patch
    near : the nearest patches
    said : logits (C,) by who says them
    classes, truth : names, and the index of the true class, if it has one
    """
    blocks = [card(escape(t), img(p, t, "width:min(260px,23vw)")) for p, t in places]
    tables = [
        card(escape(who), bars(v, classes, truth, None, signed=True)) for who, v in said.items()
    ]
    head = "Patches of other images that say nearly the same"
    key = "Red speaks for a class, blue against it. ★ is the true class."
    rest = row(*tables, card(head, tiles(near, "96px"), width=480))
    return f'{row(*blocks)}<div style="margin:8px 0">{key}</div>{rest}'


@as_written
def still(pictures: Titled, text: str) -> Figure:
    """Return pictures in rows as a figure, with a text above: what stands in for a page."""
    images, titles = zip(*pictures, strict=True)
    return gallery(images, titles, fill(text, 90), 6)


@as_written
def human_accuracy(tallies: Sequence[Tally]) -> Figure:
    """Return accuracy against patch size: people with 95 % Wilson intervals, BagNet, chance.

    The intervals take all answers for independent. Those of one player, or to one picture, are
    not: they are then too short.
    """
    with plt.rc_context({"font.size": 14}):
        fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    x = np.arange(len(tallies))
    for name, shift, colour, marker, right in (
        ("people", -0.08, "#0072b2", "o", [t.right for t in tallies]),
        ("BagNet, same patches", 0.08, "#d55e00", "s", [t.bagnet_right for t in tallies]),
    ):
        rate = np.array([r / t.n for r, t in zip(right, tallies, strict=True)])
        ends = [wilson_interval(r, t.n) for r, t in zip(right, tallies, strict=True)]
        ax.errorbar(x + shift, rate, np.abs(np.transpose(ends) - rate), label=name, color=colour,
                    marker=marker, ms=10, lw=2.5, capsize=6)  # fmt: skip
    chance = [t.chance for t in tallies]
    ax.plot(x, chance, "--", color="#595959", marker="_", ms=24, lw=2, label="chance")
    ax.set_xticks(x, [f"{t.q}\nn = {t.n}\n{t.patches:.1f} patches each" for t in tallies])
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set(ylim=(0, 1.03), xlim=(-0.5, len(x) - 0.5), ylabel="right answers (95 % interval)",
           xlabel="side q of the patches (pixels), n answers taken as independent")  # fmt: skip
    ax.set_title("What people and a BagNet make of the same small patches", fontsize=15)
    fig.legend(loc="outside lower center", ncols=3, fontsize=14)
    return fig
