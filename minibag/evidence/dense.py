"""The heat map of a BagNet, one value a pixel: the logit of the patch centred there.

Brendel & Bethge (ICLR 2019) cut out every patch and ran the network on each. Neighbouring patches
share nearly all of their work, though: the network without its strides, its kernels spread to make
up for them, gives the same numbers at about a twelfth of the cost.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minibag.exact import exact
from minibag.machine import plain

# Pixels of a map that a stage works on at a time: on a CPU few, so that they stay in its cache.
CPU_PIXELS, GPU_PIXELS = 1 << 12, 1 << 16


def heatmap(
    net: Any, x: Tensor, target: int | Sequence[int], stride: int = 1, rows_per_band: int = 256
) -> Tensor:
    """Return the evidence for a class at every pixel, exactly.

    Entry (i, j) is the logit of the q x q patch centred on pixel (stride i, stride j) of the
    image, zero-padded by (q - 1) / 2. The image's logit is the mean of ``net.evidence``, not of
    this map: that one has other patches (every 8th, none padded). The map is that of the network
    in evaluation mode, in full float32 precision; the network itself is not changed.

    Parameters
    ----------
    net : a BagNet; the weights are used where they are, not copied
    x : normalised image (3, H, W) of any size, floats, on any device; the map is computed where
        the network is, in its dtype
    target : a class, or several, which cost hardly more than one
    stride : distance between neighbouring entries in pixels; 2, 4 and 8 are 4, 16 and 64 x faster
    rows_per_band : rows of the map computed at a time. A band needs about ``(rows_per_band + q)
        W * 6`` kB for a BagNet of width 64, and computes q - 1 rows again

    Returns
    -------
    (ceil(H / stride), ceil(W / stride)), or (T, ...) for a sequence of T targets, on the device
    of x

    Raises
    ------
    ValueError
        If x is not (3, H, W), there is no such class, or stride or rows_per_band is below 1.
    TypeError
        If the network is not a BagNet, or its ``fc`` not linear, x is no tensor of floats, or a
        target not a whole number.
    """
    net = plain(net)
    if not hasattr(net, "with_stride"):
        raise TypeError(
            f"an exact heat map needs a BagNet, got {type(net).__name__}: the logits of other "
            "networks are not a mean over patches, and a predictor has its network in .net"
        )
    if not isinstance(x, Tensor) or not x.is_floating_point():
        given = f"{type(x).__name__} of {getattr(x, 'dtype', 'no dtype')}"
        raise TypeError(f"expected a tensor of floats, as of minibag.nets.normalise, got {given}")
    if x.ndim != 3 or x.shape[0] != 3 or x.numel() == 0:
        raise ValueError(f"expected one image (3, H, W), got a tensor {tuple(x.shape)}")
    if min(stride, rows_per_band) < 1:
        raise ValueError(f"stride and rows_per_band must be at least 1: {stride}, {rows_per_band}")
    classes = _classes(target, net.n_classes)
    kept = math.gcd(stride, net.stride)
    margin = (net.patch_size - 1) // 2
    with torch.no_grad(), exact():
        padded = nn.functional.pad(x.to(net.fc.weight), (margin,) * 4)[None]
        padded = padded.contiguous(memory_format=torch.channels_last)
        logits = _logits(net.with_stride(kept).eval(), classes)
        maps = _in_bands(logits, padded, 2 * margin, kept, rows_per_band)[0]
    skip = stride // kept
    maps = maps[:, ::skip, ::skip].to(x.device)
    return maps if np.ndim(target) else maps[0]


def _classes(target: int | Sequence[int], n_classes: int) -> list[int]:
    """Return the targets as a list, checked."""
    given: Any = target if np.ndim(target) else [target]
    classes = [operator.index(k) for k in given]
    if not classes or min(classes) < 0 or max(classes) >= n_classes:
        raise ValueError(f"target must be one or more of 0 to {n_classes - 1}, got {target}")
    return classes


def _logits(net: Any, classes: list[int]) -> Callable[[Tensor], Tensor]:
    """Return the function from an image (1, 3, H, W) to the maps (1, T, h, w) of the classes."""
    weight = net.fc.weight[classes][:, :, None, None]
    bias = None if net.fc.bias is None else net.fc.bias[classes]
    *stages, last = net.stages()
    # Joined to the last stage, whose full map is never stored.
    stages.append(lambda x: nn.functional.conv2d(last(x), weight, bias))
    convs = [net.conv2, *(stage[0].conv2 for stage in net.stages()[1:])]
    pixels = CPU_PIXELS if weight.device.type == "cpu" else GPU_PIXELS

    def logits(x: Tensor) -> Tensor:
        for stage, conv in zip(stages, convs, strict=True):
            halo = (conv.kernel_size[0] - 1) * conv.dilation[0]
            x = _in_bands(stage, x, halo, conv.stride[0], max(1, pixels // x.shape[-1]))
        return x

    return logits


def _in_bands(
    function: Callable[[Tensor], Tensor], x: Tensor, halo: int, stride: int, rows: int
) -> Tensor:
    """Return ``function(x)``, some rows at a time; an entry sees ``halo`` rows below its own."""
    height = (x.shape[-2] - halo - 1) // stride + 1
    out: Any = None
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = function(x[..., top * stride : (bottom - 1) * stride + halo + 1, :])
        if out is None:
            whole = (1, height, band.shape[3], band.shape[1])
            out = x.new_empty(whole).permute(0, 3, 1, 2)  # channels last in memory
        out[..., top:bottom, :] = band
    return out
