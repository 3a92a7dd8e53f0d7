"""Networks: BagNet, and how far the units of any network see."""

from minibag.nets.bagnet import BagNet, bagnet9, bagnet17, bagnet33
from minibag.nets.receptive import ReceptiveField, probe_receptive_field, receptive_field

__all__ = [
    "BagNet",
    "ReceptiveField",
    "bagnet9",
    "bagnet17",
    "bagnet33",
    "probe_receptive_field",
    "receptive_field",
]
