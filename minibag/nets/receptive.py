"""How far a unit sees: the receptive field of a map, by arithmetic and by measurement."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from minibag.machine import plain
from minibag.nets.field import Follow, ReceptiveField

SIDE = 4096  # of the image that only has a shape, so that even deep padless networks fit


def without_data(net: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode whose float32 tensors are shapes alone."""
    net = plain(net)
    state = chain(net.parameters(), net.buffers())
    shapes = copy.deepcopy(net, {id(t): torch.empty_like(t, device="meta") for t in state})
    return shapes.float().eval()


def _run(net: nn.Module, layer: str | None, image: Tensor) -> Tensor:
    """Return the map that ``layer`` makes of the image; None: the last before global pooling."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and max(out.shape[2:]) > 1:
            found.append(out.clone())  # as it is now: a ReLU may change it in place

    pools = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
    for name, module in net.named_modules():
        if name == layer or (layer is None and not isinstance(module, pools)):
            module.register_forward_hook(keep)
    net(image)
    if not found:
        raise ValueError(
            f"no map (N, C, h, w) at layer {layer!r}; the layers are "
            + ", ".join(name for name, _ in net.named_modules() if name)
        )
    return found[-1]


def _square(y: ReceptiveField, x: ReceptiveField) -> ReceptiveField:
    if y != x:
        raise ValueError(f"the field is not square: {y} down, {x} across")
    return y


def receptive_field(net: nn.Module, layer: str | None = None) -> ReceptiveField:
    """Return what a cell of a layer's map sees, computed from kernels, strides and paddings.

    The network (on RGB images) runs on shapes alone, so this takes milliseconds at any size. In a
    network without padding no cell sees less; near the border of a padded one it sees the padding
    too. No cell sees more: what looks sideways without a window (a flip, a softmax over the width,
    attention, a norm of the whole map) is refused, not guessed. Where a part of a map is
    overwritten, its cells and those around it get one field that holds both.

    Parameters
    ----------
    net : any network of convolutions, pools, sums, concatenations and point-wise layers
    layer : name as in ``net.named_modules()``; None means the last map before global pooling

    Raises
    ------
    ValueError
        If there is no such map, its cells see the whole image or it lies behind an operation that
        cannot be followed (the error names it), the network does not run on shapes alone, or the
        field is not square.
    """
    shapes, image = without_data(net), torch.empty(1, 3, SIDE, SIDE, device="meta")
    for module in shapes.modules():
        if hasattr(module, "inplace"):
            vars(module)["inplace"] = False  # or torch cannot functionalise SELU and others
    # Functionalised, writing into a tensor or a part of it becomes an operation like any other.
    run = torch.func.functionalize(lambda image: _run(shapes, layer, image.clone()))
    try:
        with torch.no_grad(), Follow(image) as following:
            fields = following.fields.get(id(run(image)), "a constant")
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"the network does not run on the shape of {SIDE} x {SIDE} pixels alone: "
            f"{str(error).splitlines()[0]:.200}"
        ) from error
    if isinstance(fields, str):
        raise ValueError(
            "the cells of this map see the whole image, as far as can be told: it lies behind "
            f"{fields!r}, which may look sideways and cannot be followed; name an earlier layer"
        )
    return _square(*fields)


def probe_receptive_field(net: nn.Module, layer: str | None = None) -> ReceptiveField:
    """Measure what `receptive_field` computes: the pixels from which a gradient reaches a cell.

    Weights are made positive in a float64 copy without biases, and a maximum passes the gradient
    to its whole window, so that no path is hidden by chance. Parameters and errors are the same.
    """
    guess = receptive_field(net, layer)  # only says how large the image must be
    net = copy.deepcopy(plain(net)).cpu().double().eval().requires_grad_(False)
    seed = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            # Not equal ones, whose gradient a norm or a softmax over the channels would cancel.
            nn.init.uniform_(module.weight, 0.5 / (n := module.weight[0].numel()), 1.5 / n, seed)
            if module.bias is not None:
                nn.init.zeros_(module.bias)  # a negative one could silence the ReLU behind it
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(_see_whole_window)
    side = guess.size + 6 * guess.stride
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    cells = _run(net, layer, image.clone())
    i = (cells.shape[-1] - 1) // 2
    first, second = (_reach(cells[0, :, k, k], image) for k in (i, i + 1))
    return _square(
        *(
            ReceptiveField(stop - start, start2 - start, start - i * (start2 - start))
            for (start, stop), (start2, _) in zip(first, second, strict=True)
        )
    )


def _reach(cell: Tensor, image: Tensor) -> list[tuple[int, int]]:
    """Return the range of rows, and of columns, from which a gradient reaches the cell."""
    each = torch.arange(1, len(cell) + 1)  # the sum of a softmax would have no gradient
    (slope,) = torch.autograd.grad((cell * each).sum(), image, retain_graph=True)
    seen = [(slope[0] != 0).any(0).any(axis).nonzero() for axis in (1, 0)]
    return [(int(pixels[0]), int(pixels[-1]) + 1) for pixels in seen]


def _see_whole_window(pool: nn.MaxPool2d, args: tuple[Tensor], out: Tensor) -> Tensor:
    """Add the sum over the window to its maximum."""
    channels = out.shape[1]
    k, stride, padding, dilation = (
        v if isinstance(v, tuple) else (v, v)
        for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    )
    window = out.new_ones(channels, 1, *k)
    total = nn.functional.conv2d(args[0], window, None, stride, padding, dilation, channels)
    missing = (out.shape[-1] - total.shape[-1], out.shape[-2] - total.shape[-2])  # ceil_mode
    return out + nn.functional.pad(total, (0, missing[0], 0, missing[1]))
