"""How every figure of the course is shown, and the look that all of them share."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from PIL import Image

FOR_AGAINST = "RdBu_r"  # evidence for: red, against: blue, zero is white
P = ParamSpec("P")


def as_written(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a figure function show every name as it is written: all of them are wrapped in this.

    Matplotlib takes what stands between two ``$`` for mathematics: a class called "5$ or 10$" would
    lose its dollars, and one called "$_{$" would be an error. Only the powers of ten beside a
    logarithmic axis, which Matplotlib writes itself, stay mathematics.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        figure = draw(*args, **kwargs)
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                for text in axis.get_ticklabels(which="both"):
                    text.set_parse_math(True)
        return figure

    return drawn


def show(figure: Figure, alt: str) -> None:
    """Display a figure in the notebook with alt text for readers who cannot see it.

    Parameters
    ----------
    figure : matplotlib Figure
    alt : str
        One or two sentences that say what the figure shows.

    Raises
    ------
    ValueError
        If the alt text is empty.
    ImportError
        If IPython is not installed: the extra ``lab`` brings it.
    """
    if not alt.strip():
        raise ValueError("a figure needs alt text that says what it shows")
    try:
        from IPython.display import display
    except ImportError as missing:
        raise ImportError("mb.show needs IPython: pip install 'minibag[lab]'") from missing
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    plt.close(figure)
    stored = base64.b64encode(compact(drawn.getvalue())).decode()
    bundle = {"image/png": stored, "text/plain": alt}
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})


def compact(png: bytes) -> bytes:
    """Return a PNG without loss of grey and with at most 256 colours: notebooks shrink to a third.

    A grey picture keeps every level. Where grey and colour are mixed, greys are kept to a level up
    or down if they fill a part of the picture (no false contours in a sky), and in 18 steps if they
    are but letters and lines; what is left of the palette goes to the colours.
    """
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    level = picture[..., 0].astype(int)
    grey = np.ptp(picture, axis=-1) == 0
    if grey.all():
        return _stored(Image.fromarray(picture[..., 0]))
    drawn = np.mean(grey & (level < 255)) > 0.05
    step = 2 if drawn else 15
    near = np.minimum((level[grey] + step // 2) // step * step, 255)
    shades, at = np.unique(near, return_inverse=True)
    colours = picture[~grey]
    strip = Image.fromarray(colours[None]).quantize(
        256 - len(shades), Image.Quantize.MAXCOVERAGE, 1, dither=Image.Dither.NONE
    )
    index = np.empty(grey.shape, np.uint8)
    index[~grey] = np.asarray(strip)[0] + len(shades)
    index[grey] = at
    small = Image.fromarray(index, "P")
    small.putpalette([*np.repeat(shades, 3), *(strip.getpalette() or [])][: 3 * 256])
    return _stored(small)


def _stored(picture: Image.Image) -> bytes:
    """Return a picture as PNG, as small as it gets."""
    file = io.BytesIO()
    picture.save(file, "png", optimize=True)
    return file.getvalue()
