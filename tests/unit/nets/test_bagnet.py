"""BagNets have the published structure, and their logits are a mean of patch logits."""

import itertools

import pytest
import torch
from torch import nn

import minibag as mb
from minibag.nets import BagNet
from tests.unit.nets.small import FACTORY, noise, small_bagnet

EVERY_NET = list(itertools.product((9, 17, 33), (False, True)))


def published_names():
    """The 321 names, spelled out from the description of the published files."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {"conv1.weight", "conv2.weight", "fc.weight", "fc.bias", *(f"bn1.{n}" for n in norm)}
    for stage, blocks in enumerate((3, 4, 6, 3), start=1):
        for block in range(blocks):
            home = f"layer{stage}.{block}"
            names |= {f"{home}.conv{k}.weight" for k in (1, 2, 3)}
            names |= {f"{home}.bn{k}.{n}" for k in (1, 2, 3) for n in norm}
        home = f"layer{stage}.0.downsample"
        names |= {f"{home}.0.weight", *(f"{home}.1.{n}" for n in norm)}
    return names


@pytest.fixture(scope="module")
def published():
    with torch.device("meta"):
        return {q: make() for q, make in FACTORY.items()}


@pytest.mark.parametrize(("q", "n"), [(9, 15_688_744), (17, 16_213_032), (33, 18_310_184)])
def test_default_networks_have_the_published_names_and_numbers(published, q, n):
    assert sum(p.numel() for p in published[q].parameters()) == n
    assert set(published[q].state_dict()) == published_names()
    assert len(published_names()) == 321


@pytest.mark.parametrize(
    ("q", "sides"),
    [(9, (222, 110, 54, 27, 27)), (17, (222, 110, 54, 26, 26)), (33, (222, 110, 54, 26, 24))],
)
def test_maps_at_224_pixels_have_the_published_sizes(published, q, sides):
    x = torch.empty(1, 3, 224, 224, device="meta")
    channels = (64, 256, 512, 1024, 2048)
    for stage, side, width in zip(published[q].stages(), sides, channels, strict=True):
        x = stage(x)
        assert x.shape == (1, width, side, side)


@pytest.mark.parametrize(("q", "kernels"), [(9, "3311"), (17, "3331"), (33, "3333")])
def test_only_the_first_block_of_a_stage_has_a_3x3_kernel_and_no_convolution_pads(
    published, q, kernels
):
    for stage, kernel in enumerate(kernels, start=1):
        first, *rest = getattr(published[q], f"layer{stage}")
        assert first.conv2.kernel_size == (int(kernel),) * 2
        assert first.conv2.stride == ((2, 2) if stage < 4 else (1, 1))
        assert all(block.conv2.kernel_size == (1, 1) for block in rest)
    convs = [m for m in published[q].modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.padding == (0, 0) and conv.bias is None for conv in convs)
    assert published[q].bn1.momentum == 0.001
    assert published[q].layer1[0].bn1.momentum == 0.1


def test_convolutions_start_with_the_published_spread():
    torch.manual_seed(0)
    net = mb.bagnet33(num_classes=2, width=32, layers=(1, 1, 1, 1))
    for conv in (net.layer3[0].conv2, net.layer4[0].conv3):
        k, out = conv.kernel_size[0], conv.out_channels
        assert conv.weight.std().item() == pytest.approx((2 / (k * k * out)) ** 0.5, rel=0.02)


def test_the_skip_is_cropped_at_the_bottom_and_right_or_to_the_centre():
    for centred, kept in ((False, slice(0, 5)), (True, slice(1, 6))):
        block = small_bagnet(33, centred).layer4[0]
        nn.init.zeros_(block.bn3.weight)
        nn.init.zeros_(block.bn3.bias)
        nn.init.constant_(block.downsample[1].bias, 100)  # past the last relu
        x = noise(1, block.conv1.in_channels, 21, 21)
        margin = slice(kept.start, kept.start + 19)
        torch.testing.assert_close(block(x), block.downsample(x)[..., margin, margin].relu())


@pytest.mark.parametrize(("q", "centred"), EVERY_NET)
def test_mean_of_the_evidence_is_the_logits(q, centred):
    net = small_bagnet(q, centred, torch.float32)
    for shape in ((33, 33), (64, 64), (40, 71), (97, 34), (65, 50)):
        x = noise(2, 3, *shape, dtype=torch.float32)
        evidence = net.evidence(x)
        assert evidence.shape == (2, 5, *net.grid(shape).shape)
        torch.testing.assert_close(evidence.mean((2, 3)), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("q", "centred"), EVERY_NET)
def test_a_cell_is_the_network_run_on_its_patch_alone(q, centred):
    net = small_bagnet(q, centred)
    x = noise(1, 3, q + 19, q + 11)
    evidence, grid = net.evidence(x), net.grid((q + 19, q + 11))
    for i, j in itertools.product(*map(range, grid.shape)):
        top, left, bottom, right = grid.box(i, j)
        alone = net(x[..., top:bottom, left:right])
        torch.testing.assert_close(evidence[..., i, j], alone, rtol=0, atol=1e-10)


def test_shifting_the_image_by_the_stride_shifts_the_evidence():
    net = small_bagnet(17)
    x = noise(1, 3, 65, 65)
    before, after = net.evidence(x), net.evidence(x[..., 8:, 16:])
    torch.testing.assert_close(before[..., 1:, 2:], after, rtol=0, atol=1e-12)


def test_padding_would_leak_position_and_ours_does_not():
    net, flat = small_bagnet(17), torch.ones(1, 3, 65, 65, dtype=torch.float64)
    ours = net.evidence(flat)
    assert ours.std((2, 3)).max() < 1e-12
    for block in (net.layer1[0], net.layer2[0], net.layer3[0]):
        block.conv2.padding = (1, 1)
    assert net.evidence(flat).std((2, 3)).min() > 1e-4


@pytest.mark.parametrize("q", [9, 17, 33])
def test_centred_skips_make_a_mirrored_network_see_a_mirrored_image(q):
    net, x = small_bagnet(q, centred=True), noise(1, 3, q, q)
    straight = net(x)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.flip(-1)
    torch.testing.assert_close(net(x.flip(-1)), straight, rtol=0, atol=1e-12)
    for block in (m for m in net.modules() if hasattr(m, "centred")):
        block.centred = False
    assert not torch.allclose(net(x.flip(-1)), straight, atol=1e-6)


def test_every_activation_is_a_module_used_once_per_pass():
    calls = []
    net = small_bagnet(9)
    for module in net.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, args, out: calls.append(m))
    net(noise(1, 3, 32, 32))
    assert len(calls) == len(set(calls))
    assert sum(isinstance(m, nn.ReLU) for m in calls) == 1 + 3 * 6


def test_it_learns_from_gradients():
    net = small_bagnet(9).train()
    net(noise(4, 3, 24, 24)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("shape", [(16, 40), (40, 16)])
def test_an_image_smaller_than_a_patch_is_refused_with_q(shape):
    net = small_bagnet(17)
    for use in (net, net.evidence, lambda x: net.grid(x.shape[2:])):
        with pytest.raises(ValueError, match="at least q = 17"):
            use(torch.zeros(1, 3, *shape, dtype=torch.float64))


def test_wrong_shapes_and_options_are_refused():
    net = small_bagnet(9)
    for shape in ((3, 32, 32), (1, 1, 32, 32), (2, 32, 32, 3)):
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
            net(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(ValueError, match="four stages"):
        mb.bagnet9(layers=(1, 1, 1))
    with pytest.raises(ValueError, match="5, 9, 17, 33"):
        BagNet(11)
    for option in ({"width": 0}, {"num_classes": 0}, {"width": -8}):
        with pytest.raises(ValueError, match="a width and classes; got"):
            mb.bagnet9(**option)
    with pytest.raises(ValueError, match="1, 2, 4 or 8"):
        net.with_stride(3)


def test_a_denser_grid_shares_the_weights_and_leaves_the_network_as_it_was():
    net, x = small_bagnet(33), noise(1, 3, 52, 49)
    before = net.evidence(x)
    for stride in (1, 2, 4, 8):
        dense = net.with_stride(stride)
        assert all(a is b for a, b in zip(net.parameters(), dense.parameters(), strict=True))
        assert dense.grid((52, 49)).shape == tuple(dense.evidence(x).shape[2:])
        seen = dense.evidence(x)[..., :: 8 // stride, :: 8 // stride]
        torch.testing.assert_close(seen, before, rtol=0, atol=1e-12)
    assert torch.equal(net.evidence(x), before)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("q", [9, 17, 33])
def test_a_denser_grid_in_two_steps_is_the_grid_in_one(q, centred):
    net = small_bagnet(q, centred)
    x = noise(1, 3, 47, 52)
    torch.testing.assert_close(
        net.with_stride(4).with_stride(1).evidence(x), net.with_stride(1).evidence(x)
    )
    assert net.with_stride(4).with_stride(2).grid((47, 52)).stride == 2


def test_a_grid_cannot_become_coarser():
    with pytest.raises(ValueError, match="up to its own 2, not 4"):
        small_bagnet(9).with_stride(2).with_stride(4)
