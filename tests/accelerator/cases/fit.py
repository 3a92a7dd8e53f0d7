"""Training on the accelerator: the CPU's losses and weights, and the network back where it was."""

import numpy as np
import pytest
import torch
from PIL import Image

import minibag as mb
from minibag import doctor, machine
from minibag.training import fit
from minibag.training.distributed import Team
from tests.accelerator.cases.common import THERE, close, where
from tests.unit.training.small import quick, same_state, small_net, small_set, untimed

RECIPES = {
    "as it comes": quick(),
    "sgd, step": quick(optimizer="sgd", schedule="step"),
    "average": quick(ema=0.8),
    "mixup": quick(mixup=0.5),
    "CutMix": quick(cutmix=1.0, label_smoothing=0),
    "both": quick(mixup=0.5, cutmix=1.0),
    "crops": quick(min_scale=0.4, image_size=6, flip=False),
    "plain": quick(shift=0, jitter=0, flip=True, channels_last=False),
}


def trained(device, recipe, images=None, **options):
    """Return a small network trained on a device, and its history."""
    net, images = small_net(dropout=0), images or small_set()
    return net, fit(net, images, images, recipe, device=device, **options)


def assert_same_run(found, expected, tolerance=1e-4):
    (net, rows), (other, others) = found, expected
    for key in ("loss", "val_loss", "train_accuracy", "val_accuracy", "lr"):
        close([row[key] for row in rows], [row[key] for row in others], tolerance)
    for name, value in other.state_dict().items():
        close(net.state_dict()[name], value, 10 * tolerance)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, data = tmp_path_factory.mktemp("images"), small_set(22, side=40)
    for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        (home := root / data.classes[label]).mkdir(exist_ok=True)
        Image.fromarray(image).save(home / f"{i}.png")
    return root


def test_fit_and_doctor_find_the_accelerator():
    assert machine.accelerator() == THERE
    assert (doctor.gpu().state, doctor.gpu().detail) == ("OK", "pretend accelerator")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_losses_and_weights_are_the_cpus(recipe):
    assert_same_run(trained(None, recipe), trained("cpu", recipe))


def test_a_streamed_folder_gives_the_cpus_numbers(folder):
    recipe = quick(epochs=2, min_scale=0.3, shift=0, image_size=16)
    assert_same_run(trained(None, recipe, folder), trained("cpu", recipe, folder))


def test_a_set_that_stays_on_the_host_gives_the_cpus_numbers(monkeypatch):
    expected = trained("cpu", quick())
    monkeypatch.setattr("minibag.training.loaders.device_memory", lambda device: 0)
    assert_same_run(trained(None, quick()), expected)


def test_what_processes_add_up_lies_on_the_accelerator(monkeypatch):
    """NCCL takes no tensor of the CPU."""
    seen = []
    monkeypatch.setattr(Team, "sum", lambda team, values: seen.append(values.device) or values)
    trained(None, quick(epochs=1))
    assert set(seen) == {torch.device("pretend", 0)}


def test_bagnets_and_the_networks_they_are_compared_with_are_trained():
    makers = mb.bagnet9, mb.nets.small_resnet, mb.nets.small_vgg, mb.nets.small_densenet
    for make in makers:
        losses = []
        for device in (None, "cpu"):
            torch.manual_seed(0)
            layers = (1, 1, 1, 1) if make is mb.bagnet9 else (1, 1)
            net = make(num_classes=3, width=4, layers=layers)
            recipe = quick(epochs=1, shift=0)
            losses.append(fit(net, small_set(16, side=16), recipe=recipe, device=device)[0]["loss"])
        close(*losses)


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.03), ("fp16", 0.01)])
def test_sixteen_bits_train_there_and_weights_stay_in_fp32(precision, tolerance):
    net, rows = trained(None, quick(precision=precision))
    _, others = trained("cpu", quick(precision="fp32"))
    close([row["loss"] for row in rows], [row["loss"] for row in others], tolerance)
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.parametrize("first", [None, "cpu"])
@pytest.mark.parametrize("second", [None, "cpu"])
def test_an_interrupted_run_goes_on_from_its_checkpoint_also_elsewhere(tmp_path, first, second):
    recipe, stopped, resumed = quick(ema=0.8), small_net(), small_net(seed=1)
    expected = trained("cpu", recipe)
    steps = []

    def stop(*_):
        steps.append(1)
        if len(steps) == 7:
            raise KeyboardInterrupt

    stopped[5].p = resumed[5].p = 0.0
    stopped.register_forward_pre_hook(stop)
    options = {"val": small_set(), "recipe": recipe, "folder": tmp_path, "save_every": 2}
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, small_set(), device=first, **options)
    assert where(stopped) == {"cpu"}
    history = fit(resumed, small_set(), device=second, **options)
    assert_same_run((resumed, history), expected)
    again = small_net(seed=2).to(THERE)
    again[5].p = 0.0
    assert fit(again, small_set(), **options) == history
    assert same_state(again.cpu(), resumed)


def test_a_run_repeats_itself_dropout_included():
    runs = [(net := small_net(), fit(net, small_set(), recipe=quick())) for _ in range(2)]
    assert same_state(runs[0][0], runs[1][0])
    assert untimed(runs[0][1]) == untimed(runs[1][1])


def test_the_callers_random_numbers_are_untouched_on_both_sides():
    drawn = []
    for work in (False, True):
        net = small_net()
        torch.manual_seed(5)
        if work:
            fit(net, small_set(), recipe=quick(epochs=1, mixup=0.5))
        drawn.append((torch.rand(3), torch.rand(3, device=THERE).cpu()))
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)


@pytest.mark.parametrize("home", ["cpu", "pretend"])
@pytest.mark.parametrize("device", [None, "cpu", "pretend"])
@pytest.mark.parametrize("end", [None, KeyboardInterrupt, FloatingPointError, ValueError])
def test_a_network_comes_back_to_where_it_was(home, device, end):
    """Wherever it was trained, and whatever has ended the training."""
    net, seen = small_net().to(home).train(), set()

    def look(module, inputs, output):
        seen.add(output.device.type)
        if end and len(seen) == 1:
            raise end

    net.register_forward_hook(look)
    if end:
        with pytest.raises(end):
            fit(net, small_set(), recipe=quick(epochs=1), device=device)
    else:
        fit(net, small_set(), recipe=quick(epochs=1), device=device)
    assert seen == {device or "pretend"}
    assert where(net) == {home}
    assert not net.training


def test_read_only_images_and_a_set_of_another_size_reach_the_accelerator(recwarn):
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 10, 3)).astype(np.uint8)
    images.flags.writeable = False
    data = mb.ImageSet(images, np.arange(8) % 3, ("a", "b", "c"))
    assert np.isfinite(fit(small_net(), data, recipe=quick(epochs=1))[0]["loss"])
    assert not recwarn.list
