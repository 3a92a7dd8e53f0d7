"""Predictions are kept as they were typed, found again, and pooled."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minibag as mb
from minibag.figures.predicted import number
from minibag.widgets import pool_predictions
from minibag.widgets.predictions import Prediction, predict

HOW_MUCH, WHO = "How much, in %?", "Who falls first?"


def type_in(widget: Prediction, text: str) -> Prediction:
    widget.controls["prediction"].value = text
    return widget


def lines(folder: Path) -> list[list[str]]:
    (file,) = folder.glob("*.csv")
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my predictions"


def test_nothing_is_written_before_somebody_predicts(folder: Path):
    widget = predict(HOW_MUCH, folder)
    assert HOW_MUCH in widget.view.value
    assert widget.prediction == ""
    assert not folder.exists()


def test_what_was_typed_is_kept_and_found_again(folder: Path):
    type_in(predict(HOW_MUCH, folder), " 40 ")
    type_in(predict(WHO, folder), "ResNet, I think")
    assert predict(HOW_MUCH, folder).prediction == "40"
    assert predict(WHO, folder).prediction == "ResNet, I think"
    kept = [["question", "prediction"], [HOW_MUCH, "40"], [WHO, "ResNet, I think"]]
    assert lines(folder) == kept


def test_a_mind_can_be_changed(folder: Path):
    widget = type_in(predict(HOW_MUCH, folder), "40")
    type_in(widget, "50")
    assert lines(folder)[1:] == [[HOW_MUCH, "50"]]
    type_in(widget, "")
    assert predict(HOW_MUCH, folder).prediction == ""


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_text_comes_back(tmp_path_factory, text: str):
    folder = tmp_path_factory.mktemp("any")
    type_in(predict(WHO, folder), text)
    assert predict(WHO, folder).prediction == text.strip()


def test_no_spreadsheet_takes_a_prediction_for_a_formula(folder: Path):
    type_in(predict(HOW_MUCH, folder), "=1+1")
    assert lines(folder)[1][1] == "'=1+1"
    assert predict(HOW_MUCH, folder).prediction == "=1+1"


def test_the_prediction_stands_beside_the_answer(folder: Path, capsys):
    widget = predict(HOW_MUCH, folder)
    widget.beside(62.5, "%")
    assert capsys.readouterr().out.split("\n")[1:3] == [
        "  You predicted nothing",
        "  It is: 62.5 %",
    ]
    type_in(widget, "40").beside(62.5, "%")
    assert "You predicted: 40\n  It is: 62.5 %" in capsys.readouterr().out


def test_names_of_a_question_are_shown_as_they_are(folder: Path):
    assert "<b>a &lt; b?</b>" in predict("a < b?", folder).view.value
    with pytest.raises(ValueError, match="question"):
        predict("  ")


def test_it_is_reached_flat_and_shown_without_a_kernel(folder: Path):
    bundle = mb.predict(WHO, folder)._repr_mimebundle_()
    assert WHO in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_files_that_hold_something_else_are_named(folder: Path):
    folder.mkdir()
    wrong = folder / "predictions-1.csv"
    for text in ("", "a,b\n", "question,prediction\nonly one\n", 'question,prediction\n"open'):
        wrong.write_text(text)
        with pytest.raises(ValueError, match=wrong.name):
            predict(WHO, folder)
    with pytest.raises(ValueError, match=wrong.name):
        pool_predictions(folder)


@pytest.mark.parametrize(
    ("text", "value"),
    [("62.5 %", 62.5), ("62,5", 62.5), ("about -3", -3), ("none", None), ("3 or 4", None),
     ("1e999999", None), ("", None)],
)  # fmt: skip
def test_numbers_are_found_in_what_people_write(text: str, value: float | None):
    assert number(text) == value


def test_a_class_pools_its_predictions(tmp_path: Path):
    for person, (much, who) in enumerate([("40", "ResNet"), ("60 %", "resnet "), ("50", "words")]):
        type_in(predict(HOW_MUCH, tmp_path / str(person)), much)
        type_in(predict(WHO, tmp_path / str(person)), who)
    figure = pool_predictions(tmp_path, {HOW_MUCH: 55.0, WHO: "words"})
    numbers, words = figure.axes
    assert sum(bar.get_height() for bar in numbers.patches) == 3
    assert numbers.lines[0].get_xdata()[0] == 55
    assert [label.get_text() for label in words.get_yticklabels()] == ["resnet", "words"]
    assert [bar.get_width() for bar in words.patches] == [2, 1]
    assert "(3 people)" in numbers.get_title(loc="left")
    with pytest.raises(FileNotFoundError, match="no predictions"):
        pool_predictions(tmp_path / "0" / "nowhere")
