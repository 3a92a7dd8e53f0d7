"""Several processes that train one network: ``torchrun --nproc_per_node=2 script.py``.

Every process runs the same script and takes each ``world``-th image of a batch; gradients are
averaged, batch norms synchronised. This is the run of one process, up to rounding and to the random
numbers of dropout and mixing; networks for which it would not be are refused.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from minibag.machine import accelerator
from minibag.training.prepare import buffers_kept

JOINED: Counter[tuple[str | None, str | None]] = Counter()  # how often, by where all have met


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
        """Return a module whose gradients are those of all processes, which begin as the first."""
        if self.world == 1:
            return net
        with self.synchronised(net):  # torch has SyncBatchNorm refused on a CPU
            return DistributedDataParallel(net, broadcast_buffers=False)

    @contextmanager
    def synchronised(self, net: nn.Module) -> Iterator[None]:
        """Let a network's batch norms learn from the images of all processes for a while."""
        kind = _GpuNorm if self.device.type == "cuda" else SyncNorm
        norms = [m for m in net.modules() if type(m) in NORMS and self.world > 1]
        own = [type(norm) for norm in norms]
        try:
            for norm in norms:
                norm.__class__ = kind  # has the same state
            yield
        finally:
            for norm, theirs in zip(norms, own, strict=True):
                norm.__class__ = theirs

    @torch.no_grad()
    def check_images_alone(self, net: nn.Module, x: Tensor) -> None:
        """Raise ValueError if images (3, 3, H, W) meet each other outside of batch norms.

        Such a network, in training mode, would learn something else in several processes, each of
        which sees a share of a batch: the first image is run with the second and with the third.
        """
        for module in net.modules():
            module.training = module.training and type(module) not in NORMS
        first, again = (_first_image(net, x[[0, beside]]) for beside in (1, 2))
        for (name, a), (_, b) in zip(first, again, strict=True):
            if (a - b).abs().max() > 1e-3 * a.abs().max():
                kind = type(net.get_submodule(name)).__name__
                raise ValueError(
                    f"{self.world} processes would not learn what one learns: {kind} "
                    f"{name or '(the network)'} works on each image according to the others of "
                    "its batch, of which a process sees a share. Train in one process, or take "
                    "BatchNorm1d, 2d or 3d with running statistics, which are synchronised"
                )


def _first_image(net: nn.Module, x: Tensor) -> list[tuple[str, Tensor]]:
    """Return what every module makes of the first of two images, and its buffers, by its name."""
    seen: list[tuple[str, Tensor]] = []

    def watch(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and len(output) == len(x):
            seen.append((name, output[0].float()))

    hooks = [
        module.register_forward_hook(lambda *args, name=name: watch(name, args[-1]))
        for name, module in net.named_modules()
    ]
    torch.manual_seed(0)  # the same dropout for all
    with buffers_kept(net):
        net(x)
        buffers = [(k.rpartition(".")[0], v.float()) for k, v in net.named_buffers() if v.numel()]
        seen += [(name, buffer.clone()) for name, buffer in buffers]
    for hook in hooks:
        hook.remove()
    return seen


def _world() -> int:
    """Return how many processes torchrun has started; ValueError if its variables contradict."""
    given = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    numbers = [value is None or value.isdecimal() for value in given.values()]
    rank, world = (
        int(given[name] or start) if all(numbers) else 0
        for name, start in (("RANK", 0), ("WORLD_SIZE", 1))
    )
    if not rank < world or (world > 1 and None in given.values()):
        raise ValueError(
            "several processes need RANK (from 0, below WORLD_SIZE), WORLD_SIZE and LOCAL_RANK in "
            f"their environment, as torchrun sets them; here are {given}: start with torchrun, or "
            "unset all three to train alone"
        )
    return world


@contextmanager
def join(device: str | torch.device | None = None) -> Iterator[Team]:
    """Join the processes that torchrun started, or be alone; None takes the accelerator if any.

    Raises ValueError if the environment is not torchrun's, or if torchrun shall start workers
    again, but could not.
    """
    world = _world()
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
    if home.type not in ("cpu", "cuda"):
        raise ValueError(f'several processes cannot share a {home.type}: take device="cpu"')
    if home.type == "cuda":
        home = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(home)
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    place = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
    store, rank, _ = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(f"fit {JOINED[place]}", store)  # else it holds traces of the last time
    JOINED[place] += 1
    kinds = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(kinds, store=store, rank=rank, world_size=world)
    try:
        yield Team(rank, world, home)
    finally:
        dist.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes, through which gradients flow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    backward = forward  # each output depends on each input


class SyncNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all processes (torch's SyncBatchNorm is for GPUs only)."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept (N, C, ...): the norm whose place we take has its own check, in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, ...), of any N and size in each process."""
        if not self.training:
            return super().forward(x)
        wide = x.to(self.running_mean.dtype)  # statistics of bf16 would not be those of one process
        dims, shape = [0, *range(2, x.ndim)], (-1, *(1,) * (x.ndim - 2))
        values = wide.new_tensor([x.numel() / x.shape[1]])
        *_, count = sums = _Sum.apply(torch.cat([wide.sum(dims), values]))
        mean = sums[:-1] / count
        centred = wide - mean.view(shape)
        var = _Sum.apply(centred.square().sum(dims)) / count
        self._follow(mean.detach(), (var * count / (count - 1)).detach())
        out = centred * torch.rsqrt(var + self.eps).view(shape)
        out = out if self.weight is None else out * self.weight.view(shape)
        out = out if self.bias is None else out + self.bias.view(shape)
        return out.to(x.dtype)

    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Let the running statistics follow; without a momentum they are the mean of all."""
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)


class _GpuNorm(nn.SyncBatchNorm):
    process_group = None  # those that were made as another norm have none of their own


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
