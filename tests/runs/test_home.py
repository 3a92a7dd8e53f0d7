"""``~`` is a home folder wherever a path enters, also where no shell replaces it."""

import pytest
from PIL import Image

import minibag as mb
from minibag.data.imagenette import find_imagenette
from minibag.training import fit
from tests.unit.training.small import quick, small_net, small_set


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "home" / "set" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "home" / "set" / name / "1.png")
    yield tmp_path / "home"
    assert [path.name for path in tmp_path.iterdir()] == ["home"]  # none is called ~


def test_training_keeps_its_checkpoints_there(home):
    fit(small_net(), small_set(), recipe=quick(epochs=1), folder="~/runs")
    assert (home / "runs" / "checkpoint.pt").exists()
    fit(small_net(classes=2), "~/set", recipe=quick(epochs=1, image_size=16))


def test_models_are_saved_and_loaded_there(home):
    net = mb.bagnet9(num_classes=2, width=4, layers=(1, 1, 1, 1))
    described = {"name": "bagnet", "patch_size": 9, "num_classes": 2, "width": 4}
    described |= {"layers": (1, 1, 1, 1)}
    mb.nets.as_predictor(net, ("a", "b"), described, {"image_size": 32}).save("~/n.safetensors")
    assert mb.load("~/n.safetensors").classes == ("a", "b")
    words = mb.BagOfVisualWords(mb.DenseSIFT(8, 16), 4).fit(mb.critters("train", 32, 32))
    words.save("~/w.model")
    assert mb.load("~/w.model").classes == mb.BagOfVisualWords.load("~/w.model").classes
    assert {path.name for path in home.iterdir()} >= {"n.safetensors", "n.json", "w.model"}


def test_imagenette_is_found_there(home, monkeypatch):
    (home / "data" / "imagenette2-160").mkdir(parents=True)
    assert find_imagenette("~/data") == home / "data" / "imagenette2-160"
    monkeypatch.setenv("MINIBAG_DATA", "~/data")
    assert find_imagenette() == home / "data" / "imagenette2-160"


def test_the_command_line_reads_and_writes_there(home, here):
    code, said, _ = here("data", "~/set", "--sheet=~/sheet.png", cwd=home.parent)
    assert code == 0
    assert "2 images" in said
    assert (home / "sheet.png").exists()
