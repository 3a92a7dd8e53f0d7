"""Two lists of names: what differs is said, also where they look the same."""

import unicodedata

import numpy as np
import pytest
from torch import nn

import minibag as mb
from minibag.commands import labels_of
from minibag.data.names import difference
from minibag.evidence.patches import _batches
from minibag.experiments import accuracy_by_grid
from minibag.training import fit

NFC = "caf\u00e9"
NFD = unicodedata.normalize("NFD", NFC)


def test_equal_lists_do_not_differ():
    assert not difference(("a", NFC), ["a", NFC])


@pytest.mark.parametrize("twin", [NFD, NFC + " ", f"{NFC[:2]}\u200b{NFC[2:]}"])
def test_names_that_look_the_same_are_spelled_out(twin):
    said = difference(("a", NFC), ("a", twin))
    assert said.isascii()
    assert ascii(NFC) in said
    assert ascii(twin) in said
    assert "look the same" in said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a", "b", "d"), "unknown: d; missing: c"),
        (("a", "b"), "missing: c"),
        (("a", "b", "c", "d"), "unknown: d"),
        (("b", "a", "c"), "other order or number: b, a, c instead of a, b, c"),
        (("a", "b", "c", "c"), "other order or number: a, b, c, c instead of a, b, c"),
        ((), "missing: a, b, c"),
        (tuple("abcdefghijk"), "unknown: d, e, f, g, h and 3 more"),
    ],
)
def test_what_differs_is_said_in_one_short_line(given, said):
    assert difference(("a", "b", "c"), given) == said


def photographs(name):
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    return mb.ImageSet(images, np.arange(8) % 2, ("a", name))


class Bag:
    """The model that was trained on names in NFC."""

    classes = ("a", NFC)


@pytest.mark.parametrize(
    "compare",
    [
        lambda images: fit(nn.Flatten(), photographs(NFC), images),
        lambda images: labels_of(images, Bag.classes),
        lambda images: accuracy_by_grid(Bag(), images),
        lambda images: list(_batches(images, Bag.classes)),
        lambda images: mb.BagOfVisualWords(n_words=2).fit([photographs(NFC), images]),
    ],
    ids=["fit", "command line", "scrambling", "telling patches", "words"],
)
def test_whoever_compares_names_says_what_differs(compare):
    with pytest.raises(ValueError, match="look the same") as error:
        compare(photographs(NFD))
    assert ascii(NFD) in str(error.value)
