"""Imagenette in torchvision's layouts; photos out of installed packages."""

import socket
import sys

import numpy as np
import pytest
from PIL import Image

from minibag.data import imagenette, photos
from minibag.data.imagenette import NAMES, find_imagenette
from minibag.data.photos import CELL, GAP, PHOTOGRAPHS, TILES, _tile


def copy_of(root, name, side=40, count=3):
    for i, wnid in enumerate(NAMES):
        for split in ("train", "val"):
            folder = root / name / split / wnid
            folder.mkdir(parents=True)
            for k in range(count):
                Image.new("RGB", (side, side), (20 * i, 60 * k, 100)).save(folder / f"{k}.JPEG")


def test_classes_have_their_names(tmp_path):
    copy_of(tmp_path, "imagenette2-160")
    made = imagenette("val", 32, tmp_path)
    assert made.images.shape == (30, 32, 32, 3)
    assert made.classes[0] == "tench"
    assert made.classes[9] == "parachute"
    assert np.bincount(made.labels).tolist() == [3] * 10
    assert np.abs(made.images[made.labels == 5][0, 0, 0] - [100, 0, 100]).max() < 8


def test_names_are_those_of_torchvision():
    torchvision = pytest.importorskip("torchvision.datasets")
    assert {k: v[0] for k, v in torchvision.Imagenette._WNID_TO_CLASS.items()} == NAMES


def test_a_limit_takes_the_first_images_of_each_class(tmp_path):
    copy_of(tmp_path, "imagenette2")
    made = imagenette("train", 16, tmp_path, limit=2)
    assert np.bincount(made.labels).tolist() == [2] * 10
    assert made.images[:2, 0, 0, 1].tolist() == [0, 60]


def test_the_smallest_copy_that_is_large_enough_is_read(tmp_path):
    for name in ("imagenette2-160", "imagenette2-320"):
        (tmp_path / name).mkdir()
    assert find_imagenette(tmp_path, 128).name == "imagenette2-160"
    assert find_imagenette(tmp_path, 224).name == "imagenette2-320"
    assert find_imagenette(tmp_path, 500).name == "imagenette2-320"
    (tmp_path / "imagenette2").mkdir()
    assert find_imagenette(tmp_path, 500).name == "imagenette2"


def test_the_root_is_minibag_data_then_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "imagenette2").mkdir(parents=True)
    (tmp_path / "other" / "imagenette2").mkdir(parents=True)
    monkeypatch.delenv("MINIBAG_DATA", raising=False)
    assert find_imagenette().resolve() == (tmp_path / "data" / "imagenette2")
    (tmp_path / "notebooks").mkdir()  # where lessons run
    monkeypatch.chdir(tmp_path / "notebooks")
    assert find_imagenette().resolve() == (tmp_path / "data" / "imagenette2")
    monkeypatch.setenv("MINIBAG_DATA", str(tmp_path / "other"))
    assert find_imagenette() == tmp_path / "other" / "imagenette2"


def test_a_missing_set_names_the_command_that_fetches_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python data_scripts/get_imagenette\.py"):
        imagenette("val", root=tmp_path)


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="test"):
        imagenette("test", root=tmp_path)
    with pytest.raises(ValueError, match="limit"):
        imagenette("val", root=tmp_path, limit=0)
    copy_of(tmp_path, "imagenette2", count=1)
    (tmp_path / "imagenette2" / "val" / "n00000000").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "imagenette2" / "val" / "n00000000" / "0.JPEG")
    with pytest.raises(ValueError, match="n00000000"):
        imagenette("val", root=tmp_path)


@pytest.mark.imagenette
def test_real_photographs_load():
    made = imagenette("val", 64, limit=3)
    assert made.images.shape == (30, 64, 64, 3)
    assert made.images.std() > 40


def test_photos_need_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("photos() went to the network")

    monkeypatch.setattr(socket, "socket", refuse)
    made = photos("train", 32, per_class=3)
    assert made.classes == tuple(PHOTOGRAPHS)
    assert np.bincount(made.labels).tolist() == [3] * len(PHOTOGRAPHS)
    assert min(made.images[made.labels == k].std() for k in range(len(PHOTOGRAPHS))) > 5


def test_train_and_test_tiles_stay_in_cells_of_their_colour():
    rng = np.random.default_rng(0)
    for black in (False, True):
        for _ in range(300):
            left, top, side = _tile(rng, 640, 427, black)
            row, column = top // CELL, left // CELL
            assert (row + column) % 2 == black
            assert side in TILES
            for start in (top, left):
                assert GAP // 2 <= start % CELL <= CELL - GAP // 2 - side
            assert left + side <= 600
            assert top + side <= 400


def test_photos_depend_on_the_seed_and_refuse_unknown_splits():
    one, two = photos("test", 24, 2, seed=1), photos("test", 24, 2, seed=2)
    np.testing.assert_array_equal(one.images, photos("test", 24, 2, seed=1).images)
    assert not np.array_equal(one.images, two.images)
    with pytest.raises(ValueError, match="val"):
        photos("val")
    with pytest.raises(ValueError, match="positive"):
        photos("train", per_class=0)


def test_data_needs_no_torch():
    import subprocess

    code = "import minibag.data, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
