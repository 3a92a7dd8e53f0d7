"""Critters on disk are the critters in memory."""

import make_critters
import numpy as np

from minibag.data import critters, image_folder


def test_the_folder_holds_the_same_critters(tmp_path):
    args = ["--out", str(tmp_path), "--train", "12", "--size", "48", "--seed", "3", "--masks"]
    assert make_critters.main(args) == 0
    made, read = critters("train", 12, 48, 3), image_folder(tmp_path / "train", 48)
    assert set(read.classes) == set(made.classes)
    order = np.argsort([made.classes[label] for label in made.labels], kind="stable")
    np.testing.assert_array_equal(read.images, made.images[order])
    masks = image_folder(tmp_path / "train-masks", 48).images[..., 0] == 255
    np.testing.assert_array_equal(masks, made.masks[order])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "train-masks"]


def test_an_old_folder_is_not_overwritten(tmp_path, capsys):
    args = ["--out", str(tmp_path), "--test", "8", "--size", "32"]
    assert make_critters.main(args) == 0
    assert make_critters.main(args) == 1
    assert "already there" in capsys.readouterr().err


def test_layouts_can_be_written(tmp_path):
    args = ["--out", str(tmp_path), "--val", "4", "--size", "32", "--arrangement"]
    assert make_critters.main(args) == 0
    assert sorted(path.name for path in (tmp_path / "val").iterdir()) == ["columns", "rows"]


def test_faults_end_in_one_line_and_a_home_is_expanded(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", "/proc/nix", tmp_path / ("n" * 300)):
        assert make_critters.main(["--out", str(out), "--test", "2", "--size", "32"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("make_critters: ")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert make_critters.main(["--out=~/new", "--test", "8", "--size", "32"]) == 0
    assert (tmp_path / "new" / "test").is_dir()
    assert not (tmp_path / "~").exists()


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    args = ["--out", str(tmp_path), "--test", "8", "--size", "32"]
    (tmp_path / ".test.partial" / "tree" / "nonsense").mkdir(parents=True)
    assert make_critters.main(args) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["test"]
    assert "nonsense" not in [path.name for path in (tmp_path / "test").iterdir()]
