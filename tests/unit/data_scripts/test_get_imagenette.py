"""Downloads against a local server: good, broken, wrong and malicious archives."""

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import get_imagenette
import pytest
from _archives import install
from _work import DataError, work_folder
from PIL import Image

from minibag.data.imagenette import NAMES

EXPECTED = {"train": (10, 20), "val": (10, 10)}
NAME = "imagenette2-160"


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 120, 60)).save(file, "JPEG")
    return file.getvalue()


def archive(extra=(), images=EXPECTED) -> bytes:
    """Pack a small Imagenette; ``extra`` are further tar members."""
    file, data = io.BytesIO(), jpeg()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for split, (_, count) in images.items():
            for i in range(count):
                member = tarfile.TarInfo(f"{NAME}/{split}/{list(NAMES)[i % 10]}/{i}.JPEG")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return file.getvalue()


class Web:
    """A server of one file that may resume, break off or be slow, and remembers requests."""

    def __init__(self):
        self.content, self.breaks_at, self.pause, self.resumes = b"", None, 0.0, True
        self.reply: bytes | None = None  # instead of HTTP
        self.asked = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.headers["Range"])
                if web.reply is not None:
                    self.wfile.write(web.reply)
                    return
                start = int(re.findall(r"\d+", self.headers["Range"] or "0")[0])
                start = start if web.resumes else 0
                if start and start >= len(web.content):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(web.content) - start))
                if start:
                    last = len(web.content)
                    self.send_header("Content-Range", f"bytes {start}-{last - 1}/{last}")
                self.end_headers()
                end = web.breaks_at or len(web.content)
                for at in range(start, end, 500):
                    self.wfile.write(web.content[at : min(at + 500, end)])
                    time.sleep(web.pause)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.address}/{NAME}.tgz"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def md5(self):
        return hashlib.md5(self.content).hexdigest()


@pytest.fixture
def web():
    web = Web()
    web.content = archive()
    yield web
    web.server.shutdown()
    web.server.server_close()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "outer" / "root"
    folder.mkdir(parents=True)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_good_archive_becomes_a_folder_and_nothing_else(web, root):
    folder = install(web.url, web.md5, root, EXPECTED)
    assert [path.name for path in root.iterdir()] == [NAME]
    assert len(list(folder.rglob("*.JPEG"))) == 30
    assert (folder / "val" / "n01440764" / "0.JPEG").read_bytes() == jpeg()


def test_torchvision_reads_the_folder(web, root):
    datasets = pytest.importorskip("torchvision.datasets")
    install(web.url, web.md5, root, EXPECTED)
    image, label = datasets.Imagenette(root, "train", "160px")[0]
    assert (image.size, label) == ((16, 16), 0)


def test_a_second_run_does_nothing(web, root):
    install(web.url, web.md5, root, EXPECTED)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    install(web.url, web.md5, root, EXPECTED)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert len(web.asked) == 1


def test_a_wrong_hash_is_refused_and_nothing_is_kept(web, root):
    with pytest.raises(DataError, match="MD5"):
        install(web.url, "0" * 32, root, EXPECTED)
    assert not [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_resumed(web, root, resumes):
    web.breaks_at, web.resumes = 700, resumes
    with pytest.raises(DataError, match=r"700 of .* again"):
        install(web.url, web.md5, root, EXPECTED)
    assert not (root / NAME).exists()
    web.breaks_at = None
    install(web.url, web.md5, root, EXPECTED)
    assert web.asked == [None, "bytes=700-"]
    assert names(root)[0] == NAME


def test_a_resumed_download_that_does_not_fit_is_thrown_away(web, root):
    web.breaks_at = 700
    with pytest.raises(DataError):
        install(web.url, web.md5, root, EXPECTED)
    web.content, web.breaks_at = archive(images={"train": (10, 10)}), None
    with pytest.raises(DataError, match="MD5"):
        install(web.url, hashlib.md5(archive()).hexdigest(), root, EXPECTED)
    assert not [path for path in root.rglob("*") if path.is_file()]


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def file(name):
    member = tarfile.TarInfo(name)
    member.size = 3
    return member


def long_way_out() -> list[tarfile.TarInfo]:
    """CVE-2025-4517: behind paths too long to resolve, a filter takes links for what they are not.

    As published: folders and links to them, so long that what follows is no longer resolved.
    """
    folder, members, path = "d" * 247, [], ""
    for step in "abcdefghijklmnop":
        below = tarfile.TarInfo(f"{path}{folder}")
        below.type = tarfile.DIRTYPE
        members += [below, link(f"{path}{step}", folder, tarfile.SYMTYPE)]
        path += f"{step}/"
    members.append(link(f"{path}{'l' * 254}", "../" * 16, tarfile.SYMTYPE))
    members.append(link("escape", f"{path}{'l' * 254}/../../../victim", tarfile.SYMTYPE))
    return [*members, link("hard", "escape", tarfile.LNKTYPE), file("hard")]


EVIL = {
    "dots": [file(f"{NAME}/../../../../evil")],
    "dots that stay inside": [file(f"{NAME}/train/../x")],
    "absolute": [file("/tmp/evil")],
    "backslashes": [file(f"{NAME}\\..\\..\\evil")],
    "drive": [file("C:/evil")],
    "link inside": [link(f"{NAME}/l", "train", tarfile.SYMTYPE)],
    "absolute link": [link(f"{NAME}/l", "/etc/passwd", tarfile.SYMTYPE)],
    "link out": [link("l", "../../..", tarfile.SYMTYPE), file("l/evil")],
    "chain of links": [
        link("a", ".", tarfile.SYMTYPE), link("a/b", "..", tarfile.SYMTYPE), file("a/b/evil"),
    ],
    "hard link out": [link("l", "../../../victim", tarfile.LNKTYPE), file("l")],
    "long way out": long_way_out(),
    "device": [link(f"{NAME}/d", "", tarfile.CHRTYPE)],
    "disk": [link(f"{NAME}/d", "", tarfile.BLKTYPE)],
    "pipe": [link(f"{NAME}/d", "", tarfile.FIFOTYPE)],
    "sparse": [link(f"{NAME}/s", "", tarfile.GNUTYPE_SPARSE)],
    "unknown kind": [link(f"{NAME}/d", "", b"Z")],
    "twice": [file(f"{NAME}/x"), file(f"{NAME}/x")],
    "file that is a folder": [file(f"{NAME}/train")],
    "folder that is a file": [file(f"{NAME}/x"), file(f"{NAME}/x/y")],
}  # fmt: skip


@pytest.mark.parametrize("name", EVIL)
def test_an_archive_cannot_write_outside_the_root(web, root, name):
    victim = root.parent / "victim"
    victim.write_text("old")
    web.content = archive(EVIL[name])
    with pytest.raises(DataError, match="unpacked"):
        install(web.url, web.md5, root, EXPECTED)
    assert names(root) == []
    assert names(root.parent) == ["root", "victim"]
    assert victim.read_text() == "old"


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(f"{NAME}\\..\\..\\evil", "x")
    return content.getvalue()


DAMAGED = bytearray(archive())
DAMAGED[len(DAMAGED) // 2] ^= 255


@pytest.mark.parametrize(
    "content",
    [archive()[:-300], archive()[:20], bytes(DAMAGED), b"no archive", b"", archive(images={}),
     zipped(), gzip.compress(b"no tar"), lzma.compress(b"no tar"), bz2.compress(b"no tar")[:-9]],
)  # fmt: skip
def test_an_archive_with_wrong_content_is_not_kept(web, root, content):
    web.content = content
    with pytest.raises(DataError):
        install(web.url, web.md5, root, EXPECTED)
    assert names(root) == []


def test_a_killed_run_leaves_no_folder_and_the_next_one_goes_on(web, root):
    web.pause = 0.2
    scripts = str(Path(get_imagenette.__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {scripts!r}); from pathlib import Path; import _archives"
    )
    call = f"_archives.install({web.url!r}, {web.md5!r}, Path({str(root)!r}), {EXPECTED!r})"
    process = subprocess.Popen([sys.executable, "-c", f"{code}; {call}"], stderr=subprocess.DEVNULL)
    part = root / f".{NAME}.partial" / f"{NAME}.tgz.part"
    deadline = time.monotonic() + 30
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [path.name for path in root.iterdir()] == [f".{NAME}.partial"]
    web.pause = 0.0
    install(web.url, web.md5, root, EXPECTED)
    assert [path.name for path in root.iterdir()] == [NAME]


def test_the_command_enforces_the_official_hash_on_a_mirror(web, root, capsys):
    args = ["--root", str(root), "--size", "160", "--mirror", web.address]
    assert get_imagenette.main(args) == 1
    assert "MD5" in capsys.readouterr().err
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_check_names_what_is_missing(web, root, capsys, monkeypatch):
    args = ["--root", str(root), "--check"]
    assert get_imagenette.main(args) == 1
    assert "expected 10 classes and 9,469" in capsys.readouterr().err
    monkeypatch.setattr(get_imagenette, "EXPECTED", EXPECTED)
    install(web.url, web.md5, root, EXPECTED)
    assert get_imagenette.main(args) == 0
    next((root / NAME).rglob("*.JPEG")).write_bytes(b"")
    assert get_imagenette.main(args) == 1


def test_an_incomplete_folder_is_named_not_overwritten(web, root):
    (root / NAME / "train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"move .* away"):
        install(web.url, web.md5, root, EXPECTED)
    assert web.asked == []


OK = b"HTTP/1.1 200 OK\r\n"
REPLIES = {
    "truncated chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nff\r\nabc",
    "no chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "no status": b"hello\r\n\r\n",
    "no number": b"HTTP/1.1 nix OK\r\n\r\n",
    "nothing": b"",
    "half a head": OK + b"Content-Le",
    "long line": OK + b"x" * 70_000 + b"\r\n\r\n",
    "many lines": OK + b"x: y\r\n" * 200 + b"\r\n",
    "truncated": OK + b"Content-Length: 1000\r\n\r\nabcd",
    "range not satisfiable": b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "server error": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "redirects for ever": b"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "redirect to nowhere": b"HTTP/1.1 302 No\r\nLocation: nix://x\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", REPLIES)
def test_replies_that_break_off_or_are_no_http_end_in_one_line(web, root, capsys, name):
    web.reply = REPLIES[name]
    args = ["--root", str(root), "--mirror", web.address]
    assert get_imagenette.main(args) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "get_imagenette: " in line]
    assert len(lines) == 1
    assert NAME in lines[0]
    assert not (root / NAME).exists()


@pytest.mark.parametrize("name", ["truncated chunks", "truncated"])
def test_what_came_before_a_break_is_kept_and_the_rest_asked_for(web, root, name):
    web.reply = REPLIES[name].replace(b"abcd", web.content[:4]).replace(b"abc", web.content[4:7])
    with pytest.raises(DataError, match="again"):
        install(web.url, web.md5, root, EXPECTED)
    web.reply = None
    install(web.url, web.md5, root, EXPECTED)
    assert web.asked == [None, f"bytes={7 if 'chunks' in name else 4}-"]


def test_a_server_that_sends_another_part_is_not_believed(web, root):
    web.breaks_at = 700
    with pytest.raises(DataError):
        install(web.url, web.md5, root, EXPECTED)
    web.breaks_at = None
    web.reply = (
        b"HTTP/1.1 206 Part\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\n12345"
    )
    with pytest.raises(DataError, match="another part"):
        install(web.url, web.md5, root, EXPECTED)
    web.reply = None
    install(web.url, web.md5, root, EXPECTED)
    assert web.asked[2] is None


def test_a_resumed_download_that_was_complete_is_verified(web, root):
    work = root / f".{NAME}.partial"
    work.mkdir()
    (work / f"{NAME}.tgz.part").write_bytes(web.content)
    install(web.url, web.md5, root, EXPECTED)
    assert web.asked == [f"bytes={len(web.content)}-"]


def test_a_server_that_is_gone_ends_in_one_line(web, root, capsys):
    web.server.shutdown()
    web.server.server_close()
    assert get_imagenette.main(["--root", str(root), "--mirror", web.address]) == 1
    assert "refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    "mirror",
    ["example.org/data", "http://a b/c", "http://localhost/a b", "http://[::1", "http://h:port/",
     "http:///x", "nix://example.org", "http://\u00e9\u0141.invalid/\u0141", "//x", "http://a..b/"],
)  # fmt: skip
def test_a_mirror_that_is_no_address_ends_in_one_line(root, capsys, mirror):
    assert get_imagenette.main(["--root", str(root), "--mirror", mirror]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("get_imagenette: ")
    assert NAME in line


def test_a_mirror_may_be_a_folder_on_this_machine(web, root, tmp_path):
    (tmp_path / f"{NAME}.tgz").write_bytes(web.content)
    install(f"{tmp_path.as_uri()}/{NAME}.tgz", web.md5, root, EXPECTED)
    assert names(root)[0] == NAME


def test_a_root_that_is_no_folder_or_cannot_be_made_ends_in_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    for root in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        "/proc/nix",
        tmp_path / ("n" * 300),
    ):
        assert get_imagenette.main(["--root", str(root), "--mirror", "http://localhost:9"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("get_imagenette: ")
        assert str(root) in line


def test_a_full_disk_keeps_the_verified_archive(web, root, monkeypatch, capsys):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(OSError, match="No space"):
            install(web.url, web.md5, root, EXPECTED)
    work = root / f".{NAME}.partial"
    assert sorted(path.name for path in work.iterdir()) == [f"{NAME}.tgz", "lock"]
    install(web.url, web.md5, root, EXPECTED)
    assert len(web.asked) == 1
    assert [path.name for path in root.iterdir()] == [NAME]


def test_two_at_once_do_not_disturb_each_other(web, root):
    web.pause = 0.2
    scripts = str(Path(get_imagenette.__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {scripts!r}); from pathlib import Path; import _archives"
    )
    call = f"_archives.install({web.url!r}, {web.md5!r}, Path({str(root)!r}), {EXPECTED!r})"
    first = subprocess.Popen([sys.executable, "-c", f"{code}; {call}"], stderr=subprocess.DEVNULL)
    part = root / f".{NAME}.partial" / f"{NAME}.tgz.part"
    deadline = time.monotonic() + 120
    while not part.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(DataError, match="another run makes"):
        install(web.url, web.md5, root, EXPECTED)
    assert part.exists()
    web.pause = 0.0
    assert first.wait() == 0
    assert len(web.asked) == 1
    assert [path.name for path in root.iterdir()] == [NAME]


def test_ctrl_c_ends_in_one_line(root, monkeypatch, capsys):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(get_imagenette, "install", stop)
    assert get_imagenette.main(["--root", str(root)]) == 130
    assert capsys.readouterr().err == (
        "get_imagenette: stopped. Run the same command again to go on.\n"
    )


def test_a_folder_to_work_in_goes_when_nothing_is_left_in_it(tmp_path):
    with work_folder(tmp_path / "x") as work:
        assert work.parent == tmp_path
    assert names(tmp_path) == []
    with work_folder(tmp_path / "x") as work:
        (work / "kept").touch()
    assert names(tmp_path) == [".x.partial", ".x.partial/kept", ".x.partial/lock"]


def test_a_home_is_expanded(web, root, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(root))
    monkeypatch.setattr(get_imagenette, "EXPECTED", EXPECTED)
    install(web.url, web.md5, root / "data", EXPECTED)
    assert get_imagenette.main(["--root=~/data", "--check"]) == 0
    monkeypatch.setenv("MINIBAG_DATA", "~/data")
    assert get_imagenette.main(["--check"]) == 0


def test_a_read_only_root_that_has_all_is_fine(web, root, monkeypatch):
    install(web.url, web.md5, root, EXPECTED)
    monkeypatch.setattr(Path, "mkdir", lambda *_a, **_k: pytest.fail("wrote"))
    assert install(web.url, web.md5, root, EXPECTED) == root / NAME


def test_files_of_systems_are_no_images(web, root):
    folder = install(web.url, web.md5, root, EXPECTED)
    for name in ("._0.JPEG", ".DS_Store"):
        (folder / "train" / "n01440764" / name).write_bytes(b"x")
    (folder / "train" / "@eaDir").mkdir()
    install(web.url, web.md5, root, EXPECTED)
