"""Images with the texture of another image: same local statistics, another layout.

Texture is what the channels of a network do together, wherever they do it. Start from noise, and
change its pixels until the network's Gram matrices are those of the image.

Source: Gatys, Ecker & Bethge, "Texture synthesis using convolutional neural networks", NIPS 2015.
Brendel & Bethge (ICLR 2019) show such images to VGG-16, which still knows most of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from minibag.machine import device_of
from minibag.nets import NetPredictor, normalise
from minibag.nets.predictor import evaluating, standardise

SPREAD = 0.1  # of the noise: stronger noise stays in the result, which the network hardly sees
TINY = 1e-12  # a layer that is silent on an image has a Gram matrix of zeros


def gram(features: Tensor) -> Tensor:
    """Return how strongly channels are active together: (N, C, h, w) to (N, C, C).

    Entry (i, j) is the mean over all places of channel i times channel j.
    """
    maps = features.flatten(2)
    return maps @ maps.mT / maps.shape[2]


def synthesise(
    model: NetPredictor | nn.Module,
    image: NDArray[np.uint8],
    *,
    layers: Sequence[int] | None = None,
    steps: int = 400,
    seed: int = 0,
) -> NDArray[np.uint8]:
    """Return an image with the texture of ``image``, made from noise.

    L-BFGS changes the pixels until the squared difference of the Gram matrices is small, as a
    share of the squared matrices of ``image``; all layers count alike.

    Parameters
    ----------
    model : network with ReLUs, such as ``mb.load("imagenette-vgg")``, or `texture_net`
    image : uint8 (H, W, 3)
    layers : which ReLUs to match, counted from 0 in the order they are passed; None is all. The
        first see a few pixels, later ones more, and so keep larger pieces of the image.
    steps : steps of L-BFGS; 400 take some four seconds on one core for a small VGG at 64 pixels
    seed : of the noise; the same seed gives the same image

    Returns
    -------
    uint8 (H, W, 3)

    Raises
    ------
    ValueError
        If the image has another shape, or the network no ReLU with such a number.
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected one image (H, W, 3), got {image.shape}")
    net = model.net if isinstance(model, NetPredictor) else model
    x = normalise(image[None], device_of(net))
    wanted = [matrix.detach() for matrix in _grams(net, x, layers)]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    z = (SPREAD * noise).to(x.device).requires_grad_()  # pixels are sigmoid(z): never out of range
    search = torch.optim.LBFGS([z], max_iter=steps, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        z.grad = None
        found = _grams(net, standardise(z.sigmoid()), layers)
        pairs = zip(wanted, found, strict=True)
        apart = [((f - w) ** 2).sum() / ((w**2).sum() + TINY) for w, f in pairs]
        distance = torch.stack(apart).mean()
        distance.backward(inputs=[z])  # and no gradients in the network
        return distance

    search.step(closure)
    return (255 * z.detach().sigmoid()).round().byte()[0].permute(1, 2, 0).cpu().numpy()


def texture_net(name: str = "vgg19") -> nn.Sequential:
    """Return the layers of torchvision's VGG-16 or VGG-19 up to its maps, trained on ImageNet.

    With them textures look best, from 128 pixels on. The file (over 500 MB) is fetched once, into
    torch's cache folder.

    Raises
    ------
    ValueError
        If the name is neither "vgg16" nor "vgg19".
    ConnectionError
        If the file is not there yet and cannot be fetched.
    """
    if name not in ("vgg16", "vgg19"):
        raise ValueError(f'the networks for textures are "vgg16" and "vgg19", got {name!r}')
    from torchvision.models import get_model, get_model_weights

    weights = get_model_weights(name)["IMAGENET1K_V1"]
    try:
        net = get_model(name, weights=weights, progress=False)
    except URLError as error:
        raise ConnectionError(
            f"the weights of {name} could not be fetched ({error.reason}). Get {weights.url} on "
            f"another machine and put it into {torch.hub.get_dir()}/checkpoints, or use a network "
            'that came with minibag: mb.load("imagenette-vgg")'
        ) from error
    return net.features.eval()


def _grams(net: nn.Module, x: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
    """Return the Gram matrices behind the ReLUs of a network for images (N, 3, H, W)."""
    found: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: found.append(gram(output)))
        for module in net.modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        with evaluating(net):
            net(x)
    finally:
        for hook in hooks:
            hook.remove()
    chosen = range(len(found)) if layers is None else layers
    if not len(chosen) or not set(chosen) <= set(range(len(found))):
        raise ValueError(f"the network has {len(found)} ReLUs, 0 to {len(found) - 1}; got {layers}")
    return [found[layer] for layer in chosen]
