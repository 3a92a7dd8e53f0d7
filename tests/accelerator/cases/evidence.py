"""Maps and predictions on the accelerator: the CPU's numbers, where the caller's tensors are."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

import minibag as mb
from minibag.evidence import (
    deeplift,
    deletion_curve,
    energy_score,
    grad_cam,
    input_x_gradient,
    integrated_gradients,
    lrp,
    occlusion,
    pointing_score,
    saliency,
)
from minibag.nets import BagNet, as_predictor, folded, normalise
from tests.accelerator.cases.common import THERE, close, where
from tests.unit.nets.small import noise, small_bagnet

few_steps = partial(integrated_gradients, steps=3)
METHODS = [
    saliency,
    input_x_gradient,
    few_steps,
    partial(integrated_gradients, steps=2, baseline=torch.full((3, 1, 1), 0.1)),
    grad_cam,
    occlusion,
    partial(occlusion, fill=torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)),
    lrp,
    deeplift,
    partial(deeplift, baseline=torch.full((3, 1, 1), 0.1)),
]
anywhere = pytest.mark.parametrize("of_x", ["cpu", "pretend"])
ARCHITECTURE = {"name": "bagnet", "patch_size": 9, "width": 4, "layers": [1, 1, 1, 1]}
CLASSES = tuple("abcde")


@pytest.fixture(scope="module")
def nets():
    net = small_bagnet(9, dtype=torch.float32, layers=(1, 1, 1, 1))
    return net, copy.deepcopy(net).to(THERE)


@pytest.fixture(scope="module")
def images():
    return mb.critters("test", 7, 32)


@pytest.fixture(scope="module")
def models(nets):
    return [as_predictor(n, CLASSES, {**ARCHITECTURE, "num_classes": 5}, {"image_size": 32}, 3)
            for n in nets]  # fmt: skip


@anywhere
@pytest.mark.parametrize("of_net", [0, 1])
@pytest.mark.parametrize("options", [{}, {"stride": 4}, {"rows_per_band": 5}])
def test_heat_maps_are_the_cpus_and_lie_where_the_image_lies(nets, of_x, of_net, options):
    x = noise(3, 21, 26, dtype=torch.float32)
    found = mb.heatmap(nets[of_net], x.to(of_x), [0, 3], **options)
    assert found.device.type == of_x
    close(found, mb.heatmap(nets[0], x, [0, 3], **options))
    assert where(nets[of_net]) == {("cpu", "pretend")[of_net]}


@anywhere
@pytest.mark.parametrize("of_net", [0, 1])
@pytest.mark.parametrize("method", METHODS, ids=range(len(METHODS)))
def test_attributions_are_the_cpus_and_lie_where_the_images_lie(nets, of_x, of_net, method):
    x = noise(3, 3, 20, 24, dtype=torch.float32)
    expected = method(nets[0], x, [0, 3, 1])
    for target in ([0, 3, 1], torch.tensor([0, 3, 1]), torch.tensor([0, 3, 1], device=THERE)):
        found = method(nets[of_net], x.to(of_x), target)
        assert found.device.type == of_x
        close(found, expected, 1e-4 * float(expected.abs().max()))


def test_scores_and_deletion_take_maps_of_the_accelerator(nets, models, images):
    maps = saliency(nets[1], normalise(images.images, THERE), 0)
    for score in (pointing_score, energy_score):
        close(score(maps, images.masks), score(maps.cpu().numpy(), images.masks))
    curves = [deletion_curve(model, images.images, maps, cell=8, counts=[0, 2]) for model in models]
    close(*curves)


def test_predictors_take_arrays_and_give_arrays(models, images):
    near, far = models
    for name in ("logits", "predict_proba", "evidence"):
        found = getattr(far, name)(images.images)
        assert isinstance(found, np.ndarray)
        close(found, getattr(near, name)(images.images))
    assert where(far.net) == {"pretend"}


def test_telling_patches_are_the_same(models, images):
    images = mb.ImageSet(images.images, images.labels % 5, CLASSES)
    found, expected = ([(p.image, p.cell) for p in mb.top_patches(model, images, 2, 5)]
                       for model in reversed(models))  # fmt: skip
    assert found == expected


def test_models_are_saved_there_and_loaded_here(models, images, tmp_path):
    near, far = models
    far.save(tmp_path / "far.safetensors")
    near.save(tmp_path / "near.safetensors")
    assert (tmp_path / "far.json").read_text() == (tmp_path / "near.json").read_text()
    loaded = mb.load(tmp_path / "far.safetensors")
    assert where(loaded.net) == {"cpu"}
    close(loaded.logits(images.images), near.logits(images.images), 1e-5)


@pytest.mark.parametrize("name", ["critters-bagnet9", "critters-resnet", "imagenette-vgg"])
def test_models_of_the_zoo_can_be_moved(name):
    images = mb.critters("test", 4).images
    model = mb.load(name)
    expected = model.logits(images)
    model.net.to(THERE)
    close(model.logits(images), expected, 1e-3)


def test_what_is_made_of_a_network_stays_where_it_is(nets):
    near, far = nets
    x = noise(2, 3, 25, 25, dtype=torch.float32)
    for make in (folded, partial(BagNet.with_stride, stride=2)):
        made = make(far)
        assert where(made) == {"pretend"}
        close(made.evidence(x.to(THERE)), make(near).evidence(x).detach(), 1e-3)
    for measure in (mb.receptive_field, mb.probe_receptive_field):
        field = measure(far)
        assert (field.size, field.stride, field.offset) == (9, 8, 0)
    assert where(far) == {"pretend"}


def test_images_are_normalised_where_they_lie_or_where_they_are_wanted(images):
    expected = normalise(images.images)
    there = torch.from_numpy(images.images).to(THERE)
    for found in (normalise(images.images, THERE), normalise(there), normalise(there, "pretend")):
        assert found.device.type == "pretend"
        close(found, expected, 1e-6)
    assert normalise(there, "cpu").device.type == "cpu"
