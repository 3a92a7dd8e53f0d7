"""The checks of lesson 01 take the notebook's solutions and explain wrong answers."""

import numpy as np
import pytest
import torch
from scipy import ndimage

import minibag as mb
from minibag.checks import lesson01


def rejected(verdict, word):
    assert not verdict.passed
    assert word in verdict.message
    assert 1 <= len(verdict.hints) <= 3


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda counts, votes: (counts > 0) @ votes, "as often as it was seen"),
        (lambda counts, votes: (counts @ votes).argmax(), "one score for each class"),
        (lambda counts, votes: counts @ votes / counts.sum(), "mean of the votes"),
        (lambda counts, votes: counts[:, None] * votes, "(4, 4)"),
        (lambda counts, votes: votes @ counts, "sideways"),
        (lambda counts, votes: -counts @ votes, "expected"),
        (lambda counts, votes: None, "return"),
    ],
)
def test_wrong_votes_are_explained(wrong, word):
    rejected(lesson01.vote(wrong), word)


def spread(words, votes, bias):
    return np.moveaxis(votes[words], -1, 0), bias[:, None, None]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda w, v, b: spread(w, v, b)[0], "bias is missing"),
        (lambda w, v, b: sum(spread(w, v, b / w.size)), "bias is divided"),
        (lambda w, v, b: sum(spread(w, v, b)) / w.size, "do not divide"),
        (lambda w, v, b: v[w] + b, "(n_classes, h, w)"),
        (lambda w, v, b: (v[w] + b).T, "(n_classes, h, w)"),
        (lambda w, v, b: (v[w] + b).T if len(w) == 3 else sum(spread(w, v, b)), "exchanged"),
        (lambda w, v, b: (v[w] + b).reshape(-1, *w.shape), "moves no axis"),
        (lambda w, v, b: (v[w] + b).mean(axis=(0, 1)), "(n_classes, h, w)"),
        (lambda w, v, b: -sum(spread(w, v, b)), "expected"),
    ],
)
def test_wrong_evidence_is_explained(wrong, word):
    rejected(lesson01.patch_evidence(wrong), word)


def in_place(image):
    image[:] = np.roll(image, 8, axis=0)
    return image


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda image: image[:, ::-1], "mirrored"),
        (lambda image: image[::-1, ::-1], "turned"),
        (lambda image: np.roll(image, 3, axis=1), "cut"),
        (lambda image: image.copy(), "same image"),
        (lambda image: 255 - image, "had not"),
        (lambda image: image / 255, "uint8"),
        (lambda image: image[:32], "size of the original"),
        (in_place, "image.copy()"),
    ],
)
def test_failed_forgeries_are_explained(wrong, word):
    rejected(lesson01.forge(wrong), word)


def test_any_exchange_of_whole_patches_is_a_forgery():
    def swap(image):
        other = image.copy()
        other[:8, :8], other[8:16, 24:32] = image[8:16, 24:32], image[:8, :8]
        return other

    lesson01.forge(swap).require()


def test_the_parts_counted_by_hand_are_the_parts_drawn():
    critters = mb.critters("val", 3, seed=10, classes=("eye", "feather", "fin"))
    drawn = [
        (critters.classes[label], sum(np.bincount(pieces.ravel())[1:] > 20))
        for label, mask in zip(critters.labels, critters.masks, strict=True)
        for pieces in [ndimage.label(mask, np.ones((3, 3)))[0]]
    ]
    assert drawn == [("fin", 6), ("feather", 5), ("eye", 5)]


@pytest.mark.parametrize(
    "right",
    [
        lambda counts, votes: [
            sum(counts[k] * row[c] for k, row in enumerate(votes)) for c in range(votes.shape[1])
        ],
        lambda counts, votes: (counts[:, None] * votes).sum(axis=0),
        lambda counts, votes: torch.from_numpy(counts) @ torch.from_numpy(votes),
    ],
)
def test_votes_in_other_styles_pass(right):
    lesson01.vote(right).require()


@pytest.mark.parametrize(
    "right",
    [
        lambda w, v, b: [[[v[k, c] + b[c] for k in row] for row in w] for c in range(v.shape[1])],
        lambda w, v, b: (np.eye(len(v))[w] @ v + b).transpose(2, 0, 1),
        lambda w, v, b: (torch.from_numpy(v)[w] + torch.from_numpy(b)).permute(2, 0, 1),
    ],
)
def test_evidence_in_other_styles_passes(right):
    lesson01.patch_evidence(right).require()
