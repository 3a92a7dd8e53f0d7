"""Receptive fields by arithmetic are those measured, and those others published."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import minibag as mb
from minibag.nets import BagNet, ReceptiveField
from tests.unit.nets.small import small_bagnet

small = st.integers(1, 3)


class Residual(nn.Module):
    """The sum of a branch and its input, cropped as the branch crops it."""

    def __init__(self, branch, first):
        super().__init__()
        self.branch, self.first = branch, first

    def forward(self, x):
        out = self.branch(x)
        start = self.first if x.shape[-1] > out.shape[-1] else 0
        skip = x[..., start : start + out.shape[-2], start : start + out.shape[-1]]
        return out + skip


@st.composite
def stacks(draw):
    """A random stack of convolutions, pools and residual blocks on three channels."""
    layers = []
    for kind in draw(st.lists(st.sampled_from("cmars"), min_size=1, max_size=5)):
        k, stride = draw(small), draw(st.integers(1, 2))
        pad = draw(st.integers(0, k // 2))
        if kind == "c":
            layers += [nn.Conv2d(3, 3, k, stride, pad, draw(small)), nn.BatchNorm2d(3), nn.ReLU()]
        elif kind == "m":
            layers.append(nn.MaxPool2d(k, stride, pad, draw(small), ceil_mode=draw(st.booleans())))
        elif kind == "a":
            layers.append(nn.AvgPool2d(k, stride, pad))
        elif kind == "s":
            layers.append(nn.Conv2d(3, 3, 3, padding="same", padding_mode="reflect"))
        else:
            branch = nn.Sequential(nn.Conv2d(3, 3, 3, 1, draw(st.integers(0, 1))), nn.ReLU())
            layers.append(Residual(branch, draw(st.integers(0, 2))))
    return nn.Sequential(*layers)


@settings(max_examples=100)
@given(stacks())
def test_arithmetic_equals_the_probe_on_random_stacks(net):
    assert mb.receptive_field(net) == mb.probe_receptive_field(net)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("q", [9, 17, 33])
def test_a_bagnet_sees_q_pixels_every_eight(q, centred):
    net = small_bagnet(q, centred, torch.float32)
    assert mb.receptive_field(net) == ReceptiveField(q, 8, 0)
    assert mb.probe_receptive_field(net) == ReceptiveField(q, 8, 0)
    assert mb.receptive_field(net.with_stride(1)) == ReceptiveField(q, 1, 0)
    assert (
        mb.receptive_field(net.double())
        == mb.receptive_field(net.half())
        == (ReceptiveField(q, 8, 0))
    )
    assert mb.receptive_field(net, "layer1") == ReceptiveField(5, 2, 0)


def test_the_smallest_bagnet_sees_five_pixels():
    assert mb.probe_receptive_field(BagNet(5, width=4)).size == 5


@pytest.mark.parametrize(
    ("name", "size", "stride"),
    [("alexnet", 195, 32), ("vgg16", 212, 32), ("resnet18", 435, 32), ("densenet121", 2071, 32)],
)
def test_known_networks_have_the_fields_published_by_araujo(name, size, stride):
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    field = mb.receptive_field(net)
    assert (field.size, field.stride) == (size, stride)


def narrow_nets():
    models = torchvision.models
    yield models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1])
    vgg = models.VGG(models.vgg.make_layers([4, "M", 8, "M", 8, 8, "M"]), init_weights=False)
    vgg.classifier = nn.Linear(8 * 7 * 7, 2)
    yield vgg
    yield models.DenseNet(4, (2, 2), 8)


def test_narrow_resnet_vgg_and_densenet_are_measured_as_computed():
    for net in narrow_nets():
        assert mb.receptive_field(net) == mb.probe_receptive_field(net)
    assert mb.receptive_field(net, "features.conv0") == ReceptiveField(7, 2, -3)
    assert mb.probe_receptive_field(net, "features.conv0") == ReceptiveField(7, 2, -3)


def test_biases_that_silence_a_layer_do_not_hide_its_field():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    nn.init.constant_(net[2].bias, -9)
    assert mb.probe_receptive_field(net) == mb.receptive_field(net) == ReceptiveField(5, 1, 0)


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.LayerNorm([4, 4094, 4094], elementwise_affine=False),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_behind_a_norm_of_the_image_itself_a_cell_sees_all_of_it(norm):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    with pytest.raises(ValueError, match="the whole image"):
        mb.receptive_field(net)
    assert mb.receptive_field(net, "0") == ReceptiveField(3, 1, 0)


def test_the_network_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.MaxPool2d(2)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    mb.probe_receptive_field(net)
    assert net.training
    assert not any(m._forward_hooks for m in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_what_has_no_receptive_field_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(3), nn.Conv2d(4, 4, 2))
    with pytest.raises(ValueError, match="the whole image"):
        mb.receptive_field(net)
    with pytest.raises(ValueError, match="the layers are 0, 1, 2"):
        mb.receptive_field(net, "layer9")
    with pytest.raises(ValueError, match="not square"):
        mb.receptive_field(nn.Conv2d(3, 3, (1, 3)))
