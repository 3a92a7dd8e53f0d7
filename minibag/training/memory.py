"""How many images a step can take on a device: a guess from its free memory, then trial."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from minibag.machine import device_memory
from minibag.nets.receptive import without_data

T = TypeVar("T")


def batch_that_fits(net: nn.Module, side: int, device: torch.device, most: int) -> int:
    """Return the batch for a step: ``most``, or the largest half of a half ... of it that fits.

    It fits if all its maps in float32 would take at most half of the free memory. A BagNet keeps
    about 60 % of them for the backward pass, with a few gradients beside; weights, the optimiser's
    memory and what convolutions need for themselves share the rest.
    """
    image, free, batch = bytes_of_maps(net, side), device_memory(device) / 2, most
    while batch > 1 and batch * image > free:
        batch //= 2
    return batch


def bytes_of_maps(net: nn.Module, side: int) -> int:
    """Return the bytes of all maps that a network makes of one square image, in float32."""
    sizes: list[int] = []
    shapes = without_data(net)
    for module in shapes.modules():
        if not any(module.children()):
            module.register_forward_hook(
                lambda _, __, out: sizes.append(out.numel()) if isinstance(out, Tensor) else None
            )
    with torch.no_grad():
        shapes(torch.empty(1, 3, side, side, device="meta"))
    return 4 * sum(sizes)


def halving(run: Callable[[int], T], batch: int) -> T:
    """Return ``run(batch)``; with half the batch, and says so, as long as memory does not suffice.

    ``run`` begins anew each time. What one image does not fit into raises torch's own error.
    """
    while True:
        try:
            return run(batch)
        except RuntimeError as error:  # torch.OutOfMemoryError is one; on MPS only the words tell
            if batch == 1 or not _out_of_memory(error):
                raise
        # Here, and not above, where the error would keep alive what the step had stored.
        print(f"{batch} images at a time do not fit into memory, so {batch // 2}", flush=True)
        batch //= 2
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
