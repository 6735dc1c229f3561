"""What the report of a year reads is what days and slots say, and goes when they change."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from facts import AgentOut, AgentReady, Fact, PhoneReachable
from facts.times import DAY, MINUTE, SECOND, day_of
from metrics import condensed, rollup
from metrics import tables as metrics_tables
from metrics.condensed import AGENT_MONTHS, ATTENDED_MONTHS, DAY_MINUTES, DAY_MINUTES_BY_KEY
from metrics.sums import ALL, ATTENDANCE, DAYS, SLOTS, Only, end_of_month, month_of
from metrics.window import LowestRate, Metric
from tests.metrics.histories import T, answered, in_queue, write

BEGIN = month_of(T)
NOW = end_of_month(end_of_month(BEGIN)) + DAY
SINCE, UNTIL = BEGIN - DAY, end_of_month(BEGIN) + DAY
MADE = {DAY_MINUTES, DAY_MINUTES_BY_KEY, AGENT_MONTHS, ATTENDED_MONTHS}


@pytest.fixture
async def month(engine: AsyncEngine, tmp_path: Path) -> AsyncEngine:
    """A month with calls on one day, and an agent who worked on three."""
    facts: list[Fact] = []
    for n in range(30):
        facts += answered(f"good{n}", n * 70) if n % 4 else in_queue(f"bad{n}", n * 70)
    facts += [PhoneReachable(T - DAY, "1001"), AgentReady(T - DAY, "1001")]
    facts.append(AgentOut(T + DAY, "1001"))
    await write(engine, tmp_path, facts)
    await rollup.bring_up_to_date(engine, NOW)
    return engine


async def levels(engine: AsyncEngine) -> set[int]:
    row = metrics_tables.rollup.c
    async with engine.connect() as connection:
        found = (await connection.execute(select(row.level).distinct())).scalars()
        return set(found) & MADE


async def remove(engine: AsyncEngine, *of: int) -> None:
    row = metrics_tables.rollup.c
    async with engine.begin() as connection:
        await connection.execute(delete(metrics_tables.rollup).where(row.level.in_(of)))


async def figures(engine: AsyncEngine, only: Only, *, written: bool = True) -> dict[str, Any]:
    """What a report takes from the stretch around the month."""
    found = await rollup.gather(engine, SINCE, UNTIL, only, agents=True, now=NOW, written=written)
    lowest: list[LowestRate | None] = []
    curve: list[Metric] = []
    done = SINCE
    async for end, rolling in rollup.minutes(engine, SINCE, UNTIL, only, written=written):
        lowest.append(rolling.lowest(done, end))
        curve += [rolling.metric(at) for at in range(end - DAY + MINUTE, end, 7 * MINUTE)]
        done = end
    present = await rollup.attendance(engine, SINCE, UNTIL, now=NOW, written=written)
    return {
        "agents": {name: one.counts for name, one in found.agents.items()},
        "lowest": lowest,
        "curve": curve,
        "present": present,
    }


@pytest.mark.parametrize(
    "only",
    [ALL, Only(queue="default"), Only(queue="none"), Only(number="12345"), Only(agent="1001")],
)
async def test_the_figures_are_the_same_from_whichever_rows(month: AsyncEngine, only: Only) -> None:
    assert await levels(month) == MADE
    folded = await figures(month, only, written=False)
    assert folded["present"]["1001"].counts["signed_in"] == 2 * DAY
    assert folded["lowest"][0] is None
    assert any(folded["lowest"]) == (only.queue != "none")
    assert await figures(month, only) == folded
    # Nothing else is read of that month ...
    await remove(month, SLOTS)
    assert (await figures(month, only))["lowest"] == folded["lowest"]
    # ... and without these rows the others are.
    await rollup.bring_up_to_date(month, NOW)
    await remove(month, DAYS, ATTENDANCE)
    read = await figures(month, only)
    assert read["agents"] == folded["agents"]


async def test_the_days_are_read_where_nothing_is_made_of_them(month: AsyncEngine) -> None:
    folded = await figures(month, ALL, written=False)
    await remove(month, *MADE)
    assert await figures(month, ALL) == folded


async def test_a_late_fact_removes_what_was_made_of_its_day_and_month(
    month: AsyncEngine, tmp_path: Path
) -> None:
    before = await figures(month, ALL)
    late = [*answered("late", 900, talks=100), AgentOut(T + DAY - 100 * SECOND, "1001")]
    await write(month, tmp_path, late)
    marked = await figures(month, ALL)
    assert marked == await figures(month, ALL, written=False)
    assert all(marked[name] != before[name] for name in before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(condensed, "MOST", 0)
        await rollup.bring_up_to_date(month, NOW)
    assert await levels(month) == set()
    assert await figures(month, ALL) == marked
    await rollup.bring_up_to_date(month, NOW)
    assert await levels(month) == MADE
    assert await figures(month, ALL) == marked


async def test_nothing_is_made_before_day_and_month_are_over(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await write(engine, tmp_path, answered("a", 0))
    await rollup.bring_up_to_date(engine, day_of(T) + DAY)
    assert await levels(engine) == set()
    await rollup.bring_up_to_date(engine, day_of(T) + DAY + condensed.QUIET)
    assert await levels(engine) == {DAY_MINUTES, DAY_MINUTES_BY_KEY}
    await rollup.bring_up_to_date(engine, end_of_month(BEGIN) + condensed.QUIET)
    assert AGENT_MONTHS in await levels(engine)


async def test_an_old_database_gets_its_rows_bit_by_bit(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(condensed, "MOST", 2)
    facts = [fact for n in range(5) for fact in answered(f"{n}", n * 86_400)]
    await write(engine, tmp_path, facts)
    row = metrics_tables.rollup.c
    made = []
    for _ in range(4):
        await rollup.bring_up_to_date(engine, T + 6 * DAY)
        async with engine.connect() as connection:
            question = select(row.begin).where(row.level == DAY_MINUTES).order_by(row.begin)
            made.append(len((await connection.execute(question)).all()))
    assert made == [2, 4, 5, 5]


def test_months_in_china() -> None:
    assert month_of(BEGIN + 1) == BEGIN
    assert month_of(BEGIN) == month_of(BEGIN - DAY)
    assert list(condensed.months_between(BEGIN - 1, BEGIN + 1)) == [month_of(BEGIN), BEGIN]
    assert list(condensed.beside(BEGIN - 5, end_of_month(BEGIN) + 5, [BEGIN])) == [
        (BEGIN - 5, BEGIN),
        (end_of_month(BEGIN), end_of_month(BEGIN) + 5),
    ]
