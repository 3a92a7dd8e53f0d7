"""The command line through real processes: what it prints, what it writes, how it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import minibag as mb
from minibag.data.decode import read_image
from minibag.data.imagenette import find_imagenette
from minibag.words.storage import ENCODINGS
from tests.runs.cli import accuracy, is_refusal, run

COMMANDS = ["doctor", "data", "train", "evaluate", "heatmap"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Return a folder with a trained model, an image, and things that are neither."""
    home = tmp_path_factory.mktemp("cli")
    options = ["--n-train", "200", "--words", "60", "--step", "4", "--patch-size", "12"]
    done = run("train", "--data", "critters", "--out", "bow.model", *options, cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    (home / "train.txt").write_text(done.stdout)
    critter = mb.critters("val", 1, 96, seed=5)
    Image.fromarray(critter.images[0]).save(home / "critter.png")
    (home / "text.png").write_text("not an image")
    (home / "half.model").write_bytes((home / "bow.model").read_bytes()[:2000])
    (home / "empty.model").write_bytes(b"")
    save_file({"weight": np.zeros(3, np.float32)}, home / "foreign.model")
    return home


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(here, tmp_path, command):
    code, said, complaint = here(command, "--help", cwd=tmp_path)
    assert (code, complaint) == (0, "")
    assert f"python -m minibag {command}" in said


def test_the_help_lists_every_command(here, tmp_path):
    _, said, _ = here("--help", cwd=tmp_path)
    assert re.findall(r"^    (\w+)", said, re.MULTILINE) == COMMANDS


def test_the_help_offers_the_encodings_that_there_are(here, tmp_path):
    _, said, _ = here("train", "--help", cwd=tmp_path)
    assert f"{{{','.join(ENCODINGS)}}}" in said


def test_training_on_critters_learns_and_says_how_well(home):
    said = (home / "train.txt").read_text()
    assert "trained on 200 images of 64 x 64 pixels, saved bow.model" in said
    assert "test accuracy" in said
    assert accuracy(said)[0] > 50  # chance is 12.5


def test_evaluate_repeats_the_accuracy_of_training_and_draws_confusions(here, home):
    options = ["--model", "bow.model", "--data", "critters", "--confusion", "c.png"]
    code, said, complaint = here("evaluate", *options, cwd=home)
    assert (code, complaint) == (0, "")
    assert said.strip() in (home / "train.txt").read_text()
    assert Image.open(home / "c.png").format == "PNG"
    assert list(home.glob("*.part")) == []


def test_heatmap_names_the_class_and_writes_a_picture(home):
    done = run("heatmap", "critter.png", "--model", "bow.model", "-o", "h.png", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")
    image = read_image(home / "critter.png", 64)
    model = mb.BagOfVisualWords.load(home / "bow.model")
    assert f"evidence for {model.classes[model.logits(image[None]).argmax()]} " in done.stdout
    assert Image.open(home / "h.png").size[0] > 800


def test_heatmap_of_another_class_shows_that_one(here, home):
    options = ["--model", "bow.model", "-o", "t.png", "--target", "beak"]
    code, said, _ = here("heatmap", "critter.png", *options, cwd=home)
    assert code == 0
    assert "evidence for beak" in said


def test_training_twice_gives_the_same_model(here, home):
    options = ["--n-train", "64", "--words", "16", "--step", "8", "--data", "critters"]
    for name in ("one.model", "two.model"):
        assert here("train", *options, "--out", name, cwd=home)[0] == 0
    assert (home / "one.model").read_bytes() == (home / "two.model").read_bytes()


def test_a_folder_with_splits_is_trained_evaluated_and_described(here, folder, tmp_path):
    options = ["--data", folder, "--size", 64, "--words", 16, "--encoding", "vlad"]
    code, said, _ = here("train", *options, "--out", "f.model", cwd=tmp_path)
    assert code == 0
    assert "val accuracy" in said
    assert "16 images" in said
    again = ["evaluate", "--data", folder, "--model", "f.model"]
    assert here(*again, cwd=tmp_path)[1].strip() in said  # at the size of training, not at 160
    assert here(*again, "--size", 100, cwd=tmp_path)[1].strip() not in said
    code, said, _ = here("data", folder, "--split", "val", "--sheet", "s.png", cwd=tmp_path)
    assert code == 0
    assert "16 images of 160 x 160 pixels in 8 classes" in said
    assert Image.open(tmp_path / "s.png").format == "PNG"


def test_a_folder_without_splits_has_no_accuracy_to_report(here, folder, tmp_path):
    options = ["--data", folder / "train", "--size", 64, "--words", 16, "--step", 8]
    code, said, _ = here("train", *options, "--out", "f.model", cwd=tmp_path)
    assert code == 0
    assert "accuracy not measured" in said


def test_critters_are_described_with_their_masks(here, tmp_path):
    code, said, complaint = here("data", "critters", "--n", "80", cwd=tmp_path)
    assert (code, complaint) == (0, "")
    assert "80 images of 64 x 64 pixels in 8 classes" in said
    assert re.search(r"^ +10  feather$", said, re.MULTILINE)
    assert re.search(r"masks: [\d.]+% of the pixels", said)


def test_photos_are_described(here, tmp_path):
    code, said, _ = here("data", "photos", cwd=tmp_path)
    assert code == 0
    assert re.match(r"\d+ images of 64 x 64 pixels", said)


@pytest.mark.imagenette
def test_imagenette_is_described(here, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBAG_DATA", str(find_imagenette().parent.absolute()))
    code, said, _ = here("data", "imagenette", "--n", "20", "--size", 32, cwd=tmp_path)
    assert code == 0
    assert "20 images of 32 x 32 pixels in 10 classes" in said
    assert "tench" in said


TRAIN = ["train", "--data", "critters", "--out", "new.model"]
MAP = ["heatmap", "critter.png", "-o", "new.png", "--model"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: COMMAND"),
        (["data"], "required: DATA"),
        (["paint"], "invalid choice: 'paint'"),
        (["data", "no/such/folder"], "no folder no/such/folder"),
        (["data", "critters", "--split", "holdout"], "invalid choice: 'holdout'"),
        (["data", "photos", "--split", "holdout"], "split"),
        (["data", "critters", "--size", "9999999"], "'9999999' is not a number from 16 to 2048"),
        (["data", "critters", "--n", "-3"], "'-3' is not a number"),
        (["data", "photos", "--n", "999999"], "a subset of 999999 images"),
        (
            ["data", "critters", "--sheet", "no/such/folder/s.png"],
            "lies in a folder that is not there",
        ),
        ([*TRAIN, "--words", "0"], "'0' is not a number from 1"),
        ([*TRAIN, "--words", "60.5"], "'60.5' is not a number"),
        ([*TRAIN, "--encoding", "colours"], "invalid choice: 'colours'"),
        ([*TRAIN, "--classifier", "intersection"], "invalid choice"),
        ([*TRAIN, "--model", "bagnet8"], "invalid choice: 'bagnet8'"),
        ([*TRAIN, "--patch-size", "200"], "200"),
        ([*TRAIN[:-1], "."], "is a folder"),
        ([*MAP, "no.model"], "no.model"),
        ([*MAP, "."], "."),
        ([*MAP, "critter.png"], "critter.png"),
        ([*MAP, "half.model"], "half.model"),
        ([*MAP, "empty.model"], "empty.model"),
        ([*MAP, "foreign.model"], "foreign.model"),
        ([*MAP, "bow.model", "--target", "dog"], "no class 'dog'; the model knows"),
        ([*MAP, "bow.model", "-o", "no/such/folder/x.png"], "lies in a folder that is not there"),
        (["heatmap", "text.png", *MAP[2:], "bow.model"], "text.png"),
        (["heatmap", "no.png", *MAP[2:], "bow.model"], "no.png"),
        (["heatmap", ".", *MAP[2:], "bow.model"], "."),
        (["evaluate", "--model", "bow.model", "--data", "photos"], "but not"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(here, home, arguments, reason):
    result = here(*arguments, cwd=home)
    assert is_refusal(*result), result
    assert reason in result[2]
    assert not (home / "new.model").exists()
    assert not (home / "new.png").exists()


def test_a_real_process_refuses_like_that_too(home):
    done = run(*MAP, "foreign.model", cwd=home)
    assert is_refusal(done.returncode, done.stdout, done.stderr), done.stderr


def test_imagenette_that_is_missing_names_the_command_that_fetches_it(here, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIBAG_DATA", str(tmp_path))
    result = here("data", "imagenette", cwd=tmp_path)
    assert is_refusal(*result)
    assert "data_scripts/get_imagenette.py" in result[2]


def test_a_model_without_exact_evidence_says_why(here, home):
    options = ["--data", "critters", "--n-train", "32", "--words", "4", "--step", "8"]
    assert here("train", *options, "--encoding", "fisher", "--out", "f.model", cwd=home)[0] == 0
    result = here("heatmap", "critter.png", "--model", "f.model", "-o", "new.png", cwd=home)
    assert is_refusal(*result)
    assert "no exact evidence per patch" in result[2]
    assert "square roots" in result[2]


def test_unreadable_images_are_listed_in_one_line(here, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "broken.png").write_text("nothing")
    result = here("data", tmp_path, cwd=tmp_path)
    assert is_refusal(*result)
    assert "cat/broken.png" in result[2]
    assert "dog/broken.png" in result[2]


def test_the_doctor_says_in_words_and_by_its_exit_code_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "512")
    done = run("doctor", cwd=tmp_path)
    assert done.returncode == 1
    *lines, verdict = done.stdout.splitlines()
    assert all(line.split()[0] in ("OK", "FAIL", "note", "fix:") for line in lines)
    assert re.search(r"^FAIL threads .*\n +fix: set OMP_NUM_THREADS=\d+", done.stdout, re.MULTILINE)
    assert verdict.startswith("To fix:")
    assert "threads" in verdict
    assert "\033" not in done.stdout  # no colour codes in a file or pipe


def test_the_doctor_is_content_only_without_a_failure(here, tmp_path):
    code, said, _ = here("doctor", cwd=tmp_path)
    assert code == int("\nFAIL" in f"\n{said}")
    assert said.endswith("Ready for the course.\n") == (code == 0)
