"""Networks: BagNet, others to compare it with, how far any of them sees, and trained ones."""

from minibag.nets.architecture import build, count
from minibag.nets.bagnet import BagNet, bagnet9, bagnet17, bagnet33
from minibag.nets.compare import small_densenet, small_resnet, small_vgg
from minibag.nets.fold import folded
from minibag.nets.predictor import BagNetPredictor, NetPredictor, as_predictor, normalise
from minibag.nets.receptive import ReceptiveField, probe_receptive_field, receptive_field
from minibag.nets.zoo import list_models, load

__all__ = [
    "BagNet",
    "BagNetPredictor",
    "NetPredictor",
    "ReceptiveField",
    "as_predictor",
    "bagnet9",
    "bagnet17",
    "bagnet33",
    "build",
    "count",
    "folded",
    "list_models",
    "load",
    "normalise",
    "probe_receptive_field",
    "receptive_field",
    "small_densenet",
    "small_resnet",
    "small_vgg",
]
