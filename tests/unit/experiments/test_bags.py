"""Evidence that was put together from the pieces is the evidence of the scrambled image."""

import numpy as np
import pytest
import torch
from torch import nn

import minibag as mb
from minibag.experiments import scramble, scrambled_evidence
from minibag.nets import as_predictor, build

CUTS = [((64, 64), grid) for grid in (1, 2, 3, 4, 8)]  # H, W, grid
CUTS += [((48, 96), 2), ((48, 96), 6), ((64, 68), 2), ((50, 67), 2), ((50, 67), 5)]


def images_of(shape, n=2):
    """Critters, cut to any shape and beside each other."""
    pixels = mb.critters("test", 2 * n, 64).images
    both = np.concatenate([pixels[:n], pixels[n:]], axis=2)
    return both[:, : shape[0], 20 : 20 + shape[1]]


def bagnet(q, stride):
    torch.manual_seed(q)
    architecture = {
        "name": "bagnet", "patch_size": q, "num_classes": 3, "width": 4, "layers": [1, 1, 1, 1],
        "centred": True, "stride": stride,
    }  # fmt: skip
    net = build(architecture).eval()
    nn.init.normal_(net.fc.weight)
    return as_predictor(net, ("a", "b", "c"), architecture)


def words(patch_size, encoding="histogram", **options):
    images = mb.critters("train", 40)
    features = mb.DenseSIFT(4, patch_size, **options)
    return mb.BagOfVisualWords(features, n_words=30, encoding=encoding).fit(images)


MODELS = {
    "words": lambda: words(16),
    "two sizes of words": lambda: words((8, 16)),
    "colour words": lambda: words(8, color="opponent"),
    "pyramid of words": lambda: words(8, "pyramid"),  # the same patch votes by its place
    "BagNet-5, stride 8": lambda: bagnet(5, 8),
    "BagNet-9, stride 8": lambda: bagnet(9, 8),
    "BagNet-17, stride 8": lambda: bagnet(17, 8),
    "BagNet-5, stride 4": lambda: bagnet(5, 4),
    "BagNet-9, stride 4": lambda: bagnet(9, 4),
    "BagNet-17, stride 4": lambda: bagnet(17, 4),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


def same(found, expected):
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("shape", "grid"), CUTS)
def test_evidence_is_that_of_the_scrambled_image(model, shape, grid, monkeypatch):
    images = images_of(shape)
    before, expected = model.evidence(images), model.evidence(scramble(images, grid, 7))
    same(scrambled_evidence(model, images, grid, 7, before), expected)
    monkeypatch.setattr("minibag.experiments.bags.CALL", -(10**9))  # pieces, worth it or not
    same(scrambled_evidence(model, images, grid, 7, before), expected)
    same(scrambled_evidence(model, images[:1], grid, 7, before[:1]), expected[:1])
    same(scrambled_evidence(model, images, grid, 7), expected)


class Counting:
    """A bag model that counts the pixels it looks at."""

    def __init__(self, model):
        self.model, self.grid, self.classes, self.pixels = model, model.grid, model.classes, 0

    def evidence(self, images):
        self.pixels += images[..., 0].size
        return self.model.evidence(images)


@pytest.mark.parametrize("name", ["words", "BagNet-9, stride 8", "BagNet-9, stride 4"])
def test_only_the_seams_are_looked_at_again(name):
    model = Counting(MODELS[name]())
    images = np.concatenate([images_of((64, 64))] * 2, axis=2).repeat(2, axis=1)  # 128 x 128
    evidence = model.evidence(images)
    model.pixels = 0
    scrambled_evidence(model, images, 1, 0, evidence)
    assert model.pixels == 0
    scrambled_evidence(model, images, 2, 0, evidence)
    assert 0 < model.pixels < 0.5 * images[..., 0].size


@pytest.mark.parametrize(("side", "grid"), [(64, 2), (64, 8), (128, 16)])
def test_small_gains_are_not_worth_a_second_call(side, grid):
    model, images = Counting(bagnet(9, 4)), mb.critters("test", 1, side).images
    evidence = model.evidence(images)
    model.pixels = 0
    scrambled_evidence(model, images, grid, 0, evidence)
    assert model.pixels == side**2


def test_evidence_of_other_images_is_refused():
    model, images = bagnet(9, 8), images_of((64, 64))
    for wrong in (model.evidence(images[:1]), model.evidence(images_of((48, 96)))):
        with pytest.raises(ValueError, match=r"give model\.evidence"):
            scrambled_evidence(model, images, 2, 0, wrong)


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (64, 64, 3)])
def test_no_images_are_refused(shape):
    with pytest.raises(ValueError, match="at least one image"):
        scrambled_evidence(bagnet(9, 8), np.zeros(shape, np.uint8), 2)


def test_grids_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 to 64"):
        scrambled_evidence(bagnet(9, 8), images_of((64, 64)), 65)
