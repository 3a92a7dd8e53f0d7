"""How every figure of the course is shown, and the look that all of them share."""

from __future__ import annotations

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

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
    """
    if not alt.strip():
        raise ValueError("a figure needs alt text that says what it shows")
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)
