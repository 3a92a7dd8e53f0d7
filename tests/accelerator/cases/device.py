"""The pretend accelerator itself: what a GPU refuses, it refuses, and what runs is right."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.accelerator.cases.common import THERE, close

HERE_X = torch.arange(12.0).view(3, 4)
X = HERE_X.to(THERE)
MIXED = {
    "+": lambda: X + HERE_X,
    "@": lambda: X @ HERE_X.T,
    "cat": lambda: torch.cat([X, HERE_X]),
    "where": lambda: torch.where(HERE_X > 3, X, X),
    "conv2d": lambda: functional.conv2d(X[None, None], torch.ones(1, 1, 2, 2)),
    "norm": lambda: functional.batch_norm(X, torch.zeros(4), torch.ones(4)),
    "loss": lambda: functional.cross_entropy(X, torch.tensor([0, 1, 2])),
    "gather": lambda: X.gather(1, torch.zeros(3, 1, dtype=torch.int64)),
    "index_select": lambda: X.index_select(0, torch.tensor([0])),
    "index there": lambda: HERE_X[torch.tensor([0], device=THERE)],
    "masked_fill": lambda: X.masked_fill(HERE_X > 3, 0.0),
    "in place": lambda: X.add_(HERE_X),
    "put": lambda: X.index_put((torch.tensor([0]),), torch.ones(1, 4)),
    "lerp": lambda: HERE_X.clone().lerp_(X, 0.5),
    "grid": lambda: functional.grid_sample(
        X.view(1, 1, 3, 4), torch.zeros(1, 2, 2, 2), align_corners=False
    ),
    "numpy": X.numpy,
    "asarray": lambda: np.asarray(X),
    "generator": lambda: torch.rand(3, device=THERE, generator=torch.Generator()),
    "bernoulli": lambda: X.bernoulli_(0.5, generator=torch.Generator()),
    "float64": X.double,
    "float64 of an array": lambda: torch.as_tensor(np.ones(3), device=THERE),
    "not pinned": lambda: HERE_X.to(THERE, non_blocking=True),
}


@pytest.mark.parametrize("what", MIXED)
def test_what_a_gpu_refuses_is_refused(what):
    with pytest.raises((RuntimeError, TypeError)):
        MIXED[what]()


def test_numbers_and_indices_may_come_from_the_cpu_as_on_a_gpu():
    close(X * torch.tensor(2.0), HERE_X * 2)
    close(X[torch.tensor([2, 0])], HERE_X[[2, 0]])
    close(X[HERE_X[:, 0] > 3], HERE_X[1:])
    assert float(X.sum()) == HERE_X.sum()


def test_views_share_memory_and_operators_write_in_place():
    x = HERE_X.to(THERE)
    x[1].mul_(10)
    x.T[0] = -1
    x.view(-1)[5:7].zero_()
    x.unfold(1, 2, 2)[2, 0] = 7
    expected = HERE_X.clone()
    expected[1] *= 10
    expected.T[0] = -1
    expected.view(-1)[5:7] = 0
    expected[2, :2] = 7
    close(x, expected, 0)
    close(torch.add(X, X, out=torch.empty(0, device=THERE)), HERE_X * 2, 0)


def test_a_training_step_is_that_of_the_cpu():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    near, x = nn.Sequential(*layers, nn.Linear(8 * 36, 2)), torch.randn(4, 3, 8, 8)
    far = copy.deepcopy(near).to(THERE)
    for net in (near, far):
        torch.manual_seed(1)
        net(x.to(net[0].weight.device)).square().sum().backward()
        for fused in (False, True):
            torch.optim.SGD(net.parameters(), 0.01, 0.9, fused=fused).step()
    for a, b in zip(near.parameters(), far.parameters(), strict=True):
        close(b.grad, a.grad)
        close(b, a.detach())
    for name, value in near[1].state_dict().items():
        close(far[1].state_dict()[name], value)


def test_random_numbers_repeat_and_are_not_the_cpus():
    generator = torch.Generator(THERE).manual_seed(3)
    first = torch.rand(5, device=THERE, generator=generator)
    assert torch.equal(first, torch.rand(5, device=THERE, generator=generator.manual_seed(3)))
    torch.manual_seed(4)
    expected = torch.rand(5, device=THERE).cpu()
    torch.manual_seed(4)
    torch.rand(1)
    assert torch.equal(torch.rand(5, device=THERE).cpu(), expected)
    with torch.random.fork_rng([THERE]):
        state = torch.rand(2, device=THERE)
    assert torch.equal(torch.rand(2, device=THERE), state)


def test_pinned_memory_may_be_copied_without_blocking():
    close(HERE_X.pin_memory().to(THERE, non_blocking=True), HERE_X, 0)
    for (batch,) in DataLoader(TensorDataset(HERE_X), 2, num_workers=1, pin_memory=True):
        assert batch.is_pinned()
        assert batch.to(THERE, non_blocking=True).device.type == "pretend"


def test_tensors_are_saved_and_loaded_there_and_here():
    file = io.BytesIO()
    torch.save({"a": X[1:]}, file)
    for device in ("cpu", "pretend"):
        file.seek(0)
        found = torch.load(file, map_location=device, weights_only=True)["a"]
        assert found.device.type == device
        close(found, HERE_X[1:], 0)


def test_autocast_computes_in_16_bits_and_takes_losses_in_32():
    layer = nn.Linear(4, 2).to(THERE)
    with torch.autocast("pretend", torch.bfloat16):
        logits = layer(X)
        loss = functional.cross_entropy(logits, torch.zeros(3, dtype=torch.int64, device=THERE))
    assert (logits.dtype, loss.dtype) == (torch.bfloat16, torch.float32)
    exact = functional.linear(HERE_X, layer.weight.detach().cpu(), layer.bias.detach().cpu())
    close(logits.float(), exact, 0.05)
