"""How ``python -m minibag train`` trains a network; its options stand in ``__main__``."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from minibag.commands import (
    batches,
    folder_of,
    held_out,
    predict,
    rate,
    read,
    read_to_learn,
    report,
)
from minibag.data import ImageSet
from minibag.data.folder import list_folder
from minibag.data.names import difference
from minibag.machine import accelerator, check_folder, check_output
from minibag.nets import NetPredictor, as_predictor, build
from minibag.nets.storage import card_path
from minibag.terminal import is_terminal, say
from minibag.training import IMAGENET, Recipe, fit


def train_net(args: argparse.Namespace) -> None:
    """Train a network from nothing, or go on from its checkpoint, and save it with its card.

    Under torchrun, every process runs this, and the first one saves and reports; a run that
    --minutes has stopped saves no network, but the checkpoint that the same call goes on from.
    """
    _check(args)
    recipe, streamed = _recipe(args), args.recipe == "imagenet"
    train, classes, n_train = _images(args, "train")
    architecture = _architecture(args, len(classes))
    torch.manual_seed(args.seed)
    net = build(architecture)
    val, split = _validation(args, classes)
    rest = {"save_every": args.save_every, "minutes": args.minutes}
    rest |= {"device": "cpu" if args.cpu else None}
    quiet = not is_terminal(sys.stderr)
    history = fit(net, train, val, recipe, args.checkpoints, progress=not quiet, **rest)
    if int(os.environ.get("RANK", "0")):  # below WORLD_SIZE, else fit has refused
        return
    if (done := len(history)) < recipe.epochs:  # --minutes are over
        say(f"not finished: {done} of {recipe.epochs} epochs are done; the same call goes on")
        return
    card = {
        "image_size": train.images.shape[1] if isinstance(train, ImageSet) else args.size,
        "crop": recipe.crop if streamed else 1.0,
        "recipe": recipe.to_dict(),
        "seed": args.seed,
        "data": {"name": args.data, "n_train": n_train},
        "accuracy": None,
        "seconds": sum(epoch["seconds"] for epoch in history),
    }
    model = as_predictor(net, classes, architecture, card)
    model.card["accuracy"] = found = _measured(args, model, val, split)
    model.save(args.out)
    report(args, n_train, model.image_size, found)


def _check(args: argparse.Namespace) -> None:
    """Refuse before the work what would fail after it, or lose it."""
    check_output(card_path(args.out))
    if (args.save_every or args.minutes is not None) and not args.checkpoints:
        raise ValueError("--save-every and --minutes need a folder for --checkpoints")
    if args.minutes is not None and not args.minutes > 0:
        raise ValueError(f"--minutes must be more than 0, got {args.minutes}")
    if args.checkpoints:
        check_folder(args.checkpoints)


def _measured(
    args: argparse.Namespace, model: NetPredictor, val: ImageSet | Path | None, split: str
) -> dict[str, Any] | None:
    """Return the accuracy as ``evaluate`` will find it, None without held-out images."""
    if val is None:
        return None
    model.net.to(accelerator() or "cpu")
    sets = [val] if isinstance(val, ImageSet) else batches(args, split, model.preparation["crop"])
    return rate(*predict(model, sets), split)


def _recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe asked for, with the numbers given instead of its own."""
    recipe = Recipe()
    if args.recipe == "imagenet":
        args.size = args.size or 224
        recipe = replace(IMAGENET, image_size=args.size)
    names = ("epochs", "batch_size", "lr", "precision", "seed")
    given = {name: getattr(args, name) for name in names}
    return replace(recipe, **{k: v for k, v in given.items() if v is not None})


def _architecture(args: argparse.Namespace, num_classes: int) -> dict[str, Any]:
    """Return the description of the network, for `build`."""
    name, options = args.model, {"num_classes": num_classes}
    if name.startswith("bagnet"):
        name, options["patch_size"] = "bagnet", int(name.removeprefix("bagnet"))
    given = {key: getattr(args, key) for key in ("width", "layers", "centred")}
    return {"name": name, **options, **{k: v for k, v in given.items() if v}}


def _images(args: argparse.Namespace, split: str) -> tuple[ImageSet | Path, tuple[str, ...], int]:
    """Return a split, its classes and number of images; ImageNet's recipe streams its folder."""
    if args.recipe != "imagenet":
        images = read_to_learn(args) if split == "train" else read(args, split)
        return images, images.classes, len(images)
    if args.n:
        raise ValueError("--n-train does not go with --recipe imagenet, which streams a folder")
    folder = folder_of(args.data, split)
    files, _, classes = list_folder(folder)
    return folder, classes, len(files)


def _validation(
    args: argparse.Namespace, classes: tuple[str, ...]
) -> tuple[ImageSet | Path | None, str]:
    """Return the held-out images and their split; ValueError if classes are missing."""
    split = held_out(args.data) or ("val" if args.recipe == "imagenet" else "")
    if not split:
        return None, ""
    args.n = None
    val, known, _ = _images(args, split)
    if apart := difference(classes, known):
        raise ValueError(f"{split} does not have the same classes as train: {apart}")
    return val, split
