"""The ladder of word models on Imagenette, from chance to the best bag of visual words.

    python -m benchmarks.words_ladder [--limit 100] [--only best]
    python -m benchmarks.words_ladder --side 64    # what lesson 05 sets beside learned words
    python -m benchmarks.words_ladder --blur       # whether SIFT should blur first, see lesson 02

Every rung learns from all training photographs at 160 px and is measured once on the validation
photographs, with a 95 % interval (Wilson). Whatever is tuned (C, alpha) is tuned on a fifth of the
training photographs. Seeds are fixed. Parameters are the numbers that were learned and are kept:
PCA, words or Gaussians, and weights (the scaler's fold into them); all vectors for the nearest
neighbour.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from skimage.transform import downscale_local_mean
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

import minibag as mb
from benchmarks import record
from minibag.stats import wilson_interval

JOBS = 2
PATCHES = (16, 24, 32)
SMALL = (8, 12, 16)  # at 64 px, every 3 pixels, as the patches of the learned words


def tuned(head: Any, **grid: list[float]) -> GridSearchCV:
    """Return a classifier that tunes itself on a fifth of its training data."""
    fifth = StratifiedShuffleSplit(1, test_size=0.2, random_state=0)
    return GridSearchCV(head, grid, cv=fifth)


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Return 16 x 16 versions of the images, with mean 0 and length 1: (N, 768)."""
    cell = images.shape[1] // 16
    tiny = downscale_local_mean(images, (1, cell, cell, 1)).reshape(len(images), -1)
    tiny = tiny - tiny.mean(axis=1, keepdims=True)
    return tiny / np.linalg.norm(tiny, axis=1, keepdims=True)


def bag(features: Any, encoder: Any) -> mb.BagEncoder:
    """Return the images-to-vectors step of a rung."""
    return mb.BagEncoder(features, encoder, n_jobs=JOBS)


def small_rungs() -> list[tuple[Any, dict[str, Any]]]:
    """Return the rungs at 64 px: a histogram and Fisher vectors, of shape, and of colour too."""
    kinds = {
        "shape": mb.DenseSIFT(step=3, patch_size=SMALL, root=True),
        "colour": mb.LocalColor(step=3, patch_size=SMALL),
    }
    counts = make_pipeline(StandardScaler(), LinearSVC(random_state=0))
    heads = {
        "histogram 400": (mb.HistogramEncoder(400), tuned(counts, linearsvc__C=[3e-4, 1e-3, 3e-3])),
        "Fisher 64": (mb.FisherEncoder(64), tuned(RidgeClassifier(), alpha=[0.6, 2.0, 6.0])),
    }
    table = []
    for name, (encoder, head) in heads.items():
        bags = [(kind, bag(features, encoder)) for kind, features in kinds.items()]
        table += [
            (bags[0][1], {f"{name} of shape, linear": head}),
            (FeatureUnion(bags), {f"{name} of shape + colour, linear": head}),
        ]
    return table


def blurred_rungs() -> list[tuple[Any, dict[str, Any]]]:
    """Return Fisher vectors of SIFT whose image is smoothed more and more; 1.2 px is Lowe's."""
    table = []
    for blur in (0.0, 0.7, 1.2):
        shape = mb.DenseSIFT(step=6, patch_size=PATCHES, root=True, blur=blur)
        head = tuned(RidgeClassifier(), alpha=[0.6, 2.0, 6.0])
        table.append((bag(shape, mb.FisherEncoder(64)), {f"Fisher 64, blur {blur} px": head}))
    return table


def rungs() -> list[tuple[Any, dict[str, Any]]]:
    """Return the rungs from the ground up: a transformer, and the classifiers on its vectors.

    All word models up to the last see the same descriptors, so only the encoding differs.
    """
    shape = mb.DenseSIFT(step=6, patch_size=PATCHES, root=True)
    colour = mb.LocalColor(step=6, patch_size=PATCHES)
    nearest = KNeighborsClassifier(1)
    counts = make_pipeline(StandardScaler(), LinearSVC(random_state=0))
    counts = tuned(counts, linearsvc__C=[0.0003, 0.001, 0.003])
    ridge = tuned(RidgeClassifier(), alpha=[0.6, 2.0, 6.0])
    fishers = [(name, bag(f, mb.FisherEncoder(64))) for name, f in (("s", shape), ("c", colour))]
    histogram = {"histogram 400, 1-NN": nearest, "histogram 400, linear": counts}
    return [
        (
            FunctionTransformer(thumbnails),
            {"chance": DummyClassifier(), "tiny images, 1-NN": nearest},
        ),
        (bag(shape, mb.HistogramEncoder(400)), histogram),
        (bag(shape, mb.PyramidEncoder(400)), {"pyramid 400, linear": counts}),
        (bag(shape, mb.VLADEncoder(64)), {"VLAD 64, linear": ridge}),
        (bag(shape, mb.FisherEncoder(64)), {"Fisher 64, linear": ridge}),
        (FeatureUnion(fishers), {"best: Fisher 64 of shape + colour": ridge}),
    ]


def seen(transformer: Any, head: Any) -> tuple[int, ...] | int | None:
    """Return the sides of a rung's patches in pixels: None is the whole image, 0 no pixel."""
    if isinstance(head, DummyClassifier):
        return 0
    return None if isinstance(transformer, FunctionTransformer) else PATCHES


def parameters(transformer: Any, head: Any, vectors: np.ndarray) -> int:
    """Return how many numbers a fitted rung keeps, for ``vectors`` (N, F) to learn from."""
    if isinstance(head, DummyClassifier):
        return 0
    bags = [part for _, part in getattr(transformer, "transformer_list", [("", transformer)])]
    encoders = [part.encoder_ for part in bags if isinstance(part, mb.BagEncoder)]
    learned = [
        getattr(encoder, name)
        for encoder in encoders
        for name in encoder.learned
        if name not in ("idf_", "counts_")  # all words weigh the same here, and are not learned on
    ]
    if isinstance(head, KNeighborsClassifier):
        return sum(array.size for array in (*learned, vectors))
    linear = getattr(head.best_estimator_, "steps", [("", head.best_estimator_)])[-1][1]
    return sum(array.size for array in (*learned, linear.coef_, linear.intercept_))


def climb(
    transformer: Any, heads: dict[str, Any], train: mb.ImageSet, val: mb.ImageSet
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each head and its accuracy, interval, size, minutes, what was tuned."""
    start = time.perf_counter()
    vectors = transformer.fit_transform(train.images)
    encoded = time.perf_counter() - start
    unseen = transformer.transform(val.images)
    for name, head in heads.items():
        start = time.perf_counter()
        head.fit(vectors, train.labels)
        minutes = (encoded + time.perf_counter() - start) / 60
        right = int((head.predict(unseen) == val.labels).sum())
        yield (
            name,
            {
                "accuracy": right / len(val),
                "interval": wilson_interval(right, len(val)),
                "parameters": parameters(transformer, head, vectors),
                "patch_size": seen(transformer, head),
                "fit_minutes": minutes,
                "tuned": getattr(head, "best_params_", {}),
            },
        )


def main() -> None:
    """Climb the ladder, print the table and write the result."""
    parser = argparse.ArgumentParser(description="Accuracy of word models on Imagenette")
    parser.add_argument("--limit", type=int, help="photographs per class, to try it out")
    parser.add_argument("--only", nargs="*", default=[""], help="rungs whose name starts like this")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--side", type=int, choices=(160, 64), default=160)
    kind.add_argument("--blur", action="store_true")
    parser.add_argument("--name", help="name of the result file, instead of its own")
    given = parser.parse_args()
    small = given.side == 64
    sets = (mb.imagenette(s, given.side, limit=given.limit, n_jobs=JOBS) for s in ("train", "val"))
    train, val = sets
    print(f"{len(train)} training, {len(val)} validation photographs\n")
    print(f"{'':36} accuracy   95 % interval  parameters  fit min")
    table = {}
    ladder = blurred_rungs if given.blur else small_rungs if small else rungs
    for transformer, heads in ladder():
        if not any(name.startswith(tuple(given.only)) for name in heads):
            continue
        for name, row in climb(transformer, heads, train, val):
            table[name] = row | {"patch_size": SMALL} if small else row
            low, high = row["interval"]
            print(
                f"{name:36} {row['accuracy']:7.1%}   {low:6.1%} .. {high:6.1%} "
                f"{row['parameters']:11,} {row['fit_minutes']:8.1f}   {row['tuned'] or ''}",
                flush=True,
            )
    result = {"train": len(train), "val": len(val), "side": given.side, "jobs": JOBS}
    name = given.name or ("words_blur" if given.blur else "words_64" if small else "words_ladder")
    print("written to", record.write(name, {**result, "rungs": table}))


if __name__ == "__main__":
    main()
