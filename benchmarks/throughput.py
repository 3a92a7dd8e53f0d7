"""Images per second: our training loop against a plain one, and BagNets against ResNet-50.

    python -m benchmarks.throughput [--seconds 20]

First table: class-size networks on 64-pixel images through `minibag.training.fit` (crops, flips,
learning rate, log and all) against the loop of a tutorial around the same network: float32,
channels first, the same batch again and again, no augmentation. Second, on a GPU only: the same of
published BagNets on views of 160 pixels, with the recipe of `benchmarks.full_size` (crops, flips,
jitter, average of the weights) in bf16, and compiled; the plain loop also with TF32 in
convolutions, which is what PyTorch does unless told otherwise. Third: published sizes at 224
pixels, a step of training and a forward pass. The essay says that a BagNet takes 2.5 times as long
as ResNet-50, the paper's figures say 3.7, multiply-adds 4.0. fp32 is float32, nowhere TF32. A GPU
needs about five minutes, two of them to compile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet50

import minibag as mb
from benchmarks import full_size, record
from benchmarks.zoo import NETS, SIDE
from minibag.exact import set_tf32
from minibag.nets import build, normalise
from minibag.training import Recipe, fit

BATCH = 64
BAGNETS = {"BagNet-17": mb.bagnet17, "BagNet-33": mb.bagnet33}
FULL = replace(full_size.RECIPE, epochs=6, precision="bf16")
OURS = {"bf16": FULL, "compiled": replace(FULL, compile=True)}
FULL_SIDE, FULL_STEPS, CLASSES = 160, 50, 10


def rate(function: Callable[[], int], seconds: float, device: torch.device) -> float:
    """Return the images per second of a function that handles some and says how many."""
    function()  # the first call prepares the libraries
    wait(device)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        done += function()
    wait(device)
    return done / (time.perf_counter() - start)


def wait(device: torch.device) -> None:
    """Return when the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def noise(n: int, side: int) -> mb.ImageSet:
    """Return images that nobody has to draw, for networks whose speed does not depend on them."""
    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return mb.ImageSet(images, np.arange(n) % CLASSES, tuple(map(str, range(CLASSES))))


def own_rate(net: nn.Module, images: mb.ImageSet, recipe: Recipe, device: torch.device) -> float:
    """Return images/s of our loop in all epochs but the first, which prepares or compiles.

    The clock of an epoch starts and stops when losses and weights have come from the device.
    """
    history = fit(net, images, recipe=recipe, device=device)[1:]
    batch = min(recipe.batch_size, len(images))
    return len(images) // batch * batch * len(history) / sum(row["seconds"] for row in history)


def at_full_size(
    nets: Mapping[str, Callable[..., nn.Module]],
    images: mb.ImageSet,
    recipes: Mapping[str, Recipe],
    seconds: float,
    device: torch.device,
) -> dict[str, dict[str, float]]:
    """Return images/s of networks in the plain loop, in fp32 and in TF32, and in ours."""
    rows = {}
    for name, make in nets.items():
        net, row = make(num_classes=len(images.classes)).to(device), {}
        batch = next(iter(recipes.values())).batch_size
        x = normalise(images.images[:batch], device)
        y = torch.from_numpy(images.labels[:batch]).to(device)
        for precision in ("fp32", "tf32"):
            set_tf32(precision == "tf32")
            row[f"plain {precision}"] = rate(plain_step(net, x, y), seconds, device)
        set_tf32(False)
        for way, recipe in recipes.items():
            row[way] = own_rate(net, images, recipe, device)
        rows[name] = row
        shown = [f"{way} {r:.1f} ({r / row['plain fp32']:.2f} x)" for way, r in row.items()]
        print(f"{name}, images/s (x plain fp32): {', '.join(shown)}", flush=True)
    return rows


def against_resnet(seconds: float, device: torch.device) -> dict[str, dict[str, float]]:
    """Return images/s of the published sizes at 224 pixels, forward and training, in float32."""
    batch = 256 if device.type == "cuda" else 4
    x = torch.randn(batch, 3, 224, 224, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.zeros(batch, dtype=torch.int64, device=device)
    rows: dict[str, dict[str, float]] = {}
    nets: dict[str, Callable[[], nn.Module]] = {"ResNet-50": resnet50, **BAGNETS}
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
    """Print all tables and write them."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="Images per second of loops and networks")
    usual = 5 if gpu else 20
    parser.add_argument("--seconds", type=float, default=usual, help="that each figure is measured")
    seconds = parser.parse_args().seconds
    device, name = torch.device("cuda" if gpu else "cpu"), "throughput_gpu" if gpu else "throughput"
    set_tf32(False)
    result: dict[str, Any] = {"device": str(device), "loops": against_plain(seconds, device)}
    result["networks"] = against_resnet(seconds, device)
    record.write(name, result)
    if gpu:
        images = noise(FULL_STEPS * FULL.batch_size, FULL_SIDE)
        result["full_size"] = at_full_size(BAGNETS, images, OURS, seconds, device)
    else:
        print("no GPU: the loops at full size are skipped, a CPU would need hours")
    print("written to", record.write(name, result))


if __name__ == "__main__":
    main()
