"""What every process runs under torchrun: train, and let the first one keep the result."""

import os
import sys
from pathlib import Path

import torch
from torch import nn

from minibag.training import fit
from tests.unit.training.small import quick, small_net, small_set

RECIPE = quick(epochs=2, batch_size=8, lr=0.05, optimizer="sgd", ema=0.9)
NORMS_RECIPE = quick(epochs=2, batch_size=4, lr=0.01, optimizer="sgd", norm_momentum=None)


def still(norm):
    """A norm that learns nothing, in evaluation mode, with statistics of its own."""
    nn.init.constant_(norm.running_mean, 0.3)
    return norm.eval().requires_grad_(False)


NORMS = {
    "2d": lambda: [nn.BatchNorm2d(4)],
    "without weights": lambda: [nn.BatchNorm2d(4, affine=False)],
    "without momentum": lambda: [nn.BatchNorm2d(4, momentum=None)],
    "synchronised": lambda: [nn.SyncBatchNorm(4)],
    "lazy": lambda: [nn.LazyBatchNorm2d()],
    "of each image": lambda: [nn.InstanceNorm2d(4), nn.GroupNorm(2, 4)],
    "3d": lambda: [nn.Unflatten(1, (2, 2)), nn.BatchNorm3d(2), nn.Flatten(1, 2)],
    "1d": lambda: [nn.Flatten(2), nn.BatchNorm1d(4), nn.Unflatten(2, (6, 6))],
    "one value a channel": lambda: [nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4)],
    "rows": lambda: [nn.Flatten(), nn.BatchNorm1d(144), nn.Unflatten(1, (4, 6, 6))],
    "frozen": lambda: [still(nn.BatchNorm2d(4)), nn.BatchNorm2d(4)],
}


def with_norm(name, seed=0):
    torch.manual_seed(seed)
    end = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), *NORMS[name](), *end)


def train_norms(seed=0):
    """Train a network with each kind of norm; return histories and final states."""
    found = {}
    for name in NORMS:
        batch = 2 if name.startswith("one") else 4  # one image in each of two processes
        recipe = quick(**NORMS_RECIPE.to_dict() | {"batch_size": batch})
        net = with_norm(name, seed)
        history = fit(net, small_set(12), small_set(9, seed=1), recipe)
        found[name] = (history, net.state_dict(), [type(m).__name__ for m in net])
    return found


def main(out, folder=None):
    rank = int(os.environ.get("RANK", 0))
    torch.set_num_threads(1)
    net = small_net(seed=rank, dropout=0)  # the first one's weights count
    history = fit(net, small_set(), small_set(9, seed=1), RECIPE, folder, save_every=3)
    result = {"net": net.state_dict(), "history": history, "norms": train_norms(rank)}
    torch.save(result, Path(out) / f"rank{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
