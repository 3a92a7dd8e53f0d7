"""What a recipe means for one network on one device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

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


def memory_layout(net: nn.Module, recipe: Recipe, device: torch.device) -> torch.memory_format:
    """Return the recipe's memory format, except where a CPU gets it wrong.

    The backward pass of oneDNN writes beyond its memory for a strided 1x1 convolution of fewer
    than 16 channels that come last (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    unsafe = device.type == "cpu" and any(
        m.kernel_size == (1, 1) and m.stride != (1, 1) and m.in_channels // m.groups < 16
        for m in net.modules()
        if isinstance(m, nn.Conv2d)
    )
    last = recipe.channels_last and not unsafe
    return torch.channels_last if last else torch.contiguous_format


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; vectors (biases, norms) are not decayed."""
    trained = [p for p in net.parameters() if p.requires_grad]
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


def set_norm_momentum(net: nn.Module, momentum: float | None) -> None:
    """Give all batch norms of a network this momentum; None leaves them as they are."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and momentum is not None:
            module.momentum = momentum
