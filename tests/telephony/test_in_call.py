"""Whether a phone answered a question within its call, as the copies of SIP messages tell."""

import pytest

from facts.times import SECOND
from telephony.in_call import ANSWERS_WITHIN, REPEATED_AFTER, SOON, InCallAnswer, Questions
from telephony.refused import Copy
from tests.fakes.hep import HERE, TRUNK

T = 1_000 * SECOND


def left(at: int, sequence: int = 2, call: str = "c1") -> Copy:
    """Asterisk sends a re-INVITE."""
    text = f"INVITE sip:1001@x SIP/2.0\r\nCall-ID: {call}\r\nCSeq: {sequence} INVITE\r\n\r\n"
    return Copy(T + at, HERE, TRUNK, text.encode())


def came(line: str) -> Copy:
    """The phone says something within the call."""
    return Copy(T + SECOND, TRUNK, HERE, f"{line}\r\ni: c1\r\nCSeq: 2 INVITE\r\n\r\n".encode())


@pytest.fixture
def asked() -> Questions:
    questions = Questions({HERE[1]})
    questions.ask("c1", "a.1")
    return questions


def test_what_has_not_left_is_no_question(asked: Questions) -> None:
    assert asked.answer("a.1", T) is InCallAnswer.NONE_DUE
    asked.take(left(0, call="another"))
    assert asked.answer("a.1", T + 60 * SECOND) is InCallAnswer.NONE_DUE
    asked.take(left(0))
    assert asked.answer("a.1", T + SOON - 1) is InCallAnswer.AWAITED
    assert asked.answer("a.1", T + SOON) is InCallAnswer.LATE
    assert asked.answer("b.1", T) is InCallAnswer.NONE_DUE


def test_silence_alone_proves_nothing(asked: Questions) -> None:
    """The copy of the answer may have been lost."""
    asked.take(left(0))
    for at in (SECOND // 2, 3 * SECOND // 2):
        asked.take(left(at))
    assert asked.answer("a.1", T + 60 * SECOND) is InCallAnswer.LATE


def test_a_request_that_asterisk_repeats_was_not_answered(asked: Questions) -> None:
    asked.take(left(0))
    asked.take(left(REPEATED_AFTER - 1))
    assert asked.answer("a.1", T + REPEATED_AFTER) is InCallAnswer.LATE
    asked.take(left(REPEATED_AFTER))
    assert asked.answer("a.1", T + REPEATED_AFTER - 1) is InCallAnswer.LATE
    assert asked.answer("a.1", T + REPEATED_AFTER) is InCallAnswer.MISSING


def test_a_second_question_has_a_second_for_its_answer(asked: Questions) -> None:
    asked.take(left(0))
    asked.ask("c1", "a.1")
    asked.take(left(4 * SECOND, sequence=3))
    asked.take(left(5 * SECOND, sequence=4))  # puts nothing off
    due = T + 4 * SECOND + ANSWERS_WITHIN
    assert asked.answer("a.1", due - 1) is InCallAnswer.LATE
    assert asked.answer("a.1", due) is InCallAnswer.MISSING


@pytest.mark.parametrize(
    "line",
    [
        "SIP/2.0 200 OK",
        "SIP/2.0 481 Call/Transaction Does Not Exist",
        "SIP/2.0 491 Request Pending",
        "INVITE sip:asterisk@x SIP/2.0",
        "BYE sip:asterisk@x SIP/2.0",
    ],
)
def test_whatever_the_phone_says_is_an_answer(asked: Questions, line: str) -> None:
    asked.take(left(0))
    asked.take(came(line))
    asked.take(left(REPEATED_AFTER))
    assert asked.answer("a.1", T + 60 * SECOND) is InCallAnswer.NONE_DUE
    asked.ask("c1", "a.1")
    asked.take(left(10 * SECOND))
    assert asked.answer("a.1", T + 60 * SECOND) is InCallAnswer.LATE


def test_the_question_of_a_talk_that_is_over_is_forgotten(asked: Questions) -> None:
    asked.take(left(0))
    asked.keep({"a.1", "b.1"})
    assert asked.answer("a.1", T) is InCallAnswer.AWAITED
    asked.keep({"b.1"})
    assert asked.answer("a.1", T) is InCallAnswer.NONE_DUE
    Questions({HERE[1]}).keep(())
