"""Fields hold all that a cell sees, whatever a network is made of, or are refused by name.

The referee is brute force: the pixels on which a cell of a real map depends, by its gradient.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import minibag as mb
from minibag.nets import ReceptiveField
from tests.unit.nets.small import noise


class Step(nn.Module):
    """``function(conv, x)`` as a module, with a 3x3 convolution of three channels at hand."""

    def __init__(self, function, padding=0):
        super().__init__()
        self.function, self.conv = function, nn.Conv2d(3, 3, 3, padding=padding)

    def forward(self, x):
        return self.function(self.conv, x)


def swapped(conv, x):
    x = x.clone()
    x[..., :5] = x[..., -5:].clone()
    return x


def blurred_with_itself(conv, x):
    return functional.conv2d(x, x[:, :, :3, :3]).repeat(1, 3, 1, 1)


def attended(conv, x):
    tokens = x.flatten(2).mT
    return functional.scaled_dot_product_attention(tokens, tokens, tokens).mT.reshape(x.shape)


# What keeps the shape of a map, or nearly, but not its rows and columns apart.
SIDEWAYS = {
    "roll": lambda conv, x: x.roll(5, -1),
    "flip": lambda conv, x: x.flip(2),
    "cumsum": lambda conv, x: x.cumsum(3),
    "softmax": lambda conv, x: x.softmax(-1),
    "log_softmax": lambda conv, x: x.log_softmax(2),
    "index": lambda conv, x: x[..., torch.arange(x.shape[-1] - 1, -1, -1, device=x.device)],
    "index_select": lambda conv, x: x.index_select(2, torch.zeros_like(x[0, 0, 0]).long()),
    "gather": lambda conv, x: x.gather(3, torch.zeros_like(x).long()),
    "sort": lambda conv, x: x.sort(3).values,
    "fft_c2c": lambda conv, x: torch.fft.fft2(x).abs(),
    "transpose": lambda conv, x: x.transpose(2, 3),
    "permute": lambda conv, x: x.permute(0, 1, 3, 2),
    "t": lambda conv, x: x[0, 0].t().expand(1, 3, -1, -1),
    "bmm": lambda conv, x: torch.matmul(x, torch.ones_like(x)),
    "mm": lambda conv, x: functional.linear(x[:, :1], torch.ones_like(x[0, 0])).repeat(1, 3, 1, 1),
    "view": attended,
    "mean": lambda conv, x: x * x.mean((2, 3), keepdim=True),
    "amax": lambda conv, x: x - x.amax(3, keepdim=True),
    "sum": lambda conv, x: x / (1 + x.square().sum()),
    "linalg_vector_norm": lambda conv, x: functional.normalize(x, dim=3),
    "native_group_norm": lambda conv, x: functional.group_norm(x, 3),
    "native_layer_norm": lambda conv, x: functional.layer_norm(x, x.shape[-1:]),
    "cat": lambda conv, x: torch.cat([x[..., 5:], x[..., :5]], 3),
    "copy": lambda conv, x: functional.pad(x, (4, 4, 4, 4), "circular"),
    "convolution": blurred_with_itself,
    "upsample_nearest2d": lambda conv, x: functional.interpolate(
        x[..., ::2, ::2], scale_factor=2.0
    ),
    "grid_sampler_2d": lambda conv, x: functional.grid_sample(
        x, x.new_zeros(1, *x.shape[2:], 2), align_corners=False
    ),
    "im2col": lambda conv, x: functional.unfold(x, 3, padding=1).view(1, 27, *x.shape[2:])[:, ::9],
    "pixel_shuffle": lambda conv, x: functional.pixel_shuffle(torch.cat([x, x, x, x], 1), 2),
    "select": lambda conv, x: x + x[..., :1, 0, None],
    "add": lambda conv, x: x + x[..., :1],
}


def overwritten(part):
    def step(conv, x):
        out = x.clone()
        out[part] = conv(x)[part]
        return out

    return step


def added_to_the_middle(conv, x):
    out = x.clone()
    out[..., 1:-1, 1:-1] += conv(x)
    return out


def on_a_canvas(conv, x):
    canvas = torch.zeros_like(x)
    canvas[..., 1:-1, 1:-1] = conv(x)
    return canvas


def shuffled(conv, x):
    n, c, h, w = x.shape
    return conv(x.view(n, c, 1, h, w).transpose(1, 2).reshape(n, c, h, w))


def gated_by_channels(conv, x):
    x = conv(x)
    return x * torch.sigmoid(x.mean(1, keepdim=True) + x.amax(1, keepdim=True))


# (field, stride, offset) of what a network may well do.
KEPT = {
    "a partial convolution": (Step(overwritten((slice(None), slice(2))), 1), (3, 1, -1)),
    "rows overwritten": (Step(overwritten((..., slice(4, 9), slice(None))), 1), (3, 1, -1)),
    "a residual in the middle": (Step(added_to_the_middle), (3, 1, -1)),
    "a map on a canvas": (Step(on_a_canvas), (3, 1, -1)),
    "channels shuffled": (Step(shuffled), (3, 1, 0)),
    "channels as a gate": (Step(gated_by_channels), (3, 1, 0)),
    "channels sorted": (Step(lambda conv, x: conv(x).sort(1).values), (3, 1, 0)),
    "channels normalised": (Step(lambda conv, x: functional.normalize(conv(x), dim=1)), (3, 1, 0)),
    "channels in a softmax": (Step(lambda conv, x: conv(x).softmax(1)), (3, 1, 0)),
    "channels summed up": (Step(lambda conv, x: conv(x).cumsum(1).flip(1).roll(1, 1)), (3, 1, 0)),
    "channels padded": (
        Step(lambda conv, x: functional.pad(conv(x)[..., ::2, ::2], (0, 0, 0, 0, 1, 1))[:, 1:4]),
        (3, 2, 0),
    ),
    "padding along one axis twice": (
        Step(lambda conv, x: functional.pad(functional.pad(conv(x), (2, 2)), (0, 0, 2, 2))),
        (3, 1, -2),
    ),
    "a crop by negative padding": (
        Step(lambda conv, x: functional.pad(conv(x), (-2,) * 4)),
        (3, 1, 2),
    ),
    "activations in place": (
        Step(lambda conv, x: functional.relu(conv(x).add_(1), inplace=True)),
        (3, 1, 0),
    ),
    "SELU in place": (nn.Sequential(nn.Conv2d(3, 3, 3), nn.SELU(inplace=True)), (3, 1, 0)),
    "the image changed in place": (Step(lambda conv, x: conv(x.mul_(2).sub_(1))), (3, 1, 0)),
}


def field_or_refusal(net):
    try:
        return mb.receptive_field(net)
    except ValueError:
        return None


def seen(net, side, cells):
    """Return what each cell depends on in an image of side x side: bool (side, side)."""
    image = noise(1, 3, side, side).requires_grad_()
    out = net(image.clone())
    weights = noise(out.shape[1], seed=1)
    for i, j in cells:
        (slope,) = torch.autograd.grad(out[0, :, i, j] @ weights, image, retain_graph=True)
        yield (slope[0] != 0).any(0)


def sees_no_more(net, field, side):
    """Check every fifth cell whose box lies in the image: outside it, nothing may matter."""
    net = net.double().eval().requires_grad_(False)
    shape = net(noise(1, 3, side, side).clone()).shape
    inside = [
        [i for i in range(n) if 0 <= field.offset + i * field.stride <= side - field.size]
        for n in shape[2:]
    ]
    cells = [(i, j) for i in inside[0] for j in inside[1]][::5]
    assert cells
    for (i, j), pixels in zip(cells, seen(net, side, cells), strict=True):
        top, left = (field.offset + k * field.stride for k in (i, j))
        pixels[top : top + field.size, left : left + field.size] = False
        if pixels.any():
            return False
    return True


@pytest.mark.parametrize("name", SIDEWAYS)
def test_what_looks_sideways_is_refused_by_its_name(name):
    net = nn.Sequential(nn.Conv2d(3, 3, 3), Step(SIDEWAYS[name]), nn.Conv2d(3, 3, 3))
    for measure in (mb.receptive_field, mb.probe_receptive_field):
        with pytest.raises(ValueError, match=f"behind '{name}', which may look sideways"):
            measure(net)
    assert mb.receptive_field(net, "0").size == 3


@pytest.mark.parametrize("name", SIDEWAYS)
def test_and_it_does_look_sideways(name):
    assert not sees_no_more(Step(SIDEWAYS[name]), mb.receptive_field(nn.Identity()), 12)


@pytest.mark.parametrize("name", KEPT)
def test_what_keeps_rows_and_columns_apart_is_followed(name):
    net, (size, stride, offset) = KEPT[name]
    assert mb.receptive_field(net) == ReceptiveField(size, stride, offset)
    assert mb.probe_receptive_field(net) == ReceptiveField(size, stride, offset)


steps = st.one_of(
    st.sampled_from(sorted(SIDEWAYS)).map(lambda name: Step(SIDEWAYS[name])),
    st.sampled_from([net for net, _ in KEPT.values()]),
    st.builds(
        lambda k, s: nn.Sequential(nn.Conv2d(3, 3, k, s), nn.Tanh()), *[st.integers(1, 2)] * 2
    ),
    st.builds(lambda k, s: nn.AvgPool2d(k, s), st.integers(2, 3), st.integers(1, 2)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps, min_size=1, max_size=4))
def test_no_cell_of_a_random_network_sees_more_than_its_field(layers):
    net = nn.Sequential(*layers).float()
    if field := field_or_refusal(net):
        assert sees_no_more(net, field, max(24, field.size + 6 * field.stride))


def test_a_network_that_looks_at_values_is_refused():
    net = Step(lambda conv, x: conv(x) if x.sum() > 0 else x)
    with pytest.raises(ValueError, match=r"does not run on the shape of 4096 x 4096"):
        mb.receptive_field(net)
    with pytest.raises(ValueError, match=r"does not run on the shape"):
        mb.receptive_field(nn.Sequential(nn.Conv2d(3, 1, 3), nn.Flatten(), nn.Linear(900, 2)))


def test_known_networks_with_shuffled_and_split_channels_are_measured_as_computed():
    from torchvision import models

    net = models.ShuffleNetV2([1, 1, 1], [4, 8, 8, 8, 8])
    assert mb.receptive_field(net, "stage4") == mb.probe_receptive_field(net, "stage4")
