"""What every operation of a network does to the field of a map: arithmetic, or an honest no.

A kernel of k pixels, spread by a dilation d, on a map whose cells lie s pixels apart adds
(k - 1) * d * s to what a cell sees; a stride multiplies s (Araujo et al., "Computing receptive
fields of convolutional neural networks", Distill 2019). Where branches meet, fields unite.

Many operations keep the shape of a map and still carry pixels far away: a flip, a sum along a row,
a softmax over the width, attention. So only what is known to keep rows and columns apart is
followed, and behind everything else the field is unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
POINTWISE = {  # besides all that torch marks so
    *(aten._prelu_kernel, aten._to_copy, aten.copy, aten.fill, aten.hardswish),
    aten.log_sigmoid_forward,
}
RESHAPING = {aten.view, aten._unsafe_view, aten.expand, aten.alias, aten.detach}
ALONG = {  # along the axes in their arguments, each line by itself
    *(aten._softmax, aten._log_softmax, aten.cumsum, aten.cumprod, aten.flip, aten.roll, aten.glu),
    *(aten.sum, aten.mean, aten.amax, aten.amin, aten.max, aten.min, aten.var, aten.std),
    *(aten.linalg_vector_norm, aten.logsumexp, aten.argmax, aten.sort, aten.topk),
    *(aten.cat, aten.stack, aten.split, aten.split_with_sizes, aten.unbind, aten.select),
    *(aten.slice, aten.slice_scatter, aten.select_scatter, aten.index_select),
    *(aten.squeeze, aten.unsqueeze, aten.transpose),
}
BLANK = {  # that take from a map its shape alone
    *(aten.zeros_like, aten.ones_like, aten.full_like, aten.empty_like),
    *(aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty),
}


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


Fields = tuple[ReceptiveField, ReceptiveField]  # down and across: of the last two axes
Window = tuple[int, int, int, int]  # kernel, stride, padding, dilation
PIXEL = ReceptiveField(1, 1, 0)
STILL = (1, 1, 0, 1)  # a window that changes nothing


class Follow(TorchDispatchMode):
    """Carries the field of every tensor along while a function runs on an image.

    ``fields`` maps the id of a tensor to its fields, or to the name of the operation behind which
    they are unknown. Tensors are kept, so that no id is used twice; they have shapes but no data.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.fields: dict[int, Fields | str] = {id(image): (PIXEL, PIXEL)}
        self.kept = [image]
        self.lost = ""  # an operation that wrote into a tensor: from then on nothing is known

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = _named(func, args, kwargs or {})
        maps = [x for x in tree_leaves(given) if id(x) in self.fields]
        if maps and func._schema.is_mutable:
            self.lost = self.lost or _name(func)
        if self.lost or (maps and func.overloadpacket not in BLANK):
            for tensor in tree_leaves(out):
                self.fields[id(tensor)] = self.lost or self._after(func, given, maps, tensor)
                self.kept.append(tensor)
        return out

    def _after(
        self, func: Any, given: dict[str, Any], maps: list[Tensor], out: Tensor
    ) -> Fields | str:
        """Return the fields of what ``func`` makes of these maps, or what hides them."""
        fields = [self.fields[id(x)] for x in maps]
        if unknown := [name for name in fields if isinstance(name, str)]:
            return unknown[0]
        known = [pair for pair in fields if not isinstance(pair, str)]
        windows = _windows(func.overloadpacket, given)
        if windows and func.overloadpacket is aten.slice_scatter:
            return _written(known, maps[-1] is given["src"], windows)
        if windows and len(maps) == 1 and maps[0] is _first(given):
            return _through(known[0], windows)
        in_place = all(x.shape[-2:] == out.shape[-2:] for x in maps)
        if not windows and in_place and _keeps_apart(func, given, max(maps[0].ndim, out.ndim)):
            return _united(known)
        return _name(func)


def _name(func: Any) -> str:
    return func.overloadpacket.__name__.strip("_")


def _named(func: Any, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operation by their names, with the defaults of those left out."""
    arguments = func._schema.arguments
    given = {a.name: value for a, value in zip(arguments, args, strict=False)}
    return {**{a.name: a.default_value for a in arguments}, **given, **kwargs}


def _first(given: Mapping[str, Any]) -> Any:
    return next(iter(given.values()), None)


def _through(fields: Fields, windows: list[Window]) -> Fields:
    y, x = (field.through(*window) for field, window in zip(fields, windows, strict=True))
    return y, x


def _united(known: list[Fields]) -> Fields:
    y, x = (functools.reduce(ReceptiveField.union, axis) for axis in zip(*known, strict=True))
    return y, x


def _written(known: list[Fields], source: bool, windows: list[Window]) -> Fields:
    """Return the fields of a map, part of which is overwritten by the last of ``known``.

    The cells of the part go back to where a slice with these windows would have cut them out.
    """
    if source:
        known[-1] = _through(known[-1], [(1, 1, -padding, 1) for _, _, padding, _ in windows])
    return _united(known)


def _keeps_apart(func: Any, given: Mapping[str, Any], ndim: int) -> bool:
    """Whether every row and column of the result comes from the same one of the maps alone."""
    operation = func.overloadpacket
    if operation is aten.native_batch_norm:
        return not given["training"]
    if operation is aten.permute:
        return [axis % ndim for axis in given["dims"]][-2:] == [ndim - 2, ndim - 1]
    if operation in ALONG:
        named = [given.get(name) for name in ("dim", "dims", "dim0", "dim1")]
        axes = [axis % ndim for axis in tree_leaves(named) if axis is not None]
        return bool(axes) and max(axes) < ndim - 2
    return operation in POINTWISE | RESHAPING or torch.Tag.pointwise in func.tags


def _windows(operation: Any, given: Mapping[str, Any]) -> list[Window]:
    """Return the windows in y and x, if the operation slides them over maps (N, C, h, w)."""
    maps = _first(given)
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        return []
    if operation is aten.convolution and not given["transposed"]:
        kernel = given["weight"].shape[2:]
        return _each(kernel, given["stride"], given["padding"], given["dilation"])
    if operation in (aten.max_pool2d_with_indices, aten.avg_pool2d):
        kernel = given["kernel_size"]
        stride, dilation = given["stride"] or kernel, given.get("dilation", 1)
        return _each(kernel, stride, given["padding"], dilation)
    whole = operation is aten.slice_scatter and given["step"] == 1
    if (operation is aten.slice or whole) and (dim := given["dim"] % 4) >= 2:
        first = range(maps.shape[dim])[given["start"] : given["end"]].start
        cut = (1, given["step"], -first, 1)
        return [cut, STILL] if dim == 2 else [STILL, cut]
    if operation in (aten.constant_pad_nd, aten.reflection_pad2d, aten.replication_pad2d):
        sides = given["pad" if operation is aten.constant_pad_nd else "padding"]  # left, right ...
        return [(1, 1, sides[2] if len(sides) > 2 else 0, 1), (1, 1, sides[0], 1)]
    return []


def _each(*options: Any) -> list[Window]:
    """Return the options in y and in x: each is a pair, or one number for both."""
    pairs = ((v, v) if isinstance(v, int) else v for v in options)
    return list(zip(*pairs, strict=True))
