"""Run all cells of a lesson on the accelerator: ``python -m tests.accelerator.lesson LESSON``."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HAS_IT = 'import torch\nassert torch.accelerator.current_accelerator().type == "pretend"'


def main(lesson: Path) -> None:
    """Run the lesson in its own folder, in a kernel that this process's variables reach."""
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(HAS_IT))
    home = {"metadata": {"path": lesson.parent}}
    NotebookClient(notebook, timeout=550, startup_timeout=300, resources=home).execute()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
