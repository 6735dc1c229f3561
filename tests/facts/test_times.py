"""Days and moments in China, from the words that people write."""

from datetime import date

import pytest

from facts.times import DAY, HOUR, SECOND, begin_of_day, local, midnight, moment_of


def test_a_day_begins_at_midnight_in_china() -> None:
    begin = begin_of_day(date(2025, 11, 21))
    assert begin == 1_763_654_400 * SECOND
    assert local(begin).isoformat() == "2025-11-21T00:00:00+08:00"
    assert begin == midnight(begin + DAY - 1)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("2025-11-21", 0), ("2025-11-21T18:00", 18), ("2025-11-21T10:00Z", 18)],
)
def test_a_moment_without_an_offset_is_in_china(text: str, hours: int) -> None:
    assert moment_of(text) == begin_of_day(date(2025, 11, 21)) + hours * HOUR


@pytest.mark.parametrize("text", ["", "now", "2025-13-01"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month"):
        moment_of(text)
