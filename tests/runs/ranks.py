"""What every process runs under torchrun: train, and let the first one keep the result."""

import os
import sys
from pathlib import Path

import torch

from minibag.training import fit
from tests.unit.training.small import quick, small_net, small_set

RECIPE = quick(epochs=2, batch_size=8, lr=0.05, optimizer="sgd", ema=0.9)


def main(out, folder=None):
    rank = int(os.environ.get("RANK", 0))
    torch.set_num_threads(1)
    net = small_net(seed=rank, dropout=0)  # the first one's weights count
    history = fit(net, small_set(), small_set(9, seed=1), RECIPE, folder, save_every=3)
    torch.save({"net": net.state_dict(), "history": history}, Path(out) / f"rank{rank}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
