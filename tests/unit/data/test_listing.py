"""What counts in a folder of pictures: what a person would count."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minibag.data import image_folder, stream_folder
from minibag.data.folder import list_folder, splits_of
from minibag.machine import expand, whole_file


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (90, 20, 160)).save(path)
    return path


@pytest.fixture
def root(tmp_path):
    """Two classes: cats has one picture, dogs has two, one of them deeper."""
    for name in ("cats/1.png", "dogs/1.png", "dogs/young/2.png"):
        picture(tmp_path / "pets" / name)
    return tmp_path / "pets"


def listed(root: Path) -> dict[str, int]:
    files, labels, classes = list_folder(root)
    assert labels.dtype == np.int64
    assert len(files) == len(labels)
    return {name: int((labels == label).sum()) for label, name in enumerate(classes)}


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints", "@eaDir", "__MACOSX", "__pycache__", "lost+found", "$RECYCLE.BIN",
        "$Recycle.Bin", "#recycle", "@Recycle", "System Volume Information", ".Trash-1000",
    ],
)  # fmt: skip
def test_folders_of_systems_and_tools_do_not_count(root, name):
    for place in (root, root / "cats", root / "dogs" / "young"):
        picture(place / name / "1-checkpoint.png")
    assert listed(root) == {"cats": 1, "dogs": 2}


def test_files_of_systems_and_tools_do_not_count(root):
    for name in ("._1.png", ".hidden.jpg"):
        picture(root / "cats" / name)
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "labels.csv"):
        (root / "cats" / name).touch()
        (root / name).touch()
    assert listed(root) == {"cats": 1, "dogs": 2}


def test_classes_may_look_a_little_like_them(root):
    for name in ("$100", "#1", "@home", "__init__"):
        picture(root / name / "1.png")
    assert len(listed(root)) == 6


def test_linked_folders_count_once_and_never_in_a_circle(root, tmp_path):
    picture(tmp_path / "elsewhere" / "more" / "3.png")
    (root / "cats" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "cats" / "again").symlink_to(tmp_path / "elsewhere" / "more")
    for circle, target in (("here", "."), ("all", ".."), ("top", "/")):
        (root / "cats" / circle).symlink_to(target)
    (root / "cats" / "self").symlink_to(root / "cats" / "self")
    (root / "birds").symlink_to(tmp_path / "elsewhere")
    with pytest.warns(UserWarning, match=r"1 do not count: .*self "):
        assert listed(root) == {"birds": 1, "cats": 2, "dogs": 2}


def test_a_linked_picture_counts_and_a_broken_link_is_an_unreadable_one(root, tmp_path):
    (root / "cats" / "2.png").symlink_to(picture(tmp_path / "two.png"))
    assert listed(root)["cats"] == 2
    (tmp_path / "two.png").unlink()
    assert listed(root)["cats"] == 2
    with pytest.raises(ValueError, match=r"2\.png: .*No such file"):
        image_folder(root, 8)


@pytest.mark.parametrize(
    ("name", "count"), [("beside.jpg", 1), ("cats/phone.HEIC", 1), ("dogs/young/drawing.svg", 1)]
)
def test_pictures_that_do_not_count_are_told(root, name, count):
    (root / name).touch()
    with pytest.warns(UserWarning, match=rf"1 do not count: .*{Path(name).name} \("):
        assert listed(root) == {"cats": 1, "dogs": 2}


def test_a_class_that_is_a_link_to_a_disk_that_is_gone_is_told(root, tmp_path):
    (root / "birds").symlink_to(tmp_path / "unplugged")
    with pytest.warns(UserWarning, match="birds"):
        assert listed(root) == {"cats": 1, "dogs": 2}


def test_one_class_is_refused_and_the_folder_that_was_meant_named(root):
    with pytest.raises(ValueError, match=r"one class folder, 'pets'.*perhaps .*pets, if its"):
        list_folder(root.parent)
    with pytest.raises(ValueError, match=rf"one class folder, 'young'.*perhaps {root}\)"):
        list_folder(root / "dogs")
    with pytest.raises(ValueError, match="one class folder"):
        image_folder(root.parent, 8)
    with pytest.raises(ValueError, match="one class folder"):
        stream_folder(root.parent, 8)


@pytest.mark.parametrize(
    "names",
    [("train", "val"), ("training", "validation"), ("Train", "Test"), ("TRAIN", "valid"),
     ("training", "Testing"), ("val", "test"), ("train",), ("test",)],
)  # fmt: skip
def test_splits_are_known_and_never_classes(tmp_path, root, names):
    for name in names:
        for pet in ("cats", "dogs"):
            picture(tmp_path / "set" / name / pet / "1.png")
    splits = splits_of(tmp_path / "set")
    assert [folder.name for folder in splits.values()] == list(names)
    assert set(splits) <= {"train", "val", "test"}
    with pytest.raises(ValueError, match=rf"holds splits.*{names[0]}"):
        list_folder(tmp_path / "set")
    assert [listed(folder) for folder in splits.values()] == [{"cats": 1, "dogs": 1}] * len(names)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "car", "train"):
        picture(tmp_path / name / "1.png")
    assert splits_of(tmp_path) == {}
    assert listed(tmp_path) == {"bus": 1, "car": 1, "train": 1}


def test_a_training_split_may_have_other_folders_beside_it(tmp_path):
    picture(tmp_path / "train" / "cats" / "1.png")
    picture(tmp_path / "figures" / "1.png")
    assert splits_of(tmp_path) == {"train": tmp_path / "train"}
    assert splits_of(tmp_path / "nowhere") == {}


def test_two_folders_of_one_split_and_splits_inside_classes_are_refused(tmp_path):
    for split in ("val", "validation"):
        picture(tmp_path / "two" / split / "cats" / "1.png")
    with pytest.raises(ValueError, match="are the same split"):
        splits_of(tmp_path / "two")
    for name in ("cats/train/1.png", "cats/test/2.png", "dogs/train/1.png"):
        picture(tmp_path / "inside" / name)
    with pytest.raises(ValueError, match=r"cats/train, .*cats/test: splits go around classes"):
        list_folder(tmp_path / "inside")


def test_many_empty_classes_make_a_short_error(root):
    for i in range(2000):
        (root / f"empty{i}").mkdir()
    with pytest.raises(ValueError, match=r"2000 of 2002 .* and 1,995 more") as caught:
        list_folder(root)
    assert len(str(caught.value)) < 300


def test_classes_that_look_the_same_are_the_same(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for split, name in (("train", composed), ("val", apart)):
        for other in ("bar", "cafz"):
            picture(tmp_path / split / other / "1.png")
        picture(tmp_path / split / name / "1.png")
    train, val = (list_folder(tmp_path / split)[2] for split in ("train", "val"))
    assert train == val == ("bar", "cafz", composed)
    picture(tmp_path / "train" / apart / "1.png")
    with pytest.raises(ValueError, match=r"'cafe\\u0301' and 'caf\\xe9'.*Join them"):
        list_folder(tmp_path / "train")


def test_a_class_name_that_is_no_utf8_is_refused(root):
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(ValueError, match=r"'caf\\udce9' is not in UTF-8: rename") as caught:
        list_folder(root)
    str(caught.value).replace(str(root), "").encode()  # can be printed


def test_a_home_is_expanded_wherever_a_path_enters(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.chdir(root)
    assert expand("~/pets") == root
    assert expand("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")
    assert listed("~/pets") == {"cats": 1, "dogs": 2}
    assert len(image_folder("~/pets", 8)) == sum(len(b) for b in stream_folder("~/pets", 8)) == 3
    assert splits_of("~/pets") == {}
    with whole_file("~/new.txt") as part:
        part.touch()
    assert (root.parent / "new.txt").exists()
    assert not (root / "~").exists()
