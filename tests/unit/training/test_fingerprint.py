"""What a checkpoint knows of its network: all that makes it another function."""

import functools
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from minibag.training import fit
from minibag.training.fingerprint import fingerprint
from tests.house.environment import ROOT
from tests.unit.training.small import quick, small_net, small_set


class Attributes(nn.Module):
    """Says what it does in attributes that are no modules."""

    def __init__(self, **options):
        super().__init__()
        self.fc, self.act, self.sizes, self.scale = nn.Linear(4, 3), functional.relu, [1, 2], 1.0
        self.table, self.register = {"a": 1}, self.register_buffer
        self.register("mask", torch.ones(3), persistent=False)
        vars(self).update(options)

    def forward(self, x):
        return self.act(self.fc(x))


def edited(body):
    """A class as a notebook has it, after its cell has been changed and run again."""
    names = {"nn": nn, "functional": functional, "__name__": "__main__"}
    code = f"""
class Silu(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        return {body}
"""
    exec(code, names)
    return names["Silu"]()


def masked(value):
    net = Attributes()
    net.mask.fill_(value)
    return net


def leaky(slope):
    return Attributes(act=functools.partial(functional.leaky_relu, negative_slope=slope))


def trained(flag):
    net = small_net()
    net[0].weight.requires_grad_(flag)
    return net


PAIRS = {
    "activation": (nn.Sequential(nn.ReLU()), nn.Sequential(nn.SiLU())),
    "norm": (nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
    "pooling": (nn.MaxPool2d(2), nn.AvgPool2d(2)),
    "order": (nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())),
    "function": (Attributes(), Attributes(act=functional.silu)),
    "lambda": (Attributes(act=lambda x: x + 1), Attributes(act=lambda x: x + 2)),
    "partial": tuple(leaky(slope) for slope in (1, 2)),
    "list": (Attributes(), Attributes(sizes=[1, 3])),
    "table": (Attributes(), Attributes(table={"a": 2})),
    "number": (Attributes(), Attributes(scale=2.0)),
    "dtype": (Attributes(scale=torch.float32), Attributes(scale=torch.float64)),
    "none": (Attributes(), Attributes(scale=None)),
    "buffer that is no state": (masked(1), masked(0)),
    "forward": (edited("functional.relu(self.fc(x))"), edited("functional.silu(self.fc(x))")),
    "constant": (edited("self.fc(x) * 2"), edited("self.fc(x) * 3")),
    "frozen": (trained(True), trained(False)),
    "padding": (nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3, padding_mode="reflect", padding=1)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_another_function_has_another_fingerprint(name):
    one, other = PAIRS[name]
    assert fingerprint(one) != fingerprint(other)


def test_what_does_not_change_the_function_does_not_change_the_fingerprint():
    net, expected = small_net(), fingerprint(small_net())
    nn.init.normal_(net[0].weight)
    net[1].running_mean += 1
    net.eval().register_forward_hook(lambda *_: None)
    net[0].register_full_backward_hook(lambda *_: None)
    net(torch.zeros(1, 3, 8, 8)).sum().backward()
    assert fingerprint(net) == expected
    again = edited("functional.silu(self.fc(x))"), edited("functional.silu(self.fc(x))  # the same")
    assert fingerprint(again[0]) == fingerprint(again[1])
    assert fingerprint(Attributes()) == fingerprint(Attributes())


def test_fingerprint_is_that_of_every_process():
    """Sets and addresses differ from one to the next."""
    code = (
        "import minibag as mb; from minibag.training.fingerprint import fingerprint;"
        "from tests.unit.training.test_fingerprint import PAIRS;"
        "print([fingerprint(net) for pair in PAIRS.values() for net in pair],"
        "fingerprint(mb.bagnet9(num_classes=3, width=4, layers=(1, 1, 1, 1))))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in "12"
    ]  # fmt: skip
    assert said[0] == said[1] != ""


def test_resume_refuses_another_activation_and_an_edited_forward(tmp_path):
    """The first history came back, with weights that belong to another function."""
    recipe = quick(epochs=1)
    fit(small_net(), small_set(), recipe=recipe, folder=tmp_path / "a")
    net = small_net()
    net[2] = nn.SiLU()
    with pytest.raises(ValueError, match=r"another run .network was"):
        fit(net, small_set(), recipe=recipe, folder=tmp_path / "a")

    def flat(body):
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 4), edited(body))

    fit(flat("functional.relu(self.fc(x))"), small_set(), recipe=recipe, folder=tmp_path / "b")
    with pytest.raises(ValueError, match=r"another run .code of the network was"):
        fit(flat("functional.silu(self.fc(x))"), small_set(), recipe=recipe, folder=tmp_path / "b")
