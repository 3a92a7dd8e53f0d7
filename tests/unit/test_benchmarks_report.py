"""The page of measurements: every table is what the stored results say, and none is missing."""

import json

import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

import minibag as mb
from benchmarks import full_size, report, tables, tables_nets, words_ladder
from benchmarks.record import RESULTS
from minibag.figures import course

PAGE = report.PAGE.read_text()


def test_the_stored_page_is_what_the_stored_results_make_of_it():
    assert report.renewed(PAGE, RESULTS) == PAGE, "run python -m benchmarks.report"


def test_all_numbers_in_tables_come_from_the_results(tmp_path):
    bare = report.renewed(PAGE, tmp_path)
    assert "\n|" not in bare
    blocks = list(report.BLOCK.finditer(PAGE))
    assert bare.count("Not measured yet") == len(blocks)
    for _, _, command in (block.groups() for block in blocks):
        assert f": `{command}`" in bare
    assert report.renewed(bare, RESULTS) == PAGE


def test_every_program_and_every_result_is_on_the_page():
    programs = [path for path in report.PAGE.parent.glob("*.py") if "__main__" in path.read_text()]
    assert len(programs) > 10
    assert [path.stem for path in programs if f"-m benchmarks.{path.stem}" not in PAGE] == []
    shown = {name for _, name, _ in (block.groups() for block in report.BLOCK.finditer(PAGE))}
    results = {path.stem for path in RESULTS.glob("*.json")}
    assert {name for name in results if not name.startswith("claims_")} <= shown  # see CLAIMS.md


def test_a_result_says_where_it_comes_from():
    record = json.loads((RESULTS / "critters_words.json").read_text())
    record["load"] = None  # as on Windows
    record["machine"]["cpus"] = 1
    line = report.origin("critters_words", record)
    assert record["date"][:10] in line
    assert f", 1 CPU, python {record['versions']['python']}" in line


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (tables.count(27), "27"),
        (tables.count(55_210), "55 k"),
        (tables.count(999_600), "1.0 M"),
        (tables.three(0.01234), "0.0123"),
        (tables.three(18.0), "18.0"),
        (tables.three(1234.5), "1,234"),
        (tables.share(0.5, (0.25, 1), 0), "50 % (25 to 100)"),
        (tables.pixels([16, 24]), "16, 24"),
        (tables.pixels(0), "-"),
        (tables.pixels(None), "whole image"),
    ],
)
def test_numbers_are_rounded_to_be_read(made, expected):
    assert made == expected


def test_a_training_on_imagenet_takes_as_long_as_its_images_at_the_measured_rate():
    rate = {"training": 1000.0}
    row = tables_nets.imagenet({"networks": {"net": rate}}).splitlines()[-1]
    assert row == "| net | 1,000 | 32 | 1 |"  # 1.28 million x 90 / 1,000 s


def test_the_size_of_a_rung_is_what_it_keeps():
    learn = mb.critters("train", 64)
    bag = words_ladder.bag(mb.DenseSIFT(8, 16), mb.HistogramEncoder(5))
    heads = {"near": KNeighborsClassifier(1), "linear": words_ladder.tuned(LinearSVC(), C=[1.0])}
    rows = dict(words_ladder.climb(bag, heads, learn, learn))
    words = 5 * 128
    assert rows["near"]["parameters"] == words + 64 * 5
    assert rows["linear"]["parameters"] == words + (5 + 1) * 8


def test_full_size_networks_have_their_place_on_the_ladder():
    assert {*full_size.MAIN.values()} <= {name for name, _ in course.RUNGS.values()}
