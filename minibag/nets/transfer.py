"""How tensors get to a device: without waiting where that is safe, and never overwritten meanwhile.

A copy that does not wait reads its source later. If that is ordinary memory, it may long belong to
another tensor then: results are silently wrong (https://github.com/pytorch/pytorch/issues/189690).
So no other module copies without waiting.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


def send(x: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device. To a CUDA device, whose work goes on meanwhile, it goes pinned.

    PyTorch keeps pinned memory until CUDA has read it; elsewhere the copy is waited for.
    """
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


@cache
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return (C, 1, 1), one number a channel: copied once to a device, not for every batch."""
    with torch.inference_mode(False):  # else no gradient could ever pass by it
        return torch.tensor(values, dtype=dtype, device=device).view(-1, 1, 1)
