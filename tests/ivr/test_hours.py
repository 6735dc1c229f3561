"""Opening hours, on the days that the state has published."""

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.calendar import Calendar, make_calendar, read_years
from facts.times import CHINA, SECOND
from ivr.hours import (
    Opening,
    is_open,
    is_provisional,
    missing_years,
    next_opening,
)
from ivr.workdays import SHIPPED

CALENDAR = make_calendar(read_years(SHIPPED.read_text()))
OFFICE = {"workdays": "08:00-18:00"}
WEEK = {"mon-fri": "08:00-18:00", "sat": "09:00-12:00"}


def at(text: str) -> int:
    """A moment in China."""
    return round(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * SECOND)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-02-13T10:00", True),  # an ordinary Friday
        ("2026-02-14T10:00", True),  # a Saturday on which the Monday is made up for
        ("2026-02-16T10:00", False),  # that Monday: the Spring Festival
        ("2026-02-21T10:00", False),  # a Saturday within it
        ("2026-02-24T10:00", True),
        ("2026-02-28T10:00", True),  # the other Saturday
        ("2026-03-07T10:00", False),  # an ordinary Saturday
        ("2025-10-08T10:00", False),  # the Mid-Autumn Festival, a Wednesday
        ("2025-10-11T10:00", True),
        ("2026-03-02T07:59:59", False),
        ("2026-03-02T08:00", True),
        ("2026-03-02T17:59:59.999999", True),
        ("2026-03-02T18:00", False),
    ],
)
def test_workdays_follow_the_calendar_of_the_state(moment: str, expected: bool) -> None:
    assert is_open(OFFICE, at(moment), CALENDAR) is expected


@pytest.mark.parametrize(
    ("hours", "moment", "expected"),
    [
        (WEEK, "2026-02-16T10:00", True),  # days of the week are what they say
        (WEEK, "2026-02-14T13:00", False),
        (WEEK, "2026-02-14T11:00", True),
        (WEEK, "2026-02-15T11:00", False),  # a day of which nothing is said
        (WEEK | {"holidays": "closed"}, "2026-02-16T10:00", False),
        (WEEK | {"holidays": "closed"}, "2026-02-14T11:00", True),
        (WEEK | OFFICE, "2026-02-14T13:00", True),  # workdays before a day of the week
        (OFFICE | {"holidays": "09:00-12:00"}, "2026-02-16T10:00", True),
        (OFFICE | {"2026-02-14": "closed"}, "2026-02-14T10:00", False),  # a date before all
        (OFFICE | {"2026-02-16": "open"}, "2026-02-16T03:00", True),
        ({"daily": "open"}, "2026-02-16T03:00", True),
        ({"daily": "open", "sun": "closed"}, "2026-02-15T10:00", False),
        ({"mon-sun": "open", "fri-sun": "closed"}, "2026-02-15T10:00", False),
        ({"fri-wed": "open", "sat-sun": "closed"}, "2026-02-15T10:00", False),
        ({"fri-mon": "open"}, "2026-03-02T10:00", True),
        ({"fri-mon": "open"}, "2026-03-03T10:00", False),
        ({"daily": "08:00-12:00,13:00-18:00"}, "2026-03-02T12:30", False),
        ({"daily": "08:00-12:00,13:00-18:00"}, "2026-03-02T13:00", True),
        ({"daily": "18:00-24:00"}, "2026-03-02T23:59", True),
        ({"daily": "18:00-24:00"}, "2026-03-02T00:00", False),
        ({"fri": "22:00-06:00"}, "2026-03-06T23:00", True),
        ({"fri": "22:00-06:00"}, "2026-03-07T05:59", True),  # Friday's night, on Saturday
        ({"fri": "22:00-06:00", "sat": "closed"}, "2026-03-07T05:59", True),
        ({"fri": "22:00-06:00"}, "2026-03-07T06:00", False),
        ({"fri": "22:00-06:00"}, "2026-03-06T05:00", False),
        ({"fri": "08:00-08:00"}, "2026-03-07T07:59", True),  # round the clock
        ({}, "2026-03-02T10:00", False),
    ],
)
def test_the_most_special_line_counts(hours: dict[str, str], moment: str, expected: bool) -> None:
    assert is_open(hours, at(moment), CALENDAR) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-02-13T18:00", "2026-02-14T08:00"),
        ("2026-02-14T18:00", "2026-02-24T08:00"),
        ("2026-03-02T07:00", "2026-03-02T08:00"),
        ("2026-03-02T09:30", "2026-03-02T09:30"),
        ("2026-09-30T20:00", "2026-10-08T08:00"),
    ],
)
def test_the_next_opening(moment: str, expected: str) -> None:
    assert next_opening(OFFICE, at(moment), CALENDAR) == Opening(at(expected), provisional=False)


def test_what_never_opens_has_no_next_opening() -> None:
    assert next_opening({"daily": "closed"}, at("2026-03-02T10:00"), CALENDAR) is None


def test_a_year_without_a_calendar_has_plain_weekdays_and_says_so() -> None:
    assert is_open(OFFICE, at("2027-10-01T10:00"), CALENDAR)  # most likely wrong, as it must be
    assert is_provisional(OFFICE, at("2027-10-01T10:00"), CALENDAR)
    assert not is_open(OFFICE, at("2027-10-02T10:00"), CALENDAR)
    assert not is_provisional(OFFICE, at("2026-10-02T10:00"), CALENDAR)
    # What asks for no calendar is sure in any year.
    assert not is_provisional(WEEK, at("2027-10-01T10:00"), CALENDAR)
    assert next_opening(OFFICE, at("2026-12-31T18:00"), CALENDAR) == Opening(
        at("2027-01-01T08:00"), provisional=True
    )


def test_a_missing_year_is_told_sixty_days_ahead() -> None:
    def missing(moment: str, *hours: dict[str, str]) -> list[int]:
        return missing_years(hours or [WEEK, OFFICE], at(moment), CALENDAR)

    assert missing("2026-11-01T00:00") == []
    assert missing("2026-11-02T00:00") == [2027]
    assert missing("2027-05-01T00:00") == [2027]
    assert missing("2026-11-02T00:00", WEEK) == []


def test_an_imported_year_replaces_the_one_that_came_with_the_program() -> None:
    changed = {"2026": {"holidays": ["2026-03-02"], "makeup_workdays": []}}
    calendar = make_calendar(read_years(SHIPPED.read_text()), changed)
    assert not is_open(OFFICE, at("2026-03-02T10:00"), calendar)
    assert is_open(OFFICE, at("2026-02-16T10:00"), calendar)
    assert not is_open(OFFICE, at("2025-10-08T10:00"), calendar)
    assert calendar.years == {2025, 2026}


def test_the_years_that_come_with_the_program_pass_the_check_of_an_import() -> None:
    assert read_years(SHIPPED.read_text()) == json.loads(SHIPPED.read_text())


def test_every_makeup_day_is_on_a_weekend_and_follows_a_holiday_on_a_weekday() -> None:
    for day in CALENDAR.makeup_workdays:
        assert day.weekday() >= 5
        assert any(day + timedelta(days=n) in CALENDAR.holidays for n in range(-11, 12))


@given(
    st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2028-01-01")),
    st.sampled_from([OFFICE, WEEK, {"fri": "22:00-06:00"}, {"sat-mon": "08:00-12:00,14:00-02:00"}]),
)
def test_it_is_open_at_the_next_opening_and_not_before(
    moment: datetime, hours: dict[str, str]
) -> None:
    now = round(moment.replace(tzinfo=CHINA).timestamp() * SECOND)
    found = next_opening(hours, now, CALENDAR)
    assert found is not None
    assert is_open(hours, found.at, CALENDAR)
    assert found.at == now or not is_open(hours, found.at - 1, CALENDAR)
    assert is_open(hours, now, CALENDAR) == (found.at == now)


@pytest.mark.parametrize("times", ["8-18", "08:00", "08:00-", "x"])
def test_times_that_are_none_are_an_error(times: str) -> None:
    with pytest.raises(ValueError, match=r"not enough|no time of the day"):
        is_open({"daily": times}, at("2026-03-02T10:00"), Calendar())


@pytest.mark.parametrize("which", ["workdays", "holidays"])
def test_either_of_the_calendars_words_asks_it(which: str) -> None:
    hours = {"daily": "open", which: "closed"}
    assert is_provisional(hours, at("2027-10-01T10:00"), CALENDAR)
    assert missing_years([hours], at("2027-10-01T10:00"), CALENDAR) == [2027]


def test_one_year_of_calendar_is_enough_for_that_year_and_for_no_other() -> None:
    only = make_calendar({}, {"2026": {"holidays": [], "makeup_workdays": []}})
    assert only.years == {2026}
    assert not is_provisional(OFFICE, at("2026-12-31T23:59"), only)
    assert is_provisional(OFFICE, at("2027-01-01T00:00"), only)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-03-02T08:29:59", False),
        ("2026-03-02T08:30", True),
        ("2026-03-02T11:44:59", True),
        ("2026-03-02T11:45", False),
        ("2026-03-02T13:15", True),
    ],
)
def test_hours_begin_and_end_at_any_minute(moment: str, expected: bool) -> None:
    assert is_open({"daily": "08:30-11:45,13:15-18:00"}, at(moment), CALENDAR) is expected


def test_the_next_opening_is_later_than_now() -> None:
    hours = {"daily": "08:30-11:45,13:15-18:00"}
    for moment, opens in (("08:29:59", "08:30"), ("11:45", "13:15"), ("13:14:59.999999", "13:15")):
        found = next_opening(hours, at(f"2026-03-02T{moment}"), CALENDAR)
        assert found == Opening(at(f"2026-03-02T{opens}"), provisional=False)
