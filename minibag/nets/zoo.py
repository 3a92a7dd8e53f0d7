"""Trained models by name or from files, with cards that say where they come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as read_arrays

from minibag.bag import Predictor
from minibag.machine import expand
from minibag.nets.predictor import KIND, NetPredictor, as_predictor, card_path, filled

WEIGHTS = Path(__file__).parent / "weights"


def list_models() -> list[str]:
    """Return the names of the trained models that came with minibag, for `load`."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def load(name_or_path: str | Path) -> Predictor:
    """Return a trained model: one of `list_models`, or what the ``save`` of a model wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such model or file, or its card (NAME.json beside NAME.safetensors) is gone.
    ValueError
        If the file is damaged or no model, or the card belongs to another file.
    """
    path = expand(name_or_path)
    if name_or_path in list_models():
        path = WEIGHTS / f"{name_or_path}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"no model {name_or_path}: give the path of a file that `save` wrote, or one of the "
            f"models that came with minibag: {', '.join(list_models())}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            kinds = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error
    if KIND in kinds:
        return _load_net(path)
    if not any(kind.startswith("minibag.") for kind in kinds):
        raise ValueError(f"{path} holds something else than a model of minibag")
    from minibag.words import BagOfVisualWords

    if path.parent == WEIGHTS:  # others have no card: a file of words says itself what it is
        _read_card(path)
    return BagOfVisualWords.load(path)


def _load_net(path: Path) -> NetPredictor:
    """Return the network of a file, once its card has proved to belong to it."""
    card = _read_card(path)
    try:
        arrays = {
            k: v.float() if v.is_floating_point() else v
            for k, v in read_arrays(path.read_bytes()).items()
        }
        classes, architecture = tuple(card.pop("classes")), card.pop("architecture")
        net = filled(architecture, arrays).eval()
        return as_predictor(net, classes, architecture, card)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{card_path(path)} does not describe {path}: {error!r}") from error


def _read_card(path: Path) -> dict[str, Any]:
    """Return the card of a file, without the sha256 that proves that it belongs to it."""
    beside = card_path(path)
    if not beside.is_file():
        raise FileNotFoundError(f"the card {beside} is missing: it belongs to {path}")
    try:
        card: dict[str, Any] = json.loads(beside.read_text())
        if hashlib.sha256(path.read_bytes()).hexdigest() != card.pop("sha256"):
            raise ValueError("the sha256 differs: one of the two is damaged, or of another model")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{beside} does not describe {path}: {error!r}") from error
    return card
