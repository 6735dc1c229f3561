"""Times are microseconds since 1970 UTC, as `int`, everywhere; days and hours are shown in China's zone. Pure."""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND = 1_000_000
"""Microseconds in a second: `at + 15 * SECOND`."""
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def _china() -> tzinfo:
    try:
        return ZoneInfo("Asia/Shanghai")
    except ZoneInfoNotFoundError:
        # A system without time zone data. China has had one offset since 1991.
        return timezone(timedelta(hours=8), "Asia/Shanghai")


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week as opening hours name them, by `date.weekday()`."""

CHINA = _china()
"""Days and hours are shown in this zone."""


def local(at: int) -> datetime:
    """Microseconds UTC as a moment in China, exact to the microsecond."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(CHINA)


def microseconds(moment: datetime) -> int:
    """A moment with its offset as microseconds UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def moment_of(text: str) -> int:
    """A moment or a day in ISO 8601 as microseconds UTC; without an offset it is time in China.

    Raises `ValueError` and `OverflowError`.
    """
    moment = datetime.fromisoformat(text)
    return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=CHINA))


def begin_of_day(day: date) -> int:
    """When a day in China begins (microseconds)."""
    return microseconds(datetime.combine(day, time(), CHINA))


def midnight(at: int) -> int:
    """When the day in China that contains `at` began (microseconds)."""
    return microseconds(local(at).replace(hour=0, minute=0, second=0, microsecond=0))


def day_of(at: int) -> int:
    """The midnight after which the day began that `at` counts in: a call at midnight itself closes a day."""
    return midnight(at - 1)
