"""Textures: Gram matrices know what occurs together, and nothing of where."""

import subprocess
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

import minibag as mb
from minibag.experiments import gram, synthesise, texture_net
from minibag.nets import normalise
from tests.unit.nets.small import noise, small_bagnet


def texture_distance(model, image, other, layers=None):
    """The squared difference of Gram matrices as a share of those of ``image``, mean of layers."""
    seen = []
    relus = [module for module in model.net.modules() if isinstance(module, nn.ReLU)]
    hooks = [relu.register_forward_hook(lambda *args: seen.append(args[2][0])) for relu in relus]
    for picture in (image, other):
        model.net(normalise(picture[None]))
    for hook in hooks:
        hook.remove()
    tables = [torch.einsum("ihw,jhw->ij", maps, maps) / maps[0].numel() for maps in seen]
    pairs = list(zip(tables[: len(tables) // 2], tables[len(tables) // 2 :], strict=True))
    apart = [((b - a) ** 2).sum().item() / (a**2).sum().item() for a, b in pairs]
    return np.mean(apart if layers is None else [apart[layer] for layer in layers])


@pytest.fixture(scope="module")
def vgg():
    return mb.load("critters-vgg")


@pytest.fixture(scope="module")
def critter():
    return mb.critters("test", 3, 32).images[0]


@pytest.fixture(scope="module")
def made(vgg, critter):
    return synthesise(vgg, critter, steps=60)


def test_gram_is_the_mean_product_of_each_pair_of_channels():
    features = noise(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3, dtype=torch.float64)
    for n, i, j in np.ndindex(2, 3, 3):
        for y, x in np.ndindex(4, 5):
            expected[n, i, j] += features[n, i, y, x] * features[n, j, y, x] / 20
    torch.testing.assert_close(gram(features), expected)


def test_gram_does_not_know_where():
    features = noise(1, 3, 6, 4)
    shuffled = features.flatten(2)[:, :, torch.randperm(24)].reshape(features.shape)
    torch.testing.assert_close(gram(shuffled), gram(features))
    apart = torch.stack([features[:, 0].roll(1, 1), *features[:, 1:].unbind(1)], 1)
    assert not torch.allclose(gram(apart), gram(features))  # channels must move together


def test_moving_an_image_changes_its_texture_only_at_the_edges(vgg):
    tile = mb.critters("test", 1, 64).images[0, 16:32, 16:32]
    image = np.tile(tile, (4, 4, 1))
    rolled = np.roll(image, (8, 8), (0, 1))
    flipped = image[::-1]
    assert texture_distance(vgg, image, rolled) < 0.2 * texture_distance(vgg, image, flipped)


def test_result_has_the_texture_of_the_image_but_not_its_pixels(vgg, critter, made):
    assert made.shape == critter.shape
    assert made.dtype == np.uint8
    start = np.random.default_rng(0).integers(120, 136, critter.shape, dtype=np.uint8)
    before, after = (texture_distance(vgg, critter, x) for x in (start, made))
    assert after < before / 20
    assert after < texture_distance(vgg, critter, critter[::-1])  # upside down: nearly its texture
    assert np.mean(made == critter) < 0.1


def test_more_steps_come_nearer(vgg, critter, made):
    few = synthesise(vgg, critter, steps=10)
    assert texture_distance(vgg, critter, made) < texture_distance(vgg, critter, few) / 3


def test_seed_repeats(vgg, critter):
    first, again, other = (synthesise(vgg, critter, steps=3, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


@pytest.mark.parametrize("name", ["critters-resnet", "critters-densenet", "critters-bagnet9"])
def test_any_network_with_relus_will_do(name, critter):
    model, image = mb.load(name), critter[:, :24]  # and any shape
    made = synthesise(model, image, steps=15)
    grey = np.full_like(image, 128)
    assert texture_distance(model, image, made) < texture_distance(model, image, grey) / 2


def test_a_layer_that_the_image_leaves_silent_does_not_spoil_the_others(critter):
    """Its Gram matrix is zero, and a share of zero is no number: the noise would stay as it is."""
    torch.manual_seed(0)
    silent = nn.Conv2d(4, 2, 1)
    nn.init.constant_(silent.bias, -1e6)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), silent, nn.ReLU()).eval()
    made = [synthesise(net, critter, steps=steps) for steps in (1, 30)]
    first = nn.Sequential(*net[:2])
    wanted, *found = (gram(first(normalise(x[None]))) for x in (critter, *made))
    apart = [((f - wanted) ** 2).sum().item() / (wanted**2).sum().item() for f in found]
    assert apart[1] < 0.1 * apart[0]


def test_only_the_chosen_layers_are_matched(vgg, critter):
    made = synthesise(vgg, critter, layers=[0], steps=30)
    first, last = (texture_distance(vgg, critter, made, layers=[k]) for k in (0, 5))
    assert first < 0.01 < last


def test_network_is_left_as_it_was(critter):
    net = small_bagnet(9, dtype=torch.float32).train()
    net.fc.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    synthesise(net, critter, steps=2)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert net.training
    assert not net.fc.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("layers", [[], [6], [-1]])
def test_layers_that_are_not_there_are_refused(vgg, critter, layers):
    with pytest.raises(ValueError, match="6 ReLUs, 0 to 5"):
        synthesise(vgg, critter, layers=layers)


def test_layers_may_come_as_an_array(vgg, critter):
    listed, array = (synthesise(vgg, critter, layers=n, steps=2) for n in ([0, 1], np.arange(2)))
    np.testing.assert_array_equal(listed, array)


def test_network_without_relus_is_refused(critter):
    with pytest.raises(ValueError, match="0 ReLUs"):
        synthesise(nn.Conv2d(3, 2, 3), critter)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8, 3), (8, 8, 4)])
def test_other_shapes_are_refused(vgg, shape):
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        synthesise(vgg, np.zeros(shape, np.uint8))


def test_pretrained_network_that_cannot_be_fetched_says_what_to_do(tmp_path, monkeypatch):
    def offline(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(ConnectionError, match=r"vgg16-\w+\.pth on another.*imagenette"):
        texture_net("vgg16")
    with pytest.raises(ValueError, match="vgg19"):
        texture_net("resnet50")


def test_pretrained_network_is_read_from_the_cache(tmp_path, monkeypatch):
    from torchvision.models import vgg16

    with torch.device("meta"):
        names = vgg16().state_dict()
    weights = {key: torch.zeros(1).expand(value.shape) for key, value in names.items()}
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *args, **options: weights
    )
    net = texture_net("vgg16")
    assert sum(isinstance(module, nn.ReLU) for module in net.modules()) == 13
    assert not net.training


def test_scrambling_does_not_load_torch():
    code = "import sys, minibag as mb; mb.scramble; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
