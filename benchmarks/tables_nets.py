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
    return "\n\n".join([grid(mine, loops), *large_loops(record), grid(head, rows)])


def large_loops(record: Record) -> list[str]:
    """Return a table of loops around networks of full size, or none: they need a GPU."""
    rows = [
        (name, *(f"{three(r)} ({r / row['plain fp32']:.2f} x)" for r in row.values()))
        for name, row in record.get("full_size", {}).items()
    ]
    head = ["images/s, full size, 160 px", "plain loop, fp32", "plain loop, TF32"]
    return [grid([*head, "ours, bf16", "ours, bf16, compiled"], rows)] if rows else []


def imagenet(record: Record) -> str:
    """Return the hours that the steps of a training on ImageNet take at the measured rate."""
    rows = []
    for name, row in record["networks"].items():
        hours = IMAGES * EPOCHS / row["training"] / 3600
        rows.append((name, three(row["training"]), f"{hours:,.0f}", f"{hours / 24:,.0f}"))
    return grid(["", "images/s", "hours", "days"], rows)


def bounds(record: Record) -> str:
    """Return images per second and shares of the floor, channels last; memory.

    A program that was cut has left out some of them.
    """
    runs: dict[tuple[Any, ...], dict[str, str]] = {}
    for net in record["networks"]:
        for row in (row for row in net["rows"] if row["layout"] == "last"):
            name = f"{net['net']}, {row['precision']}{', compiled' * row['compiled']}"
            cell = f"{three(1 / row['seconds'])} ({share(row['share'], digits=0)})"
            cell += " !" * row.get("beyond", False)
            runs.setdefault((name, net["side"]), {})[row["way"]] = cell
    ways = ("forward", "folded", "training", "one stem")
    rows = [(*key, *(cells.get(way, "-") for way in ways)) for key, cells in runs.items()]
    threads = f"{record['threads']} thread{'s' * (record['threads'] > 1)}"
    tables = [grid([f"images/s (share of the floor), {threads}", "px", *ways], rows)]
    if any(" !" in cell for row in rows for cell in row[2:]):
        tables.append("!: more multiply-adds a second than any product did, so the share is void.")
    tables += best_rates([net["rates"] for net in record["networks"] if "rates" in net])
    for name, kept in record.get("memory", {}).items():
        memory = [
            (row["way"], f"{row['gib']:.1f}", f"{row['seconds'] / kept[0]['seconds']:.2f} x")
            for row in kept
        ]
        batch = f"time of a step, {record['batch']} images"
        tables.append(grid([f"{name}, training", "GiB kept, 64 images", batch], memory))
    return "\n\n".join(tables)


def upkeep(record: Record) -> str:
    """Return the time of the plain way and of ours, of what a training does beside the network."""
    rows = [
        (
            name,
            *(three(1e3 * row[way]) for way in ("plain", "ours")),
            f"{row['plain'] / row['ours']:.1f} x",
        )
        for name, row in record["lines"].items()
    ]
    return grid(["ms", "plain", "ours", "faster"], rows)


def best_rates(networks: list[Record]) -> list[str]:
    """Return a table of the best rates before or after a network: lowest to highest."""
    found: dict[str, list[float]] = {}
    for rates in networks:
        for kind in rates["before"]:
            found.setdefault(kind, []).append(max(each[kind] for each in rates.values()) / 1e9)
    rows = []
    for kind, seen in found.items():
        name = f"{kind}, GB/s" if kind in ("memory", "cache") else f"{KINDS[kind]} products, G/s"
        rows.append((name, *(three(each) for each in (min(seen), max(seen)))))
    return [grid(["best rates beside the networks", "lowest", "highest"], rows)] if rows else []


def precision(record: Record) -> str:
    """Return accuracy by precision, of networks, of their fragile twins, and of a sweep."""
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
    return "\n\n".join(tables)


def storage(record: Record) -> str:
    """Return the accuracy of models with kernels kept in fp32 and in fp16."""
    rows = [
        (name, *(accuracy(found[kind]) for kind in ("fp32", "fp16")), other(found["fp16"]))
        for name, found in record["models"].items()
    ]
    return grid(["kernels kept in", "fp32", "fp16", "photographs that get another answer"], rows)


def other(row: Record) -> str:
    """Return how many answers differ from those in fp32, of how many."""
    return f"{round(row['other_answers'] * row['n'])} of {row['n']:,}"


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
