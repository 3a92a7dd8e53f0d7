"""Do maps point at the evidence? Exact maps and attribution methods against critters' masks.

    python -m benchmarks.pointing [--images 300]

Every method explains the true class of the same test images, for two BagNets and a ResNet of the
zoo. The pointing score is the share of maps whose maximum lies on a part (Wilson interval), the
energy score the share of positive evidence on parts (bootstrap over images). Chance is the share
of the image that parts cover. Needs about six minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import minibag as mb
from benchmarks import record
from minibag import evidence
from minibag.data import ImageSet
from minibag.evidence import energy_score, pointing_score
from minibag.nets import BagNetPredictor, NetPredictor, normalise
from minibag.stats import wilson_interval

NETS = {
    "BagNet-9": "critters-bagnet9",
    "BagNet-17": "critters-bagnet17",
    "ResNet": "critters-resnet",
}
OPTIONS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 16},
    "grad_cam": {},
    "occlusion": {"window": 8, "stride": 8},
    "lrp": {},
    "deeplift": {},
}
Make = Callable[[NetPredictor, ImageSet, Tensor], Any]


def painted(model: NetPredictor, images: ImageSet, x: Tensor) -> NDArray:
    """Return the evidence of the patches the network voted with, spread over their pixels."""
    assert isinstance(model, BagNetPredictor)
    own = model.evidence(images.images)[np.arange(len(images)), images.labels]
    shape = images.images.shape[1:3]
    return model.grid(shape).paint(own, shape)


def strongest(model: NetPredictor, images: ImageSet, x: Tensor) -> NDArray:
    """Return the strongest patch alone: where painted patches overlap, sums hide which it was."""
    assert isinstance(model, BagNetPredictor)
    own = model.evidence(images.images)[np.arange(len(images)), images.labels]
    shape = images.images.shape[1:3]
    return model.grid(shape).paint(own == own.max((1, 2), keepdims=True), shape)


def dense(model: NetPredictor, images: ImageSet, x: Tensor) -> NDArray:
    """Return the evidence of the patch around every pixel."""
    pairs = zip(x, images.labels.tolist(), strict=True)
    return np.stack([mb.heatmap(model.net, one, label).numpy() for one, label in pairs])


def methods(model: NetPredictor) -> Iterator[tuple[str, Make]]:
    """Yield name and function of all maps that this network can have."""
    if isinstance(model, BagNetPredictor):
        yield "exact, coarse", painted
        yield "exact, strongest patch", strongest
        yield "exact, dense", dense
    for name, options in OPTIONS.items():
        method = getattr(evidence, name)

        def make(m: NetPredictor, s: ImageSet, x: Tensor, f: Any = method, o: Any = options) -> Any:
            return f(m.net, x, torch.from_numpy(s.labels), **o).numpy()

        yield name, make


def score(maps: NDArray, masks: NDArray[np.bool_]) -> dict[str, Any]:
    """Return both scores with their 95 % intervals."""
    points, energies = pointing_score(maps, masks), energy_score(maps, masks)
    draws = np.random.default_rng(0).integers(0, len(maps), (1000, len(maps)))
    return {
        "pointing": points.mean(),
        "pointing_interval": wilson_interval(round(points.sum()), len(points)),
        "energy": energies.mean(),
        "energy_interval": np.quantile(energies[draws].mean(1), [0.025, 0.975]).tolist(),
    }


def main() -> None:
    """Score every map of every network; print the table and write it."""
    parser = argparse.ArgumentParser(description="Pointing and energy scores on critters")
    parser.add_argument("--images", type=int, default=300)
    images = mb.critters("test", parser.parse_args().images)
    assert images.masks is not None
    x, rows, accuracy = normalise(images.images), {}, {}
    for owner, name in NETS.items():
        model = mb.load(name)
        accuracy[owner] = float((model.logits(images.images).argmax(1) == images.labels).mean())
        for method, make in methods(model):
            start = time.process_time()
            try:
                maps = make(model, images, x)
            except ImportError as missing:
                print(f"{owner} {method}: left out, {missing}")
                continue
            row = score(maps, images.masks) | {"cpu_seconds": time.process_time() - start}
            rows[f"{owner} {method}"] = row
            shares = f"pointing {row['pointing']:6.1%} energy {row['energy']:6.1%}"
            print(f"{owner} {method:22} {shares} {row['cpu_seconds']:5.0f} s", flush=True)
    chance = float(images.masks.mean())
    result = {"n": len(images), "chance": chance, "accuracy": accuracy, "options": OPTIONS}
    print(f"chance {chance:.1%}; written to", record.write("pointing", result | {"maps": rows}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
