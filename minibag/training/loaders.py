"""Where batches come from: a set that lies on the device, or a folder of any size."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from minibag.data import ImageSet
from minibag.machine import cpu_count
from minibag.training.augment import DRAWS, augment, generator, seed_of, standardise
from minibag.training.distributed import Team
from minibag.training.recipe import Recipe

Batch = tuple[Tensor, Tensor]  # normalised float32 (n, 3, H, W), int64 (n,), on the device
ORDER, VIEWS = 1, 2  # purposes of random numbers
TEST_BATCH = 256
FOLDER_SIDE = 224  # pixels, unless the recipe says otherwise


def plan(n: int, recipe: Recipe, epoch: int) -> list[Tensor]:
    """Return the indices of every batch of an epoch; what does not fill a batch is left out."""
    order = torch.randperm(n, generator=generator(recipe.seed, ORDER, epoch))
    size = min(recipe.batch_size, n)
    return list(order[: n // size * size].split(size))


class Resident:
    """An ImageSet, kept as bytes on the device if it fits there, else on the host."""

    def __init__(self, data: ImageSet, recipe: Recipe, team: Team) -> None:
        self.data, self.recipe, self.team = data, recipe, team
        self.classes = data.classes
        self.labels = torch.from_numpy(data.labels.copy()).to(team.device)
        fits = team.device.type != "cuda" or (
            data.images.nbytes < torch.cuda.mem_get_info(team.device)[0] / 2
        )
        home = team.device if fits else torch.device("cpu")
        self.images = torch.from_numpy(np.require(data.images, requirements=["C", "W"])).to(home)

    def __len__(self) -> int:
        return len(self.data)

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
            yield standardise(x), y

    def _take(self, index: Tensor) -> Batch:
        """uint8 images (n, 3, H, W), channels last in memory, and their labels."""
        x = self.images[index.to(self.images.device)].to(self.labels.device)
        return x.permute(0, 3, 1, 2), self.labels[index.to(self.labels.device)]


class _Views(ImageFolder):
    """An ImageFolder asked for (..., index), a key that fixes the view and nothing else does."""

    def __getitem__(self, key: Any) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(*key))
            return super().__getitem__(key[-1])


class Streamed:
    """A folder of class folders, decoded in other processes while the network trains."""

    def __init__(self, path: Path, recipe: Recipe, team: Team) -> None:
        self.recipe, self.team = recipe, team
        size, change = recipe.image_size or FOLDER_SIDE, recipe.jitter
        random = [v2.RandomResizedCrop(size, (recipe.min_scale, 1))]
        random += [v2.RandomHorizontalFlip()] if recipe.flip else []
        random += [v2.ColorJitter(change, change, change)] if change else []
        still = [v2.Resize(round(size * 256 / 224)), v2.CenterCrop(size)]
        self.random = _Views(path, v2.Compose([*random, v2.PILToTensor()]))
        self.still = _Views(path, v2.Compose([*still, v2.PILToTensor()]))
        self.classes = tuple(self.random.classes)

    def __len__(self) -> int:
        return len(self.random)

    def fingerprint(self) -> str:
        """Return a hash of file names and labels; reading all images would take too long."""
        root = Path(self.random.root)
        names = [(Path(file).relative_to(root).as_posix(), y) for file, y in self.random.samples]
        return hashlib.sha256(repr(names).encode()).hexdigest()[:16]

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the random views of an epoch in random order, from batch ``start`` on."""
        key = (self.recipe.seed, VIEWS, epoch)
        return self._load(self.random, key, plan(len(self), self.recipe, epoch)[start:])

    def in_order(self) -> Iterator[Batch]:
        """Yield every image once, its centre cut out."""
        size = TEST_BATCH * self.team.world
        return self._load(self.still, (), torch.arange(len(self)).split(size))

    def _load(
        self, files: _Views, key: tuple[int, ...], batches: Sequence[Tensor]
    ) -> Iterator[Batch]:
        device = self.team.device
        shares = (batch[self.team.share].tolist() for batch in batches)
        keys = ([(*key, i) for i in share] for share in shares if share)
        loader: DataLoader = DataLoader(
            files,
            batch_sampler=keys,  # made as they are needed: there may be a million
            num_workers=min(max(1, cpu_count() // self.team.world), len(batches)),
            pin_memory=device.type == "cuda",
        )
        for x, y in loader:
            yield standardise(x.to(device, non_blocking=True)), y.to(device, non_blocking=True)


Images = Resident | Streamed


def open_images(data: ImageSet | str | Path, recipe: Recipe, team: Team) -> Images:
    """Return an ImageSet on the device, or a stream over the folder of that name."""
    if isinstance(data, ImageSet):
        return Resident(data, recipe, team)
    return Streamed(Path(data), recipe, team)
