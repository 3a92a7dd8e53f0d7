"""Recipes: schedules as torch's own, numbers to JSON and back, nonsense refused."""

import json
import math

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as torchs

from minibag.training import IMAGENET, Recipe


def torchs_rates(schedule, lr, steps):
    """The rates of one of torch's schedulers; ``schedule`` makes it of an optimiser."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler = schedule(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_warmup_and_cosine_are_torchs():
    recipe = Recipe(epochs=10, warmup_epochs=2, lr=0.3)

    def schedule(optimizer):
        warm = torchs.LinearLR(optimizer, 1 / 14, total_iters=13)
        cosine = torchs.CosineAnnealingLR(optimizer, 70 - 14)
        return torchs.SequentialLR(optimizer, [warm, cosine], [14])

    ours = [recipe.lr_at(step, 7) for step in range(70)]
    assert ours == pytest.approx(torchs_rates(schedule, 0.3, 70), rel=1e-9, abs=1e-12)
    assert ours[13] == ours[14] == 0.3
    assert 0 < ours[-1] < 0.001


def test_imagenet_preset_divides_by_ten_every_thirty_epochs():
    def schedule(optimizer):
        return torchs.MultiStepLR(optimizer, [30 * 4, 60 * 4], 0.1)

    ours = [IMAGENET.lr_at(step, 4) for step in range(90 * 4)]
    assert ours == pytest.approx(torchs_rates(schedule, 0.01, 90 * 4))
    assert ours[0] == 0.01
    assert ours[-1] == pytest.approx(1e-4)


@pytest.mark.parametrize("schedule", ["cosine", "step"])
@pytest.mark.parametrize("warmup", [0, 0.5, 3, 8])
def test_rates_never_leave_their_range(schedule, warmup):
    recipe = Recipe(epochs=3, warmup_epochs=warmup, schedule=schedule)
    rates = [recipe.lr_at(step, 5) for step in range(15)]
    assert all(0 < rate <= recipe.lr for rate in rates)


def test_recipe_goes_through_json():
    recipe = Recipe(epochs=7, norm_momentum=None, optimizer="sgd")
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": "adam"}, "adamw"),
        ({"epochs": 0}, "epochs"),
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"min_scale": 0}, "min_scale"),
        ({"label_smoothing": 1.5}, "label_smoothing"),
        ({"epochs": 2.5}, "epochs"),
        ({"lr": "0.1"}, "lr"),
        ({"lr": None}, "lr"),
        ({"epochs": True}, "epochs"),
        ({"flip": 2}, "flip"),
        ({"image_size": 48.5}, "image_size"),
        ({"image_size": 0}, "image_size"),
        ({"crop": 0.05}, "crop must be between 0.1 and 1"),
        ({"crop": 1.01}, "crop must be between 0.1 and 1"),
        ({"lr": math.inf}, "lr must be .* any finite number, got inf"),
        ({"weight_decay": np.float32("inf")}, "weight_decay"),
        ({"warmup_epochs": math.inf}, "warmup_epochs"),
        ({"mixup": math.nan}, "mixup"),
        ({"lr": 10**400}, "lr"),
        ({"lr": -np.float64(1)}, "lr"),
        ({"seed": -1}, "seed"),
        ({"ema": np.float32("nan")}, "ema"),
        ({"epochs": np.float64(3)}, "epochs must be of type int"),
        ({"epochs": np.True_}, "epochs"),
        ({"lr": np.array([0.1])}, "lr must be of type float"),
        ({"lr": torch.tensor(0.1)}, "lr must be of type float"),
        ({"lr": 1j}, "lr"),
        ({"flip": 1}, "flip must be of type bool"),
        ({"optimizer": ["sgd"]}, "optimizer must be one of"),
        ({"schedule": None}, "schedule must be one of"),
    ],
)
def test_nonsense_is_refused_by_name(values, said):
    with pytest.raises(ValueError, match=said):
        Recipe(**values)


def test_numbers_of_numpy_are_kept_as_pythons():
    """They come out of sweeps, and neither JSON nor a checkpoint takes NumPy's."""
    given = {
        "epochs": np.int64(3), "batch_size": np.uint8(8), "image_size": np.int32(32),
        "lr": np.float32(0.5), "warmup_epochs": np.int64(0), "flip": np.False_,
        "optimizer": np.str_("sgd"),
    }  # fmt: skip
    recipe = Recipe(**given)
    assert recipe == Recipe(
        epochs=3, batch_size=8, image_size=32, lr=0.5, warmup_epochs=0, flip=False, optimizer="sgd"
    )
    types = {type(getattr(recipe, name)) for name in given}
    assert types == {int, float, bool, str}
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe
