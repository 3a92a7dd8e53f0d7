"""The wheel in a bare place: Python, what minibag requires, and no front end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.house.environment import ROOT
from tests.house.test_environment import EXTRAS, PROJECT, canonical

FRONT_END = ("IPython", "ipykernel", "ipywidgets", "jupyterlab", "jupyter_client", "traitlets")


def closure(wanted: list[str], found: dict[str, metadata.Distribution]) -> None:
    """Add the distributions that these requirements lead to, here, to those found."""
    for need in map(Requirement, wanted):
        for extra in ("", *need.extras):
            if need.marker and not need.marker.evaluate({"extra": extra}):
                continue
            try:
                here = metadata.distribution(need.name)
            except metadata.PackageNotFoundError:
                continue  # for another system, or a part that this one does without
            if canonical(need.name) not in found:
                found[canonical(need.name)] = here
                closure(here.requires or [], found)


def parts(distribution: metadata.Distribution) -> Iterator[Path]:
    """Yield the folders and files that a distribution has in site-packages."""
    names = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
    yield from (Path(str(distribution.locate_file(name))) for name in sorted(names))


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A folder with the wheel, installed, and links to what it requires without extras."""
    home = tmp_path_factory.mktemp("bare")
    build = "import sys; from flit_core import buildapi; print(buildapi.build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(home)]
    wheel = home / subprocess.check_output(command, cwd=ROOT, text=True).split()[-1]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", home / "site", wheel], check=True)
    found: dict[str, metadata.Distribution] = {}
    closure(PROJECT["dependencies"], found)
    for part in {part for distribution in found.values() for part in parts(distribution)}:
        (home / "site" / part.name).symlink_to(part)
    return home


def run(bare: Path, code: str, *arguments: str, succeeds: bool = True) -> str:
    """Run code where only the bare place and Python itself can be imported; return what it says."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MINIBAG"))}
    done = subprocess.run(
        [sys.executable, "-S", *(("-c", code) if code else ()), *arguments],
        cwd=bare,
        env={**environment, "PYTHONPATH": str(bare / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == succeeds, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_what_minibag_requires_brings_no_front_end():
    found: dict[str, metadata.Distribution] = {}
    closure(PROJECT["dependencies"], found)
    assert {"numpy", "torch", "matplotlib"} <= found.keys()
    assert not {canonical(name) for name in FRONT_END} & found.keys()


def test_what_students_of_vs_code_would_not_see_is_not_chosen():
    lab = {need.name: need.specifier for need in map(Requirement, EXTRAS["lab"])}
    assert "8.1.8" in lab["ipywidgets"]
    assert "8.1.9" not in lab["ipywidgets"]
    assert "4.0.16" not in lab["widgetsnbextension"]


def test_words_a_bagnet_and_its_map_work_without_a_front_end(bare):
    code = """
import sys
import minibag as mb
train, test = mb.critters("train", 80, 32), mb.critters("test", 16, 32)
words = mb.BagOfVisualWords(mb.DenseSIFT(step=8), n_words=10, random_state=0)
words.fit(train.images, train.labels)
assert words.evidence(test.images).shape[:2] == (16, 8)
net = mb.bagnet9(num_classes=8, width=4, layers=(1, 1, 1, 1))
mb.training.fit(net, train, test, mb.training.Recipe(epochs=1))
assert mb.heatmap(net, mb.nets.normalise(test.images)[0], target=0).shape == (32, 32)
assert mb.load("critters-bagnet9").evidence(mb.critters("test", 2).images).shape == (2, 8, 7, 7)
print({front for front in %r if front in sys.modules})
"""
    assert run(bare, code % (FRONT_END,)).split("\n")[-2] == "set()"


def test_every_room_but_the_widgets_can_be_entered(bare):
    code = """
import importlib, pkgutil, minibag
for module in pkgutil.walk_packages(minibag.__path__, "minibag.", onerror=lambda name: None):
    if not module.name.startswith(("minibag.widgets", "minibag.__main__")):
        importlib.import_module(module.name)
"""
    run(bare, code)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import minibag as mb; mb.widgets.peek", "minibag.widgets needs ipywidgets"),
        ("import minibag.widgets.base", "minibag.widgets needs ipywidgets"),
        (
            "import minibag as mb; from matplotlib.figure import Figure; mb.show(Figure(), 'x')",
            "mb.show needs IPython",
        ),
    ],
)
def test_what_needs_the_front_end_says_which_extra_brings_it(bare, code, said):
    complaint = run(bare, code, succeeds=False).splitlines()[-1]
    assert complaint == f"ImportError: {said}: pip install 'minibag[lab]'"


def test_the_command_line_works_and_the_doctor_finds_nothing_to_fix(bare):
    said = run(bare, "", "-m", "minibag", "doctor")
    assert "note lab" in said
    assert "pip install 'minibag[lab]'" in said
    assert said.strip().endswith("Ready for all but the lessons.")
    photo = "import minibag as mb; from PIL import Image; "
    photo += "Image.fromarray(mb.critters('test', 1).images[0]).save('photo.png')"
    run(bare, photo)
    heat = ("heatmap", "photo.png", "--model", "critters-bagnet9", "-o", "votes.png")
    run(bare, "", "-m", "minibag", *heat)
    assert (bare / "votes.png").stat().st_size > 1000
