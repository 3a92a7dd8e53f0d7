"""The rung "learned words" on Imagenette: words of whitened pixels, by k-means and by gradients.

    python -m benchmarks.learned_words [--limit 100] [--words 128] [--epochs 10]

Photographs at 64 px, patches of 6 x 6 pixels every 3: the network of lesson 05. It learns from all
training photographs and is measured once on the validation photographs, with a 95 % interval
(Wilson). C is tuned on a fifth of the training photographs; so were, by hand, the learning rate
and the number of words and epochs. Seeds are fixed. Three minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import minibag as mb
from benchmarks import record
from minibag.stats import wilson_interval

SIZE, STEP, SOFTEN, BATCH, RATE = 6, 3, 0.01, 50, 0.02
PIXELS = 3 * SIZE**2


def as_tensor(images: np.ndarray) -> Tensor:
    """Return uint8 images (N, H, W, 3) as floats (N, 3, H, W) in 0..1."""
    return torch.tensor(images).permute(0, 3, 1, 2) / 255


def some_patches(images: np.ndarray, n: int = 50_000) -> np.ndarray:
    """Return n patches at random places, with values in 0..1: (n, 3 * SIZE * SIZE)."""
    rng, windows = np.random.default_rng(0), sliding_window_view(images, (SIZE, SIZE), (1, 2))
    places = tuple(rng.integers(side, size=n) for side in windows.shape[:3])
    return windows[places].reshape(n, -1) / 255


def network(images: np.ndarray, n_words: int) -> nn.Sequential:
    """Return whitening, words and code of k-means on the images; the votes are not fitted yet."""
    patches = some_patches(images)
    pca = PCA().fit(patches)
    spread = np.sqrt(pca.explained_variance_ + SOFTEN)
    whitening = pca.components_.T / spread @ pca.components_
    words = mb.Vocabulary(n_words).fit((patches - pca.mean_) @ whitening).words_
    squares = (words**2).sum(axis=1)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, PIXELS, SIZE, STEP).requires_grad_(False),
        nn.Conv2d(PIXELS, n_words, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(n_words, 10),
    )
    set_values(net[0], whitening, -whitening @ pca.mean_)
    set_values(net[1], 2 * (words - words.mean(axis=0)), squares.mean() - squares)
    return net


@torch.no_grad()
def set_values(layer: nn.Module, weight: np.ndarray, bias: np.ndarray) -> None:
    """Copy arrays into a layer's weight and bias."""
    layer.weight.copy_(torch.tensor(weight).reshape(layer.weight.shape))
    layer.bias.copy_(torch.tensor(bias))


@torch.no_grad()
def outputs(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Return what the network makes of the images, in portions."""
    return torch.cat(
        [net(as_tensor(images[i : i + 100])) for i in range(0, len(images), 100)]
    ).numpy()


def vote(net: nn.Sequential, train: mb.ImageSet) -> float:
    """Fit the votes by logistic regression on codes of spread 1, put them in, and return C."""
    codes = outputs(net[:5], train.images)
    mean, spread = codes.mean(axis=0), codes.std(axis=0) + 1e-6
    fifth = StratifiedShuffleSplit(1, test_size=0.2, random_state=0)
    search = GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1, 10]}, cv=fifth)
    head = search.fit((codes - mean) / spread, train.labels).best_estimator_
    words = net[1].weight.detach().numpy()[:, :, 0, 0] / spread[:, None]  # ReLU lets scales pass
    set_values(net[1], words, net[1].bias.detach().numpy() / spread)
    set_values(net[5], head.coef_, head.intercept_ - head.coef_ @ (mean / spread))
    return float(search.best_params_["C"])


def learn(net: nn.Sequential, train: mb.ImageSet, epochs: int) -> None:
    """Train words and votes with AdamW; photographs are mirrored at random."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(net[1:].parameters(), RATE)
    labels = torch.tensor(train.labels)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = RATE * (1 - epoch / epochs)
        for batch in torch.randperm(len(train)).split(BATCH):
            x = as_tensor(train.images[batch.numpy()])
            mirrored = torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(3), x)
            loss = cross_entropy(net(mirrored), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def parameters(net: nn.Module) -> int:
    """Return how many numbers were learned, those of the whitening included."""
    return sum(weights.numel() for weights in net.parameters())


def measure(net: nn.Module, val: mb.ImageSet, start: float, **settings: Any) -> dict[str, Any]:
    """Return accuracy, interval, size and minutes since ``start``, with the settings."""
    right = int((outputs(net, val.images).argmax(axis=1) == val.labels).sum())
    interval = wilson_interval(right, len(val))
    minutes = (time.perf_counter() - start) / 60
    row = {"accuracy": right / len(val), "interval": interval, "parameters": parameters(net)}
    return {**row, "patch_size": SIZE, "fit_minutes": minutes, "tuned": settings}


def main() -> None:
    """Measure k-means words, train them, measure again, and write the result."""
    parser = argparse.ArgumentParser(description="Learned words on Imagenette")
    parser.add_argument("--limit", type=int, help="photographs per class, to try it out")
    parser.add_argument("--words", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--name", default="learned_words_ladder", help="name of the result file")
    given = parser.parse_args()
    train, val = (mb.imagenette(s, 64, limit=given.limit) for s in ("train", "val"))
    start, table = time.perf_counter(), {}
    net = network(train.images, given.words)
    tuned = vote(net, train)
    name = f"k-means words {given.words} of pixels, linear"
    table[name] = measure(net, val, start, C=tuned)
    learn(net, train, given.epochs)
    name = f"learned words {given.words}, linear"
    table[name] = measure(net, val, start, rate=RATE, epochs=given.epochs)
    for name, row in table.items():
        low, high = row["interval"]
        print(f"{name:36} {row['accuracy']:7.1%}   {low:6.1%} .. {high:6.1%}")
    result = {"train": len(train), "val": len(val), "side": 64, "rungs": table}
    print("written to", record.write(given.name, result))


if __name__ == "__main__":
    main()
