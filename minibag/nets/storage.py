"""Networks as files: the weights with the card inside, and the card beside them, to be read.

The card inside a file carries the sha256 of itself and the arrays. So a file is whole by itself,
at whatever moment the process was killed that wrote it and then the card beside it. Files of
older days have an empty card: theirs lies beside them, with the sha256 of the whole file.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from minibag.machine import whole_file
from minibag.nets.architecture import build

KIND = "minibag.NetPredictor 1"


def card_path(path: str | Path) -> Path:
    """Return where the card of a weights file lies; ValueError unless that is a .safetensors."""
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"the file of a network must be called NAME.safetensors, not {path}")
    return Path(path).with_suffix(".json")


def filled(architecture: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> nn.Module:
    """Return the network that is described, made of these arrays.

    Raises ValueError if the arrays are others than it has, or not finite.
    """
    # A block has an array at least: no giant is built only to see that it does not fit.
    if sum(max(n, 1) for n in architecture.get("layers", ())) > len(arrays):
        raise ValueError(f"{len(arrays)} arrays are too few for the layers of the architecture")
    with torch.device("meta"):
        net = build(architecture)
    described, given = _kinds(net.state_dict()), _kinds(arrays)
    for key in sorted(described.keys() | given.keys()):
        wanted, found = described.get(key, "missing"), given.get(key, "missing")
        if wanted != found:
            raise ValueError(f"{key} is {wanted} in the architecture, {found} in the weights")
        if not arrays[key].isfinite().all():
            raise ValueError(f"infinities or NaN in {key}: its training has diverged")
    net.load_state_dict(arrays, assign=True)
    return net


def _kinds(arrays: Mapping[str, Tensor]) -> dict[str, str]:
    """Return shape and dtype of every array; floats may have any precision."""
    return {
        key: f"{tuple(a.shape)}{'' if a.is_floating_point() else f' {a.dtype}'}"
        for key, a in arrays.items()
    }


def write_net(path: str | Path, arrays: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write arrays and card into one file, and then the card beside it, with that file's sha256."""
    text = json.dumps(card)
    weights = save(dict(arrays), {KIND: f"{_digest(text, arrays)} {text}"})
    beside = {**card, "sha256": hashlib.sha256(weights).hexdigest()}
    with whole_file(card_path(path)) as card_part, whole_file(path) as part:
        part.write_bytes(weights)
        card_part.write_text(json.dumps(beside, indent=1) + "\n")


def read_net(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the arrays and the card of a network's file, of this version or an older one.

    Warns if the card beside the file says something else than the one inside. Raises ValueError
    if the file or its card is damaged, FileNotFoundError if an older one has no card beside it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            digest, _, text = file.metadata()[KIND].partition(" ")
        arrays = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    if not text:
        return arrays, read_card(path)
    if digest != _digest(text, arrays):
        raise ValueError(f"{path} is damaged: the sha256 of card and arrays is not the one in it")
    card, beside = parsed(text), card_path(path)
    if beside.is_file() and not _says(beside, card):
        warnings.warn(
            f"{beside} is not the card inside {path}, which alone counts: save the model again "
            "to renew it",
            stacklevel=4,
        )
    return arrays, card


def _says(beside: Path, card: dict[str, Any]) -> bool:
    """Whether the card beside a file is the one inside it."""
    try:
        other = parsed(beside.read_text())
    except ValueError:
        return False
    return {k: v for k, v in other.items() if k != "sha256"} == card


def read_card(path: Path) -> dict[str, Any]:
    """Return the card beside a file, without the sha256 that proves that it belongs to it."""
    beside = card_path(path)
    if not beside.is_file():
        raise FileNotFoundError(f"the card {beside} is missing: it belongs to {path}")
    try:
        card = parsed(beside.read_text())
        if hashlib.sha256(path.read_bytes()).hexdigest() != card.pop("sha256", None):
            raise ValueError("the sha256 differs: one of the two is damaged, or of another model")
    except ValueError as error:
        raise ValueError(f"{beside} does not describe {path}: {error!r:.300}") from error
    return card


def parsed(text: str) -> dict[str, Any]:
    """Return what a JSON object says; ValueError if it is none."""
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {type(found).__name__}")
    return found


def _digest(text: str, arrays: Mapping[str, Tensor]) -> str:
    """Return the sha256 of a card and of names, shapes and numbers of the arrays."""
    found = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        found.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
