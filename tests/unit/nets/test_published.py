"""Published weights are checked before they get their name, and loaded strictly."""

import errno
import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

import minibag as mb
from minibag.nets import published


class Quiet(SimpleHTTPRequestHandler):
    """Writes no log."""

    def log_message(self, *args):
        pass


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A server on this machine with weights drawn at random, named as the published ones are."""
    (tmp_path / "shelf").mkdir()
    torch.manual_seed(1)
    torch.save(mb.bagnet9().state_dict(), tmp_path / "weights")
    digits = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()[:8]
    name = f"bagnet8-{digits}.pth.tar"
    (tmp_path / "weights").rename(tmp_path / "shelf" / name)
    handler = partial(Quiet, directory=tmp_path / "shelf")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(published, "ADDRESS", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setitem(published.FILES, 9, name)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    yield tmp_path / "shelf" / name
    server.shutdown()
    server.server_close()


def test_the_right_file_is_fetched_once_and_loaded_in_full_precision(shelf):
    net = mb.bagnet9(weights="imagenet")
    assert not torch.backends.cudnn.allow_tf32
    there = torch.load(shelf, weights_only=True)
    assert all(torch.equal(value, there[key]) for key, value in net.state_dict().items())
    shelf.unlink()
    mb.bagnet9(weights="imagenet")


def test_full_precision_holds_where_tf32_is_wanted_for_everything_else(shelf):
    torch.backends.fp32_precision = "tf32"
    try:
        mb.bagnet9(weights="imagenet")
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    finally:
        torch.backends.fp32_precision = "none"


def test_a_wrong_file_never_gets_its_name(shelf, tmp_path):
    shelf.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not the published file"):
        mb.bagnet9(weights="imagenet")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_cannot_be_fetched_may_be_put_there_by_hand(shelf, tmp_path):
    content = shelf.read_bytes()
    shelf.unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"cannot fetch .*404.*put it at .*{shelf.name} yourself"
    ):
        mb.bagnet9(weights="imagenet")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "cache" / shelf.name).write_bytes(content)
    mb.bagnet9(weights="imagenet")


def test_a_killed_download_leaves_nothing(shelf, tmp_path, monkeypatch):
    def killed(self, url, output, pooch):
        output.write(b"half of") if hasattr(output, "write") else Path(output).write_text("half of")
        os._exit(9)

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", killed)
    if not (child := os.fork()):
        mb.bagnet9(weights="imagenet")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list((tmp_path / "cache").iterdir()) == []


def no_folder(cache, monkeypatch):
    cache.write_text("a file where the folder should be")


def read_only(cache, monkeypatch):
    def mkdir(self, *args, **options):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)


def write_protected(cache, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    cache.mkdir()
    monkeypatch.setattr("os.open", refuse)


@pytest.mark.parametrize("spoil", [no_folder, read_only, write_protected])
def test_a_home_that_cannot_be_written_to_is_told_before_the_download(
    shelf, tmp_path, monkeypatch, spoil
):
    monkeypatch.setattr("pooch.HTTPDownloader.__call__", None)  # must not be called
    with monkeypatch.context() as patch:
        spoil(tmp_path / "cache", patch)
        with pytest.raises(OSError, match=rf"cannot be kept at .*{shelf.name}.*XDG_CACHE_HOME"):
            mb.bagnet9(weights="imagenet")


def test_a_cached_file_that_was_damaged_is_refused(shelf, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / shelf.name).write_bytes(shelf.read_bytes()[:-1])
    with pytest.raises(ValueError, match="Delete it"):
        mb.bagnet9(weights="imagenet")


@pytest.mark.parametrize("options", [{"num_classes": 10}, {"width": 8}, {"centred": True}])
def test_weights_of_another_structure_are_refused(shelf, options):
    with pytest.raises(ValueError, match="replace net"):
        mb.bagnet9(weights="imagenet", **options)


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match='None or "imagenet"'):
        mb.bagnet17(width=4, weights="imagenette")
