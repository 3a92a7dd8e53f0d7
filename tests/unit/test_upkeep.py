"""The two ways to one end, beside the network, do end at the same."""

import copy

import torch

from benchmarks import upkeep
from minibag.nets import build

CPU = torch.device("cpu")
TINY = {"name": "bagnet", "patch_size": 9, "num_classes": 10, "width": 4, "layers": [1, 1, 1, 1]}


def test_a_fused_step_takes_the_weights_where_the_plain_one_does():
    torch.manual_seed(0)
    nets = [build(TINY)]
    nets.append(copy.deepcopy(nets[0]))
    plain, ours = upkeep.steps(nets[0])[0], upkeep.steps(nets[1])[1]
    plain()
    ours()
    for one, two in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.allclose(one, two, atol=2e-3)  # a step is 1e-3 or 2e-3, decay aside


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
