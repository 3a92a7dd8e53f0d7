"""Word classifiers as files: arrays in safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from minibag.words.color import LocalColor
from minibag.words.encoder import BagEncoder
from minibag.words.encodings import HistogramEncoder, PyramidEncoder
from minibag.words.fisher import FisherEncoder, VLADEncoder
from minibag.words.sift import DenseSIFT

KIND = "minibag.BagOfVisualWords 1"
FEATURES: dict[str, type] = {"DenseSIFT": DenseSIFT, "LocalColor": LocalColor}
ENCODINGS: dict[str, type] = {
    "histogram": HistogramEncoder,
    "pyramid": PyramidEncoder,
    "vlad": VLADEncoder,
    "fisher": FisherEncoder,
}
LINEAR = ("linear_svm", "logistic")


def save_bag(model: Any, path: str | Path) -> None:
    """Write a fitted BagOfVisualWords; a killed run leaves the old file or the new one."""
    features, encoder = model.encoder_.features_, model.encoder_.encoder_
    for part, known in ((features, FEATURES), (encoder, ENCODINGS)):
        if type(part) not in known.values():
            raise ValueError(f"cannot save {part}: only minibag's own {[*known]} can be saved")
    if model.classifier not in LINEAR:
        raise ValueError(f"cannot save classifier={model.classifier!r}: only {LINEAR} can be saved")
    header = {
        "features": [_name(features, FEATURES), features.get_params()],
        "encoder": [_name(encoder, ENCODINGS), encoder.get_params()],
        "classifier": model.classifier,
        "C": model.C,
        "random_state": model.random_state,
        "classes": model.classes,
        "labels": model.classes_.tolist(),
    }
    arrays = {name: getattr(encoder, name) for name in encoder.learned}
    arrays |= {"coef_": model.coef_, "intercept_": model.intercept_}
    metadata = {"kind": KIND, "header": json.dumps(header, default=_plain)}
    data = save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata)
    unfinished = Path(f"{path}.{os.getpid()}.part")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_bag(kind: type, path: str | Path) -> Any:
    """Read what `save_bag` wrote, as an estimator of class ``kind``."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no model file {path}: BagOfVisualWords.save writes one")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("kind") == KIND:
            return _rebuild(kind, json.loads(metadata["header"]), arrays)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error!r}") from error
    raise ValueError(f"{path} holds {metadata.get('kind', 'something else')}, expected {KIND}")


def _rebuild(kind: type, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    features, encoder = (
        known[header[part][0]](**_tuples(header[part][1]))
        for part, known in (("features", FEATURES), ("encoder", ENCODINGS))
    )
    for name in encoder.learned:
        setattr(encoder, name, arrays[name])
    params = {name: header[name] for name in ("classifier", "random_state", "C")}
    model = kind(features, encoding=encoder, **params)
    model.encoder_ = BagEncoder(features, encoder, random_state=params["random_state"])
    model.encoder_.features_, model.encoder_.encoder_ = features, encoder
    model.classes, model.classes_ = tuple(header["classes"]), np.array(header["labels"])
    model.coef_, model.intercept_ = arrays["coef_"], arrays["intercept_"]
    return model


def _name(part: Any, known: dict[str, type]) -> str:
    return next(name for name, kind in known.items() if type(part) is kind)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(f"cannot save the parameter {value!r}: use a number, a string or None")


def _tuples(params: dict[str, Any]) -> dict[str, Any]:
    """Undo JSON, which has lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}
