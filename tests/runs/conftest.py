"""The command line without the cost of a new process, and a folder of images for it."""

import os
from pathlib import Path

import pytest
from PIL import Image

import minibag as mb
from minibag import __main__ as cli


@pytest.fixture
def here(monkeypatch, capsys):
    """Return `run` without the cost of a new process: (exit code, stdout, stderr) of ``main``."""
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    monkeypatch.setenv("MPLBACKEND", "agg")

    def run_here(*arguments, cwd: Path) -> tuple[int, str, str]:
        monkeypatch.chdir(cwd)
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:  # how argparse ends
            code = stop.code
        return code, *capsys.readouterr()

    return run_here


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Return critters as class folders in train/ and val/."""
    root = tmp_path_factory.mktemp("folder")
    for split, n in (("train", 48), ("val", 16)):
        images = mb.critters(split, n, 64)
        for i, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
            home = root / split / images.classes[label]
            home.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(home / f"{i}.png")
    return root
