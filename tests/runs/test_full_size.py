"""The one script for a GPU: in pieces, on a CPU, with a few photographs."""

import json

import pytest
import torch

import minibag as mb
from benchmarks import full_size, record, zoo
from minibag.data.imagenette import find_imagenette
from minibag.figures import course
from minibag.training import fit

ONLY = ["--only", "bagnet9w32-160", "--limit", "2"]
TRIAL = [*ONLY, "--set", "epochs=1"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a folder that stands in for runs/ and for benchmarks/results/."""
    monkeypatch.setattr(zoo, "RUNS", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield tmp_path
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32


@pytest.mark.imagenette
def test_a_trial_is_recorded_can_be_loaded_and_is_not_done_again(home, capsys, monkeypatch):
    full_size.main(TRIAL)
    (run,) = json.loads((home / "full_size_trial.json").read_text())["runs"].values()
    model = mb.load(home / "full_size_trial" / "bagnet9w32-160,epochs=1" / "model.safetensors")
    assert model.card["accuracy"] == run["accuracy"]
    assert run["accuracy"]["n"] == 20
    assert [row["epoch"] for row in run["history"]] == [1]
    test = mb.imagenette("val", 160, limit=2)
    right = (model.logits(test.images).argmax(1) == test.labels).mean()
    assert run["kept_in_16_bits"]["value"] == pytest.approx(right)
    assert "bagnet9w32-160" in capsys.readouterr().out

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(full_size, "fit", never)
    full_size.main(TRIAL)
    assert not (home / "full_size_ladder.json").exists()


@pytest.mark.imagenette
def test_tuning_never_sees_a_validation_photograph(home, monkeypatch):
    seen = []

    def spy(net, learn, test, *rest, **options):
        seen.append((learn, test))
        return fit(net, learn, test, *rest, **options)

    monkeypatch.setattr(full_size, "fit", spy)
    full_size.main([*TRIAL, "--tune"])
    (learn, test), whole = seen[0], mb.imagenette("train", 160, limit=2)
    known = {image.tobytes() for image in whole.images}
    assert {image.tobytes() for part in (learn, test) for image in part.images} == known
    assert (len(learn), len(test)) == (16, 4)
    (run,) = json.loads((home / "full_size_tuning_trial.json").read_text())["runs"].values()
    assert run["accuracy"]["split"] == "a fifth of train"


@pytest.mark.imagenette
def test_minutes_that_are_over_leave_a_checkpoint_and_no_result(home, capsys):
    two = [*ONLY, "--set", "epochs=2"]
    full_size.main([*two, "--minutes", "0"])
    assert not list(home.iterdir())
    full_size.main([*two, "--minutes", "1e-4"])  # over before the first step is
    assert "0 of 2 epochs are done" in capsys.readouterr().out
    assert not (home / "full_size_trial.json").exists()
    full_size.main(two)
    assert "2 of 2 epochs are done" in capsys.readouterr().out
    log = (home / "full_size_trial" / "bagnet9w32-160,epochs=2" / "log.jsonl").read_text()
    starts = [json.loads(row).get("started_at_step") for row in log.splitlines()]
    assert [start for start in starts if start is not None] == [0, 1]


@pytest.mark.imagenette
def test_settings_have_rows_of_their_own_and_a_failure_stops_no_other(home, capsys, monkeypatch):
    def train(job, recipe, folder, minutes, sets):
        if recipe.lr > 1:
            raise FloatingPointError("the loss of step 1 is nan")
        return {"recipe": recipe.to_dict(), "folder": folder.name}

    monkeypatch.setattr(full_size, "train", train)
    monkeypatch.setattr(full_size, "report", lambda runs, name: found.update(runs))
    found = {}
    for rate in ("0.001", "0.002"):
        full_size.main([*ONLY, "--tune", "--set", f"lr={rate}", "precision=fp32"])
    assert {name: row["recipe"]["lr"] for name, row in found.items()} == {
        "bagnet9w32-160,lr=0.001,precision=fp32": 0.001,
        "bagnet9w32-160,lr=0.002,precision=fp32": 0.002,
    }
    assert [*found] == [row["folder"] for row in found.values()]
    both = ["--limit", "2", "--only", "bagnet9w32-160", "bagnet17w32-160"]
    with pytest.raises(SystemExit, match="bagnet17w32-160, bagnet9w32-160"):
        full_size.main([*both, "--set", "lr=2"])
    assert capsys.readouterr().out.count("failed, the loss of step 1 is nan") == 2


@pytest.mark.parametrize("words", [["lr"], ["lr=much"], ["speed=1"], ["lr=-1"]])
def test_settings_that_are_none_are_refused(home, capsys, words):
    with pytest.raises(SystemExit):
        full_size.main([*ONLY, "--set", *words])
    assert "--set" in capsys.readouterr().err


@pytest.mark.imagenette
def test_small_photographs_do_not_pass_as_large_ones(home, capsys, monkeypatch, tmp_path):
    small = find_imagenette(size=160)
    (tmp_path / "imagenette2-160").symlink_to(small, target_is_directory=True)
    monkeypatch.setenv("MINIBAG_DATA", str(tmp_path))
    full_size.main(["--limit", "2", "--only", "bagnet9-224"])
    assert "left out" in capsys.readouterr().out


def test_results_become_rungs_of_the_ladder(home, capsys):
    rate = {"value": 0.9, "low": 0.88, "high": 0.92, "n": 1984, "split": "val"}
    row = {"accuracy": rate, "kept_in_16_bits": rate, "parameters": 7, "seed": 0}
    history = [{"images_per_s": 1000.0}]
    runs = {
        job.name: {"net": job.net, "history": history, **row}
        for job in full_size.JOBS
        if job.seed == 0 and job.side == 160
    }
    full_size.report(runs, "full_size")
    assert course.measured(home).keys() >= {"BagNet-9", "BagNet-17", "BagNet-33", "ResNet-50"}
    assert "bagnet17centred-160" in capsys.readouterr().out


def test_without_a_gpu_only_trials_start(home, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        full_size.main([])
    assert "no GPU" in capsys.readouterr().err


@pytest.mark.imagenette
def test_a_batch_that_does_not_fit_is_halved_recorded_and_not_tried_again(
    home, capsys, monkeypatch
):
    def small(net, learn, test, recipe, *rest, **options):
        if recipe.batch_size > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit(net, learn, test, recipe, *rest, **options)

    monkeypatch.setattr(full_size, "fit", small)
    words = [*ONLY, "--set", "epochs=1", "batch_size=16"]
    full_size.main(words)
    assert "16 images at a time do not fit into memory, so 8" in capsys.readouterr().out
    (run,) = json.loads((home / "full_size_trial.json").read_text())["runs"].values()
    assert (run["recipe"]["batch_size"], run["batch_asked"]) == (8, 16)
    (folder,) = (home / "full_size_trial").iterdir()
    assert folder.name == "bagnet9w32-160,batch_size=16,epochs=1,batch_size=8"
    full_size.main(words)
    assert capsys.readouterr().out == ""
