"""Two processes are one process with the same batch, up to rounding."""

import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from torch import nn

from minibag.training import fit, run
from minibag.training.distributed import SyncNorm, Team
from minibag.training.loaders import open_images
from tests.house.environment import ROOT
from tests.runs.ranks import NORMS, RECIPE, train_norms, with_norm
from tests.unit.training.small import quick, small_net, small_set, untimed


def torchrun(*args, processes=2):
    """Run ``ranks`` in several processes on this machine."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"),
        *(f"--nproc-per-node={processes}", "-m", "tests.runs.ranks", *map(str, args)),
    ]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture(scope="module")
def alone():
    net = small_net(dropout=0)
    return net, fit(net, small_set(), small_set(9, seed=1), RECIPE)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    out = tmp_path_factory.mktemp("together")
    done = torchrun(out, out / "run")
    assert done.returncode == 0, done.stderr
    return out


def test_two_processes_reach_the_loss_and_weights_of_one(alone, together):
    net, history = alone
    for rank in (0, 1):
        theirs = torch.load(together / f"rank{rank}.pt", weights_only=True)
        torch.testing.assert_close(theirs["net"], net.state_dict(), rtol=1e-4, atol=1e-6)
        for ours, row in zip(untimed(history), untimed(theirs["history"]), strict=True):
            assert row == pytest.approx(ours, rel=1e-5)


@pytest.fixture(scope="module")
def norms_alone():
    return train_norms()


@pytest.mark.parametrize("name", NORMS)
def test_two_processes_are_one_with_every_kind_of_norm(norms_alone, together, name):
    history, state, kinds = norms_alone[name]
    for rank in (0, 1):
        file = together / f"rank{rank}.pt"
        rows, theirs, their_kinds = torch.load(file, weights_only=True)["norms"][name]
        torch.testing.assert_close(theirs, state, rtol=1e-3, atol=1e-5)
        for ours, row in zip(untimed(history), untimed(rows), strict=True):
            assert row == pytest.approx(ours, rel=1e-4)
        assert their_kinds == kinds  # as they were, not ours


class Subclass(nn.BatchNorm2d):
    """A norm whose forward nobody knows."""

    def forward(self, x):
        return super().forward(x) * 2


class Centre(nn.Module):
    """No norm by name, and without statistics."""

    def forward(self, x):
        return x - x.mean(0, keepdim=True)


@pytest.mark.parametrize(
    "odd",
    [
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.BatchNorm2d(4, track_running_stats=False).eval(),
        nn.InstanceNorm2d(4, track_running_stats=True),
        Subclass(4),
        Centre(),
    ],
    ids=["untracked", "untracked and still", "instances tracked", "subclass", "by hand"],
)
def test_two_processes_that_would_not_be_one_are_refused_before_the_work(odd):
    net = with_norm("2d")
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(ValueError, match=rf"2 processes.*: {type(odd).__name__} 2 works"):
        check_alone(net[:2].append(odd).extend(net[2:]))
    assert all(torch.equal(net.state_dict()[k], v) for k, v in state.items())


def check_alone(net):
    x = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    Team(0, 2, torch.device("cpu")).check_images_alone(net, x)


@pytest.mark.parametrize("name", [n for n in NORMS if n != "lazy"])
def test_networks_whose_norms_are_synchronised_are_not_refused(name):
    check_alone(with_norm(name).append(nn.Dropout(0.5)))


@pytest.mark.parametrize(
    "given",
    [
        {"RANK": "1"},
        {"RANK": "1", "WORLD_SIZE": "1", "LOCAL_RANK": "1"},
        {"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "0"},
        {"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"},
        {"WORLD_SIZE": "0"},
        {"WORLD_SIZE": ""},
        {"RANK": "-1"},
    ],
    ids=str,
)
def test_half_an_environment_of_torchrun_is_refused(monkeypatch, tmp_path, given):
    """RANK alone trained, saved nothing and ended with 0."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="several processes need RANK"):
        fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_only_the_first_process_writes(tmp_path):
    for rank in (1, 0):
        team = Team(rank, 1, torch.device("cpu"))
        images = open_images(small_set(), quick(), team)
        run.Run(small_net(), images, None, quick(), team, tmp_path).save()
        assert len([*tmp_path.iterdir()]) == (0 if rank else 2)


def test_one_process_goes_on_where_two_stopped(alone, together):
    net = small_net(seed=5, dropout=0)
    history = fit(net, small_set(), small_set(9, seed=1), RECIPE, together / "run", save_every=3)
    assert len(history) == 2
    torch.testing.assert_close(net.state_dict(), alone[0].state_dict(), rtol=1e-4, atol=1e-6)
    assert (together / "run" / "log.jsonl").read_text().count("started_at_step") == 2


def test_synchronised_norm_of_one_process_is_torchs_in_every_precision():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
        for dtype in (torch.float64, torch.float32, torch.bfloat16):
            norms = [nn.BatchNorm2d(3).to(torch.promote_types(dtype, torch.float32)) for _ in "ab"]
            norms[1].__class__ = SyncNorm
            theirs, ours = (norm(x.to(dtype)) for norm in norms)
            assert ours.dtype == theirs.dtype == dtype
            torch.testing.assert_close(ours, theirs)
            torch.testing.assert_close(norms[1].state_dict(), norms[0].state_dict())
    finally:
        dist.destroy_process_group()


def test_batch_that_cannot_be_shared_is_refused():
    three = Team(0, 3, torch.device("cpu"))
    images = open_images(small_set(), quick(), three)
    with pytest.raises(ValueError, match="8 images a batch cannot be shared evenly by 3"):
        run.Run(nn.Linear(1, 1), images, None, quick(), three, None)
