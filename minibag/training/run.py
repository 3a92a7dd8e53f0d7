"""The state of a training run: what is prepared before the loop, watched in it, and saved."""

from __future__ import annotations

import copy
import json
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm.auto import tqdm

from minibag.exact import exact
from minibag.training import prepare
from minibag.training.augment import generator, seed_of
from minibag.training.checkpoint import drop_half_line, load_checkpoint, save_checkpoint
from minibag.training.distributed import Team
from minibag.training.fingerprint import fingerprint
from minibag.training.loaders import Images
from minibag.training.recipe import Recipe

DROPOUT = 3  # a purpose of random numbers, beside those of the loaders
REMEMBERED = ("step", "loss", "accuracy", "seconds", "history")  # beside weights and optimiser


@dataclass(eq=False)
class Run:
    """One training run: network, optimiser, and how far it has come.

    ``step`` counts from 0, ``steps`` make an epoch; ``loss`` and ``accuracy`` are sums over the
    epoch's steps up to the last `report`, ``seconds`` the time they took; ``late`` says whether
    ``until`` (of `time.monotonic`) was past when any process has had a `look`.
    """

    net: nn.Module  # a compiled one is replaced by what it was compiled from
    train: Images
    val: Images | None
    recipe: Recipe
    team: Team
    folder: Path | None
    until: float = math.inf

    def __post_init__(self) -> None:
        net, recipe, device = self.net, self.recipe, self.team.device
        self.batch = min(recipe.batch_size, len(self.train))
        if self.batch % self.team.world:
            raise ValueError(
                f"{self.batch} images a batch cannot be shared evenly by {self.team.world} "
                "processes: take another batch_size, or another number of processes"
            )
        self.steps = len(self.train) // self.batch
        compiled, self.net = net, getattr(net, "_orig_mod", net)  # of torch.compile
        net, self.still = self.net, prepare.still_parts(self.net)
        self.dtype = prepare.autocast_dtype(recipe.precision, device)
        self.layout = prepare.memory_layout(net.to(device), recipe, device, self._rehearse)
        if self.team.world > 1:
            self.team.check_images_alone(net, self._noise(self.train, 3, True))
        self.average = copy.deepcopy(net).requires_grad_(False) if recipe.ema else None
        self.kept = [] if self.average is None else prepare.averaged(self.average)
        self.optimizer = prepare.make_optimizer(net, recipe)
        self.optimizer.zero_grad()  # gradients that the caller's work, or an interrupt, has left
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.dtype == torch.float16)
        self.step, self.loss, self.accuracy, self.seconds = 0, 0.0, 0.0, 0.0
        self.history: list[dict[str, Any]] = []
        self.late = False
        self.pending: list[Tensor] = []  # losses and accuracies that are still on the device
        if self.folder:
            self._resume(self.folder / "checkpoint.pt")
        self.began = self.step
        self.model = self.team.wrap(compiled)
        if recipe.compile and compiled is net:
            self.model = torch.compile(self.model)  # type: ignore[assignment]
        prepare.training_mode(net, self.still)
        self.clock = time.perf_counter()

    def _noise(self, images: Images, n: int, learning: bool) -> Tensor:
        """Images (n, 3, H, W) of no meaning, as large as those."""
        noise = torch.randn(n, 3, *images.size(learning), generator=generator(0))
        return noise.to(self.team.device)

    @torch.no_grad()
    def _rehearse(self, net: nn.Module, layout: torch.memory_format) -> None:
        """Run the network as validation and training will, before any work; errors are its own.

        Lazy modules get their shapes by it; statistics are as before.
        """
        held_out = self.train if self.val is None else self.val
        for images, learning in ((held_out, False), (self.train, True)):
            net.eval()
            if learning:
                prepare.training_mode(net, self.still)
            n, half = min(2, self.batch), learning and self.dtype != torch.float32
            x = self._noise(images, n, learning).contiguous(memory_format=layout)
            with (
                prepare.buffers_kept(net),
                self.team.synchronised(net),
                nullcontext() if learning else exact(),
                torch.autocast(x.device.type, self.dtype, enabled=half),
            ):
                prepare.check_logits(net(x), n, len(images.classes))

    def prepare_step(self) -> None:
        """Set learning rate and random numbers, which depend on the number of the step alone."""
        self.lr = self.recipe.lr_at(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        torch.manual_seed(seed_of(self.recipe.seed, DROPOUT, self.step, self.team.rank))

    @property
    def best(self) -> nn.Module:
        """The network to validate and to end with: the average, if the recipe wants one."""
        return self.net if self.average is None else self.average

    def end_step(self) -> None:
        """Count a step, and let the average follow the weights."""
        self.step += 1
        if self.average is not None:
            early = (1 + self.step) / (10 + self.step) if self.step > 1 else 0.0
            update = get_ema_multi_avg_fn(min(self.recipe.ema, early))
            update(self.kept, prepare.averaged(self.net), None)

    def due(self, every: int | None) -> bool:
        """Whether so many steps are done once more, and the epoch, which does more, is not."""
        return every is not None and self.step % every == 0 and self.step % self.steps != 0

    @property
    def validating(self) -> bool:
        """Whether all steps of an epoch are done that the history does not have yet."""
        return self.step // self.steps > len(self.history)

    def look(self) -> None:
        """Look at the clock: whether we are late, or another process."""
        if self.until < math.inf:
            self.late = self.team.any(time.monotonic() > self.until)

    def report(self, bar: tqdm) -> None:
        """Fetch and log the losses since the last time; FloatingPointError if one is not finite."""
        rows = (self.team.sum(torch.stack(self.pending)) / self.team.world).tolist()
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
        """Add a row to the history, after a `report`, and save."""
        row: dict[str, Any] = {"epoch": self.step // self.steps, "step": self.step}
        row |= {"loss": self.loss / self.steps, "train_accuracy": self.accuracy / self.steps}
        lr = self.recipe.lr_at(self.step - 1, self.steps)
        row |= validation | {"lr": lr, "seconds": self.seconds}
        row["images_per_s"] = self.steps * self.batch / self.seconds
        self._log(row)
        self.history.append(row)
        self.loss = self.accuracy = self.seconds = 0.0
        self.save()
        prepare.training_mode(self.net, self.still)
        self.clock = time.perf_counter()

    def save(self) -> None:
        """Write a checkpoint, after a `report`; FloatingPointError if a weight is not finite."""
        state = self.net.state_dict()
        bad = prepare.not_finite(state)
        self._check(not bad, f"after step {self.step}, not finite: {', '.join(bad)}")
        if self.folder and self.team.rank == 0:
            parts = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
            if self.average is not None:
                parts["average"] = self.average.state_dict()
            sofar = {name: getattr(self, name) for name in REMEMBERED}
            content = {"run": self.identity, "net": state, **parts, "sofar": sofar}
            save_checkpoint(self.folder / "checkpoint.pt", content)

    def _resume(self, file: Path) -> None:
        """Go to where the checkpoint stands, if there is one; else write the first."""
        self.identity = self.recipe.to_dict() | fingerprint(self.net)
        self.identity["parts in evaluation mode"] = ", ".join(self.still)
        for name, images in (("training", self.train), ("validation", self.val)):
            self.identity[f"{name} images"] = "" if images is None else images.fingerprint()
        if known := file.exists():
            self._restore(file, load_checkpoint(file, self.identity))
        self.team.barrier()  # all have read before one writes
        if self.team.rank == 0:
            drop_half_line(file.with_name("log.jsonl"))
        self._log({"started_at_step": self.step})
        if not known:
            self.save()  # the first weights, in case we are killed before the next checkpoint

    def _restore(self, file: Path, state: dict[str, Any]) -> None:
        """Take over a checkpoint; ValueError if it holds what no training has written."""
        parts: dict[str, Any] = {"optimizer": self.optimizer, "scaler": self.scaler}
        parts |= {"net": self.net} | ({} if self.average is None else {"average": self.average})
        try:
            for name, part in parts.items():
                part.load_state_dict(state[name])
            if bad := prepare.not_finite(self.net.state_dict()):
                raise ValueError(f"not finite: {', '.join(bad)}")
            prepare.check_optimizer(self.optimizer, self.recipe)
            prepare.settle(self.optimizer)
            if state["sofar"].keys() != {*REMEMBERED}:
                raise KeyError(f"{sorted(state['sofar'])} instead of {sorted(REMEMBERED)}")
            for name in REMEMBERED:
                setattr(self, name, type(getattr(self, name))(state["sofar"][name]))
            epochs, ended = [row["epoch"] for row in self.history], self.step // self.steps
            known = ended - (len(epochs) < ended and self.step % self.steps == 0)  # or validating
            if not 0 <= ended <= self.recipe.epochs or epochs != [*range(1, known + 1)]:
                raise ValueError(f"step {self.step} with a history of the epochs {epochs}")
            if (self.seconds > 0) != (self.step > known * self.steps):
                raise ValueError(f"{self.seconds} s for steps {known * self.steps} to {self.step}")
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(
                f"{file} holds what no training has written ({reason}); delete it to start again"
            ) from error

    def _log(self, row: dict[str, Any]) -> None:
        if self.folder and self.team.rank == 0:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _check(self, good: bool, problem: str) -> None:
        if not good:
            kept = "The last checkpoint is from before. " if self.folder else ""
            raise FloatingPointError(
                f"{problem}. {kept}Lower lr ({self.recipe.lr}), lengthen warmup_epochs, or take "
                'precision="fp32"'
            )
