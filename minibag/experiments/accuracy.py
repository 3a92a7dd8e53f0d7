"""How well a model still recognises images whose cells are shuffled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from minibag.bag import Predictor, finite
from minibag.data import ImageSet
from minibag.data.names import difference
from minibag.experiments.scramble import scramble
from minibag.stats import wilson_interval

BATCH = 256  # images scrambled and classified at a time


@dataclass(frozen=True)
class ScrambledAccuracy:
    """Accuracy in 0..1 on images cut into ``grid`` x ``grid`` cells, with its 95 % interval."""

    grid: int
    accuracy: float
    low: float
    high: float
    n: int


def accuracy_by_grid(
    model: Predictor,
    images: ImageSet,
    grids: Sequence[int] = (1, 2, 4, 8, 16),
    seed: int = 0,
    *,
    rotate: bool = False,
    progress: bool = False,
) -> list[ScrambledAccuracy]:
    """Return the accuracy of a model on scrambled images, one entry for each grid.

    Parameters
    ----------
    model : any Predictor, with the classes of the images in the same order
    images : ImageSet of N images; image n is scrambled alike for every model
    grids : cells a side, 1 is the image as it is
    seed, rotate : as for `scramble`
    progress : show a progress bar, in images

    Raises
    ------
    ValueError
        If there are no images, they have other classes than the model, a grid is out of range, or
        logits are not finite.
    """
    if not len(images):
        raise ValueError("no images: there is nothing to measure")
    if apart := difference(model.classes, images.classes):
        raise ValueError(
            f"give images of the same classes, in the same order, as the model: {apart}"
        )
    rows = []
    with tqdm(total=len(grids) * len(images), unit="image", disable=not progress) as bar:
        for grid in grids:
            right = 0
            scrambled = scramble(images.images, grid, seed, rotate=rotate)
            for start in range(0, len(images), BATCH):
                part = slice(start, start + BATCH)
                guess = finite(model.logits(scrambled[part])).argmax(1)
                right += int(np.sum(guess == images.labels[part]))
                bar.update(len(guess))
            low, high = wilson_interval(right, len(images))
            rows.append(ScrambledAccuracy(grid, right / len(images), low, high, len(images)))
    return rows
