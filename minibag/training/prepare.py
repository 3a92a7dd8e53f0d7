"""What a recipe means for one network on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from minibag.machine import device_of
from minibag.training.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FUSED = ("cpu", "cuda")  # devices whose fused steps of SGD and AdamW PyTorch calls stable


def home_of(net: nn.Module) -> torch.device:
    """Return where a network lives, to bring it back there; ValueError if that is no one device."""
    home = device_of(net)
    places = {str(tensor.device) for tensor in (*net.parameters(), *net.buffers())}
    if len(places) > 1 or home.type == "meta":
        raise ValueError(
            f"the network must lie on one device and hold numbers, but lies on {sorted(places)}: "
            'move all of it, as by net.to("cpu")'
        )
    return home


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type in which the network computes; ValueError if the device has no fp16."""
    if precision == "auto":
        able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise ValueError('precision="fp16" needs a GPU: take "bf16", "fp32" or "auto" on a CPU')
    return DTYPES[precision]


def memory_layout(
    net: nn.Module, recipe: Recipe, device: torch.device, rehearse: Callable
) -> torch.memory_format:
    """Return the recipe's memory format, except where a CPU or the network itself gets it wrong.

    The network lies in that format then, and has been rehearsed in it. Some can be run only with
    rows of pixels in one piece, as those that call ``x.view``. The backward pass of oneDNN writes
    beyond its memory for a strided 1x1 convolution of fewer than 16 channels that come last
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    if any(map(is_lazy, (*net.parameters(), *net.buffers()))):
        rehearse(net, torch.contiguous_format)  # now its tensors have shapes
    unsafe = device.type == "cpu" and any(
        m.kernel_size == (1, 1) and m.stride != (1, 1) and m.in_channels // m.groups < 16
        for m in net.modules()
        if isinstance(m, nn.Conv2d)
    )
    if recipe.channels_last and not unsafe:
        try:
            rehearse(net.to(memory_format=torch.channels_last), torch.channels_last)
            return torch.channels_last
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
    rehearse(net.to(memory_format=torch.contiguous_format), torch.contiguous_format)
    return torch.contiguous_format


def check_logits(logits: Any, images: int, classes: int) -> None:
    """Raise TypeError or ValueError if a network's output is not logits (images, classes)."""
    if not isinstance(logits, torch.Tensor):
        raise TypeError(
            f"the network gave a {type(logits).__name__}, not a tensor of logits (N, {classes}): "
            "build it without auxiliary heads (torchvision: aux_logits=False), or give fit a "
            "module whose forward returns the logits alone"
        )
    if logits.shape != (images, classes):
        raise ValueError(
            f"{images} images of {classes} classes gave logits {tuple(logits.shape)}: the network "
            f"must be built for {classes} classes"
        )


def still_parts(net: nn.Module) -> list[str]:
    """Return the names of modules that a training leaves in evaluation mode.

    Somebody has put them there: they are in that mode in a network that is not, or all their
    weights are frozen. What else is in evaluation mode, as after `fit` or `load`, is to learn.
    """
    still: set[str] = set()
    for name, part in net.named_modules():
        weights = list(part.parameters())
        frozen = bool(weights) and not any(weight.requires_grad for weight in weights)
        if not part.training and (net.training or frozen):
            inside = (inner for inner, m in part.named_modules(prefix=name) if not m.training)
            still.update(inside)
    return sorted(still)


def training_mode(net: nn.Module, still: list[str]) -> None:
    """Put a network into training mode, but for its still parts."""
    net.train()
    for name in still:
        net.get_submodule(name).training = False


@contextmanager
def norm_momentum(net: nn.Module, momentum: float | None) -> Iterator[None]:
    """Give all batch norms of a network this momentum for a while; None leaves them their own."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    own = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = norm.momentum if momentum is None else momentum
        yield
    finally:
        for norm, value in zip(norms, own, strict=True):
            norm.momentum = value


@contextmanager
def buffers_kept(net: nn.Module) -> Iterator[None]:
    """Put a network's statistics back afterwards."""
    kept = {name: buffer.clone() for name, buffer in net.named_buffers() if not is_lazy(buffer)}
    try:
        yield
    finally:
        for name, buffer in net.named_buffers():
            if name in kept:
                buffer.copy_(kept[name])


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; vectors (biases, norms) are not decayed.

    Raises ValueError if no weight is to learn.
    """
    trained = [p for p in net.parameters() if p.requires_grad]
    if not trained:
        raise ValueError("no weight of the network is to learn: all have requires_grad=False")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = _fused(trained)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, fused=fused)
    return torch.optim.AdamW(groups, recipe.lr, fused=fused)


def _fused(weights: list[nn.Parameter]) -> bool | None:
    """Whether one pass over memory takes the whole step; None lets PyTorch choose how else."""
    return True if all(p.device.type in FUSED for p in weights) else None


def settle(optimizer: torch.optim.Optimizer) -> None:
    """Make an optimiser from a checkpoint, perhaps of another device, work as a new one here.

    A fused step reads a weight and its memory side by side, whatever their strides say.
    """
    for group in optimizer.param_groups:
        group["fused"] = _fused(group["params"])
    for weight, state in optimizer.state.items():
        for name, x in state.items():
            if isinstance(x, Tensor) and x.shape == weight.shape and x.stride() != weight.stride():
                state[name] = torch.empty_like(weight).copy_(x)


def averaged(net: nn.Module) -> list[Tensor]:
    """Return the weights and statistics of a network, each once, even if two modules share it."""
    state = net.state_dict(keep_vars=True).values()
    return list({id(x): x for x in state if x.is_floating_point()}.values())


def not_finite(state: dict[str, torch.Tensor]) -> list[str]:
    """Return the names of weights and buffers that hold NaN or infinity."""
    return [name for name, tensor in state.items() if not tensor.isfinite().all()]


def check_optimizer(optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
    """Raise ValueError if an optimiser's state, from a checkpoint, does not fit its parameters."""
    names = {"sgd": {"momentum_buffer"}, "adamw": {"step", "exp_avg", "exp_avg_sq"}}
    for parameter, state in optimizer.state.items():
        shapes = {tuple(x.shape) for x in state.values() if isinstance(x, torch.Tensor) and x.ndim}
        if state.keys() != names[recipe.optimizer] or shapes - {tuple(parameter.shape)}:
            raise ValueError(
                f"the optimizer's {sorted(state)} of shapes {sorted(shapes)} for a weight of shape "
                f"{tuple(parameter.shape)}"
            )
