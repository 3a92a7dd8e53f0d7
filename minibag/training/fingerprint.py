"""What a network is, as a short hash, so that a checkpoint is not taken by another one."""

from __future__ import annotations

import hashlib

from torch import nn


def fingerprint(net: nn.Module) -> str:
    """Return a hash of a network's structure: modules, their options and shapes, not weights."""
    plain = (bool, int, float, str, tuple)
    options = [
        (name, key, value)
        for name, module in net.named_modules()
        for key, value in sorted(vars(module).items())
        if isinstance(value, plain) and key != "training"
    ]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in net.state_dict().items()]
    trained = [name for name, p in net.named_parameters() if p.requires_grad]
    return hashlib.sha256(repr([options, shapes, trained]).encode()).hexdigest()[:16]
