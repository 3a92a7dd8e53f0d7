"""Pictures as an independent decoder shows them: torchvision's, or arithmetic on the pixels."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from minibag.data import UnreadableImageError
from minibag.data.decode import FORMATS, MAX_SCANS, count_scans, decode, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)
NO_EXIF = [b"xx", b"\0" * 9, b"Exif\0\0garbage!", b"MM\0*\0\0\0\x08\0", b"II*\0\xff\xff\xff\xff"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows: list[bytes], width: int, depth: int, colour: int, *chunks: bytes) -> bytes:
    """Return a PNG of packed rows; colour 0 is grey, 2 RGB, 3 a palette, 4 grey with alpha."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    parts = (chunk(b"IHDR", header), *chunks, body, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def kept(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(path: Path) -> np.ndarray:
    return np.asarray(decode(path))


@pytest.mark.parametrize("exif", NO_EXIF, ids=repr)
@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_picture_with_a_broken_exif_block_is_read_as_it_lies(tmp_path, kind, exif):
    image = Image.fromarray(PIXELS)
    if kind == "png":
        data = png([row.tobytes() for row in PIXELS], 20, 8, 2, chunk(b"eXIf", exif))
    else:
        options = {"webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}[kind]
        data = saved(image, kind, exif=exif, **options)
    found = shown(kept(tmp_path / f"x.{kind}", data)).astype(int)
    assert np.abs(found - PIXELS).max() <= (4 if kind == "jpeg" else 0)


def test_an_old_png_with_a_broken_raw_exif_profile_is_read(tmp_path):
    text = chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 10\nzz")
    data = png([row.tobytes() for row in PIXELS], 20, 8, 2, text)
    assert (shown(kept(tmp_path / "x.png", data)) == PIXELS).all()


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_every_orientation_is_turned_as_exif_defines_it(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(PIXELS), kind, exif=exif, **options)
    lying = np.asarray(Image.open(io.BytesIO(saved(Image.fromarray(PIXELS), kind, **options))))
    turned = {  # which rows and columns of the file are the top and left of the scene
        2: lying[:, ::-1], 3: lying[::-1, ::-1], 4: lying[::-1],
        5: lying.swapaxes(0, 1), 6: lying[::-1].swapaxes(0, 1),
        7: lying[::-1, ::-1].swapaxes(0, 1), 8: lying[:, ::-1].swapaxes(0, 1),
    }.get(orientation, lying)  # fmt: skip
    assert (shown(kept(tmp_path / "x", data)) == turned).all()
    if kind in ("PNG", "JPEG") and 1 <= orientation <= 8:
        raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        theirs = decode_image(raw, ImageReadMode.RGB, apply_exif_orientation=True)
        assert np.abs(shown(tmp_path / "x").astype(int) - theirs.permute(1, 2, 0).numpy()).max() < 3


GREYS = {1: [0, 1, 0, 1], 2: [0, 1, 2, 3], 4: [0, 5, 9, 15], 8: [0, 77, 78, 255]}
GREYS[16] = [0, 257 * 77, 257 * 77 + 1, 65535]


@pytest.mark.parametrize("depth", GREYS)
@pytest.mark.parametrize("transparent", [None, 0, 1, 3])
def test_grey_of_every_depth_keeps_its_transparent_value(tmp_path, depth, transparent):
    values = GREYS[depth]
    bits = "".join(f"{value:0{depth}b}" for value in values).ljust(8, "0")
    row = int(bits, 2).to_bytes(len(bits) // 8)
    key = () if transparent is None else (chunk(b"tRNS", struct.pack(">H", values[transparent])),)
    found = shown(kept(tmp_path / "x.png", png([row], 4, depth, 0, *key)))
    clear = [transparent is not None and value == values[transparent] for value in values]
    grey = [255 if c else v / (2**depth - 1) * 255 for v, c in zip(values, clear, strict=True)]
    assert np.abs(found[0] - np.array(grey)[:, None]).max() <= 0.5


@pytest.mark.parametrize("depth", [8, 16])
def test_colour_keeps_its_transparent_value(tmp_path, depth):
    colours = np.array([[1, 2, 3], [200, 30, 40], [7, 8, 9]])
    colours = colours * 256 + 17 if depth == 16 else colours  # the low byte is not the high one
    row = colours.astype(">u2" if depth == 16 else "u1").tobytes()
    key = chunk(b"tRNS", struct.pack(">3H", *colours[1]))
    found = shown(kept(tmp_path / "x.png", png([row], 3, depth, 2, key)))
    assert found.tolist() == [[[1, 2, 3], [255, 255, 255], [7, 8, 9]]]


def test_a_palette_with_graded_transparency_is_laid_on_white(tmp_path):
    palette = np.array([[200, 30, 40], [20, 180, 60], [30, 60, 220]], np.uint8)
    alpha = [255, 128, 0]
    chunks = chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", bytes(alpha))
    found = shown(kept(tmp_path / "x.png", png([bytes([0, 1, 2])], 3, 8, 3, *chunks)))
    share = np.array(alpha)[:, None] / 255
    assert np.abs(found[0] - (share * palette + (1 - share) * 255)).max() <= 1


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_files_of_either_byte_order_are_scaled(tmp_path, order):
    values = np.linspace(0, 65535, 8).astype("u2")[None].repeat(8, 0)
    expected = np.repeat((values / 257)[..., None], 3, 2)
    tiff = Image.frombytes("I;16B" if order == ">u2" else "I;16", (8, 8), values.astype(order))
    pgm = b"P5 8 8 65535\n" + values.astype(">u2").tobytes()
    for name, data in (("x.tif", saved(tiff, "TIFF")), ("x.pgm", pgm)):
        assert np.abs(shown(kept(tmp_path / name, data)) - expected).max() <= 0.5, name


def test_of_files_with_several_pictures_the_first_counts(tmp_path):
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    options = {"save_all": True, "append_images": [second]}
    for kind, more in (("PNG", {}), ("TIFF", {}), ("MPO", {"quality": 100, "subsampling": 0})):
        data = saved(first, kind, **options, **more)
        found = shown(kept(tmp_path / f"x.{kind.lower()}", data)).astype(int)
        assert np.abs(found - PIXELS).max() <= (4 if kind == "MPO" else 0), kind


@pytest.mark.parametrize("sides", [(64, 64), (65, 127), (128, 90), (255, 300), (700, 513)])
def test_a_jpeg_is_scaled_while_decoding_to_no_less_than_asked(tmp_path, sides):
    path = kept(tmp_path / "x.jpg", saved(Image.new("RGB", sides), "JPEG"))
    for size in (8, 33, 64):
        assert min(decode(path, size).size) >= size
        assert decode(path).size == sides


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_not_decoded_smaller_than_it_is_needed(tmp_path, side, progressive):
    """Stripes as fine as the result can show are there only if it was decoded that large."""
    period = 2 * side / 64
    wave = 127.5 + 127.5 * np.sign(np.sin(2 * np.pi * (np.arange(side) + 0.5) / period))
    grey = np.broadcast_to(wave, (side, side)).astype(np.uint8)
    data = saved(Image.fromarray(grey), "JPEG", quality=95, progressive=progressive)
    full = Image.fromarray(
        decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8))[0].numpy()
    )
    whole = np.asarray(full.resize((64, 64), Image.Resampling.BICUBIC), float)
    found = read_image(kept(tmp_path / "x.jpg", data), 64)[..., 0]
    assert whole.std() > 60
    assert found.std() > 0.75 * whole.std()
    assert np.corrcoef(found.ravel(), whole.ravel())[0, 1] > 0.95


def many_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is there many times."""
    data = saved(Image.fromarray(PIXELS), "JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    normal = count_scans(many_scans(0))
    assert normal == 10  # libjpeg's script for colour
    assert decode(kept(tmp_path / "fine.jpg", many_scans(MAX_SCANS - normal)))
    path = kept(tmp_path / "slow.jpg", many_scans(1990))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnreadableImageError, match=r"slow\.jpg: a JPEG of 2,000 scans, more than"):
        decode(path)


def test_scans_are_those_of_the_picture_alone():
    """Not of its thumbnail, of a second picture or film behind it, nor bytes that look alike."""
    thumbnail = saved(Image.fromarray(PIXELS), "JPEG")
    exif = b"Exif\0\0" + thumbnail * 3
    data = saved(Image.fromarray(PIXELS), "JPEG", exif=exif)
    assert data.count(b"\xff\xda") == 4
    assert count_scans(data) == 1
    assert count_scans(data + b"\xff\xda\0\x08" * 500) == 1
    assert count_scans(data[:-2]) == 1  # no end
    hidden = data[:-2] + b"\xff\x01\xff\xff" + b"\xff\xda\0\x02" * 7  # a marker without a segment
    assert count_scans(hidden) == 8


def test_only_listed_formats_are_opened_whatever_the_suffix(tmp_path, monkeypatch):
    """PostScript would start Ghostscript, another program, with a file from anywhere."""

    def start(*_args, **_options):
        pytest.fail("started a program")

    monkeypatch.setattr(subprocess, "check_call", start)
    monkeypatch.setattr(subprocess, "Popen", start)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    for name in ("x.jpg", "x.png", "x.eps"):
        with pytest.raises(UnreadableImageError, match=rf"{name}: no image of a kind read here"):
            decode(kept(tmp_path / name, script))
    for kind in ("PCX", "ICO", "TGA", "SGI", "IM"):
        assert kind not in FORMATS
        with pytest.raises(UnreadableImageError, match="no image of a kind"):
            decode(kept(tmp_path / "y.png", saved(Image.new("RGB", (16, 16)), kind)))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_only_files_are_read(tmp_path):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer, for ever
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("folder.png", "pipe.png", "device.png"):
        with pytest.raises(UnreadableImageError, match=rf"{name}: a folder, device or pipe"):
            read_image(tmp_path / name, 8)
    with pytest.raises(UnreadableImageError, match=r"gone\.png: .*No such file"):
        read_image(tmp_path / "gone.png", 8)
    with pytest.raises(UnreadableImageError, match="File name too long"):
        read_image(tmp_path / ("n" * 300 + ".png"), 8)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "WEBP", "AVIF"])
def test_every_listed_format_is_read(tmp_path, kind):
    if kind not in FORMATS:
        pytest.skip(f"this Pillow has no {kind}")
    smooth = Image.fromarray(PIXELS[:2, :2]).resize((64, 48), Image.Resampling.BICUBIC)
    found = shown(kept(tmp_path / "x", saved(smooth, kind))).astype(int)
    assert np.abs(found - np.asarray(smooth)).mean() < 12


def test_a_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(PIXELS).save(tmp_path / "x.png")
    assert (shown(Path("~/x.png")) == PIXELS).all()
