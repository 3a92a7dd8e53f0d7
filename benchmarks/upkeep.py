"""What a training does beside running the network, and how much the way it is done matters.

    python -m benchmarks.upkeep [--seconds 5]

Every line times two ways to the same end by turns and gives the median of both: the plain way,
and that of `minibag.training` or `minibag.evidence`. A step of AdamW as PyTorch chooses, or fused;
the moving average of weights, from two state_dicts a step or from lists made of the network's
tensors; a pass over a folder of 64 photographs, with processes made anew or waiting from the last;
a map of input x gradient whose classes are looked at (a GPU is waited for) in every forward pass
or once. The last costs nothing on a CPU. Needs about two minutes.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

import minibag as mb
from benchmarks import record
from benchmarks.throughput import wait
from benchmarks.zoo import NETS
from minibag.evidence.attribution import input_x_gradient
from minibag.nets import build
from minibag.training import Recipe
from minibag.training.distributed import Team
from minibag.training.loaders import Streamed
from minibag.training.prepare import averaged, make_optimizer

Ways = tuple[Callable[[], Any], Callable[[], Any]]  # plain, ours
DECAY, CLASSES = 0.999, 10


def by_turns(ways: Ways, seconds: float, device: torch.device) -> dict[str, float]:
    """Return the median seconds of the plain way and of ours, and how many times each was run."""
    spent: list[list[float]] = [[], []]
    start = time.perf_counter()
    while len(spent[1]) < 4 or time.perf_counter() - start < seconds:
        for times, way in zip(spent, ways, strict=True):
            wait(device)
            begun = time.perf_counter()
            way()
            wait(device)
            times.append(time.perf_counter() - begun)
    plain, ours = (median(times[1:]) for times in spent)  # the first prepares
    return {"plain": plain, "ours": ours, "n": len(spent[1]) - 1}


def steps(net: nn.Module) -> Ways:
    """Return a step of AdamW as PyTorch takes it unless asked, and as `fit` does."""
    for weight in net.parameters():
        weight.grad = torch.ones_like(weight)
    plain = torch.optim.AdamW(net.parameters())
    return plain.step, make_optimizer(net, Recipe(1)).step


def averages(net: nn.Module) -> Ways:
    """Return an update of a moving average by two state_dicts, and as `fit` takes it."""
    average = copy.deepcopy(net).requires_grad_(False)
    kept, update = averaged(average), get_ema_multi_avg_fn(DECAY)

    @torch.no_grad()
    def plain() -> None:
        new = net.state_dict()
        for name, old in average.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], 1 - DECAY)

    return plain, torch.no_grad()(lambda: update(kept, averaged(net), None))


def passes(folder: Path, device: torch.device) -> Ways:
    """Return a pass over a folder by processes made for it, and by some that wait for the next."""
    recipe, team = Recipe(1, 32, image_size=64), Team(0, 1, device)
    ours, epochs = Streamed(folder, recipe, team), itertools.count()

    def read(images: Streamed) -> None:
        for _ in images.batches(next(epochs), 0):
            pass

    return lambda: read(Streamed(folder, recipe, team)), lambda: read(ours)


def maps(net: nn.Module, x: Tensor) -> Ways:
    """Return a map of a batch whose classes are checked in every pass, and as `minibag` does."""
    target = torch.arange(len(x), device=x.device) % CLASSES
    net.eval()

    def plain() -> Tensor:
        total = torch.zeros_like(x[:, 0])
        images = x.detach().clone().requires_grad_()
        logits = net(images)
        if int(target.min()) < 0 or int(target.max()) >= logits.shape[1]:
            raise ValueError("no such class")
        logit = logits.gather(1, target[:, None]).sum()
        return total + (images * torch.autograd.grad(logit, images)[0]).sum(1)

    return plain, lambda: input_x_gradient(net, x, target)


def draw_folder(folder: Path) -> None:
    """Write 64 photographs' worth of critters, 256 pixels wide, as a folder of class folders."""
    drawn = mb.critters("train", 64, 64)
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
        path = folder / drawn.classes[label] / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).resize((256, 256)).save(path)


def main() -> None:
    """Time all ways, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5, help="that each line is measured")
    seconds = parser.parse_args().seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    small = build({**NETS["bagnet9"], "num_classes": CLASSES}).to(device)
    large = mb.bagnet33(num_classes=CLASSES).to(device)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        draw_folder(Path(folder))
        lines: dict[str, Ways] = {
            "a step of AdamW, BagNet-9 of class size": steps(small),
            "a step of AdamW, BagNet-33": steps(large),
            "moving average, BagNet-9 of class size": averages(small),
            "moving average, BagNet-33": averages(large),
            "a pass over a folder of 64 photographs": passes(Path(folder), device),
            "maps of 8 critters, BagNet-9 of class size": maps(
                small, torch.randn(8, 3, 64, 64, device=device)
            ),
        }
        for name, ways in lines.items():
            found[name] = row = by_turns(ways, seconds, device)
            print(
                f"{name:45} {1e3 * row['plain']:8.1f} ms, ours {1e3 * row['ours']:8.1f} ms", end=""
            )
            print(f" ({row['plain'] / row['ours']:.1f} x), {row['n']} times each", flush=True)
    name = "upkeep" + "_gpu" * (device.type == "cuda")
    print("written to", record.write(name, {"device": str(device), "lines": found}))


if __name__ == "__main__":
    main()
