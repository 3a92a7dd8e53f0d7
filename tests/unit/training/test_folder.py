"""Image folders of any size: streamed, augmented by torchvision, and as exact as sets."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import minibag as mb
from minibag.training import IMAGENET, fit, loaders
from minibag.training.distributed import Team
from minibag.training.loaders import open_images
from tests.unit.training.small import on_work, quick, same_state, small_net, small_set, untimed

ALONE = Team(0, 1, torch.device("cpu"))
RECIPE = quick(epochs=2, min_scale=0.3, shift=0, image_size=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty-two files of several sizes and formats."""
    root, data = tmp_path_factory.mktemp("images"), small_set(22, side=40)
    for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        home = root / data.classes[label]
        home.mkdir(exist_ok=True)
        picture = Image.fromarray(image[: 30 + i % 3 * 5])
        (picture.convert("L") if i == 3 else picture).save(
            home / f"{i}.{'png' if i % 2 else 'jpg'}"
        )
    return root


def test_imagenets_recipe_runs_on_a_folder(folder):
    recipe = replace(IMAGENET, epochs=1, batch_size=4, image_size=32)
    net = mb.bagnet9(num_classes=3, width=4, layers=(1, 1, 1, 1))
    row = fit(net, folder, folder, recipe)[0]
    assert row["step"] == 5
    assert row["lr"] == 0.01
    assert 0 <= row["val_accuracy"] <= 1
    assert net.bn1.momentum == 0.001


def test_the_processes_that_read_wait_for_the_next_pass(folder):
    stream, me = open_images(folder, RECIPE, ALONE), psutil.Process()
    before = {child.pid for child in me.children()}
    readers = []
    for epoch in range(3):
        list(stream.batches(epoch, start=0))
        readers.append({child.pid for child in me.children()} - before)
    assert readers[0]
    assert readers == [readers[0]] * 3


def test_a_pass_that_is_left_early_does_not_disturb_the_next(folder):
    stream, fresh = (open_images(folder, RECIPE, ALONE) for _ in range(2))
    next(stream.batches(0, start=0))
    list(stream.in_order())
    passed, wanted = (list(one.batches(1, start=0)) for one in (stream, fresh))
    assert len(passed) == len(wanted) > 1
    for (x, y), (its_x, its_y) in zip(passed, wanted, strict=True):
        assert torch.equal(x, its_x)
        assert torch.equal(y, its_y)


def test_interrupted_stream_goes_on_bit_by_bit(folder, tmp_path):
    plain, first, second = small_net(), small_net(), small_net(seed=1)
    history = fit(plain, folder, folder, RECIPE)
    steps = []

    def stop(_):
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    on_work(first, stop)
    with pytest.raises(KeyboardInterrupt):
        fit(first, folder, folder, RECIPE, tmp_path, save_every=1)
    assert untimed(fit(second, folder, folder, RECIPE, tmp_path, save_every=1)) == untimed(history)
    assert same_state(plain, second)


def test_views_do_not_depend_on_workers_or_processes(folder, monkeypatch):
    whole = list(open_images(folder, RECIPE, ALONE).batches(1, start=0))
    monkeypatch.setattr("minibag.training.loaders.cpu_count", lambda: 3)
    again = list(open_images(folder, RECIPE, ALONE).batches(1, start=1))
    torch.testing.assert_close(whole[1:], again, rtol=0, atol=0)
    second = list(open_images(folder, RECIPE, replace(ALONE, rank=1, world=2)).batches(1, start=0))
    torch.testing.assert_close([(x[1::2], y[1::2]) for x, y in whole], second, rtol=0, atol=0)
    other = list(open_images(folder, RECIPE, ALONE).batches(0, start=0))
    assert not torch.equal(whole[0][0], other[0][0])


@pytest.mark.parametrize(("size", "crop"), [(16, 1.0), (16, 7 / 8), (31, 7 / 8), (64, 0.6)])
def test_validation_sees_the_pixels_that_whoever_measures_the_model_sees(folder, size, crop):
    """The kept middle of the square; for 64 pixels, these photographs are enlarged."""
    recipe = replace(RECIPE, image_size=size, crop=crop)
    x, y = map(torch.cat, zip(*open_images(folder, recipe, ALONE).in_order(), strict=True))
    read = mb.image_folder(folder, size, crop=crop)
    assert torch.equal(x, mb.nets.normalise(read.images))
    assert y.tolist() == read.labels.tolist() == sorted(y.tolist())


def test_a_shared_memory_that_batches_do_not_fit_is_told_before_the_work(folder, monkeypatch):
    """Docker gives 64 MB: workers were killed by a bus error in the middle of an epoch."""
    monkeypatch.setattr("minibag.training.loaders.cpu_count", lambda: 3)
    recipe = replace(RECIPE, batch_size=5, image_size=14)
    needed = 3 * 14 * 14 * 5 * (2 * 3 + 1)
    monkeypatch.setattr("minibag.training.loaders.shared_memory", lambda: needed - 1)
    with pytest.raises(OSError, match=r"batches of 5 needs .* of shared memory.*--shm-size"):
        fit(small_net(), folder, recipe=recipe)
    monkeypatch.setattr("minibag.training.loaders.shared_memory", lambda: needed)
    streamed = open_images(folder, recipe, ALONE)
    assert next(len(y) for _, y in streamed.in_order()) == 5  # no more than it was counted for


def test_missing_and_empty_folders_are_told(folder, tmp_path):
    with pytest.raises(FileNotFoundError):
        fit(small_net(), tmp_path / "nowhere", recipe=RECIPE)
    for name in ("class", "other"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"without an image in .*: class"):
        fit(small_net(), tmp_path, recipe=RECIPE)
    for name in ("class", "other"):
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / name / "1.png")
    with pytest.raises(ValueError, match="same classes"):
        fit(small_net(), folder, tmp_path, RECIPE)
    with pytest.raises(ValueError, match="both be folders"):  # of other sides, unless told
        fit(small_net(), small_set(), folder, RECIPE)


def test_files_are_read_as_they_are_for_image_sets_and_broken_ones_named(folder, tmp_path):
    """Turned as their EXIF says, transparency on white: else a model is evaluated on others."""
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 4)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: a quarter turn
    for i, image in enumerate(images):
        (tmp_path / f"class{i}").mkdir()
        Image.fromarray(image).save(tmp_path / f"class{i}" / f"{i}.png", exif=exif)
    recipe = replace(RECIPE, image_size=14, crop=7 / 8)
    x, _ = next(open_images(tmp_path, recipe, ALONE).in_order())
    cut = mb.image_folder(tmp_path, 16).images[:, 1:-1, 1:-1]
    torch.testing.assert_close(x, mb.nets.normalise(cut))
    whole = (folder / "blue" / "2.jpg").read_bytes()
    (tmp_path / "class1" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.jpg"):
        list(open_images(tmp_path, recipe, ALONE).in_order())


@pytest.mark.parametrize("split", ["train", "val"])
def test_broken_image_ends_a_training_in_one_line_and_its_repair_goes_on(folder, tmp_path, split):
    """A traceback of the process that read it, 1,600 characters long, was the message."""
    plain, net, places = small_net(), small_net(), {}
    for name in ("train", "val"):
        places[name] = Path(shutil.copytree(folder, tmp_path / name))
    broken = places[split] / "blue" / "2.jpg"
    whole, folders = broken.read_bytes(), (places["train"], places["val"])
    history = fit(plain, *folders, RECIPE)
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"^\S*2\.jpg: [^\n]{5,80}$"):
        fit(net, *folders, RECIPE, tmp_path / "run", save_every=1)
    broken.write_bytes(whole)
    seen = []
    on_work(net, lambda net: seen.append(net.training))
    assert untimed(fit(net, *folders, RECIPE, tmp_path / "run", save_every=1)) == untimed(history)
    assert same_state(net, plain)
    if split == "val":
        assert sum(seen) == history[0]["step"]  # of two epochs, only the second


def test_a_worker_that_dies_is_told_with_what_may_have_killed_it(folder, monkeypatch):
    """As one does that the system kills for memory, or that shared memory fails."""
    monkeypatch.setattr(loaders, "read_image", lambda *_: os._exit(7))
    with pytest.raises(OSError, match="has died: perhaps there is too little memory"):
        list(open_images(folder, RECIPE, ALONE).in_order())
