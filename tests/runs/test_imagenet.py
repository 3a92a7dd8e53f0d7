"""The command for ImageNet, as a lab types it, on a folder of 1,000 classes of tiny images."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

import minibag as mb
from minibag.training.distributed import join
from tests.runs.cli import accuracy, is_refusal, weights

N_TRAIN, EPOCHS = 1100, 2
TORCHRUN = [
    *("torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"),
    *("--nproc-per-node", "2", "--max-restarts", "2"),
]
TRAIN = [
    *("minibag", "train", "--recipe", "imagenet", "--model", "bagnet9", "--width", "2"),
    *("--layers", "1", "1", "1", "1", "--size", "32", "--epochs", str(EPOCHS)),
    *("--batch-size", "110", "--save-every", "3"),
]


def wordnet_ids():
    numbers = np.random.default_rng(0).choice(16_000_000, 1000, replace=False)
    return sorted(f"n{number:08d}" for number in numbers)


def odd_one(split, i, image):
    """ImageNet has grey images, JPEGs in CMYK, and a PNG that is named JPEG."""
    if i == 4:
        return image.convert("L"), "JPEG"
    if (split, i) == ("train", 5):
        return image.convert("CMYK"), "JPEG"
    if (split, i) == ("val", 6):
        return image.convert("RGBA"), "PNG"
    return image, "JPEG"


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """Return train/ and val/ of 1,000 classes; 50 of train have two or three images."""
    root, rng = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(1)
    for split in ("train", "val"):
        for i, name in enumerate(wordnet_ids()):
            home = root / split / name
            home.mkdir(parents=True)
            for j in range(3 if split == "train" and i % 20 == 0 else 1):
                pixels = rng.integers(0, 256, (*rng.integers(30, 60, 2), 3), np.uint8)
                image, kind = odd_one(split, i, Image.fromarray(pixels))
                image.save(home / f"{name}_{j}.JPEG", kind)
    return root


def start(imagenet, home, name):
    """Start the command in a folder of its own; what it says goes to NAME.txt there."""
    files = ["--data", imagenet, "--checkpoints", name, "--out", f"{name}.safetensors"]
    command = [sys.executable, "-m", *TORCHRUN, "-m", *TRAIN, *map(str, files)]
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    env |= {"GLOO_SOCKET_IFNAME": "lo", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with (home / f"{name}.txt").open("w") as said, (home / f"{name}.err").open("w") as complaint:
        return subprocess.Popen(command, cwd=home, env=env, stdout=said, stderr=complaint)


def kill_after(run, log, step, rank):
    """Kill the worker of a rank without warning, once the run has done a step."""
    while not any(row.get("step", 0) >= step for row in rows(log)):
        assert run.poll() is None, "it ended before the step"
        time.sleep(0.005)
    workers = psutil.Process(run.pid).children()
    next(w for w in workers if w.environ().get("RANK") == str(rank)).kill()


def rows(log):
    """Return the rows of a log, without one that is just being written."""
    text = log.read_text() if log.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture(scope="module")
def both(imagenet, tmp_path_factory):
    """Run the command undisturbed ("calm"), and with a worker killed on its way ("killed")."""
    home = tmp_path_factory.mktemp("runs")
    for name in ("calm", "killed"):
        run = start(imagenet, home, name)
        try:
            if name == "killed":
                kill_after(run, home / name / "log.jsonl", 6, rank=0)  # it writes checkpoints
            assert run.wait(120) == 0, (home / f"{name}.err").read_text()
        finally:
            for process in (*psutil.Process(run.pid).children(), run) if run.poll() is None else ():
                process.kill()
    return home


def test_two_processes_train_on_a_thousand_classes_and_report_once(both, imagenet):
    first, second = (both / "calm.txt").read_text().splitlines()
    assert first == f"trained on {N_TRAIN} images of 32 x 32 pixels, saved calm.safetensors"
    model = mb.load(both / "calm.safetensors")
    assert model.classes == tuple(wordnet_ids())
    assert model.card["accuracy"]["n"] == 1000
    assert accuracy(second)[0] == pytest.approx(100 * model.card["accuracy"]["value"], abs=0.06)
    recipe = model.card["recipe"]
    chosen = [recipe[name] for name in ("optimizer", "lr", "schedule", "min_scale", "image_size")]
    assert chosen == ["sgd", 0.01, "step", 0.08, 32]
    log = rows(both / "calm" / "log.jsonl")
    assert [row["step"] for row in log[1:]] == [3, 6, 9, 10, 12, 15, 18, 20]


def test_a_killed_worker_comes_back_and_the_weights_are_those_of_a_calm_run(both):
    log = rows(both / "killed" / "log.jsonl")
    started = [row["started_at_step"] for row in log if "started_at_step" in row]
    assert len(started) == 2
    assert started[0] == 0
    assert started[1] in (3, 6, 9, 10, 12)
    assert (both / "killed.txt").read_text().count("trained on") == 1
    calm, killed = (both / f"{name}.safetensors" for name in ("calm", "killed"))
    assert weights(calm) == weights(killed)
    assert not list((both / "killed").glob("*.part"))


def test_torchrun_that_could_not_start_workers_again_is_refused(monkeypatch):
    """Its store keeps the addresses of the dead: https://github.com/pytorch/pytorch/issues/135712."""
    for variable, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    with pytest.raises(ValueError, match="TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"), join("cpu"):
        pass


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no train", "has no split 'train', but val"),
        ("no val", "has no split 'val', but train"),
        ("7 classes fewer in val", "val does not have the same classes as train: "),
        ("empty class in train", "class folders without an image in"),
        ("flat val", "val has no sub-folders"),
    ],
)
def test_wrong_layout_is_told_in_one_line(here, imagenet, tmp_path, fault, reason):
    names = {"train": wordnet_ids(), "val": wordnet_ids()[7 if "7" in fault else 0 :]}
    for split in names.keys() - {fault.removeprefix("no ")}:
        (tmp_path / split).mkdir()
        for name in () if fault == f"flat {split}" else names[split]:
            (tmp_path / split / name).symlink_to(imagenet / split / name)
    if "empty" in fault:
        (tmp_path / "train" / "n99999999").mkdir()
    options = [*TRAIN[1:], "--data", tmp_path, "--checkpoints", "run", "--out", "x.safetensors"]
    result = here(*options, cwd=tmp_path)
    assert is_refusal(*result), result
    assert reason in result[2]
    assert len(result[2]) < 300
    assert not (tmp_path / "run").exists()
