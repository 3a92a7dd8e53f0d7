"""The folder of a training: for one run at a time, and wary of what others have put there."""

import errno
import json
import multiprocessing
import os
import time
import zipfile

import pytest
import torch

from minibag.training import fit
from minibag.training.checkpoint import hold
from tests.unit.training.small import quick, same_state, small_net, small_set

FORK = multiprocessing.get_context("fork")


def again(folder, net=None):
    return fit(net or small_net(), small_set(), recipe=quick(epochs=1, ema=0.9), folder=folder)


@pytest.fixture
def ended(tmp_path):
    """A folder in which a training has ended."""
    again(tmp_path)
    return tmp_path


def keep(folder, pipe, heir):
    """Hold a folder until killed; ``heir`` is a child that outlives its parent for a while."""
    with hold(folder):
        child = FORK.Process(target=time.sleep, args=(heir,), daemon=True)
        child.start()
        pipe.send(child.pid)
        time.sleep(60)


def test_folder_of_a_training_that_goes_on_is_refused_and_of_a_killed_one_is_not(ended):
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=keep, args=(ended, theirs, 30))
    other.start()
    heir = ours.recv()
    try:
        before = (ended / "checkpoint.pt").read_bytes()
        with pytest.raises(ValueError, match="another training is going on in"):
            again(ended)
        assert (ended / "checkpoint.pt").read_bytes() == before
        other.kill()
        other.join()
        os.kill(heir, 0)  # still there, as the processes that load images are for some seconds
        again(ended)
    finally:
        other.kill()
        os.kill(heir, 9)


def test_second_training_in_one_process_is_refused_and_the_first_one_ends(tmp_path):
    net, refused = small_net(), []

    def nested(*_):
        if not refused:
            with pytest.raises(ValueError, match="another training is going on in") as error:
                again(tmp_path / "." / "run")
            refused.append(error)

    net.register_forward_hook(nested)
    again(tmp_path / "run", net)
    assert refused
    plain = small_net()
    again(tmp_path / "run", plain)  # free again
    assert same_state(plain, net)


def test_folder_without_locks_trains_with_a_warning(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("minibag.training.checkpoint.lock", no_locks)
    with pytest.warns(UserWarning, match="no locks in .*No locks available"):
        again(tmp_path)


def test_half_a_line_of_the_log_does_not_spoil_the_next(ended):
    log = ended / "log.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"step": 3, "lo')
    again(ended)
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert log.read_text().startswith(whole)
    assert rows[-1] == {"started_at_step": 5}
    log.write_text('{"step"')  # nothing but half a line
    again(ended)
    assert log.read_text() == '{"started_at_step": 5}\n'


@pytest.mark.parametrize(
    ("fault", "raised", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), PermissionError, "cannot be read"),
        (OSError(errno.EIO, "Input/output error"), OSError, "cannot be read.*checkpoint.pt"),
        (MemoryError(), MemoryError, "not enough memory to read .*checkpoint.pt"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError, "not damaged"),
    ],
)
def test_good_checkpoint_that_cannot_be_read_is_not_called_damaged(
    ended, monkeypatch, fault, raised, said
):
    def fail(*_, **__):
        raise fault

    for owner, name in ((zipfile.ZipFile, "testzip"), (torch, "load")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(raised, match=said) as error:
                again(ended)
        assert "delete" not in str(error.value)


@pytest.mark.parametrize("name", ["checkpoint.pt", "log.jsonl", "lock"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_refused(tmp_path, name, kind):
    place = tmp_path / name
    handle = None
    if kind == "fifo":
        os.mkfifo(place)
        handle = os.open(place, os.O_RDWR)  # else a fault would wait for ever
    else:
        place.mkdir() if kind == "folder" else place.symlink_to("/dev/null")
    try:
        with pytest.raises(ValueError, match=f"{name} is no regular file"):
            again(tmp_path)
    finally:
        if handle is not None:
            os.close(handle)


def without(*path):
    """A change that takes an entry of a checkpoint out."""

    def change(state):
        for key in path[:-1]:
            state = state[key]
        del state[path[-1]]

    return change


def with_entry(value, *path):
    """A change that gives an entry of a checkpoint another value."""

    def change(state):
        for key in path[:-1]:
            state = state[key]
        state[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        *(without(key) for key in ("run", "net", "optimizer", "scaler", "average", "sofar")),
        *(without("sofar", key) for key in ("step", "loss", "history")),
        without("net", "0.weight"),
        without("average", "6.bias"),
        without("optimizer", "state"),
        without("optimizer", "param_groups"),
        without("optimizer", "state", 0, "exp_avg"),
        with_entry(torch.zeros(2, 2), "optimizer", "state", 0, "exp_avg"),
        with_entry(torch.zeros(5), "net", "6.bias"),
        with_entry(torch.full((3,), torch.nan), "net", "6.bias"),
        with_entry([1], "run"),
        with_entry([1], "net"),
        with_entry(None, "sofar"),
        with_entry("/elsewhere", "sofar", "folder"),
        with_entry("five", "sofar", "step"),
        with_entry(10**9, "sofar", "step"),
        with_entry(-1, "sofar", "step"),
        with_entry(3, "sofar", "history"),
        with_entry([3], "sofar", "history"),
        with_entry([], "sofar", "history"),
        with_entry([{"epoch": 9}], "sofar", "history"),
        with_entry(99, "format"),
    ],
)
def test_checkpoint_made_by_hand_is_refused_in_words(ended, change):
    file = ended / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    with pytest.raises(ValueError, match=r"checkpoint\.pt (is|holds|belongs).* delete"):
        again(ended)


def test_what_is_no_table_is_refused(ended):
    torch.save([1, 2], ended / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged or no checkpoint"):
        again(ended)
