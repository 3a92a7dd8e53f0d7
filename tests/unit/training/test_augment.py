"""Random views, against NumPy's padding and torchvision's own operations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torchvision.transforms.v2 import functional as tv

from minibag.training import Recipe
from minibag.training.augment import DRAWS, augment, mix

PLAIN = Recipe(flip=False, shift=0, min_scale=1, jitter=0)


def images(n=4, height=10, width=12, seed=0):
    seeded = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=seeded)


def draws(n, seed=0):
    return torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_without_options_nothing_changes():
    assert_close(augment(images(), draws(4), PLAIN), images() / 255, rtol=0, atol=0)


@pytest.mark.parametrize("flip", [False, True])
def test_shift_moves_whole_pixels_and_mirrors_the_border(flip):
    x, seen = images(300), set()
    views = augment(x, draws(300), replace(PLAIN, shift=2, flip=flip))
    padded = np.pad(x.numpy() / 255, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="symmetric")
    for view, wide in zip(views.numpy(), padded, strict=True):
        for mirrored in (False, True):
            for dy in range(5):
                for dx in range(5):
                    shifted = wide[:, dy : dy + 10, dx : dx + 12]
                    shifted = shifted[:, :, ::-1] if mirrored else shifted
                    if np.allclose(view, shifted, atol=1e-4):
                        seen.add((mirrored, dy, dx))
    assert len(seen) == (50 if flip else 25)  # all of them occur, and nothing else is seen


def test_every_shift_is_as_likely_as_any_other():
    """A rounded random number has its extremes half as often, if nobody takes care."""
    n, shift = 3000, 2
    columns = torch.arange(12, dtype=torch.uint8).mul(20).expand(n, 3, 12, 12)
    views = augment(columns, draws(n), replace(PLAIN, shift=shift)) * 255
    moved = (views[:, 0, 0, 6] / 20).round().int() - 6
    counts = np.bincount(moved.numpy() + shift)
    assert len(counts) == 2 * shift + 1
    expected = n / len(counts)
    assert ((counts - expected) ** 2 / expected).sum() < 18.5  # chi-square of 4, 0.999


def test_crops_stay_inside_their_image():
    """A stretched crop of nearly the whole area would be wider than the image, and mirrored."""
    ramp = torch.arange(100, dtype=torch.uint8).mul(2)
    for columns in (True, False):
        image = ramp.expand(100, 100) if columns else ramp.expand(100, 100).T
        views = augment(image.expand(200, 3, 100, 100), draws(200), replace(PLAIN, min_scale=0.8))
        steps = views[:, 0].diff(dim=2 if columns else 1) * 255
        inner = steps[:, :, 1:-1] if columns else steps[:, 1:-1]  # half a pixel lies on the border
        assert inner.min() > 0.5


def test_every_view_of_a_shift_is_one_of_the_possible():
    gradient = torch.arange(8, dtype=torch.uint8).mul(10).expand(64, 3, 8, 8)
    views = augment(gradient, draws(64), replace(PLAIN, shift=3)) * 255
    assert_close(views, views.round(), rtol=0, atol=1e-3)


def test_flip_mirrors_about_half():
    views = augment(images(400), draws(400), replace(PLAIN, flip=True))
    x = images(400) / 255
    same = (views == x).all((1, 2, 3))
    mirrored = (views == x.flip(3)).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 150 < same.sum() < 250


def test_crops_have_areas_and_shapes_of_torchvisions():
    """On an image of coordinates a view shows its own size and place."""
    y, x = torch.meshgrid(torch.arange(100), torch.arange(100), indexing="ij")
    coordinates = torch.stack([y, x, x]).to(torch.uint8).expand(500, 3, 100, 100)
    views = augment(coordinates, draws(500), replace(PLAIN, min_scale=0.3)) * 255
    inner = views[:, :, 10:-10, 10:-10]  # away from the border
    height = (inner[:, 0, -1, 0] - inner[:, 0, 0, 0]) / 79
    width = (inner[:, 1, 0, -1] - inner[:, 1, 0, 0]) / 79
    area, ratio = height * width, width / height
    assert 0.25 < area.min() < 0.34
    assert 0.9 < area.max() < 1.01
    assert 0.74 < ratio.min() < 0.8
    assert 1.25 < ratio.max() < 1.34
    assert views[:, 0].amin((1, 2)).max() > 15  # not always the same corner


def test_jitter_is_torchvisions():
    x, u = images() // 8 + 100, draws(4)  # neither too dark nor too bright to change
    ours = augment(x, u, replace(PLAIN, jitter=0.4))
    factors = 1 + 0.4 * (2 * u[:, 5:8] - 1)
    for image, view, (b, c, s) in zip(x / 255, ours, factors.tolist(), strict=True):
        theirs = tv.adjust_contrast(tv.adjust_brightness(image, b), c)
        assert_close(view, tv.adjust_saturation(theirs, s), rtol=0, atol=1e-3)


def test_jitter_stays_in_range():
    ours = augment(images(200), draws(200), replace(PLAIN, jitter=1))
    assert ours.min() == 0
    assert ours.max() == 1


def mixed(n=6, **options):
    """A batch in which every image has a class of its own, before and after it was mixed."""
    x = torch.rand(n, 3, 10, 12, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    return x, *mix(x, torch.arange(n), replace(PLAIN, **options), n)


def test_without_mixing_a_batch_stays_as_it_is():
    x, same, labels = mixed()
    assert same is x
    assert torch.equal(labels, torch.arange(6))


def test_mixup_blends_two_images_and_shares_their_labels_alike():
    x, blended, targets = mixed(mixup=1.0)
    assert_close(blended, torch.einsum("ij,jcyx->icyx", targets, x))
    assert_close(targets.sum(1), torch.ones(6))
    assert ((targets > 0).sum(1) == 2).all()


def test_cutmix_pastes_a_box_and_shares_labels_by_area():
    x, pasted, targets = mixed(cutmix=1.0)
    own = (pasted == x).all(1)  # (6, 10, 12)
    rows, columns = (~own[0]).any(1), (~own[0]).any(0)
    assert torch.equal(~own[0], rows[:, None] & columns)  # a box
    assert 0 < own.float().mean() < 1
    assert_close(targets.diagonal(), own.float().mean((1, 2)))
    other = (targets - targets.diagonal().diag()).argmax(1)
    assert ((pasted == x[other]).all(1) | own).all()


def test_with_both_kinds_every_batch_draws_one():
    x, seen = torch.rand(4, 3, 8, 8), set()
    for seed in range(20):
        torch.manual_seed(seed)
        y = mix(x, torch.arange(4), replace(PLAIN, mixup=1.0, cutmix=1.0), 4)[0]
        seen.add(bool((y == x).any()))
    assert seen == {True, False}
