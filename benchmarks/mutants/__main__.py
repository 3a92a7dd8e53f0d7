"""Faults put back one at a time, to see whether a test notices: ``python -m benchmarks.mutants``.

    python -m benchmarks.mutants               all of them
    python -m benchmarks.mutants words nets    those of two tables

A table is a ``.toml`` file beside this one. Each entry names a file, a text that stands in it once
(``old``), what replaces it (``new``), and the tests that should fail then. An entry with ``why``
is known to survive, and says why that is no fault. Exit code 1 if another one survives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLES = Path(__file__).parent


def read(table: Path) -> list[dict[str, Any]]:
    """Return the mutants of a table; ValueError if a text does not stand in its file once."""
    mutants = tomllib.loads(table.read_text())["mutant"]
    for mutant in mutants:
        if (found := (ROOT / mutant["file"]).read_text().count(mutant["old"])) != 1:
            raise ValueError(f"{table.stem}: {mutant['name']!r}: its old text stands {found} times")
    return mutants


def ignored(folder: str, names: list[str]) -> set[str]:
    """Return what no test needs: caches, and the results of trainings, but not ``tests/runs``."""
    results = {"runs"} if Path(folder) == ROOT else set()
    patterns = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__")
    return patterns(folder, names) | results


def survives(mutant: dict[str, Any], tree: Path) -> bool:
    """Run the mutant's tests on a changed copy of the tree; whether all of them pass."""
    file = tree / mutant["file"]
    whole = file.read_text()
    file.write_text(whole.replace(mutant["old"], mutant["new"]))
    try:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", *mutant["tests"]]
        environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    finally:
        file.write_text(whole)
    if done.returncode not in (0, 1):  # 1: a test failed; the others: pytest could not even start
        raise RuntimeError(f"{mutant['name']}: pytest ended with {done.returncode}: {done.stdout}")
    return done.returncode == 0


def main(names: list[str]) -> int:
    """Try the mutants of the tables named, or of all; return 1 if one survives unexplained."""
    tables = [TABLES / f"{name}.toml" for name in names] or sorted(TABLES.glob("*.toml"))
    tried = caught = unexplained = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        shutil.copytree(ROOT, tree, ignore=ignored)
        for table in tables:
            for mutant in read(table):
                survived, why = survives(mutant, tree), mutant.get("why", "")
                word = "SURVIVES" if survived else "caught"
                print(f"{word:9} {table.stem}: {mutant['name']}  {why}".rstrip(), flush=True)
                tried, caught = tried + 1, caught + (not survived)
                unexplained += survived and not why
    print(f"{caught} of {tried} mutants caught, {unexplained} survive unexplained")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
