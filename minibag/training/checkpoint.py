"""Checkpoints: whole or absent, and only for the run that wrote them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minibag.machine import whole_file

FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a run killed meanwhile leaves the one before."""
    with whole_file(path) as part:
        torch.save({"format": FORMAT, **state}, part)


def load_checkpoint(path: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint of this very run, on the CPU; ValueError if it is damaged or another's."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        theirs = state["run"] if state["format"] == FORMAT else None
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        raise ValueError(
            f"{path} is damaged or no checkpoint ({type(error).__name__}); delete it to start the "
            "training again"
        ) from error
    if theirs != run:
        raise ValueError(
            f"{path} belongs to another run ({_difference(theirs or {}, run)}); take another "
            "folder, or delete this one to start again"
        )
    return state


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Name what differs, in a few words."""
    found = []
    for name in ours:
        old, new = theirs.get(name), ours[name]
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{k} was {old.get(k)!r}, is {new[k]!r}" for k in new if old.get(k) != new[k]]
        elif old != new:
            found.append(f"the {name} was another")
    return "; ".join(found) or "of another format"


def fingerprint(net: nn.Module) -> str:
    """Return a hash of a network's structure: modules, their options and shapes, not weights."""
    plain = (bool, int, float, str, tuple)
    options = {
        name: sorted(
            (k, repr(v)) for k, v in vars(m).items() if k != "training" and isinstance(v, plain)
        )
        for name, m in net.named_modules()
    }
    shapes = {name: list(tensor.shape) for name, tensor in net.state_dict().items()}
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    text = json.dumps([options, shapes, trained])
    return hashlib.sha256(text.encode()).hexdigest()
