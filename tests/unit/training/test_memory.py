"""Batches for the memory that is there, on a device that is not: its memory is a number."""

import pytest
import torch
from torch import nn

from minibag.training import memory
from minibag.training.memory import batch_that_fits, bytes_of_maps, halving

GPU = torch.device("cuda")


def test_all_maps_of_a_network_are_counted_once():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert bytes_of_maps(net, 12) == 4 * (5 * 100 + 5 * 100 + 5 + 5)


@pytest.mark.parametrize(
    ("free", "batch"), [(1e12, 64), (64 * 4000, 64), (64 * 4000 - 1, 32), (4000, 1), (1, 1)]
)
def test_the_batch_is_halved_until_its_maps_take_half_of_what_is_free(free, batch, monkeypatch):
    monkeypatch.setattr(memory, "device_memory", lambda device: 2 * free)
    monkeypatch.setattr(memory, "bytes_of_maps", lambda net, side: 4000)
    assert batch_that_fits(nn.Identity(), 12, GPU, 64) == batch


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("MPS backend out of memory (18 GB)")]
)
def test_a_step_that_finds_no_memory_is_tried_again_with_half_and_says_so(error, capsys):
    tried = []

    def run(batch):
        tried.append(batch)
        if batch > 20:
            raise error
        return f"done with {batch}"

    assert halving(run, 64) == "done with 16"
    assert tried == [64, 32, 16]
    assert capsys.readouterr().out.splitlines() == [
        "64 images at a time do not fit into memory, so 32",
        "32 images at a time do not fit into memory, so 16",
    ]


def test_one_image_that_does_not_fit_and_every_other_error_are_raised():
    for batch, error in ((1, torch.OutOfMemoryError("CUDA")), (8, RuntimeError("shapes differ"))):
        with pytest.raises(type(error), match=str(error)):
            halving(lambda _, error=error: (_ for _ in ()).throw(error), batch)
