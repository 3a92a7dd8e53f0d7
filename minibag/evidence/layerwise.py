"""Attribution methods that reach into a network: Grad-CAM, LRP and DeepLift.

They are called as those of `minibag.evidence.attribution`: ``method(net, x, target)``.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minibag.evidence.attribution import Targets, attribution, target_gradient, target_logit


@attribution
def grad_cam(net: nn.Module, x: Tensor, target: Targets, *, layer: str | None = None) -> Tensor:
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
    _check_hooks(net)
    named = dict(net.named_modules())
    if layer is not None and layer not in named:
        raise ValueError(f"no layer {layer!r}; the last ones are {[*named][-5:]}")
    watched = [module for module in _leaves(net) if "Pool" not in type(module).__name__]
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            maps[:] = [output]

    with torch.enable_grad(), _hooked(watched if layer is None else [named[layer]], keep):
        logit = target_logit(net, x.clone().requires_grad_(), target).sum()
        if not maps:
            raise ValueError("no module of this network gives a map (N, C, h, w) to look at")
        gradient = torch.autograd.grad(logit, maps[0])[0]
    cam = (gradient.mean((2, 3), keepdim=True) * maps[0]).sum(1).relu()
    return _enlarge(cam.detach(), net, x.shape[2:])


def _leaves(net: nn.Module) -> list[nn.Module]:
    """Return the modules that are made of no others, but for what reparametrises their weights."""
    lists = [m for name, m in net.named_modules() if name.split(".")[-1] == "parametrizations"]
    aside = {part for parametrizations in lists for part in parametrizations.modules()}
    return [m for m in net.modules() if m not in aside and {*m.modules()} <= {m} | aside]


def _check_hooks(net: nn.Module) -> None:
    """Raise ValueError for a network whose modules cannot be reached into."""
    if any(isinstance(module, torch.jit.ScriptModule) for module in net.modules()):
        raise ValueError(
            "TorchScript hides the modules that this method reaches into: give the network itself"
        )


@contextmanager
def _hooked(modules: list[nn.Module], hook: Callable[..., None]) -> Iterator[None]:
    """Call ``hook(module, inputs, output)`` whenever one of the modules has run."""
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _enlarge(maps: Tensor, net: Any, shape: torch.Size) -> Tensor:
    """Return maps (N, h, w) interpolated at every pixel of the image: (N, H, W)."""
    centres = [
        (np.arange(n) + 0.5) * side / n - 0.5 for side, n in zip(shape, maps.shape[1:], strict=True)
    ]
    if hasattr(net, "grid") and (grid := net.grid(shape)).shape == maps.shape[1:]:
        centres = list(grid.centres())
    rows, columns = (
        torch.from_numpy(np.stack([np.interp(np.arange(side), at, one) for one in np.eye(len(at))]))
        for side, at in zip(shape, centres, strict=True)
    )
    return rows.T.to(maps) @ maps @ columns.to(maps)


@attribution
def lrp(net: nn.Module, x: Tensor, target: Targets, *, epsilon: float = 1e-4) -> Tensor:
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
        If epsilon is negative, or the network has other activations than ReLU, or weights outside
        of Conv2d, Linear and BatchNorm2d.

    References
    ----------
    Bach et al., "On pixel-wise explanations for non-linear classifier decisions by layer-wise
    relevance propagation", PLoS ONE 2015.
    """
    _check_hooks(net)
    active = [m for m in net.modules() if type(m).__module__ == "torch.nn.modules.activation"]
    if epsilon < 0 or not all(isinstance(module, nn.ReLU) for module in active):
        names = sorted({type(module).__name__ for module in active})
        raise ValueError(f"lrp needs epsilon >= 0 and only ReLUs, got {epsilon}, {names}")

    def weaken(module: nn.Module, inputs: Any, output: Tensor) -> None:
        z = output.detach()
        share = (z / (z + epsilon * torch.where(z < 0, -1, 1))).nan_to_num(1)  # 0 / 0 of epsilon 0
        output.register_hook(lambda gradient: gradient * share)

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    weighted: list[nn.Module] = [module for module in net.modules() if isinstance(module, kinds)]
    owned = {id(weight) for module in weighted for weight in module.parameters()}
    if other := [name for name, weight in net.named_parameters() if id(weight) not in owned]:
        raise ValueError(f"lrp knows Conv2d, Linear and BatchNorm2d, not the module of {other[0]}")
    with _hooked(weighted, weaken):
        return (x * target_gradient(net, x, target)).sum(1)


@attribution
def deeplift(
    net: nn.Module, x: Tensor, target: Targets, *, baseline: Tensor | float = 0.0
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
    _check_hooks(net)
    try:
        from captum.attr import DeepLift
    except ImportError as error:
        raise ImportError(
            "DeepLift comes with captum, which is not installed: pip install 'minibag[attribution]'"
        ) from error
    with torch.no_grad():
        target_logit(net, x, target)  # says which target is wrong; captum does not
    start = torch.zeros_like(x) + baseline
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting forward, backward hooks")
        method = DeepLift(copy.deepcopy(net))
        return method.attribute(x.clone().requires_grad_(), start, target.classes).sum(1)
