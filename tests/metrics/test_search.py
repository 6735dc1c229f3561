"""Whatever is found by the traits of calls is what the diary alone would have found."""

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from facts import CallArrived
from facts.terms import Outcome
from facts.times import DAY, MINUTE
from metrics import older, rollup, search, traits
from metrics.search import CallSearch
from metrics.tables import call_trait
from tests.metrics.histories import T, answered, at, in_queue, write
from tests.metrics.test_identity import history

pytestmark = pytest.mark.usefixtures("ten_days_later")

FILTERS: list[dict[str, Any]] = [
    *({"agent": agent} for agent in ("1001", "1002", "none")),
    *({"queue": queue} for queue in ("default", "tax", "none")),
    *({"number": number} for number in ("12345", "none")),
    *({"outcome": outcome} for outcome in Outcome),
    {"disposition": "silent"},
    {"queue": "tax", "outcome": Outcome.HUMAN},
    {"agent": "1001", "queue": "default", "outcome": Outcome.HUMAN},
]


async def found(engine: AsyncEngine, page: int = 3, **wanted: Any) -> list[str]:
    """The ids of all calls that are found, page by page."""
    asked = CallSearch(**{"since": 0, "until": T + 100 * DAY, **wanted})
    calls: list[str] = []
    after = None
    while True:
        one = await search.search(engine, asked, page, after)
        calls += [call["id"] for call in one.calls]
        after = one.after
        if after is None:
            return calls


async def by_diary(engine: AsyncEngine, **wanted: Any) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "_traits", lambda _wanted: [])
        return await found(engine, 200, **wanted)


@pytest.mark.parametrize("seed", [1, 2, 5])
async def test_every_filter_finds_what_the_diary_has(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Facts come late, and out of order, between two runs of the roll-up."""
    monkeypatch.setattr(search, "LOOKED_AT", 2)
    rng = random.Random(seed)
    facts = history(seed)
    rng.shuffle(facts)
    now = max(fact.at for fact in facts) + 2 * MINUTE
    callers = sorted({fact.caller for fact in facts if isinstance(fact, CallArrived)})
    ends = [{"caller": callers[0]}, *({"caller": callers[-1][-n:]} for n in (1, 2, 3, 4))]
    some = 0
    for part in (facts[::2], facts[1::2]):
        await write(engine, tmp_path, part)
        if rng.random() < 0.7 or part is not facts[::2]:
            await rollup.bring_up_to_date(engine, now)
        for wanted in rng.sample([*FILTERS, *ends], 12):
            told = await found(engine, rng.choice([1, 3, 50]), **wanted)
            assert told == await by_diary(engine, **wanted)
            some += len(told)
    assert some


async def test_a_written_down_call_is_found_by_its_traits_alone(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    await write(engine, tmp_path, [*answered("a"), *in_queue("b", 5)])
    await rollup.bring_up_to_date(engine, at(3600))
    wanted: list[dict[str, Any]] = [
        *({"agent": "1001"}, {"outcome": Outcome.HUMAN}, {"agent": "1001", "number": "12345"}),
        *({"caller": "5678", "agent": "1001"}, {"queue": "default", "agent": "1001"}),
    ]
    for one in wanted:
        assert await found(engine, **one) == ["a"]
    async with engine.begin() as connection:
        await connection.execute(delete(call_trait).where(call_trait.c.trait != ""))
    for one in wanted:
        assert await found(engine, **one) == []


async def test_a_late_fact_is_found_before_and_after_it_is_written_down(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    *told, late = in_queue("a")
    await write(engine, tmp_path, told)
    await rollup.bring_up_to_date(engine, at(3600))
    assert await found(engine, outcome=Outcome.ABANDONED_QUEUE) == []
    await write(engine, tmp_path, [late])
    assert await found(engine, outcome=Outcome.ABANDONED_QUEUE) == ["a"]
    await rollup.bring_up_to_date(engine, at(3600))
    assert await found(engine, outcome=Outcome.ABANDONED_QUEUE) == ["a"]


async def test_calls_of_before_get_their_traits_bit_by_bit(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    facts = [fact for n in range(4) for fact in answered(f"{n}", n * 400)]
    await write(engine, tmp_path, facts)
    await rollup.bring_up_to_date(engine, at(7200))
    async with engine.connect() as connection:
        written = (await connection.execute(select(call_trait))).all()
    # As an installation of before finds itself after the upgrade.
    async with engine.begin() as connection:
        await connection.execute(delete(call_trait))
        await traits.set_complete_from(connection, at(1300))
    steps = 0
    while await older.go_back(engine):
        steps += 1
        assert await found(engine, agent="1001") == ["3", "2", "1", "0"]
        assert await traits.complete_from(engine) > 0
    assert steps == 4
    async with engine.connect() as connection:
        assert set((await connection.execute(select(call_trait))).all()) == set(written)
    assert await found(engine, agent="1001") == ["3", "2", "1", "0"]


async def test_many_marks_leave_the_diary(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_MOST_MARKED", 2)
    await write(engine, tmp_path, [fact for n in range(3) for fact in answered(f"{n}", n * 400)])
    assert await found(engine, agent="1001", number="12345") == ["2", "1", "0"]
    assert await found(engine, agent="1002") == []


def test_the_ends_of_a_number() -> None:
    assert traits.ends("13812345678") == {"45678", "278"}
    assert traits.end("13812345678") == traits.end("5678") == "45678"
    assert traits.end("678") == traits.end("78") == "278"
    assert traits.end("8") == ""
