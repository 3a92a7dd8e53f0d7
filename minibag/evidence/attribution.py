"""Maps of what a network looks at, for any network: the methods that exact evidence is held to.

Every method is called ``method(net, x, target)``, with normalised images x (N, 3, H, W) and a
class for all images or one for each. It works where the network is, whatever device x and other
tensors lie on, and returns a map (N, H, W) on the device of x. Networks are read in evaluation
mode, in full precision (`minibag.exact`), and left as they were: mode, weights and gradients.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minibag.exact import exact
from minibag.machine import device_of, plain

Target = int | Sequence[int] | NDArray[np.integer] | Tensor
PIXELS = 1 << 17  # of the images that a method works on at a time: 32 of 64 x 64


class Targets(NamedTuple):
    """Classes (N,) where the network is, and their limits, for which nobody need wait again."""

    classes: Tensor
    lowest: int
    highest: int


def attribution(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Check x and target; call ``function(net, x, targets)`` on a few images at a time."""

    @functools.wraps(function)
    def method(net: nn.Module, x: Tensor, target: Target, **options: Any) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.numel() == 0 or not x.is_floating_point():
            given = f"{x.dtype} {tuple(x.shape)}"
            raise ValueError(f"expected normalised images (N, 3, H, W), got {given}")
        net = plain(net)
        here = device_of(net)
        targets = torch.as_tensor(target)
        whole = not targets.is_floating_point() and targets.dtype != torch.bool
        if not whole or targets.shape not in ((), (len(x),)):
            raise ValueError(f"target must be a class, or one for each of {len(x)}, got {target!r}")
        low, high = (int(limit) for limit in targets.aminmax())
        targets = targets.long().expand(len(x)).to(here)
        options = {k: v.to(here) if isinstance(v, Tensor) else v for k, v in options.items()}
        size = max(1, PIXELS // (x.shape[2] * x.shape[3]))
        with _evaluating(net), exact(), _uncompiled():
            parts = zip(x.detach().to(here).split(size), targets.split(size), strict=True)
            maps = [
                function(net, images, Targets(classes, low, high), **options).detach()
                for images, classes in parts
            ]
        return torch.cat(maps).to(x.device)

    return method


def _uncompiled() -> AbstractContextManager[Any]:
    """Run all parts of a network as they are written: in compiled ones no hook is called."""
    if "torch._dynamo" in sys.modules:  # or nothing is compiled, and it takes seconds to load
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Read the network in evaluation mode, then give every module its mode back."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def target_logit(net: nn.Module, x: Tensor, targets: Targets) -> Tensor:
    """Return the logit of its target for every image: (N,)."""
    logits = net(x)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(f"expected logits (N, C) alone from the network, got {type(logits)}")
    if targets.lowest < 0 or targets.highest >= logits.shape[1]:
        given = f"{targets.lowest} to {targets.highest}"
        raise ValueError(f"target must be 0 to {logits.shape[1] - 1}, got {given}")
    return logits.gather(1, targets.classes[:, None])[:, 0]


def target_gradient(net: nn.Module, x: Tensor, targets: Targets) -> Tensor:
    """Return the derivative of the target's logit with respect to the images: (N, 3, H, W)."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        return torch.autograd.grad(target_logit(net, x, targets).sum(), x)[0]


@attribution
def saliency(net: nn.Module, x: Tensor, target: Targets) -> Tensor:
    """Return the absolute gradient, the largest of the three channels (>= 0).

    References
    ----------
    Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks", ICLR Workshop 2014.
    """
    return target_gradient(net, x, target).abs().amax(1)


@attribution
def input_x_gradient(net: nn.Module, x: Tensor, target: Targets) -> Tensor:
    """Return gradient times input, summed over the channels.

    In a network of ReLUs without biases the map sums to the logit.

    References
    ----------
    Shrikumar et al., "Not just a black box", arXiv 1605.01713, 2016.
    """
    return (x * target_gradient(net, x, target)).sum(1)


@attribution
def integrated_gradients(
    net: nn.Module, x: Tensor, target: Targets, *, steps: int = 32, baseline: Tensor | float = 0.0
) -> Tensor:
    """Return the gradient along the straight way from a baseline to x, times x - baseline.

    The map sums to logit(x) - logit(baseline), up to the error of ``steps`` midpoints.

    Parameters
    ----------
    net, x, target : as for every method
    steps : gradients taken on the way
    baseline : number or tensor that fits (3, H, W), normalised as x; 0 is the mean colour of the
        data that x was normalised with, not black

    References
    ----------
    Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    way = x - baseline
    total = torch.zeros_like(x)
    for step in range(steps):
        total += target_gradient(net, baseline + (step + 0.5) / steps * way, target)
    return (way * total / steps).sum(1)


@attribution
def occlusion(
    net: nn.Module,
    x: Tensor,
    target: Targets,
    *,
    window: int = 16,
    stride: int = 8,
    fill: Tensor | float = 0.0,
) -> Tensor:
    """Return how far the logit falls when a window is covered, the mean over windows at a pixel.

    Parameters
    ----------
    net, x, target : as for every method
    window : side of the square in pixels; cut off at the bottom and right edge of the image
    stride : distance between windows in pixels, at most ``window``
    fill : what covers it, a number or a tensor that fits (3, 1, 1), normalised as x; 0 is the
        mean colour of the data

    References
    ----------
    Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    """
    if not 1 <= stride <= window:
        raise ValueError(f"1 <= stride <= window, or pixels are left out; got {stride}, {window}")
    total, count = torch.zeros_like(x[:, 0]), torch.zeros_like(x[:1, 0])
    tops, lefts = (range(0, max(side - window, 0) + stride, stride) for side in x.shape[2:])
    with torch.no_grad():
        whole = target_logit(net, x, target)
        for top, left in itertools.product(tops, lefts):
            at = (..., slice(top, top + window), slice(left, left + window))
            covered = x.clone()
            covered[at] = fill
            total[at] += (whole - target_logit(net, covered, target))[:, None, None]
            count[at] += 1
    return total / count
