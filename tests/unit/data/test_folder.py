"""Image files of every kind: right, or one clear error that names the file."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from minibag.data import UnreadableImageError, image_folder, stream_folder
from minibag.data.decode import read_image

RED, GREEN, BLUE = (200, 30, 40), (20, 180, 60), (30, 60, 220)


def flag(width: int = 90, height: int = 60) -> Image.Image:
    """Red at the left, green in the middle, blue at the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for i, colour in enumerate((RED, GREEN, BLUE)):
        pixels[:, i * width // 3 : (i + 1) * width // 3] = colour
    return Image.fromarray(pixels)


def near(pixel, colour, by=12):
    return np.abs(np.asarray(pixel, int) - colour).max() <= by


def saved(tmp_path, image: Image.Image, name: str, **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_the_short_side_is_scaled_and_the_centre_kept(tmp_path):
    image = read_image(saved(tmp_path, flag(), "flag.png"), 30)
    assert image.shape == (30, 30, 3)
    assert near(image[15, 15], GREEN)
    assert near(image[15, 0], RED)  # 22 of 45 columns left of the centre are in the crop
    assert near(image[15, -1], BLUE)


@pytest.mark.parametrize(("size", "crop", "side"), [(14, 7 / 8, 16), (31, 7 / 8, 35), (40, 1, 40)])
def test_of_the_scaled_square_the_middle_is_kept(tmp_path, size, crop, side):
    rng = np.random.default_rng(0)
    wide = Image.fromarray(rng.integers(0, 256, (30, 50, 3), np.uint8))
    image = read_image(saved(tmp_path, wide, "wide.png"), size, crop)
    square = wide.resize((side, side), Image.Resampling.BICUBIC, box=(10, 0, 40, 30))
    left = (side - size) // 2
    expected = square.crop((left, left, left + size, left + size))
    np.testing.assert_array_equal(image, np.asarray(expected))


def test_jpegs_scaled_while_decoding_equal_a_full_decode(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8)).resize((800, 800))
    image = read_image(saved(tmp_path, smooth, "big.jpg", quality=95), 64)
    expected = np.asarray(smooth.resize((64, 64), Image.Resampling.BICUBIC), int)
    assert np.abs(image - expected).mean() < 2


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "PA"])
def test_every_common_pixel_format_keeps_its_look(tmp_path, mode):
    suffix = {"CMYK": "jpg", "YCbCr": "jpg", "HSV": "tif", "PA": "tif"}.get(mode, "png")
    source = flag().convert(mode) if mode != "HSV" else flag().convert("YCbCr")
    if mode == "PA":
        source = flag().convert("P").convert("PA")
    options = {"quality": 98} if suffix == "jpg" else {}
    image = read_image(saved(tmp_path, source, f"flag.{suffix}", **options), 60)
    expected = source.convert("RGB").crop((15, 0, 75, 60))
    assert np.abs(np.asarray(expected, int) - image).mean() < 3


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(64, 0)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        image = read_image(tmp_path / name, 64)
        assert np.abs(image[0, :, 0].astype(int) - ramp[0] / 257).max() <= 1


def test_transparency_is_laid_on_white(tmp_path):
    clear = flag().convert("RGBA")
    clear.putalpha(0)
    assert (read_image(saved(tmp_path, clear, "clear.png"), 8) == 255).all()
    palette = flag().quantize(8)
    index = palette.getpixel((0, 0))
    image = read_image(saved(tmp_path, palette, "p.png", transparency=index), 60)
    assert (image[30, 0] == 255).all()
    assert near(image[30, 30], GREEN)


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show the file rotated by 90 degrees clockwise
    image = read_image(saved(tmp_path, flag(60, 60), "turned.jpg", exif=exif, quality=95), 60)
    assert near(image[5, 30], RED)
    assert near(image[55, 30], BLUE)


def test_of_an_animation_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, GREEN)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert near(read_image(path, 10)[5, 5], RED)


def test_one_pixel_fills_the_image(tmp_path):
    path = saved(tmp_path, Image.new("RGB", (1, 1), BLUE), "dot.png")
    assert (read_image(path, 9) == BLUE).all()


def bomb(path):
    """A PNG of a few bytes that declares 60,000 x 60,000 pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def truncated(path):
    flag(300, 300).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-900])
    return path


def float_tiff(path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    return path


def wide_tiff(path):
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(path)
    return path


def text(path):
    path.write_text("no image")
    return path


def empty(path):
    path.touch()
    return path


BAD = {
    "bomb.png": bomb,
    "cut.jpg": truncated,
    "float.tif": float_tiff,
    "wide.tif": wide_tiff,
    "text.png": text,
    "empty.gif": empty,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_error_that_names_it(tmp_path, name):
    with pytest.raises(UnreadableImageError, match=name):
        read_image(BAD[name](tmp_path / name), 32)


def test_a_bomb_within_pillows_warning_range_is_refused_too(tmp_path):
    path = saved(tmp_path, Image.new("1", (10_000, 9_000)), "large.png")
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(UnreadableImageError, match="decompression bomb"),
    ):
        read_image(path, 8)


@pytest.fixture
def folder(tmp_path):
    """Three classes with 3, 2 and 4 images, hidden files and files of other kinds."""
    for name, colour, count in (("b", RED, 3), ("a", GREEN, 2), ("c", BLUE, 4)):
        (tmp_path / name / "deeper").mkdir(parents=True)
        for i in range(count):
            below = tmp_path / name / ("deeper" if i == 0 else ".")
            Image.new("RGB", (20 + i, 30), colour).save(below / f"{i}.{'PNG' if i else 'jpeg'}")
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / ".hidden.png").touch()
    (tmp_path / "a" / "notes.txt").touch()
    return tmp_path


def test_a_folder_of_class_folders_becomes_an_image_set(folder):
    made = image_folder(folder, 16)
    assert made.classes == ("a", "b", "c")
    assert made.labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    for image, label in zip(made.images, made.labels, strict=True):
        assert near(image[8, 8], (GREEN, RED, BLUE)[label])


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_threads_do_not_change_the_result(folder, n_jobs):
    expected = image_folder(folder, 16)
    np.testing.assert_array_equal(image_folder(folder, 16, n_jobs=n_jobs).images, expected.images)


def test_all_unreadable_files_are_listed_in_one_error(folder):
    text(folder / "a" / "x.png")
    truncated(folder / "c" / "y.jpg")
    with pytest.raises(UnreadableImageError, match=r"(?s)2 unreadable.*x\.png.*y\.jpg"):
        image_folder(folder, 16)


def test_unreadable_files_can_be_skipped_with_a_warning(folder):
    good = image_folder(folder, 16)
    text(folder / "b" / "0.png")
    with pytest.warns(UserWarning, match=r"(?s)skipped 1 unreadable.*0\.png"):
        made = image_folder(folder, 16, on_error="skip")
    np.testing.assert_array_equal(made.images, good.images)
    np.testing.assert_array_equal(made.labels, good.labels)


def test_a_folder_without_one_readable_file_is_an_error_even_when_skipping(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        text(tmp_path / name / "x.png")
    with pytest.warns(match="skipped"), pytest.raises(UnreadableImageError, match="not one"):
        image_folder(tmp_path, 16, on_error="skip")


def test_a_stream_leaves_out_a_batch_of_unreadable_files(folder):
    truncated(folder / "c" / "y.jpg")
    with pytest.warns(UserWarning, match=r"y\.jpg"):
        batches = list(stream_folder(folder, 16, batch_size=1, seed=None, on_error="skip"))
    assert [int(batch.labels[0]) for batch in batches] == [0, 0, 1, 1, 1, 2, 2, 2, 2]


def test_progress_is_shown_on_request(folder, capsys):
    image_folder(folder, 16, progress=True)
    assert "9/9" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kwargs", [{"size": 0}, {"n_jobs": 0}, {"on_error": "ignore"}, {"crop": 1.5}]
)
def test_arguments_out_of_range_are_refused(folder, kwargs):
    with pytest.raises(ValueError, match=str(next(iter(kwargs.values())))):
        image_folder(folder, **{"size": 16, **kwargs})


def test_folders_that_are_no_data_set_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        image_folder(tmp_path / "nowhere", 16)
    with pytest.raises(ValueError, match="sub-folders"):
        image_folder(tmp_path, 16)
    (tmp_path / "hollow").mkdir()
    with pytest.raises(ValueError, match="hollow"):
        image_folder(tmp_path, 16)


@pytest.mark.parametrize("seed", [None, 0])
def test_a_stream_yields_every_image_once_with_the_same_labels(folder, seed):
    whole = image_folder(folder, 16)
    batches = list(stream_folder(folder, 16, batch_size=4, seed=seed))
    assert [len(batch) for batch in batches] == [4, 4, 1]
    assert {batch.classes for batch in batches} == {whole.classes}

    def content(sets):
        return [(s.images[i].tobytes(), int(s.labels[i])) for s in sets for i in range(len(s))]

    if seed is None:
        assert content(batches) == content([whole])
    assert sorted(content(batches)) == sorted(content([whole]))


def test_folders_and_streams_read_as_one_image_is_read(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        path = saved(tmp_path / name, flag(), "flag.png")
    for crop in (1, 0.5):
        expected = read_image(path, 16, crop)[None]
        assert (image_folder(tmp_path, 16, crop=crop).images == expected).all()
        assert (next(stream_folder(tmp_path, 16, crop=crop)).images == expected).all()
    assert near(expected[0, 8, 0], GREEN, by=20)  # red in the whole square


def test_a_stream_fails_at_the_call_not_later(tmp_path):
    with pytest.raises(FileNotFoundError):
        stream_folder(tmp_path / "nowhere", 16)
    with pytest.raises(ValueError, match="batch_size"):
        stream_folder(tmp_path, 16, batch_size=0)
