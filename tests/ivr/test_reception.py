"""How a caller is received, by the rules of the moment."""

from datetime import datetime

import pytest

from acd.rules.model import Flag, Number, Queue, Rules
from facts.calendar import make_calendar, read_years
from facts.terms import CONTINUE, Release
from facts.times import CHINA, SECOND
from ivr.reception import Reception, receive
from ivr.workdays import SHIPPED

CALENDAR = make_calendar(read_years(SHIPPED.read_text()))
HOURS = {"office": {"workdays": "08:00-18:00"}}
RULES = Rules(
    queues={
        "default": Queue(),
        "day": Queue("day", hours="office", callback_key="5"),
        "odd": Queue("odd", hours="gone", detect_silence=True),
    },
    numbers={
        "12345": Number("12345"),
        "8890": Number("8890", "day", "en"),
        "110": Number("110", "odd"),
    },
    flags={"+8613800000001": Flag("+8613800000001", 5)},
)


def received(
    number: str,
    when: str,
    caller: str = "+8613800000000",
    *,
    calls_back: bool = True,
    instead: str = CONTINUE,
) -> Reception:
    at = round(datetime.fromisoformat(when).replace(tzinfo=CHINA).timestamp() * SECOND)
    return receive(
        RULES,
        HOURS,
        CALENDAR,
        number,
        caller,
        at,
        blocked=lambda caller: caller == "+8613800000009",
        calls_back=calls_back,
        instead=instead,
    )


def test_a_number_leads_to_its_queue_in_its_language() -> None:
    assert received("12345", "2026-02-16T03:00") == Reception()
    assert received("8890", "2026-02-13T10:00") == Reception("day", "en", None, "5")
    assert received("999", "2026-02-13T10:00") == Reception()


@pytest.mark.parametrize(
    ("when", "refusal"),
    [
        ("2026-02-13T10:00", None),
        ("2026-02-14T10:00", None),  # a make-up Saturday
        ("2026-02-16T10:00", Release.CLOSED_HOURS),  # the Spring Festival's Monday
        ("2026-02-13T18:00", Release.CLOSED_HOURS),
    ],
)
def test_outside_the_hours_nobody_is_queued(when: str, refusal: Release | None) -> None:
    assert received("8890", when).refusal is refusal
    assert received("12345", when).refusal is None


def test_a_blocked_caller_is_refused_at_any_time_and_before_all_else() -> None:
    assert received("12345", "2026-02-13T10:00", "+8613800000009").refusal is Release.BLOCKED
    assert received("8890", "2026-02-13T20:00", "+8613800000009").refusal is Release.BLOCKED


@pytest.mark.parametrize(
    ("instead", "refusal", "outside"),
    [
        ("continue", None, ""),
        ("refuse", Release.SYSTEM_FAILURE, ""),
        ("02412345678", None, "02412345678"),
    ],
)
def test_callers_who_cannot_be_recorded(
    instead: str, refusal: Release | None, outside: str
) -> None:
    found = received("12345", "2026-02-13T10:00", instead=instead)
    assert (found.refusal, found.outside) == (refusal, outside)
    # Whoever is turned away anyway is not sent on.
    blocked = received("12345", "2026-02-13T10:00", "+8613800000009", instead=instead)
    assert (blocked.refusal, blocked.outside) == (Release.BLOCKED, "")
    closed = received("8890", "2026-02-13T20:00", instead=instead)
    assert (closed.refusal, closed.outside) == (Release.CLOSED_HOURS, "")


def test_a_caller_who_withholds_the_number_is_never_taken_for_blocked() -> None:
    found = receive(RULES, {}, CALENDAR, "12345", "", 0, blocked=lambda caller: True)
    assert found.refusal is None


def test_hours_that_do_not_exist_turn_nobody_away() -> None:
    assert received("110", "2026-02-16T03:00") == Reception("odd", detect_silence=True)


def test_without_a_way_out_no_callback_is_offered() -> None:
    assert received("8890", "2026-02-13T10:00", calls_back=False).callback_key == ""


def test_what_else_a_queue_says_of_its_callers() -> None:
    queue = Queue(callback_key="5", offer_in_notice=True)
    rules = Rules(queues={"default": queue}, numbers={"12345": Number("12345")})
    found = receive(rules, {}, CALENDAR, "12345", "", 0)
    assert found == Reception(callback_key="5", offer_in_notice=True)


def test_a_flagged_caller_is_received_like_everybody() -> None:
    when = "2026-02-13T10:00"
    assert received("8890", when, "+8613800000001") == received("8890", when)
