"""The scrambling widget's view: as HTML for a page that answers at once, as a figure for print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from minibag.figures.base import as_written
from minibag.figures.html import LINES, bars, card, curves, darkest, img, key, overlay, row, verdict

Image = NDArray[np.uint8]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Answer:
    """What a model says of an image: probabilities (C,); painted evidence (H, W) if it is a bag."""

    probabilities: Floats
    painted: Floats | None


@dataclass(frozen=True)
class Scene:
    """All there is to see of one scrambled image.

    Parameters
    ----------
    original, scrambled : (H, W, 3)
    classes, truth : names, and the index of the true class
    name : what the image is called
    grid : cells a side
    answers, curves : by model; a curve has one probability of the true class for each of
        ``grids``, or is None while it is still being worked out
    hidden : let people guess first, from the scrambled image alone
    """

    original: Image
    scrambled: Image
    classes: tuple[str, ...]
    truth: int
    name: str
    grid: int
    grids: tuple[int, ...]
    answers: Mapping[str, Answer]
    curves: Mapping[str, Floats | None]
    hidden: bool = False

    def text(self) -> str:
        """Say what there is to see."""
        cut = f"{self.name}, cut into {self.grid} x {self.grid} cells and shuffled"
        cut = f"{self.name}, not cut" if self.grid == 1 else cut
        if self.hidden:
            return f"{cut}. What is it?"
        said = [
            f"{name} says {self.classes[p.argmax()]} ({100 * p.max():.0f} %)"
            for name, p in ((name, answer.probabilities) for name, answer in self.answers.items())
        ]
        return "; ".join([f"{cut}: {self.classes[self.truth]}", *said]) + "."

    def maps(self) -> dict[str, Image | None]:
        """Return the evidence for the true class over the scrambled image, for every bag."""
        return {
            name: None if answer.painted is None
            else overlay(self.scrambled, answer.painted, darkest(answer.painted))
            for name, answer in self.answers.items()
        }  # fmt: skip


def page(scene: Scene) -> str:
    """Return the scene as HTML: pictures and curve, below them one card for each model."""
    cut = f"Cut into {scene.grid} x {scene.grid} cells" if scene.grid > 1 else "Not cut"
    alt = f"{cut}, shuffled" if scene.grid > 1 else cut
    if scene.hidden:
        return row(card("What is it?", img(scene.scrambled, alt, "width:clamp(380px,40vw,620px)")))
    side = "width:clamp(230px,20vw,400px)"  # grows with the window, for the back row
    truth = scene.classes[scene.truth]
    cards = [
        card(f"This is: {escape(truth)}", img(scene.original, f"The original, {truth}", side)),
        card(cut, img(scene.scrambled, alt, side)),
    ]
    if scene.curves:
        title = f"Probability of {truth}"
        cards.append(card(escape(title), curves(scene.grids, scene.curves, scene.grid, title)))
    models = []
    said = zip(scene.answers.items(), scene.maps().values(), strict=True)
    for line, ((name, answer), painted) in enumerate(said):
        seen = "Not a bag: no evidence per patch." if painted is None else img(
            painted, f"Evidence of {name} for {truth}", "width:200px"
        )  # fmt: skip
        judged = answer.probabilities, scene.classes, scene.truth
        title = f"{key(line)} {escape(name)}: {verdict(*judged)}"
        models.append(card(title, bars(*judged), seen))
    return row(*cards) + row(*models)


@as_written
def explorer(scene: Scene) -> Figure:
    """Return the scene as a figure: pictures and curve, below them one column for each model."""
    n = max(3, len(scene.answers))
    fig, axes = plt.subplots(3, n, figsize=(3.2 * n, 8.2), layout="constrained")
    for ax in axes.flat:
        ax.axis("off")
    truth = scene.classes[scene.truth]
    shown = [(f"{scene.grid} x {scene.grid} cells", scene.scrambled)]
    shown = shown if scene.hidden else [(f"{scene.name}: {truth}", scene.original), *shown]
    for ax, (title, image) in zip(axes[0], shown, strict=False):
        ax.imshow(image, interpolation="nearest")
        ax.set_title(title, fontsize=11)
    if scene.hidden:
        return fig
    ax = axes[0, 2]
    ax.axis("on")
    for line, (name, values) in enumerate(scene.curves.items()):
        colour, dash = LINES[line % len(LINES)]
        style = (0, tuple(map(int, dash.split()))) if dash else "-"
        if values is not None:
            ax.plot(scene.grids, values, color=colour, ls=style, lw=2.5, label=name)
            ax.legend(fontsize=9)
    ax.axvline(scene.grid, color="black", ls=":")
    ax.set_xscale("log", base=2)
    ax.set(ylim=(-0.03, 1.03), xlabel="cells a side", title=f"probability of {truth}")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    columns = zip(axes[1:].T, scene.answers.items(), scene.maps().values(), strict=False)
    for (top, below), (name, answer), painted in columns:
        if painted is not None:
            top.imshow(painted, interpolation="nearest")
        top.set_title(name if painted is not None else f"{name} (not a bag)", fontsize=11)
        best = np.argsort(-answer.probabilities, kind="stable")[:5][::-1]
        below.axis("on")
        below.barh(range(len(best)), answer.probabilities[best], color=LINES[0][0])
        names = [scene.classes[c] + (" ★" if c == scene.truth else "") for c in best]
        below.set_yticks(range(len(best)), names, fontsize=10)
        right = answer.probabilities.argmax() == scene.truth
        below.set(xlim=(0, 1), title="✓ right" if right else "✗ wrong")
        below.xaxis.set_major_formatter(PercentFormatter(1))
    return fig
