"""The receptive-field builder: what it draws and says is what the library computes and probes."""

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from torch import nn

import minibag as mb
from minibag.figures.receptive import cone, maps, maps_of, squares
from minibag.widgets.base import png
from minibag.widgets.receptive import KINDS, NONE, ReceptiveFieldBuilder

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.fixture
def builder():
    return ReceptiveFieldBuilder(IMAGE)


def build(builder, *names):
    for i in range(1, 7):
        builder.controls[f"layer{i}"].value = names[i - 1] if i <= len(names) else NONE


@pytest.mark.parametrize("name", [*KINDS, NONE])
@pytest.mark.parametrize("padded", [False, True])
def test_it_says_what_a_probe_measures(builder, name, padded):
    names = ["3x3", name, "3x3, stride 2"]
    build(builder, *names)
    builder.controls["padded"].value = padded
    layers = [KINDS[n] for n in names if n != NONE]
    padding = [(k - 1) * d // 2 if padded else 0 for k, _, d in layers]
    net = nn.Sequential(
        *(nn.Conv2d(3, 3, k, s, p, d) for (k, s, d), p in zip(layers, padding, strict=True))
    )
    field = mb.probe_receptive_field(net)
    said = f"q = {field.size}, stride {field.stride}, offset {field.offset}."
    assert said in builder.text.value


def test_the_goal_is_reached_by_the_layers_of_a_bagnet_17(builder):
    assert "Not yet." in builder.text.value
    build(builder, "3x3", "3x3, stride 2", "3x3, stride 2", "3x3, stride 2")
    assert "q = 17, stride 8" in builder.text.value
    assert "Reached!" in builder.text.value


def test_the_slider_moves_the_unit_and_ends_where_the_map_ends(builder):
    unit, before = builder.controls["unit"], builder.view.value
    assert unit.max == 64 - 7
    unit.value = 57
    assert "unit 57 sees the columns 57 to 63" in builder.text.value
    assert builder.view.value != before
    builder.controls["layer3"].value = "3x3, stride 2"
    assert unit.max == unit.value == 28
    assert "unit 28 sees the columns 56 to 62" in builder.text.value


def test_without_layers_a_unit_is_a_pixel(builder):
    build(builder)
    assert "q = 1, stride 1, offset 0. The map has 64 x 64 units" in builder.text.value


def test_a_stack_that_sees_more_than_the_picture_is_said_in_the_widget(builder):
    build(builder, *["7x7, stride 2"] * 6)
    assert 'role="alert"' in builder.text.value
    assert "the picture has 64" in builder.text.value
    build(builder, "3x3")
    assert 'role="status"' in builder.text.value


def test_controls_are_labelled_and_bad_stacks_refused(builder):
    assert all(control.description for control in builder.controls.values())
    assert builder.children[1].children[0].description == "Layer 1"
    with pytest.raises(ValueError, match="up to six layers"):
        ReceptiveFieldBuilder(IMAGE, ("4x4",))
    with pytest.raises(ValueError, match="up to six layers"):
        ReceptiveFieldBuilder(IMAGE, ("3x3",) * 7)


LAYERS = [(3, 2, 1, 1), (3, 1, 1, 2), (2, 1, 0, 1)]  # kernel, stride, padding, dilation


def positive(layers):
    """A stack whose weights are all one, so that no path cancels another."""
    convs = [nn.Conv2d(1, 1, *layer, bias=False) for layer in layers]
    for conv in convs:
        nn.init.ones_(conv.weight)
    return nn.Sequential(*convs)


@pytest.mark.parametrize("layers", [LAYERS, LAYERS[:1], [(7, 3, 0, 2)], [(3, 3, 2, 4)]])
def test_maps_have_the_sizes_that_torch_gives_them(layers):
    x = torch.zeros(1, 1, 64, 64)
    for layer, (_, n) in zip(layers, list(maps_of(layers, 64))[1:], strict=True):
        x = positive([layer])(x)
        assert n == x.shape[-1]


@pytest.mark.parametrize("unit", [0, 1, 7, 28])
def test_the_cone_ends_at_the_pixels_that_have_a_gradient(unit):
    image = torch.ones(1, 1, 64, 64, requires_grad=True)
    positive(LAYERS)(image)[0, 0, 14, unit].backward()
    figure = cone(IMAGE, LAYERS, ["a", "b", "c"], unit)
    rows = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    drawn = np.asarray(rows[-2].get_offsets())  # of the pixels: all, the needed, the padded
    png(figure)
    assert drawn[:, 0].tolist() == image.grad[0, 0].any(0).nonzero().flatten().tolist()


def test_the_other_figures_draw_and_share_one_scale():
    figure = squares([IMAGE, IMAGE[:40, :40]], ["a", "b"], {"q = 9": 9, "q = 99": 99}, "two")
    assert [p.get_width() for p in figure.axes[0].patches] == [9, 99]
    png(figure)
    figure = maps({"a": np.zeros((3, 3)), "b": np.eye(3)}, "value", "t", [(1, 1), (1, 1)])
    assert {ax.images[0].get_clim() for ax in figure.axes[:2]} == {(0.0, 1.0)}
    png(figure)
