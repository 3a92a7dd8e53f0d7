"""The state of a training run: what is prepared before the loop, watched in it, and saved."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from minibag.training.augment import seed_of
from minibag.training.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from minibag.training.distributed import Team
from minibag.training.loaders import Images
from minibag.training.precision import autocast_dtype, memory_layout
from minibag.training.recipe import Recipe

DROPOUT = 3  # a purpose of random numbers, beside those of the loaders
REMEMBERED = ("step", "loss", "accuracy", "seconds", "history")  # beside weights and optimiser


class Run:
    """One training run: network, optimiser, and how far it has come.

    ``step`` counts from 0, ``steps`` make an epoch; ``loss`` and ``accuracy`` are sums over the
    epoch's steps up to the last look, ``seconds`` the time they took.
    """

    def __init__(
        self,
        net: nn.Module,
        train: Images,
        val: Images | None,
        recipe: Recipe,
        mates: Team,
        folder: Path | None,
    ) -> None:
        self.net, self.recipe, self.mates, self.folder = net, recipe, mates, folder
        self.n_classes, self.batch = len(train.classes), min(recipe.batch_size, len(train))
        if val is not None and val.classes != train.classes:
            raise ValueError(f"to train: {train.classes}, but to validate: {val.classes}")
        if not self.batch or self.batch % mates.world:
            raise ValueError(
                f"{self.batch} images a batch cannot be shared evenly by {mates.world} processes"
            )
        self.steps = len(train) // self.batch
        set_norm_momentum(net, recipe.norm_momentum)
        self.identity = recipe.to_dict() | {"network": fingerprint(net)}
        for name, images in (("training images", train), ("validation images", val)):
            self.identity[name] = images.fingerprint() if images and folder else ""
        self.layout = memory_layout(net, recipe, mates.device)
        net.to(mates.device).to(memory_format=self.layout)
        self.optimizer = make_optimizer(net, recipe)
        self.dtype = autocast_dtype(recipe.precision, mates.device)
        self.scaler = torch.amp.GradScaler(mates.device.type, enabled=self.dtype == torch.float16)
        self.step, self.loss, self.accuracy, self.seconds = 0, 0.0, 0.0, 0.0
        self.history: list[dict[str, Any]] = []
        self.pending: list[Tensor] = []
        self._resume()
        self.model = mates.wrap(net.train())
        if recipe.compile:
            self.model = torch.compile(self.model)  # type: ignore[assignment]
        self.clock = time.perf_counter()

    def prepare_step(self) -> None:
        """Set learning rate and random numbers, which depend on the number of the step alone."""
        self.lr = self.recipe.lr_at(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        torch.manual_seed(seed_of(self.recipe.seed, DROPOUT, self.step, self.mates.rank))

    def count_step(self, loss: Tensor, accuracy: Tensor) -> None:
        """Count a step; its loss stays on the device until `look`."""
        self.pending.append(torch.stack([loss.detach(), accuracy]))
        self.step += 1

    def look(self, bar: tqdm) -> None:
        """Fetch the losses since the last look; FloatingPointError if one is not finite."""
        if not self.pending:
            return
        rows = (self.mates.sum(torch.stack(self.pending)) / self.mates.world).tolist()
        self.pending.clear()
        for step, (loss, accuracy) in enumerate(rows, self.step - len(rows) + 1):
            self._check(math.isfinite(loss), f"the loss of step {step} is {loss}")
            self.loss += loss
            self.accuracy += accuracy
        now = time.perf_counter()
        self.seconds, self.clock = self.seconds + now - self.clock, now
        if self.step % self.steps:  # else the row of the epoch tells more
            self._log({"step": self.step, "loss": rows[-1][0], "lr": self.lr})
        bar.set_postfix(loss=f"{rows[-1][0]:.3f}", refresh=False)
        bar.update(len(rows))

    def end_epoch(self, validation: dict[str, float]) -> None:
        """Add a row to the history, after a `look`."""
        row: dict[str, Any] = {"epoch": self.step // self.steps, "step": self.step}
        row |= {"loss": self.loss / self.steps, "train_accuracy": self.accuracy / self.steps}
        row |= validation | {"lr": self.lr, "seconds": self.seconds}
        row["images_per_s"] = self.steps * self.batch / self.seconds
        self._log(row)
        self.history.append(row)
        self.loss = self.accuracy = self.seconds = 0.0
        self.net.train()
        self.clock = time.perf_counter()

    def save(self) -> None:
        """Write a checkpoint, after a `look`; FloatingPointError if a weight is not finite."""
        state = self.net.state_dict()
        bad = [name for name, tensor in state.items() if not tensor.isfinite().all()]
        self._check(not bad, f"after step {self.step}, not finite: {', '.join(bad)}")
        if self.folder and self.mates.rank == 0:
            parts = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
            sofar = {name: getattr(self, name) for name in REMEMBERED}
            content = {"run": self.identity, "net": state, **parts, "sofar": sofar}
            save_checkpoint(self.folder / "checkpoint.pt", content)

    def _resume(self) -> None:
        """Go to where the folder's checkpoint stands, if there is one."""
        if not self.folder:
            return
        file = self.folder / "checkpoint.pt"
        if file.exists():
            state = load_checkpoint(file, self.identity)
            for part in ("optimizer", "scaler"):
                getattr(self, part).load_state_dict(state[part])
            self.net.load_state_dict(state["net"])
            vars(self).update(state["sofar"])
        self.mates.wait()  # all have read before one writes
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log({"started_at_step": self.step})
        if not file.exists():
            self.save()  # the first weights, in case we are killed before the next checkpoint

    def _log(self, row: dict[str, Any]) -> None:
        if self.folder and self.mates.rank == 0:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _check(self, good: bool, problem: str) -> None:
        if not good:
            raise FloatingPointError(
                f"{problem}. The last checkpoint is from before. Lower lr ({self.recipe.lr}), "
                'lengthen warmup_epochs, or take precision="fp32"'
            )


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser; vectors (biases, norms) are not decayed."""
    trained = [p for p in net.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, recipe.lr)


def set_norm_momentum(net: nn.Module, momentum: float | None) -> None:
    """Give all batch norms of a network this momentum; None leaves them as they are."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and momentum is not None:
            module.momentum = momentum
