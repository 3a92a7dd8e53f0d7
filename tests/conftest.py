"""What all tests share: the photographs, or a plain word that they are missing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from minibag.data.imagenette import find_imagenette

# How long an example takes says as much of the machine as of the code.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests on photographs need them: skipped at home without them, an error in CI."""
    if not item.get_closest_marker("imagenette"):
        return
    try:
        find_imagenette()
    except FileNotFoundError as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(missing))


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Leave the environment as it was for the lessons' kernels, which inherit it.

    Dask's nannies set OMP_NUM_THREADS=1 and a malloc threshold in the process that starts them,
    for good: all lessons of a whole run took up to twice as long.
    """
    before = dict(os.environ)
    yield
    os.environ.update(before)  # never empty in between: threads of others read it
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
