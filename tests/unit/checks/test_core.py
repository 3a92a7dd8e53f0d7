"""What a check does with right, wrong, missing and crashing answers."""

import pytest

import minibag as mb
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
