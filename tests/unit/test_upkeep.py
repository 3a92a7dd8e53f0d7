"""The two ways to one end, beside the network, do end at the same."""

import pytest
import torch

from benchmarks import upkeep
from minibag.nets import build

CPU = torch.device("cpu")
TINY = {"name": "bagnet", "patch_size": 9, "num_classes": 10, "width": 4, "layers": [1, 1, 1, 1]}


@pytest.mark.parametrize("way", [0, 1], ids=["plain", "ours"])
def test_a_step_moves_every_weight_against_its_gradient_by_its_rate(way):
    torch.manual_seed(0)
    net = build(TINY)
    before = [weight.detach().clone() for weight in net.parameters()]
    step = upkeep.steps(net)[way]
    rates = {group["lr"] for group in step.__self__.param_groups}
    step()
    for old, new in zip(before, net.parameters(), strict=True):
        assert torch.allclose(old - new, torch.full_like(old, *rates), rtol=0.2)  # decay aside


def test_maps_are_the_same_wherever_their_classes_are_checked():
    torch.manual_seed(0)
    plain, ours = upkeep.maps(build(TINY), torch.randn(4, 3, 32, 32))
    assert torch.allclose(plain(), ours(), atol=1e-6)


def test_both_ways_are_timed_and_counted():
    calls = [0, 0]

    def way(k):
        calls[k] += 1

    row = upkeep.by_turns((lambda: way(0), lambda: way(1)), 0.01, CPU)
    assert row.keys() == {"plain", "ours", "n"}
    assert calls[0] == calls[1] == row["n"] + 1
