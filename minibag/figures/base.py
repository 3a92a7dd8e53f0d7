"""How every figure of the course is shown, and the look that all of them share."""

from __future__ import annotations

import base64
import io

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

FOR_AGAINST = "RdBu_r"  # evidence for: red, against: blue, zero is white


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
    """Return a PNG with a palette of 256 colours: stored notebooks shrink to a third.

    Maximum coverage keeps rare colours true (the blue end of a colour bar), k-means frequent ones
    (grey stays grey).
    """
    palette, undithered = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    stored = io.BytesIO()
    picture.quantize(256, palette, 1, dither=undithered).save(stored, "png", optimize=True)
    return stored.getvalue()
