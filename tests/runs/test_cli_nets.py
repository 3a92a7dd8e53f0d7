"""Networks on the command line: trained, resumed, evaluated, mapped.

Processes that share the work are tested in ``training/test_imagenet.py``.
"""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minibag as mb
from minibag import __main__ as cli
from minibag import commands
from minibag.nets import normalise, zoo
from tests.runs.cli import accuracy, is_refusal, weights

TINY = ["--width", 4, "--layers", 1, 1, 1, 1, "--epochs", 2, "--size", 32]


@pytest.fixture
def train(here, folder, tmp_path):
    """Train in the test's own folder: train("bagnet9", "net", *more) writes net.safetensors."""

    def train_here(model, name, *options):
        out = ["--model", model, "--data", folder, "--out", f"{name}.safetensors"]
        return here("train", *out, *TINY, *options, cwd=tmp_path)

    return train_here


@pytest.fixture(scope="module")
def home(folder, tmp_path_factory):
    """Return a folder with a BagNet, a ResNet, what training said of them, and an image."""
    home = tmp_path_factory.mktemp("nets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("MPLBACKEND", "agg")
        patch.chdir(home)
        for model, name in (("bagnet9", "bag"), ("resnet", "res")):
            options = ["--model", model, "--data", folder, "--out", f"{name}.safetensors", *TINY]
            with Path(f"{name}.txt").open("w") as said, contextlib.redirect_stdout(said):
                assert cli.main(["train", *map(str, options)]) == 0
    Image.fromarray(mb.critters("val", 1, 48).images[0]).save(home / "critter.png")
    return home


@pytest.mark.parametrize("name", ["bag", "res"])
def test_training_says_how_good_the_model_is_and_evaluate_says_it_again(here, home, folder, name):
    said = (home / f"{name}.txt").read_text()
    first, second = said.splitlines()
    assert first == f"trained on 48 images of 32 x 32 pixels, saved {name}.safetensors"
    value, low, high = accuracy(second)
    card = mb.load(home / f"{name}.safetensors").card
    assert card["image_size"] == 32
    assert card["data"] == {"name": str(folder), "n_train": 48}
    assert card["recipe"]["epochs"] == 2
    measured = [100 * card["accuracy"][key] for key in ("value", "low", "high")]
    assert measured == pytest.approx([value, low, high], abs=0.06)
    model = ["evaluate", "--model", f"{name}.safetensors", "--data", folder]
    code, again, complaint = here(*model, "--confusion", "c.png", cwd=home)
    assert (code, again.strip(), complaint) == (0, second, "")
    assert Image.open(home / "c.png").format == "PNG"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        *((f"bagnet{q}", {"name": "bagnet", "patch_size": q}) for q in (5, 17)),
        *((name, {"name": name}) for name in ("vgg", "densenet")),
    ],
)
def test_every_network_can_be_trained(train, tmp_path, model, kind):
    code, said, complaint = train(model, "net", "--epochs", 1)
    assert (code, complaint) == (0, "")
    assert "val accuracy" in said
    options = {"num_classes": 8, "width": 4, "layers": [1, 1, 1, 1]}
    assert mb.load(tmp_path / "net.safetensors").architecture == {**kind, **options}


def test_options_reach_the_network_and_the_recipe(train, tmp_path):
    options = ["--centred", "--lr", 0.01, "--batch-size", 16, "--precision", "bf16", "--seed", 5]
    assert train("bagnet9", "net", *options)[0] == 0
    model = mb.load(tmp_path / "net.safetensors")
    assert model.net.layer1[0].centred
    recipe = model.card["recipe"]
    chosen = [recipe[name] for name in ("lr", "batch_size", "precision", "seed", "optimizer")]
    assert chosen == [0.01, 16, "bf16", 5, "adamw"]
    assert model.card["seed"] == 5


def test_the_same_call_gives_the_same_weights_and_goes_on_from_checkpoints(train, tmp_path):
    kept = ["--checkpoints", "run"]
    for name, more in (("one", []), ("two", kept), ("three", kept)):
        assert train("bagnet9", name, *more)[0] == 0
    one, two, three = (tmp_path / f"{n}.safetensors" for n in ("one", "two", "three"))
    assert weights(one) == weights(two) == weights(three)
    log = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in log if "epoch" in row] == [1, 2]
    assert train("bagnet9", "four", "--seed", 1)[0] == 0
    assert weights(one) != weights(tmp_path / "four.safetensors")
    result = train("bagnet9", "five", "--lr", 0.5, *kept)
    assert is_refusal(*result)
    assert "lr was 0.002, is 0.5" in result[2]


def test_torchvisions_resnet50_is_trained_and_saved(here, folder, tmp_path):
    options = ["--data", folder, "--n-train", 8, "--size", 32, "--epochs", 1]
    net = ["--model", "resnet50", "--out", "net.safetensors"]
    code, said, complaint = here("train", *net, *options, cwd=tmp_path)
    assert (code, complaint) == (0, "")
    assert "trained on 8 images of 32 x 32 pixels" in said
    model = mb.load(tmp_path / "net.safetensors")
    assert model.architecture == {"name": "resnet50", "num_classes": 8}
    assert model.card["parameters"] == 25_557_032 - 992 * 2049


def test_a_run_that_its_minutes_have_stopped_goes_on_and_ends_the_same(train, tmp_path):
    kept = ["--checkpoints", "run", "--save-every", 2, "--batch-size", 8]
    code, said, complaint = train("bagnet9", "net", *kept, "--minutes", 1e-6)
    assert (code, complaint) == (0, "")
    assert said == "not finished: 0 of 2 epochs are done; the same call goes on\n"
    assert not (tmp_path / "net.safetensors").exists()
    code, said, _ = train("bagnet9", "net", *kept, "--minutes", 60)
    assert code == 0
    assert said.startswith("trained on 48 images")
    assert train("bagnet9", "plain", "--batch-size", 8)[0] == 0
    plain, net = (tmp_path / f"{name}.safetensors" for name in ("plain", "net"))
    assert weights(plain) == weights(net)
    log = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["started_at_step"] for row in log if "started_at_step" in row] == [0, 1]
    assert [row["step"] for row in log if "step" in row] == [1, 2, 4, 6, 8, 10, 12]


def test_the_recipe_of_imagenet_streams_a_folder(train, tmp_path):
    code, said, complaint = train("bagnet9", "net", "--recipe", "imagenet", "--batch-size", 16)
    assert (code, complaint) == (0, "")
    assert "trained on 48 images of 32 x 32 pixels" in said
    assert "16 images)" in said
    model = mb.load(tmp_path / "net.safetensors")
    recipe = model.card["recipe"]
    chosen = [recipe[name] for name in ("optimizer", "momentum", "lr", "epochs", "batch_size")]
    assert chosen == ["sgd", 0.9, 0.01, 2, 16]
    assert model.classes == mb.image_folder(model.card["data"]["name"] + "/train", 32).classes


def test_a_folder_without_splits_has_no_accuracy_to_report(train, folder, tmp_path):
    code, said, _ = train("resnet", "net", "--data", folder / "train", "--n-train", 16)
    assert code == 0
    assert "trained on 16 images" in said
    assert "accuracy not measured" in said
    assert mb.load(tmp_path / "net.safetensors").card["accuracy"] is None


def test_a_pixel_of_a_bagnets_map_is_the_logit_of_the_patch_around_it(home):
    model = mb.load(home / "bag.safetensors")
    image = mb.critters("val", 1, 32).images[0]
    painted = commands._map(model, image, "fur")
    assert painted.shape == (32, 32)
    black = np.pad(normalise(image[None])[0].numpy(), ((0, 0), (4, 4), (4, 4)))
    for y, x in ((0, 0), (13, 30), (31, 7)):
        patch = normalise(image[None]).new_tensor(black[None, :, y : y + 9, x : x + 9])
        expected = model.net(patch)[0, model.classes.index("fur")].item()
        assert painted[y, x] == pytest.approx(expected, abs=1e-5)


def test_heatmap_names_the_class_and_writes_a_picture(here, home):
    model = ["--model", "bag.safetensors", "-o", "h.png", "--target", "beak"]
    code, said, complaint = here("heatmap", "critter.png", *model, cwd=home)
    assert (code, complaint) == (0, "")
    assert said.startswith("evidence for beak (logit ")
    assert Image.open(home / "h.png").size[0] > 800


def test_models_that_came_along_are_known_by_name(here, home, folder, tmp_path, monkeypatch):
    for kind in ("safetensors", "json"):
        shutil.copy(home / f"bag.{kind}", tmp_path / f"tiny-bagnet9.{kind}")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path)
    assert mb.list_models() == ["tiny-bagnet9"]
    code, said, _ = here("evaluate", "--model", "tiny-bagnet9", "--data", folder, cwd=home)
    assert code == 0
    assert said in (home / "bag.txt").read_text()
    result = here("evaluate", "--model", "bagnet9", "--data", folder, cwd=home)
    assert is_refusal(*result)
    assert "no model bagnet9" in result[2]
    assert "tiny-bagnet9" in result[2]


NEW = ["train", "--data", "critters", "--n-train", 8, "--out", "new.safetensors", "--model"]
MAP = ["heatmap", "critter.png", "-o", "new.png", "--model"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([*NEW, "resnet", "--words", 60], "--words does not go with --model resnet"),
        ([*NEW, "bagnet9", "--patch-size", 9], "--patch-size does not go with --model bagnet9"),
        ([*NEW, "bow", "--batch-size", 8], "--batch-size does not go with --model bow"),
        ([*NEW, "resnet", "--centred"], "a resnet has the options"),
        ([*NEW, "resnet50", "--width", 32], "a resnet50 has the options num_classes, not"),
        ([*NEW, "bagnet9", "--save-every", 9], "need a folder for --checkpoints"),
        ([*NEW, "bagnet9", "--minutes", 9], "need a folder for --checkpoints"),
        ([*NEW, "bagnet9", "--minutes", 0, "--checkpoints", "r"], "--minutes must be more than 0"),
        ([*NEW, "bow", "--minutes", 9], "--minutes does not go with --model bow"),
        ([*NEW, "bagnet9", "--layers", 1, 1], "four stages"),
        ([*NEW, "bagnet9", "--width", "wide"], "'wide' is not a number from 1"),
        ([*NEW, "bagnet9", "--lr", -1], "lr must be"),
        ([*NEW, "bagnet9", "--lr", "fast"], "invalid float value: 'fast'"),
        ([*NEW, "bagnet9", "--precision", "int8"], "invalid choice: 'int8'"),
        ([*NEW, "bagnet33", *TINY], "at least q = 33"),
        ([*NEW, "bagnet9", *TINY, "--lr", 1e30], "lr (1e+30)"),
        ([*NEW, "bagnet9", "--out", "new.model"], "NAME.safetensors, not new.model"),
        ([*NEW, "bagnet9", *TINY, "--checkpoints", "critter.png"], "critter.png"),
        ([*NEW, "bagnet9", "--recipe", "imagenet"], "--n-train does not go with --recipe imagenet"),
        ([*NEW, "bagnet9", "--data", "no/such"], "no folder no/such"),
        ([*MAP, "res.safetensors"], "no evidence per patch"),
        ([*MAP, "bag.json"], "bag.json is damaged or no safetensors file"),
        ([*MAP, "no.safetensors"], "no model no.safetensors"),
        ([*MAP, "bag.safetensors", "--target", "dog"], "no class 'dog'; the model knows"),
        (["evaluate", "--model", "bag.safetensors", "--data", "photos"], "but not"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(here, home, arguments, reason):
    result = here(*arguments, cwd=home)
    assert is_refusal(*result), result
    assert reason in result[2]
    assert not list(home.glob("new.*"))


def test_the_recipe_of_imagenet_needs_a_folder(here, tmp_path):
    options = ["--data", "critters", "--recipe", "imagenet", "--model", "bagnet9"]
    result = here("train", *options, "--out", "new.safetensors", cwd=tmp_path)
    assert is_refusal(*result)
    assert "no folder critters" in result[2]
