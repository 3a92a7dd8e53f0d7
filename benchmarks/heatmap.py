"""Time, memory and exactness of the heat map, against the published way to compute it.

    python -m benchmarks.heatmap [--side 224] [--width 64] [--patches 2048]

The published way pads the image with zeros, cuts out every patch and runs the network on batches
of 1,000 of them. It is timed on some patches and extrapolated to all; batches of 64, which stay
closer to a CPU's cache, are timed too. Every map is compared with the network on 512 patches, cut
out one by one. The floor is the time that its multiply-adds take at the rate of a large matrix
product in the same run. Without a GPU, two cores need about three minutes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import minibag as mb
from benchmarks import record
from benchmarks.watch import watched
from minibag.exact import set_tf32
from minibag.nets import BagNet, count

TARGET = 3
BATCHES = (1000, 64)  # the published code's, and a friendlier one
CHECKED = 512


def timed(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the seconds that a call took, and what it returned."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    out = function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, out


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """Yield a list that holds, at the end, the MiB needed above those needed at the start."""
    found: list[float] = []
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.append((torch.cuda.max_memory_allocated() - before) / 2**20)
        return
    with watched(0.05) as seen:
        yield found
    memory = [gib for gib, _ in seen]
    found.append((max(memory) - memory[0]) * 2**10)


def matmul_rate(device: torch.device, side: int = 4096) -> float:
    """Return the float32 multiply-adds per second of a matrix product, the best of five."""
    a = torch.randn(side, side, device=device)
    return side**3 / min(timed(lambda: a @ a, device)[0] for _ in range(5))


@torch.no_grad()
def patch_logits(net: BagNet, padded: Tensor, places: Tensor, batch: int) -> Tensor:
    """Return the target logit of the patches at these rows and columns (n, 2), cut out singly."""
    q = net.patch_size
    logits = []
    for rows in places.split(batch):
        patches = torch.stack([padded[:, i : i + q, j : j + q] for i, j in rows.tolist()])
        logits.append(net(patches)[:, TARGET])
    return torch.cat(logits)


def measure(
    q: int, centred: bool, args: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """Return one row of the table."""
    torch.manual_seed(q)
    net = BagNet(q, width=args.width, centred=centred).to(device).eval()
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)  # as after training: neither ones nor zeros
    x = torch.randn(3, args.side, args.side, device=device)
    padded = nn.functional.pad(x, ((q - 1) // 2,) * 4)
    mb.heatmap(net, x[:, :q, :q], TARGET)  # the first call prepares the libraries
    with peak_memory(device) as memory:
        ours, dense = timed(lambda: mb.heatmap(net, x, TARGET), device)
    places = torch.randint(0, args.side, (max(args.patches, CHECKED), 2))
    row: dict[str, Any] = {"q": q, "centred": centred, "seconds": ours, "mib": memory[0]}
    for batch in BATCHES:
        spent, logits = timed(lambda b=batch: patch_logits(net, padded, places, b), device)
        row[f"loop_{batch}_seconds"] = spent / len(places) * args.side**2
    there = dense[places[:CHECKED, 0], places[:CHECKED, 1]]
    row["error"] = float((there - logits[:CHECKED]).abs().max() / logits[:CHECKED].abs().max())
    spread = net.with_stride(1)
    row["multiply_adds"] = count(spread, args.side + q - 1)[1]
    row["loop_multiply_adds"] = count(net, q)[1] * args.side**2
    return row


def main() -> None:
    """Measure q = 9, 17, 33, official and centred; print the table and write it."""
    parser = argparse.ArgumentParser(description="The heat map against the published patch loop")
    parser.add_argument("--side", type=int, default=224, help="of the image, in pixels")
    parser.add_argument("--width", type=int, default=64, help="of the network; 64 as published")
    parser.add_argument("--patches", type=int, default=2048, help="that the loop is timed on")
    parser.add_argument("--q", type=int, nargs="*", default=[9, 17, 33])
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    set_tf32(False)
    rate = matmul_rate(device)
    print(f"{device}: matrix product {rate / 1e9:.0f} G multiply-adds/s in float32")
    rows = [measure(q, centred, args, device) for q in args.q for centred in (False, True)]
    print("q        ours  MiB  loop of 1000 (x)  loop of 64 (x)  work  rate  error")
    for row in rows:
        row["speed_up"], row["speed_up_64"] = (
            row[f"loop_{batch}_seconds"] / row["seconds"] for batch in BATCHES
        )
        row["work_saved"] = row["loop_multiply_adds"] / row["multiply_adds"]
        row["share_of_matmul_rate"] = row["multiply_adds"] / row["seconds"] / rate
        print(
            f"{row['q']:2} {'centred' if row['centred'] else '       '} {row['seconds']:5.1f} s "
            f"{row['mib']:4.0f}  {row['loop_1000_seconds']:5.0f} s ({row['speed_up']:4.1f})  "
            f"{row['loop_64_seconds']:5.0f} s ({row['speed_up_64']:4.1f})  "
            f"{row['work_saved']:4.1f} x  {row['share_of_matmul_rate']:.2f}  {row['error']:.1e}"
        )
    result = {
        "device": str(device),
        "side": args.side,
        "width": args.width,
        "rate": rate,
        "rows": rows,
    }
    print("written to", record.write("heatmap_gpu" if device.type == "cuda" else "heatmap", result))


if __name__ == "__main__":
    main()
