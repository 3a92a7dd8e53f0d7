"""What a check does with right, wrong, missing and crashing answers."""

import signal
import sys

import numpy as np
import pytest

import minibag as mb
from minibag.checks import core, lesson03
from minibag.checks.core import CheckFailed, Verdict, check


@check("think of two", "1 + 1")
def two(answer):
    if answer() != 2:
        raise CheckFailed("that is not two")
    return "it is two"


def broken():
    return 1 / 0


def unwritten():
    raise NotImplementedError


def test_a_right_answer_passes_with_praise():
    verdict = two(lambda: 2)
    assert verdict.passed
    assert str(verdict) == "Passed: it is two"
    verdict.require()


def test_a_wrong_answer_gets_the_message_and_the_hints_but_no_exception():
    verdict = two(lambda: 3)
    assert not verdict.passed
    assert verdict.message == "that is not two"
    assert verdict.hints == ("think of two", "1 + 1")


def test_require_raises_the_message_for_graders():
    with pytest.raises(CheckFailed, match="not two"):
        two(lambda: 3).require()
    assert issubclass(CheckFailed, AssertionError)


def test_the_stub_is_told_that_it_is_their_turn():
    assert "your turn" in two(unwritten).message


def test_an_error_in_the_answer_is_named_with_its_line():
    message = two(broken).message
    assert "ZeroDivisionError" in message
    assert "in broken: return 1 / 0" in message


def test_the_display_escapes_what_students_write():
    verdict = Verdict(False, "got <script>alert(1)</script>", ("a < b",))
    shown = verdict._repr_html_()
    assert "<script>" not in shown
    assert "a &lt; b" in shown


def test_hints_are_offered_only_until_the_answer_is_right():
    assert "<details>" in two(lambda: 3)._repr_html_()
    assert "<details>" not in two(lambda: 2)._repr_html_()


def test_the_text_form_is_what_a_terminal_shows():
    assert repr(two(lambda: 3)) == "Not yet: that is not two"


def test_more_than_three_hints_are_refused():
    with pytest.raises(ValueError, match="at most three hints, got 4"):
        check("a", "b", "c", "d")


def test_a_check_keeps_its_name_for_help():
    assert two.__name__ == "two"


def test_keyboard_interrupts_are_not_swallowed():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        two(stop)


def test_lessons_are_reached_by_name_and_others_are_refused():
    assert "lesson01" in dir(mb.checks)
    with pytest.raises(AttributeError, match="no attribute 'lesson99'"):
        _ = mb.checks.lesson99


@check("add")
def total(student):
    """Check ``total(numbers (n,)) -> float``."""
    numbers = np.arange(4.0)
    answer = student(numbers)
    if answer.shape != () or answer != numbers.sum():
        raise CheckFailed("not the sum")
    return "the sum"


def test_the_truth_cannot_be_changed_through_the_inputs():
    def zeroed(numbers):
        numbers[:] = 0
        return numbers.sum()

    assert total(zeroed).message == "not the sum"


def test_an_error_in_a_library_is_told_with_the_students_line():
    def by_library(numbers):
        return np.linalg.inv(numbers)

    message = total(by_library).message
    assert "LinAlgError" in message
    assert "in by_library: return np.linalg.inv(numbers)" in message


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (lambda: 3, "calling your function"),  # the wrong number of arguments
        (lambda word_map, n: "six", "what you return (str) does not fit"),
        (lambda word_map, n: [6, [6]], "what you return (list of length 2) does not fit"),
    ],
)
def test_no_line_of_the_checker_is_shown_as_the_students(wrong, word):
    message = lesson03.histogram(wrong).message
    assert word in message
    assert "Expected: `histogram(word_map (h, w), n_words) -> (n_words,)`" in message
    assert "np.asarray" not in message


def test_a_value_in_place_of_the_function_is_told():
    assert "no function" in total(np.arange(4)).message


def test_a_loop_that_never_ends_is_stopped(monkeypatch):
    def endless(numbers):
        while True:
            try:
                numbers = numbers + 1
            except Exception:
                continue

    monkeypatch.setattr(core, "SECONDS", 0.2)
    before = signal.getsignal(signal.SIGALRM)
    assert "never ends" in total(endless).message
    assert signal.getsignal(signal.SIGALRM) == before


def test_ending_python_ends_the_answer_only():
    assert "SystemExit" in total(lambda numbers: sys.exit(1)).message


def test_an_error_that_cannot_be_printed_is_named():
    class Mute(Exception):  # noqa: N818
        def __str__(self):
            raise ValueError

    def mute(numbers):
        raise Mute

    assert "Mute: (its message cannot be printed)" in total(mute).message
