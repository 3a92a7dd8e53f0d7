"""A network and images so small that a step takes about a millisecond."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

import minibag as mb

QUICK = mb.training.Recipe(epochs=3, batch_size=8, lr=0.01, warmup_epochs=1, shift=1, jitter=0.1)


def small_net(seed=0, classes=3, dropout=0.2):
    """Convolution, norm, dropout: everything that has a state or draws random numbers."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4, classes)),
    )


def small_set(n=44, seed=0, side=8, classes=3):
    """Coloured noise: class 0 is red, 1 is green, 2 is blue."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 150, (n, side, side, 3))
    images[np.arange(n), :, :, labels] += 60
    return mb.ImageSet(images.astype(np.uint8), labels, ("red", "green", "blue")[:classes])


def same_state(a, b):
    """Whether two networks have the same weights and buffers, bit by bit."""
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def untimed(history):
    """A history without what depends on the clock."""
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_s")} for r in history]


def quick(**changes):
    return replace(QUICK, **changes)


def on_work(net, act):
    """Call ``act(net)`` before every forward pass but those of the rehearsal, of two images."""

    def hook(net, given):
        if len(given[0]) > 2:
            act(net)

    return net.register_forward_pre_hook(hook)
