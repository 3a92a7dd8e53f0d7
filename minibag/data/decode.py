"""From an image file, whatever is inside it, to size x size RGB bytes, or one clear error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from minibag.data.imageset import Bytes
from minibag.machine import cpu_count

MAX_PIXELS = 89_478_485  # Pillow's own limit (a quarter of a GiB of RGB), here always enforced

OnError = Literal["raise", "skip"]


class UnreadableImageError(ValueError):
    """One or more image files could not be read; the message names each and says why."""


def read_image(path: str | Path, size: int, crop: float = 1.0) -> Bytes:
    """Read one image file as RGB: its centre square, scaled, and the middle of that.

    Whoever measures a model on files reads them here, so that it sees the same pixels every time.
    JPEGs are scaled while they are decoded, then resized with an antialiased bicubic filter.
    EXIF rotation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits,
    CMYK is converted without a colour profile, and of an animation the first frame counts.

    Parameters
    ----------
    path : the file
    size : side of the result in pixels: uint8 (size, size, 3)
    crop : share of the square's side that is kept, 0.1 to 1; 1 is the whole square, scaled to
        ``size``. With 0.875 and a size of 224, the square has 256 pixels and loses 16 on each side.

    Raises
    ------
    ValueError
        If crop is out of range.
    UnreadableImageError
        If the file is corrupt, truncated, no image, of an unknown pixel format, or declares more
        than ``MAX_PIXELS`` pixels (a decompression bomb; it is refused before decoding).
    """
    if not 0.1 <= crop <= 1:
        raise ValueError(f"crop must be between 0.1 and 1, a share of the side, got {crop}")
    side = round(size / crop)
    image = ImageOps.fit(decode(path, side), (side, side), Image.Resampling.BICUBIC)
    edge = (side - size) // 2
    return np.asarray(image)[edge : edge + size, edge : edge + size]


def decode(path: str | Path, size: int = 0) -> Image.Image:
    """Return the image in a file, upright and in RGB; UnreadableImageError as `read_image`.

    A JPEG may be scaled down while it is decoded, to no less than ``size``, unless that is 0.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}: refused "
                    "as a decompression bomb"
                )
            if size:
                image.draft(None, (size, size))
            return _to_rgb(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise UnreadableImageError(f"{path}: {error or type(error).__name__}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow mode to RGB without clipping and with transparency on white."""
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode!r} have no known range; save it as 8-bit")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def read_images(
    paths: Sequence[Path],
    size: int,
    on_error: OnError = "raise",
    n_jobs: int | None = None,
    progress: bool = False,
    crop: float = 1.0,
) -> tuple[Bytes, np.ndarray]:
    """Read many image files in threads (Pillow's decoders release Python's lock).

    Returns the images (n, size, size, 3) and the indices into ``paths`` of those that were read;
    for the arguments and errors see `minibag.data.image_folder`.
    """
    if size < 1 or on_error not in ("raise", "skip") or (n_jobs is not None and n_jobs < 1):
        raise ValueError(
            "size and n_jobs must be at least 1 and on_error 'raise' or 'skip', "
            f"got size={size}, n_jobs={n_jobs}, on_error={on_error!r}"
        )
    images = np.empty((len(paths), size, size, 3), np.uint8)
    errors: list[str] = []
    kept: list[int] = []
    with ThreadPoolExecutor(n_jobs or cpu_count()) as pool:
        results: Iterator = pool.map(partial(_image_or_error, size=size, crop=crop), paths)
        results = tqdm(results, total=len(paths), unit="image", disable=not progress)
        for i, result in enumerate(results):
            if isinstance(result, UnreadableImageError):
                errors.append(str(result))
            else:
                images[len(kept)] = result  # closes up over skipped files
                kept.append(i)
    if errors:
        _report(errors, on_error)
    return images[: len(kept)], np.asarray(kept, dtype=int)


def _image_or_error(path: Path, size: int, crop: float) -> Bytes | UnreadableImageError:
    try:
        return read_image(path, size, crop)
    except UnreadableImageError as error:
        return error


def _report(errors: list[str], on_error: OnError) -> None:
    """Raise or warn, once, with every unreadable file."""
    listing = f"{len(errors)} unreadable image files:\n  " + "\n  ".join(errors)
    if on_error == "raise":
        raise UnreadableImageError(listing)
    warnings.warn(f"skipped {listing}", stacklevel=4)
