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
    *("classes", "image_size", "recipe", "seed", "data", "accuracy", "parameters"),
    *("hardware", "seconds", "date", "versions", "sha256"),
}
WORDS = ["critters-words", "imagenette-words"]
every_model = pytest.mark.parametrize("name", mb.list_models())
every_net = pytest.mark.parametrize("name", [n for n in mb.list_models() if n not in WORDS])


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
    assert tuple(card["classes"]) == mb.load(name).classes


@every_net
def test_its_cost_is_that_on_its_card(name):
    card = json.loads((WEIGHTS / f"{name}.json").read_text())
    cost = count(build(card["architecture"]), card["image_size"])
    assert cost == (card["parameters"], card["multiply_adds"])


@every_net
def test_its_field_by_arithmetic_is_the_one_measured(name):
    net = mb.load(name).net
    assert mb.receptive_field(net) == mb.probe_receptive_field(net)


@every_model
def test_its_logits_are_the_mean_of_its_evidence_if_it_is_a_bag(name):
    model = mb.load(name)
    images = mb.critters("test", 4, 64).images
    logits = model.logits(images)
    assert logits.shape == (4, len(model.classes))
    if isinstance(model, mb.BagPredictor):
        scale = np.abs(logits).max()
        mean = model.evidence(images).mean((2, 3))
        np.testing.assert_allclose(mean, logits, rtol=0, atol=1e-5 * scale)
    else:
        assert model.architecture["name"] != "bagnet"


@pytest.mark.parametrize("name", WORDS)
def test_words_are_those_of_their_recipe_and_load_at_once(name):
    model, card = mb.load(name), json.loads((WEIGHTS / f"{name}.json").read_text())
    assert isinstance(model, mb.BagOfVisualWords)
    assert isinstance(model, mb.BagPredictor)
    recipe = mb.DenseSIFT(**card["recipe"]["features"])  # what is younger than a card: by default
    assert model.features.get_params() == recipe.get_params()
    assert model.vocabulary_.words_.shape[0] == card["recipe"]["n_words"] == 400
    arrays = (model.vocabulary_.words_, model.coef_, model.intercept_)
    assert card["parameters"] == sum(array.size for array in arrays)
    assert model.image_shape_ == (card["image_size"],) * 2
    assert (WEIGHTS / f"{name}.safetensors").stat().st_size < 1e6


def test_critters_words_are_as_good_as_their_card_says():
    images, card = mb.critters("test", 200), json.loads((WEIGHTS / f"{WORDS[0]}.json").read_text())
    assert mb.load(WORDS[0]).score(images.images, images.labels.astype(int)) > 0.97
    assert card["accuracy"]["low"] > 0.98


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Return a folder of models that holds one word model and its card."""
    for kind in ("safetensors", "json"):
        shutil.copy(WEIGHTS / f"{WORDS[0]}.{kind}", tmp_path / f"mine.{kind}")
    monkeypatch.setattr("minibag.nets.zoo.WEIGHTS", tmp_path)
    return tmp_path


def test_words_whose_file_is_damaged_foreign_or_gone_are_refused(shelf):
    assert mb.load("mine").classes[0] == "eye"
    file, card = shelf / "mine.safetensors", shelf / "mine.json"
    whole, text = file.read_bytes(), card.read_text()
    file.write_bytes(whole[:-8] + bytes(8))  # a readable file with other numbers
    with pytest.raises(ValueError, match=r"mine\.json does not describe .*sha256 differs"):
        mb.load("mine")
    file.write_bytes(whole[:1000])
    with pytest.raises(ValueError, match="damaged"):
        mb.load("mine")
    file.write_bytes(whole)
    for wrong in ("{", "[]", "{}", text.replace('"sha256": "', '"sha256": "0')):
        card.write_text(wrong)
        with pytest.raises(ValueError, match=r"mine\.json does not describe"):
            mb.load("mine")
    card.write_text(text)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="no model mine: give"):
        mb.load("mine")
    file.write_bytes(whole)
    card.unlink()
    with pytest.raises(FileNotFoundError, match=r"card .*mine\.json is missing"):
        mb.load(file)


def test_words_that_somebody_saved_need_no_card(tmp_path):
    model = mb.load(WORDS[0])
    model.save(tmp_path / "words.bag")
    (tmp_path / "words.json").write_text("something else")
    assert mb.load(tmp_path / "words.bag").classes == model.classes


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
