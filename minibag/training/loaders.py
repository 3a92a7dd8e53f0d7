"""Where batches come from: a set that lies on the device, or a folder of any size."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from minibag.data import ImageSet
from minibag.data.decode import UnreadableImageError, decode, read_image
from minibag.data.folder import list_folder
from minibag.machine import cpu_count, device_memory, expand, shared_memory
from minibag.nets.predictor import standardise
from minibag.nets.transfer import send
from minibag.training.augment import DRAWS, augment, generator, seed_of
from minibag.training.distributed import Team
from minibag.training.recipe import Recipe

Batch = tuple[Tensor, Tensor]  # normalised float32 (n, 3, H, W), int64 (n,), on the device
ORDER, VIEWS = 1, 2  # purposes of random numbers
TEST_BATCH = 256
SHARE = 1 / 4  # of a device's free memory that a set may take; weights and maps come later
PREFETCHED = 2  # batches that each worker of a DataLoader holds ready


def plan(n: int, recipe: Recipe, epoch: int) -> list[Tensor]:
    """Return the indices of every batch of an epoch; what does not fill a batch is left out."""
    order = torch.randperm(n, generator=generator(recipe.seed, ORDER, epoch))
    size = min(recipe.batch_size, n)
    return list(order[: n // size * size].split(size))


class Resident:
    """An ImageSet, kept as bytes on the device if it fits there, else on the host."""

    def __init__(self, data: ImageSet, recipe: Recipe, team: Team) -> None:
        if not len(data):
            raise ValueError("a set of 0 images is neither enough to train on nor to validate with")
        self.data, self.recipe, self.team, self.classes = data, recipe, team, data.classes
        fits = data.images.nbytes < SHARE * device_memory(team.device)
        self.home = team.device if fits else torch.device("cpu")
        self.labels = torch.from_numpy(data.labels.copy()).to(self.home)
        images = torch.from_numpy(np.require(data.images, requirements=["C", "W"]))
        self.images = images.to(self.home)

    def __len__(self) -> int:
        return len(self.data)

    def size(self, learning: bool) -> tuple[int, int]:
        """Return height and width of the random views, or of the images as they are."""
        side = self.recipe.image_size if learning else None
        return (side, side) if side else self.data.images.shape[1:3]

    def fingerprint(self) -> str:
        """Return a hash of images, labels and classes."""
        digest = hashlib.sha256(repr((self.data.images.shape, self.classes)).encode())
        for array in (self.data.images, self.data.labels):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the random views of an epoch in random order, from batch ``start`` on."""
        for step, index in enumerate(plan(len(self), self.recipe, epoch)):
            if step >= start:
                seeded = generator(self.recipe.seed, VIEWS, epoch, step)
                draws = torch.rand(len(index), DRAWS, generator=seeded)
                x, y = self._take(index[self.team.share])
                yield standardise(augment(x, draws[self.team.share], self.recipe)), y

    def in_order(self) -> Iterator[Batch]:
        """Yield every image once, as it is."""
        for index in torch.arange(len(self))[self.team.share].split(TEST_BATCH):
            x, y = self._take(index)
            yield standardise(x.float() / 255), y

    def _take(self, index: Tensor) -> Batch:
        """uint8 images (n, 3, H, W), channels last in memory, and their labels."""
        here = send(index, self.home)
        x, y = (send(whole[here], self.team.device) for whole in (self.images, self.labels))
        return x.permute(0, 3, 1, 2), y


@dataclass
class _Views(Dataset):
    """Views of files by (..., index), a key that fixes the view and nothing else does."""

    files: Sequence[Path]
    labels: Sequence[int]
    view: Callable[[Path], Tensor]

    def __getitem__(self, key: Sequence[int]) -> tuple[Tensor, int] | Exception:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(*key))
            try:
                return self.view(self.files[key[-1]]), self.labels[key[-1]]
            except (UnreadableImageError, MemoryError) as error:
                return error  # raised here, it would bring the worker's traceback as its message


def _collate(items: list) -> Any:
    """Return a batch, or the first error of those that should have made it."""
    errors = (item for item in items if isinstance(item, Exception))
    return next(errors, None) or default_collate(items)


def _random_view(path: Path, change: Callable) -> Tensor:
    return change(decode(path))


def _still_view(path: Path, size: int, crop: float) -> Tensor:
    return torch.from_numpy(np.array(read_image(path, size, crop))).permute(2, 0, 1)


class _Keys:
    """The keys of the batches of a pass, which the processes that read images wait for."""

    batches: Iterator[list[tuple[int, ...]]]

    def __iter__(self) -> Iterator[list[tuple[int, ...]]]:
        return self.batches


def _alive(loader: DataLoader) -> Iterator[Any]:
    """Yield what a loader yields; OSError if one of its processes has died."""
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise OSError(
            "a process that reads images has died: perhaps there is too little memory, or shared "
            f"memory (docker run --shm-size=4g). Smaller batches need less ({error})"
        ) from error


class Streamed:
    """A folder of class folders, decoded in other processes while the network trains."""

    def __init__(self, path: str | Path, recipe: Recipe, team: Team) -> None:
        self.recipe, self.team, self.root = recipe, team, expand(path)
        self.files, labels, self.classes = list_folder(path)
        self.labels = labels.tolist()
        size, change = recipe.image_size or 224, recipe.jitter
        random: list[Any] = [v2.RandomResizedCrop(size, (recipe.min_scale, 1))]
        random += [v2.RandomHorizontalFlip()] if recipe.flip else []
        random += [v2.ColorJitter(change, change, change)] if change else []
        self.here = int(os.environ.get("LOCAL_WORLD_SIZE", team.world))
        self.workers = max(1, cpu_count() // self.here)
        self._check_shared_memory(3 * size**2)
        self.keys = _Keys()
        self.random = self._loader(
            partial(_random_view, change=v2.Compose([*random, v2.PILToTensor()]))
        )
        self.still = self._loader(partial(_still_view, size=size, crop=recipe.crop))

    def __len__(self) -> int:
        return len(self.files)

    def size(self, learning: bool) -> tuple[int, int]:
        """Return height and width of what is yielded, learning or not."""
        side = self.recipe.image_size or 224
        return side, side

    def fingerprint(self) -> str:
        """Return a hash of file names and labels; reading all images would take too long."""
        names = [file.relative_to(self.root).as_posix() for file in self.files]
        return hashlib.sha256(repr([names, self.labels]).encode()).hexdigest()[:16]

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the random views of an epoch in random order, from batch ``start`` on."""
        key = (self.recipe.seed, VIEWS, epoch)
        return self._load(self.random, key, plan(len(self), self.recipe, epoch)[start:])

    def in_order(self) -> Iterator[Batch]:
        """Yield every image once, as `image_folder` reads it with the recipe's size and crop."""
        size = min(TEST_BATCH * self.team.world, self.recipe.batch_size)
        return self._load(self.still, (), torch.arange(len(self)).split(size))

    def _check_shared_memory(self, image: int) -> None:
        """Raise OSError if the batches that workers hold at once cannot lie in shared memory."""
        batch = math.ceil(min(self.recipe.batch_size, len(self)) / self.team.world)
        needed, free = image * batch * (PREFETCHED * self.workers + 1) * self.here, shared_memory()
        if needed > free:
            raise OSError(
                f"streaming batches of {self.recipe.batch_size} needs {needed / 1e6:.0f} MB of "
                f"shared memory, but /dev/shm has {free / 1e6:.0f} MB free: give a container more "
                "(docker run --shm-size=4g), or choose a smaller batch"
            )

    def _loader(self, view: Callable[[Path], Tensor]) -> DataLoader:
        """Return what loads the batches of ``self.keys``; its processes start with the first pass.

        They wait for the next pass then, so that an epoch does not begin with importing torch.
        """
        return DataLoader(
            _Views(self.files, self.labels, view),
            batch_sampler=self.keys,
            num_workers=self.workers,
            persistent_workers=True,
            collate_fn=_collate,
            pin_memory=self.team.device.type == "cuda",
        )

    def _load(
        self, loader: DataLoader, key: tuple[int, ...], batches: Sequence[Tensor]
    ) -> Iterator[Batch]:
        """Yield this process's share of every batch; one pass at a time."""
        shares = (batch[self.team.share].tolist() for batch in batches)
        # made as they are needed: there may be a million
        self.keys.batches = ([(*key, i) for i in share] for share in shares if share)
        for batch in _alive(loader):
            if isinstance(batch, Exception):
                raise batch
            x, y = (send(tensor, self.team.device) for tensor in batch)
            yield standardise(x.float() / 255), y


Images = Resident | Streamed


def open_images(data: ImageSet | str | Path, recipe: Recipe, team: Team) -> Images:
    """Return an ImageSet on the device, or a stream over the folder of that name."""
    if isinstance(data, ImageSet):
        return Resident(data, recipe, team)
    return Streamed(data, recipe, team)
