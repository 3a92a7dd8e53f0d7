"""How far a unit sees: the receptive field of a map, by arithmetic and by measurement.

A kernel of k pixels, spread by a dilation d, on a map whose cells lie s pixels apart adds
(k - 1) * d * s to what a cell sees; a stride multiplies s (Araujo et al., "Computing receptive
fields of convolutional neural networks", Distill 2019). Where branches meet, fields unite.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
NORMS = (aten.native_group_norm, aten.native_layer_norm)  # of the whole map that they change
SIDE = 4096  # of the image that only has a shape, so that even deep padless networks fit


@dataclass(frozen=True)
class ReceptiveField:
    """Cell i of a map sees the pixels ``offset + i * stride`` to ``... + size - 1``, in y and x."""

    size: int
    stride: int
    offset: int

    def through(self, kernel: int, stride: int, padding: int, dilation: int) -> ReceptiveField:
        """Return the field after a sliding window over this map."""
        return ReceptiveField(
            self.size + (kernel - 1) * dilation * self.stride,
            self.stride * stride,
            self.offset - padding * self.stride,
        )

    def union(self, other: ReceptiveField) -> ReceptiveField:
        """Return the field of the sum of two maps; ValueError if their strides differ."""
        if self.stride != other.stride:
            raise ValueError(f"maps of stride {self.stride} and {other.stride} cannot be aligned")
        start = min(self.offset, other.offset)
        stop = max(self.offset + self.size, other.offset + other.size)
        return ReceptiveField(stop - start, self.stride, start)


PIXEL = ReceptiveField(1, 1, 0)
STILL = (1, 1, 0, 1)  # a window that changes nothing


class _Follow(TorchDispatchMode):
    """Carries the field of every tensor along while a network runs.

    ``fields`` maps the id of a tensor to its fields in y and x, or to None once its cells see the
    whole image. Tensors are kept, so that no id is used twice; they have a shape but no data.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.fields: dict[int, list[ReceptiveField] | None] = {id(image): [PIXEL, PIXEL]}
        self.kept = [image]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        maps = [x for x in tree_leaves(args) if id(x) in self.fields]
        for tensor in tree_leaves(out) if maps else ():
            self.fields[id(tensor)] = self._after(func.overloadpacket, args, maps, tensor)
            self.kept.append(tensor)
        return out

    def _after(
        self, func: Any, args: Any, maps: list[Tensor], out: Tensor
    ) -> list[ReceptiveField] | None:
        known = [fields for x in maps if (fields := self.fields[id(x)])]
        of_itself = func in NORMS or (func is aten.native_batch_norm and args[5])
        if len(known) < len(maps) or out.ndim != 4 or of_itself:
            return None
        if windows := _windows(func, *args):
            return [f.through(*w) for f, w in zip(known[0], windows, strict=True)]
        if all(x.shape[-2:] == out.shape[-2:] for x in maps):  # each cell for itself
            return [
                functools.reduce(ReceptiveField.union, axis) for axis in zip(*known, strict=True)
            ]
        return None


def _windows(func: Any, x: Any, *args: Any) -> list[tuple[int, int, int, int]]:
    """(kernel, stride, padding, dilation) in y and x of the operations that slide a window."""
    if func is aten.convolution and not args[5]:
        return list(zip(args[0].shape[2:], args[2], args[3], args[4], strict=True))
    if func is aten.max_pool2d_with_indices:
        return _pool(*args[:4])
    if func is aten.avg_pool2d:
        return _pool(*args[:3])
    if func is aten.slice and args[0] >= 2:
        return _cut(x.shape[args[0]], *args)
    if func in (aten.constant_pad_nd, aten.reflection_pad2d, aten.replication_pad2d):
        left, _, top, _ = args[0]
        return [(1, 1, top, 1), (1, 1, left, 1)]
    return []


Pair = tuple[int, int]


def _pool(
    kernel: Pair, stride: Pair | None = None, padding: Pair = (0, 0), dilation: Pair = (1, 1)
) -> list:
    return list(zip(kernel, stride or kernel, padding, dilation, strict=True))


def _cut(
    size: int, axis: int, start: int | None = 0, stop: int | None = None, step: int = 1
) -> list:
    """Return the windows of ``map[start:stop:step]`` along an axis, which moves the first cell."""
    first = range(size)[start:stop].start
    moved = (1, step, -first, 1)
    return [moved, STILL] if axis == 2 else [STILL, moved]


def without_data(net: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode whose float32 tensors are shapes alone."""
    state = chain(net.parameters(), net.buffers())
    shapes = copy.deepcopy(net, {id(t): torch.empty_like(t, device="meta") for t in state})
    return shapes.float().eval()


def _run(net: nn.Module, layer: str | None, image: Tensor) -> Tensor:
    """Return the map that ``layer`` makes of the image; None: the last before global pooling."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and max(out.shape[2:]) > 1:
            found.append(out)

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
    network without padding no cell sees less; near the border of a padded one it sees zeros too.

    Parameters
    ----------
    net : any network of convolutions, pools, sums, concatenations and point-wise layers
    layer : name as in ``net.named_modules()``; None means the last map before global pooling

    Raises
    ------
    ValueError
        If there is no such map, its cells see the whole image (as behind a norm of groups, layers
        or instances), or the field is not square.
    """
    image = torch.empty(1, 3, SIDE, SIDE, device="meta")
    with torch.no_grad(), _Follow(image) as follow:
        fields = follow.fields[id(_run(without_data(net), layer, image))]
    if fields is None:
        raise ValueError(
            "the cells of this map see the whole image (or it was made by an operation that "
            "cannot be followed); name an earlier layer"
        )
    return _square(*fields)


def probe_receptive_field(net: nn.Module, layer: str | None = None) -> ReceptiveField:
    """Measure what `receptive_field` computes: the pixels from which a gradient reaches a cell.

    Weights are made positive and equal in a float64 copy without biases, and a maximum passes the
    gradient to its whole window, so that no path is hidden by chance. Parameters and errors are
    the same.
    """
    guess = receptive_field(net, layer)  # only says how large the image must be
    net = copy.deepcopy(net).cpu().double().eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)  # a negative one could silence the ReLU behind it
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.MaxPool2d):
            module.register_forward_hook(_see_whole_window)
    side = guess.size + 6 * guess.stride
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    cells = _run(net, layer, image)
    i = (cells.shape[-1] - 1) // 2
    first, second = (_reach(cells[0, :, k, k].sum(), image) for k in (i, i + 1))
    return _square(
        *(
            ReceptiveField(stop - start, start2 - start, start - i * (start2 - start))
            for (start, stop), (start2, _) in zip(first, second, strict=True)
        )
    )


def _reach(cell: Tensor, image: Tensor) -> list[tuple[int, int]]:
    """Return the range of rows, and of columns, from which a gradient reaches the cell."""
    (slope,) = torch.autograd.grad(cell, image, retain_graph=True)
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
