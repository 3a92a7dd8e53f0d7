"""Lesson 02: its checks accept the solutions and refuse what students tend to write.

The descriptor that the lesson builds by hand is the library's.
"""

import ast
import math

import numpy as np
import pytest
import torch

import minibag as mb
from minibag.checks import lesson02
from tests.unit.checks.solutions import cells


def functions_of_the_lesson():
    """Run the functions by which the lesson builds a descriptor, as they stand there."""
    names = {"gradients", "orientation_maps", "cell_weights", "pool", "describe"}
    namespace = {"np": np}
    for cell in cells(2):
        if cell.cell_type == "code":
            for node in ast.parse(cell.source).body:
                if isinstance(node, ast.FunctionDef) and node.name in names:
                    exec(ast.unparse(node), namespace)
    assert names < set(namespace)
    return namespace


def test_the_descriptor_of_the_lesson_is_the_descriptor_of_the_library():
    patches = np.random.default_rng(0).random((20, 16, 16)) ** 2
    by_hand = np.stack([functions_of_the_lesson()["describe"](patch) for patch in patches])
    np.testing.assert_allclose(mb.DenseSIFT().transform(patches)[:, 0, 0], by_hand, atol=1e-5)


def test_the_descriptor_of_the_lesson_agrees_at_every_place_of_an_image():
    image = np.random.default_rng(1).random((40, 48))
    found = mb.DenseSIFT(step=8).transform(image[None])[0]
    describe = functions_of_the_lesson()["describe"]
    for i, j in np.ndindex(found.shape[:2]):
        patch = image[8 * i : 8 * i + 16, 8 * j : 8 * j + 16]
        np.testing.assert_allclose(found[i, j], describe(patch), atol=1e-5)


def soft(turns, size):
    distance = np.abs((turns[..., None] - np.arange(8) + 4) % 8 - 4)
    return (size[..., None] * np.maximum(0, 1 - distance)).sum((0, 1))


def angle(up, right):
    return np.arctan2(up, right) / (2 * np.pi) * 8


def hard(right, up):
    bins = np.round(angle(up, right)).astype(int) % 8
    return np.bincount(bins.ravel(), np.hypot(right, up).ravel(), 8)


def not_around(right, up):
    turns, size = angle(up, right) % 8, np.hypot(right, up)
    return (size[..., None] * np.maximum(0, 1 - np.abs(turns[..., None] - np.arange(8)))).sum(
        (0, 1)
    )


def only_lower(right, up):
    bins = np.floor(angle(up, right)).astype(int) % 8
    return np.bincount(bins.ravel(), np.hypot(right, up).ravel(), 8)


WRONG_HISTOGRAMS = {
    "share it": hard,
    "lower bin": only_lower,
    "between bins 7 and 0": not_around,
    "clockwise": lambda right, up: soft(angle(-up, right), np.hypot(right, up)),
    "takes dy first": lambda right, up: soft(angle(right, up), np.hypot(right, up)),
    "half of the circle": lambda right, up: soft(
        np.arctan(up / right) / (2 * np.pi) * 8, np.hypot(right, up)
    ),
    "half a circle off": lambda right, up: soft(angle(up, right) + 4, np.hypot(right, up)),
    "wrong bins": lambda right, up: soft(angle(up, right) + 0.5, np.hypot(right, up)),
    "weight each": lambda right, up: soft(angle(up, right), np.ones_like(up)),
    r"shape \(8,\)": lambda right, up: np.hypot(right, up),
}


def unit(d):
    return d / max(np.linalg.norm(d), 1e-12)


def scaled(d, least=1e-12):
    return d / max(np.linalg.norm(d), least)


def in_place(d):
    d /= max(np.linalg.norm(d), 1e-12)
    return unit(np.minimum(d, 0.2))


WRONG_SCALINGS = {
    "no entry was cut": unit,
    "not scaled again": lambda d: np.minimum(unit(d), 0.2),
    "before the first scaling": lambda d: unit(np.minimum(d, 0.2)),
    "check the order": lambda d: np.minimum(d / max(d.sum(), 1e-12), 0.2),
    "guard is for length 0": lambda d: scaled(np.minimum(scaled(d, 1), 0.2)),
    "nan": lambda d: unit(np.minimum(d / np.linalg.norm(d), 0.2)),
    "work on a copy": in_place,
    r"shape \(128,\)": lambda d: np.linalg.norm(d),
}


def gaps(first, second):
    return np.linalg.norm(first[:, None] - second, axis=-1)


def pairs(distances, keep):
    return np.column_stack([np.flatnonzero(keep), distances.argmin(1)[keep]])


def two(distances):
    return np.sort(distances, axis=1)[:, :2].T


def ratio(first, second, max_ratio, power=1):
    nearest, runner_up = two(gaps(first, second) ** power)
    return nearest < max_ratio * runner_up


WRONG_MATCHES = {
    "where is the ratio": lambda a, b, r: pairs(gaps(a, b), np.ones(len(a), bool)),
    "dropped the clear": lambda a, b, r: pairs(gaps(a, b), ~ratio(a, b, r)),
    "squared distances": lambda a, b, r: pairs(gaps(a, b), ratio(a, b, r, power=2)),
    "first column": lambda a, b, r: pairs(gaps(a, b), ratio(a, b, r))[:, ::-1],
    "should pass": lambda a, b, r: pairs(gaps(a, b), ratio(a, b, 0.5)),
    "Use the argument max_ratio": lambda a, b, r: pairs(gaps(a, b), ratio(a, b, 0.8)),
    "whole numbers": lambda a, b, r: pairs(gaps(a, b), ratio(a, b, r)).astype(float),
    r"shape \(K, 2\)": lambda a, b, r: np.flatnonzero(ratio(a, b, r)),
}


def predictions(**changed):
    truth = {
        "brighter by 0.2": "same",
        "half the contrast": "same",
        "turned by 20 degrees": "drift",
        "turned by 90 degrees": "lost",
        "moved by 3 pixels": "drift",
        "negative": "lost",
    }
    return lambda: truth | {name.replace("_", " "): value for name, value in changed.items()}


WRONG_PREDICTIONS = {
    "two bins": predictions(turned_by_90_degrees="same"),
    "arrows point": predictions(negative="same"),
    "which step undoes": predictions(half_the_contrast="drift"),
    "stays in its cell": predictions(moved_by_3_pixels="lost"),
    "answer with one of": predictions(negative="no idea"),
    "predict exactly these": dict,
}


@pytest.mark.parametrize(("keyword", "answer"), WRONG_HISTOGRAMS.items())
def test_wrong_orientation_histograms_are_explained(keyword, answer):
    refused(lesson02.orientation_histogram(answer), keyword)


@pytest.mark.parametrize(("keyword", "answer"), WRONG_SCALINGS.items())
def test_wrong_normalisations_are_explained(keyword, answer):
    refused(lesson02.normalise_clip_normalise(answer), keyword)


@pytest.mark.parametrize(("keyword", "answer"), WRONG_MATCHES.items())
def test_wrong_ratio_tests_are_explained(keyword, answer):
    refused(lesson02.ratio_test(answer), keyword)


@pytest.mark.parametrize(("keyword", "answer"), WRONG_PREDICTIONS.items())
def test_wrong_predictions_are_answered_with_a_question(keyword, answer):
    refused(lesson02.predict_changes(answer), keyword)


def refused(verdict, keyword):
    with pytest.raises(AssertionError, match=keyword):
        verdict.require()


def histogram_in_a_loop(right, up):
    histogram = [0.0] * 8
    for x, y in zip(right.ravel().tolist(), up.ravel().tolist(), strict=True):
        position = math.atan2(y, x) / (math.pi / 4) % 8
        share = position % 1
        histogram[int(position) % 8] += (1 - share) * math.hypot(x, y)
        histogram[(int(position) + 1) % 8] += share * math.hypot(x, y)
    return histogram


def histogram_in_torch(right, up):
    right, up = torch.from_numpy(right), torch.from_numpy(up)
    position = torch.atan2(up, right) * 4 / torch.pi
    distance = ((position[..., None] - torch.arange(8) + 4) % 8 - 4).abs()
    return (torch.hypot(right, up)[..., None] * (1 - distance).clamp(min=0)).sum((0, 1))


def matches_in_a_loop(first, second, max_ratio):
    found = []
    for i, one in enumerate(first):
        order = sorted((math.dist(one, other), j) for j, other in enumerate(second))
        if order[0][0] < max_ratio * order[1][0]:
            found.append((i, order[0][1]))
    return found


def matches_of_squares(first, second, max_ratio):
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    near = np.argsort(squares, axis=1)[:, :2]
    a, b = np.take_along_axis(squares, near, axis=1).T
    keep = np.flatnonzero(a < max_ratio**2 * b)
    return np.stack([keep, near[keep, 0]], axis=1)


def matches_in_torch(first, second, max_ratio):
    near, which = torch.cdist(torch.from_numpy(first), torch.from_numpy(second)).topk(
        2, largest=False
    )
    keep = near[:, 0] < max_ratio * near[:, 1]
    return torch.stack([keep.nonzero()[:, 0], which[keep, 0]], dim=1)


@pytest.mark.parametrize("answer", [histogram_in_a_loop, histogram_in_torch])
def test_histograms_in_other_styles_pass(answer):
    lesson02.orientation_histogram(answer).require()


@pytest.mark.parametrize(
    "answer",
    [
        lambda d: unit(np.clip(d / (np.linalg.norm(d) + 1e-6), 0, 0.2)),
        lambda d: unit(np.minimum(unit(d), 0.2)).tolist(),
        lambda d: torch.nn.functional.normalize(
            torch.nn.functional.normalize(torch.from_numpy(d), dim=0).clamp(max=0.2), dim=0
        ),
        lambda d: d if not d.any() else unit(np.minimum(unit(d), 0.2)),
    ],
)
def test_normalisations_in_other_styles_pass(answer):
    lesson02.normalise_clip_normalise(answer).require()


@pytest.mark.parametrize("answer", [matches_in_a_loop, matches_of_squares, matches_in_torch])
def test_ratio_tests_in_other_styles_pass(answer):
    lesson02.ratio_test(answer).require()
