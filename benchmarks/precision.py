"""Accuracy with fewer bits: our networks, and twins made fragile, in fp32, TF32, bf16 and fp16.

    python -m benchmarks.precision            all of it
    python -m benchmarks.precision networks [--n 500] [--models imagenette-bagnet9 ...]
    python -m benchmarks.precision storage

A fragile twin computes the same function in exact arithmetic (`minibag.experiments.fragile`), but
depends on bits as the published BagNet-33 does, which scores 66.7 % of ImageNet in fp32, 64.2 in
TF32 and 58.0 under fp16 autocast. Each network runs with its numbers rounded
(`minibag.experiments.in_precision`), and as the machine itself does it: ``torch.autocast``, and
TF32 where there is an NVIDIA GPU. *Storage* is what fp16 costs as a format to keep kernels in,
where ``runs/`` still has the fp32 weights of a model that ships.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import minibag as mb
from benchmarks import record
from benchmarks.zoo import RUNS
from minibag.data import ImageSet
from minibag.exact import set_tf32
from minibag.experiments import fragile, in_precision
from minibag.experiments.precision import KINDS
from minibag.nets import BagNet, NetPredictor, as_predictor, normalise
from minibag.nets.storage import filled
from minibag.stats import wilson_interval
from minibag.training.checkpoint import load_checkpoint

MODELS = [f"imagenette-{net}" for net in ("bagnet9", "bagnet17", "bagnet9wide", "resnet")]
MODELS.append("imagenette-bagnet33w32")
SWEPT, STRENGTHS = "imagenette-bagnet17", (30, 100, 300, 1000, 3000, 10000)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
EVERY = 4  # fp16 autocast is slow on a CPU: every fourth photograph has to do there
FRAGILE = 2000  # mean of the channels before the first norm, in deviations


def photographs(model: NetPredictor, n: int | None) -> ImageSet:
    """Return validation photographs of the size a model is for, all or n of them."""
    images = mb.imagenette("val", model.image_size)
    return images if n is None else images.subset(n)


def with_net(model: NetPredictor, net: nn.Module) -> NetPredictor:
    """Return the same model around another network."""
    return as_predictor(net, model.classes, model.architecture, model.card)


def row(what: str, logits: np.ndarray, images: ImageSet, exact: np.ndarray) -> dict[str, Any]:
    """Return and print accuracy, its interval, and how far logits are from those in fp32."""
    valid, guess = np.isfinite(logits).all(1), logits.argmax(1)
    right = int(((guess == images.labels) & valid).sum())
    low, high = wilson_interval(right, len(images))
    change = float(np.abs(logits - exact)[valid].max(initial=0))
    other, strange = float((guess != exact.argmax(1)).mean()), int((~valid).sum())
    n, share = len(images), right / len(images)
    print(f"{what:15} {share:6.1%} ({low:.1%} .. {high:.1%}) of {n}, logits change ", end="")
    print(f"by up to {change:.4f}, {other:.2%} other answers, {strange} not finite")
    found = {"accuracy": share, "low": low, "high": high, "n": n, "largest_change": change}
    return {**found, "other_answers": other, "not_finite": strange}


def rounded(model: NetPredictor, images: ImageSet, exact: np.ndarray) -> dict[str, Any]:
    """Return the rows of a network whose numbers are rounded."""
    rows = {}
    for kind in KINDS:
        with in_precision(model.net, kind):
            rows[kind] = row(f"  {kind}, rounded", model.logits(images), images, exact)
    return rows


@torch.no_grad()
def as_allowed(model: NetPredictor, images: ImageSet) -> np.ndarray:
    """Return logits in whatever precision is allowed now; those of the model itself are exact."""
    net, batches = model.net.eval(), torch.from_numpy(images.images).split(model.batch_size)
    return torch.cat([net(normalise(x, DEVICE)).float() for x in batches]).cpu().numpy()


def on_machine(model: NetPredictor, images: ImageSet, exact: np.ndarray) -> dict[str, Any]:
    """Return the rows of a network as this machine computes with fewer bits."""
    rows = {}
    for kind in KINDS[1:] if DEVICE == "cuda" else DTYPES:  # no CPU has TF32
        few = slice(None, None, EVERY if (DEVICE, kind) == ("cpu", "fp16") else 1)
        set_tf32(kind == "tf32")
        with torch.autocast(DEVICE, DTYPES.get(kind), enabled=kind in DTYPES):
            logits = as_allowed(model, images[few])
        rows[kind] = row(f"  {kind}, {DEVICE}", logits, images[few], exact[few])
    set_tf32(False)
    return rows


def networks(names: list[str], n: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows of networks and their fragile twins; those of ever more fragile twins."""
    nets, sweep = {}, {}
    for name in names:
        model = mb.load(name)
        images = photographs(model, n)
        model.net.to(DEVICE)
        exact, twins = model.logits(images), {name: model}
        if isinstance(model.net, BagNet):
            twins[f"{name}, fragile"] = with_net(model, fragile(model.net, FRAGILE))
        for title, twin in twins.items():
            print(title)
            rows = {"rounded": rounded(twin, images, exact)}
            nets[title] = {**rows, "machine": on_machine(twin, images, exact)}
        for much in STRENGTHS if name == SWEPT else ():
            print(f"{name}, fragile, strength {much}")
            sweep[str(much)] = rounded(with_net(model, fragile(model.net, much)), images, exact)
    return nets, sweep


def trained_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return what a run ended with: the average of its weights, if it kept one."""
    state = load_checkpoint(checkpoint, {})
    return state.get("average") or state["net"]


def storage(n: int | None) -> dict[str, Any]:
    """Return the rows of models with kernels in fp32, and in fp16 as they ship."""
    found = {}
    for name in (name for name in mb.list_models() if name.startswith("imagenette")):
        path, model = RUNS / name / "checkpoint.pt", mb.load(name)
        if not path.is_file():
            continue
        state, ships = trained_weights(path), model.net.state_dict()
        stored = {k: v.half().float() if v.ndim > 1 else v for k, v in state.items()}
        if stored.keys() == ships.keys() and all(stored[k].equal(ships[k]) for k in ships):
            kinds = {"fp32": with_net(model, filled(model.architecture, state)), "fp16": model}
            images = photographs(model, n)
            exact = kinds["fp32"].logits(images)
            print(f"{name}, kernels kept in")
            found[name] = {
                kind: row(f"  {kind}", m.logits(images), images, exact) for kind, m in kinds.items()
            }
    print(
        "fp16 in files:", f"{len(found)} models" if found else "skipped, runs/ has no fp32 weights"
    )
    return found


def main() -> None:
    """Measure what is asked for, or everything; print it and write it."""
    parser = argparse.ArgumentParser(description="Accuracy with fewer bits")
    parser.add_argument("parts", nargs="*", help="networks, storage; both if none is named")
    parser.add_argument("--n", type=int, help="photographs; all of the validation half if left out")
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    if strange := {*options.parts} - {"networks", "storage"}:
        parser.error(f"no part {', '.join(strange)}: there are networks and storage")
    parts = options.parts or ["networks", "storage"]
    set_tf32(False)  # what is rounded here must not be rounded once more by a GPU
    if "networks" in parts:
        nets, sweep = networks(options.models, options.n)
        result = {"device": DEVICE, "strength": FRAGILE, "nets": nets, "sweep": {SWEPT: sweep}}
        name = "precision_gpu" if DEVICE == "cuda" else "precision"
        print("written to", record.write(name, result))
    if "storage" in parts and (found := storage(options.n)):
        print("written to", record.write("storage", {"models": found}))


if __name__ == "__main__":
    main()
