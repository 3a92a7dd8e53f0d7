"""Random views of a whole batch at once, on the device where it lies."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from minibag.nets.transfer import constant, send
from minibag.training.recipe import Recipe

GRAY = (0.299, 0.587, 0.114)  # what red, green and blue add to how bright a pixel looks
DRAWS = 8  # random numbers that every image owns, used or not


def seed_of(*path: int) -> int:
    """Return a seed for one purpose, mixed from e.g. (seed, epoch, step): nothing to remember."""
    return int(np.random.SeedSequence(path).generate_state(1, np.uint64)[0] >> 1)


def generator(*path: int) -> torch.Generator:
    """Return a generator on the CPU that is seeded with `seed_of`."""
    return torch.Generator().manual_seed(seed_of(*path))


def augment(images: Tensor, draws: Tensor, recipe: Recipe) -> Tensor:
    """Return a random view of every image.

    Parameters
    ----------
    images : uint8 (N, 3, H, W)
    draws : uniform random numbers (N, DRAWS), which fix the views
    recipe : its flip, min_scale, shift, image_size and jitter are used

    Returns
    -------
    float32 (N, 3, H, W) in 0..1, or (N, 3, image_size, image_size)
    """
    x = images.float() / 255
    draws, side = send(draws, x.device), recipe.image_size
    if recipe.min_scale < 1 or recipe.shift or side:
        shape = [*x.shape[:2], side or x.shape[2], side or x.shape[3]]
        views = _views(draws, recipe, x.shape)
        grid = nn.functional.affine_grid(views, shape, align_corners=False)
        x = nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    elif recipe.flip:
        x = torch.where(draws[:, 0].view(-1, 1, 1, 1) < 0.5, x.flip(3), x)
    return _jitter(x, draws[:, 5:], recipe.jitter) if recipe.jitter else x


def mix(x: Tensor, y: Tensor, recipe: Recipe, n_classes: int) -> tuple[Tensor, Tensor]:
    """Return a batch (N, 3, H, W) mixed with itself, if the recipe says so, and its targets.

    These are shares of the classes, (N, n_classes), or the labels (N,) as they are. Random numbers
    are those of torch; of several processes, each mixes its own share of a batch.
    """
    kinds = (v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix)
    wanted = [kind(num_classes=n_classes, alpha=alpha) for kind, alpha in kinds if alpha]
    return v2.RandomChoice(wanted)(x, y) if wanted else (x, y)


def _views(draws: Tensor, recipe: Recipe, shape: torch.Size) -> Tensor:
    """(N, 2, 3): where in the image (-1..1) every pixel of its view lies."""
    area = recipe.min_scale + (1 - recipe.min_scale) * draws[:, 1]
    most = math.log(4 / 3) / 2 if recipe.min_scale < 1 else 0.0
    stretch = (most * (2 * draws[:, 2] - 1)).exp()
    size = area.sqrt()[:, None] * torch.stack([stretch, 1 / stretch], 1)
    size = size.clamp(max=1)  # (N, 2): width and height of the crop
    place = 2 * draws[:, 3:5] - 1
    moved = (place * (recipe.shift + 0.5)).round()
    moved = torch.stack([moved[:, 0] * (2 / shape[3]), moved[:, 1] * (2 / shape[2])], 1)
    centre = place * (1 - size) + moved
    mirror = torch.where(draws[:, 0] < 0.5, -1.0, 1.0) if recipe.flip else 1.0
    views = draws.new_zeros(len(draws), 2, 3)
    views[:, 0, 0], views[:, 1, 1] = size[:, 0] * mirror, size[:, 1]
    views[:, :, 2] = centre
    return views


def _jitter(x: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast and saturation of images (N, 3, H, W) in 0..1."""
    factor = 1 + strength * (2 * draws.view(-1, 3, 1, 1, 1) - 1)
    bright, contrast, saturation = factor.unbind(1)
    x = x * bright
    gray = (x * constant(GRAY, x.dtype, x.device)).sum(1, keepdim=True)
    mean = gray.mean((2, 3), keepdim=True)
    x, gray = mean + contrast * (x - mean), mean + contrast * (gray - mean)
    return (gray + saturation * (x - gray)).clamp(0, 1)
