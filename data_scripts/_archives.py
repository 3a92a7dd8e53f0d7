"""Downloads that resume and are verified first, and archives that cannot write elsewhere."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from tqdm import tqdm

CHUNK = 1 << 20


class DataError(Exception):
    """What went wrong with a data set and how to go on."""


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
    except (urllib.error.URLError, OSError) as error:
        raise DataError(f"{url}: {error}. Run the same command again to go on.") from error
    try:
        verify(part, md5)
    except DataError:
        part.unlink()
        raise
    part.replace(path)


def _transfer(url: str, part: Path) -> None:
    """Append what is missing to ``part``; raise OSError if the connection ends early."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing; whether it is right, the MD5 tells
            return
        raise
    with response:
        if have and response.status != 206:  # this server cannot resume
            have = 0
        length = have + int(response.headers["Content-Length"] or 0)
        bar = tqdm(total=length, initial=have, unit="B", unit_scale=True, desc=part.stem)
        with part.open("ab" if have else "wb") as file, bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if part.stat().st_size < length:
        raise ConnectionError(f"the connection ended after {part.stat().st_size} of {length} bytes")


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar file into a new folder; on any error the folder is removed again.

    Members that point outside the folder, links out of it and device files are errors.
    """
    if not hasattr(tarfile, "data_filter"):
        raise DataError("unpacking safely needs Python 3.11.4 or newer: tarfile's data filter")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        shutil.rmtree(folder)
        raise DataError(f"{archive.name} cannot be unpacked: {error}") from error


def count_images(split: Path) -> dict[str, int]:
    """Return class folder (a WordNet ID) -> number of JPEG files in it that are not empty."""
    if not split.is_dir():
        return {}
    folders = [d for d in sorted(split.iterdir()) if re.fullmatch(r"n\d{8}", d.name)]
    return {d.name: sum(f.stat().st_size > 0 for f in d.glob("*.JPEG")) for d in folders}


def check(folder: Path, expected: dict[str, tuple[int, int]]) -> list[str]:
    """Compare a folder with split -> (classes, images); return one line for each difference."""
    faults = []
    for split, (classes, images) in expected.items():
        found = count_images(folder / split)
        if (len(found), sum(found.values())) != (classes, images):
            faults.append(
                f"{folder / split}: {len(found)} classes and {sum(found.values()):,} images, "
                f"expected {classes} and {images:,}"
            )
    return faults


def install(url: str, md5: str, root: Path, expected: dict[str, tuple[int, int]]) -> Path:
    """Fetch, verify, unpack and check an archive; return its folder, named as the archive.

    A folder that is there and complete is left alone; a run that was killed leaves a hidden
    folder, from which the next run goes on.

    Raises
    ------
    DataError
        If the archive or its content is not what is expected. Nothing wrong is kept.
    """
    name = Path(url).stem
    folder, work = root / name, root / f".{name}.partial"
    if folder.exists():
        shutil.rmtree(work, ignore_errors=True)
        if faults := check(folder, expected):
            raise DataError("; ".join([*faults, f"move {folder} away and run this again"]))
        return folder
    work.mkdir(parents=True, exist_ok=True)
    archive = work / Path(url).name
    download(url, archive, md5)
    try:
        extract(archive, work / "tree")
        if faults := check(work / "tree" / name, expected):
            raise DataError("; ".join(faults))
    except DataError:
        shutil.rmtree(work)
        raise
    (work / "tree" / name).replace(folder)
    shutil.rmtree(work)
    return folder
