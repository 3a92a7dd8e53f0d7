"""Pieces of a page: bars, marks, curves and painted evidence as HTML, drawn in a millisecond.

A widget that answers a slider has no time for a matplotlib figure. Text takes the colour of the
page, so that light and dark themes both work; nothing is said by colour alone.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from minibag.figures.base import FOR_AGAINST

Floats = NDArray[np.floating]
# Colour and dashes of eight lines, each legible on white and on black.
LINES = (
    ("#0072b2", ""), ("#d55e00", "8 4"), ("#009e73", "2 4"), ("#cc79a7", "10 3 2 3"),
    ("#8c8c8c", "14 5"), ("#a67c00", "4 2"), ("#9467ff", "10 3 2 3 2 3"), ("#3d8ec4", "1 2"),
)  # fmt: skip
FOR, AGAINST = "#b2182b", "#2166ac"
DPI = 110  # 10 pt type is 15 pixels high


def png(picture: Figure | NDArray[np.uint8]) -> bytes:
    """Return a figure, which is closed, or an image (H, W, 3) as PNG bytes."""
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", dpi=DPI)
        plt.close(picture)
    else:
        Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def img(picture: Figure | NDArray[np.uint8], alt: str, style: str = "") -> str:
    """Return an HTML <img> that carries its pixels along; an array keeps its square pixels."""
    data = base64.b64encode(png(picture)).decode()
    kind = "" if isinstance(picture, Figure) else ' class="pixels"'
    return (
        f'<img{kind} alt="{html.escape(alt)}" style="{style}" decoding="sync" '
        f'src="data:image/png;base64,{data}">'
    )


def bars(
    values: Floats,
    classes: Sequence[str],
    truth: int | None = None,
    k: int | None = 5,
    signed: bool = False,
) -> str:
    """Return the k largest values as a table of bars, the true class marked.

    Parameters
    ----------
    values : (C,) probabilities in 0..1, shown in percent; logits of any size if ``signed``
    classes : names
    truth : index of the true class, which gets a mark
    k : how many; None shows all classes in their own order
    signed : bars grow from the middle, red to the right and blue to the left
    """
    order = np.argsort(-values, kind="stable")[:k] if k else range(len(values))
    bound = float(np.abs(values).max()) or 1.0
    rows = []
    for c in order:
        value, name = float(values[c]), html.escape(classes[c])
        if signed:
            share, number = 50 * abs(value) / bound, f"{value:+.2f}"
            start, colour = (50, FOR) if value > 0 else (50 - share, AGAINST)
        else:
            share, start, number, colour = 100 * value, 0, f"{100 * value:.0f} %", LINES[0][0]
        star = ' <span role="img" aria-label="the true class" title="the true class">★</span>'
        mark = star if c == truth else ""
        rows.append(
            f'<tr><th scope="row" style="text-align:left;font-weight:normal;padding-right:8px">'
            f'{name}{mark}</th><td style="width:96px;background:rgba(128,128,128,.2);padding:0">'
            f'<div style="height:16px;margin-left:{start:.1f}%;width:{share:.1f}%;'
            f'background:{colour}"></div></td>'
            f'<td style="text-align:right;padding-left:8px">{number}</td></tr>'
        )
    return f'<table style="border-collapse:collapse;font-size:15px">{"".join(rows)}</table>'


def verdict(values: Floats, classes: Sequence[str], truth: int) -> str:
    """Return what a model says, and whether it is right, in words and with a mark."""
    guess = int(values.argmax())
    mark, word = ("✓", "right") if guess == truth else ("✗", "wrong")
    return f"<b>{mark} {html.escape(classes[guess])}</b>, {word}"


def overlay(image: NDArray[np.uint8], painted: Floats, bound: float) -> NDArray[np.uint8]:
    """Return evidence over a pale grey copy of the image: red for, blue against, (H, W, 3).

    Parameters
    ----------
    image : (H, W, 3)
    painted : (H, W), evidence per pixel from `PatchGrid.paint`
    bound : positive value that gets the darkest colour
    """
    grey = (image.mean(-1, keepdims=True) + 300) / 555
    colour = mpl.colormaps[FOR_AGAINST](0.5 + painted / (2 * bound))[..., :3]
    strength = np.clip(1.3 * np.abs(painted) / bound, 0, 0.9)[..., None]
    return (255 * (strength * colour + (1 - strength) * grey)).round().astype(np.uint8)


def darkest(painted: Floats) -> float:
    """Return a bound for `overlay`: patches may shout, so the strongest half percent share it."""
    return float(np.quantile(np.abs(painted), 0.995)) or 1.0


def curves(grids: Sequence[int], series: Mapping[str, Floats | None], now: int, label: str) -> str:
    """Return lines of probability against grid as SVG, a dashed line at the grid of now.

    Parameters
    ----------
    grids : cells a side, at least 1, the ticks of a logarithmic axis
    series : probabilities in 0..1 by model, one for each grid; None is still worked out, and a
        slow one says so
    now : the grid to mark
    label : what is drawn, for screen readers
    """
    left, top, width, height = 52, 26, 300, 170

    def x(grid: float) -> float:
        return left + width * np.log2(grid) / max(np.log2(grids[-1]), 1)

    def y(p: float) -> float:
        return top + height * (1 - p)

    parts = [
        f'<text x="{left - 8}" y="{y(p) + 5}" text-anchor="end">{100 * p:.0f}</text>'
        f'<path d="M{left} {y(p)}h{width}" stroke="currentColor" opacity=".25"/>'
        for p in (0, 0.5, 1)
    ]
    parts += [f'<text x="{x(g)}" y="{top + height + 20}" text-anchor="middle">{g}</text>'
              for g in grids if g & (g - 1) == 0]  # fmt: skip
    parts.append(
        f'<path d="M{x(now)} {top}v{height}" stroke="currentColor" stroke-dasharray="4 3"/>'
        f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">cells a side'
        f'</text><text x="{left - 8}" y="{top - 12}" text-anchor="end">%</text>'
    )
    if any(values is None for values in series.values()):
        parts.append(
            f'<text class="minibag-busy" x="{left + width / 2}" y="{top + height / 3}" '
            f'text-anchor="middle">Working …</text>'
        )
    said = [f"{label} against cells a side, now {now}"]
    for line, (name, values) in enumerate(series.items()):
        if values is None:
            continue
        shares = (f"{100 * p:.0f} % at {g}" for g, p in zip(grids, values, strict=True))
        said.append(f"{name}: {', '.join(shares)}")
        colour, dash = LINES[line % len(LINES)]
        points = " ".join(f"{x(g):.1f},{y(p):.1f}" for g, p in zip(grids, values, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="3" '
            f'stroke-dasharray="{dash}"/>'
        )
    return (
        f'<svg role="img" aria-label="{html.escape("; ".join(said))}" width="{left + width + 20}" '
        f'height="{top + height + 48}" style="font-size:15px;fill:currentColor">'
        f"{''.join(parts)}</svg>"
    )


def key(line: int) -> str:
    """Return the line of a model in `curves`, to stand beside its name."""
    colour, dash = LINES[line % len(LINES)]
    return (
        f'<svg width="40" height="10" aria-hidden="true"><path d="M0 5h40" stroke="{colour}" '
        f'stroke-width="4" stroke-dasharray="{dash}"/></svg>'
    )


def card(title: str, *content: str, width: int = 0) -> str:
    """Return a titled block of a page, of a width in pixels; `row` puts several side by side."""
    style = f"max-width:100%;width:{width}px" if width else "max-width:100%"
    head = f'<div style="font-weight:bold;margin-bottom:4px">{title}</div>'
    return f'<div style="{style}">{head}{"".join(f"<div>{part}</div>" for part in content)}</div>'


def row(*cards: str) -> str:
    """Return cards side by side, in as many lines as the page is narrow."""
    style = "display:flex;flex-wrap:wrap;gap:12px 28px;margin-bottom:14px"
    return f'<div style="{style}">{"".join(cards)}</div>'
