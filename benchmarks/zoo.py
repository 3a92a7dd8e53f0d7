"""Train the models that come with minibag, measure them, and write their weights and cards.

    python -m benchmarks.zoo                 train what is not there yet, then write the table
    python -m benchmarks.zoo critters-bagnet9 imagenette-resnet    only these

Training can be killed and goes on where it was (``runs/``, not kept by git). Accuracies are those
of the files as they ship, on images that no model was trained on: critters' test split, and the
validation photographs of Imagenette. The presets come from a handful of trial runs; on which
photographs these were judged is not on record. The wide BagNet-9 was added after the accuracy of
the small ones was known. The hour it took, and all times on the cards, were measured on a machine
with other work (its load is on the card). The features of the word models were chosen on critters'
validation split and on 1,500 of the photographs to learn from.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minibag as mb
from benchmarks.record import processor, versions, write
from minibag.data import ImageSet
from minibag.machine import cpu_count, whole_file
from minibag.nets import NetPredictor, as_predictor, build
from minibag.nets.storage import card_path
from minibag.nets.zoo import WEIGHTS
from minibag.stats import wilson_interval
from minibag.training import Recipe, fit

SIDE, LARGE, SEED = 64, 96, 0
RUNS = Path(__file__).parents[1] / "runs"
NETS: dict[str, dict[str, Any]] = {
    "bagnet5": {"name": "bagnet", "patch_size": 5, "width": 16, "layers": [1, 2, 3, 2]},
    "bagnet9": {"name": "bagnet", "patch_size": 9, "width": 16, "layers": [1, 2, 3, 2]},
    "bagnet17": {"name": "bagnet", "patch_size": 17, "width": 16, "layers": [1, 2, 3, 2]},
    "resnet": {"name": "resnet"},
    "vgg": {"name": "vgg", "width": 16},
    "densenet": {"name": "densenet"},
}
# bf16 on a CPU: 1.6 times the images per second of fp32, and the weights stay in fp32.
CRITTERS = Recipe(epochs=6, lr=4e-3, shift=4, precision="bf16", seed=SEED)
IMAGENETTE = replace(CRITTERS, epochs=20, shift=0, min_scale=0.35, image_size=48)
PRESETS = {
    f"{data}-{net}": (NETS[net], recipe)
    for data, recipe in (("critters", CRITTERS), ("imagenette", IMAGENETTE))
    for net in NETS
}
# The others compare patch sizes, all else equal; this one is as good as two cores make it in an
# hour: wider, trained longer, and with a patch every 4 pixels (196 votes instead of 49).
WIDE = {**NETS["bagnet9"], "width": 24, "layers": [1, 1, 2, 2], "stride": 4}
PRESETS["imagenette-bagnet9wide"] = WIDE, replace(IMAGENETTE, epochs=30, min_scale=0.4)
# Twice the width, images half as large again: what lessons read photographs with. Twenty epochs are
# what two cores do in two hours, one core a network; compiled (which takes g++), they see twice the
# images a second. A first BagNet-17 of seven epochs had been measured on the validation photographs
# (70.7 %): that it needed longer was seen there. `benchmarks.full_size` has them for a GPU.
WIDTH32 = {
    f"imagenette-bagnet{q}w32": {**NETS["bagnet9"], "patch_size": q, "width": 32}
    for q in (17, 33, 9)
}
LARGER = replace(IMAGENETTE, lr=3e-3, min_scale=0.4, image_size=72, ema=0.99, compile=True)
PRESETS |= {name: (net, LARGER) for name, net in WIDTH32.items()}
# 400 words, histograms, a linear SVM. Small patches suffice on critters, whose parts are small.
WORDS = {
    "critters-words": mb.BagOfVisualWords(mb.DenseSIFT(4, 8), 400, random_state=SEED),
    "imagenette-words": mb.BagOfVisualWords(
        mb.DenseSIFT(4, 16, color="opponent", root=True), 400, random_state=SEED, C=0.05
    ),
}
RUNGS = {
    "imagenette-bagnet9wide": "class-size BagNet-9",
    "imagenette-resnet": "class-size ResNet",
}
RUNGS |= {name: f"BagNet-{net['patch_size']} of width 32" for name, net in WIDTH32.items()}


def images(name: str) -> tuple[ImageSet, ImageSet, str]:
    """Return the images to learn from, those to be measured on, and the name of their split."""
    if name.startswith("critters"):
        return mb.critters("train", 4000, SIDE), mb.critters("test", 2000, SIDE), "test"
    side = side_of(name)
    return mb.imagenette("train", side), mb.imagenette("val", side), "val"


def side_of(name: str) -> int:
    """Return the side in pixels of the images that a model is for."""
    return LARGE if name in WIDTH32 else SIDE


def train(name: str) -> None:
    """Train one model of the zoo and write its weights and its card."""
    learn, test, split = images(name)
    if name in WORDS:
        model, facts = train_words(name, learn)
    else:
        model, facts = train_net(name, learn, test)
    rate = accuracy(model, test, split)
    WEIGHTS.mkdir(exist_ok=True)
    about = card(name.split("-")[0], learn, side_of(name), SEED, rate) | facts
    save(model, about, WEIGHTS / f"{name}.safetensors")
    print(f"{name}: {rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})", flush=True)


def accuracy(model: Any, test: ImageSet, split: str) -> dict[str, Any]:
    """Return the share of images that a model names, with its 95 % interval (Wilson)."""
    right, n = int((model.logits(test.images).argmax(1) == test.labels).sum()), len(test)
    low, high = wilson_interval(right, n)
    return {"value": right / n, "low": low, "high": high, "n": n, "split": split}


def card(
    source: str, learn: ImageSet, side: int, seed: int, rate: dict[str, Any]
) -> dict[str, Any]:
    """Return what is known of every model: its data, accuracy, machine and day."""
    digest = hashlib.sha256(np.ascontiguousarray(learn.images).data).hexdigest()
    return {
        "image_size": side,
        "seed": seed,
        "data": {"name": source, "n_train": len(learn), "sha256": digest},
        "accuracy": rate,
        "hardware": f"{processor()}, {cpu_count()} CPUs, {torch.get_num_threads()} threads used, "
        f"load {os.getloadavg()[0]:.0f}",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
    }


def architecture(name: str) -> dict[str, Any]:
    """Return a preset's network, for `build`; the zoo's BagNets look at the middle of windows."""
    net, _ = PRESETS[name]
    return {**net, "centred": True} if net["name"] == "bagnet" else {**net}


def train_net(name: str, learn: ImageSet, test: ImageSet) -> tuple[Any, dict[str, Any]]:
    """Return a network as it ships (what is measured has kernels of 16 bits), and its facts.

    Test images are looked at after every epoch, for the curve alone: nothing is chosen by it.
    """
    made_of = {**architecture(name), "num_classes": len(learn.classes)}
    _, recipe = PRESETS[name]
    torch.manual_seed(SEED)
    net = build(made_of)
    history = fit(net, learn, test, recipe, RUNS / name, save_every=50)
    file, side = RUNS / name / "model.safetensors", side_of(name)
    as_predictor(net, learn.classes, made_of, {"image_size": side}).save(file, half=True)
    seconds = round(sum(row["seconds"] for row in history))  # also those before it was killed
    return mb.load(file), {"recipe": recipe.to_dict(), "seconds": seconds, "history": history}


def train_words(name: str, learn: ImageSet) -> tuple[Any, dict[str, Any]]:
    """Return a bag of visual words and its facts."""
    start, model = time.perf_counter(), WORDS[name].fit(learn)
    seconds = round(time.perf_counter() - start)
    recipe = {**model.get_params(deep=False), "features": model.features.get_params()}
    learned = (model.vocabulary_.words_, model.coef_, model.intercept_)
    parameters = sum(array.size for array in learned)
    return model, {"recipe": recipe, "parameters": parameters, "seconds": seconds}


def save(model: Any, card: dict[str, Any], path: Path) -> None:
    """Write a model and its card, which proves by sha256 to belong to it."""
    if isinstance(model, NetPredictor):
        model.card |= card
        model.save(path, half=True)
        return
    model.save(path)
    proved = {"classes": model.classes, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    with whole_file(card_path(path)) as part:
        part.write_text(json.dumps(proved | card, indent=1) + "\n")


def table() -> dict[str, dict[str, Any]]:
    """Print what the cards say, and return the rungs of the course's ladder."""
    print("model                  accuracy (95 % interval)   parameters  multiply-adds  MB  train")
    rungs = {}
    for name in mb.list_models():
        card = json.loads((WEIGHTS / f"{name}.json").read_text())
        size = (WEIGHTS / f"{name}.safetensors").stat().st_size / 1e6
        # Words are looked up: their cost is no matter of multiply-adds alone.
        cost = f"{card['multiply_adds'] / 1e6:.0f} M" if "multiply_adds" in card else "-"
        value, low, high = (100 * card["accuracy"][key] for key in ("value", "low", "high"))
        print(
            f"{name:22} {value:5.1f} % ({low:.1f} .. {high:.1f})  {card['parameters'] / 1e6:8.2f} M"
            f"  {cost:>10}  {size:6.1f}  {card['seconds'] / 60:4.0f} min"
        )
        if name in RUNGS:
            made_of = {"parameters": card["parameters"]}
            made_of["patch_size"] = card["architecture"].get("patch_size")  # None: no bag
            accuracy = {"accuracy": card["accuracy"]["value"], **card["accuracy"]}
            rungs[RUNGS[name]] = {**accuracy, **made_of}
    return rungs


def main() -> None:
    """Train the models named, or those that are missing; then print and write the table."""
    asked = dict.fromkeys(sys.argv[1:])
    known = [*PRESETS, *WORDS]
    if strange := asked.keys() - {*known}:
        raise SystemExit(f"no model {', '.join(sorted(strange))}; there are {', '.join(known)}")
    for name in asked or (name for name in known if name not in mb.list_models()):
        train(name)
    write("zoo_ladder", {"rungs": table()})


if __name__ == "__main__":
    main()
