"""How the command line ends: outputs tried before the work, one line for whatever goes wrong."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import minibag as mb
from minibag import commands, train_net
from tests.runs.cli import is_refusal, run

MODEL = "critters-bagnet9"
CRITTERS = ["--data", "critters", "--n-train", "8"]
NET = ["train", *CRITTERS, "--model", "bagnet9", "--width", 2, "--layers", 1, 1, 1, 1]
NET += ["--epochs", 1, "--size", 32]
EVALUATE = ["evaluate", "--model", MODEL]
OUTPUTS = {  # every way to name an output: what there must be kept, what is asked for
    "sheet": ("there", ["data", "critters", "--sheet", "there"]),
    "words": ("there", ["train", *CRITTERS, "--out", "there"]),
    "network": ("there.safetensors", [*NET, "--out", "there.safetensors"]),
    "card": ("there.json", [*NET, "--out", "there.safetensors"]),
    "confusion": ("there", [*EVALUATE, "--data", "critters", "--confusion", "there"]),
    "map": ("there", ["heatmap", "image.png", "--model", MODEL, "-o", "there"]),
}  # fmt: skip


@pytest.fixture
def no_work(monkeypatch):
    """Let the test fail as soon as images or models are read."""

    def work(*_, **__):
        raise AssertionError("the work has begun")

    for module in (commands, train_net):
        monkeypatch.setattr(module, "read", work)
    monkeypatch.setattr(mb, "load", work)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("kind", ["FIFO", "folder", "link to a device"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_an_output_that_is_no_file_is_refused_before_the_work(here, tmp_path, output, kind):
    name, arguments = OUTPUTS[output]
    path = tmp_path / name
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null")
    before = os.lstat(path)
    result = here(*arguments, cwd=tmp_path)
    assert is_refusal(*result), result
    assert f"{name} is a folder, a device or a FIFO" in result[2]
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.usefixtures("no_work")
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no place that root cannot write to")
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_place_where_even_root_cannot_write_is_refused_before_the_work(here, tmp_path, output):
    arguments = [str(a).replace("there", "/proc/self/there") for a in OUTPUTS[output][1]]
    result = here(*arguments, cwd=tmp_path)
    assert is_refusal(*result), result
    assert "/proc/self/there" in result[2]


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("folder", ["file", "file/run", "/proc/self/run"])
def test_checkpoints_that_cannot_be_written_are_refused_before_the_work(here, tmp_path, folder):
    (tmp_path / "file").write_text("")
    options = ["--out", "net.safetensors", "--checkpoints", folder]
    result = here(*NET, *options, cwd=tmp_path)
    assert is_refusal(*result), result
    assert folder.split("/run")[0] in result[2]
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_work")
def test_a_picture_does_not_replace_what_it_is_made_from(here, tmp_path):
    (tmp_path / "image.png").write_text("precious")
    (tmp_path / "link.png").symlink_to("image.png")
    for out in ("image.png", "link.png", tmp_path / "image.png"):
        result = here("heatmap", "image.png", "--model", MODEL, "-o", out, cwd=tmp_path)
        assert is_refusal(*result)
        assert "made from" in result[2]
    options = ["--data", "critters", "--confusion", "image.png"]
    assert is_refusal(*here("evaluate", "--model", "image.png", *options, cwd=tmp_path))
    assert (tmp_path / "image.png").read_text() == "precious"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (MemoryError(), 2, "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to"), 2, "not enough memory"),
        (FloatingPointError("the loss is nan"), 2, "the loss is nan"),
        (ImportError("No module named 'torch'"), 2, "doctor says how to mend it"),
        (OSError(28, "No space left on device", "x.png"), 2, "No space left on device: 'x.png'"),
        (KeyError("bias"), 3, "unexpected KeyError: 'bias'"),
        (RuntimeError("shapes differ"), 3, "unexpected RuntimeError: shapes differ"),
        (ValueError("x" * 10**6), 2, "more characters)"),
        (ValueError("1\n2\x1b[31m\u202e"), 2, "1 2\\x1b[31m\\u202e"),
    ],
)
def test_every_error_is_one_line_with_its_exit_code(here, tmp_path, monkeypatch, error, code, said):
    def fail(*_):
        raise error

    monkeypatch.setattr(commands, "read", fail)
    found, stdout, stderr = here("data", "critters", cwd=tmp_path)
    assert is_refusal(2, stdout, stderr)
    assert found == code
    assert said in stderr
    assert len(stderr) < 2200
    monkeypatch.setenv("MINIBAG_TRACEBACK", "1")
    with pytest.raises(type(error)):
        here("data", "critters", cwd=tmp_path)


def test_memory_that_torch_really_lacks_is_told_as_such(here, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "read", lambda *_: torch.empty(10**17))
    result = here("data", "critters", cwd=tmp_path)
    assert is_refusal(*result)
    assert "not enough memory" in result[2]


def test_the_help_lists_the_exit_codes(here, tmp_path):
    said = " ".join(here("--help", cwd=tmp_path)[1].split())
    assert "3 what we must mend" in said
    assert "MINIBAG_TRACEBACK=1" in said


def test_warnings_are_one_line_each(here, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (20, 20)).save(tmp_path / name / "1.png")
    (tmp_path / "a" / "\x1b[31m.psd").write_text("another kind of picture")
    code, _, complaint = here("data", tmp_path, cwd=tmp_path)
    assert code == 0
    assert complaint.startswith("python -m minibag data: warning: 1 do not count: ")
    assert complaint.count("\n") == 1
    assert "\x1b" not in complaint


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_names_reach_every_terminal_as_text_and_never_as_commands(tmp_path, monkeypatch, encoding):
    """The line break and the colour would be obeyed; some terminals have no ö."""
    for name in ("\x1b[31mred", "line\nbreak", "möwe"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / "data" / name / "1.png")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = run("data", "data", "--size", 16, cwd=tmp_path, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    gull = "m\\xf6we" if encoding == "ascii" else "möwe"
    names = ["\\x1b[31mred", "line\\nbreak", gull]
    assert done.stdout.splitlines()[1:] == [f"{1:7}  {name}" for name in names]


def test_a_name_that_is_no_text_is_told_in_one_line(here, tmp_path):
    for name in ("\udcff", "x" * 300, "\x1b]0;title\x07"):
        result = here("data", name, cwd=tmp_path)
        assert is_refusal(*result)
        assert all(c.isprintable() or c == "\n" for c in result[2])
        result = here("evaluate", "--data", "critters", "--model", name, cwd=tmp_path)
        assert is_refusal(*result)
        result = here("data", "critters", "--sheet", f"no/{name}", cwd=tmp_path)
        assert is_refusal(*result)
    result = here("train", *CRITTERS, "--out", "x" * 300, cwd=tmp_path)
    assert is_refusal(*result)
    assert "File name too long" in result[2]


@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_a_folder_without_splits_has_none_to_choose(here, folder, tmp_path, split):
    """Else training images are printed as "test accuracy"."""
    for command in ([*EVALUATE, "--data"], ["data"]):
        result = here(*command, folder / "train", "--split", split, cwd=tmp_path)
        assert is_refusal(*result)
        assert f"leave out --split {split}" in result[2]
    result = here(
        "evaluate", "--model", MODEL, "--data", folder, "--split", "nonsense", cwd=tmp_path
    )
    assert is_refusal(*result)
    code, said, _ = here(*EVALUATE, "--data", folder / "train", cwd=tmp_path)
    assert code == 0
    assert said.startswith("accuracy ")
    assert said.endswith("train, which has no splits)\n")


@pytest.mark.parametrize("model", [["bow", "--words", 4], ["bagnet9", "--epochs", 1]])
def test_too_few_images_to_learn_from_are_refused_before_anything_is_saved(here, tmp_path, model):
    options = ["--data", "critters", "--n-train", 7, "--out", "new.safetensors", "--model", *model]
    result = here("train", *options, cwd=tmp_path)
    assert is_refusal(*result)
    assert "--n-train 7 leaves 1 of 8 classes without an image: take 8 or more" in result[2]
    assert not list(tmp_path.iterdir())


def test_held_out_classes_that_were_not_learned_are_refused_before_the_work(
    here, folder, tmp_path, monkeypatch
):
    for split, names in (("train", "ab"), ("val", "abc")):
        for name, source in zip(names, sorted((folder / "val").iterdir()), strict=False):
            (tmp_path / "ds" / split).mkdir(parents=True, exist_ok=True)
            (tmp_path / "ds" / split / name).symlink_to(source)
    monkeypatch.setattr(commands, "_bow", lambda *_: pytest.fail("the work has begun"))
    result = here("train", "--data", "ds", "--out", "m", "--words", 4, cwd=tmp_path)
    assert is_refusal(*result)
    assert re.search(r"knows the classes a, b, but not .*\bc\n", result[2])


def test_a_rank_left_over_in_the_environment_is_refused_not_trained_in_vain(
    here, tmp_path, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    result = here(*NET, "--out", "net.safetensors", cwd=tmp_path)
    assert is_refusal(*result)
    assert "unset all three to train alone" in result[2]
    assert not list(tmp_path.iterdir())


def start(tmp_path, *arguments):
    command = [sys.executable, "-m", "minibag", *map(str, arguments)]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    own = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # behind an & it is ignored
    return subprocess.Popen(command, cwd=tmp_path, env=env, text=True, preexec_fn=heed, **own)


def test_a_reader_that_is_gone_ends_the_command_without_a_word(tmp_path):
    started = start(tmp_path, "data", "critters", "--n", 8, "--size", 32)
    started.stdout.close()
    assert started.stderr.read() == ""
    assert started.wait(60) == 141


def test_a_full_disk_behind_stdout_is_told(tmp_path):
    command = [sys.executable, "-m", "minibag", "data", "critters", "--n", "8", "--size", "32"]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=tmp_path, env=env, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert is_refusal(done.returncode, "", done.stderr)
    assert "No space left on device" in done.stderr


def test_interrupting_a_training_and_its_workers_ends_in_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
    net = ["--model", "bagnet9", "--width", 2, "--layers", 1, 1, 1, 1, "--recipe", "imagenet"]
    long = ["--size", 32, "--batch-size", 4, "--epochs", 10_000, "--save-every", 1]
    files = ["--data", ".", "--out", "net.safetensors", "--checkpoints", "run"]
    started = start(tmp_path, "train", *net, *long, *files)
    log = tmp_path / "run" / "log.jsonl"
    while not (log.exists() and '"epoch"' in log.read_text()):
        assert started.poll() is None, started.stderr.read()
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)  # as Ctrl-C does
    stdout, stderr = started.communicate(timeout=60)
    assert (started.returncode, stdout) == (130, "")
    assert stderr == "python -m minibag train: interrupted\n"
    assert not list((tmp_path / "run").glob("*.part"))
