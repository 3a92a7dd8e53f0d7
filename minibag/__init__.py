"""minibag: from bags of visual words to BagNets.

Public names are reached flat (``import minibag as mb; mb.DenseSIFT(...)``) and imported on first
use, so that ``import minibag`` stays fast and the word lessons never load torch.
"""

from importlib import import_module
from typing import Any

from minibag.machine import limit_threads

__version__ = "0.1.0"

_HOME = {
    "PatchGrid": "minibag.bag",
    "Predictor": "minibag.bag",
    "BagPredictor": "minibag.bag",
    "ImageSet": "minibag.data",
    "critters": "minibag.data",
    "photos": "minibag.data",
    "imagenette": "minibag.data",
    "image_folder": "minibag.data",
    "stream_folder": "minibag.data",
    "DenseSIFT": "minibag.words",
    "LocalColor": "minibag.words",
    "Vocabulary": "minibag.words",
    "BagEncoder": "minibag.words",
    "HistogramEncoder": "minibag.words",
    "PyramidEncoder": "minibag.words",
    "VLADEncoder": "minibag.words",
    "FisherEncoder": "minibag.words",
    "BagOfVisualWords": "minibag.words",
    "bagnet9": "minibag.nets",
    "bagnet17": "minibag.nets",
    "bagnet33": "minibag.nets",
    "receptive_field": "minibag.nets",
    "probe_receptive_field": "minibag.nets",
    "small_resnet": "minibag.nets",
    "small_vgg": "minibag.nets",
    "small_densenet": "minibag.nets",
    "NetPredictor": "minibag.nets",
    "BagNetPredictor": "minibag.nets",
    "load": "minibag.nets",
    "list_models": "minibag.nets",
    "heatmap": "minibag.evidence",
    "top_patches": "minibag.evidence",
    "scramble": "minibag.experiments",
    "show": "minibag.figures",
    "predict": "minibag.widgets",
    "recorded": "minibag.results",
}
_ROOMS = (
    "bag",
    "data",
    "words",
    "nets",
    "evidence",
    "experiments",
    "training",
    "checks",
    "figures",
    "widgets",
    "doctor",
)

__all__ = sorted([*_HOME, *_ROOMS])

limit_threads()


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"minibag.{name}")
    raise AttributeError(f"module 'minibag' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
