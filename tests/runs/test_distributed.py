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
from tests.runs.ranks import RECIPE
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
