"""Experiments and widgets with networks on the accelerator."""

import copy

import numpy as np
import pytest
import torch

import minibag as mb
from minibag.experiments import accuracy_by_grid
from minibag.experiments.bags import scrambled_evidence
from minibag.experiments.precision import fragile, in_precision, rounded
from minibag.experiments.textures import synthesise
from minibag.nets import normalise
from minibag.widgets import EvidenceExplorer, ScrambleExplorer
from tests.accelerator.cases.common import THERE, close, where

BAG = "critters-bagnet9"


@pytest.fixture(scope="module")
def images():
    return mb.critters("test", 6)


@pytest.fixture(scope="module")
def models():
    far = mb.load(BAG)
    far.net.to(THERE)
    return mb.load(BAG), far


def test_scrambling_gives_the_cpus_accuracies_and_evidence(models, images):
    near, far = models
    assert accuracy_by_grid(far, images, (1, 4)) == accuracy_by_grid(near, images, (1, 4))
    known = far.evidence(images.images)
    close(
        scrambled_evidence(far, images.images, 2, evidence=known),
        near.evidence(mb.scramble(images.images, 2, 0)),
        1e-3,
    )


@pytest.mark.parametrize("kind", ["fp32", "tf32", "bf16", "fp16"])
def test_fewer_bits_are_the_same_bits(models, images, kind):
    values = torch.randn(100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(rounded(values.to(THERE), kind).cpu(), rounded(values, kind))
    near, far = (copy.deepcopy(model.net) for model in models)
    with in_precision(near, kind), in_precision(far, kind):
        expected = near(normalise(images.images))
        found = far(normalise(images.images, THERE))
    close(found, expected, 1e-3 if kind in ("fp32", "tf32") else 0.1)


def test_a_fragile_network_is_made_where_the_network_is(models, images):
    near, far = (fragile(model.net) for model in models)
    assert where(far) == {"pretend"}
    close(far.conv1.bias, near.conv1.bias.detach())
    close(far(normalise(images.images, THERE)), near(normalise(images.images)).detach(), 1e-2)


def test_textures_are_made_where_the_network_is(images):
    made = []
    for device in ("cpu", THERE):
        net = mb.load("critters-resnet").net.to(device)
        made.append(synthesise(net, images.images[0, :32, :32], layers=(0, 1), steps=3))
    assert made[1].dtype == np.uint8
    assert np.abs(made[0].astype(int) - made[1]).mean() < 1


def test_widgets_show_what_they_show_on_the_cpu(models, images, tmp_path):
    texts = [EvidenceExplorer(images, model).text.value for model in models]
    assert texts[0] == texts[1]
    pages = []
    for model in models:
        widget = ScrambleExplorer({"critters": (images, {"BagNet": model})}, folder=tmp_path)
        widget.controls["grid"].value = 4
        pages.append(widget.text.value)
    assert pages[0] == pages[1]
