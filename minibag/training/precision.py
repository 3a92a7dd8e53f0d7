"""In which numbers a network computes, and how they lie in memory."""

from __future__ import annotations

import torch
from torch import nn

from minibag.training.recipe import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
