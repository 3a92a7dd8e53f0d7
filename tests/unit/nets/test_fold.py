"""A folded BagNet computes the same function, in fewer operations."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import minibag as mb
from minibag.experiments import fragile
from minibag.nets import folded
from tests.unit.nets.small import noise, small_bagnet
from tests.unit.nets.test_bagnet import EVERY_NET


def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(48, 48), (41, 56)])
@pytest.mark.parametrize(("q", "centred"), EVERY_NET)
def test_logits_evidence_and_grid_are_those_of_the_network(q, centred, shape):
    net, x = small_bagnet(q, centred), noise(2, 3, *shape)
    thin = folded(net)
    assert net.evidence(x).std() > 0.01  # so that agreement means something
    same(thin(x), net(x))
    same(thin.evidence(x), net.evidence(x))
    assert thin.grid(shape) == net.grid(shape)


@settings(max_examples=15)
@given(
    q=st.sampled_from([9, 17, 33]),
    centred=st.booleans(),
    stride=st.sampled_from([1, 2, 4, 8]),
    more=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    seed=st.integers(0, 99),
)
def test_a_denser_grid_may_come_before_or_after(q, centred, stride, more, seed):
    net = small_bagnet(q, centred)
    x = noise(1, 3, q + more[0], q + more[1], seed=seed)
    expected = net.with_stride(stride).evidence(x)
    same(folded(net.with_stride(stride)).evidence(x), expected)
    same(folded(net).with_stride(stride).evidence(x), expected)


@pytest.mark.parametrize(("q", "centred"), [(9, True), (17, False)])
def test_heat_map_and_gradient_are_the_same(q, centred):
    net = small_bagnet(q, centred)
    thin, x = folded(net), noise(1, 3, 24, 29).requires_grad_()
    same(mb.heatmap(thin, x[0].detach(), 3), mb.heatmap(net, x[0].detach(), 3))
    gradients = [torch.autograd.grad(f(x)[:, 3].sum(), x)[0] for f in (thin, net)]
    assert gradients[1].abs().max() > 1e-3
    same(*gradients)


def test_a_bias_of_the_first_layer_is_kept():
    twin, x = fragile(small_bagnet(17), 50).double(), noise(2, 3, 33, 41)
    assert twin.conv1.bias.abs().max() > 1
    same(folded(twin).evidence(x), twin.evidence(x))


def test_no_norm_is_left_and_the_stem_is_one_convolution():
    net = small_bagnet(17)
    thin = folded(net)
    left = [m for m in thin.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    assert all(isinstance(m, nn.Conv2d) and m.bias is not None for m in left)
    assert len(left) == sum(isinstance(m, nn.Conv2d) for m in net.modules()) - 1
    assert thin.conv2.weight.shape == (4, 3, 3, 3)
    assert not any(p.requires_grad for p in thin.parameters())


def test_the_network_itself_stays_as_it_was_and_its_mode_does_not_matter():
    net, x = small_bagnet(9), noise(2, 3, 20, 20)
    expected, state = net(x), copy.deepcopy(net.state_dict())
    thin = folded(net.train())
    assert net.training
    assert not thin.training
    same(thin(x), expected)
    same(thin.train()(x), expected)  # nothing is left that has two modes
    torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)
    assert all(p.requires_grad for p in net.parameters())


def test_kernels_are_rounded_once():
    """Folded in float32, they would differ from those folded in float64 and then rounded."""
    exact = small_bagnet(33, dtype=torch.float32)
    wide = folded(copy.deepcopy(exact).double()).state_dict()
    for name, tensor in folded(exact).state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, wide[name].float()), name


def test_a_fragile_network_keeps_its_accuracy_in_half_precision():
    """Maps near zero before a norm lose their digits in float16; folded, there are none."""
    net = small_bagnet(9)
    block = net.layer2[0]
    with torch.no_grad():
        block.conv2.weight *= 1e-6
        block.bn2.running_mean *= 1e-6
        block.bn2.running_var *= 1e-12
        block.bn2.eps = 1e-17
    x = noise(4, 3, 40, 40)
    expected = net(x)
    thin = folded(net)
    same(thin(x), expected)
    for module in net.half().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.float()  # as under autocast
    errors = [
        ((half(x.half()).double() - expected).abs().max() / expected.abs().max()).item()
        for half in (thin.half(), net)
    ]
    assert errors[0] < 0.01
    assert errors[1] > 0.05


def test_what_cannot_be_folded_is_refused():
    with pytest.raises(TypeError, match="only a BagNet can be folded, got Convnet"):
        folded(mb.small_resnet(2, 4))
    with pytest.raises(ValueError, match="folded already"):
        folded(folded(small_bagnet(9)))
