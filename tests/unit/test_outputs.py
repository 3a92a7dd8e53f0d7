"""Files that are written whole: only a file or nothing is ever replaced, whatever lies there."""

import os
import resource
import secrets
import stat
from pathlib import Path

import pytest

from minibag.machine import check_folder, check_output, whole_file


def write(path, text="new"):
    with whole_file(path) as part:
        part.write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("old", ["old", None], ids=["replaced", "dangling"])
def test_a_link_stays_and_what_it_points_to_is_written(tmp_path, old):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    if old:
        (tmp_path / "there" / "file").write_text(old)
    (tmp_path / "here" / "link").symlink_to("../there/file")
    (tmp_path / "here" / "second").symlink_to("link")
    check_output(tmp_path / "here" / "second")
    write(tmp_path / "here" / "second")
    assert (tmp_path / "there" / "file").read_text() == "new"
    assert (tmp_path / "here" / "second").is_symlink()
    assert names(tmp_path / "here") == ["link", "second"]
    assert names(tmp_path / "there") == ["file"]


@pytest.mark.parametrize("kind", ["FIFO", "link to a FIFO", "device", "folder"])
@pytest.mark.parametrize("act", [check_output, write])
def test_what_is_neither_file_nor_nothing_is_refused_and_stays(tmp_path, kind, act):
    path = tmp_path / "there"
    if "FIFO" in kind:
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    if "link" in kind:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    path = Path("/dev/null") if kind == "device" else path
    before = path.stat(), names(tmp_path)
    with pytest.raises(OSError, match=f"^{path} is a folder, a device or a FIFO"):
        act(path)
    assert (path.stat().st_ino, path.stat().st_mode) == (before[0].st_ino, before[0].st_mode)
    assert names(tmp_path) == before[1]


@pytest.mark.parametrize("act", [check_output, write])
def test_a_link_planted_under_the_temporary_name_is_not_followed(tmp_path, monkeypatch, act):
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda n: "guessed")
    (tmp_path / "file.guessed.part").symlink_to("victim")
    (tmp_path / f"file.{os.getpid()}.part").symlink_to("victim")
    with pytest.raises(FileExistsError):
        act(tmp_path / "file")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "file").exists()
    monkeypatch.undo()
    act(tmp_path / "file")
    assert (tmp_path / "victim").read_text() == "precious"


def test_temporary_names_differ_every_time(tmp_path):
    with whole_file(tmp_path / "file") as one, whole_file(tmp_path / "file") as two:
        assert one.parent == two.parent == tmp_path
        assert one != two


def test_permissions_are_those_of_the_file_replaced_or_what_the_user_gives_new_ones(tmp_path):
    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o640)
    before = os.umask(0o027)
    try:
        write(tmp_path / "old")
        write(tmp_path / "new")
        (tmp_path / "usual").write_text("")
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    assert modes["old"] == 0o640
    assert modes["new"] == modes["usual"] == 0o640
    (tmp_path / "old").chmod(0o604)
    write(tmp_path / "old")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_write_protected_file_or_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"):
        check_output(tmp_path / "file")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match=r"'.*/new'"):
            check_output(tmp_path / "new")
    finally:
        tmp_path.chmod(0o755)


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    write(tmp_path / "file", "old")

    def stopped():
        with whole_file(tmp_path / "file") as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_disk_that_takes_no_more_is_told_with_the_name_of_the_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a disk that is full
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/file'"):
            write(tmp_path / "file", "x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "犬" * 85, "a.part"])
def test_the_longest_names_that_the_system_allows_can_be_written(tmp_path, name):
    check_output(tmp_path / name)
    write(tmp_path / name)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("act", [check_output, write])
def test_longer_names_and_missing_folders_are_told(tmp_path, act):
    with pytest.raises(OSError, match="File name too long"):
        act(tmp_path / ("x" * 256))
    with pytest.raises(FileNotFoundError, match="lies in a folder that is not there"):
        act(tmp_path / "no" / "file")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        act(tmp_path / "loop")


def test_a_folder_is_tried_before_it_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to("gone")
    check_folder(tmp_path)
    check_folder(tmp_path / "a" / "b")
    for wrong in ("file", "file/run", "nowhere", "nowhere/run"):
        with pytest.raises(NotADirectoryError, match=f"{wrong.split('/')[0]} is no folder"):
            check_folder(tmp_path / wrong)
    assert names(tmp_path) == ["file", "nowhere"]
