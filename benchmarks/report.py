"""Fill the page of all measurements, README.md, with tables of the stored results.

    python -m benchmarks.report

Nothing is measured here. The page is edited by hand, but between ``<!-- TABLE RESULT: COMMAND -->``
and ``<!-- end -->`` stands what this program makes of ``results/RESULT.json``: where it comes from,
and a table, by the function of that name. A result that is not there is named with the command
that makes it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks import tables, tables_nets
from benchmarks.record import RESULTS
from benchmarks.tables import Record

PAGE = Path(__file__).parent / "README.md"
BLOCK = re.compile(r"<!-- (\w+) (\w+): (.+) -->\n(?:.*\n)*?<!-- end -->")
CONTENTS = re.compile(r"(<!-- contents -->)\n(?:.*\n)*?(<!-- end -->)")
TABLES = {
    table.__name__: table
    for table in (
        tables.sift,
        tables.words_speed,
        tables.words_jobs,
        tables.rungs,
        tables.critters,
        tables.zoo,
        tables.heatmap,
        tables.pointing,
        tables.scramble,
        tables.scramble_speed,
        tables.widgets,
        tables_nets.throughput,
        tables_nets.imagenet,
        tables_nets.bounds,
        tables_nets.upkeep,
        tables_nets.precision,
        tables_nets.storage,
        tables_nets.full_size,
    )
}
SHOWN = ("python", "numpy", "scikit-learn", "opencv-python-headless", "kornia", "torch")


def read(folder: Path, name: str) -> Record | None:
    """Return a stored result, or None if there is none yet."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def origin(name: str, record: Record) -> str:
    """Return in a line where a result comes from."""
    machine, load, versions = record["machine"], record["load"], record["versions"]
    found = [record["date"][:10], *machine.get("gpu", "").splitlines(), machine["processor"]]
    found.append(f"{machine['cpus']} CPU{'s' * (machine['cpus'] > 1)}")
    found += [] if load is None else [f"load {load:.1f}"]
    found += [f"{package} {versions[package]}" for package in SHOWN if package in versions]
    return f"*[{name}.json](results/{name}.json): {', '.join(found)}*"


def filled(block: re.Match[str], folder: Path) -> str:
    """Return a block of the page with its table, or with the word that it is not measured yet."""
    table, name, command = block.groups()
    record = read(folder, name)
    if record is None:
        gpu = " (needs a GPU)" if name.endswith("_gpu") or name.startswith("full_size") else ""
        inside = f"Not measured yet{gpu}: `{command}`"
    else:
        inside = f"`{command}`  \n{origin(name, record)}\n\n{TABLES[table](record)}"
    return f"<!-- {table} {name}: {command} -->\n\n{inside}\n\n<!-- end -->"


def contents(page: str, folder: Path) -> str:
    """Return a list of the sections, with when their results were measured."""
    lines = []
    for section in page.split("\n## ")[1:]:
        title = section.splitlines()[0]
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        records = [read(folder, block[2]) for block in BLOCK.finditer(section)]
        dates = [record["date"][:10] if record else "not yet" for record in records]
        lines.append(f"- [{title}](#{anchor}): {', '.join(dates)}")
    return "\n".join(lines)


def renewed(page: str, folder: Path) -> str:
    """Return the page with what the results in a folder make of its blocks."""
    page = BLOCK.sub(lambda block: filled(block, folder), page)
    return CONTENTS.sub(rf"\1\n\n{contents(page, folder)}\n\n\2", page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(), RESULTS))
    print("written to", PAGE)
