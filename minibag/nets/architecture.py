"""Networks from a description that fits into a JSON file, and what they cost."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from minibag.nets.bagnet import BagNet
from minibag.nets.compare import small_densenet, small_resnet, small_vgg
from minibag.nets.receptive import without_data


def strided_bagnet(
    patch_size: int,
    num_classes: int = 1000,
    width: int = 64,
    layers: Sequence[int] = (3, 4, 6, 3),
    centred: bool = False,
    stride: int = 8,
) -> BagNet:
    """Return a BagNet whose patches lie ``stride`` pixels apart: 1, 2, 4, or 8 as published."""
    return BagNet(patch_size, num_classes, width, layers, centred).with_stride(stride)


def resnet50(num_classes: int = 1000) -> nn.Module:
    """Return torchvision's ResNet-50 (He et al. 2016, with the stride on the 3x3 convolution)."""
    from torchvision import models

    return models.resnet50(num_classes=num_classes)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "bagnet": strided_bagnet,
    "resnet": small_resnet,
    "resnet50": resnet50,
    "vgg": small_vgg,
    "densenet": small_densenet,
}


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """Return a new network with random weights.

    Parameters
    ----------
    architecture : its "name" (a key of ``ARCHITECTURES``) and the options of that network,
        such as ``{"name": "bagnet", "patch_size": 9, "num_classes": 10, "width": 24}``

    Raises
    ------
    ValueError
        If the name or an option is unknown, or an option has an impossible value.
    """
    options = dict(architecture)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in ARCHITECTURES:
        names = ", ".join(ARCHITECTURES)
        raise ValueError(f"the name of an architecture is one of {names}, got {name!r}")
    known = inspect.signature(ARCHITECTURES[name]).parameters
    if strange := options.keys() - known.keys():
        raise ValueError(f"a {name} has the options {', '.join(known)}, not {sorted(strange)}")
    try:
        return ARCHITECTURES[name](**options)
    except (TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"no {name} can be built from {options}: {error}") from error


def count(net: nn.Module, side: int) -> tuple[int, int]:
    """Return the parameters of a network, and its multiply-adds for one image of side x side.

    Only matrix products and convolutions count, as in most published tables; the network runs on
    shapes alone.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        without_data(net)(torch.empty(1, 3, side, side, device="meta"))
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops() // 2
