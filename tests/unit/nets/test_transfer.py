"""Copies to a device: pinned, or waited for."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import minibag
from minibag.nets import normalise, transfer
from minibag.nets.transfer import constant, send
from minibag.training import loaders
from minibag.training.augment import DRAWS, augment
from minibag.training.distributed import Team
from tests.unit.training.small import quick, small_set


class Device:
    """Records how tensors come to a device that is not there; memory is pinned by a mark."""

    def __init__(self, monkeypatch):
        self.copies, self.pinned, to = [], set(), Tensor.to

        def pin(x):
            self.pinned.add(id(x := x.clone()))
            self.kept = x
            return x

        def fake(x, *args, non_blocking=False, **options):
            target = args[0] if args and isinstance(args[0], torch.device) else None
            if target is not None and target.type != "cpu":
                self.copies.append((non_blocking, id(x) in self.pinned))
                return x.clone()
            return to(x, *args, non_blocking=non_blocking, **options)

        monkeypatch.setattr(Tensor, "pin_memory", pin)
        monkeypatch.setattr(Tensor, "to", fake)


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_only_pinned_memory_is_copied_without_waiting_and_only_to_cuda(kind, monkeypatch):
    device = Device(monkeypatch)
    x = torch.arange(3)
    assert torch.equal(send(x, torch.device(kind)), x)
    assert device.copies == [(kind == "cuda", kind == "cuda")]


def test_what_is_there_already_is_not_copied():
    x = torch.arange(3)
    assert send(x, torch.device("cpu")) is x


def test_no_other_module_copies_without_waiting():
    home = Path(minibag.__file__).parent
    files = [path for path in home.rglob("*.py") if path != Path(transfer.__file__)]
    assert len(files) > 50
    found = [
        str(path) for path in files if re.search(r"non_blocking|copy_\(.*True", path.read_text())
    ]
    assert found == []


def test_constants_are_made_once_a_device_and_let_gradients_pass():
    constant.cache_clear()
    with torch.inference_mode():
        first = constant((0.5, 2.0), torch.float32, torch.device("cpu"))
    assert constant((0.5, 2.0), torch.float32, torch.device("cpu")) is first
    assert constant((0.5, 2.0), torch.float64, torch.device("cpu")).dtype == torch.float64
    assert constant((0.5, 2.0), torch.float32, torch.device("meta")).is_meta
    x = torch.ones(1, 2, 1, 1, requires_grad=True)
    (x / first).sum().backward()
    assert x.grad.flatten().tolist() == [2.0, 0.5]


def test_views_are_made_where_the_images_are_without_a_copy_but_of_the_draws(monkeypatch):
    """On a device of shapes alone, where whatever came from elsewhere would be refused."""
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8, device="meta")
    sent = []
    monkeypatch.setattr("minibag.training.augment.send", lambda x, d: sent.append(x) or x.to(d))
    for recipe in (quick(), quick(shift=0, flip=True), quick(min_scale=0.5, image_size=6)):
        sent.clear()
        x = loaders.standardise(augment(images, torch.rand(4, DRAWS), recipe))
        assert x.is_meta
        assert len(sent) == 1
    assert normalise(np.zeros((1, 8, 8, 3), np.uint8), "meta").is_meta


@pytest.mark.parametrize(("free", "kind"), [(4 * 44 * 192, "cpu"), (4 * 44 * 192 + 1, "meta")])
def test_a_set_that_takes_a_quarter_of_a_devices_memory_stays_on_the_host(free, kind, monkeypatch):
    monkeypatch.setattr(loaders, "device_memory", lambda device: free)
    images = loaders.Resident(small_set(44), quick(), Team(0, 1, torch.device("meta")))
    assert images.images.device.type == images.labels.device.type == kind


def test_batches_of_a_set_on_the_host_go_to_the_device_and_nothing_comes_back(monkeypatch):
    data, sent = small_set(20), []
    monkeypatch.setattr(loaders, "device_memory", lambda device: 0)
    monkeypatch.setattr(loaders, "send", lambda x, d: sent.append((x.dtype, d.type)) or send(x, d))
    images = loaders.Resident(data, quick(batch_size=8), Team(0, 1, torch.device("meta")))
    batches = list(images.batches(0, 0))
    assert len(batches) == 2
    assert all(x.is_meta and y.is_meta for x, y in batches)
    assert sent == 2 * [(torch.int64, "cpu"), (torch.uint8, "meta"), (torch.int64, "meta")]


def test_batches_are_the_images_and_labels_of_the_plan():
    data, recipe = small_set(20), quick(batch_size=8, shift=0, flip=False, jitter=0)
    images = loaders.Resident(data, recipe, Team(0, 1, torch.device("cpu")))
    for index, (x, y) in zip(loaders.plan(20, recipe, 3), images.batches(3, 0), strict=True):
        assert torch.equal(x, normalise(data.images[index]))
        assert y.tolist() == data.labels[index].tolist()
