"""The weights that the authors of BagNet published, trained on ImageNet."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import torch
from torch import nn

from minibag.exact import set_tf32
from minibag.machine import check_output, whole_file

ADDRESS = (
    "https://bitbucket.org/wielandbrendel/bag-of-feature-pretrained-models/raw/"
    "249e8fa82c0913623a807d9d35eeab9da7dcc2a8/"
)
# By patch size; their names count from 8, and end in the first digits of the file's sha256.
FILES = {
    9: "bagnet8-34f4ccd2.pth.tar",
    17: "bagnet16-105524de.pth.tar",
    33: "bagnet32-2ddd53ed.pth.tar",
}


def load_published(net: nn.Module, patch_size: int, weights: str) -> None:
    """Fill a BagNet of the published structure with the published weights (Brendel & Bethge).

    The file (60 to 75 MB) is fetched once, into the user's cache folder. These weights need
    float32: BagNet-33 is right on 66.7 % of ImageNet in float32, 64.2 % in TF32 and 58.0 % in
    float16, since rounding grows where a batch norm enlarges a nearly dead channel. NVIDIA
    convolutions round to TF32 unless told otherwise, so this switches that off for the process
    (see `minibag.exact`: what the library measures is exact anyway).

    Raises
    ------
    ValueError
        If ``weights`` is not "imagenet", the network is not of the published structure, or the
        file is not the published one (its sha256 does not begin as its name says).
    FileNotFoundError
        If the file is not there yet and cannot be fetched.
    """
    if weights != "imagenet":
        raise ValueError(f'weights must be None or "imagenet", got {weights!r}')
    if patch_size not in FILES:
        raise ValueError(f"there are published weights for q = 9, 17, 33, not {patch_size}")
    state = torch.load(fetch(FILES[patch_size]), map_location="cpu", weights_only=True)
    ours = net.state_dict()
    centred = any(getattr(module, "centred", False) for module in net.modules())
    if centred or {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in ours.items()}:
        raise ValueError(
            "the published weights go with num_classes=1000, width=64, layers=(3, 4, 6, 3), "
            "centred=False; load them so, then replace net.fc for other classes"
        )
    net.load_state_dict(state)
    set_tf32(False)


def fetch(name: str) -> Path:
    """Return the published file from the cache folder, downloaded if it is not there yet.

    It is kept in memory until its sha256 begins with the digits in its name, else ValueError: a
    killed download leaves nothing behind. Raises FileNotFoundError if it cannot be downloaded,
    OSError, before the download, if it cannot be kept or read there.
    """
    import pooch  # here, so that networks can be built and trained where it is not installed

    path = Path(pooch.os_cache("minibag")) / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            verify(path.read_bytes(), name, path)
            return path
        check_output(path)
    except OSError as error:
        raise OSError(
            f"the published weights cannot be kept at {path} ({error}): let XDG_CACHE_HOME name a "
            "folder that you can write to"
        ) from error
    content = download(name, path)
    with whole_file(path) as part:
        part.write_bytes(content)
    return path


def download(name: str, path: Path) -> bytes:
    """Return the published file, verified; FileNotFoundError if it cannot be fetched."""
    import pooch

    content = io.BytesIO()
    try:
        pooch.HTTPDownloader()(ADDRESS + name, content, None)
    except OSError as error:  # those of requests are
        raise FileNotFoundError(
            f"cannot fetch {ADDRESS + name} ({error}): put it at {path} yourself"
        ) from error
    verify(content.getvalue(), name, path)
    return content.getvalue()


def verify(content: bytes, name: str, path: Path) -> None:
    """Raise ValueError if the sha256 of a file does not begin with the digits in its name."""
    expected = name.split("-")[1].split(".")[0]
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(expected):
        raise ValueError(
            f"{path} is not the published file: its sha256 begins with {found[:8]}, not "
            f"{expected}. Delete it if it is there and try again"
        )
