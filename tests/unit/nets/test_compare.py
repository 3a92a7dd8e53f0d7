"""The small networks are what their papers describe, and cost what torch's own counter says."""

import pytest
import torch
import torchvision
from torch import nn

import minibag as mb
from minibag.nets import BagNet, build, count
from tests.unit.nets.small import noise

SMALL = {"resnet": mb.small_resnet, "vgg": mb.small_vgg, "densenet": mb.small_densenet}
everyone = pytest.mark.parametrize("name", SMALL)


@everyone
def test_it_has_the_size_of_a_class_project(name):
    with torch.device("meta"):
        parameters, multiply_adds = count(SMALL[name](), 64)
    assert 300_000 < parameters < 1_200_000
    assert 90e6 < multiply_adds < 150e6


@everyone
@pytest.mark.parametrize("shape", [(64, 64), (96, 96), (40, 57), (8, 8)])
def test_any_image_gives_logits(name, shape):
    net = SMALL[name](5, 8).eval()
    assert net(torch.zeros(2, 3, *shape)).shape == (2, 5)


@everyone
@pytest.mark.parametrize("shape", [(1, 3, 7, 40), (3, 64, 64), (1, 64, 64, 3)])
def test_other_tensors_are_refused_with_what_was_expected(name, shape):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\) of at least 8 x 8"):
        SMALL[name](5, 8)(torch.zeros(shape))


@everyone
def test_logits_are_a_linear_function_of_the_mean_of_the_last_map(name):
    net, x = SMALL[name](5, 8).double().eval(), noise(2, 3, 64, 48)
    expected = net.features(x).mean((2, 3)) @ net.fc.weight.T + net.fc.bias
    torch.testing.assert_close(net(x), expected)


@everyone
@pytest.mark.parametrize("layers", [(1, 2), (2, 1, 1)])
def test_its_field_by_arithmetic_is_the_one_measured(name, layers):
    net = SMALL[name](5, 4, layers)
    assert mb.receptive_field(net) == mb.probe_receptive_field(net)
    whole = SMALL[name](5, 4)
    field = mb.receptive_field(whole)
    assert field == mb.probe_receptive_field(whole)
    assert field.size >= 62
    assert field.stride == 8


@everyone
def test_activations_are_modules_used_once_and_keep_their_input(name):
    calls = []
    net = SMALL[name](5, 4, (1, 2))
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            assert not module.inplace
            module.register_forward_hook(lambda m, args, out: calls.append(m))
    net(noise(2, 3, 32, 32, dtype=torch.float32)).sum().backward()
    assert len(calls) == len(set(calls)) == sum(isinstance(m, nn.ReLU) for m in net.modules())


@everyone
@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
def test_deeplift_tells_where_the_difference_to_a_black_image_comes_from(name):
    captum = pytest.importorskip("captum.attr")
    net, x = SMALL[name](5, 4, (1, 2)).eval(), noise(2, 3, 24, 24, dtype=torch.float32)
    shares = captum.DeepLift(net).attribute(x, target=1).sum((1, 2, 3))
    torch.testing.assert_close(shares, (net(x) - net(0 * x))[:, 1], rtol=1e-3, atol=1e-4)


def test_a_residual_block_that_says_nothing_passes_its_input_on():
    block = mb.small_resnet(5, 4).features[4].eval()
    nn.init.zeros_(block.branch[-1].weight)
    x = noise(1, 4, 9, 9, dtype=torch.float32).relu()
    torch.testing.assert_close(block(x), x)


def test_a_dense_layer_keeps_its_input_and_adds_growth_channels():
    layer = mb.small_densenet(5, 6).features[1].eval()
    x = noise(1, 12, 9, 9, dtype=torch.float32)
    out = layer(x)
    assert out.shape == (1, 18, 9, 9)
    assert torch.equal(out[:, :12], x)


def test_our_vgg_is_torchvisions_with_batch_norm():
    theirs = torchvision.models.vgg.make_layers([8, "M", 16, "M", 32, 32], batch_norm=True).eval()
    ours = mb.small_vgg(5, 8, (1, 1, 2)).features.eval()
    convs = [[m for m in net if isinstance(m, nn.Conv2d)] for net in (ours, theirs)]
    for one, other in zip(*convs, strict=True):
        one.weight.data = other.weight.data
        nn.init.zeros_(other.bias)
    x = noise(2, 3, 32, 32, dtype=torch.float32)
    torch.testing.assert_close(ours(x), theirs(x))


def test_our_densenet_is_torchvisions_after_the_stem():
    theirs = torchvision.models.DenseNet(4, (2, 3), 8, num_classes=5).features.eval()
    ours = mb.small_densenet(5, 4, (2, 3)).features.eval()
    body = nn.Sequential(*list(theirs)[4:])
    tensors = [list(net.state_dict().values()) for net in (ours[1:], body)]
    assert sorted(map(str, (t.shape for t in tensors[0]))) == sorted(
        map(str, (t.shape for t in tensors[1]))
    )
    x = noise(2, 8, 16, 16, dtype=torch.float32)
    convs = [[m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (ours[1:], body)]
    for one, other in zip(*convs, strict=True):
        one.weight.data = other.weight.data
    torch.testing.assert_close(ours[1:](x), body(x).relu())


@pytest.mark.parametrize(
    ("make", "parameters", "giga"),
    [
        (lambda: BagNet(9), 15_688_744, 15.9),
        (lambda: BagNet(17), 16_213_032, 15.7),
        (lambda: BagNet(33), 18_310_184, 16.3),
        (torchvision.models.resnet50, 25_557_032, 4.1),
    ],
)
def test_known_networks_cost_what_is_published(make, parameters, giga):
    with torch.device("meta"):
        net = make()
    found, multiply_adds = count(net, 224)
    assert found == parameters
    assert multiply_adds / 1e9 == pytest.approx(giga, abs=0.05)


def test_a_network_costs_the_same_in_every_precision():
    net = mb.small_resnet(5, 4)
    assert count(net, 64) == count(net.double(), 64) == count(net.bfloat16(), 64)


def test_counting_leaves_the_network_as_it_was():
    net = mb.small_resnet(5, 4).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    count(net, 64)
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_networks_are_built_from_their_description():
    bagnet = {"name": "bagnet", "patch_size": 9, "num_classes": 7, "width": 4, "layers": [1] * 4}
    net = build({**bagnet, "centred": True})
    assert isinstance(net, BagNet)
    assert (net.patch_size, net.fc.out_features, net.layer1[0].centred) == (9, 7, True)
    for name, make in SMALL.items():
        built, made = build({"name": name, "width": 4, "layers": (1, 2)}), make(10, 4, (1, 2))
        assert str(built) == str(made)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "alexnet"}, "one of bagnet, resnet, resnet50, vgg, densenet, got 'alexnet'"),
        ({"name": None}, "one of bagnet"),
        ({"depth": 3}, "options num_classes, width, layers, not .'depth'"),
        ({"width": "wide"}, "no resnet can be built from"),
        ({"width": -4}, "no resnet can be built from"),
        ({"name": "bagnet", "patch_size": 9, "width": 0}, "width=0"),
        ({"layers": 3}, "no resnet can be built from"),
        ({"name": "bagnet"}, "patch_size"),
        ({"name": "bagnet", "patch_size": 11}, "5, 9, 17, 33"),
        ({"name": "bagnet", "patch_size": 9, "weights": "imagenet"}, "not .'weights'"),
    ],
)
def test_a_description_of_nothing_is_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        build({"name": "resnet", **change})


@everyone
def test_kernels_begin_as_he_et_al_draw_them_for_the_way_back(name):
    """The variance is 2 over what a cell sends its gradient to (arXiv 1502.01852, eq. 14)."""
    torch.manual_seed(0)
    drawn = [m.weight for m in SMALL[name]().modules() if isinstance(m, nn.Conv2d)]
    drawn = [w for w in drawn if w.numel() > 2000]
    assert any(w.shape[0] != w.shape[1] for w in drawn)
    for weight in drawn:
        c_out, _, k, _ = weight.shape
        found = float((weight.detach().double() ** 2).mean())
        assert found * k * k * c_out / 2 == pytest.approx(1, abs=6 * (2 / weight.numel()) ** 0.5)
