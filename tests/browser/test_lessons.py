"""Lessons run through in the JupyterLab that `make lab` starts."""

import pytest

from tests.browser.cases import FIELD, PEEK, WORD
from tests.browser.lab import errors


@pytest.mark.parametrize("name", [PEEK.notebook, WORD.notebook, FIELD.notebook])
def test_lesson_with_a_widget_runs_without_errors(lesson, name: str):
    assert errors(lesson(name).save()) == []
