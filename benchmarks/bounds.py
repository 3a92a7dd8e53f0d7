"""Where the time of a BagNet goes, and how far it is from what the machine allows.

    python -m benchmarks.bounds [--seconds 2] [--sides 160] [--batch 4] [--nets BagNet-33]

`benchmarks.ledger` counts multiply-adds and bytes of every operation of a step. The **floor** is
the sum over operations of the longer of bytes / copy bandwidth and multiply-adds / rate of a matrix
product, both the best seen in the same run; AdamW moves 28 bytes a weight. The **fused floor** lets
only convolutions and weights touch memory, as if all else were done on the way: no more than that
is left for `torch.compile` and for caches, which can beat the first.

Measured, fastest steps: forward of the network and of the folded one in the precision named,
training (AdamW) under autocast, "one stem": conv2 * conv1 multiplied to one kernel at every step,
the same function of the same weights. Then storing all maps against recomputing some of them in the
backward pass: norms see a batch twice there; with a momentum of 1 - sqrt(1 - m) their statistics
move as they do once with m. Without a GPU, two cores need about four minutes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmarks import record, ways
from benchmarks.heatmap import peak_memory, timed
from benchmarks.ledger import Floors, Ledger, print_floors
from minibag.nets import BagNet, folded

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
MEMORY_BATCH = 64


def set_tf32(precision: str) -> None:
    """Let NVIDIA's products round to TF32, or not."""
    allowed = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def machine(device: torch.device) -> dict[str, float]:
    """Return bytes/s of a large copy ("copy") and multiply-adds/s of matrix products."""
    gpu = device.type == "cuda"
    source = torch.ones(2**28 if gpu else 2**26, device=device)
    target = torch.ones_like(source)
    copying = min(timed(lambda: target.copy_(source), device)[0] for _ in range(10))
    rates, side = {"copy": 2 * source.nbytes / copying}, 8192 if gpu else 2048
    for precision in ways.DTYPES if gpu else ("fp32", "bf16"):
        set_tf32(precision)
        a = torch.randn(side, side, device=device).to(ways.DTYPES[precision])
        rates[precision] = side**3 / min(timed(lambda a=a: a @ a, device)[0] for _ in range(10))
    print(f"{device}: copies {rates['copy'] / 1e9:.0f} GB/s (read + written); products, ", end="")
    print(", ".join(f"{k} {v / 1e9:.0f}" for k, v in rates.items() if k != "copy"), "G mult-adds/s")
    return rates


def pace(function: Callable[[], Any], seconds: float, device: torch.device) -> float:
    """Return the seconds of the fastest of the calls that fit into so many seconds."""
    timed(function, device)  # the first call prepares the libraries
    spent: list[float] = []
    start = time.perf_counter()
    while not spent or time.perf_counter() - start < seconds:
        spent.append(timed(function, device)[0])
    return min(spent)


def measured(
    net: nn.Module, thin: nn.Module, x: Tensor, setting: dict[str, Any], floors: Floors, args: Any
) -> list[dict[str, Any]]:
    """Return seconds per image and share of the floor of every way to run the network.

    Compiled are two of them, for that takes longer than to measure.
    """
    form = LAYOUTS[setting["layout"]]
    net, thin, x = (each.to(memory_format=form) for each in (net, thin, x))
    set_tf32(setting["precision"])
    wrap: ways.Wrap = torch.compile if setting["compiled"] else lambda way: way
    rows = []
    todo = ways.steps(net, thin, x, setting["precision"], wrap)
    for way in [way for way in todo if way in ("folded", "training") or not setting["compiled"]]:
        spent, floor = pace(todo[way], args.seconds, x.device) / len(x), floors[way]["all"]
        row = {"way": way, **setting, "seconds": spent}
        row |= {"share": floor["floor"] / spent, "fused_share": floor["fused_floor"] / spent}
        rows.append(row)
    label = f"{setting['precision']} {setting['layout']} {'compiled' * setting['compiled']}"
    cells = [f"{r['way']} {1 / r['seconds']:.2f} ({r['share']:.0%})" for r in rows]
    print(f"{label:20} images/s (share of floor): {', '.join(cells)}", flush=True)
    return rows


def network(name: str, side: int, rates: dict[str, float], args: Any) -> dict[str, Any]:
    """Return floors and times of one network, in every precision and layout."""
    net, x = (
        ways.lived_in(name, args.device),
        torch.randn(args.batch, 3, side, side, device=args.device),
    )
    with torch.no_grad():
        set_tf32("fp32")
        thin = folded(net) if isinstance(net, BagNet) else fuse(net)
        expected = net(x)
        error = float((thin(x) - expected).abs().max() / expected.abs().max())
    print(f"\n{name}: the largest error of the folded logits is {error:.1e} of the largest logit")
    floors: dict[str, Floors] = {}
    rows: list[dict[str, Any]] = []
    for precision in [precision for precision in ways.DTYPES if precision in rates]:
        ledgers = ways.counted(net, thin, ways.DTYPES[precision], x)
        rate = rates["copy"], rates[precision]
        floors[precision] = {way: led.by_kind(len(x), *rate) for way, led in ledgers.items()}
        print(f"{precision} at {side} pixels, per image: G multiply-adds, MB, floor in ms (share)")
        print_floors(floors[precision])
        for layout in LAYOUTS:
            setting = {"precision": precision, "layout": layout, "compiled": False}
            rows += measured(net, thin, x, setting, floors[precision], args)
    if args.compile and side == args.sides[0]:
        torch.compiler.reset()  # else too many networks share a place in its cache
        setting = {"precision": "bf16", "layout": "last", "compiled": True}
        rows += measured(net, thin, x, setting, floors["bf16"], args)
    return {"net": name, "side": side, "folded_error": error, "floors": floors, "rows": rows}


def memory(name: str, side: int, args: Any) -> list[dict[str, Any]]:
    """Return peak memory and time of a step that stores or recomputes maps, and print both."""
    gpu = args.device.type == "cuda"
    precision = "bf16" if gpu else "fp32"
    dtype, rows = ways.DTYPES[precision], []
    net = ways.lived_in(name, args.device).to(memory_format=torch.channels_last)
    shapes = copy.deepcopy(net).to("meta", dtype).train()
    x = torch.randn(args.batch, 3, side, side, device=args.device)
    x = x.contiguous(memory_format=torch.channels_last)
    many = torch.empty(MEMORY_BATCH, 3, side, side, device="meta", dtype=dtype)
    print(f"\n{name} at {side} pixels, {precision}: a step of {MEMORY_BATCH} images keeps alive")
    on_shapes = ways.memory_ways(shapes)
    for way, function in ways.memory_ways(net).items():
        with Ledger() as ledger:
            ways.loss(on_shapes[way], many).backward()
        shapes.zero_grad()
        row = {"way": way, "gib": ledger.peak / 2**30}
        step = ways.training(net, function, x, dtype)
        row["seconds"] = pace(step, args.seconds, args.device) / len(x)
        if gpu:
            with peak_memory(args.device) as seen:
                step()
            row["measured_mib"] = seen[0]
        rows.append(row)
        slower = row["seconds"] / rows[0]["seconds"]
        print(f"{way:32} {row['gib']:5.2f} GiB, {1 / row['seconds']:.2f} images/s ({slower:.2f} x)")
    return rows


def updates(args: Any) -> dict[str, float]:
    """Return the seconds that AdamW takes for the weights of a BagNet-33, and print them."""
    net = ways.lived_in("BagNet-33", args.device)
    for weights in net.parameters():
        weights.grad = torch.ones_like(weights)
    kinds: dict[str, dict[str, bool]] = {"default": {}, "fused": {"fused": True}}
    found = {
        kind: pace(torch.optim.AdamW(net.parameters(), **options).step, args.seconds, args.device)
        for kind, options in kinds.items()
    }
    print("AdamW, ms a step:", {kind: round(spent * 1e3, 1) for kind, spent in found.items()})
    return found


def main() -> None:
    """Print all tables and write them."""
    parser = argparse.ArgumentParser(description="What bounds the speed of BagNets")
    gpu = torch.cuda.is_available()
    parser.add_argument("--seconds", type=float, default=2, help="that each figure is measured")
    parser.add_argument("--batch", type=int, default=64 if gpu else 4)
    parser.add_argument("--sides", type=int, nargs="*", default=[160, 224] if gpu else [160])
    parser.add_argument("--nets", nargs="*", choices=ways.NETS, default=list(ways.NETS))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=gpu)
    args = parser.parse_args()
    args.device = torch.device("cuda" if gpu else "cpu")
    if not gpu:
        print("no GPU: TF32, float16, 224 pixels and torch.compile are skipped")
    rates = machine(args.device)
    result: dict[str, Any] = {"device": str(args.device), "threads": torch.get_num_threads()}
    result |= {"batch": args.batch, "rates": rates, "networks": []}
    for side in args.sides:
        for name in args.nets:
            result["networks"].append(network(name, side, rates, args))
            record.write("bounds_gpu" if gpu else "bounds", result)
    bagnets = [name for name in args.nets if name != "ResNet-50"][-1:]
    result["adamw"] = updates(args)
    result["memory"] = {name: memory(name, args.sides[0], args) for name in bagnets}
    print("written to", record.write("bounds_gpu" if gpu else "bounds", result))


if __name__ == "__main__":
    main()
