"""Images per second: our training loop against a plain one, and BagNets against ResNet-50.

    python -m benchmarks.throughput [--seconds 20]

First table: class-size networks on 64-pixel images through `minibag.training.fit` (crops, flips,
learning rate, log and all) against the loop of a tutorial around the same network: float32,
channels first, no augmentation. Second: published sizes at 224 pixels, a step of training and a
forward pass. The essay says that a BagNet takes 2.5 times as long as ResNet-50, the paper's
figures say 3.7, multiply-adds 4.0.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

import minibag as mb
from benchmarks import record
from benchmarks.zoo import NETS, SIDE
from minibag.nets import build, normalise
from minibag.training import Recipe, fit

BATCH = 64


def rate(function: Callable[[], int], seconds: float, device: torch.device) -> float:
    """Return the images per second of a function that handles some and says how many."""
    function()  # the first call prepares the libraries
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += function()
        if device.type == "cuda":
            torch.cuda.synchronize()
    return done / (time.perf_counter() - start)


def plain_step(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], int]:
    """Return a function that takes one step of the plain loop."""
    optimizer = torch.optim.AdamW(net.train().parameters(), 1e-3)

    def step() -> int:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        return len(x)

    return step


def against_plain(seconds: float, device: torch.device) -> dict[str, dict[str, float]]:
    """Return images/s of class-size networks in the plain loop and in ours."""
    images = mb.critters("train", 20 * BATCH, SIDE)
    x = normalise(images.images[:BATCH], device)
    y = torch.from_numpy(images.labels[:BATCH]).to(device)
    rows = {}
    for name in ("bagnet9", "bagnet17", "resnet"):
        net = build({**NETS[name], "num_classes": len(images.classes)}).to(device)
        row = {"plain": rate(plain_step(net, x, y), seconds, device)}
        for precision in ("fp32", "bf16"):
            recipe = Recipe(1, BATCH, precision=precision)
            row[precision] = rate(partial(fit_once, net, images, recipe), seconds, device)
        rows[name] = row
        print(f"{name:9} plain {row['plain']:7.0f}   ours fp32 {row['fp32']:7.0f}   ", end="")
        print(f"bf16 {row['bf16']:7.0f} images/s ({row['bf16'] / row['plain']:.1f} x)", flush=True)
    return rows


def fit_once(net: nn.Module, images: mb.ImageSet, recipe: Recipe) -> int:
    """Train for an epoch and return how many images that were."""
    fit(net, images, recipe=recipe)
    return len(images)


def against_resnet(seconds: float, device: torch.device) -> dict[str, dict[str, float]]:
    """Return images/s of the published sizes at 224 pixels, forward and training, in float32."""
    batch = 64 if device.type == "cuda" else 4
    x = torch.randn(batch, 3, 224, 224, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.zeros(batch, dtype=torch.int64, device=device)
    rows: dict[str, dict[str, float]] = {}
    nets: dict[str, Callable[[], nn.Module]] = {
        "ResNet-50": resnet50,
        "BagNet-17": mb.bagnet17,
        "BagNet-33": mb.bagnet33,
    }
    for name, make in nets.items():
        net: Any = make().to(device, memory_format=torch.channels_last)
        row = {"training": rate(plain_step(net, x, y), seconds, device)}
        with torch.no_grad():
            net.eval()
            row["forward"] = rate(lambda n=net: len(n(x)), seconds, device)
        rows[name] = row
        ratios = [rows["ResNet-50"][kind] / row[kind] for kind in ("training", "forward")]
        print(
            f"{name} training {row['training']:.2f}, forward {row['forward']:.2f} images/s: ",
            end="",
        )
        print(f"ResNet-50 is {ratios[0]:.1f} and {ratios[1]:.1f} x as fast", flush=True)
    return rows


def main() -> None:
    """Print both tables and write them."""
    parser = argparse.ArgumentParser(description="Images per second of loops and networks")
    parser.add_argument("--seconds", type=float, default=20, help="that each figure is measured")
    seconds = parser.parse_args().seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    result = {"device": str(device), "loops": against_plain(seconds, device)}
    result["networks"] = against_resnet(seconds, device)
    name = "throughput_gpu" if device.type == "cuda" else "throughput"
    print("written to", record.write(name, result))


if __name__ == "__main__":
    main()
