"""A trained network with everything it needs to classify images, and to be kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minibag.bag import PatchGrid, class_names
from minibag.exact import exact
from minibag.machine import plain
from minibag.nets.architecture import count
from minibag.nets.bagnet import BagNet
from minibag.nets.storage import card_path, filled, write_net
from minibag.nets.transfer import constant

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
SIDE = 224  # of the images that most networks on the market were trained on
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
    net : any network from normalised images (N, 3, H, W) to logits (N, C); it runs where it is,
        in evaluation mode, and is left in the mode it was in. Of one that was compiled or made
        parallel, the network itself is taken
    classes : names of the classes, all different, in the order of the logits
    architecture : what `build` makes such a network of
    card : what else is known of the model: "image_size", the side it was trained on, "crop", the
        share of a photograph's centre square that it was measured on if that is not all of it,
        and its recipe, seed, data, accuracy ...; goes into the file
    batch_size : images that go through the network at a time

    Raises
    ------
    ValueError
        If the network gives another number of logits, or none, for an image of ``image_size``
        (if the card has none: of 224 pixels), or the names are not different texts.
    """

    def __init__(
        self,
        net: nn.Module,
        classes: Sequence[str],
        architecture: Mapping[str, Any],
        card: Mapping[str, Any] | None = None,
        batch_size: int = 64,
    ) -> None:
        self.net, self.classes, self.architecture = (
            plain(net),
            class_names(classes),
            dict(architecture),
        )
        self.card, self.batch_size = dict(card or {}), batch_size
        if (n_logits := self._count_logits()) != len(self.classes):
            raise ValueError(f"the network has {n_logits} logits for {len(self.classes)} classes")

    @property
    def image_size(self) -> int:
        """Side in pixels of the images it was trained on; ValueError if the card has none."""
        side = self.card.get("image_size")
        if type(side) is not int or not 1 <= side <= 4096:
            raise ValueError(
                'the card has no "image_size", the side of the training images in pixels (1 to '
                f"4096): {side!r:.50}"
            )
        return side

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
        return self._run(self._logits, images)

    def predict_proba(self, images: Images) -> Floats:
        """Return the probability of every class: (N, C), rows sum to 1."""
        return torch.from_numpy(self.logits(images)).softmax(1).numpy()

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write weights and card into one safetensors file, and the card as JSON beside it.

        ``half`` rounds matrices and kernels to float16, which halves the file; what batch norm
        learned stays in float32, for small variances are lost in float16.

        Raises ValueError if the path does not end in .safetensors, the card has no image_size, or
        the network is not what its architecture describes, or holds a number that is not finite.
        """
        card_path(path)
        arrays = {k: v.detach().cpu().contiguous() for k, v in self.net.state_dict().items()}
        if half:
            arrays = {k: v.half() if v.ndim > 1 else v for k, v in arrays.items()}
        filled(self.architecture, arrays)  # or it could not be loaded again
        parameters, multiply_adds = count(self.net, self.image_size)
        proved = {
            "architecture": self.architecture,
            "classes": self.classes,
            "parameters": parameters,
            "multiply_adds": multiply_adds,
        }
        write_net(path, arrays, {**proved, **self.card, **proved})

    def _logits(self, x: Tensor) -> Tensor:
        logits = self.net(x)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"expected logits (N, C) alone from the network, got {given}")
        return logits

    def _count_logits(self) -> int:
        """Run the network on one image: where its last layer is, and what it is called, differs."""
        side = self.image_size if "image_size" in self.card else SIDE
        try:
            return self.logits(np.zeros((1, side, side, 3), np.uint8)).shape[1]
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"the network takes no image of {side} x {side} pixels ({error}): give the card "
                'of this predictor the side that it does take, {"image_size": side}'
            ) from error

    @torch.no_grad()
    def _run(self, function: Callable[[Tensor], Tensor], images: Images) -> Floats:
        """Return ``function`` of the images (an array or an ImageSet), batch by batch."""
        images = getattr(images, "images", images)
        home = next(self.net.parameters(), torch.empty(0))  # it may have none
        with evaluating(self.net), exact():
            parts = [
                function(normalise(batch, home.device).to(home.dtype)).float()
                for batch in np.split(images, range(self.batch_size, len(images), self.batch_size))
            ]
        return torch.cat(parts).cpu().numpy()


class BagNetPredictor(NetPredictor):
    """A BagNet as a `minibag.BagPredictor`: its logits are the mean of the evidence."""

    net: BagNet

    def _count_logits(self) -> int:
        return self.net.n_classes

    def evidence(self, images: Images) -> Floats:
        """Return the evidence of every patch for every class: (N, C, h, w)."""
        return self._run(self.net.evidence, images)

    def grid(self, image_shape: tuple[int, int]) -> PatchGrid:
        """Return where the patches of an image of this (H, W) lie."""
        return self.net.grid(image_shape)


def as_predictor(net: nn.Module, *args: Any, **options: Any) -> NetPredictor:
    """Return a BagNetPredictor of a BagNet, a NetPredictor of any other network."""
    kind = BagNetPredictor if isinstance(plain(net), BagNet) else NetPredictor
    return kind(net, *args, **options)


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
