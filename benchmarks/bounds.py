"""Where the time of a BagNet goes, and how far it is from what the machine allows.

    python -m benchmarks.bounds [--seconds 2] [--sides 160] [--batch 4] [--nets BagNet-33]

`benchmarks.ledger` counts multiply-adds and bytes of every operation of a step. The **floor** is
the sum over operations of the longer of bytes / bandwidth and multiply-adds / rate of a product;
AdamW moves 28 bytes a weight. The **fused floor** lets only convolutions and weights touch memory,
as if all else were done on the way: no more than that is left for `torch.compile`.

Both rates are the best seen just before and just after the network. Bandwidth: copying, adding or
summing vectors of 1 GiB, far more than a cache holds (on a CPU those of 16 MiB are recorded, too).
Products: square ones and the network's own 1x1 convolutions, in either layout. A network that does
more multiply-adds a second than that is flagged ("beyond"): then the rate is too low, or 3x3
convolutions multiply less often than is counted (Winograd), and its share of the floor is none. One
above its floor without that moved fewer bytes through memory than were counted.

Measured, fastest steps: forward of the network and of the folded one in the precision named,
training (AdamW) under autocast, "one stem": conv2 * conv1 multiplied to one kernel at every step,
the same function of the same weights. Then storing all maps against recomputing some of them in the
backward pass: norms see a batch twice there; with a momentum of 1 - sqrt(1 - m) their statistics
move as they do once with m. Needs 4 GiB; without a GPU, two cores need about six minutes. On a GPU
188 figures of about 0.6 s (`--seconds` and a first call), and compiling six of them, are meant to
end within 8 minutes; nothing new is begun after `--minutes`, and what is known by then is written.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmarks import record, ways
from benchmarks.heatmap import peak_memory, timed
from benchmarks.ledger import Floors, Ledger, print_floors
from minibag.exact import set_tf32
from minibag.nets import BagNet, folded

LAYOUTS = {"first": torch.contiguous_format, "last": torch.channels_last}
MEMORY_BATCH = 64
LARGE, SMALL = 2**28, 2**22  # float32 numbers: beyond every cache, and within that of a CPU
SQUARES = {"cuda": (4096, 8192), "cpu": (512, 1024, 2048)}


def pace(function: Callable[[], Any], seconds: float, device: torch.device) -> float:
    """Return the seconds of the fastest of the calls that fit into so many seconds."""
    timed(function, device)  # the first call prepares the libraries
    spent: list[float] = []
    start = time.perf_counter()
    while not spent or time.perf_counter() - start < seconds:
        spent.append(timed(function, device)[0])
    return min(spent)


def bandwidth(numbers: int, args: Any) -> float:
    """Return bytes/s of copying, adding or summing so many float32 numbers, the best."""
    a = torch.ones(numbers, device=args.device)
    b = torch.ones_like(a)
    todo = ((2, lambda: b.copy_(a)), (3, lambda: b.add_(a)), (1, lambda: a.sum()))
    each = args.seconds / 4
    return max(vectors * a.nbytes / pace(way, each, args.device) for vectors, way in todo)


def machine(maps: list[tuple[int, int, int]], precisions: Sequence[str], args: Any) -> ways.Rates:
    """Return the best rates seen: bytes/s ("memory", "cache") and multiply-adds/s by precision."""
    kind = args.device.type
    rates = {"memory": bandwidth(args.numbers, args)}
    if kind == "cpu":
        rates["cache"] = bandwidth(SMALL, args)
    for precision in precisions:
        set_tf32(precision == "tf32")
        todo = ways.products(SQUARES[kind], maps, args.batch, ways.DTYPES[precision], args.device)
        rates[precision] = max(work / pace(f, args.seconds / 100, args.device) for work, f in todo)
    return rates


def measured(
    net: nn.Module, thin: nn.Module, x: Tensor, setting: dict[str, Any], args: Any
) -> list[dict[str, Any]]:
    """Return the seconds per image of every way to run the network.

    Compiled are two of them, for that takes longer than to measure.
    """
    form = LAYOUTS[setting["layout"]]
    net, thin, x = (each.to(memory_format=form) for each in (net, thin, x))
    set_tf32(setting["precision"] == "tf32")
    if setting["compiled"]:
        torch.compiler.reset()  # else too many networks share a place in its cache
    wrap: ways.Wrap = torch.compile if setting["compiled"] else lambda way: way
    todo = ways.steps(net, thin, x, setting["precision"], wrap)
    return [
        {"way": way, **setting, "seconds": pace(step, args.seconds, x.device) / len(x)}
        for way, step in todo.items()
        if way in ("folded", "training") or not setting["compiled"]
    ]


def judge(rows: list[dict[str, Any]], floors: dict[str, Floors], rates: ways.Rates) -> None:
    """Add to every row its shares of the floors and of the product's rate, and print them."""
    print("images/s (share of floor, of the rate of products; ! is beyond it)")
    for row in rows:
        whole, spent = floors[row["precision"]][row["way"]]["all"], row["seconds"]
        row["share"], row["fused_share"] = whole["floor"] / spent, whole["fused_floor"] / spent
        row["work_share"] = whole["multiply_adds"] / spent / rates[row["precision"]]
        row["beyond"] = row["work_share"] > 1
        label = f"{row['way']:9} {row['precision']} {row['layout']} {'compiled' * row['compiled']}"
        shares = f"({row['share']:.0%}, {row['work_share']:.0%}{' !' * row['beyond']})"
        print(f"{label:30} {1 / spent:.2f} {shares}", flush=True)


def network(name: str, side: int, settings: Sequence[dict[str, Any]], args: Any) -> dict[str, Any]:
    """Return rates, floors and times of one network in these precisions and layouts."""
    net = ways.lived_in(name, args.device)
    x = torch.randn(args.batch, 3, side, side, device=args.device)
    with torch.no_grad():
        set_tf32(False)
        thin = folded(net) if isinstance(net, BagNet) else fuse(net)
        expected = net(x)
        error = float((thin(x) - expected).abs().max() / expected.abs().max())
    print(f"\n{name}: the largest error of the folded logits is {error:.1e} of the largest logit")
    precisions = list(dict.fromkeys(setting["precision"] for setting in settings))
    ledgers = {each: ways.counted(net, thin, ways.DTYPES[each], x) for each in precisions}
    maps = ways.pointwise(net, x)
    rates = {"before": machine(maps, precisions, args)}
    rows = [row for setting in settings for row in measured(net, thin, x, setting, args)]
    rates["after"] = machine(maps, precisions, args)
    best = {kind: max(each[kind] for each in rates.values()) for kind in rates["before"]}
    print("best rates, G/s:", {kind: round(each / 1e9, 1) for kind, each in best.items()})
    floors: dict[str, Floors] = {}
    for each, counted in ledgers.items():
        speed = best["memory"], best[each]
        floors[each] = {way: ledger.by_kind(len(x), *speed) for way, ledger in counted.items()}
        print(f"{each} at {side} pixels, per image: G multiply-adds, MB, floor in ms (share)")
        print_floors(floors[each])
    judge(rows, floors, best)
    found = {"net": name, "side": side, "folded_error": error, "rates": rates}
    return {**found, "floors": floors, "rows": rows}


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


def jobs(args: Any) -> list[tuple[str, int, list[dict[str, Any]]]]:
    """Return name, side and settings of what is measured; compiled only at the first side."""
    precisions = list(ways.DTYPES) if args.device.type == "cuda" else ["fp32", "bf16"]
    eager = [
        {"precision": precision, "layout": layout, "compiled": False}
        for precision in precisions
        for layout in LAYOUTS
    ]
    compiled = [{"precision": "bf16", "layout": "last", "compiled": True}]
    first, *others = ((side, eager) for side in args.sides)
    passes = [first, *([(args.sides[0], compiled)] if args.compile else []), *others]
    return [(name, side, settings) for side, settings in passes for name in args.nets]


def main() -> None:
    """Print all tables and write them."""
    start, gpu = time.monotonic(), torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="What bounds the speed of BagNets")
    seconds = 0.3 if gpu else 2
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="that each figure is measured"
    )
    parser.add_argument("--minutes", type=float, default=7 if gpu else 1e6, help="begin until then")
    parser.add_argument("--batch", type=int, default=64 if gpu else 4)
    parser.add_argument("--sides", type=int, nargs="+", default=[160, 224] if gpu else [160])
    parser.add_argument("--nets", nargs="+", choices=ways.NETS, default=list(ways.NETS))
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=gpu)
    args = parser.parse_args()
    args.device, args.numbers = torch.device("cuda" if gpu else "cpu"), LARGE
    if not gpu:
        print("no GPU: TF32, float16, 224 pixels and torch.compile are skipped")
    result: dict[str, Any] = {"device": str(args.device), "threads": torch.get_num_threads()}
    result |= {"batch": args.batch, "networks": []}
    bagnets = [name for name in args.nets if name != "ResNet-50"][-1:]
    result["memory"] = {name: memory(name, args.sides[0], args) for name in bagnets}
    for name, side, settings in jobs(args):
        if time.monotonic() - start > 60 * args.minutes:
            print(f"no time left for {name} at {side} pixels, {len(settings)} settings")
            continue
        result["networks"].append(network(name, side, settings, args))
        record.write("bounds_gpu" if gpu else "bounds", result)
    print("written to", record.write("bounds_gpu" if gpu else "bounds", result))


if __name__ == "__main__":
    main()
