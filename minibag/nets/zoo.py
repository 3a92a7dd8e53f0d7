"""Trained models by name or from files, with cards that say where they come from."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open

from minibag.bag import Predictor
from minibag.machine import expand
from minibag.nets.predictor import NetPredictor, as_predictor
from minibag.nets.storage import KIND, filled, read_card, read_net

WEIGHTS = Path(__file__).parent / "weights"


def list_models() -> list[str]:
    """Return the names of the trained models that came with minibag, for `load`."""
    return sorted(path.stem for path in WEIGHTS.glob("*.json"))


def load(name_or_path: str | Path) -> Predictor:
    """Return a trained model: one of `list_models`, or what the ``save`` of a model wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such model or file, or the card of an older one (NAME.json beside it) is
        gone.
    ValueError
        If the file is damaged or no model, the card describes another one, or a number in it is
        not finite.
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
        read_card(path)
    return BagOfVisualWords.load(path)


def _load_net(path: Path) -> NetPredictor:
    """Return the network of a file, once its card has proved to belong to it."""
    arrays, card = read_net(path)
    try:
        classes, architecture = card.pop("classes"), card.pop("architecture")
        arrays = {k: v.float() if v.is_floating_point() else v for k, v in arrays.items()}
        net = filled(architecture, arrays).eval()
        return as_predictor(net, classes, architecture, card)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the card of {path} does not describe it: {error!r:.300}") from error
