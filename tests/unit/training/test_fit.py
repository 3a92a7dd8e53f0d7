"""The loop: what it learns, what it equals, what it refuses, and what it leaves alone."""

import math
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import minibag as mb
from minibag.training import fit
from minibag.training.augment import mix
from minibag.training.prepare import autocast_dtype, make_optimizer
from tests.unit.training.small import quick, same_state, small_net, small_set, untimed


def test_learns_what_is_there_and_tells_how_it_went():
    recipe = quick(epochs=8, batch_size=16, lr=0.05, label_smoothing=0)
    history = fit(small_net(dropout=0), small_set(160), small_set(40, seed=1), recipe)
    assert [row["epoch"] for row in history] == list(range(1, 9))
    assert [row["step"] for row in history] == list(range(10, 81, 10))
    assert history[-1]["loss"] < history[0]["loss"] / 2
    assert history[-1]["val_accuracy"] > 0.9
    assert history[-1]["train_accuracy"] > 0.8
    assert history[-1]["lr"] < 0.01
    assert all(row["seconds"] > 0 and row["images_per_s"] > 0 for row in history)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_equals_the_loop_that_anyone_would_write(optimizer, channels_last):
    data = small_set(20)
    recipe = mb.training.Recipe(
        epochs=2, batch_size=20, optimizer=optimizer, lr=0.01, weight_decay=0.1, warmup_epochs=0,
        schedule="step", flip=False, shift=0, channels_last=channels_last,
    )  # fmt: skip
    ours, theirs = small_net(dropout=0), small_net(dropout=0).train()
    history = fit(ours, data, recipe=recipe)
    decayed = [theirs[0].weight, theirs[6].weight]
    others = [theirs[1].weight, theirs[1].bias, theirs[6].bias]
    make = {"sgd": lambda g: torch.optim.SGD(g, 0.01, 0.9), "adamw": torch.optim.AdamW}[optimizer]
    descent = make([{"params": decayed, "weight_decay": 0.1, "lr": 0.01},
                    {"params": others, "weight_decay": 0, "lr": 0.01}])  # fmt: skip
    x, y = mb.nets.normalise(data.images), torch.from_numpy(data.labels)
    for epoch in range(2):
        loss = nn.functional.cross_entropy(theirs(x), y, label_smoothing=0.1)
        assert history[epoch]["loss"] == pytest.approx(loss.item(), rel=1e-5)
        descent.zero_grad()
        loss.backward()
        descent.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-5)


def test_validation_is_the_networks_own_accuracy():
    net, val = small_net(), small_set(50, seed=3)
    row = fit(net, small_set(), val, quick())[-1]
    assert not net.training
    with torch.no_grad():
        logits = net(mb.nets.normalise(val.images))
    y = torch.from_numpy(val.labels)
    assert row["val_accuracy"] == pytest.approx(float((logits.argmax(1) == y).float().mean()))
    assert row["val_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, y)))


def test_same_seed_same_weights_other_seed_others():
    nets = [small_net() for _ in range(3)]
    histories = [
        fit(net, small_set(), recipe=quick(seed=s)) for net, s in zip(nets, (1, 1, 2), strict=True)
    ]
    assert same_state(nets[0], nets[1])
    assert not same_state(nets[0], nets[2])
    assert untimed(histories[0]) == untimed(histories[1])


def test_every_step_draws_a_dropout_of_its_own_and_every_run_the_same():
    runs = []
    for _ in range(2):
        masks, net = [], nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 3))
        net[1].register_forward_hook(lambda _, x, out, seen=masks: seen.append(out == 0))
        fit(net, small_set(40), recipe=quick(epochs=1, channels_last=False))
        runs.append(torch.stack(masks[-5:]))  # the steps, after the rehearsal
    assert torch.equal(*runs)
    assert len(runs[0].unique(dim=0)) == 5


def test_every_image_is_seen_once_an_epoch_in_another_order():
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 3)

        def forward(self, x):
            means = x.detach().mean((1, 2, 3))
            seen.extend([means] if len(x) == 8 else [])  # else a rehearsal
            return self.fc(means[:, None])

    images = np.arange(40, dtype=np.uint8).repeat(8 * 8 * 3).reshape(40, 8, 8, 3)
    data = mb.ImageSet(images, np.arange(40) % 3, ("a", "b", "c"))
    fit(Spy(), data, recipe=quick(epochs=2, jitter=0))
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert not torch.equal(first, second)
    torch.testing.assert_close(first.sort().values, second.sort().values)
    assert len(first.unique()) == 40


def test_average_of_weights_is_validated_and_kept():
    """The run itself is the same with and without; the average starts at the first step."""
    plain, averaged, states = small_net(dropout=0), small_net(dropout=0), []

    def watch(net, given):
        states.extend([deepcopy(net).cpu().state_dict()] if len(given[0]) == 8 else [])

    plain.register_forward_pre_hook(watch)
    fit(plain, small_set(), recipe=quick())
    history = fit(averaged, small_set(), small_set(30, seed=1), quick(ema=0.8))
    states = [*states[1:], plain.state_dict()]  # after step 1, 2, ...
    expected = states[0]
    for step, state in enumerate(states[1:], 2):
        decay = min(0.8, (1 + step) / (10 + step))
        expected = {k: decay * expected[k] + (1 - decay) * state[k] for k in state}
    del expected["1.num_batches_tracked"]
    found = {k: averaged.state_dict()[k] for k in expected}
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert not same_state(plain, averaged)
    model = averaged(mb.nets.normalise(small_set(30, seed=1).images)).argmax(1).numpy()
    right = (model == small_set(30, seed=1).labels).mean()
    assert history[-1]["val_accuracy"] == pytest.approx(right)


def test_mixed_images_are_learned_from_shared_labels(monkeypatch):
    """The loss is that of the mixed batch and its shares, not of the labels."""
    data, seen = small_set(16), []
    recipe = quick(epochs=1, batch_size=16, cutmix=1.0, label_smoothing=0, shift=0, jitter=0)

    def spy(x, y, *rest):
        seen.append(mix(x, y, *rest))
        return seen[-1]

    monkeypatch.setattr("minibag.training.loop.mix", spy)
    net = small_net(dropout=0)
    first = deepcopy(net).train()
    history = fit(net, data, recipe=recipe)
    x, target = (tensor.cpu() for tensor in seen[0])
    expected = -(target * first(x).log_softmax(1)).sum(1).mean()
    assert history[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


def test_callers_random_numbers_are_untouched():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    net = small_net()
    torch.manual_seed(5)
    fit(net, small_set(), recipe=quick(epochs=1))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("end", [KeyboardInterrupt, RuntimeError])
def test_a_training_that_breaks_off_leaves_evaluation_mode_and_nothing_for_the_next(end):
    """What is left of a step, its gradients, does not go into the first step of the next run."""
    net, calm = small_net(dropout=0), small_net(dropout=0)

    def stop(*_):
        raise end

    hook = net[6].register_full_backward_hook(stop)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    with pytest.raises(end):
        fit(net, small_set(), recipe=quick(epochs=1))
    hook.remove()
    assert not net.training
    net.load_state_dict(calm.state_dict())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    fit(net, small_set(), recipe=quick(epochs=1))
    fit(calm, small_set(), recipe=quick(epochs=1))
    assert same_state(net, calm)


@pytest.mark.parametrize("given", [None, 0.3])
@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_norms_learn_with_the_recipes_momentum_and_have_their_own_again(given, end):
    net, seen = small_net(), []
    net.append(nn.BatchNorm1d(3, momentum=None))
    net[1].momentum = 0.001

    def spy(net, _):
        seen.append((net[1].momentum, net[-1].momentum))
        if len(seen) == 4 and end:
            raise end

    net.register_forward_pre_hook(spy)
    with pytest.raises(end) if end else nullcontext():
        fit(net, small_set(16), recipe=quick(epochs=1, norm_momentum=given))
    assert set(seen) == {(given, given) if given else (0.001, None)}
    assert (net[1].momentum, net[-1].momentum) == (0.001, None)


def frozen(net):
    """Freeze the first three modules, and leave them in evaluation mode."""
    net[:3].requires_grad_(False).eval()
    return net


def still(net):
    """Leave the first three modules in evaluation mode, whose weights learn."""
    net[:3].eval()
    return net


@pytest.mark.parametrize("how", [frozen, still, lambda net: frozen(net).eval()])
@pytest.mark.parametrize("ema", [0, 0.5])
def test_parts_in_evaluation_mode_keep_their_mode_and_statistics(how, ema):
    net, modes = how(small_net()), []
    net[1].running_mean += 0.25
    before = deepcopy(net[1])
    net.register_forward_pre_hook(lambda net, _: modes.append([m.training for m in net]) and None)
    fit(net, small_set(), small_set(9), quick(epochs=2, ema=ema))
    learning = [mode for mode in modes if any(mode)]
    assert len(learning) >= 2 * 5
    assert {tuple(mode[:2]) for mode in learning} == {(False, False)}
    assert all(mode[5] for mode in learning)  # the dropout
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(getattr(net[1], name), getattr(before, name))
    assert torch.equal(net[1].weight, before.weight) == (how is not still)


def test_network_that_was_in_evaluation_mode_learns_as_any_other():
    plain, evaluated = small_net(), small_net().eval()
    fit(plain, small_set(), recipe=quick(epochs=1))
    fit(evaluated, small_set(), recipe=quick(epochs=1))
    assert same_state(plain, evaluated)
    assert not torch.equal(evaluated[1].running_mean, small_net()[1].running_mean)


def test_resume_with_other_parts_still_is_refused(tmp_path):
    fit(frozen(small_net()), small_set(), recipe=quick(epochs=1), folder=tmp_path)
    other = small_net()
    other[:3].requires_grad_(False)
    with pytest.raises(ValueError, match="parts in evaluation mode was '0, 1, 2', is ''"):
        fit(other, small_set(), recipe=quick(epochs=1), folder=tmp_path)


def test_network_without_a_weight_to_learn_is_refused():
    with pytest.raises(ValueError, match="all have requires_grad=False"):
        fit(small_net().requires_grad_(False), small_set(), recipe=quick(epochs=1))


class Views(nn.Module):
    """A network as textbooks write it, with ``view``, for which pixels must lie in one piece."""

    def __init__(self, wrap=lambda x: x):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.wrap = nn.Conv2d(3, 8, 3), nn.Linear(8 * 36, 3), wrap

    def forward(self, x):
        x = self.conv(x).relu()
        return self.wrap(self.fc(x.view(len(x), -1)))


class Perceptron(nn.Linear):
    """Takes the pixels of an image in a row."""

    def forward(self, x):
        return super().forward(x.view(len(x), -1))


def test_networks_that_view_their_pixels_train_and_validate_under_the_default_layout():
    for make in (Views, lambda: Perceptron(3 * 64, 3)):
        torch.manual_seed(0)
        default = make()
        torch.manual_seed(0)
        rows = make()
        recipe = quick(epochs=1)
        history = fit(default, small_set(), small_set(9), recipe)
        expected = fit(rows, small_set(), small_set(9), replace(recipe, channels_last=False))
        assert untimed(history) == untimed(expected)
        assert same_state(default, rows)


class Heads(NamedTuple):
    """What a network with an auxiliary head gives."""

    logits: torch.Tensor
    aux: torch.Tensor


@pytest.mark.parametrize("wrap", [lambda x: Heads(x, x), lambda x: {"out": x}, lambda x: (x,)])
@pytest.mark.parametrize("mode", ["always", "training", "evaluation"])
def test_networks_that_give_no_tensor_are_told_so_before_anything_is_written(tmp_path, wrap, mode):
    net = Views(lambda x: x if mode == ("evaluation" if net.training else "training") else wrap(x))
    with pytest.raises(TypeError, match=r"gave a .*, not a tensor of logits.*aux_logits=False"):
        fit(net, small_set(), recipe=quick(epochs=1), folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}


def test_rehearsal_sees_the_size_of_validation_and_leaves_no_trace(tmp_path):
    data, val = small_set(16), small_set(9, side=12)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(Views(), data, val, quick(epochs=1), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}
    net = small_net()
    fit(net, data, recipe=quick(epochs=1))
    assert int(net[1].num_batches_tracked) == 2  # steps, and no rehearsal


def test_lazy_networks_get_their_shapes_and_go_on(tmp_path):
    def lazy():
        torch.manual_seed(0)
        net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten())
        return net.append(nn.LazyLinear(3))

    nets = [lazy(), lazy()]
    histories = [fit(net, small_set(), small_set(9), quick(ema=0.5), tmp_path) for net in nets]
    assert histories[0] == histories[1]
    assert same_state(*nets)


class Sized(nn.Sequential):
    """A network of which ``len`` is 0, and which is therefore false."""

    def __len__(self):
        return 0


@pytest.mark.parametrize("kind", ["compiled", "compiled in place", "a part compiled", "empty"])
def test_average_is_kept_whatever_the_network_says_of_its_length(kind, tmp_path):
    def make():
        net = small_net()
        if kind == "compiled":
            return torch.compile(Views(), backend="eager")
        if kind == "compiled in place":
            net.compile(backend="eager")
        if kind == "a part compiled":
            net[0] = torch.compile(net[0], backend="eager")
        return Sized(*net) if kind == "empty" else net

    plain = Views() if kind == "compiled" else small_net()
    expected = fit(plain, small_set(), small_set(9), quick(ema=0.8))
    net = make()
    history = fit(net, small_set(), small_set(9), quick(ema=0.8), tmp_path)
    for row, other in zip(untimed(history), untimed(expected), strict=True):
        assert row == pytest.approx(other, rel=1e-5)
    theirs, ours = plain.state_dict().values(), net.state_dict().values()
    torch.testing.assert_close([*ours], [*theirs], rtol=1e-4, atol=1e-6)
    again = make()
    assert fit(again, small_set(), small_set(9), quick(ema=0.8), tmp_path) == history
    assert same_state(again, net)
    assert not net.training


def test_average_has_nothing_of_the_initial_weights():
    """After many steps nobody would see it."""
    plain, averaged = small_net(dropout=0), small_net(dropout=0)
    data, recipe = small_set(8), quick(epochs=1, batch_size=8)
    fit(plain, data, recipe=recipe)
    fit(averaged, data, recipe=replace(recipe, ema=0.999))
    for name in ("0.weight", "1.running_mean", "6.bias"):
        assert torch.equal(plain.state_dict()[name], averaged.state_dict()[name])


def test_biases_norms_and_frozen_weights_are_not_decayed():
    net = small_net()
    net[0].weight.requires_grad_(False)
    decayed, others = make_optimizer(net, quick(weight_decay=0.3)).param_groups
    assert decayed["params"] == [net[6].weight]
    assert decayed["weight_decay"] == 0.3
    assert others["weight_decay"] == 0
    assert {id(p) for p in others["params"]} == {id(p) for p in net.parameters() if p.ndim == 1}


def test_narrow_bagnet_survives_channels_last_on_a_cpu():
    """Its strided 1x1 convolutions of 8 channels crash oneDNN where channels come last."""
    net = mb.bagnet17(num_classes=3, width=8, layers=(1, 1, 1, 1))
    last = set()
    net.register_forward_hook(lambda net, *_: last.add(is_last(net.conv2.weight)))
    history = fit(net, small_set(8, side=40), recipe=quick(epochs=1), device="cpu")
    assert math.isfinite(history[0]["loss"])
    assert last == {False}


def test_networks_train_with_channels_last_and_come_back_without():
    """A narrow one that a GPU has trained would crash in its next backward pass on the CPU."""
    net, last = mb.bagnet17(num_classes=3, width=16, layers=(1, 1, 1, 1)), set()
    net.register_forward_hook(lambda net, *_: last.add(is_last(net.conv2.weight)))
    fit(net, small_set(8, side=40), recipe=quick(epochs=1))
    assert last == {True}
    assert not any(is_last(p) for p in net.parameters() if p.ndim == 4 and p.shape[2] > 1)


def is_last(weight):
    return weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("able", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision_is_bf16_only_where_a_gpu_computes_in_it(monkeypatch, able, dtype):
    """Older GPUs emulate it, which takes longer than float32."""
    asked = []

    def supported(including_emulation=True):
        asked.append(including_emulation)
        return able

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert autocast_dtype("auto", torch.device("cuda")) == dtype
    assert asked == [False]
    assert autocast_dtype("auto", torch.device("cpu")) == torch.float32


def test_bf16_trains_on_a_cpu_and_keeps_weights_in_fp32():
    net = small_net(dropout=0)
    recipe = quick(epochs=8, batch_size=16, lr=0.05, precision="bf16")
    assert fit(net, small_set(160), small_set(40, seed=1), recipe)[-1]["val_accuracy"] > 0.9
    assert {p.dtype for p in net.parameters()} == {torch.float32}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "fp32"])
def test_trains_on_a_gpu(precision, tmp_path):
    recipe = quick(epochs=8, batch_size=16, lr=0.05, precision=precision)
    data, val = small_set(160), small_set(40, seed=1)
    assert fit(small_net(), data, val, recipe, tmp_path)[-1]["val_accuracy"] > 0.9
    net = small_net()
    assert len(fit(net, data, val, recipe, tmp_path)) == 8
    assert next(net.parameters()).device.type == "cpu"
    assert len(fit(net.cuda(), data, val, recipe, tmp_path)) == 8
    assert next(net.parameters()).device.type == "cuda"


def test_is_quiet_unless_asked(capsys):
    fit(small_net(), small_set(), recipe=quick(epochs=1))
    assert capsys.readouterr() == ("", "")
    fit(small_net(), small_set(), recipe=quick(epochs=1), progress=True)
    assert "5/5" in capsys.readouterr().err


def test_compiled_network_learns_the_same(tmp_path):
    plain, compiled = small_net(dropout=0), small_net(dropout=0)
    fit(plain, small_set(), recipe=quick(epochs=1))
    compile_ = torch.compile

    def eager(net):
        return compile_(net, backend="eager")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", eager)  # the real backend needs a compiler and a minute
        fit(compiled, small_set(), recipe=quick(epochs=1, compile=True))
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    torch.testing.assert_close(plain.state_dict(), compiled.state_dict(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"net": small_net(classes=4)}, "built for 3 classes"),
        ({"net": small_net().to("meta")}, "must lie on one device"),
        ({"net": small_net().append(nn.Linear(3, 3, device="meta"))}, "must lie on one device"),
        ({"val": replace(small_set(), classes=("a", "b", "c"))}, "same classes"),
        ({"train": small_set()[:0]}, "0 images"),
        ({"val": small_set()[:0]}, "0 images"),
        ({"recipe": quick(precision="fp16"), "device": "cpu"}, "fp16"),
    ],
)
def test_what_does_not_fit_together_is_refused(change, said):
    given = {"net": small_net(), "train": small_set(), "recipe": quick(epochs=1)} | change
    with pytest.raises(ValueError, match=said):
        fit(**given)


@pytest.mark.parametrize("name", ["save_every", "minutes"])
@pytest.mark.parametrize(
    "value", [0, -1, -2.5, math.nan, math.inf, True, False, "5", np.float64("nan"), np.int64(0)]
)
def test_limits_that_cannot_be_kept_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be None or a"):
        fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path, **{name: value})


def test_minutes_need_a_folder_and_limits_take_numbers_of_numpy(tmp_path):
    with pytest.raises(ValueError, match="minutes needs a folder"):
        fit(small_net(), small_set(), recipe=quick(epochs=1), minutes=1)
    given = {"save_every": np.int64(2), "minutes": np.float32(5)}
    assert len(fit(small_net(), small_set(), recipe=quick(epochs=1), folder=tmp_path, **given)) == 1


def test_read_only_and_turned_images_are_taken_without_a_warning(recwarn):
    data = small_set()
    turned = data.images[:, ::-1]
    turned.flags.writeable = False
    fit(small_net(), mb.ImageSet(turned, data.labels, data.classes), recipe=quick(epochs=1))
    assert not recwarn.list
