"""Importing minibag is cheap, and the word lessons never load torch."""

import subprocess
import sys

import pytest

import minibag as mb
from tests.house.environment import ROOT


def test_import_loads_nothing_but_the_standard_library():
    code = "import sys; old = {*sys.modules}; import minibag; print(*sys.modules.keys() - old)"
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    loaded = {name.split(".")[0] for name in names}
    # threadpoolctl: where fewer CPUs are granted than are shown.
    assert loaded <= {*sys.stdlib_module_names, "minibag", "threadpoolctl"}


@pytest.mark.parametrize(
    "statement",
    [
        "import minibag",
        "import minibag.words",
        "import minibag.data, minibag.stats",
        "import minibag as mb; mb.top_patches, mb.evidence.pointing_score",
    ],
)
def test_torch_is_not_imported(statement):
    code = f"{statement}; import sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_machine_that_only_trains_needs_no_downloader_and_no_widgets():
    """As on GPU machines that have PyTorch and little else."""
    missing = (
        "import sys; sys.modules |= dict.fromkeys(['pooch', 'ipywidgets', 'IPython', 'captum'])"
    )
    programs = "full_size, bounds, precision, throughput, heatmap"
    code = f"{missing}; from benchmarks import {programs}; import minibag; minibag.bagnet9(width=4)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", mb.__all__)
def test_every_public_name_is_reached_flat_and_documented(name):
    assert getattr(mb, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'bagnet8'"):
        _ = mb.bagnet8
