"""Checkpoints: a killed run goes on as if nothing had happened; a damaged one says so."""

import contextlib
import json
import math
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from minibag.training import fit
from minibag.training.checkpoint import save_checkpoint
from tests.house.environment import ROOT
from tests.runs.killed import LONG, train
from tests.unit.training.small import on_work, quick, same_state, small_net, small_set, untimed

KILLS = 20


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield torch.set_num_threads(1)
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_run_killed_twenty_times_ends_with_the_same_bits(tmp_path):
    plain, net = small_net(), small_net(seed=7)
    history = train(None, plain)
    command = [sys.executable, "-m", "tests.runs.killed", str(tmp_path), str(KILLS)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    resumed = train(tmp_path, net)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    starts = [row["started_at_step"] for row in rows if "started_at_step" in row]
    assert len(starts) == KILLS + 1
    assert starts == sorted(starts)
    assert len(set(starts)) > KILLS / 2, "killed before it could save: nothing was tested"
    assert starts[-1] < LONG.epochs * 5, "finished before the last kill"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "lock", "log.jsonl"]
    assert same_state(net, plain)
    assert untimed(resumed) == untimed(history)


def stop_at(net, step):
    """Let the network fail in its n-th forward pass of a training step."""
    seen = []

    def count(net):
        seen.append(1)
        if net.training and len(seen) > step:
            raise KeyboardInterrupt

    return on_work(net, count)


@pytest.mark.parametrize("step", [1, 4, 5, 6, 9])
@pytest.mark.parametrize("save_every", [None, 1, 2])
def test_interrupted_run_goes_on_from_its_last_checkpoint(tmp_path, step, save_every):
    plain, first, second = small_net(), small_net(), small_net(seed=3)
    history = fit(plain, small_set(), recipe=quick())
    stop_at(first, step)
    with pytest.raises(KeyboardInterrupt):
        fit(first, small_set(), recipe=quick(), folder=tmp_path, save_every=save_every)
    resumed = fit(second, small_set(), recipe=quick(), folder=tmp_path, save_every=save_every)
    assert same_state(plain, second)
    assert untimed(resumed) == untimed(history)
    log = (tmp_path / "log.jsonl").read_text()
    last = step - step % (save_every or 5) if save_every != 2 or step != 5 else 5
    assert f'{{"started_at_step": {last}}}' in log


def test_finished_run_returns_at_once_with_its_weights(tmp_path):
    first, second = small_net(), small_net(seed=3)
    history = fit(first, small_set(), recipe=quick(), folder=tmp_path)

    def never(_):
        raise AssertionError("trained again")

    on_work(second, never)
    assert fit(second, small_set(), recipe=quick(), folder=tmp_path) == history
    assert same_state(first, second)
    assert not second.training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": quick(lr=0.02)}, "lr was 0.01, is 0.02"),
        ({"net": small_net(classes=2), "train": small_set(classes=2)}, "network"),
        ({"train": small_set(seed=5)}, "training images"),
        ({"val": small_set(9)}, "validation images"),
        ({"net": small_net(dropout=0.3)}, "network"),
    ],
)
def test_folder_of_another_run_is_refused(tmp_path, change, said):
    given = {"net": small_net(), "train": small_set(), "recipe": quick(), "folder": tmp_path}
    fit(**given)
    with pytest.raises(ValueError, match=said):
        fit(**given | change)


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    (tmp_path / "checkpoint.pt.123.part").write_text("half")
    fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "lock", "log.jsonl"]


def test_a_disk_that_fills_while_a_checkpoint_is_written_is_named_and_the_last_one_kept(tmp_path):
    def train(net, epochs):
        return fit(net, small_set(), recipe=quick(epochs=epochs), folder=tmp_path / str(epochs))

    train(small_net(), 1)
    (tmp_path / "2").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))  # as a disk that is full
    try:
        with pytest.raises(OSError, match=r"File too large: '.*checkpoint\.pt'"):
            train(small_net(), 2)
        large = {"net": torch.zeros(100_000)}  # fails within torch's writer, not behind it
        with pytest.raises(OSError, match=r"File too large: '.*checkpoint\.pt'"):
            save_checkpoint(tmp_path / "2" / "checkpoint.pt", large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "2").glob("checkpoint*"))
    assert len(train(small_net(), 2)) == 2


def test_every_damage_to_a_checkpoint_is_told(tmp_path):
    file = tmp_path / "checkpoint.pt"
    fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path)
    good, rng = file.read_bytes(), np.random.default_rng(0)
    cuts = [good[:n] for n in (0, 1, 100, len(good) // 2, len(good) - 1)]
    foreign = [b"text", b"PK\x03\x04" + bytes(200)]
    for content in cuts + foreign:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
            fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path)
    reference = small_net()
    file.write_bytes(good)
    fit(reference, small_set(), recipe=quick(epochs=1), folder=tmp_path)
    noticed = 0
    for position in rng.integers(0, len(good), 60):
        changed = bytearray(good)
        changed[position] ^= 1 << rng.integers(8)
        file.write_bytes(changed)
        net = small_net()
        with contextlib.suppress(ValueError):
            fit(net, small_set(), recipe=quick(epochs=1), folder=tmp_path)
            assert same_state(net, reference), f"bit at {position} went unnoticed"
            noticed -= 1
        noticed += 1
    assert noticed > 20  # the others lie in the padding between records


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save({"format": 2, "run": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="damaged"):
        fit(small_net(), small_set(), recipe=quick(), folder=tmp_path)


class Poison(nn.Module):
    """Turns the logits into ``value`` at one step."""

    def __init__(self, step, value):
        super().__init__()
        self.body, self.step, self.value, self.seen = small_net(), step, value, []

    def forward(self, x):
        self.seen += [1] if self.training and len(x) > 2 else []  # else the rehearsal
        bad = self.training and len(self.seen) == self.step
        return self.body(x) * (self.value if bad else 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("save_every", [None, 2])
def test_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(
    tmp_path, value, save_every
):
    net = Poison(8, value)
    with pytest.raises(FloatingPointError, match=r"loss of step 8 is nan.*lr"):
        fit(net, small_set(), recipe=quick(), folder=tmp_path, save_every=save_every)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["sofar"]["step"] == (5 if save_every is None else 6)
    assert all(tensor.isfinite().all() for tensor in state["net"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    """The loss of the last step of an epoch may still be finite."""
    net, steps = small_net(), []

    def spoil(grad):
        steps.append(1)
        return grad * math.nan if len(steps) == 10 else grad

    net[6].weight.register_hook(spoil)
    with pytest.raises(FloatingPointError, match=r"step 10, not finite: 6\.weight"):
        fit(net, small_set(), recipe=quick(), folder=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["sofar"]["step"] == 5
    assert all(tensor.isfinite().all() for tensor in state["net"].values())
