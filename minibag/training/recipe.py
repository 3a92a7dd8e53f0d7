"""What a training run is: all its numbers in one value, and the learning rate they give."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "step"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
KINDS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool}
POSITIVE = {"epochs", "batch_size", "lr", "step_epochs", "step_factor", "min_scale", "image_size"}
SHARES = {"momentum", "label_smoothing", "min_scale", "jitter", "norm_momentum", "ema", "crop"}
LEAST: dict[str, float] = {"crop": 0.1} | dict.fromkeys(POSITIVE, 1e-9)  # 0 of all others


@dataclass(frozen=True)
class Recipe:
    """How to train a network; together with network, data and machine it fixes the result.

    Parameters
    ----------
    epochs, batch_size : passes over the images; images per step, over all processes together
    optimizer : "adamw", or "sgd" with Nesterov-free ``momentum``
    lr : highest learning rate, reached after ``warmup_epochs`` of linear growth
    weight_decay : not applied to biases and norms, which have no direction to shrink
    schedule : "cosine" down to 0, or "step": times ``step_factor`` every ``step_epochs``
    label_smoothing : share of the target that is spread evenly over all classes, 0..1
    flip : mirror images left to right, each with probability 1/2
    min_scale : random crops (3:4 to 4:3) of this share of the image's area up to all of it
    shift : move images by up to this many pixels (whole ones), the border is mirrored; images
        from a folder are not moved, their crops are
    jitter : change brightness, contrast and saturation by up to this share, 0..1
    mixup, cutmix : blend pairs of images or paste a box of one into the other, and share their
        labels alike; the parameter of the Beta distribution that the share is drawn from, 0 is
        off; with both, every batch draws one (Zhang et al., ICLR 2018; Yun et al., ICCV 2019)
    image_size : side in pixels of the random views; None means that of the image set, or 224 for a
        folder. Views of 3/4 of the side cost half, and since random crops enlarge what they show,
        things look about as large as in the whole image later (Touvron et al., NeurIPS 2019).
    crop : share of the side of a folder's photographs that validation looks at, 0.1..1, as in
        `minibag.image_folder`; 7/8 is 224 of 256 pixels, as everybody does on ImageNet. Random
        crops enlarge what they show; so does this, a little. The images of a set are taken whole.
    norm_momentum : share of a batch in the running statistics of every batch norm; None keeps the
        network's own. The first norm of a published BagNet has 0.001: right for the 450,000 steps
        on ImageNet, but after 1,000 steps 37 % of its statistics are still those of no data.
    ema : keep an exponential moving average of weights and statistics with this decay a step, in
        0..1; it is what is validated and what the network ends with. 0 is off. Early on the decay
        is (1 + steps) / (10 + steps), so that the first weights are soon forgotten.
    precision : "fp32", "bf16", "fp16" (with loss scaling), or "auto": bf16 on a GPU that has it,
        else fp32, which NVIDIA's convolutions round to TF32 while they train, unless
        ``minibag.exact.set_tf32(False)`` forbids it. Weights and validation are always in fp32.
    channels_last : memory layout, faster for convolutions; not used on a CPU for networks with a
        strided 1x1 convolution of fewer than 16 channels, which oneDNN gets wrong
    compile : fuse operations with ``torch.compile``; pays on long runs
    seed : of order, augmentation and dropout; the network's weights come with the network

    Raises
    ------
    ValueError
        If a number is out of range, not finite or not of its type (NumPy's numbers are taken, and
        kept as Python's), or a name is unknown.
    """

    epochs: int = 30
    batch_size: int = 64
    optimizer: str = "adamw"
    lr: float = 2e-3
    momentum: float = 0.9
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    schedule: str = "cosine"
    step_epochs: int = 30
    step_factor: float = 0.1
    label_smoothing: float = 0.1
    flip: bool = True
    min_scale: float = 1.0
    shift: int = 4
    jitter: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    image_size: int | None = None
    crop: float = 1.0
    norm_momentum: float | None = 0.1
    ema: float = 0.0
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            kind, *optional = str(field.type).split(" | ")
            if not (value is None and optional):
                checked = _choice(name, value) if kind == "str" else _number(name, value, kind)
                object.__setattr__(self, name, checked)  # once, before anybody has seen it

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers by name, ready for JSON."""
        return asdict(self)

    def lr_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step (from 0), with so many ``steps`` in an epoch."""
        warmup, total = round(self.warmup_epochs * steps), self.epochs * steps
        if step < warmup:
            return self.lr * (step + 1) / warmup
        if self.schedule == "step":
            return self.lr * self.step_factor ** (step // (steps * self.step_epochs))
        return self.lr * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def _choice(name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in CHOICES[name]:
        raise ValueError(f"{name} must be one of {CHOICES[name]}, got {value!r}")
    return str(value)


def _number(name: str, value: Any, kind: str) -> Any:
    """Return a number as Python's own, for JSON and checkpoints, also if it was NumPy's."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, KINDS[kind]) or isinstance(value, bool) != (kind == "bool"):
        raise ValueError(f"{name} must be of type {kind}, got {value!r}")
    low, high = LEAST.get(name, 0), 1 if name in SHARES else sys.float_info.max
    if not low <= value <= high:
        limit = "1" if name in SHARES else "any finite number"
        raise ValueError(f"{name} must be between {low} and {limit}, got {value}")
    return value


# Brendel & Bethge, ICLR 2019, appendix: the official PyTorch example with a lower rate. That one
# decays biases and norms, too, which a Recipe never does.
IMAGENET = Recipe(
    epochs=90,
    batch_size=256,
    optimizer="sgd",
    lr=0.01,
    weight_decay=1e-4,
    warmup_epochs=0,
    schedule="step",
    label_smoothing=0,
    min_scale=0.08,
    shift=0,
    crop=224 / 256,
    norm_momentum=None,
)
