"""Periods of reports: days, weeks (Monday to Sunday) and months in China, each with a name of its own. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from facts.times import MINUTE, begin_of_day, local


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that has ended or will: (since, until], microseconds UTC.

    `name`: `2025-11-20`, `2025-W47` or `2025-11`; the same stretch has the same name whenever it is asked for.
    """

    name: str
    since: int
    until: int

    @property
    def hours(self) -> float:
        """Its length."""
        return (self.until - self.since) / (60 * MINUTE)

    def before(self) -> "Period":
        """The one just before it: yesterday's day, the week before, the month before."""
        return _named(self.name, _begins(self.name) - timedelta(days=1))


_WORDS = ("yesterday", "last-week", "last-month")


def read(text: str, now: int) -> Period:
    """Read `yesterday`, `last-week`, `last-month`, or a period's name. Raises `ValueError` for the operator.

    `yesterday` is decided once, from `now` (microseconds), so a report that runs over midnight is about one day. A
    period that has not ended is refused.
    """
    today = local(now).date()
    word = text.strip().lower()
    if word == "yesterday":
        return _day(today - timedelta(days=1))
    if word == "last-week":
        return _week(today - timedelta(days=7))
    if word == "last-month":
        return _month(today.replace(day=1) - timedelta(days=1))
    try:
        found = _named(text.strip().upper(), _begins(text.strip().upper()))
    except (ValueError, OverflowError):
        raise ValueError(
            f"--period {text!r}: write {', '.join(_WORDS)}, a day (2025-11-20), a week (2025-W47) "
            "or a month (2025-11)"
        ) from None
    if found.until > now:
        raise ValueError(
            f"--period {found.name}: it ends at {local(found.until):%Y-%m-%d %H:%M}: ask afterwards"
        )
    return found


def with_those_before(period: Period, count: int, first: int) -> Sequence[Period]:
    """A period and up to `count` before it, oldest first. Earlier ones must end after `first` (microseconds)."""
    found = [period]
    for _ in range(count):
        earlier = found[0].before()
        if earlier.until <= first:
            break
        found.insert(0, earlier)
    return found


def _begins(name: str) -> date:
    """The first day of a period by its name. Raises `ValueError`."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", name):
        return date.fromisoformat(name)
    if found := re.fullmatch(r"([0-9]{4})-W([0-9]{2})", name):
        return date.fromisocalendar(int(found[1]), int(found[2]), 1)
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{2})", name):
        return date(int(found[1]), int(found[2]), 1)
    raise ValueError(name)


def _named(like: str, day: date) -> Period:
    """The period with this day in it, of the same kind as the one called `like`."""
    if "W" in like:
        return _week(day)
    return _day(day) if like.count("-") == 2 else _month(day)


def _day(day: date) -> Period:
    return _period(day.isoformat(), day, day + timedelta(days=1))


def _week(day: date) -> Period:
    year, week, weekday = day.isocalendar()
    monday = day - timedelta(days=weekday - 1)
    return _period(f"{year}-W{week:02}", monday, monday + timedelta(days=7))


def _month(day: date) -> Period:
    first = day.replace(day=1)
    return _period(f"{first:%Y-%m}", first, (first + timedelta(days=31)).replace(day=1))


def _period(name: str, first: date, after: date) -> Period:
    return Period(name, begin_of_day(first), begin_of_day(after))
