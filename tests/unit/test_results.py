"""Measurements are found from anywhere, and their absence is said."""

import json
import re
from pathlib import Path

import pytest

import minibag as mb
from benchmarks import record
from minibag import results
from minibag.figures import course

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_a_measurement_is_the_file_that_the_program_wrote_from_wherever_it_is_asked(
    monkeypatch, tmp_path, capsys
):
    written = json.loads((record.RESULTS / "scramble.json").read_text())
    monkeypatch.chdir(tmp_path)
    assert mb.recorded("scramble") == written
    assert capsys.readouterr().out == ""


def test_what_was_not_measured_and_what_did_not_come_along_is_said_in_one_line(
    monkeypatch, tmp_path, capsys
):
    assert mb.recorded("luck") == {}
    assert re.fullmatch(r".*'luck'.*not measured yet\.\n", capsys.readouterr().out)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "none")
    assert mb.recorded("scramble") == {}
    assert re.fullmatch(r".*'scramble'.*whole course\.\n", capsys.readouterr().out)


def test_a_file_that_is_half_there_is_no_measurement(monkeypatch, tmp_path):
    (tmp_path / "half.json").write_text('{"rungs": {')
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    with pytest.raises(json.JSONDecodeError):
        mb.recorded("half")


def test_a_ladder_without_the_course_says_why_it_is_empty(tmp_path, capsys):
    assert course.measured(tmp_path / "nowhere") == {}
    assert "not here" in capsys.readouterr().out


def test_the_map_knows_which_lessons_there_are():
    assert {int(path.name[:2]) for path in NOTEBOOKS.glob("[0-9][0-9]_*")} == set(course.READY)


def test_no_lesson_reads_measurements_by_a_path_of_its_own():
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert "benchmarks/results" not in path.read_text(), path.name
