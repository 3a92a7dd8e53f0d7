"""The heat map is the network on every patch of the zero-padded image, only cheaper."""

import numpy as np
import pytest
import torch
from torch import nn

import minibag as mb
from minibag.evidence import dense
from tests.unit.nets.small import noise, small_bagnet

NETS = [(q, centred) for q in (9, 17, 33) for centred in (False, True)]


def brute_force(net, x, positions):
    """The published method: cut each patch out of the padded image, run the network on it."""
    q = net.patch_size
    padded = nn.functional.pad(x, ((q - 1) // 2,) * 4)
    with torch.no_grad():
        return net(torch.stack([padded[:, i : i + q, j : j + q] for i, j in positions]))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize(("q", "centred"), NETS)
def test_every_entry_is_the_logit_of_the_patch_centred_there(q, centred, dtype, tolerance):
    net, x = small_bagnet(q, centred, dtype), noise(3, 41, 58, dtype=dtype)
    found = mb.heatmap(net, x, target=3)
    assert found.shape == (41, 58)
    at = np.random.default_rng(0).integers((41, 58), size=(128, 2))
    at = [*map(tuple, at), (0, 0), (40, 57), (0, 57), (20, 30)]
    expected = brute_force(net, x, at)[:, 3]
    found = torch.stack([found[i, j] for i, j in at])
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("rows", [1, 7, 40, 41, 1000])
def test_bands_change_nothing(rows):
    net, x = small_bagnet(33), noise(3, 41, 30)
    whole = mb.heatmap(net, x, 0)
    banded = mb.heatmap(net, x, 0, rows_per_band=rows)
    torch.testing.assert_close(banded, whole, rtol=0, atol=1e-12)


def test_small_strips_change_nothing(monkeypatch):
    net, x = small_bagnet(33), noise(3, 41, 30)
    whole = mb.heatmap(net, x, 0)
    monkeypatch.setattr(dense, "CPU_PIXELS", 100)
    torch.testing.assert_close(mb.heatmap(net, x, 0), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("stride", [2, 3, 4, 6, 8, 16])
def test_a_stride_takes_every_so_many_pixels(stride, centred):
    net, x = small_bagnet(33, centred), noise(3, 43, 50)
    fine, coarse = mb.heatmap(net, x, 1), mb.heatmap(net, x, 1, stride=stride, rows_per_band=3)
    torch.testing.assert_close(coarse, fine[::stride, ::stride], rtol=0, atol=1e-12)


@pytest.mark.parametrize("q", [9, 17, 33])
def test_every_eighth_entry_is_the_evidence_of_the_image(q):
    net, x = small_bagnet(q), noise(3, 65, 57)
    evidence, grid = net.evidence(x[None])[0, 2], net.grid((65, 57))
    rows, columns = (centres.astype(int) for centres in grid.centres())
    seen = mb.heatmap(net, x, 2)[rows[:, None], columns[None, :]]
    torch.testing.assert_close(seen, evidence, rtol=0, atol=1e-12)
    torch.testing.assert_close(seen.mean(), net(x[None])[0, 2], rtol=0, atol=1e-12)


def test_several_targets_are_each_target_alone():
    net, x = small_bagnet(17), noise(3, 24, 31)
    maps = mb.heatmap(net, x, [4, 0, 4])
    assert maps.shape == (3, 24, 31)
    for k, found in zip((4, 0, 4), maps, strict=True):
        torch.testing.assert_close(found, mb.heatmap(net, x, k), rtol=0, atol=1e-12)
    for one in ((np.int64(1),), np.array([1]), torch.tensor([1])):
        assert mb.heatmap(net, x, one).shape == (1, 24, 31)


def test_an_image_smaller_than_a_patch_has_a_map_too():
    net, x = small_bagnet(33), noise(3, 5, 1)
    expected = brute_force(net, x, [(i, 0) for i in range(5)])[:, 1]
    torch.testing.assert_close(mb.heatmap(net, x, 1)[:, 0], expected, rtol=0, atol=1e-12)


def test_the_network_is_left_as_it_was_and_read_in_evaluation_mode():
    net, x = small_bagnet(17), noise(3, 24, 31)
    expected = mb.heatmap(net, x, 1)
    net.train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    convs = [(m.stride, m.dilation) for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert torch.equal(mb.heatmap(net, x, 1), expected)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert convs == [(m.stride, m.dilation) for m in net.modules() if isinstance(m, nn.Conv2d)]


def test_an_image_of_another_dtype_is_taken_to_the_networks_and_autocast_is_off():
    net, x = small_bagnet(9, dtype=torch.float32), noise(3, 20, 20)
    expected = mb.heatmap(net, x.float(), 0)
    assert mb.heatmap(net, x, 0).dtype == torch.float32
    with torch.autocast("cpu"):
        assert torch.equal(mb.heatmap(net, x, 0), expected)
    assert mb.heatmap(net.bfloat16(), x, 0).dtype == torch.bfloat16


@pytest.fixture
def convolutions():
    before = torch.backends.cudnn.conv.fp32_precision
    yield torch.backends.cudnn.conv
    torch.backends.cudnn.conv.fp32_precision = before


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_precision_of_convolutions_is_full_meanwhile_and_then_as_it_was(convolutions, precision):
    net, seen = small_bagnet(9), []
    net.bn1.register_forward_hook(lambda *_: seen.append(convolutions.fp32_precision))
    convolutions.fp32_precision = precision  # now cudnn.allow_tf32 cannot be read
    mb.heatmap(net, noise(3, 20, 20), 0)
    assert set(seen) == {"ieee"}
    assert convolutions.fp32_precision == precision


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_map_is_that_of_the_cpu():
    net, x = small_bagnet(33, dtype=torch.float32), noise(3, 41, 58, dtype=torch.float32)
    expected = mb.heatmap(net, x, [0, 3])
    found = mb.heatmap(net.cuda(), x, [0, 3]).cpu()
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("target", [5, -1, [], [0, 5]])
def test_a_class_that_is_not_there_is_refused(target):
    with pytest.raises(ValueError, match="0 to 4"):
        mb.heatmap(small_bagnet(9), noise(3, 20, 20), target)


def test_wrong_input_is_refused():
    net, x = small_bagnet(9), noise(3, 20, 20)
    with pytest.raises(TypeError, match="needs a BagNet, got Linear"):
        mb.heatmap(nn.Linear(2, 2), x, 0)
    with pytest.raises(TypeError, match=r"got BagNetPredictor.* in \.net"):
        mb.heatmap(mb.load("critters-bagnet9"), x, 0)
    with pytest.raises(TypeError):
        mb.heatmap(net, x, 1.5)
    for raw in (torch.zeros(3, 20, 20, dtype=torch.uint8), np.zeros((3, 20, 20))):
        with pytest.raises(TypeError, match=r"tensor of floats.*normalise"):
            mb.heatmap(net, raw, 0)
    for shape in ((1, 3, 20, 20), (20, 20, 3), (3, 0, 20)):
        with pytest.raises(ValueError, match=r"\(3, H, W\)"):
            mb.heatmap(net, torch.zeros(shape), 0)
    for option in ({"stride": 0}, {"rows_per_band": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            mb.heatmap(net, x, 0, **option)


def test_a_last_layer_without_bias_or_with_other_parameters_will_do():
    net, x = small_bagnet(9), noise(3, 30, 21)
    bias = net.fc.bias.detach().clone()
    expected = mb.heatmap(net, x, [1, 4])
    nn.utils.parametrizations.weight_norm(net.fc)
    torch.testing.assert_close(mb.heatmap(net, x, [1, 4]), expected)
    torch.testing.assert_close(mb.heatmap(nn.DataParallel(net), x, [1, 4]), expected)
    net.fc.bias = None
    torch.testing.assert_close(mb.heatmap(net, x, [1, 4]), expected - bias[[1, 4], None, None])
    net.fc = nn.Sequential(nn.Linear(128, 5), nn.ReLU()).double()
    with pytest.raises(TypeError, match=r"fc must be nn\.Linear, not Sequential"):
        mb.heatmap(net, x, 1)
