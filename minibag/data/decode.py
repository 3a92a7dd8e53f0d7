"""From an image file, whatever is inside it, to size x size RGB bytes, or one clear error."""

from __future__ import annotations

import re
import stat
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm.auto import tqdm

from minibag.data.imageset import Bytes
from minibag.machine import cpu_count, expand

MAX_PIXELS = 89_478_485  # Pillow's own limit (a quarter of a GiB of RGB), here always enforced
MAX_SCANS = 100  # as in libtiff; progressive JPEGs have about 10, and each one costs a pass
# Pillow knows more, among them some that start other programs: PostScript starts Ghostscript.
Image.init()
WANTED = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
FORMATS = [kind for kind in WANTED if kind in Image.OPEN]  # not every Pillow has AVIF
_ENDINGS = Image.registered_extensions().items()
SUFFIXES = {end for end, kind in _ENDINGS if kind in (*FORMATS, "MPO")}  # a JPEG with more behind

UPRIGHT = {  # EXIF's orientation -> how the pixels become upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

OnError = Literal["raise", "skip"]
Transparent = int | tuple[int, ...] | bytes | None  # one value, a colour, or alpha by palette index
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # those with a segment, and the end


class UnreadableImageError(ValueError):
    """One or more image files could not be read; the message names each and says why."""


def read_image(path: str | Path, size: int, crop: float = 1.0) -> Bytes:
    """Read one image file as RGB: its centre square, scaled, and the middle of that.

    Whoever measures a model on files reads them here, so that it sees the same pixels every time.
    JPEGs are scaled while they are decoded, then resized with an antialiased bicubic filter.
    EXIF rotation is applied where it can be read, transparency is laid on white, 16-bit grey is
    scaled to 8 bits, CMYK is converted without a colour profile, and of an animation the first
    frame counts.

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
        If the file is corrupt, truncated, no image of a kind in ``FORMATS``, of an unknown pixel
        format, or would cost too much: it declares more than ``MAX_PIXELS`` pixels (a decompression
        bomb) or is a JPEG of more than ``MAX_SCANS`` scans; both are refused before decoding.
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
    path = expand(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("a folder, device or pipe, not a file")
        with Image.open(path, formats=FORMATS) as image:
            _check_cost(image, path)
            if size:
                image.draft(None, (size, size))
            key = _transparent_value(image)
            image.load()  # orientation comes after it: a TIFF may be upright by now
            upright = UPRIGHT.get(_orientation(image))
            rgb = _to_rgb(image, key)
            return rgb.transpose(upright) if upright is not None else rgb
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise UnreadableImageError(f"{path}: no image of a kind read here ({known})") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on broken files
        raise UnreadableImageError(f"{path}: {error or type(error).__name__}") from error


def _check_cost(image: Image.Image, path: Path) -> None:
    """Raise ValueError for an image, not decoded yet, that would cost much more than it shows."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}: refused "
            "as a decompression bomb"
        )
    if image.format in ("JPEG", "MPO") and (scans := count_scans(path.read_bytes())) > MAX_SCANS:
        raise ValueError(f"a JPEG of {scans:,} scans, more than {MAX_SCANS}: refused as too slow")


def count_scans(jpeg: bytes) -> int:
    """Return how often a JPEG file (ITU-T T.81, annex B) goes over its pixels, at least."""
    scans, at = 0, 2  # behind the marker that starts the image
    while found := MARKER.search(jpeg, at):
        kind, at = found[0][-1], found.end()
        if kind == 0xD9:  # end of the image; what follows is another one, or a film
            break
        scans += kind == 0xDA
        at += int.from_bytes(jpeg[at : at + 2])  # skips what the segment holds, such as a thumbnail
    return scans


def _orientation(image: Image.Image) -> Any:
    """Return the EXIF orientation, 1 to 8 in a sound file; 1 where it cannot be read.

    A picture whose EXIF block is broken can still be seen, as it lies.
    """
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, struct.error, ValueError, TypeError, LookupError, OSError):
        return 1


def _transparent_value(image: Image.Image) -> Transparent:
    """Return the grey or colour that means transparent, at the depth of the pixels, if one does.

    Call it before the image is loaded. Pillow scales the pixels of PNGs of 2, 4 and 16 bits to 8,
    but not that value.
    """
    key, tile = image.info.get("transparency"), getattr(image, "tile", None)
    raw = str(tile[0].args) if tile and image.format == "PNG" else ""
    if isinstance(key, tuple) and raw == "RGB;16B":
        return tuple(value >> 8 for value in key)
    if isinstance(key, int) and raw in ("L;2", "L;4"):
        return key * (85 if raw == "L;2" else 17)
    return key


def _to_rgb(image: Image.Image, key: Transparent) -> Image.Image:
    """Convert any Pillow mode to RGB without clipping and with transparency on white."""
    wide = image.mode.startswith("I;16") or (image.mode, image.format) == ("I", "PPM")
    if wide:
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        if isinstance(key, int):
            grey[values == key] = 255
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode!r} have no known range; save it as 8-bit")
    if image.has_transparency_data:
        if key is not None:
            image.info["transparency"] = key
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
