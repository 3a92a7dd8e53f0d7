"""Train full-size networks on photographs, in pieces, and record what they reach.

    python -m benchmarks.full_size --minutes 9        trains for so long; the same call goes on
    python -m benchmarks.full_size --tune --only bagnet17-160 --set lr=0.001 epochs=20
    python -m benchmarks.full_size --limit 4 --set epochs=1 --only bagnet9w32-160  a trial, on a CPU

Needs a GPU for all but trials. Jobs come in the order of `JOBS`, the figure of the course first;
each has a log and a checkpoint in ``runs/full_size/``, and ends there with weights and a card that
can be copied into the zoo as they are. One that fails does not stop those after it. All have the
same recipe, whose numbers were chosen on class-size networks and not tuned for these; whoever tunes
it does so with ``--tune``, which learns from four fifths of the training photographs, is measured
on the last fifth and never sees the validation photographs; every setting has its own row there.
Views have 4/5 of the side (Touvron et al., NeurIPS 2019). Where the batch does not fit into memory,
half of it is taken, and half of that: the program says so, and the card has both numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import minibag as mb
from benchmarks import record, zoo
from minibag.data import ImageSet
from minibag.data.imagenette import find_imagenette
from minibag.exact import set_tf32
from minibag.machine import accelerator
from minibag.nets import as_predictor, build
from minibag.training import Recipe, fit
from minibag.training.memory import batch_that_fits, halving
from minibag.training.recipe import CHOICES

Row = dict[str, Any]
Sets = tuple[ImageSet, ImageSet, str]
BAGNETS = {f"bagnet{q}": {"name": "bagnet", "patch_size": q} for q in (9, 17, 33)}
NETS: Mapping[str, dict[str, Any]] = {
    **BAGNETS,
    "bagnet17centred": {**BAGNETS["bagnet17"], "centred": True},
    "resnet50": {"name": "resnet50"},
    **{f"bagnet{q}w32": zoo.architecture(f"imagenette-bagnet{q}w32") for q in (9, 17, 33)},
}
# What the figure of the course needs, and what its ladder calls them.
MAIN = {
    "bagnet17": "BagNet-17",
    "resnet50": "ResNet-50",
    "bagnet33": "BagNet-33",
    "bagnet9": "BagNet-9",
}
RECIPE = Recipe(
    epochs=40,
    batch_size=128,
    warmup_epochs=3,
    shift=0,
    min_scale=0.35,
    jitter=0.3,
    ema=0.998,
)


@dataclass(frozen=True)
class Job:
    """One network to train: which, on photographs of which side in pixels, from which seed."""

    net: str
    side: int = 160
    seed: int = 0

    @property
    def name(self) -> str:
        """What it is called on the command line, in folders and in results."""
        return f"{self.net}-{self.side}" + (f"-seed{self.seed}" if self.seed else "")


JOBS = [
    *(Job(net) for net in MAIN),
    *(Job(f"bagnet{q}w32") for q in (17, 33, 9)),
    *(Job("bagnet17", seed=seed) for seed in (1, 2)),
    Job("bagnet17centred"),
    *(Job(net, side=224) for net in MAIN),
]


@cache
def photographs(side: int, tune: bool, limit: int | None) -> Sets:
    """Return the photographs to learn from, those to be measured on, and where these are from."""
    learn = mb.imagenette("train", side, limit=limit)
    if not tune:
        return learn, mb.imagenette("val", side, limit=limit), "val"
    order, fifth = np.random.default_rng(0).permutation(len(learn)), len(learn) // 5
    return learn[order[fifth:]], learn[order[:fifth]], "a fifth of train"


def train(job: Job, recipe: Recipe, folder: Path, minutes: float, sets: Sets) -> Row | None:
    """Train a job for some minutes; return what is known of it, or None if it has not ended."""
    learn, test, split = sets
    architecture = {**NETS[job.net], "num_classes": len(learn.classes)}
    here, asked = accelerator() or torch.device("cpu"), recipe.batch_size

    def attempt(batch: int) -> tuple[nn.Module, Recipe, Path, list[Row]]:
        own, place = replace(recipe, batch_size=batch), folder
        if batch != asked:  # another run, with checkpoints of its own
            place = folder.with_name(f"{folder.name},batch_size={batch}")
        torch.manual_seed(job.seed)
        net = build(architecture)
        return net, own, place, fit(net, learn, test, own, place, minutes=minutes)

    first = asked
    if here.type != "cpu":
        side = recipe.image_size or job.side
        first = batch_that_fits(build(architecture), side, here, asked)
    net, recipe, folder, history = halving(attempt, first)
    print(f"{job.name}: {len(history)} of {recipe.epochs} epochs are done", flush=True)
    if len(history) < recipe.epochs:
        return None
    net.to(here)
    model = as_predictor(net, learn.classes, architecture)
    rate = zoo.accuracy(model, test, split)
    facts = zoo.card("imagenette", learn, job.side, job.seed, rate)
    if torch.cuda.is_available():
        facts["hardware"] = torch.cuda.get_device_name()
    facts |= {"recipe": recipe.to_dict(), "batch_asked": asked, "history": history}
    model.card = facts | {"seconds": round(sum(row["seconds"] for row in history))}
    model.save(folder / "model.safetensors", half=True)
    kept = mb.load(folder / "model.safetensors")
    kept.net.to(here)
    return kept.card | {"net": job.net, "kept_in_16_bits": zoo.accuracy(kept, test, split)}


def done(row: Row, recipe: Recipe) -> bool:
    """Whether a row is of this recipe, perhaps with a smaller batch, for want of memory."""
    asked = {"batch_size": row["batch_asked"]} if "batch_asked" in row else {}
    return row.get("recipe", {}) | asked == recipe.to_dict()


def recorded(name: str) -> dict[str, Row]:
    """Return the runs that have ended so far, by name."""
    file = record.RESULTS / f"{name}.json"
    return json.loads(file.read_text())["runs"] if file.exists() else {}


def report(runs: dict[str, Row], name: str) -> None:
    """Print the runs and write them; the main ones become rungs of the course's ladder."""
    print("run                     accuracy (95 % interval)   in 16 bits  parameters  images/s")
    rungs = {}
    for key, row in runs.items():
        value, low, high = (100 * row["accuracy"][k] for k in ("value", "low", "high"))
        speed = max(epoch["images_per_s"] for epoch in row["history"])
        print(
            f"{key:22} {value:5.1f} % ({low:.1f} .. {high:.1f})  "
            f"{100 * row['kept_in_16_bits']['value'] - value:+9.1f}  "
            f"{row['parameters'] / 1e6:8.2f} M  {speed:8.0f}"
        )
        if (net := row["net"]) in MAIN and key == Job(net).name:
            rungs[MAIN[net]] = {
                "accuracy": row["accuracy"]["value"],
                **row["accuracy"],
                "parameters": row["parameters"],
                "patch_size": NETS[net].get("patch_size"),
            }
    record.write(name, {"runs": runs})
    if name == "full_size":
        record.write("full_size_ladder", {"rungs": rungs})


def setting(word: str) -> tuple[str, Any]:
    """Return ("lr", 0.001) for "lr=0.001"; ValueError if it is not of that form."""
    name, _, value = word.partition("=")
    return name, value if name in CHOICES else json.loads(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the jobs that are not on record, until the minutes are over."""
    parser = argparse.ArgumentParser(description="Full-size networks on Imagenette, in pieces")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after about so long")
    parser.add_argument("--only", nargs="*", choices=[j.name for j in JOBS], metavar="JOB")
    change = {"metavar": "NAME=VALUE", "help": "change the recipe, as in lr=0.001 epochs=20"}
    parser.add_argument("--set", nargs="*", type=setting, default=[], **change)
    parser.add_argument("--tune", action="store_true", help="measure on a fifth of train")
    parser.add_argument("--limit", type=int, help="a trial with so many photographs a class")
    args = parser.parse_args(arguments)
    if not (args.limit or torch.cuda.is_available()):
        parser.error("no GPU, and two cores would need weeks; a trial takes --limit 4")
    try:
        changed = replace(RECIPE, **dict(args.set))
    except (TypeError, ValueError) as error:
        parser.error(f"--set: {error}")
    set_tf32(False)
    name = "full_size" + "_tuning" * args.tune + "_trial" * bool(args.limit)
    runs, until = recorded(name), time.monotonic() + 60 * args.minutes
    settings, failed = "".join(f",{key}={value}" for key, value in sorted(args.set)), []
    for job in [job for job in JOBS if job.name in (args.only or [j.name for j in JOBS])]:
        recipe = replace(changed, image_size=job.side * 4 // 5, seed=job.seed)
        row_name = job.name + settings * args.tune
        if done(runs.get(row_name, {}), recipe) or time.monotonic() > until:
            continue
        if find_imagenette(size=job.side).name == "imagenette2-160" and job.side > 160:
            print(f"{job.name}: left out, the photographs here have 160 pixels", flush=True)
            continue
        sets = photographs(job.side, args.tune, args.limit)
        left = max(1e-6, (until - time.monotonic()) / 60)  # reading has taken some: a step is left
        folder = zoo.RUNS / name / f"{job.name}{settings}"
        try:
            row = train(job, recipe, folder, left, sets)
        except (FloatingPointError, torch.OutOfMemoryError) as error:
            print(f"{job.name}: failed, {error}", flush=True)
            failed.append(job.name)
            continue
        if row:
            runs[row_name] = row
            report(runs, name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
