"""Precision: numbers with fewer bits, networks that run on them, and one that cannot."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import minibag as mb
from minibag.experiments import fragile, in_precision, rounded
from minibag.nets import normalise
from tests.unit.nets.small import noise, small_bagnet

# Bits of the number itself (the first is not stored), smallest and largest exponent of `frexp`.
FORMATS = {"tf32": (11, -125, 128), "bf16": (8, -125, 128), "fp16": (11, -13, 16)}
LESS = list(FORMATS)
singles = st.floats(width=32, allow_nan=False)


def nearest(x, kind):
    """Round to a format by its definition, in float64: a whole number of units, ties to even."""
    bits, lowest, highest = FORMATS[kind]
    x = np.float64(x)
    if not np.isfinite(x):
        return x
    unit = 2.0 ** (max(int(np.frexp(x)[1]), lowest) - bits)
    result = np.round(x / unit) * unit
    return result if abs(result) < 2.0**highest else np.copysign(np.inf, x)


@pytest.fixture(scope="module")
def model():
    return mb.load("critters-bagnet9")


@pytest.fixture(scope="module")
def critters():
    return mb.critters("test", 64, 64)


@pytest.fixture(scope="module")
def pixels(critters):
    return normalise(critters.images)


@torch.no_grad()
def logits(net, x, kind="fp32"):
    with in_precision(net, kind):
        return net(x)


@pytest.mark.parametrize("kind", LESS)
@given(st.lists(singles, min_size=1, max_size=20))
def test_rounding_follows_the_definition_of_the_format(kind, values):
    found = rounded(torch.tensor(values, dtype=torch.float32), kind).numpy()
    np.testing.assert_array_equal(found, [nearest(value, kind) for value in values])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(values))


@pytest.mark.parametrize("kind", LESS)
@given(st.integers(1, 2**12), st.integers(-20, 13), st.booleans())
def test_numbers_halfway_between_two_go_to_the_even_one(kind, whole, exponent, negative):
    bits = FORMATS[kind][0]
    below = (2 ** (bits - 1) + whole % 2 ** (bits - 1)) * 2.0 ** (exponent - bits)
    unit = 2.0 ** (exponent - bits)
    sign = -1 if negative else 1
    halfway = torch.tensor([sign * (below + unit / 2)], dtype=torch.float32)
    assert rounded(halfway, kind).item() == nearest(halfway.item(), kind)


@given(st.lists(singles, min_size=1, max_size=20))
def test_sixteen_bits_are_those_of_numpy_and_torch(values):
    x = torch.tensor(values, dtype=torch.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(rounded(x, "fp16"), x.numpy().astype(np.float16))
    assert rounded(x, "bf16").equal(x.bfloat16().float())


@pytest.mark.parametrize("kind", LESS)
def test_nan_and_infinity_stay_and_rounding_twice_changes_nothing(kind):
    strange = torch.tensor([0x7FFFFFFF, 0x7F800001, -1], dtype=torch.int32).view(torch.float32)
    assert rounded(strange, kind).isnan().all()
    assert rounded(torch.tensor([torch.inf, -torch.inf]), kind).tolist() == [np.inf, -np.inf]
    once = rounded(noise(1000, dtype=torch.float32), kind)
    assert rounded(once, kind).equal(once)


def test_rounding_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="one of fp32, tf32, bf16, fp16, got 'int8'"):
        rounded(torch.zeros(1), "int8")
    with pytest.raises(TypeError, match=r"float32, got torch.float64"):
        rounded(torch.zeros(1).double(), "bf16")


@pytest.mark.parametrize("kind", LESS)
def test_a_layer_multiplies_rounded_numbers_and_adds_them_up_exactly(kind):
    layer = nn.Conv2d(8, 6, 3).requires_grad_(False)
    x = noise(2, 8, 9, 9, dtype=torch.float32)
    stored = kind != "tf32"
    bias = rounded(layer.bias, kind) if stored else layer.bias
    exact = nn.functional.conv2d(
        rounded(x, kind).double(), rounded(layer.weight, kind).double(), bias.double()
    ).float()
    found = logits(layer, x, kind)
    if stored:  # the order of the sum may carry a few over to the next number of 16 bits
        assert (found == rounded(exact, kind)).float().mean() > 0.98
    else:
        assert (found - exact).abs().max() < 2e-6
    assert (layer(x) - exact).abs().max() > 1e-4


def test_fp32_is_the_network_as_it_is(model, pixels):
    with torch.no_grad():
        exact = model.net(pixels[:4])
    assert logits(model.net, pixels[:4]).equal(exact)


@pytest.mark.parametrize("strength", [0, 500])
def test_rounded_numbers_change_logits_as_autocast_changes_them(model, pixels, strength):
    net, x = fragile(model.net, strength), pixels[:16]
    exact, found = logits(net, x), logits(net, x, "bf16")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        real = net(x).float()
    assert (found - real).abs().mean() < 0.3 * (real - exact).abs().mean()


def test_each_map_between_layers_is_stored_in_16_bits_but_not_in_tf32(model, pixels):
    for kind in LESS:
        maps = []
        with in_precision(model.net, kind):
            norm = model.net.layer1[0].bn1
            handle = norm.register_forward_hook(lambda *args, maps=maps: maps.append(args[2]))
            model.net(pixels[:2])
            handle.remove()
        assert rounded(maps[0], kind).equal(maps[0]) == (kind != "tf32")


@pytest.mark.parametrize("kind", LESS)
def test_weights_come_back_bit_by_bit_also_after_an_error(kind):
    net = small_bagnet(9, dtype=torch.float32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    places = [p.data_ptr() for p in net.parameters()]
    with in_precision(net, kind):
        assert not net.conv2.weight.equal(before["conv2.weight"])
    with pytest.raises(ZeroDivisionError), in_precision(net, kind):
        raise ZeroDivisionError
    net.fc.double()  # the last layer cannot be rounded: those before it have been by then
    with pytest.raises(TypeError, match="float64"), in_precision(net, kind):
        pass
    net.fc.float()
    assert all(value.equal(before[key]) for key, value in net.state_dict().items())
    assert [p.data_ptr() for p in net.parameters()][:-2] == places[:-2]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_no_gradients_inside_but_afterwards():
    net, x = small_bagnet(9, dtype=torch.float32), noise(1, 3, 20, 20, dtype=torch.float32)
    with in_precision(net, "tf32"):
        assert not net(x).requires_grad
    assert net(x).requires_grad


def test_a_kind_nobody_knows_is_named_even_without_layers():
    with pytest.raises(ValueError, match="got 'fp8'"), in_precision(nn.ReLU(), "fp8"):
        pass


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("q", [9, 17])
def test_a_fragile_twin_is_the_same_function_in_exact_arithmetic(q, centred):
    net, x = small_bagnet(q, centred, torch.float32), noise(2, 3, 40, 37)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    twin = fragile(net, 3000)
    assert all(value.equal(before[key]) for key, value in net.state_dict().items())
    wanted, found = net.double().evidence(x), twin.double().evidence(x)
    assert (found - wanted).abs().max() < 1e-6 * wanted.abs().max()
    dense = twin.with_stride(1).evidence(x) - net.with_stride(1).evidence(x)
    assert dense.abs().max() < 1e-6 * wanted.abs().max()


def test_strength_is_the_mean_before_the_norm_in_deviations(model, pixels):
    twin, maps = fragile(model.net, 300), []
    twin.bn1.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0]))
    logits(twin, pixels[:32])
    means, deviations = maps[0].mean((0, 2, 3)), model.net.bn1.running_var.sqrt()
    assert (means / deviations).square().mean().sqrt() == pytest.approx(300, rel=0.02)


def test_our_net_bears_fewer_bits_and_its_twin_does_not(model, critters, pixels):
    labels, twin = torch.from_numpy(critters.labels), fragile(model.net)
    exact = logits(model.net, pixels)
    right = (exact.argmax(1) == labels).float().mean()

    def judged(net, kind):
        found = logits(net, pixels, kind)
        return (found.argmax(1) == labels).float().mean() - right, (found - exact).abs().mean()

    for kind in LESS:
        assert abs(judged(model.net, kind)[0]) <= 0.02
    lost, error = zip(*(judged(twin, kind) for kind in ("fp32", *LESS)), strict=True)
    assert abs(lost[0]) <= 0.02
    assert lost[LESS.index("bf16") + 1] < -0.3
    fp32, tf32, bf16, fp16 = error
    assert 100 * fp32 < tf32 < fp16 < bf16


def test_the_stronger_the_more_is_lost(model, pixels):
    x, exact = pixels[:32], logits(model.net, pixels[:32])
    errors = [
        (logits(fragile(model.net, s), x, "fp16") - exact).abs().mean() for s in (10, 100, 1000)
    ]
    assert errors == sorted(errors)
    assert errors[2] > 10 * errors[0]


def test_fragile_says_what_it_cannot_do(model):
    for strength in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match="strength must be a number"):
            fragile(model.net, strength)
    with pytest.raises(ValueError, match="conv1 has a bias already"):
        fragile(fragile(model.net))
