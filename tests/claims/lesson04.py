"""Claims of lesson 04: classify with words."""

from functools import cache
from itertools import product

import numpy as np
from sklearn.neighbors import NearestCentroid

import minibag as mb
from minibag.stats import wilson_interval
from minibag.words import HistogramEncoder
from tests.claims import Outcome, claim

SIFT = mb.DenseSIFT(step=4, patch_size=16)
LAYOUTS = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]])
ROWS = np.array([True, True, False, False])


@cache
def bag(seed, n_words=100):
    """Return a fitted bag and its test images."""
    train, test = (mb.critters(split, 400, seed=10 + seed) for split in ("train", "test"))
    model = mb.BagOfVisualWords(SIFT, n_words=n_words, random_state=seed)
    return model.fit(train.images, train.labels), test


def paired(encoding, seed):
    """Return the accuracy on rows and columns."""
    train, test = (mb.critters(s, 300, arrangement=True, seed=seed) for s in ("train", "test"))
    model = mb.BagOfVisualWords(SIFT, n_words=50, encoding=encoding, random_state=seed)
    return (model.fit(train.images, train.labels).predict(test.images) == test.labels).mean()


@claim("04", "Three of four layouts are within reach", before="a sum of votes, one per patch, "
       "cannot ask that, even when it knows the place of each patch", seeds=1)  # fmt: skip
def three_of_four(_: int) -> Outcome:
    tables = np.array(list(product(range(-3, 4), repeat=4)))
    best = max(((LAYOUTS @ t > b) == ROWS).sum() for t in tables for b in np.arange(-6.5, 7))
    return Outcome(best == 3, f"best of {len(tables)} tables: {best} of 4")


@claim("04", "so least squares answers one half to all", seeds=1)
def least_squares(_: int) -> Outcome:
    x = np.c_[LAYOUTS, np.ones(4)]
    said = x @ np.linalg.lstsq(x, ROWS, rcond=None)[0]
    return Outcome(bool(np.allclose(said, 0.5)), f"{said.round(3)}")


@claim("04", "The SVM of the pyramid stays near chance for the same reason.")
def pyramid(seed: int) -> Outcome:
    right = paired("pyramid", seed)
    return Outcome(0.4 < right < 0.62, f"{right:.0%} of 300")


@claim("04", "nothing is left over and nothing is approximated")
def exact(seed: int) -> Outcome:
    model, test = bag(seed)
    off = model.evidence(test.images).mean((2, 3)) - model.decision_function(test.images)
    return Outcome(bool(np.abs(off).max() < 1e-5), f"largest difference {np.abs(off).max():.0e}")


@claim("04", "A third to a half point at a part, far more than chance",
       before="About half point at a part, far more than chance")  # fmt: skip
def pointing(seed: int) -> Outcome:
    model, test = bag(seed, 200)
    own = model.evidence(test.images)[np.arange(400), test.labels]
    at = model.grid((64, 64)).paint(own, (64, 64)).reshape(400, -1).argmax(1)
    hit = test.masks.reshape(400, -1)[np.arange(400), at].mean()
    return Outcome(0.3 < hit < 0.55, f"{hit:.0%}, of the area {test.masks.mean():.0%}")


@claim("04", "To halve the interval you need four times as many images.", seeds=1)
def interval(_: int) -> Outcome:
    low, high = wilson_interval(340, 400)
    less, more = wilson_interval(1360, 1600)
    ratio = (high - low) / (more - less)
    return Outcome(1.9 < ratio < 2.1, f"400: {high - low:.1%}, 1600: {more - less:.1%}")


@claim("04", "The winner is good, but not as good as its number.")
def winner(seed: int) -> Outcome:
    train, used, fresh = (mb.critters(split, n, seed=10 * seed + k) for k, (split, n) in
                          enumerate((("train", 400), ("test", 100), ("test", 400))))  # fmt: skip
    encode = mb.BagEncoder(SIFT, HistogramEncoder(n_words=100, random_state=seed), max_images=50)
    known = encode.fit_transform(train.images)
    x, y = encode.transform(used.images), encode.transform(fresh.images)
    rng, scores = np.random.default_rng(seed), []
    for _ in range(200):
        some = rng.choice(100, 20, replace=False)
        model = NearestCentroid().fit(known[:, some], train.labels)
        scores.append((model.score(x[:, some], used.labels), model.score(y[:, some], fresh.labels)))
    best, then = max(scores)
    usual = np.subtract(*np.array(scores).T).mean()
    lost = f"chosen at {best:.0%}, fresh {then:.0%}; all settings differ by {usual:+.1%}"
    return Outcome(best - then > usual, lost)
