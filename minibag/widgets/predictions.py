"""Predictions, typed in before the answer is seen, kept, and shown again beside it."""

from __future__ import annotations

import csv
import html
import secrets
from collections import defaultdict
from pathlib import Path

import ipywidgets as widgets
from matplotlib.figure import Figure

from minibag.figures.predicted import crowd
from minibag.machine import expand, whole_file
from minibag.widgets.answers import plain
from minibag.widgets.base import Redrawn

COLUMNS = ("question", "prediction")
FILES = "predictions-*.csv"
ASKED = "What do you expect? Type it in and press Enter."


class Prediction(Redrawn):
    """A question and a field for the answer that you expect: see `predict`."""

    def __init__(self, question: str, folder: str | Path = "predictions") -> None:
        if not question.strip():
            raise ValueError("a prediction needs a question")
        self.question, self.folder = question, expand(folder)
        field = widgets.Text(
            value=_read(_mine(self.folder)).get(question, ""),
            description="your prediction",
            continuous_update=False,
        )
        super().__init__(self._keep, {"prediction": field})
        self.children = (self.look, self.view, field, self.text)  # the question comes first

    @property
    def prediction(self) -> str:
        """What was typed in, "" before that."""
        return self.controls["prediction"].value.strip()

    def beside(self, answer: object, unit: str = "") -> None:
        """Print what was predicted beside what came out: a number, rounded by you, or words."""
        said = f"You predicted: {self.prediction}" if self.prediction else "You predicted nothing"
        print(f"{self.question}\n  {said}\n  It is: {answer}{unit and f' {unit}'}")

    def _keep(self, prediction: str) -> tuple[str, str]:
        """Write down what was typed in; return the question, and what is to be said."""
        before = _read(_mine(self.folder))
        if prediction.strip() != before.get(self.question, ""):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = _mine(self.folder) or self.folder / FILES.replace("*", secrets.token_hex(4))
            _write(path, {**before, self.question: prediction.strip()})
        text = "Written down. You can still change it." if prediction.strip() else ASKED
        return f"<b>{html.escape(self.question)}</b>", text

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        """Add the question alone for pages without a kernel."""
        bundle = super()._repr_mimebundle_(**options)
        bundle = bundle[0] if isinstance(bundle, tuple) else bundle
        return {**bundle, "text/plain": f"{self.question} (a field to type in)"}


def predict(question: str, folder: str | Path = "predictions") -> Prediction:
    """Return a field for a prediction; ``.beside(answer)`` shows it again with what came out.

    It is kept in a CSV file of the folder, one a person, without any name: the same question shows
    it again, in another lesson and next week too. `pool_predictions` draws those of a class.

    Parameters
    ----------
    question : with the unit of the answer, if it is a number: "Accuracy at 4 x 4 cells, in %?"
    folder : where predictions are kept; made when the first one is typed in

    Raises
    ------
    ValueError
        If the question is empty, or a file of predictions there holds something else.
    """
    return Prediction(question, folder)


def pool_predictions(folder: str | Path, answers: dict[str, float | str] | None = None) -> Figure:
    """Return a figure of all that a class predicted, from the files saved in a folder.

    Parameters
    ----------
    folder : with the CSV files of all
    answers : what came out, by question, drawn as a line or a star; None draws none

    Raises
    ------
    FileNotFoundError
        If there are no predictions in the folder.
    ValueError
        If one of the files holds something else, with its name.
    """
    files = sorted(expand(folder).rglob(FILES))
    said: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for question, prediction in _read(file).items():
            said[question] += [prediction] if prediction else []
    if not any(said.values()):
        raise FileNotFoundError(f"no predictions in {folder}: collect files like {FILES} there")
    return crowd({question: found for question, found in said.items() if found}, answers or {})


def _mine(folder: Path) -> Path | None:
    """Return the file of the person who works in this folder, if there is one yet."""
    return next(iter(sorted(folder.glob(FILES))), None)


def _read(file: Path | None) -> dict[str, str]:
    """Return the predictions of a file by question."""
    if file is None:
        return {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            head, *lines = csv.reader(opened, strict=True)
        if tuple(head) != COLUMNS or any(len(line) != len(COLUMNS) for line in lines):
            raise ValueError(f"expected a line {','.join(COLUMNS)}, and such lines below")
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{file} holds no predictions: {error}") from error
    return {question: prediction.removeprefix("'") for question, prediction in lines}


def _write(path: Path, predictions: dict[str, str]) -> None:
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as opened:
        rows = [(question, plain(prediction)) for question, prediction in predictions.items()]
        csv.writer(opened).writerows([COLUMNS, *rows])
