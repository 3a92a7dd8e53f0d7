"""A lesson is charged for its own time, and for no more of others' than half of the clock."""

import subprocess
import sys
import time

import pytest

from tests.notebooks.budget import Watch, charge, cpu_seconds

BUSY = "import time; s = time.process_time()\nwhile time.process_time() - s < 1: pass"


@pytest.mark.parametrize(
    ("seconds", "others", "charged"),
    [(80, 0, 80), (80, -0.1, 80), (80, 10, 70), (80, 40, 40), (80, 160, 40)],
)
def test_seconds_of_others_are_not_charged(seconds, others, charged):
    assert charge(seconds, others) == charged


def test_what_runs_below_us_is_ours_while_it_runs_and_after():
    before = cpu_seconds()
    subprocess.run([sys.executable, "-c", BUSY], check=True)
    machine, ours = (b - a for a, b in zip(before, cpu_seconds(), strict=True))
    assert 1 <= ours < 3
    assert machine > ours - 0.1
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "\ninput()"], stdin=subprocess.PIPE
    ) as busy:
        while cpu_seconds()[1] - before[1] < ours + 1:  # still running
            time.sleep(0.05)
        busy.communicate(b"\n")


def test_what_runs_beside_us_is_not():
    before = cpu_seconds()
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BUSY!r}])"
    subprocess.run([sys.executable, "-c", start], check=True)  # an orphan now
    while cpu_seconds()[0] - before[0] < 1.5:
        time.sleep(0.05)
    machine, ours = (b - a for a, b in zip(before, cpu_seconds(), strict=True))
    assert machine - ours > 0.8


def test_a_watch_sees_the_memory_of_what_starts_below_us():
    watch = Watch()
    code = "x = bytearray(300_000_000); import time; time.sleep(1)"
    subprocess.run([sys.executable, "-c", code], check=True)
    watch.stop()
    assert 3e8 < watch.peak < 6e8
    assert watch.seconds / 2 <= watch.charged <= watch.seconds
