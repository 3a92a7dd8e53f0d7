"""The claims say what the lessons say, and their table says what was recorded."""

import json

import pytest

from benchmarks.record import RESULTS
from tests.claims import CLAIMS
from tests.claims.lessons import LESSONS, TABLE, load, plain, recorded_name, table, text_of


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_claim_is_a_sentence_of_its_lesson_was_recorded_and_held(lesson):
    load(lesson)
    text = text_of(lesson)
    rows = json.loads((RESULTS / recorded_name(lesson)).read_text())
    claims = [claim for claim in CLAIMS if claim.lesson == lesson]
    assert [row["sentence"] for row in rows] == [claim.sentence for claim in claims]
    for claim, row in zip(claims, rows, strict=True):
        assert plain(claim.sentence) in text
        assert len(row["outcomes"]) == claim.seeds
        assert all(held for held, _ in row["outcomes"]), claim.sentence


def test_the_table_of_claims_is_what_was_recorded():
    assert TABLE.read_text() == table()
