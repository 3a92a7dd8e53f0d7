"""Checkpoints: whole or absent, and only for the run that wrote them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibag.machine import whole_file

FORMAT = 3


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a run killed meanwhile leaves the one before.

    It leaves its half-written file, too, as large as a checkpoint: the next one clears that away.
    """
    for part in path.parent.glob(f"{path.name}.*.part"):
        part.unlink()
    with whole_file(path) as part:
        torch.save({"format": FORMAT, **state}, part)


def load_checkpoint(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of this very run, on the CPU; ValueError if it is damaged or another's."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not compare checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = state["run"] if state["format"] == FORMAT else {}
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        raise ValueError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}: {error}); delete it to "
            "start the training again"
        ) from error
    changes = [f"{k} was {theirs.get(k)!r}, is {v!r}" for k, v in run.items() if theirs.get(k) != v]
    if changes:
        raise ValueError(
            f"{path} belongs to another run ({'; '.join(changes)}): take another folder, or "
            "delete this one to start again"
        )
    return state


def fingerprint(net: nn.Module) -> str:
    """Return a hash of a network's structure: modules, their options and shapes, not weights."""
    plain = (bool, int, float, str, tuple)
    options = [
        (name, key, value)
        for name, module in net.named_modules()
        for key, value in sorted(vars(module).items())
        if isinstance(value, plain) and key != "training"
    ]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()]
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    return hashlib.sha256(repr([options, shapes, trained]).encode()).hexdigest()[:16]
