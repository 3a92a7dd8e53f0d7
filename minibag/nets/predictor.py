"""A trained network with everything it needs to classify images, and to be kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from minibag.bag import PatchGrid
from minibag.exact import exact
from minibag.machine import whole_file
from minibag.nets.architecture import build, count
from minibag.nets.bagnet import BagNet
from minibag.nets.transfer import constant

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
KIND = "minibag.NetPredictor 1"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, red green blue


def normalise(images: Images | Tensor, device: torch.device | str | None = None) -> Tensor:
    """Return images as networks want them: RGB in [0, 1], minus the mean, over the deviation.

    Parameters
    ----------
    images : uint8 (N, H, W, 3), an array, or a tensor on any device
    device : where the result shall be; None is where the images are

    Returns
    -------
    float32 (N, 3, H, W)

    Raises
    ------
    TypeError, ValueError
        If the images have another dtype, or another shape.
    """
    x = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    if x.dtype != torch.uint8:
        raise TypeError(f"expected images as uint8, 0 to 255, got {x.dtype}: convert them first")
    if x.ndim != 4 or x.shape[3] != 3:
        raise ValueError(f"expected images (N, H, W, 3), got {tuple(x.shape)}")
    x = standardise(x.to(device).permute(0, 3, 1, 2).float() / 255)
    return x.contiguous()  # channels last in memory, oneDNN crashes in some backward passes (#6035)


def standardise(x: Tensor) -> Tensor:
    """Return images (N, 3, H, W) in 0..1, minus the mean, over the deviation of each channel."""
    return (x - constant(MEAN, x.dtype, x.device)) / constant(STD, x.dtype, x.device)


class NetPredictor:
    """A network as a `minibag.Predictor`: uint8 images go in, logits of named classes come out.

    Parameters
    ----------
    net : network whose last layer is ``fc``; it runs where it is, in evaluation mode, and is left
        in the mode it was in
    classes : names of the classes, in the order of the logits
    architecture : what `build` makes such a network of
    card : what else is known of the model: "image_size", the side it was trained on, "crop", the
        share of a photograph's centre square that it was measured on if that is not all of it,
        and its recipe, seed, data, accuracy ...; goes into the file
    batch_size : images that go through the network at a time

    Raises
    ------
    ValueError
        If the network has another number of classes.
    """

    def __init__(
        self,
        net: nn.Module,
        classes: tuple[str, ...],
        architecture: Mapping[str, Any],
        card: Mapping[str, Any] | None = None,
        batch_size: int = 64,
    ) -> None:
        n_logits = getattr(net.fc, "out_features", None)
        if n_logits != len(classes):
            raise ValueError(f"the network has {n_logits} logits for {len(classes)} classes")
        self.net, self.classes, self.architecture = net, tuple(classes), dict(architecture)
        self.card, self.batch_size = dict(card or {}), batch_size

    @property
    def image_size(self) -> int:
        """Side in pixels of the images it was trained on; ValueError if the card has none."""
        if not isinstance(self.card.get("image_size"), int):
            raise ValueError('the card has no "image_size": the side of the training images')
        return self.card["image_size"]

    @property
    def preparation(self) -> dict[str, Any]:
        """How photographs are read for it, so that it repeats the accuracy on its card.

        ``mb.image_folder(path, **model.preparation)``, `minibag.imagenette` and `read_image` take
        this. Raises ValueError if the card says nothing of the side, or nonsense of the crop.
        """
        crop = self.card.get("crop", 1.0)
        if type(crop) not in (int, float) or not 0.1 <= crop <= 1:
            raise ValueError(f'"crop" on the card must be a share from 0.1 to 1, not {crop!r}')
        return {"size": self.image_size, "crop": crop}

    def logits(self, images: Images) -> Floats:
        """Return the score of every class: (N, C); ValueError if images are too small."""
        return self._run(self.net, images)

    def predict_proba(self, images: Images) -> Floats:
        """Return the probability of every class: (N, C), rows sum to 1."""
        return torch.from_numpy(self.logits(images)).softmax(1).numpy()

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write the weights as safetensors, and beside them the card as JSON.

        ``half`` rounds matrices and kernels to float16, which halves the file; what batch norm
        learned stays in float32, for small variances are lost in float16.

        Raises ValueError if the path does not end in .safetensors, the card has no image_size, or
        the network is not what its architecture describes, or holds a number that is not finite.
        """
        beside = card_path(path)
        arrays = {key: value.contiguous() for key, value in self.net.state_dict().items()}
        filled(self.architecture, arrays)
        if half:
            arrays = {k: v.half() if v.ndim > 1 else v for k, v in arrays.items()}
        if strange := [key for key, value in arrays.items() if not value.isfinite().all()]:
            raise ValueError(f"cannot save a network with infinities or NaN in {strange[0]}")
        parameters, multiply_adds = count(self.net, self.image_size)
        weights = save(arrays, {KIND: ""})
        proved = {
            "architecture": self.architecture,
            "classes": self.classes,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "sha256": hashlib.sha256(weights).hexdigest(),
        }
        text = json.dumps({**proved, **self.card, **proved}, indent=1) + "\n"
        with whole_file(beside) as card_part, whole_file(path) as part:
            part.write_bytes(weights)
            card_part.write_text(text)

    @torch.no_grad()
    def _run(self, function: Callable[[Tensor], Tensor], images: Images) -> Floats:
        """Return ``function`` of the images (an array or an ImageSet), batch by batch."""
        images, home = getattr(images, "images", images), next(self.net.parameters())
        with evaluating(self.net), exact():
            parts = [
                function(normalise(batch, home.device).to(home.dtype)).float()
                for batch in np.split(images, range(self.batch_size, len(images), self.batch_size))
            ]
        return torch.cat(parts).cpu().numpy()


class BagNetPredictor(NetPredictor):
    """A BagNet as a `minibag.BagPredictor`: its logits are the mean of the evidence."""

    net: BagNet

    def evidence(self, images: Images) -> Floats:
        """Return the evidence of every patch for every class: (N, C, h, w)."""
        return self._run(self.net.evidence, images)

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie."""
        return self.net.grid(image_shape)


def as_predictor(net: nn.Module, *args: Any, **options: Any) -> NetPredictor:
    """Return a BagNetPredictor of a BagNet, a NetPredictor of any other network."""
    kind = BagNetPredictor if isinstance(net, BagNet) else NetPredictor
    return kind(net, *args, **options)


def card_path(path: str | Path) -> Path:
    """Return where the card of a weights file lies; ValueError unless that is a .safetensors."""
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"the file of a network must be called NAME.safetensors, not {path}")
    return Path(path).with_suffix(".json")


def filled(architecture: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> nn.Module:
    """Return the network that is described, made of these arrays; ValueError if they differ."""
    with torch.device("meta"):
        net = build(architecture)
    described = {(key, tuple(value.shape)) for key, value in net.state_dict().items()}
    given = {(key, tuple(value.shape)) for key, value in arrays.items()}
    if wrong := described ^ given:
        key, _ = min(wrong)
        shapes = [dict(these).get(key, "missing") for these in (described, given)]
        raise ValueError(f"{key} is {shapes[0]} in the architecture, {shapes[1]} in the weights")
    net.load_state_dict(arrays, assign=True)
    return net


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and every part of it back into its own mode."""
    training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
