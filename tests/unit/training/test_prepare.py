"""Steps of the optimiser in one pass, and averages of weights, against plain loops."""

import copy

import pytest
import torch
from torch import nn

from minibag.training import fit, prepare
from minibag.training.recipe import Recipe
from tests.unit.training.small import quick, small_net, small_set


def optimizers(kind, net):
    """Ours, and PyTorch's plain loop over the same groups, of copies of a network."""
    recipe = Recipe(optimizer=kind, lr=0.1, weight_decay=0.1)
    ours, plain = copy.deepcopy(net), copy.deepcopy(net)
    fused = prepare.make_optimizer(ours, recipe)
    options = {"lr": 0.1, "foreach": False, "fused": False}
    options |= {"momentum": recipe.momentum} if kind == "sgd" else {}
    cls = torch.optim.SGD if kind == "sgd" else torch.optim.AdamW
    vectors = [p for p in plain.parameters() if p.ndim <= 1]
    matrices = [p for p in plain.parameters() if p.ndim > 1]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return (ours, fused), (plain, cls(groups, **options))


def steps(net, optimizer, first, last):
    for step in range(first, last):
        x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        net(x).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def assert_close(ours, plain):
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_fused_steps_are_those_of_the_plain_loop_also_after_a_checkpoint_of_another_layout(kind):
    net = small_net(dropout=0).to(memory_format=torch.channels_last)
    (ours, fused), (plain, loop) = optimizers(kind, net)
    assert fused.defaults["fused"]
    for model, optimizer in ((ours, fused), (plain, loop)):
        steps(model, optimizer, 0, 3)
    assert_close(ours, plain)

    elsewhere = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    assert elsewhere[0].weight.stride() != ours[0].weight.stride()
    again = prepare.make_optimizer(elsewhere, Recipe(optimizer=kind, lr=0.1, weight_decay=0.1))
    again.load_state_dict(copy.deepcopy(fused.state_dict()))
    prepare.settle(again)
    for model, optimizer in ((elsewhere, again), (plain, loop)):
        steps(model, optimizer, 3, 6)
    assert_close(elsewhere, plain)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_another_device_chooses_its_own_steps_and_so_does_a_checkpoint_from_here(kind):
    recipe, net = Recipe(optimizer=kind), small_net()
    here, there = (prepare.make_optimizer(n, recipe) for n in (net, copy.deepcopy(net).to("meta")))
    assert here.defaults["fused"]
    assert there.defaults["fused"] is None
    there.load_state_dict(here.state_dict())
    prepare.settle(there)
    assert [group["fused"] for group in there.param_groups] == [None, None]


class Tied(nn.Module):
    """Two names for one matrix, and a statistic that is no weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(self.second(self.first(x.mean((2, 3)))))


def test_the_average_counts_a_shared_weight_once():
    torch.manual_seed(0)
    net, seen = Tied(), []
    twin = copy.deepcopy(net)
    assert len(prepare.averaged(net)) == 5  # the matrix, and four of the norm
    net.register_forward_pre_hook(lambda net, _: seen.append(net.first.weight.detach().clone()))
    recipe = quick(epochs=1, ema=0.8, precision="fp32")
    fit(twin, small_set(44), recipe=quick(epochs=1, precision="fp32"), device="cpu")
    fit(net, small_set(44), recipe=recipe, device="cpu")
    weights = [*seen[1:], twin.first.weight.detach()][-5:]  # after each of the five steps
    expected = weights[0]
    for step, weight in enumerate(weights[1:], 2):
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(net.first.weight.detach(), expected)
