"""Tables of the page `benchmarks.report`, in Markdown: one function for each kind of result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from minibag.nets.zoo import WEIGHTS

Record = dict[str, Any]
LOOPS = {1000: "speed_up", 64: "speed_up_64"}  # patches in a batch: how much faster the map is


def grid(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table whose numbers, all columns but the first, stand to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def share(value: float, ends: Sequence[float] = (), digits: int = 1) -> str:
    """Return a share in percent, and its interval if there is one."""
    interval = f" ({' to '.join(f'{100 * end:.{digits}f}' for end in ends)})" if ends else ""
    return f"{100 * value:.{digits}f} %{interval}"


def accuracy(row: Record) -> str:
    """Return an accuracy and its interval, from any result that has both."""
    value = row["value"] if "value" in row else row["accuracy"]
    return share(value, row["interval"] if "interval" in row else (row["low"], row["high"]))


def count(n: int) -> str:
    """Return a count in thousands or millions: 27 k, 1.2 M."""
    if n < 1000:
        return str(n)
    return f"{n / 1e6:.1f} M" if n >= 999_500 else f"{n / 1e3:.0f} k"


def three(x: float) -> str:
    """Return a number with three digits, or all of those before the point."""
    return f"{x:,.0f}" if x >= 99.95 else f"{x:#.3g}"


def pixels(sides: int | list[int] | None) -> str:
    """Return the side of patches: several, one, none at all (0), or the whole image (None)."""
    if sides is None:
        return "whole image"
    return ", ".join(map(str, sides)) if isinstance(sides, list) else str(sides or "-")


def sift(record: Record) -> str:
    """Return time of each library, and how much its descriptors agree with ours."""
    ms, names, sizes = record["ms"], ("minibag", "OpenCV", "kornia"), (20, 96)
    times = [[name, *(f"{ms[f'{name}, patch {size}']:.0f}" for size in sizes)] for name in names]
    cosines = [
        [name, f"{row['median']:.3f}", f"{row['5 %']:.3f}", row["n"]]
        for name, row in record["agreement"].items()
    ]
    head = ["ms for 5,776 descriptors", *(f"patch {size} px" for size in sizes)]
    agreement = ["cosine to ours", "median", "5 % are below", "patches"]
    return f"{grid(head, times)}\n\n{grid(agreement, cosines)}"


def words_speed(record: Record) -> str:
    """Return time, memory, accuracy and exactness of the word pipeline."""
    rows = [
        ("decode the photographs", f"{record['decode_seconds']:.0f} s"),
        ("describe, learn words, encode, fit", f"{record['fit_seconds']:.0f} s"),
        ("CPU time of both", f"{record['cpu_minutes']:.1f} min"),
        ("peak memory, all processes", f"{record['peak_gib']:.1f} GiB"),
        ("validation photographs named correctly", accuracy(record)),
        ("mean evidence differs from decision by up to", f"{record['evidence_error']:.0e}"),
    ]
    return grid([f"{record['train']:,} photographs", ""], rows)


def words_jobs(record: Record) -> str:
    """Return how long one worker, two threads and two processes take."""
    rows = [
        (name, *(f"{seconds:.1f}" for seconds in ways.values()))
        for name, ways in record["seconds"].items()
    ]
    ways = next(iter(record["seconds"].values()))
    return grid([f"seconds for {record['photographs']} photographs", *ways], rows)


def rungs(record: Record) -> str:
    """Return what was recorded of every rung of a ladder."""
    rows = [
        (name, accuracy(row), pixels(row["patch_size"]), count(row["parameters"]), fit(row))
        for name, row in record["rungs"].items()
    ]
    return grid(["rung", "accuracy (95 %)", "patch, px", "parameters", "fit, min"], rows)


def fit(row: Record) -> str:
    """Return the minutes that a fit took, if they are on record."""
    return f"{row['fit_minutes']:.1f}" if "fit_minutes" in row else "-"


def critters(record: Record) -> str:
    """Return what a word model reaches on critters, against chance."""
    rows = []
    for name in ("free layout", "arrangement only", "pointing"):
        value, ends, chance = record[name].values()
        rows.append((name, share(value, ends), share(chance)))
    drawn = f"Critters drawn on one core: {record['critters_per_second']:.0f} a second."
    return f"{grid(['', 'right (95 %)', 'chance'], rows)}\n\n{drawn}"


def zoo(record: Record) -> str:
    """Return what the cards of all models say."""
    rows = []
    for path in sorted(WEIGHTS.glob("*.json")):
        card = json.loads(path.read_text())
        right, size = accuracy(card["accuracy"]), count(card["parameters"])
        rows.append((path.stem, card["image_size"], right, size, f"{card['seconds'] / 60:.0f}"))
    return grid(["model", "images, px", "accuracy (95 %)", "parameters", "training, min"], rows)


def heatmap(record: Record) -> str:
    """Return time, memory and error of the map, against the loops over patches."""
    rows = [
        (
            f"BagNet-{row['q']}{', centred' * row['centred']}",
            three(row["seconds"]),
            f"{row['mib']:.0f}",
            *(f"{three(row[f'loop_{n}_seconds'])} ({row[k]:.1f} x)" for n, k in LOOPS.items()),
            f"{row['work_saved']:.1f} x",
            share(row["share_of_matmul_rate"], digits=0),
            f"{row['error']:.0e}",
        )
        for row in record["rows"]
    ]
    head = ["", "map, s", "MiB", "loop of 1,000, s", "loop of 64, s", "work saved"]
    return grid([*head, "rate of a product", "error"], rows)


def pointing(record: Record) -> str:
    """Return both scores of every map of every network."""
    maps, nets = record["maps"], list(record["accuracy"])
    methods = dict.fromkeys(
        name.removeprefix(f"{net} ") for net in nets for name in maps if name.startswith(f"{net} ")
    )
    tables = []
    for score in ("pointing", "energy"):
        rows = []
        for method in methods:
            row = [maps.get(f"{net} {method}") for net in nets]
            cells = [share(m[score], m[f"{score}_interval"], 0) if m else "-" for m in row]
            rows.append((method.replace("_", " "), *cells))
        tables.append(grid([f"{score} (95 %)", *nets], rows))
    return "\n\n".join([*tables, f"Chance is {share(record['chance'], digits=0)} in both."])


def scramble(record: Record) -> str:
    """Return accuracy on every grid; behind it, for bags, the share of patches that are whole."""
    rows, ends = [], [0.0]
    for data, models in record["accuracy"].items():
        for title, found in models.items():
            cells = [share(row["accuracy"], digits=0) for row in found["accuracy"]]
            ends += [(row["high"] - row["low"]) / 2 for row in found["accuracy"]]
            if "surviving" in found:
                whole = [share(value, digits=0) for value in found["surviving"]]
                cells = [f"{a} [{b}]" for a, b in zip(cells, whole, strict=True)]
            rows.append((f"{data}: {title}", *cells))
    cuts = [f"{row['grid']} x {row['grid']}" for row in found["accuracy"]]
    reach = f"95 % intervals reach at most {100 * max(ends):.0f} points up or down."
    return f"{grid(['accuracy [patches that touch no seam]', *cuts], rows)}\n\n{reach}"


def scramble_speed(record: Record) -> str:
    """Return the time of both ways for each model and grid."""
    rows = [
        (name, *(f"{row['slow_ms']:.1f} / {row['fast_ms']:.1f}" for row in found))
        for name, found in record["models"].items()
    ]
    cuts = [f"{row['grid']} x {row['grid']}" for row in next(iter(record["models"].values()))]
    return grid(["ms anew / with evidence at hand", *cuts], rows)


def widgets(record: Record) -> str:
    """Return how fast the widgets answer, and what memory a kernel gains."""
    rows = [
        (name, f"{row['p50_ms']:.0f}", f"{row['p95_ms']:.0f}", row["n"])
        for name, row in record["answers"].items()
    ]
    soak = (
        "With all models loaded, the kernel holds {warm_mib} MiB after 50 random moves, and "
        "{end_mib} after {moves} more; {in_use_mib} of them are in use, the C library keeps the "
        "rest in reserve. {errors} moves failed."
    )
    head = ["", "median, ms", "95th percentile, ms", "moves"]
    return f"{grid(head, rows)}\n\n{soak.format(**record['soak'])}"
