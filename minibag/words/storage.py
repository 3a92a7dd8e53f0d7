"""Word classifiers as files: arrays in safetensors, everything else as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from sklearn.utils.validation import check_is_fitted

from minibag.bag import class_names
from minibag.machine import expand, whole_file
from minibag.words.encodings import HistogramEncoder, PyramidEncoder
from minibag.words.fisher import FisherEncoder, VLADEncoder
from minibag.words.patches import LocalColor
from minibag.words.sift import DenseSIFT

KIND = "minibag.BagOfVisualWords 1"
FEATURES: dict[str, Any] = {"DenseSIFT": DenseSIFT, "LocalColor": LocalColor}
ENCODINGS: dict[str, Any] = {
    "histogram": HistogramEncoder,
    "pyramid": PyramidEncoder,
    "vlad": VLADEncoder,
    "fisher": FisherEncoder,
}
# What a header made by hand runs into; the last one is JSON of a thousand brackets.
BROKEN = (SafetensorError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
LINEAR = ("linear_svm", "logistic")
PARAMETERS = ("classifier", "C", "random_state", "n_jobs")
HEAD = {"coef_": "CF", "intercept_": "C"}  # axes, as in `Encoder.learned`: one letter, one length


def save_bag(model: Any, path: str | Path) -> None:
    """Write the fitted model to one safetensors file (no pickle), at once or not at all.

    Raises ValueError for what cannot be saved: own features or encoders, heads other than
    "linear_svm" and "logistic", infinities and NaN.
    """
    check_is_fitted(model, "encoder_")
    if model.classifier not in LINEAR:
        raise ValueError(f"cannot save classifier={model.classifier!r}: only {LINEAR} can be saved")
    encoder = model.encoder_.encoder_
    header = {
        "features": _described(model.encoder_.features_, FEATURES),
        "encoder": _described(encoder, ENCODINGS),
        "model": {name: getattr(model, name) for name in PARAMETERS},
        "image_shape": model.image_shape_,
        "classes": model.classes,
        "labels": model.classes_.tolist(),
        "label_type": model.classes_.dtype.str,
    }
    arrays = {n: getattr(encoder, n) for n in encoder.learned if hasattr(encoder, n)}
    arrays |= {name: getattr(model, name) for name in HEAD}
    _check_numbers(arrays)
    metadata = {KIND: json.dumps(header, default=_plain)}  # one key: several change their order
    with whole_file(path) as part:
        part.write_bytes(save({k: np.ascontiguousarray(v) for k, v in arrays.items()}, metadata))


def load_bag(kind: type, path: str | Path) -> Any:
    """Read a model that `save` wrote.

    Raises FileNotFoundError if there is no file, ValueError if it is damaged or another kind.
    """
    path = expand(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model file {path}: BagOfVisualWords.save writes one")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if KIND in metadata:
            return _rebuild(kind, json.loads(metadata[KIND]), arrays)
    except BROKEN as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error!r:.300}") from error
    raise ValueError(f"{path} holds something else, expected {KIND}")


def _rebuild(kind: type, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    (features, params), (encoding, options) = header["features"], header["encoder"]
    encoder = ENCODINGS[encoding](**options)
    model = kind(FEATURES[features](**params), encoding=encoder, **header["model"])
    model.classes = class_names(header["classes"])
    model.classes_ = np.array(header["labels"], header.get("label_type"))
    n_classes = len(model.classes)
    if model.classifier not in LINEAR or model.classes_.shape != (n_classes,) or n_classes < 2:
        raise ValueError(f"classifier {model.classifier!r} of classes {model.classes_}")
    axes = {**encoder.learned, **HEAD}
    if "counts_" not in arrays:  # of a file of older days, or of words that were put in by hand
        axes.pop("counts_", None)
    _check_numbers(arrays)
    _check_axes(arrays, axes, K=encoder.n_words, C=1 if n_classes == 2 else n_classes)
    model.encoder_ = bag = model.images_to_vectors(encoder)
    bag.features_, bag.encoder_ = model.features, encoder
    bag.image_shape_ = height, width = tuple(header["image_shape"])
    for name in axes:
        setattr(encoder if name in encoder.learned else model, name, arrays[name])
    model.logits(np.zeros((1, height, width, 3), np.uint8))  # the parts fit together, or an error
    return model


def _check_numbers(arrays: dict[str, np.ndarray]) -> None:
    """Raise ValueError unless all arrays hold finite numbers."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{name} ({array.dtype}) holds something else than finite numbers")


def _check_axes(arrays: dict[str, np.ndarray], axes: dict[str, str], **lengths: int) -> None:
    """Raise ValueError unless axes of the same letter have the same length in all arrays."""
    for name, letters in axes.items():
        for letter, n in zip(letters, arrays[name].shape, strict=True):
            if lengths.setdefault(letter, n) != n:
                raise ValueError(
                    f"{name} has shape {arrays[name].shape}, expected {letters} of {lengths}"
                )


def _described(part: Any, known: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    for name, kind in known.items():
        if type(part) is kind:
            return name, part.get_params()
    raise ValueError(f"cannot save {part}: only minibag's own {[*known]} can be saved")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise ValueError(f"cannot save the parameter {value!r}: use a number, a string or None")
