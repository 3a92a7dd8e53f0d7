"""Downloads against a local server: good, broken, wrong and malicious archives."""

import hashlib
import io
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import get_imagenette
import pytest
from _archives import DataError, install
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
        self.asked = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                web.asked.append(self.headers["Range"])
                start = int(re.findall(r"\d+", self.headers["Range"] or "0")[0])
                start = start if web.resumes else 0
                if start and start >= len(web.content):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(web.content) - start))
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


EVIL = {
    "dots": [file(f"{NAME}/../../../../evil")],
    "absolute link": [link(f"{NAME}/l", "/etc/passwd", tarfile.SYMTYPE)],
    "link out": [link("l", "../../..", tarfile.SYMTYPE), file("l/evil")],
    "hard link out": [link("l", "../../../victim", tarfile.LNKTYPE), file("l")],
    "device": [link(f"{NAME}/d", "", tarfile.CHRTYPE)],
}


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


def test_an_absolute_name_lands_inside_or_nowhere(web, root, tmp_path):
    web.content = archive([file(f"{tmp_path}/evil")])
    install(web.url, web.md5, root, EXPECTED)  # tarfile strips the leading slash
    assert not (tmp_path / "evil").exists()
    assert [path.name for path in root.iterdir()] == [NAME]


@pytest.mark.parametrize("content", [archive()[:-300], b"no archive", archive(images={})])
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
    assert "expected 10 and 9,469" in capsys.readouterr().err
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
