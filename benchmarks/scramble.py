"""What shuffling the cells of an image does to every model, and what reusing evidence saves.

    python -m benchmarks.scramble [accuracy] [speed] [--images 1000]

Accuracy against the grid on critters' test split (the first images of it) and on all validation
photographs of Imagenette, with 95 % Wilson intervals; every model sees the same scrambled images.
Beside it, for bags, the share of their patches that touch no seam. Then `scrambled_evidence`, with
the evidence of the unscrambled image at hand, against the model on the scrambled image: one image,
as in a widget, in CPU time of one thread. Both together need about ten minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import minibag as mb
from benchmarks import record
from minibag.data import ImageSet
from minibag.experiments import (
    Shuffle,
    accuracy_by_grid,
    scramble,
    scrambled_evidence,
    surviving_patches,
)

SIDE, GRIDS, REPEATS = 64, (1, 2, 4, 8, 16), 15
NAMES = {
    "words": "words",
    "BagNet-5": "bagnet5",
    "BagNet-9": "bagnet9",
    "BagNet-9, wide": "bagnet9wide",
    "BagNet-17": "bagnet17",
    "ResNet": "resnet",
    "VGG": "vgg",
    "DenseNet": "densenet",
}
TIMED = [("critters-words", SIDE), ("imagenette-words", SIDE)]
TIMED += [(f"critters-bagnet{q}", SIDE) for q in (5, 9, 17)]
TIMED += [("imagenette-bagnet9wide", SIDE), ("imagenette-bagnet9wide", 224)]
TIMED += [("critters-bagnet9", 224), ("critters-words", 224)]


def models_of(data: str) -> dict[str, str]:
    """Return the names in the zoo of the models that know this data, by their titles."""
    names = {title: f"{data}-{short}" for title, short in NAMES.items()}
    return {title: name for title, name in names.items() if name in mb.list_models()}


def survivors(model: Any, grids: Sequence[int]) -> list[float]:
    """Return the share of a bag's patches inside one cell, 0 to 1, for each grid."""
    patches = model.grid((SIDE, SIDE))
    shuffles = [Shuffle.draw((SIDE, SIDE), grid) for grid in grids]
    return [float(surviving_patches(patches, shuffle).mean()) for shuffle in shuffles]


def accuracies(images: ImageSet, data: str) -> dict[str, dict[str, Any]]:
    """Return what scrambling does to each model that knows these images; print a row for each."""
    found = {}
    for title, name in models_of(data).items():
        model = mb.load(name)
        rows = accuracy_by_grid(model, images, GRIDS)
        cells = [f"{r.accuracy:6.1%} ({r.low:6.1%}..{r.high:6.1%})" for r in rows]
        found[title] = {"model": name, "accuracy": [asdict(row) for row in rows]}
        if isinstance(model, mb.BagPredictor):
            found[title]["surviving"] = survivors(model, GRIDS)
            cells += [f"{share:5.0%}" for share in found[title]["surviving"]]
        print(f"{data:10} {title:14}", *cells, flush=True)
    return found


def cpu_time(function: Callable[[], NDArray]) -> float:
    """Return the median CPU time of a call in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        function()
        times.append(1000 * (time.process_time() - start))
    return float(np.median(times))


def fast_path(name: str, side: int) -> list[dict[str, Any]]:
    """Return time and difference of both ways for each grid; print them."""
    model: Any = mb.load(name)
    images = mb.critters("test", 1, side).images
    evidence, rows = model.evidence(images), []
    for grid in GRIDS[:4]:
        slow, fast = (
            lambda g=grid: model.evidence(scramble(images, g)),
            lambda g=grid: scrambled_evidence(model, images, g, 0, evidence),
        )
        expected = slow()
        difference = float(np.abs(fast() - expected).max() / np.abs(expected).max())
        row = {"grid": grid, "slow_ms": cpu_time(slow), "fast_ms": cpu_time(fast)}
        rows.append({**row, "difference": difference})
        saved = 1 - row["fast_ms"] / row["slow_ms"]
        print(f"{name:24} {side:4} px  {grid} x {grid}  {row['slow_ms']:6.1f} ms ->"
              f" {row['fast_ms']:6.1f} ms  saved {saved:4.0%}  differs by {difference:.0e}",
              flush=True)  # fmt: skip
    return rows


def measure_accuracy(n: int) -> dict[str, Any]:
    """Return the accuracy of all models, on n critters and on the photographs."""
    sets = {"critters": mb.critters("test", n, SIDE), "imagenette": mb.imagenette("val", SIDE)}
    grids = "   ".join(f"{grid:2} x {grid:2}            " for grid in GRIDS)
    print(f"right answers          {grids}   patches in one cell: {GRIDS}")
    return {
        "n": {data: len(images) for data, images in sets.items()},
        "chance": {data: 1 / len(images.classes) for data, images in sets.items()},
        "accuracy": {data: accuracies(images, data) for data, images in sets.items()},
    }


def main() -> None:
    """Measure what is asked for, or everything; print it and write it."""
    parser = argparse.ArgumentParser(description="Accuracy and time on scrambled images")
    parser.add_argument("parts", nargs="*", help="accuracy, speed; both if none is named")
    parser.add_argument("--images", type=int, default=1000, help="critters to scramble")
    arguments = parser.parse_args()
    parts = arguments.parts or ["accuracy", "speed"]
    if strange := {*parts} - {"accuracy", "speed"}:
        parser.error(f"no part {', '.join(strange)}: there are accuracy and speed")
    if "accuracy" in parts:
        print("written to", record.write("scramble", measure_accuracy(arguments.images)))
    if "speed" in parts:
        timed = {f"{name}, {side} px": fast_path(name, side) for name, side in TIMED}
        print("written to", record.write("scramble_speed", {"models": timed}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
