"""Measure word models on critters: accuracy, and whether evidence points at what was drawn.

    python -m benchmarks.critters_words

Pointing score: the share of test images whose strongest pixel of evidence for the true class lies
on the mask of the parts that tell the class. Chance is the mean share of the image that the mask
covers. In the set ``arrangement=True`` only the order of the parts tells the class, which a bag
cannot see: its accuracy must be chance.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import minibag as mb
from benchmarks import record
from minibag.stats import wilson_interval

N_TRAIN, N_TEST = 2000, 1000


def learn(**options: Any) -> tuple[mb.BagOfVisualWords, mb.ImageSet, dict[str, Any]]:
    """Fit a linear word model on critters and test it on fresh ones."""
    train, test = mb.critters("train", N_TRAIN, **options), mb.critters("test", N_TEST, **options)
    model = mb.BagOfVisualWords(random_state=0).fit(train)
    right = int((model.predict(test) == test.labels).sum())
    classes = len(test.classes)
    accuracy = {
        "accuracy": right / N_TEST,
        "interval": wilson_interval(right, N_TEST),
        "chance": 1 / classes,
    }
    return model, test, accuracy


def pointing(model: mb.BagOfVisualWords, test: mb.ImageSet) -> dict[str, Any]:
    """Return how often the strongest pixel of the painted evidence lies on the mask."""
    assert test.masks is not None
    evidence = model.evidence(test)[np.arange(len(test)), test.labels]
    painted = model.grid(test.images.shape[1:3]).paint(evidence, test.images.shape[1:3])
    strongest = painted.reshape(len(test), -1).argmax(axis=1)
    hits = int(test.masks.reshape(len(test), -1)[np.arange(len(test)), strongest].sum())
    return {
        "pointing": hits / len(test),
        "interval": wilson_interval(hits, len(test)),
        "chance": float(test.masks.mean()),
    }


def rate() -> float:
    """Return how many critters of 64 px are drawn in a second on one core."""
    with threadpool_limits(1):
        mb.critters("train", 100)
        start = time.perf_counter()
        mb.critters("train", 2000, seed=1)
        return 2000 / (time.perf_counter() - start)


def main() -> None:
    """Measure, print the table and write the result."""
    model, test, free = learn()
    arranged = learn(arrangement=True)[2]
    result = {
        "free layout": free,
        "arrangement only": arranged,
        "pointing": pointing(model, test),
        "critters_per_second": rate(),
    }
    for name in ("free layout", "arrangement only", "pointing"):
        value, (low, high), chance = result[name].values()
        print(f"{name:18} {value:6.1%}  ({low:.1%} .. {high:.1%}), chance {chance:.1%}")
    print(f"critters drawn on one core: {result['critters_per_second']:.0f} / s")
    print("written to", record.write("critters_words", result))


if __name__ == "__main__":
    main()
