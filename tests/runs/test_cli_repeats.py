"""Every way to measure a model repeats the number on its card: printed, evaluated, by hand."""

import json

import numpy as np
import pytest
from PIL import Image

import minibag as mb
from tests.runs.cli import accuracy

NET = ["--width", 4, "--layers", 1, 1, 1, 1, "--epochs", 2, "--batch-size", 16]
WAYS = {
    "words": ["--model", "bow", "--words", 8, "--step", 8],
    "course": ["--model", "bagnet9", *NET, "--checkpoints", "run"],
    "imagenet": [
        "--model",
        "bagnet9",
        *NET,
        "--recipe",
        "imagenet",
        "--lr",
        0.1,
        "--checkpoints",
        "run",
    ],
}


@pytest.fixture(scope="module")
def framed(tmp_path_factory):
    """Photographs of odd shapes: a noisy colour, in a frame of the next class's.

    Whoever cuts the frame off sees other images. Some have fewer pixels than a model wants.
    """
    root, rng = tmp_path_factory.mktemp("framed"), np.random.default_rng(0)
    colours = np.eye(3) * 120
    for split, n in (("train", 48), ("val", 60)):
        for i in range(n):
            height, width = rng.integers(22, 90, 2)
            pixels = rng.integers(0, 130, (height, width, 3)) + colours[(i + 1) % 3]
            edge = int(min(height, width) * (0.04 + 0.12 * rng.random()))
            inside = rng.integers(0, 130, (height - 2 * edge, width - 2 * edge, 3))
            pixels[edge : height - edge, edge : width - edge] = inside + colours[i % 3] * 0.3
            home = root / split / "abc"[i % 3]
            home.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            image.save(home / f"{i}.{'jpg' if i % 2 else 'png'}")
    return root


def right(model, images):
    return int((model.logits(images.images).argmax(1) == images.labels).sum())


@pytest.mark.parametrize("size", [32, 45])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_measure_a_model_repeats_the_card(here, framed, tmp_path, way, size):
    out = ["--data", framed, "--out", "new.safetensors", "--size", size]
    code, said, complaint = here("train", *WAYS[way], *out, cwd=tmp_path)
    assert (code, complaint) == (0, "")
    printed = said.splitlines()[1]
    again = here("evaluate", "--model", "new.safetensors", "--data", framed, cwd=tmp_path)
    assert again == (0, f"{printed}\n", "")
    model = mb.load(tmp_path / "new.safetensors")
    images = mb.image_folder(framed / "val", **model.preparation)
    n = right(model, images)
    assert images.images.shape[1:3] == (size, size)
    assert accuracy(printed)[0] == pytest.approx(100 * n / 60, abs=0.05)
    stream = mb.data.stream_folder(framed / "val", **model.preparation, batch_size=64)
    assert sum(right(model, part) for part in stream) == n
    assert mb.experiments.accuracy_by_grid(model, images, [1])[0].accuracy == n / 60
    if way == "words":
        return
    assert model.card["accuracy"]["value"] == n / 60
    rows = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    assert [row for row in rows if "val_accuracy" in row][-1]["val_accuracy"] == n / 60
    assert model.card["crop"] == (0.875 if way == "imagenet" else 1)
    other = {"size": size, "crop": 1 if way == "imagenet" else 0.875}
    assert right(model, mb.image_folder(framed / "val", **other)) != n  # it does make a difference


def test_a_photograph_is_shown_to_a_model_as_in_training(here, framed, tmp_path):
    """Its map says the logit that the model has for the middle of the square."""
    out = ["--data", framed, "--out", "new.safetensors", "--size", 32]
    assert here("train", *WAYS["imagenet"], *out, cwd=tmp_path)[0] == 0
    file = next((framed / "val" / "a").iterdir())
    drawn = ["--model", "new.safetensors", "-o", "map.png", "--target", "a"]
    code, said, _ = here("heatmap", file, *drawn, cwd=tmp_path)
    assert code == 0
    model = mb.load(tmp_path / "new.safetensors")
    whole, middle = (mb.data.decode.read_image(file, 32, crop)[None] for crop in (1, 0.875))
    assert f"(logit {model.logits(middle)[0, 0]:.2f})" in said
    assert f"(logit {model.logits(whole)[0, 0]:.2f})" not in said


def test_critters_are_drawn_with_the_seed_of_the_model(here, tmp_path):
    """Else those of training are others than those of evaluation."""
    options = ["--data", "critters", "--n-train", 24, "--words", 8, "--step", 16, "--seed", 3]
    _, said, _ = here("train", *options, "--out", "new.safetensors", cwd=tmp_path)
    measured = ["evaluate", "--model", "new.safetensors", "--data", "critters"]
    assert here(*measured, cwd=tmp_path)[1].strip() == said.splitlines()[1]
    assert here(*measured, "--seed", 4, cwd=tmp_path)[1].strip() != said.splitlines()[1]
