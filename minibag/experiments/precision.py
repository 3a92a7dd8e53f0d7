"""What fewer bits do to a network: fp32, TF32, bf16 and fp16 on any machine.

A float is a sign, an exponent and a mantissa. fp32 keeps 23 bits of mantissa; TF32 and fp16 keep
10, bf16 keeps 7. A number is therefore wrong by up to 1/2,000 of its size in TF32 and fp16, by up
to 1/250 in bf16. Most networks do not mind. One that subtracts large numbers to get a small one
does: the error of the large ones stays, and a norm blows it up together with the rest.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from minibag.machine import device_of
from minibag.nets.bagnet import BagNet

KINDS = ("fp32", "tf32", "bf16", "fp16")
STORED = ("bf16", "fp16")  # kinds in which autocast keeps the maps between layers, too
LOST = 13  # bits of the mantissa that fp32 has and TF32 has not
Net = TypeVar("Net", bound=nn.Module)


def rounded(x: Tensor, kind: str) -> Tensor:
    """Return the numbers of float32 nearest to ``x`` that a smaller format has, ties to even.

    Parameters
    ----------
    x : float32, any shape
    kind : "fp32" (nothing changes), "tf32" (10 bits of mantissa, fp32's range), "bf16" (7 bits,
        fp32's range) or "fp16" (10 bits; above 65,504 comes infinity, below 6e-5 bits are lost one
        by one, below 3e-8 comes zero)

    Returns
    -------
    float32, the same shape

    Raises
    ------
    ValueError, TypeError
        If the kind is unknown, or ``x`` is not float32.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of precision is one of {', '.join(KINDS)}, got {kind!r}")
    if x.dtype != torch.float32:
        raise TypeError(f"expected float32, got {x.dtype}: convert it with .float() first")
    if kind == "fp32":
        return x
    if kind in STORED:
        return x.to(torch.bfloat16 if kind == "bf16" else torch.float16).float()
    bits = x.view(torch.int32)
    # Just under half of the last kept bit, or half if that bit is odd: a carry rounds up.
    bits = bits + ((1 << LOST - 1) - 1) + (bits >> LOST & 1)
    return torch.where(x.isfinite(), (bits >> LOST << LOST).view(torch.float32), x)


@contextmanager
def in_precision(net: Net, kind: str) -> Iterator[Net]:
    """Run a network as a machine with less precision does, on any machine.

    Convolutions and linear layers multiply rounded inputs by rounded weights and add up in fp32:
    so do tensor cores. TF32 leaves everything else in fp32. With bf16 and fp16, what each layer
    says is rounded as well, norms and sums included, and so is the bias of convolutions: that is
    what ``torch.autocast`` does, whose maps stay in 16 bits from layer to layer. Norms take their
    own numbers in fp32, but the map they norm has lost its bits by then. Sums in another order,
    and TF32 hardware that cuts bits off instead of rounding, give slightly other numbers.

    For forward passes: there are no gradients inside. Afterwards the weights are the very same.

    Parameters
    ----------
    net : network in float32 whose parts are modules; every sum of maps must be one, as in `Add`
    kind : "fp32", "tf32", "bf16" or "fp16", see `rounded`

    Yields
    ------
    The network

    Raises
    ------
    ValueError, TypeError
        As `rounded`, for its weights and for what comes in.
    """
    rounded(torch.empty(0), kind)  # says what is wrong with the kind, also if there is no layer
    leaves = [module for module in net.modules() if not any(module.children())]
    with ExitStack() as undo, torch.no_grad():
        for module in leaves:
            if isinstance(module, nn.Conv2d | nn.Linear):
                into = partial(_inputs, kind=kind)
                undo.callback(module.register_forward_pre_hook(into).remove)
                for name, weight in module.named_parameters():
                    if name == "weight" or kind in STORED:
                        undo.callback(setattr, weight, "data", weight.data)
                        weight.data = rounded(weight.data, kind)
            if kind in STORED:
                out = partial(_output, kind=kind)
                undo.callback(module.register_forward_hook(out).remove)
        yield net


def _inputs(module: nn.Module, inputs: tuple[Tensor, ...], kind: str) -> tuple[Tensor, ...]:
    return tuple(rounded(x, kind) for x in inputs)


def _output(module: nn.Module, inputs: Any, output: Tensor, kind: str) -> Tensor:
    return rounded(output, kind)


def fragile(net: BagNet, strength: float = 2000) -> BagNet:
    """Return a network that computes the same function but cannot bear to lose bits.

    ``conv1`` gets a bias, so that each channel before the first norm becomes a large number that
    hardly changes: a nearly dead channel, its mean far above its deviation. The norm's running
    mean grows by the same amount. In exact arithmetic nothing has changed. A number is stored with
    an error in proportion to its size, though: 2,000 deviations are wrong by up to one deviation
    in fp16, by up to eight in bf16. The norm subtracts the mean and divides by the deviation; the
    error stays. Nothing later can tell it from the image.

    Making the channels small instead would do no such harm: floats of all sizes have the same
    number of bits, until fp16 runs out of them. Only a mean that is subtracted costs bits.

    The bias points where the sums of ``conv2`` grow most. So the map that the norm sees, which
    TF32 keeps in fp32 and autocast does not, loses more than what comes into ``conv2``: fp16 hurts
    more than TF32.

    Parameters
    ----------
    net : BagNet in float32; it is not changed. In evaluation mode both say the same to 1e-6, and
        both live on the same device
    strength : mean of the channels before the first norm, in deviations (root mean square)

    Raises
    ------
    ValueError
        If the strength is negative or not finite, or the network is fragile already.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"strength must be a number of deviations of at least 0, got {strength}")
    if net.conv1.bias is not None:
        raise ValueError(
            "conv1 has a bias already: make a network fragile that `fragile` is new to"
        )
    home, twin = device_of(net), copy.deepcopy(net).cpu()  # MPS has no float64
    norm, state = twin.bn1, {key: value.double() for key, value in twin.bn1.state_dict().items()}
    sums = twin.conv2.weight.detach().double().sum((2, 3))  # of a constant input: nothing is padded
    direction = torch.linalg.svd(sums).Vh[0]
    reached = (sums @ direction) / state["running_var"].sqrt()
    bias = (direction * (strength / reached.square().mean().sqrt())).float()
    twin.conv1.bias = nn.Parameter(bias)
    mean = state["running_mean"] + sums @ bias.double()
    norm.running_mean = mean.float()
    # fp32 rounds the large mean; what that costs goes into the norm's own, small, bias.
    gain = state["weight"] / (state["running_var"] + norm.eps).sqrt()
    norm.bias.data = (state["bias"] + gain * (mean.float() - mean)).float()
    return twin.to(home)
