"""Execute notebooks from top to bottom and store them with outputs: ``make notebooks``.

    python -m tests.notebooks.store notebooks/01_counting_evidence.ipynb ...

Outputs of cells tagged ``no-store`` (pictures that show photographs we may not redistribute) are
removed, the kernel metadata is the plain ``python3``, and time and peak memory are printed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.notebooks.budget import PeakMemory

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook as it is stored: plain kernel, no private pictures, no run times."""
    notebook.metadata = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "no-store" in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.get("outputs", []):
            # A stored widget has no kernel: its picture stands in for it.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return notebook


def store(path: Path) -> None:
    """Execute one notebook in its own folder and replace the file with the result."""
    notebook = nbformat.read(path, as_version=4)
    watch, start = PeakMemory(), time.perf_counter()
    watch.start()
    NotebookClient(
        notebook, timeout=480, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    watch.done.set()
    seconds = time.perf_counter() - start
    _, notebook = nbformat.validator.normalize(clean(notebook))
    partial = path.with_suffix(".tmp")
    nbformat.write(notebook, partial)
    partial.replace(path)
    print(
        f"{path.name}: {seconds:.0f} s, peak {watch.peak / 2**20:.0f} MB, "
        f"{path.stat().st_size / 1024:.0f} KB stored"
    )


if __name__ == "__main__":
    for name in sys.argv[1:]:
        store(Path(name).resolve())
