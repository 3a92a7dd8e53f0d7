"""Several processes that train one network: ``torchrun --nproc_per_node=2 script.py``.

Every process runs the same script and takes each ``world``-th image of a batch; gradients are
averaged. With synchronised batch norms this is the run of one process, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minibag.machine import accelerator


@dataclass(frozen=True)
class Team:
    """One process among its fellows: its rank, how many they are, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def share(self) -> slice:
        """Which images of a batch are ours: ``batch[team.share]``."""
        return slice(self.rank, None, self.world)

    @property
    def gpus(self) -> list[torch.device]:
        """The accelerator, if we have one: its random numbers are ours."""
        return [self.device] if self.device.type != "cpu" else []

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, the same in each."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Return whether the flag is up in any process; no accelerator is waited for."""
        return bool(self.sum(torch.tensor(int(flag))))

    def barrier(self) -> None:
        """Return once all processes have come here."""
        if self.world > 1:
            dist.barrier()

    def wrap(self, net: nn.Module) -> nn.Module:
        """Return a module whose gradients and batch statistics are those of all processes.

        The network's batch norms stay synchronised ones; in evaluation mode they are the same.
        """
        if self.world == 1:
            return net
        if self.device.type == "cuda":
            nn.SyncBatchNorm.convert_sync_batchnorm(net)
        for module in net.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SyncNorm  # has the same state
        return DistributedDataParallel(net, broadcast_buffers=False)


@contextmanager
def join(device: str | torch.device | None = None) -> Iterator[Team]:
    """Join the processes that torchrun started, or be alone; None takes the accelerator if any.

    Raises ValueError if torchrun shall start workers again, but could not.
    """
    world = int(os.environ.get("WORLD_SIZE", 1))
    home = torch.device(device or accelerator() or "cpu")
    if world == 1:
        yield Team(0, 1, home)
        return
    restarts = int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0))
    if restarts and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise ValueError(  # https://github.com/pytorch/pytorch/issues/135712, so in torch 2.15, too
            "torchrun --max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment "
            "and --standalone or --rdzv-backend c10d: else new workers look for those before them"
        )
    if home.type == "cuda":
        home = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(home)
    dist.init_process_group("cpu:gloo,cuda:nccl" if home.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), world, home)
    finally:
        dist.destroy_process_group()


class _Mean(torch.autograd.Function):
    """The mean of a tensor over all processes, through which gradients flow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x / dist.get_world_size()

    backward = forward  # each output depends on each input, with weight 1 / world


class SyncNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes (torch's SyncBatchNorm is for GPUs only)."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, h, w); all processes must bring the same N, h and w."""
        if not self.training:
            return super().forward(x)
        wide = x.to(self.weight.dtype)  # statistics of bf16 would not be those of one process
        mean = _Mean.apply(wide.mean((0, 2, 3)))
        centred = wide - mean.view(-1, 1, 1)
        var = _Mean.apply(centred.square().mean((0, 2, 3)))
        count = x.numel() / len(mean) * dist.get_world_size()
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        out = centred * torch.rsqrt(var + self.eps).view(-1, 1, 1)
        return (out * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)).to(x.dtype)
