"""Attribution methods: against captum, brute force, and what each one promises of its sum."""

import copy
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import BasicBlock, ResNet

import minibag as mb
from minibag.evidence import (
    attribution,
    deeplift,
    grad_cam,
    input_x_gradient,
    integrated_gradients,
    layerwise,
    lrp,
    occlusion,
    saliency,
)
from tests.unit.nets.small import noise, small_bagnet

few_steps = partial(integrated_gradients, steps=3)
METHODS = [saliency, input_x_gradient, few_steps, grad_cam, occlusion, lrp, deeplift]
NAMES = [getattr(method, "__name__", "integrated_gradients") for method in METHODS]
every_method = pytest.mark.parametrize("method", METHODS, ids=NAMES)
TARGETS = torch.tensor([0, 3, 1])


@pytest.fixture(scope="module")
def net():
    return small_bagnet(9, layers=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def x():
    return noise(3, 3, 20, 27)


def small_resnet():
    torch.manual_seed(0)
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5).double().eval()


def logits(net, x, targets=TARGETS):
    with torch.no_grad():
        return net(x)[range(len(x)), targets]


def total(maps):
    return maps.sum((1, 2))


def close(found, expected, tolerance=1e-9):
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


# What every method keeps to


@every_method
def test_maps_have_one_shape_and_follow_their_own_target(net, x, method, monkeypatch):
    maps = method(net, x, TARGETS)
    assert maps.shape == (3, 20, 27)
    assert not maps.requires_grad
    assert maps.isfinite().all()
    for one, image, target in zip(maps, x, TARGETS, strict=True):
        close(one, method(net, image[None], int(target))[0])
    close(method(net, x, TARGETS.numpy().astype(np.int32)), maps)
    monkeypatch.setattr(attribution, "PIXELS", 20 * 27 * 2)
    close(method(net, x, TARGETS), maps)


@every_method
def test_the_network_is_left_as_it_was_and_read_in_evaluation_mode(net, x, method):
    expected = method(net, x, 1)
    net, x = copy.deepcopy(net).train(), x.clone()
    net.layer2.eval()
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    modes = [module.training for module in net.modules()]
    state = copy.deepcopy(net.state_dict())
    with torch.no_grad():
        assert torch.equal(method(net, x, 1), expected)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    assert [name for name, p in net.named_parameters() if p.grad is not None] == ["fc.weight"]
    assert (net.fc.weight.grad == 1).all()
    assert not x.requires_grad
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())


@every_method
def test_a_frozen_network_and_images_that_want_gradients_will_do(net, x, method):
    frozen = copy.deepcopy(net).requires_grad_(False)
    assert torch.equal(method(frozen, x.clone().requires_grad_(), 2), method(net, x, 2))


@every_method
@pytest.mark.parametrize("target", [5, -1, 1.0, True, [0, 1], torch.tensor([0, 1, 5])], ids=str)
def test_a_class_that_is_not_there_is_refused(net, x, method, target):
    with pytest.raises(ValueError, match="target must be"):
        method(net, x, target)


@every_method
def test_what_is_no_batch_of_normalised_images_is_refused(net, x, method):
    for wrong in (x[0], x[:, :1], x[:0], (x * 50).byte()):
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
            method(net, wrong, 0)


@every_method
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_maps_are_those_of_the_cpu(net, x, method):
    expected = method(net, x, TARGETS)
    found = method(copy.deepcopy(net).cuda(), x.cuda(), TARGETS)
    assert found.device.type == "cuda"
    close(found.cpu(), expected, 1e-6)


# Gradients


@pytest.fixture(scope="module")
def captum():
    return pytest.importorskip("captum.attr")


def test_gradient_methods_are_captums(net, x, captum):
    x = x.clone().requires_grad_()
    found = captum.Saliency(net).attribute(x, TARGETS)
    close(saliency(net, x, TARGETS), found.amax(1))
    found = captum.InputXGradient(net).attribute(x, TARGETS)
    close(input_x_gradient(net, x, TARGETS), found.sum(1))
    options = {"n_steps": 10, "method": "riemann_middle", "baselines": 0.5}
    found = captum.IntegratedGradients(net).attribute(x, target=TARGETS, **options)
    ours = integrated_gradients(net, x, TARGETS, steps=10, baseline=0.5)
    close(ours, found.sum(1), 1e-6)  # captum's steps are float32


@pytest.mark.parametrize(
    "baseline", [0.0, torch.tensor([-2.0, -1.9, -1.8]).double()[:, None, None]]
)
def test_integrated_gradients_sum_to_the_difference_of_logits(net, x, baseline):
    x = x[:1]
    difference = logits(net, x, [0]) - logits(net, x * 0 + baseline, [0])
    coarse, fine = (
        total(integrated_gradients(net, x, 0, steps=n, baseline=baseline)) - difference
        for n in (2, 128)
    )
    assert fine.abs() < 0.03 * difference.abs()
    assert fine.abs() < coarse.abs() / 5


def test_saliency_is_the_slope_of_the_logit(net, x):
    step = 1e-6
    moved = x.clone()
    moved[:, 1, 12, 13] += step
    slope = (logits(net, moved) - logits(net, x)).abs() / step
    assert (saliency(net, x, TARGETS)[:, 12, 13] >= slope - 1e-5).all()


def test_no_steps_are_refused(net, x):
    with pytest.raises(ValueError, match="steps"):
        integrated_gradients(net, x, 0, steps=0)


# Occlusion


def brute_occlusion(net, x, target, window, stride, fill):
    n, _, height, width = x.shape
    falls = [[[[] for _ in range(width)] for _ in range(height)] for _ in range(n)]
    for k in range(n):
        for top in range(0, height - window + stride, stride):
            for left in range(0, width - window + stride, stride):
                covered = x[k : k + 1].clone()
                covered[:, :, top : top + window, left : left + window] = fill
                fall = logits(net, x[k : k + 1], [target]) - logits(net, covered, [target])
                for i in range(top, min(top + window, height)):
                    for j in range(left, min(left + window, width)):
                        falls[k][i][j].append(float(fall))
    return torch.tensor([[[np.mean(f) for f in row] for row in image] for image in falls])


@pytest.mark.parametrize(("window", "stride", "fill"), [(8, 4, 0.0), (9, 9, 0.7), (7, 5, -1.0)])
def test_occlusion_is_that_of_a_plain_loop(net, x, window, stride, fill):
    found = occlusion(net, x[:2], 1, window=window, stride=stride, fill=fill)
    close(found, brute_occlusion(net, x[:2], 1, window, stride, fill))


def test_occlusion_is_captums(net, x, captum):
    windows = {"sliding_window_shapes": (3, 8, 8), "strides": (3, 4, 4)}
    found = captum.Occlusion(net).attribute(x, target=TARGETS, **windows)
    close(
        occlusion(net, x, TARGETS, window=8, stride=4), found.mean(1), 1e-6
    )  # captum's is float32


def test_a_window_larger_than_the_image_covers_it_all(net, x):
    found = occlusion(net, x, TARGETS, window=99, stride=99)
    fall = logits(net, x) - logits(net, torch.zeros_like(x))
    close(found, fall[:, None, None].expand(found.shape))


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (4, 0), (0, 0)])
def test_windows_that_leave_pixels_out_are_refused(net, x, window, stride):
    with pytest.raises(ValueError, match="left out"):
        occlusion(net, x, 0, window=window, stride=stride)


# Grad-CAM


@pytest.mark.parametrize("shape", [(64, 64), (70, 97)])
def test_grad_cam_of_a_resnet_is_captums(captum, shape):
    net, x = small_resnet(), noise(2, 3, *shape)
    for name in (None, "layer2"):
        layer = net.layer4 if name is None else net.layer2
        cam = captum.LayerGradCam(net, layer).attribute(x, 3, relu_attributions=True)
        expected = nn.functional.interpolate(cam, shape, mode="bilinear")[:, 0]
        close(grad_cam(net, x, 3, layer=name), expected.detach())


def test_grad_cam_finds_the_last_map_of_a_densenet_too():
    torch.manual_seed(0)
    net = DenseNet(4, (1, 1), 8, num_classes=5).double().eval()  # its last ReLU is a function
    x = noise(2, 3, 32, 32)
    maps = net.features(x).relu().detach().requires_grad_()
    logit = net.classifier(maps.mean((2, 3)))[:, 2].sum()
    weight = torch.autograd.grad(logit, maps)[0].mean((2, 3), keepdim=True)
    cam = (weight * maps).sum(1, keepdim=True).relu().detach()
    expected = nn.functional.interpolate(cam, (32, 32), mode="bilinear")[:, 0]
    assert expected.max() > 0
    close(grad_cam(net, x, 2), expected)


@pytest.mark.parametrize("q", [9, 33])
def test_grad_cam_of_a_bagnet_is_its_evidence_without_bias_at_the_centre_of_each_patch(q):
    net, x = small_bagnet(q, layers=(1, 1, 1, 1)), noise(2, 3, 57, 66)
    cam = grad_cam(net, x, 4)
    evidence = net.evidence(x)[:, 4].detach() - net.fc.bias[4].detach()
    grid = net.grid((57, 66))
    rows, columns = (torch.from_numpy(centres).long() for centres in grid.centres())
    expected = evidence.relu() / len(grid)  # weights are those of fc over the number of patches
    assert expected.max() > 0
    close(cam[:, rows][:, :, columns], expected)
    close(cam[:, 0, 0], expected[:, 0, 0])  # constant beyond the outermost centre
    between = (rows[0] + rows[1]) // 2
    close(cam[:, between][:, columns], (expected[:, 0] + expected[:, 1]) / 2)


def test_layers_without_a_map_are_refused(net, x):
    with pytest.raises(ValueError, match="no layer 'layer9'"):
        grad_cam(net, x, 0, layer="layer9")
    with pytest.raises(ValueError, match=r"\(N, C, h, w\)"):
        grad_cam(net, x, 0, layer="fc")


# DeepLift and LRP


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("q", [9, 33])
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_deeplift_sums_to_the_difference_of_logits(captum, q, centred, baseline):
    net, x = small_bagnet(q, centred), noise(3, 3, 41, 50)
    difference = logits(net, x) - logits(net, torch.zeros_like(x) + baseline)
    close(total(deeplift(net, x, TARGETS, baseline=baseline)), difference)


def test_deeplift_without_captum_names_the_extra(net, x, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"minibag\[attribution\]"):
        deeplift(net, x, 0)


def test_deeplift_of_modules_used_twice_is_refused(captum):
    with pytest.raises(RuntimeError, match="more than once"):
        deeplift(small_resnet(), noise(1, 3, 64, 64), 0)


def chain(bias=True):
    """A network that captum's LRP can walk through: one module after the other."""
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=bias),
        nn.BatchNorm2d(6) if bias else nn.Identity(),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, bias=bias),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(8 * 36, 5, bias=bias),
    )
    return net.double().eval()


@pytest.mark.parametrize("epsilon", [1e-9, 0.1])
def test_lrp_is_captums_where_captum_knows_the_way(captum, epsilon):
    from captum.attr._utils.lrp_rules import EpsilonRule

    net, x = chain(), noise(3, 3, 16, 16)
    theirs = copy.deepcopy(net)
    theirs[4] = nn.ReLU()
    for module in theirs:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.rule = EpsilonRule(epsilon)
    theirs[5].rule = EpsilonRule(1e-12)
    found = captum.LRP(theirs).attribute(x.clone().requires_grad_(), TARGETS)
    close(lrp(net, x, TARGETS, epsilon=epsilon), found.sum(1).detach(), 1e-6)


@pytest.mark.parametrize("make", [lambda: small_bagnet(17), lambda: small_bagnet(33, True), chain])
def test_lrp_with_a_small_epsilon_is_input_x_gradient(make):
    net = make()
    x = noise(3, 3, 16, 16) if isinstance(net, nn.Sequential) else noise(3, 3, 34, 41)
    expected = input_x_gradient(net, x, TARGETS)
    close(lrp(net, x, TARGETS, epsilon=1e-12), expected, 1e-6)
    assert (lrp(net, x, TARGETS, epsilon=1.0) - expected).abs().max() > 0.1 * expected.abs().max()


def test_lrp_conserves_the_logit_where_there_are_no_biases():
    net, x = chain(bias=False), noise(3, 3, 16, 16)
    close(total(lrp(net, x, TARGETS, epsilon=1e-12)), logits(net, x), 1e-6)
    close(total(lrp(net, x, TARGETS, epsilon=0.0)), logits(net, x))
    close(total(input_x_gradient(net, x, TARGETS)), logits(net, x))


def test_lrp_of_other_activations_is_refused(net, x):
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match="GELU"):
        lrp(smooth.double(), x, 0)
    with pytest.raises(ValueError, match="epsilon"):
        lrp(net, x, 0, epsilon=-1.0)


def test_flat_names_are_reached_from_the_room():
    assert mb.evidence.lrp is layerwise.lrp
    assert mb.evidence.saliency is attribution.saliency
    with pytest.raises(AttributeError, match="no attribute 'sticker'"):
        _ = mb.evidence.sticker


class Waits(TorchDispatchMode):
    """Counts how often a number is fetched from a tensor, for which a GPU must end its work."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_no_forward_pass_waits_for_the_one_before(net, x):
    counts = []
    for steps in (1, 5):
        with Waits() as waits:
            integrated_gradients(net, x, TARGETS, steps=steps)
        counts.append(waits.count)
    assert counts == [2, 2]  # the limits of the targets


# Networks that are wrapped, compiled, scripted or reparametrised


@pytest.fixture(scope="module")
def used(net, x):
    """Return networks that have been compiled, whole, in place or in part, and called."""
    whole, in_place, part = (copy.deepcopy(net) for _ in range(3))
    whole = torch.compile(whole, backend="eager")
    in_place.compile(backend="eager")
    part.layer2 = torch.compile(part.layer2, backend="eager")
    for one in (whole, in_place, part):
        one(x.clone().requires_grad_())
    return [whole, in_place, part, nn.DataParallel(copy.deepcopy(net))]


@every_method
def test_a_compiled_or_parallel_network_gets_the_maps_of_the_network(net, x, method, used):
    expected = method(net, x, TARGETS)
    for one in used:
        close(method(one, x, TARGETS), expected)


@every_method
def test_reparametrised_weights_count_as_the_weights_that_they_are(net, x, method):
    other = copy.deepcopy(net)
    for module in [m for m in other.modules() if isinstance(m, nn.Conv2d)]:
        nn.utils.parametrizations.weight_norm(module)
    close(method(other, x, TARGETS), method(net, x, TARGETS), 1e-6)


def test_grad_cam_does_not_take_a_kernel_for_a_map(x):
    conv = nn.Conv2d(3, 4, 3).double()
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5).double()]
    net = nn.Sequential(conv, *head).eval()
    expected = grad_cam(net, x, TARGETS)
    nn.utils.parametrizations.weight_norm(conv)
    close(grad_cam(net, x, TARGETS), expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("method", [grad_cam, lrp, deeplift])
def test_a_scripted_network_is_refused_where_its_modules_are_needed(net, x, method):
    traced = torch.jit.trace(copy.deepcopy(net), x)
    with pytest.raises(ValueError, match="TorchScript hides the modules"):
        method(traced, x, 1)
    close(saliency(traced, x, 1), saliency(net, x, 1))


@pytest.mark.parametrize(
    "layer",
    [nn.ConvTranspose2d(3, 3, 3), nn.GroupNorm(1, 3), nn.MultiheadAttention(3, 1)],
    ids=lambda layer: type(layer).__name__,
)
def test_lrp_refuses_weights_that_it_would_pass_over(x, layer):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)]
    with pytest.raises(ValueError, match=r"lrp (needs|knows)"):
        lrp(nn.Sequential(layer, *head).double(), x, 1)


@every_method
def test_a_network_that_gives_more_than_logits_is_refused(x, method):
    class Two(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)), x

    with pytest.raises(ValueError, match=r"expected logits \(N, C\) alone"):
        method(Two(), x, 1)
