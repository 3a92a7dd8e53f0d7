"""Checks of lesson 07: evidence from features, a patch run alone, the cost of a convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from minibag.checks.core import check, refuse
from minibag.nets.bagnet import BagNet


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-7)


@check(
    "fc works on the last axis: bring the D numbers of every patch there.",
    "features.movedim(1, -1) is (N, h, w, D); fc turns it into (N, h, w, C).",
    "fc(features.movedim(1, -1)).movedim(-1, 1): nothing else, and the whole bias is in it.",
)
def evidence_map(student: Callable[[Tensor, nn.Linear], Tensor]) -> str:
    """Check ``evidence_map(features (N, D, h, w), fc) -> (N, C, h, w)``."""
    features, fc = torch.rand(2, 5, 3, 4), nn.Linear(5, 6)
    nn.init.uniform_(fc.bias, 1, 2)
    with torch.no_grad():
        truth = torch.einsum("cd,ndij->ncij", fc.weight, features) + fc.bias[:, None, None]
        answer = student(features, fc).detach()
    refuse(
        (answer.shape == (2, 3, 4, 6), "the classes stand last: move them to axis 1."),
        (answer.shape == (2, 6), "that is one vote per image: classify every patch instead."),
        (answer.shape != truth.shape, f"the shape is {tuple(answer.shape)}, not (2, 6, 3, 4)."),
        (_same(answer, truth - fc.bias.detach()[:, None, None]), "the bias is missing: every "
         "patch gets it, whole."),
        (_same(answer, truth / 12), "you divided by the number of patches: the mean does that."),
        (_same(answer, truth.softmax(1)), "evidence is logits, not probabilities: no softmax."),
        (not _same(answer, truth), "the votes are wrong: does fc see the D numbers of one patch?"),
    )  # fmt: skip
    return "the mean of this map is the logits of the image: `fc` is linear."


@check(
    "Patch (i, j) starts at row stride * i and column stride * j.",
    "Its rows end before stride * i + q. Slice the last two axes of x: rows first.",
    "net(x[..., top : top + q, left : left + q])",
)
def alone(student: Callable[[BagNet, Tensor, int, int], Tensor]) -> str:
    """Check ``alone(net, x (N, 3, H, W), i, j) -> logits (N, C)`` of the patch (i, j) alone."""
    net, calls = BagNet(9, 4, 16, (1, 1, 1, 1)).double().eval(), []
    x = torch.rand(2, 3, 49, 49, dtype=torch.float64)
    with torch.no_grad():
        truth, (i, j) = net.evidence(x), (2, 4)
        net.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape))
        answer, first = (student(net, x, *cell).detach() for cell in ((i, j), (0, 0)))
    refuse(
        (not calls, "cut the pixels of the patch out, and call net(...) on nothing else."),
        (answer.shape != (2, 4), f"logits have shape (2, 4) here, yours {tuple(answer.shape)}: "
         "net(...) of the pixels gives one row for each image."),
    )  # fmt: skip
    refuse(
        (_same(answer, truth.mean((2, 3))), "those are the logits of the whole image."),
        (_same(answer, truth[..., j, i]), "rows and columns are swapped: i goes down."),
        (not _same(first, truth[..., 0, 0]), "patch (0, 0) is wrong: is it q x q pixels?"),
        (not _same(answer, truth[..., i, j]), "patch (0, 0) is right, (2, 4) is not: patches are "
         "net.stride pixels apart."),
    )  # fmt: skip
    return "alone, the patch says what it said in the image."


@check(
    "A kernel is in_channels x side x side, and there are out_channels of them; no bias.",
    "The kernel is put down at (side - kernel) // stride + 1 places in a row, and in as many rows.",
    "multiply_adds = parameters * side_out**2",
)
def cost(student: Callable[[nn.Conv2d, int], tuple[int, int]]) -> str:
    """Check ``cost(conv, side) -> (parameters, multiply_adds)`` on three convolutions."""
    for c_in, c_out, k, s, side in ((3, 8, 1, 1, 7), (4, 6, 3, 1, 9), (5, 4, 3, 2, 12)):
        conv = nn.Conv2d(c_in, c_out, k, s, bias=False)
        n, out = conv.weight.numel(), conv(torch.zeros(1, c_in, side, side)).shape[-1]
        answer = student(conv, side)
        told = f"a {k}x{k} kernel with stride {s}, {c_in} to {c_out} channels, on {side} x {side}: "
        refuse((not isinstance(answer, tuple) or len(answer) != 2, f"{told}return two numbers."))
        if answer == (n, n * out**2):
            continue
        refuse(
            (answer[0] == n + c_out, f"{told}there is no bias."),
            (answer[0] * k == n != answer[0], f"{told}a kernel is square: {k} x {k} numbers."),
            (answer[0] != n, f"{told}the parameters are {n}, not {answer[0]}."),
            (
                answer[1] == n * ((side - k) / s + 1) ** 2,
                f"{told}windows are whole: use //.",
            ),
            (answer[1] == n * side**2, f"{told}count units of the output: {out} x {out}."),
            (answer[1] == n * out, f"{told}the output has rows and columns."),
            (answer[1] == 2 * n * out**2, f"{told}a multiply-add counts once."),
            (True, f"{told}the output is {out} x {out}; you said {answer[1]} multiply-adds."),
        )
    return "each parameter works once at every unit of the output."
