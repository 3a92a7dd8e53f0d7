"""A BagNet for inference alone, without its norms: the same function, fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from minibag.machine import plain
from minibag.nets.bagnet import BagNet, Bottleneck


@torch.no_grad()
def folded(net: nn.Module) -> BagNet:
    """Return a network in evaluation mode with the same logits, evidence, grid and gradients.

    In evaluation mode a norm scales and shifts every channel by fixed numbers, which are put into
    the kernel and the bias of the convolution before it. In the stem nothing stands between conv1
    (1x1) and conv2 (3x3), and their product is one 3x3 kernel. Kernels are multiplied in float64
    and rounded once, to the dtype of the network, which lies where the given one does.

    The norms' running statistics are used, in whatever mode the given network is; it is not
    changed. The new one has other parameters, none of which asks for a gradient: it can be
    neither trained nor saved by a `NetPredictor`.

    Raises
    ------
    TypeError
        If the network is not a BagNet.
    ValueError
        If it is folded already.
    """
    net = plain(net)
    if not isinstance(net, BagNet):
        raise TypeError(f"only a BagNet can be folded, got {type(net).__name__}")
    if isinstance(net.conv1, nn.Identity):
        raise ValueError("this network is folded already: fold the one it was made of")
    home, net = net.fc.weight, copy.deepcopy(net).to("cpu", torch.float64).eval()
    first, second = net.conv1.weight[:, :, 0, 0], net.conv2.weight
    net.conv2.weight = nn.Parameter(torch.einsum("ocyx,ci->oiyx", second, first))
    net.conv2.in_channels = net.conv1.in_channels
    if net.conv1.bias is not None:  # no padding: conv2 sees the bias everywhere
        net.conv2.bias = nn.Parameter(second.sum((2, 3)) @ net.conv1.bias)
    net.conv1 = nn.Identity()  # type: ignore[assignment]
    _fold(net, "conv2", "bn1")
    for block in [block for block in net.modules() if isinstance(block, Bottleneck)]:
        for k in (1, 2, 3):
            _fold(block, f"conv{k}", f"bn{k}")
        if block.downsample is not None:
            _fold(block.downsample, "0", "1")
    return net.to(home.device, home.dtype).requires_grad_(False)


def _fold(parent: nn.Module, conv: str, norm: str) -> None:
    """Replace a convolution by one that does the work of the norm behind it, too."""
    fused = fuse_conv_bn_eval(getattr(parent, conv), getattr(parent, norm))
    setattr(parent, conv, fused)
    setattr(parent, norm, nn.Identity())
