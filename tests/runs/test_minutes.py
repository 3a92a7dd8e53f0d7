"""A training with little time: it stops when it said it would, and goes on to the same end."""

import json
import time

import pytest
import torch

from minibag.training import fit
from tests.unit.training.small import on_work, quick, same_state, small_net, small_set, untimed

TRAIN, VAL = small_set(44), small_set(24, seed=1)  # 5 steps an epoch, and 6 batches of 4
EPOCHS = 3


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by a minute with every forward pass, and not by itself."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr("minibag.training.loaders.TEST_BATCH", 4)
    return now


def timed_net(now, seed=0):
    net = small_net(seed)

    def tick(_):
        now[0] += 60

    on_work(net, tick)
    return net


def call(net, folder=None, minutes=None):
    return fit(net, TRAIN, VAL, quick(epochs=EPOCHS), folder, minutes=minutes)


@pytest.mark.parametrize("minutes", [1, 3, 4.5, 5, 8, 12])
def test_a_call_ends_within_a_step_of_its_minutes_and_the_next_ones_end_the_same(
    tmp_path, clock, minutes
):
    """Also if a validation, of 6 minutes, fits in no call: then one does nothing else."""
    plain = small_net()
    history = call(plain)
    for number in range(60):
        net, start = timed_net(clock, seed=number), clock[0]
        rows = call(net, tmp_path, minutes)
        used = (clock[0] - start) / 60
        if len(rows) == EPOCHS:
            break
        assert used <= minutes + 1 or (used == 6 and minutes < 6)
    assert number > 1
    assert untimed(rows) == untimed(history)
    assert same_state(net, plain)
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in log if "epoch" in row] == [1, 2, 3]


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_a_validation_that_fails_does_not_cost_the_epoch(tmp_path, problem):
    plain, first, second = small_net(), small_net(), small_net(seed=1)
    history = call(plain)

    def fail(net):
        if not net.training:
            raise problem

    on_work(first, fail)
    with pytest.raises(problem):
        call(first, tmp_path)
    passes = []
    on_work(second, lambda net: passes.append(net.training))
    assert untimed(call(second, tmp_path)) == untimed(history)
    assert sum(passes) == 5 * (EPOCHS - 1)
    assert same_state(plain, second)


def test_the_time_of_opening_counts(tmp_path, clock, monkeypatch):
    """A large set is hashed before the first step; that step is taken whatever has been spent."""
    steps = []
    monkeypatch.setattr(torch.optim.AdamW, "__init__", slow(torch.optim.AdamW.__init__, clock))
    net = small_net()
    on_work(net, lambda _: steps.append(1))
    assert call(net, tmp_path, minutes=5) == []
    assert len(steps) == 1


def slow(function, clock):
    def slowed(*given, **named):
        clock[0] += 600
        return function(*given, **named)

    return slowed
