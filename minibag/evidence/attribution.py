"""Maps of what a network looks at, for any network: the methods that exact evidence is held to.

Every method is called ``method(net, x, target)``, with normalised images x (N, 3, H, W) and a
class for all images or one for each, and returns a map (N, H, W) on the device of x. Networks are
read in evaluation mode and left as they were: mode, weights and gradients.
"""

from __future__ import annotations

import copy
import functools
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Target = int | Sequence[int] | Tensor
PIXELS = 1 << 17  # of the images that a method works on at a time: 32 of 64 x 64


def _method(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Check x and target; call ``function(net, x, targets (N,))`` on a few images at a time."""

    @functools.wraps(function)
    def method(net: nn.Module, x: Tensor, target: Target, **options: Any) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.numel() == 0 or not x.is_floating_point():
            raise ValueError(
                f"expected normalised images (N, 3, H, W), got {x.dtype} {tuple(x.shape)}"
            )
        targets = torch.as_tensor(target, device=x.device)
        if targets.is_floating_point() or targets.shape not in ((), (len(x),)):
            raise ValueError(
                f"target must be a class, or one for each of the {len(x)} images, got {target!r}"
            )
        targets = targets.expand(len(x))
        size = max(1, PIXELS // (x.shape[2] * x.shape[3]))
        with _evaluating(net):
            parts = zip(x.detach().split(size), targets.split(size), strict=True)
            return torch.cat([function(net, *part, **options).detach() for part in parts])

    return method


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


def _logit(net: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Return the logit of its target for every image: (N,)."""
    logits = net(x)
    if targets.min() < 0 or targets.max() >= logits.shape[1]:
        raise ValueError(f"target must be 0 to {logits.shape[1] - 1}, got {targets.tolist()}")
    return logits.gather(1, targets[:, None])[:, 0]


def _gradient(net: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Return the derivative of the target's logit with respect to the images: (N, 3, H, W)."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        return torch.autograd.grad(_logit(net, x, targets).sum(), x)[0]


@_method
def saliency(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return the absolute gradient, the largest of the three channels (>= 0).

    References
    ----------
    Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks", ICLR Workshop 2014.
    """
    return _gradient(net, x, target).abs().amax(1)


@_method
def input_x_gradient(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Return gradient times input, summed over the channels.

    In a network of ReLUs without biases the map sums to the logit.

    References
    ----------
    Shrikumar et al., "Not just a black box", arXiv 1605.01713, 2016.
    """
    return (x * _gradient(net, x, target)).sum(1)


@_method
def integrated_gradients(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    steps: int = 32,
    baseline: Tensor | float = 0.0,
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
        total += _gradient(net, baseline + (step + 0.5) / steps * way, target)
    return (way * total / steps).sum(1)


@_method
def grad_cam(net: nn.Module, x: Tensor, target: Tensor, *, layer: str | None = None) -> Tensor:
    """Return the last map, its channels weighted by their mean gradient, where positive (>= 0).

    The map (h, w) is enlarged bilinearly. A network that knows its geometry (``net.grid``, as a
    BagNet) has cell (i, j) at the centre of its patch; any other is taken to tile the image
    evenly, as published, which is off by up to half a stride where padding is uneven. Beyond the
    outermost centres the map is constant.

    Parameters
    ----------
    net, x, target : as for every method
    layer : name of a module in ``net.named_modules()`` with an output (N, C, h, w); None takes
        the last such output of a module that does not pool

    References
    ----------
    Selvaraju et al., "Grad-CAM", ICCV 2017.
    """
    with torch.enable_grad(), _last_map(net, layer) as maps:
        logit = _logit(net, x.clone().requires_grad_(), target)
        if not maps:
            raise ValueError("no module of this network gives a map (N, C, h, w) to look at")
        gradient = torch.autograd.grad(logit.sum(), maps[0])[0]
    cam = (gradient.mean((2, 3), keepdim=True) * maps[0]).sum(1).relu()
    return _enlarge(cam, net, x.shape[2:])


@contextmanager
def _last_map(net: nn.Module, layer: str | None) -> Iterator[list[Tensor]]:
    """Yield a list that holds the map of the layer once the network has run."""
    named = dict(net.named_modules())
    if layer is not None and layer not in named:
        raise ValueError(f"no layer {layer!r}; the last ones are {[*named][-5:]}")
    leaves = [module for module in named.values() if not any(module.children())]
    watched = [named[layer]] if layer is not None else leaves
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        pools = "Pool" in type(module).__name__
        if isinstance(output, Tensor) and output.ndim == 4 and not (pools and layer is None):
            kept[:] = [output]

    handles = [module.register_forward_hook(keep) for module in watched]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _enlarge(maps: Tensor, net: Any, shape: torch.Size) -> Tensor:
    """Return maps (N, h, w) interpolated at every pixel of the image: (N, H, W)."""
    grid = net.grid(shape) if hasattr(net, "grid") else None
    axes = []
    for axis in (0, 1):
        cells, pixel = maps.shape[1 + axis], torch.arange(shape[axis], device=maps.device)
        if grid is not None and grid.shape == maps.shape[1:]:
            first, stride = float(grid.centres()[axis][0]), grid.stride
        else:
            stride = shape[axis] / cells
            first = (stride - 1) / 2
        cell = (pixel.to(maps.dtype) - first) / stride
        axes.append((2 * cell + 1) / cells - 1)  # -1 and 1 are the outer edges of the map
    at = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1)
    at = at.expand(len(maps), *at.shape)
    return nn.functional.grid_sample(
        maps[:, None], at, mode="bilinear", padding_mode="border", align_corners=False
    )[:, 0]


@_method
def occlusion(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    *,
    window: int = 8,
    stride: int = 4,
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
        whole = _logit(net, x, target)
        for top, left in itertools.product(tops, lefts):
            at = (..., slice(top, top + window), slice(left, left + window))
            covered = x.clone()
            covered[at] = fill
            total[at] += (whole - _logit(net, covered, target))[:, None, None]
            count[at] += 1
    return total / count


@_method
def lrp(net: nn.Module, x: Tensor, target: Tensor, *, epsilon: float = 1e-4) -> Tensor:
    """Return layer-wise relevance propagation (epsilon rule), summed over the channels.

    Relevance goes from the logit down to the pixels, at each layer in proportion to what every
    input adds to the output z, as a share of z + epsilon sign(z). In a network of ReLUs that is
    input x gradient, its gradient multiplied by z / (z + epsilon sign(z)) at every layer with
    weights (Ancona et al., ICLR 2018). What biases add is lost on the way, so the map sums to the
    logit only without them.

    Parameters
    ----------
    net, x, target : as for every method
    epsilon : weakens what small outputs pass on; near 0 this is input x gradient

    Raises
    ------
    ValueError
        If epsilon is negative or the network has other activations than ReLU.

    References
    ----------
    Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise
    relevance propagation", PLoS ONE 2015.
    """
    leaves = [module for module in net.modules() if not any(module.children())]
    active = [m for m in leaves if type(m).__module__ == "torch.nn.modules.activation"]
    if epsilon < 0 or not all(isinstance(module, nn.ReLU) for module in active):
        names = sorted({type(module).__name__ for module in active})
        raise ValueError(
            f"lrp needs epsilon >= 0 and no activations but ReLU, got {epsilon}, {names}"
        )

    def weaken(module: nn.Module, inputs: Any, output: Tensor) -> None:
        z = output.detach()
        share = z / (z + epsilon * torch.where(z < 0, -1, 1))
        output.register_hook(lambda gradient: gradient * share.nan_to_num(1))  # 0 / 0 of epsilon 0

    weighted = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    handles = [m.register_forward_hook(weaken) for m in leaves if isinstance(m, weighted)]
    try:
        return (x * _gradient(net, x, target)).sum(1)
    finally:
        for handle in handles:
            handle.remove()


@_method
def deeplift(
    net: nn.Module, x: Tensor, target: Tensor, *, baseline: Tensor | float = 0.0
) -> Tensor:
    """Return DeepLift's contributions (rescale rule), by captum, summed over the channels.

    The map sums to logit(x) - logit(baseline), if the network is made of modules that are each
    used once, as a BagNet is: captum refuses a module used twice, but does not see functions
    (``F.relu``), whose plain gradient it takes.

    Parameters
    ----------
    net, x, target : as for every method
    baseline : as for `integrated_gradients`

    Raises
    ------
    ImportError
        If captum is not installed (the extra ``attribution``).

    References
    ----------
    Shrikumar, Greenside & Kundaje, "Learning important features through propagating activation
    differences", ICML 2017.
    """
    try:
        from captum.attr import DeepLift
    except ImportError as error:
        raise ImportError(
            "DeepLift comes with captum, which is not installed: pip install 'minibag[attribution]'"
        ) from error
    start = torch.zeros_like(x) + baseline
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting forward, backward hooks")
        return (
            DeepLift(copy.deepcopy(net)).attribute(x.clone().requires_grad_(), start, target).sum(1)
        )
