"""The checks of lesson 09 judge fairly, and its colleague's images are what the lesson says."""

import numpy as np
import pytest

from minibag.checks import lesson09
from minibag.evidence import energy_score


def ranked(key, keep=lambda places: places):
    def answer(maps, k):
        order = np.argsort(key(maps), axis=None, kind="stable")
        places = [tuple(map(int, np.unravel_index(at, maps.shape))) for at in order]
        return keep(places)[:k]

    return answer


def once(places):
    seen = {}
    for place in places:
        seen.setdefault(place[0], place)
    return list(seen.values())


def best(maps, k):
    return ranked(lambda m: -m, once)(maps, k)


def hit(values, masks):
    at = values.reshape(len(values), -1).argmax(1)
    return masks.reshape(len(masks), -1)[np.arange(len(masks)), at].mean()


def soft(values):
    return np.exp(values) / np.exp(values).sum(0)


WRONG = [
    ("strongest", ranked(lambda m: -m), "twice"),
    ("strongest", ranked(lambda m: -np.abs(m), once), "against"),
    ("strongest", lambda m, k: best(m, k)[::-1], "order"),
    ("strongest", lambda m, k: [(n, j, i) for n, i, j in best(m, k)], "swapped"),
    ("strongest", lambda m, k: best(m, len(m)), "5 patches"),
    ("strongest", lambda m, k: sorted(best(m, k)), "strongest does not come first"),
    ("strongest", lambda m, k: best(m, k + 1)[1:], "stronger"),
    ("pointing", lambda m, k: hit(np.abs(m), k), "abs"),
    ("pointing", lambda m, k: hit(-m, k), "weakest"),
    ("pointing", lambda m, k: float(k.ravel()[m.argmax()]), "own"),
    ("pointing", lambda m, k: (np.maximum(m, 0) * k).sum() / np.maximum(m, 0).sum(), "energy"),
    ("pointing", lambda m, k: hit(m, k) * len(m), "between"),
    ("pointing", lambda m, k: k.mean(), "hit"),
    ("probabilities", lambda e: soft(e).mean((1, 2)), "patch probabilities"),
    ("probabilities", lambda e: e.mean((1, 2)), "logits"),
    ("probabilities", soft, "one number"),
    ("probabilities", lambda e: np.exp(e.mean((1, 2))), "sum"),
    ("probabilities", lambda e: soft(e.max((1, 2))), "mean logits"),
]


@pytest.mark.parametrize(("name", "wrong", "keyword"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(name, wrong, keyword):
    verdict = getattr(lesson09, name)(wrong)
    assert not verdict.passed
    assert keyword in verdict.message
    assert verdict.hints


def test_the_colleagues_fingers_go_with_one_class_and_swap_on_demand():
    seen = lesson09.colleagues_images("train", 80)
    fingers = seen.distractors.any((1, 2))
    assert fingers[seen.labels == 0].mean() > 0.85
    assert not fingers[seen.labels == 1].any()
    swapped = lesson09.colleagues_images("test", 20, swapped=True)
    assert (swapped.distractors.any((1, 2)) == (swapped.labels == 1)).all()


def test_fingers_and_parts_share_no_pixel():
    seen = lesson09.colleagues_images("val", 20)
    fingers = seen[seen.distractors.any((1, 2))]
    assert (energy_score(fingers.distractors, fingers.masks) == 0).all()
