"""Downloads that resume and are verified first, and archives that cannot write elsewhere."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException, HTTPResponse, InvalidURL
from pathlib import Path, PurePosixPath, PureWindowsPath

from _work import DataError, work_folder
from tqdm import tqdm

from minibag.data.folder import list_folder

CHUNK = 1 << 20
BROKEN = (tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def verify(path: Path, md5: str) -> None:
    """Raise DataError unless the file has this MD5."""
    found = md5_of(path)
    if found != md5:
        raise DataError(f"{path.name} has MD5 {found}, expected {md5}: it is not the right file")


def download(url: str, path: Path, md5: str) -> None:
    """Fetch a file; it gets its name only after its MD5 was found right.

    The unfinished file is ``path`` + ".part"; a second call goes on where the first one stopped.
    A complete file with a wrong MD5 is deleted.
    """
    if path.exists():
        return verify(path, md5)
    part = path.with_name(path.name + ".part")
    try:
        _transfer(url, part)
    except (ValueError, InvalidURL) as error:  # no scheme, a space, no number as port
        raise DataError(f"{url!r} is no address of a file: {error}") from error
    except (OSError, HTTPException) as error:  # of the net (or what calls itself so), or the disk
        reason = str(error) or type(error).__name__
        raise DataError(f"{url}: {reason}. Run the same command again to go on.") from error
    try:
        verify(part, md5)
    except DataError:
        part.unlink()
        raise
    part.replace(path)


def _transfer(url: str, part: Path) -> None:
    """Append what is missing to ``part``; OSError or HTTPException if the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing; whether it is right, the MD5 tells
            return
        raise
    with response:
        if have and response.status != 206:  # this server cannot resume
            have = 0
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise ConnectionError("the server sent another part of the file than was asked for")
        _append(response, part, have)


def _append(response: HTTPResponse, part: Path, have: int) -> None:
    """Write what a server sends behind the first ``have`` bytes of ``part``."""
    size = response.headers["Content-Length"]
    length = have + int(size) if size and size.isdecimal() else None  # a server need not say it
    bar = tqdm(total=length, initial=have, unit="B", unit_scale=True, desc=part.stem)
    with part.open("ab" if have else "wb") as file, bar:
        while chunk := response.read1(CHUNK):  # not read: that drops what came before a break
            file.write(chunk)
            bar.update(len(chunk))
    if length and part.stat().st_size < length:
        raise ConnectionError(f"the connection ended after {part.stat().st_size} of {length} bytes")


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar file into a new folder; on any error the folder is removed again.

    Only files and folders are unpacked, each once. Without links and with no way up, no member can
    lie elsewhere, so this does not lean on tarfile's filters (CVE-2025-4517).

    Raises
    ------
    DataError
        If the archive is damaged, or a member is of another kind or has a name that leads out.
    OSError
        If the disk is full or cannot be written: that is no fault of the archive.
    """
    folder.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _unpack(tar, member, folder)
    except BaseException as error:
        shutil.rmtree(folder)
        if isinstance(error, BROKEN):
            raise DataError(f"{archive.name} cannot be unpacked: {error}") from error
        raise


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one member of an archive; DataError unless it is a plain file or folder in there."""
    refused = f"{tar.name and Path(tar.name).name} cannot be unpacked: {member.name!r}"
    parts, windows = PurePosixPath(member.name).parts, PureWindowsPath(member.name)
    if ".." in (*parts, *windows.parts) or windows.anchor or "\\" in member.name:
        raise DataError(f"{refused} leads out of its folder")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise DataError(f"{refused} is no plain file or folder but a link or device")
    target = folder.joinpath(*parts)
    try:
        (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
        if not member.isdir():
            with target.open("xb") as file:
                shutil.copyfileobj(tar.extractfile(member), file, CHUNK)  # type: ignore[arg-type]
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{refused} is there twice") from error


def check(folder: Path, expected: dict[str, tuple[int, int]]) -> list[str]:
    """Compare a folder with split -> (classes, images); return one line for each difference.

    Files without content do not count.
    """
    faults = []
    for split, (classes, images) in expected.items():
        try:
            files, _, names = list_folder(folder / split)
            found = len(names), sum(file.stat().st_size > 0 for file in files)
            if found == (classes, images):
                continue
            said = f"{folder / split}: {found[0]} classes and {found[1]:,} images"
        except (FileNotFoundError, ValueError) as error:
            said = str(error)
        faults.append(f"{said}, expected {classes} classes and {images:,} images")
    return faults


def install(url: str, md5: str, root: Path, expected: dict[str, tuple[int, int]]) -> Path:
    """Fetch, verify, unpack and check an archive; return its folder, named as the archive.

    A folder that is there and complete is left alone; a run that was killed leaves a hidden
    folder, from which the next run goes on.

    Raises
    ------
    DataError
        If the archive or its content is not what is expected (nothing wrong is kept), or another
        run is at it.
    OSError
        If the disk is full or cannot be written: a verified archive stays for the next run.
    """
    folder = root / Path(url).stem
    if not folder.exists():
        with work_folder(folder) as work:
            if not folder.exists():  # else another run has made it meanwhile
                _make(folder, url, md5, work, expected)
    elif faults := check(folder, expected):
        raise DataError("; ".join([*faults, f"move {folder} away and run this again"]))
    return folder


def _make(
    folder: Path, url: str, md5: str, work: Path, expected: dict[str, tuple[int, int]]
) -> None:
    """Fetch and unpack in the folder ``work``, and rename what is right to ``folder``."""
    archive, tree = work / Path(url).name, work / "tree"
    download(url, archive, md5)
    shutil.rmtree(tree, ignore_errors=True)  # of a run that was killed
    try:
        extract(archive, tree)
        if faults := check(tree / folder.name, expected):
            raise DataError("; ".join(faults))
    except DataError:
        archive.unlink()
        shutil.rmtree(tree, ignore_errors=True)
        raise
    (tree / folder.name).replace(folder)
