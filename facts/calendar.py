"""China's working calendar (R8): its holidays, and the weekend days that are worked instead. Pure.

The state publishes the calendar of a year in the November before. A year in JSON, as `hotline queue calendar` reads it:

    {"2026": {"holidays": ["2026-01-01", …], "makeup_workdays": ["2026-01-04", …]}}
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

Years: TypeAlias = Mapping[str, Mapping[str, Iterable[str]]]
"""Year → its two lists of dates."""

_LISTS = ("holidays", "makeup_workdays")


class CalendarError(Exception):
    """Years that cannot be read; `problems` has everything that is wrong, a sentence each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Calendar:
    """The years that are known, their holidays, and the weekend days on which people work instead."""

    years: frozenset[int] = frozenset()
    holidays: frozenset[date] = frozenset()
    makeup_workdays: frozenset[date] = frozenset()

    def is_workday(self, day: date) -> bool:
        """Whether people work on that day. In a year that is not known, Monday to Friday."""
        return day in self.makeup_workdays or (day.weekday() < 5 and day not in self.holidays)


def make_calendar(*layers: Years) -> Calendar:
    """Make a calendar of years that were checked. A year of a later layer replaces that of an earlier one.

    Raises `ValueError` for an invalid date, and `KeyError` for a year without one of its two lists.
    """
    years = {year: days for layer in layers for year, days in layer.items()}
    holidays, makeup_workdays = (
        frozenset(date.fromisoformat(day) for of in years.values() for day in of[name])
        for name in _LISTS
    )
    return Calendar(frozenset(map(int, years)), holidays, makeup_workdays)


def read_years(text: str) -> dict[str, dict[str, list[str]]]:
    """Read years from JSON, and check them. Raises `CalendarError` with everything that is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CalendarError([f"this is not JSON: {error}"]) from None
    if not isinstance(document, dict) or not document:
        raise CalendarError(
            ['write {"2026": {"holidays": ["2026-01-01", …], "makeup_workdays": […]}}']
        )
    wrong: list[str] = []
    years = {year: _year(year, days, wrong) for year, days in document.items()}
    if wrong:
        raise CalendarError(wrong)
    return years


def is_day(value: Any, year: str = "") -> bool:
    """Whether this is a date such as `2026-02-14`, of `year` if one is given."""
    try:
        return str(date.fromisoformat(value)) == value and str(value).startswith(year)
    except (TypeError, ValueError):
        return False


def _year(year: str, days: Any, wrong: list[str]) -> dict[str, list[str]]:
    if not re.fullmatch(r"20[0-9]{2}", year):
        wrong.append(f"{_shown(year)} is no year, such as 2026")
        return {}
    if not isinstance(days, dict) or set(days) != set(_LISTS):
        wrong.append(f"{year}: write exactly {' and '.join(_LISTS)}, each a list of dates")
        return {}
    read: dict[str, list[str]] = {}
    for name in _LISTS:
        dates = days[name] if isinstance(days[name], list) else [days[name]]
        wrong += [
            f"{year}.{name}: {_shown(one)} is no day of {year}, such as {year}-10-01"
            for one in dates
            if not is_day(one, year)
        ]
        read[name] = sorted(set(map(str, dates)))
    for both in sorted(set(read["holidays"]) & set(read["makeup_workdays"])):
        wrong.append(f"{year}: {both} cannot be a holiday and a working day")
    return read


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
