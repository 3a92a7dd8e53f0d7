"""The pictures inside HTML, as a page shows them."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def pictures(html: str) -> list[NDArray[np.uint8]]:
    """Return the pixels (H, W, 3) of every picture that the HTML carries along, in order."""
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    return [pixels(base64.b64decode(data)) for data in found]


def pixels(png: bytes) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
