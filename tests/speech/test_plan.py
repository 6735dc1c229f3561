"""The hours in which transcripts are made, in China, over midnight too."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import CHINA, DAY, MINUTE, microseconds
from speech import plan

moments = st.integers(0, 4_000_000_000).map(lambda second: second * 1_000_000)
minutes = st.integers(0, 24 * 60 - 1)


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def at(text: str) -> int:
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=CHINA))


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ("2025-11-20T21:59:59", None),
        ("2025-11-20T22:00", ("2025-11-20T22:00", "2025-11-21T06:00")),
        ("2025-11-21T05:59:59", ("2025-11-20T22:00", "2025-11-21T06:00")),
        ("2025-11-21T06:00", None),
    ],
)
def test_a_night_reaches_over_midnight(now: str, found: tuple[str, str] | None) -> None:
    wanted = found and (at(found[0]), at(found[1]))
    assert plan.night(at(now), "22:00-06:00") == wanted


@given(moments, minutes, minutes)
def test_it_lasts_as_long_as_it_says_and_holds_now(now: int, first: int, last: int) -> None:
    found = plan.night(now, f"{clock(first)}-{clock(last)}")
    other = plan.night(now, f"{clock(last)}-{clock(first)}")
    if found is not None:
        begin, end = found
        assert begin <= now < end
        assert end - begin == ((last - first) % (24 * 60) * MINUTE or DAY)
    if now >= CHANGED:
        assert (found is None) != (other is None) or first == last


CHANGED = at("1992-01-01T00:00")
"""Since then China's clocks have not been changed."""


def test_another_text_is_refused() -> None:
    with pytest.raises(ValueError, match="write two times"):
        plan.night(0, "22-6")
