"""Lesson 07: its BagNet is the library's; its checks refuse what students tend to write."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
import torch
from torch import nn

import minibag as mb
from minibag.checks import lesson07
from minibag.nets import BagNet
from tests.unit.checks.solutions import NOTEBOOKS


@pytest.fixture(scope="module")
def lesson() -> dict[str, Any]:
    """What the cells of the notebook that define the network leave behind."""
    cells = nbformat.read(NOTEBOOKS / "07_build_a_bagnet.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    starts = ("def conv(", "class Bottleneck(", "def stage(", "KERNELS = ")
    namespace: dict[str, Any] = {}
    exec(code[0], namespace)
    namespace["x"] = torch.zeros(1, 64, 10, 10)
    for start in starts:
        (source,) = [source for source in code if source.startswith(start)]
        exec(source, namespace)
    return namespace


def shapes(net: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(value.shape)) for name, value in net.state_dict().items()]


@pytest.mark.parametrize("q", [9, 17, 33])
def test_the_lessons_official_bagnet_has_the_librarys_arrays(lesson, q):
    with torch.device("meta"):
        assert shapes(lesson["BagNet"](q, 1000)) == shapes(BagNet(q))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("q", [9, 17, 33])
def test_the_lessons_bagnet_gives_the_librarys_numbers(lesson, q, centred):
    torch.manual_seed(q)
    options = {"num_classes": 5, "width": 4, "layers": (2, 1, 2, 1), "centred": centred}
    mine, library = lesson["BagNet"](q, **options).double(), BagNet(q, **options).double()
    x = torch.randn(3, 3, 64, 49, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(3):  # so that the batch norms have seen data
            library(x)
    assert shapes(mine) == shapes(library)
    mine.load_state_dict(library.state_dict())
    torch.testing.assert_close(mine.eval()(x), library.eval()(x), rtol=1e-10, atol=1e-10)
    assert not torch.allclose(library(x[:1]), library(x[1:2]))


def test_the_lessons_crops_differ(lesson):
    torch.manual_seed(0)
    nets = [lesson["BagNet"](9, 5, 4, (1, 1, 1, 1), centred).eval() for centred in (False, True)]
    nets[0].load_state_dict(nets[1].state_dict())
    x = torch.randn(1, 3, 40, 40)
    assert not torch.allclose(nets[0](x), nets[1](x))
    assert [mb.receptive_field(net, "layer4").size for net in nets] == [9, 9]


def evidence(features, fc):
    return fc(features.movedim(1, -1)).movedim(-1, 1)


def window(net, x, top, left, q):
    return net(x[..., top : top + q, left : left + q])


def bill(conv, side):
    k, s = conv.kernel_size[0], conv.stride[0]
    return conv.in_channels * conv.out_channels * k**2, (side - k) // s + 1


def unfloored(conv, side):
    return (side - conv.kernel_size[0]) / conv.stride[0] + 1


def flat(conv, out):
    n = conv.in_channels * conv.out_channels * conv.kernel_size[0]
    return n, n * out**2


WRONG = [
    ("evidence_map", lambda f, fc: fc(f.movedim(1, -1)), "axis 1"),
    ("evidence_map", lambda f, fc: fc(f.mean((2, 3))), "one vote per image"),
    ("evidence_map", lambda f, fc: evidence(f, fc) - fc.bias[:, None, None], "bias"),
    ("evidence_map", lambda f, fc: evidence(f, fc) / 12, "divided"),
    ("evidence_map", lambda f, fc: evidence(f, fc).softmax(1), "softmax"),
    ("evidence_map", lambda f, fc: evidence(f.flip(1), fc), "numbers of one patch"),
    ("evidence_map", lambda f, fc: fc(f.permute(0, 2, 3, 1)).permute(0, 3, 2, 1), "shape"),
    ("alone", lambda net, x, i, j: net(x), "whole image"),
    ("alone", lambda net, x, i, j: window(net, x, 8 * j, 8 * i, 9), "swapped"),
    ("alone", lambda net, x, i, j: window(net, x, 9 * i, 9 * j, 9), "net.stride"),
    ("alone", lambda net, x, i, j: window(net, x, i, j, 9), "net.stride"),
    ("alone", lambda net, x, i, j: window(net, x, 8 * i, 8 * j, 8), "ValueError"),
    ("alone", lambda net, x, i, j: window(net, x, 8 * i, 8 * j, 17), "q x q"),
    ("alone", lambda net, x, i, j: window(net, x[:1], 8 * i, 8 * j, 9), "each image"),
    ("alone", lambda net, x, i, j: net.evidence(x)[..., i, j], "cut"),
    ("cost", lambda c, side: bill(c, side)[0], "two numbers"),
    ("cost", lambda c, side: (bill(c, side)[0] + c.out_channels, 0), "bias"),
    ("cost", lambda c, side: flat(c, bill(c, side)[1]), "square"),
    ("cost", lambda c, side: (c.in_channels * c.kernel_size[0] ** 2, 0), "parameters"),
    ("cost", lambda c, side: (bill(c, side)[0], bill(c, side)[0] * side**2), "output"),
    ("cost", lambda c, side: (bill(c, side)[0], bill(c, side)[0] * bill(c, side)[1]), "rows"),
    ("cost", lambda c, side: (bill(c, side)[0], bill(c, side)[0] * unfloored(c, side) ** 2), "//"),
    (
        "cost",
        lambda c, side: (bill(c, side)[0], 2 * bill(c, side)[0] * bill(c, side)[1] ** 2),
        "once",
    ),
]


@pytest.mark.parametrize(("name", "wrong", "keyword"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson07, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message, verdict.message
    assert verdict.hints
