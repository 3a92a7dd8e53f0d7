"""Ways to run a network: the same function of the same weights, other work and other memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
from torchvision.models import resnet50

import minibag as mb
from benchmarks.ledger import Ledger
from minibag.nets import BagNet

Function = Callable[[Tensor], Tensor]
Wrap = Callable[[Any], Any]
Rates = dict[str, float]  # bytes/s of "memory", multiply-adds/s of precisions
KEPT = partial(create_selective_checkpoint_contexts, [torch.ops.aten.convolution.default])
DTYPES = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "tf32": torch.float32,  # these two on a GPU only
    "fp16": torch.float16,
}
NETS: dict[str, Callable[[], Any]] = {
    "BagNet-17": mb.bagnet17,
    "BagNet-33": mb.bagnet33,
    "ResNet-50": resnet50,
}


def lived_in(name: str, device: torch.device) -> nn.Module:
    """Return a network in evaluation mode whose norms are not the identity."""
    torch.manual_seed(0)
    net = NETS[name]().to(device).eval()
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        for statistic, low in ((norm.running_mean, -0.5), (norm.running_var, 0.5)):
            nn.init.uniform_(statistic, low, low + 1)
    return net


def pointwise(net: nn.Module, x: Tensor) -> list[tuple[int, int, int]]:
    """Return map side and channels in and out of all different 1x1 convolutions of a network."""
    found: dict[tuple[int, int, int], None] = {}
    shapes = copy.deepcopy(net).to("meta")
    for conv in (m for m in shapes.modules() if isinstance(m, nn.Conv2d)):
        if conv.kernel_size == (1, 1):
            sizes = conv.in_channels, conv.out_channels
            conv.register_forward_hook(
                lambda _, __, out, sizes=sizes: found.update({(out.shape[-1], *sizes): None})
            )
    with torch.no_grad():
        shapes(x.to("meta"))
    return list(found)


def products(
    sides: Iterable[int],
    maps: Iterable[tuple[int, int, int]],
    batch: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Iterator[tuple[int, Callable[[], Tensor]]]:
    """Yield multiply-adds and functions: square products, and 1x1 convolutions of `pointwise`.

    Each convolution is done as a product, and as such in both layouts. (Larger kernels are left
    out: there are ways to do them with fewer multiplications than are counted.)
    """
    for side in sides:
        a = torch.randn(side, side, device=device).to(dtype)
        yield side**3, partial(torch.mm, a, a)
    for side, c_in, c_out in maps:
        x = torch.randn(batch, c_in, side, side, device=device).to(dtype)
        kernel = torch.randn(c_out, c_in, 1, 1, device=device).to(dtype)
        last = x.contiguous(memory_format=torch.channels_last)
        pixels = last.permute(0, 2, 3, 1).flatten(0, 2)
        work = len(pixels) * c_in * c_out
        yield work, partial(torch.mm, pixels, kernel.flatten(1).T)
        yield work, partial(nn.functional.conv2d, x, kernel)
        yield work, partial(nn.functional.conv2d, last, kernel)


def chained(net: Any, parts: Sequence[Function]) -> Function:
    """Return the function of a BagNet whose parts, from image to last map, are these."""

    def forward(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return net.fc(net.pool(x).flatten(1))

    return forward


def one_stem(net: BagNet, x: Tensor) -> Tensor:
    """Return the first map of a BagNet, of one convolution instead of two."""
    kernel = torch.einsum("ocyx,ci->oiyx", net.conv2.weight, net.conv1.weight[:, :, 0, 0])
    return net.relu(net.bn1(nn.functional.conv2d(x, kernel)))


def training_ways(net: Any) -> dict[str, Function]:
    """Return the functions to train a network through, by name."""
    if not isinstance(net, BagNet):
        return {"training": net}
    return {"training": net, "one stem": chained(net, [partial(one_stem, net), *net.stages()[1:]])}


def memory_ways(net: Any) -> dict[str, Function]:
    """Return functions that store all maps of a BagNet, or recompute some, by name."""
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    stages: list[Any] = net.stages()
    blocks = [stages[0], *(block for stage in stages[1:] for block in stage)]
    few = [partial(again, part, context_fn=KEPT) for part in stages]
    return {
        "store all": net,
        "recompute blocks": chained(net, [partial(again, part) for part in blocks]),
        "recompute stages": chained(net, [partial(again, part) for part in stages]),
        "recompute all but convolutions": chained(net, few),
    }


def loss(forward: Function, x: Tensor) -> Tensor:
    """Return the cross-entropy with the first class."""
    return nn.functional.cross_entropy(forward(x), x.new_zeros(len(x), dtype=torch.int64))


def training(net: nn.Module, way: Function, x: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Return a function that takes one step of training; float16 without scaling of the loss."""
    optimizer = torch.optim.AdamW(net.train().parameters(), 1e-4)

    def step() -> None:
        with torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32):
            value = loss(way, x)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def steps(
    net: nn.Module, thin: nn.Module, x: Tensor, precision: str, wrap: Wrap
) -> dict[str, Callable[[], Any]]:
    """Return what is measured on images x, by name; ``wrap`` may compile it."""
    dtype = DTYPES[precision]
    plain, small = (wrap(copy.deepcopy(each).to(dtype).eval()) for each in (net, thin))
    found: dict[str, Callable[[], Any]] = {
        "forward": torch.no_grad()(lambda: plain(x.to(dtype))),
        "folded": torch.no_grad()(lambda: small(x.to(dtype))),
    }
    return found | {
        name: training(net, wrap(way), x, dtype) for name, way in training_ways(net).items()
    }


def counted(net: nn.Module, thin: nn.Module, dtype: torch.dtype, x: Tensor) -> dict[str, Ledger]:
    """Return what each way to run a network does with images like x, by name."""
    x, ledgers = x.to("meta", dtype), {}
    for name, module in (("forward", net), ("folded", thin)):
        shapes = copy.deepcopy(module).to("meta", dtype).eval()
        with torch.no_grad(), Ledger() as ledgers[name]:
            shapes(x)
    shapes = copy.deepcopy(net).to("meta", dtype).train()
    for name, way in training_ways(shapes).items():
        with Ledger() as ledgers[name]:
            loss(way, x).backward()
        shapes.zero_grad()
        weights = sum(p.numel() for p in shapes.parameters())
        ledgers[name].rows.append(("weights", 0, 28 * weights))
    return ledgers
