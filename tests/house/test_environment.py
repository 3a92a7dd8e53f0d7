"""pyproject.toml (ranges), requirements.lock (exact) and environment.yml (conda) agree."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from tests.house.environment import ROOT, environment, pins

LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = [Requirement(pin) for pin in pins(LOCK)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKED_EXTRAS = ("lab", "dev", "teach", "cluster", "attribution")
WANTED = PROJECT["dependencies"] + [need for extra in LOCKED_EXTRAS for need in EXTRAS[extra]]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("wanted", list(map(Requirement, WANTED)), ids=str)
def test_lock_pins_every_dependency_inside_its_range(wanted):
    exact = [pin for pin in LOCKED if canonical(pin.name) == canonical(wanted.name)]
    assert exact, f"{wanted.name} is not in requirements.lock: run `make lock`"
    for pin in exact:
        (version,) = (spec.version for spec in pin.specifier)
        assert wanted.specifier.contains(version)


def test_lock_has_a_hash_for_every_pin_and_names_no_index():
    blocks = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert len(blocks) == len(LOCKED)
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", LOCK)


def test_environment_yml_is_the_lock():
    assert (ROOT / "environment.yml").read_text() == environment(LOCK)
    pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    assert pip[:-1] == pins(LOCK)
    assert pip[-1] == "-e ."


def test_conda_python_is_one_the_project_supports():
    env = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(d for d in env if isinstance(d, str) and d.startswith("python="))
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(
        python.removeprefix("python=")
    )
