"""The loop that trains every network of the course."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.random import fork_rng
from tqdm.auto import tqdm

from minibag.data import ImageSet
from minibag.data.names import difference
from minibag.exact import exact
from minibag.machine import expand
from minibag.training import prepare
from minibag.training.augment import mix
from minibag.training.checkpoint import hold
from minibag.training.distributed import join
from minibag.training.loaders import open_images
from minibag.training.recipe import Recipe
from minibag.training.run import Run

REPORT = 50  # steps between two reports of the loss, each of which waits for the GPU


def fit(
    net: nn.Module,
    train: ImageSet | str | Path,
    val: ImageSet | str | Path | None = None,
    recipe: Recipe | None = None,
    folder: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    save_every: int | None = None,
    minutes: float | None = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Train a network in place, and leave it where it was, in evaluation mode.

    An accelerator is only borrowed: a network on the CPU comes back to the CPU, also if an error
    or a keyboard interrupt ends the training; what has been put on an accelerator stays there.

    With a folder, the run can be killed at any time: the same call goes on from the last
    checkpoint and ends with the same weights, bit by bit on a CPU; once it has finished, the call
    loads the weights and returns at once. Under ``torchrun`` all processes share the work.

    Before any work, the network is tried on two images. Parts in evaluation mode keep that mode,
    and their statistics, if the network itself is in training mode or all their weights are frozen
    (``requires_grad=False``). Frozen weights alone do not keep the statistics of norms.

    Parameters
    ----------
    net : module that maps normalised images (N, 3, H, W) to logits (N, C), compiled or not
    train, val : ImageSets, or paths of folders of class folders, which are streamed
    recipe : all numbers of the training; None takes ``Recipe()``
    folder : where ``checkpoint.pt`` and ``log.jsonl`` are kept, seen by all processes
    device : where to train; None is where the network is, or an accelerator if it is on the CPU
    save_every : steps between checkpoints in the folder, 1 or more; None means an epoch
    minutes : stop with a checkpoint after so long, for queues and machines with a time limit; the
        same call goes on. What has begun is ended: a step, or a batch of a validation, which is
        then done again. There are ``recipe.epochs`` rows once the run has ended.
    progress : show a progress bar

    Returns
    -------
    One dict per epoch: epoch (from 1), step, loss and train_accuracy (means over the epoch's
    random views), val_loss, val_accuracy (with ``val``), lr (of the last step), seconds,
    images_per_s

    Raises
    ------
    ValueError
        If data, network, recipe and folder do not fit together, the checkpoint is damaged, another
        training is going on in the folder, or a file is no image.
    FileNotFoundError
        If there is no such folder of images.
    TypeError
        If the network gives something else than a tensor of logits, such as those of several heads.
    FloatingPointError
        If the loss or a weight is no longer finite; the last checkpoint is from before.
    """
    _check_limits(save_every, minutes, folder)
    until = math.inf if minutes is None else time.monotonic() + 60 * minutes
    recipe = recipe or Recipe()
    home, place = prepare.home_of(net), expand(folder) if folder is not None else None
    with (
        join(device or (home if home.type != "cpu" else None)) as team,
        fork_rng(team.gpus),
        hold(place) if place and team.rank == 0 else nullcontext(),
    ):
        images = open_images(train, recipe, team)
        held_out = open_images(val, recipe, team) if val is not None else None
        if held_out is not None and type(held_out) is not type(images):
            raise ValueError("train and val must both be ImageSets, or both be folders")
        if held_out is not None and (apart := difference(images.classes, held_out.classes)):
            raise ValueError(f"val does not have the same classes as train: {apart}")
        try:
            with prepare.norm_momentum(net, recipe.norm_momentum):
                run = Run(net, images, held_out, recipe, team, place, until)
                train_all(run, save_every, progress)
            run.net.load_state_dict(run.best.state_dict())
        finally:
            # No longer channels last: on a CPU, oneDNN gets some layers wrong then (`prepare`).
            net.to(home).to(memory_format=torch.contiguous_format).eval()
    return run.history


def _check_limits(save_every: int | None, minutes: float | None, folder: str | Path | None) -> None:
    """Refuse limits that a training could not keep."""
    whole = isinstance(save_every, int | np.integer) and not isinstance(save_every, bool)
    if save_every is not None and not (whole and save_every >= 1):
        raise ValueError(f"save_every must be None or a number of steps from 1, got {save_every!r}")
    timed = isinstance(minutes, int | float | np.integer | np.floating) and not isinstance(
        minutes, bool
    )
    if minutes is not None and not (timed and 0 < minutes < math.inf):
        raise ValueError(f"minutes must be None or a finite number above 0, got {minutes!r}")
    if folder is None and minutes is not None:
        raise ValueError("minutes needs a folder, where the checkpoint is kept to go on from")


def train_all(run: Run, save_every: int | None, progress: bool) -> None:
    """Train and validate until the last epoch, or until it is late."""
    quiet, total = not progress or run.team.rank > 0, run.recipe.epochs * run.steps
    with (
        run.team.synchronised(run.net),
        tqdm(total=total, initial=run.step, disable=quiet) as bar,
    ):
        while len(run.history) < run.recipe.epochs and not run.late:
            if not run.validating:
                train_epoch(run, bar, save_every)
            if run.validating and (found := evaluate(run)) is not None:
                run.end_epoch(found)


def train_epoch(run: Run, bar: tqdm, save_every: int | None) -> None:
    """Take the steps that are left of an epoch, or those until it is late, and save."""
    for x, y in run.train.batches(run.step // run.steps, start=run.step % run.steps):
        train_step(run, x, y)
        run.look()
        if run.due(save_every) or run.due(REPORT) or run.late:
            run.report(bar)
            if run.due(save_every) or run.late:
                run.save()
            if run.late:
                return
    run.report(bar)
    if run.val is not None:
        run.save()  # whatever happens in the validation, it alone is done again


def train_step(run: Run, x: Tensor, y: Tensor) -> None:
    """Take one step with images (n, 3, H, W) and labels (n,), this process's share of a batch."""
    run.prepare_step()
    x, target = mix(x, y, run.recipe, len(run.train.classes))
    with torch.autocast(x.device.type, run.dtype, enabled=run.dtype != torch.float32):
        logits = run.model(x.contiguous(memory_format=run.layout))
        smoothing = run.recipe.label_smoothing
        loss = nn.functional.cross_entropy(logits, target, label_smoothing=smoothing)
    run.scaler.scale(loss).backward()
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad()
    run.pending.append(torch.stack([loss.detach(), (logits.argmax(1) == y).float().mean()]))
    run.end_step()


@torch.no_grad()
def evaluate(run: Run) -> dict[str, float] | None:
    """Return loss and accuracy on all held-out images, in evaluation mode and exactly, see `exact`.

    Without such images, nothing is in it; None if the time was up before all were seen. What a
    call of `fit` begins with is done to the end, so that a call gets on, however short its time.
    """
    if run.val is None:
        return {}
    run.best.eval()
    total, seen = torch.zeros(2, device=run.team.device), 0
    with exact():
        for x, y in run.val.in_order():
            if run.step > run.began and time.monotonic() > run.until:
                break  # the sum below tells the other processes
            logits = run.best(x.contiguous(memory_format=run.layout))
            loss = nn.functional.cross_entropy(logits, y, reduction="sum")
            total += torch.stack([loss, (logits.argmax(1) == y).sum()])
            seen += len(y)
    loss, correct = run.team.sum(total).tolist()
    run.look()
    if run.team.sum(torch.tensor(seen, device=run.team.device)) < len(run.val):
        return None
    return {"val_loss": loss / len(run.val), "val_accuracy": correct / len(run.val)}
