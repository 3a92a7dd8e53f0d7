"""What all tests share: the photographs, or a plain word that they are missing."""

from __future__ import annotations

import os

import pytest

from minibag.data.imagenette import find_imagenette


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests on photographs need them: skipped at home without them, an error in CI."""
    if not item.get_closest_marker("imagenette"):
        return
    try:
        find_imagenette()
    except FileNotFoundError as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))
