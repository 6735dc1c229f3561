"""Opening hours on the Chinese working calendar (R8): whether a hotline is open. Pure.

Opening hours map days to times, as `hotline queue hours set` writes them. Of the entries that match a day the most
special one counts, in this order. A day without a matching entry is closed:

    2026-02-14      that day
    holidays        a day off by the calendar, on any day of the week
    workdays        a day of work by the calendar: a make-up Saturday too, a Monday within a holiday not
    mon             that day of the week
    mon-fri         those days of the week; of two such entries the one with fewer days, then the first
    daily           every day

Times are `open`, `closed`, or spans such as `08:00-12:00,13:00-18:00`. A span includes its first minute and not its
last. One that ends before it begins, such as `22:00-06:00`, goes on into the next day; that day's own hours do not
change it. All of it is in China's time.

The state publishes the calendar of a year in the November before. `ivr/cn-workdays.json` has some years, an operator
imports others (`hotline queue calendar`). In a year without a calendar, Monday to Friday are workdays and there are no
holidays. Answers that rest on this guess are *provisional*.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias

from facts.calendar import Calendar
from facts.times import CHINA, DAYS, local, microseconds

Hours: TypeAlias = Mapping[str, str]
"""Days → times."""

_WARN_AHEAD = timedelta(days=60)
_FURTHEST = 400
"""How many days ahead `next_opening` looks."""
_DAY = timedelta(days=1)
_WHOLE_DAY = ((0, 1440),)


@dataclass(frozen=True, slots=True)
class Opening:
    """When a closed hotline opens next, in microseconds. `provisional`: that rests on a year without a calendar."""

    at: int
    provisional: bool


def is_open(hours: Hours, at: int, calendar: Calendar) -> bool:
    """Whether the hours include this moment (microseconds UTC)."""
    now = local(at)
    minute = now.hour * 60 + now.minute
    today = any(first <= minute < last for first, last in _spans(hours, now.date(), calendar))
    return today or any(
        minute < last - 1440 for _, last in _spans(hours, now.date() - _DAY, calendar)
    )


def next_opening(hours: Hours, at: int, calendar: Calendar) -> Opening | None:
    """When the hotline is next open (microseconds UTC): `at` if it is open then; None if not within a year."""
    if is_open(hours, at, calendar):
        return Opening(at, is_provisional(hours, at, calendar))
    today = local(at).date()
    for ahead in range(_FURTHEST):
        day = today + ahead * _DAY
        midnight = datetime.combine(day, datetime.min.time(), CHINA)
        starts = [
            microseconds(midnight + timedelta(minutes=first))
            for first, _ in _spans(hours, day, calendar)
        ]
        later = [start for start in starts if start > at]
        if later:
            return Opening(min(later), _is_guess(hours, today, day, calendar))
    return None


def is_provisional(hours: Hours, at: int, calendar: Calendar) -> bool:
    """Whether the answer for this moment rests on a year without a calendar."""
    today = local(at).date()
    return _is_guess(hours, today, today, calendar)


def missing_years(all_hours: Iterable[Hours], at: int, calendar: Calendar) -> list[int]:
    """The years without a calendar, of today and the next 60 days, for which some of these hours need one."""
    today = local(at).date()
    return sorted(
        {
            day.year
            for one in all_hours
            for day in (today, today + _WARN_AHEAD)
            if _is_guess(one, day, day, calendar)
        }
    )


def _is_guess(hours: Hours, first: date, last: date, calendar: Calendar) -> bool:
    asks_calendar = "workdays" in hours or "holidays" in hours
    return asks_calendar and not {first.year, last.year} <= calendar.years


def _spans(hours: Hours, day: date, calendar: Calendar) -> tuple[tuple[int, int], ...]:
    """The times of that day in minutes since its midnight; beyond 1440 is the next day."""
    times = next((hours[which] for which in _entries(hours, day, calendar)), "closed")
    if times == "closed":
        return ()
    if times == "open":
        return _WHOLE_DAY
    return tuple(_span(text) for text in times.split(","))


def _entries(hours: Hours, day: date, calendar: Calendar) -> Iterator[str]:
    """The times of the entries that match that day, the most special entry first."""
    workday = calendar.is_workday(day)
    for which, holds in (
        (day.isoformat(), True),
        ("holidays", day in calendar.holidays),
        ("workdays", workday),
        (DAYS[day.weekday()], True),
    ):
        if holds and which in hours:
            yield which
    ranges = [which for which in hours if "-" in which and which[:3] in DAYS]
    yield from sorted((one for one in ranges if day.weekday() in _week(one)), key=_length)
    if "daily" in hours:
        yield "daily"


def _week(days: str) -> list[int]:
    """`fri-mon` → Friday, Saturday, Sunday, Monday."""
    first, _, last = days.partition("-")
    start = DAYS.index(first)
    return [(start + n) % 7 for n in range((DAYS.index(last) - start) % 7 + 1)]


def _length(days: str) -> int:
    return len(_week(days))


def _span(text: str) -> tuple[int, int]:
    first, last = (_minutes(part) for part in text.split("-"))
    return first, last if last > first else last + 1440


def _minutes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d\d):(\d\d)\s*", text)
    if found is None:
        raise ValueError(f"{text!r} is no time of the day, such as 08:00")
    return int(found[1]) * 60 + int(found[2])
