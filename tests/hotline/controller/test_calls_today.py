"""How often a number has called today."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from diary.writer import Diary
from facts import CallArrived
from facts.times import DAY, SECOND
from hotline.controller.calls_today import CallsToday

CITIZEN = "+8613800000001"
NOON = 1_763_697_600 * SECOND


def arrived(at: int, call: str, caller: str = CITIZEN, origin: str = "") -> CallArrived:
    return CallArrived(at, call, "12345", caller, origin)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOON)


@pytest.mark.usefixtures("noon")
def test_the_call_itself_is_none_of_the_earlier_ones() -> None:
    counts = CallsToday()
    assert counts.before(CITIZEN) == 0
    for second in range(3):
        counts.take(arrived(NOON + second, f"n-1.{second}"))
    counts.take(arrived(NOON + 4, "n-1.4", "+8613800000002"))
    counts.take(arrived(NOON + 5, "n-1.5", origin="n-c1.1"))
    assert (counts.before(CITIZEN), counts.before("+8613800000002"), counts.before("")) == (2, 0, 0)


@pytest.mark.usefixtures("noon")
def test_a_new_day_begins_with_none() -> None:
    counts = CallsToday()
    counts.take(arrived(NOON + 1, "n-1.1"))
    counts.take(arrived(NOON + DAY, "n-1.2"))
    assert counts.before(CITIZEN) == 0


@pytest.mark.usefixtures("noon")
async def test_after_a_start_the_diary_knows_the_morning(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    diary = Diary(engine, tmp_path)
    diary.start()
    for at, call in ((NOON - DAY, "n-1.1"), (NOON - SECOND, "n-1.2"), (NOON - 1, "n-1.3")):
        diary.write(arrived(at, call))
    assert await diary.flush()
    await diary.close()
    counts = CallsToday()
    counts.take(arrived(NOON + 1, "n-1.4"))
    await counts.read(engine)
    assert counts.before(CITIZEN) == 2
