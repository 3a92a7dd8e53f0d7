"""Threads or processes: how fast two workers turn photographs into histograms of words.

    python -m benchmarks.words_jobs [--limit 20] [--rounds 3]

The ways take turns, and the fastest of the rounds counts, so that other work on the machine
disturbs all alike. Processes are started before the clock; what they are sent is on it.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from typing import Any

import joblib
import numpy as np

import minibag as mb
from benchmarks import record

JOBS = 2
WAYS = {"one worker": (1, None), "threads": (JOBS, None), "processes": (JOBS, "loky")}


def seconds(bag: mb.BagEncoder, images: Any, jobs: int, backend: str | None) -> float:
    """Return how long the images take to encode."""
    bag.set_params(n_jobs=jobs)
    with joblib.parallel_config(backend) if backend else nullcontext():
        bag.transform(images[: bag.batch_size * jobs])  # starts the processes
        start = time.perf_counter()
        bag.transform(images)
        return time.perf_counter() - start


def main() -> None:
    """Time every way, print the fastest round of each, and write the result."""
    parser = argparse.ArgumentParser(description="Threads or processes for the word pipeline")
    parser.add_argument("--limit", type=int, default=20, help="photographs per class [20]")
    parser.add_argument("--rounds", type=int, default=3, help="[3]")
    given = parser.parse_args()
    photographs = mb.imagenette("train", size=160, limit=given.limit).images
    encoders = {"histogram 400": mb.HistogramEncoder(400), "Fisher 64": mb.FisherEncoder(64)}
    found: dict[str, dict[str, float]] = {}
    for name, encoder in encoders.items():
        features = mb.DenseSIFT(step=6, patch_size=(16, 24, 32), root=True)
        bag = mb.BagEncoder(features, encoder).fit(photographs)
        rounds = [
            [seconds(bag, photographs, *way) for way in WAYS.values()] for _ in range(given.rounds)
        ]
        found[name] = dict(zip(WAYS, np.min(rounds, axis=0).tolist(), strict=True))
        print(name, ", ".join(f"{way} {s:.1f} s" for way, s in found[name].items()), flush=True)
    result = {"photographs": len(photographs), "rounds": given.rounds, "seconds": found}
    print("written to", record.write("words_jobs", result))


if __name__ == "__main__":
    main()
