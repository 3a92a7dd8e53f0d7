"""Arranging ILSVRC-2012 archives, on tiny ones of the same structure."""

import hashlib
import io
import tarfile

import get_imagenet
import numpy as np
import pytest
from _work import DataError
from get_imagenet import arrange
from scipy.io import savemat

WNIDS = ("n00000001", "n00000002")
TRUTH = (2, 1, 1, 2)


def tar(members: dict[str, bytes], mode="w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return file.getvalue()


def devkit() -> bytes:
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
    rows = [(1, WNIDS[0], 0), (2, WNIDS[1], 0), (3, "n00000003", 2)]
    file = io.BytesIO()
    savemat(file, {"synsets": np.array(rows, dtype=fields)})
    truth = "\n".join(map(str, TRUTH)).encode()
    data = {"meta.mat": file.getvalue(), "ILSVRC2012_validation_ground_truth.txt": truth}
    return tar({f"kit/data/{name}": content for name, content in data.items()}, "w:gz")


@pytest.fixture
def archives(tmp_path):
    """Return the folder of the archives and their names and MD5s."""
    folder = tmp_path / "archives"
    folder.mkdir()
    inner = {f"{w}.tar": tar({f"{w}_{i}.JPEG": b"jpeg" for i in range(3)}) for w in WNIDS}
    val = {f"ILSVRC2012_val_{i:08d}.JPEG": str(i).encode() for i in (1, 2, 3, 4)}
    contents = {"train": tar(inner), "val": tar(val), "devkit": devkit()}
    for part, content in contents.items():
        (folder / part).write_bytes(content)
    return folder, {part: (part, hashlib.md5(c).hexdigest()) for part, c in contents.items()}


def test_archives_become_class_folders(archives, tmp_path):
    root = tmp_path / "root"
    arrange(archives[0], root, archives[1])
    assert sorted(path.name for path in root.iterdir()) == ["train", "val"]
    assert sorted(p.name for p in (root / "train" / WNIDS[0]).iterdir())[0] == "n00000001_0.JPEG"
    for number, label in enumerate(TRUTH, start=1):
        image = root / "val" / WNIDS[label - 1] / f"ILSVRC2012_val_{number:08d}.JPEG"
        assert image.read_text() == str(number)


def test_a_split_that_is_there_is_left_alone(archives, tmp_path):
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    arrange(archives[0], root, archives[1])
    assert list((root / "train").iterdir()) == []
    assert (root / "val").is_dir()


@pytest.mark.parametrize("part", ["train", "val", "devkit"])
def test_a_wrong_archive_is_refused(archives, tmp_path, part):
    (archives[0] / part).write_bytes(b"another file")
    with pytest.raises(DataError, match="MD5"):
        arrange(archives[0], tmp_path / "root", archives[1])
    assert not (tmp_path / "root" / ("val" if part == "val" else "train")).exists()
    assert not list((tmp_path / "root").glob(".*"))


def test_a_missing_archive_is_named(archives, tmp_path):
    (archives[0] / "val").unlink()
    with pytest.raises(DataError, match="val"):
        arrange(archives[0], tmp_path / "root", archives[1])


@pytest.mark.parametrize("evil", ["../../evil.tar", "notes.txt"])
def test_foreign_members_stop_the_run_and_leave_nothing(archives, tmp_path, evil):
    folder, meta = archives
    content = tar({evil: b"xxx"})
    (folder / "train").write_bytes(content)
    meta = {**meta, "train": ("train", hashlib.md5(content).hexdigest())}
    with pytest.raises(DataError):
        arrange(folder, tmp_path / "root", meta)
    assert not list((tmp_path / "root").glob("**/*"))
    assert not (tmp_path / "evil.tar").exists()


def test_the_command_checks_a_folder(tmp_path, capsys, monkeypatch):
    for wnid in WNIDS:
        (tmp_path / "train" / wnid).mkdir(parents=True)
        (tmp_path / "train" / wnid / "a.JPEG").write_bytes(b"x")
    assert get_imagenet.main(["--root", str(tmp_path), "--check"]) == 1
    assert "2 classes and 2 images, expected 1000 classes and 1,281,167" in capsys.readouterr().err
    monkeypatch.setattr(get_imagenet, "EXPECTED", {"train": (2, 2)})
    assert get_imagenet.main(["--root", str(tmp_path), "--check"]) == 0


def test_the_command_wants_archives_or_a_check(tmp_path):
    with pytest.raises(SystemExit):
        get_imagenet.main(["--root", str(tmp_path)])
    assert get_imagenet.main(["--root", str(tmp_path), "--archives", str(tmp_path)]) == 1
