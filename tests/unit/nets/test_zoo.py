"""Every model that comes with minibag is what its card says, and comes along when installed."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
from flit_core import buildapi

import minibag as mb
from minibag.nets import build, count
from minibag.nets.zoo import WEIGHTS
from minibag.stats import wilson_interval
from tests.house.environment import ROOT

CARD = {
    *("architecture", "classes", "image_size", "recipe", "seed", "data", "accuracy", "parameters"),
    *("multiply_adds", "hardware", "seconds", "date", "versions", "sha256"),
}
every_model = pytest.mark.parametrize("name", mb.list_models())


@every_model
def test_its_card_is_complete_and_true(name):
    card = json.loads((WEIGHTS / f"{name}.json").read_text())
    assert card.keys() >= CARD
    assert card["data"].keys() >= {"name", "n_train", "sha256"}
    rate = card["accuracy"]
    right = round(rate["value"] * rate["n"])
    assert rate["value"] == pytest.approx(right / rate["n"])
    assert (rate["low"], rate["high"]) == pytest.approx(wilson_interval(right, rate["n"]))
    assert rate["n"] >= 100
    assert rate["split"] in ("val", "test")
    weights = (WEIGHTS / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == card["sha256"]
    cost = count(build(card["architecture"]), card["image_size"])
    assert cost == (card["parameters"], card["multiply_adds"])


@every_model
def test_its_field_by_arithmetic_is_the_one_measured(name):
    net = mb.load(name).net
    assert mb.receptive_field(net) == mb.probe_receptive_field(net)


@every_model
def test_its_logits_are_the_mean_of_its_evidence_if_it_is_a_bag(name):
    model = mb.load(name)
    images = mb.critters("test", 4, model.image_size).images
    logits = model.logits(images)
    assert logits.shape == (4, len(model.classes))
    if isinstance(model, mb.BagPredictor):
        scale = np.abs(logits).max()
        mean = model.evidence(images).mean((2, 3))
        np.testing.assert_allclose(mean, logits, rtol=0, atol=1e-5 * scale)
    else:
        assert model.architecture["name"] != "bagnet"


def test_weights_and_cards_come_in_pairs_and_stay_small():
    files = list(WEIGHTS.glob("*"))
    assert sum(file.stat().st_size for file in files) <= 40e6
    assert {file.stem for file in files} == set(mb.list_models())
    assert len(files) == 2 * len(mb.list_models())
    assert mb.list_models() == sorted(mb.list_models())


def test_the_installed_package_brings_the_weights(tmp_path, monkeypatch):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "minibag", tmp_path / "minibag", ignore=skip)
    home = tmp_path / "minibag/nets/weights"
    home.mkdir(exist_ok=True)
    for kind in ("safetensors", "json"):
        (home / f"new.{kind}").write_text("new")
    monkeypatch.chdir(tmp_path)
    wheel = zipfile.ZipFile(buildapi.build_wheel(tmp_path))
    shipped = {name for name in wheel.namelist() if name.startswith("minibag/nets/weights/")}
    assert shipped == {str(path.relative_to(tmp_path)) for path in home.iterdir()}
