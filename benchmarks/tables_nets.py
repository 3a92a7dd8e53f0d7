"""Tables of `benchmarks.report` on what networks cost and what precision does to them."""

from __future__ import annotations

from typing import Any

from benchmarks.tables import Record, accuracy, count, grid, share, three

IMAGES, EPOCHS = 1.28e6, 90  # a training on ImageNet
KINDS = {"fp32": "fp32", "tf32": "TF32", "bf16": "bf16", "fp16": "fp16"}


def throughput(record: Record) -> str:
    """Return images per second of loops, and of networks beside ResNet-50."""
    loops = [
        (name, *(f"{row[kind]:.0f}" for kind in row), f"{row['bf16'] / row['plain']:.1f} x")
        for name, row in record["loops"].items()
    ]
    nets, first = record["networks"], record["networks"]["ResNet-50"]
    rows = [
        (name, *(f"{three(row[k])} ({first[k] / row[k]:.1f})" for k in ("training", "forward")))
        for name, row in nets.items()
    ]
    head = ["images/s (times as slow as ResNet-50)", "training", "forward"]
    mine = ["images/s", "plain loop", "ours, fp32", "ours, bf16", "bf16 / plain"]
    return f"{grid(mine, loops)}\n\n{grid(head, rows)}"


def imagenet(record: Record) -> str:
    """Return the hours that the steps of a training on ImageNet take at the measured rate."""
    rows = []
    for name, row in record["networks"].items():
        hours = IMAGES * EPOCHS / row["training"] / 3600
        rows.append((name, three(row["training"]), f"{hours:,.0f}", f"{hours / 24:,.0f}"))
    return grid(["", "images/s", "hours", "days"], rows)


def bounds(record: Record) -> str:
    """Return images per second and shares of the floor, channels last; memory; the optimizer."""
    runs: dict[tuple[Any, ...], dict[str, str]] = {}
    for net in record["networks"]:
        for row in (row for row in net["rows"] if row["layout"] == "last"):
            name = f"{net['net']}, {row['precision']}{', compiled' * row['compiled']}"
            cell = f"{three(1 / row['seconds'])} ({share(row['share'], digits=0)})"
            runs.setdefault((name, net["side"]), {})[row["way"]] = cell
    ways = ("forward", "folded", "training", "one stem")
    rows = [(*key, *(cells.get(way, "-") for way in ways)) for key, cells in runs.items()]
    threads = f"{record['threads']} thread{'s' * (record['threads'] > 1)}"
    tables = [grid([f"images/s (share of the floor), {threads}", "px", *ways], rows)]
    for name, kept in record["memory"].items():
        memory = [
            (row["way"], f"{row['gib']:.1f}", f"{row['seconds'] / kept[0]['seconds']:.2f} x")
            for row in kept
        ]
        tables.append(grid([f"{name}, 64 images", "GiB kept", "time"], memory))
    plain, fused = (1e3 * record["adamw"][kind] for kind in ("default", "fused"))
    tables.append(f"A step of AdamW takes {plain:.1f} ms, fused {fused:.1f} ms.")
    return "\n\n".join(tables)


def precision(record: Record) -> str:
    """Return accuracy by precision, of networks and fragile twins, of a sweep and as stored."""
    device = {"cpu": "CPU", "cuda": "GPU"}[record["device"]]
    rows = []
    for name, ways in record["nets"].items():
        for way, found in (("rounded", ways["rounded"]), (device, ways["machine"])):
            cells = [accuracy(found[kind]) if kind in found else "-" for kind in KINDS]
            rows.append((f"{name} ({way})", *cells))
    tables = [grid(["accuracy (95 %)", *KINDS.values()], rows)]
    for name, sweep in record["sweep"].items():
        strengths = [
            (much, *(share(found[kind]["accuracy"]) for kind in KINDS))
            for much, found in sweep.items()
        ]
        if strengths:
            tables.append(grid([f"{name}, fragile by", *KINDS.values()], strengths))
    stored = [
        (name, *(accuracy(found[kind]) for kind in ("fp32", "fp16")))
        for name, found in record["storage"].items()
    ]
    if stored:
        tables.append(grid(["kernels kept in", "fp32", "fp16"], stored))
    return "\n\n".join(tables)


def full_size(record: Record) -> str:
    """Return what every run reached, as trained and with the kernels that ship."""
    rows = [
        (
            name,
            accuracy(run["accuracy"]),
            share(run["kept_in_16_bits"]["value"]),
            count(run["parameters"]),
            three(max(epoch["images_per_s"] for epoch in run["history"])),
            f"{run['seconds'] / 60:.0f}",
            run["hardware"],
        )
        for name, run in record["runs"].items()
    ]
    head = ["network-pixels", "accuracy (95 %)", "kernels in fp16", "parameters"]
    return grid([*head, "images/s", "minutes", "on"], rows)
