"""Days, weeks and months in China; what `yesterday` is around midnight and the turn of the year."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import CHINA, DAY, local, microseconds
from metrics.reports.period import read, with_those_before


def moment(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=CHINA))


@pytest.mark.parametrize(
    ("now", "word", "name", "since", "until"),
    [
        ("2025-11-21T00:00", "yesterday", "2025-11-20", "2025-11-20", "2025-11-21"),
        ("2025-11-20T23:59:59", "yesterday", "2025-11-19", "2025-11-19", "2025-11-20"),
        ("2025-01-01T00:05", "yesterday", "2024-12-31", "2024-12-31", "2025-01-01"),
        ("2025-11-24T00:00", "last-week", "2025-W47", "2025-11-17", "2025-11-24"),
        ("2025-11-23T23:59", "last-week", "2025-W46", "2025-11-10", "2025-11-17"),
        ("2027-01-04T08:00", "last-week", "2026-W53", "2026-12-28", "2027-01-04"),
        ("2025-03-01T00:00", "last-month", "2025-02", "2025-02-01", "2025-03-01"),
        ("2025-01-31T12:00", "LAST-MONTH", "2024-12", "2024-12-01", "2025-01-01"),
        ("2026-01-01T00:00", "2025-11-20", "2025-11-20", "2025-11-20", "2025-11-21"),
        ("2026-01-01T00:00", "2025-w47", "2025-W47", "2025-11-17", "2025-11-24"),
        ("2026-01-01T00:00", "2025-12", "2025-12", "2025-12-01", "2026-01-01"),
    ],
)
def test_what_a_period_is(now: str, word: str, name: str, since: str, until: str) -> None:
    found = read(word, moment(now))
    assert (found.name, found.since, found.until) == (name, moment(since), moment(until))


def test_its_length() -> None:
    now = moment("2026-01-01T00:00")
    hours = [read(name, now).hours for name in ("2025-11-20", "2025-W47", "2025-11", "2025-02")]
    assert hours == [24, 168, 720, 672]


@pytest.mark.parametrize(
    "text", ["", "today", "2025-13", "2025-11-31", "2025-W54", "2025", "last-year", "0000-01-01"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="write yesterday, last-week"):
        read(text, moment("2026-01-01T00:00"))


def test_one_that_has_not_ended_is_refused() -> None:
    with pytest.raises(ValueError, match="it ends at 2025-11-22 00:00: ask afterwards"):
        read("2025-11-21", moment("2025-11-21T23:59:59"))
    assert read("2025-11-21", moment("2025-11-22T00:00")).name == "2025-11-21"


def test_those_before_from_the_first_fact_on() -> None:
    last = read("2025-11-20", moment("2026-01-01T00:00"))
    first = moment("2025-11-18T09:00")
    names = [one.name for one in with_those_before(last, 7, first)]
    assert names == ["2025-11-18", "2025-11-19", "2025-11-20"]
    assert [one.name for one in with_those_before(last, 1, first)] == ["2025-11-19", "2025-11-20"]
    # A diary that began later: the one that was asked for is made all the same.
    assert list(with_those_before(last, 7, moment("2025-12-24T00:00"))) == [last]
    month = read("2025-03", moment("2026-01-01T00:00"))
    found = with_those_before(month, 2, 0)
    assert [one.name for one in found] == ["2025-01", "2025-02", "2025-03"]


@given(
    st.integers(moment("2020-01-01T00:00"), moment("2040-01-01T00:00")),
    st.sampled_from(["yesterday", "last-week", "last-month"]),
)
def test_periods_meet_and_keep_their_names(now: int, word: str) -> None:
    found = read(word, now)
    assert found.until <= now
    assert now - found.until < 31 * DAY
    assert read(found.name, now) == found
    assert found.before().until == found.since
    assert local(found.since).hour == 0
