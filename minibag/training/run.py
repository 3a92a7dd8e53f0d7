"""The state of a training run: what is prepared before the loop, watched in it, and saved."""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from minibag.machine import whole_file
from minibag.training.augment import seed_of
from minibag.training.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from minibag.training.distributed import Team
from minibag.training.loaders import Images
from minibag.training.recipe import Recipe

History = list[dict[str, Any]]
DROPOUT = 3  # a purpose of random numbers, beside those of the loaders


@dataclass
class Sofar:
    """What a run must remember beside weights and optimiser; plain values only."""

    step: int = 0
    loss: float = 0.0  # sums over the steps of this epoch
    accuracy: float = 0.0
    seconds: float = 0.0
    history: History = field(default_factory=list)


class Run:
    """One training run; as a context it owns torch's random numbers and the progress bar."""

    def __init__(
        self,
        net: nn.Module,
        train: Images,
        val: Images | None,
        recipe: Recipe,
        mates: Team,
        folder: str | Path | None,
        progress: bool,
    ) -> None:
        self.net, self.recipe, self.mates = net, recipe, mates
        self.classes = train.classes
        if val is not None and val.classes != train.classes:
            raise ValueError(f"classes differ: {train.classes} to train, {val.classes} to validate")
        self.batch = min(recipe.batch_size, len(train))
        if not self.batch or self.batch % mates.world:
            raise ValueError(
                f"a batch of {self.batch} images cannot be shared by {mates.world} processes"
            )
        self.steps = len(train) // self.batch  # in an epoch
        set_norm_momentum(net, recipe.norm_momentum)
        self.identity = {
            "recipe": recipe.to_dict(),
            "network": fingerprint(net),
            "training images": train.fingerprint() if folder else "",
            "validation images": val.fingerprint() if folder and val else "",
        }
        self.layout = memory_layout(net, recipe, mates.device)
        net.to(mates.device, memory_format=self.layout)  # type: ignore[call-overload]
        self.model = mates.wrap(net)
        if recipe.compile:
            self.model = torch.compile(self.model)  # type: ignore[assignment]
        self.optimizer = make_optimizer(net, recipe)
        self.dtype = autocast_dtype(recipe.precision, mates.device)
        self.scaler = torch.amp.GradScaler(mates.device.type, enabled=self.dtype == torch.float16)
        self.sofar, self.pending = Sofar(), list[Tensor]()
        self.folder = Path(folder) if folder else None
        self.resume()
        self.progress = progress and mates.rank == 0
        self.clock = time.perf_counter()

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self.sofar.step

    @property
    def history(self) -> History:
        """One dict per finished epoch."""
        return self.sofar.history

    def __enter__(self) -> Self:
        self.stack = ExitStack()
        device = self.mates.device
        forked = [device] if device.type == "cuda" else []
        self.stack.enter_context(torch.random.fork_rng(devices=forked))
        total = self.recipe.epochs * self.steps
        bar = tqdm(total=total, initial=self.step, unit="step", disable=not self.progress)
        self.bar = self.stack.enter_context(bar)
        self.net.train()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stack.close()
        self.net.eval()

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes in the recipe's precision."""
        low = self.dtype != torch.float32
        return torch.autocast(self.mates.device.type, self.dtype if low else None, enabled=low)

    def prepare_step(self) -> None:
        """Set learning rate and random numbers, which depend on the number of the step alone."""
        lr = self.recipe.lr_at(self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        torch.manual_seed(seed_of(self.recipe.seed, DROPOUT, self.step, self.mates.rank))

    def check_logits(self, logits: Tensor, labels: Tensor) -> None:
        """Raise ValueError unless there is one logit per image and class."""
        expected = (len(labels), len(self.classes))
        if logits.shape != expected:
            raise ValueError(
                f"the network gives {tuple(logits.shape)} for a batch of {expected[0]} images of "
                f"{expected[1]} classes, expected {expected}: build it with "
                f"num_classes={expected[1]}"
            )

    def note(self, loss: Tensor, accuracy: Tensor) -> None:
        """Count a step; its loss stays on the device until `look`."""
        self.pending.append(torch.stack([loss.float(), accuracy]))
        self.sofar.step += 1
        self.bar.update()

    def look(self) -> None:
        """Fetch the losses of the steps since the last look.

        Raises FloatingPointError if one is not finite.
        """
        if not self.pending:
            return
        rows = (self.mates.sum(torch.stack(self.pending)) / self.mates.world).tolist()
        first = self.step - len(rows) + 1
        self.pending.clear()
        for step, (loss, accuracy) in enumerate(rows, first):
            if not math.isfinite(loss):
                self._diverged(f"the loss of step {step} is {loss}")
            self.sofar.loss += loss
            self.sofar.accuracy += accuracy
        now = time.perf_counter()
        self.sofar.seconds, self.clock = self.sofar.seconds + now - self.clock, now
        if self.step % self.steps:  # else the row of the epoch says it
            self._log({"step": self.step, "loss": rows[-1][0], "lr": self._lr()})
        self.bar.set_postfix(loss=f"{rows[-1][0]:.3f}")

    def end_epoch(self, validation: dict[str, float]) -> None:
        """Add a row to the history, and save."""
        self.look()
        now = self.sofar
        row = {
            "epoch": now.step // self.steps,
            "step": now.step,
            "loss": now.loss / self.steps,
            "train_accuracy": now.accuracy / self.steps,
            **validation,
            "lr": self._lr(),
            "seconds": now.seconds,
            "images_per_s": self.steps * self.batch / now.seconds,
        }
        self.sofar = Sofar(now.step, history=[*now.history, row])
        self._log(row)
        self.save()
        self.net.train()
        self.clock = time.perf_counter()

    def save(self) -> None:
        """Write a checkpoint, if the run has a folder and all is finite."""
        self.look()
        state = self.net.state_dict()
        for name, tensor in state.items():
            if not tensor.isfinite().all():
                self._diverged(f"{name} is no longer finite after step {self.step}")
        if self.folder and self.mates.rank == 0:
            save_checkpoint(
                self.folder / "checkpoint.pt",
                {
                    "run": self.identity,
                    "sofar": asdict(self.sofar),
                    "net": state,
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                },
            )

    def resume(self) -> None:
        """Go to where the folder's checkpoint stands, if there is one."""
        if not self.folder:
            return
        file, log = self.folder / "checkpoint.pt", self.folder / "log.jsonl"
        if file.exists():
            state = load_checkpoint(file, self.identity)
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            self.sofar = Sofar(**state["sofar"])
        self.mates.wait()  # all have read before one writes
        if self.mates.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            lines = log.read_text().splitlines(keepends=True) if log.exists() else []
            rows = [line for line in lines if line.endswith("}\n")]
            kept = [row for row in rows if json.loads(row)["step"] <= self.step]
            with whole_file(log) as part:
                part.write_text("".join(kept))

    def _lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def _log(self, row: dict[str, Any]) -> None:
        if self.folder and self.mates.rank == 0:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")

    def _diverged(self, what: str) -> None:
        raise FloatingPointError(
            f"{what}; a checkpoint in the folder, if any, is from before. Lower lr "
            f"({self.recipe.lr}), lengthen warmup_epochs, or use precision='fp32'"
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


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type in which the network computes; ValueError if the device has no fp16."""
    if precision == "auto":
        gpu = device.type == "cuda"
        return torch.bfloat16 if gpu and torch.cuda.is_bf16_supported(False) else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise ValueError('precision="fp16" needs a GPU: use "bf16", "fp32" or "auto" on a CPU')
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def memory_layout(net: nn.Module, recipe: Recipe, device: torch.device) -> torch.memory_format:
    """Return the recipe's memory format, except where a CPU gets it wrong.

    The backward pass of oneDNN writes beyond its memory for a strided 1x1 convolution of fewer
    than 16 channels that come last (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    unsafe = device.type == "cpu" and any(
        m.kernel_size == (1, 1) and m.stride != (1, 1) and m.in_channels // m.groups < 16
        for m in net.modules()
        if isinstance(m, nn.Conv2d)
    )
    last = recipe.channels_last and not unsafe
    return torch.channels_last if last else torch.contiguous_format
