"""The rules in the database, SQLite and PostgreSQL: kept as they were set, changed completely or not at all."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules import tables
from acd.rules.book import Block
from acd.rules.model import DEFAULT, Flag, Member, Number, Queue, Strategy
from acd.rules.text import Rulebook, RulesError
from agents import roster
from agents.pause import USUAL, Pause
from base import database
from base.settings import Settings

NOW = 1_763_731_200_000_000
DAY = 86_400_000_000
CALLER = "+8613812345678"

FULL = Rulebook(
    queues={
        DEFAULT: {"priority": 1},
        "tax": {
            "strategy": Strategy.RING_SEVERAL,
            "skills": {"税务": 3},
            "ring_time": 15.0,
            "call_back_lost": False,
            "hours": "office",
            "overflow_to": DEFAULT,
            "overflow_after": 60.0,
        },
    },
    numbers={"12345": Number("12345", "tax", "en", "手机端"), "96178": Number("96178", "tax")},
    members=(Member("1001", DEFAULT, 2), Member("1001", "tax"), Member("1002", "tax", 5)),
    skills={"1001": {"en": 3, "税务": 9}, "1002": {"en": 1}},
    flags={CALLER: Flag(CALLER, 3, "听力不便")},
    hours={"office": {"mon-fri": "08:00-18:00", "holidays": "closed"}},
    pauses=(Pause("1", "喝水", 5),),
    priority_step=30.0,
)


@pytest.fixture(autouse=True)
async def _agents(engine: AsyncEngine) -> None:
    for number in ("1001", "1002"):
        await roster.add(engine, number, f"坐席{number}", "softphone-secret-1", NOW)


async def test_a_new_centre_has_one_queue_that_sets_nothing(engine: AsyncEngine) -> None:
    assert await rulebook.read(engine) == Rulebook(queues={DEFAULT: {}}, pauses=USUAL)
    settings = Settings(ring_time=9, wrap_up_time=2, longest_wait=77, numbers=("12345",))
    rules = await rulebook.load(engine, rulebook.defaults(settings), settings.numbers)
    queue = Queue(ring_time=9.0, wrap_up_time=2.0, longest_wait=77.0)
    assert rules.queues == {DEFAULT: queue}
    assert rules.numbers == {"12345": Number("12345")}


async def test_what_is_saved_is_read(engine: AsyncEngine) -> None:
    await rulebook.save(engine, FULL)
    assert await rulebook.read(engine) == FULL
    assert (await rulebook.load(engine, Queue())).numbers["96178"].queue == "tax"
    await rulebook.save(engine, Rulebook())
    assert await rulebook.read(engine) == Rulebook()


async def test_only_what_differs_is_written(engine: AsyncEngine) -> None:
    """A centre with very many flags must not write them all again for one."""
    flags = {f"+86138{n:08}": Flag(f"+86138{n:08}", 1) for n in range(3000)}
    await rulebook.save(engine, replace(FULL, flags=flags))
    rest = dict(list(flags.items())[1:-1])
    changed = {**rest, "+8613800000001": Flag("+8613800000001", 9), CALLER: Flag(CALLER)}
    started = asyncio.get_running_loop().time()
    await rulebook.save(engine, replace(FULL, flags=changed, members=FULL.members[1:]))
    assert asyncio.get_running_loop().time() - started < 2
    found = await rulebook.read(engine)
    assert found == replace(FULL, flags=changed, members=FULL.members[1:])


@pytest.mark.parametrize(
    "edit",
    [
        {"numbers": {"12345": Number("12345", "nowhere")}},
        {"members": (Member("1009", "tax"),)},
        {"skills": {"1009": {"en": 1}}},
        {"queues": {DEFAULT: {}, "tax": {"overflow_to": "tax", "overflow_after": 1.0}}},
    ],
)
async def test_impossible_rules_change_nothing(engine: AsyncEngine, edit: dict[str, Any]) -> None:
    await rulebook.save(engine, FULL)
    with pytest.raises(RulesError) as error:
        await rulebook.change(engine, lambda book: replace(book, priority_step=1.0, **edit))
    assert error.value.problems
    assert await rulebook.read(engine) == FULL


async def test_an_edit_that_fails_changes_nothing(engine: AsyncEngine) -> None:
    def edit(book: Rulebook) -> Rulebook:
        raise RulesError(["no"])

    with pytest.raises(RulesError, match="no"):
        await rulebook.change(engine, edit)
    assert await rulebook.read(engine) == Rulebook()


async def test_of_two_who_change_at_once_neither_undoes_the_other(engine: AsyncEngine) -> None:
    others = [database.engine(engine.url.render_as_string(hide_password=False)) for _ in range(4)]

    async def add(one: AsyncEngine, name: str) -> None:
        await rulebook.change(
            one, lambda book: replace(book, queues={**book.queues, name: {"priority": 1}})
        )

    names = [f"q{n}" for n in range(20)]
    await asyncio.gather(*(add(others[n % 4], name) for n, name in enumerate(names)))
    assert set((await rulebook.read(engine)).queues) == {DEFAULT, *names}
    async with engine.connect() as connection:
        assert (await connection.execute(select(tables.rules.c.version))).scalar_one() == 21
    for other in others:
        await other.dispose()


async def test_what_belongs_to_an_agent_goes_with_them(engine: AsyncEngine) -> None:
    await rulebook.save(engine, FULL)
    await roster.remove(engine, "1001")
    found = await rulebook.read(engine)
    assert found == replace(FULL, members=FULL.members[2:], skills={"1002": {"en": 1}})
    await rulebook.save(engine, found)


async def test_two_numbers_lead_to_one_pool(engine: AsyncEngine) -> None:
    """R12: the old number lives on beside the new one."""
    await rulebook.save(engine, FULL)
    rules = await rulebook.load(engine, Queue(), ("12345",))
    assert {rules.numbers[number].queue for number in ("12345", "96178")} == {"tax"}
    assert rules.needs("tax", "12345") == (("en", 1), ("税务", 3))
    assert rules.needs("tax", "96178") == (("税务", 3),)


# --- blocked callers


def a_block(**changed: Any) -> Block:
    return replace(Block(CALLER, "骚扰", "1001", "", NOW, NOW + DAY), **changed)


async def test_a_block_holds_once_somebody_else_approved_it_and_until_its_end(
    engine: AsyncEngine,
) -> None:
    await rulebook.block(engine, a_block(), NOW)
    assert await rulebook.blocked(engine, NOW) == {}
    with pytest.raises(RulesError, match="somebody else"):
        await rulebook.approve(engine, CALLER, "1001", NOW)
    assert await rulebook.blocked(engine, NOW) == {}
    await rulebook.approve(engine, CALLER, "班长", NOW)
    assert await rulebook.blocked(engine, NOW) == {CALLER: a_block(approved_by="班长")}
    assert list(await rulebook.blocked(engine, NOW + DAY - 1)) == [CALLER]
    assert await rulebook.blocked(engine, NOW + DAY) == {}
    with pytest.raises(RulesError, match="班长 has approved"):
        await rulebook.approve(engine, CALLER, "主任", NOW)
    with pytest.raises(RulesError, match="run out"):
        await rulebook.approve(engine, CALLER, "主任", NOW + DAY)
    with pytest.raises(RulesError, match="not on the list"):
        await rulebook.approve(engine, "+861", "主任", NOW)


async def test_blocked_calls_are_counted(engine: AsyncEngine) -> None:
    await rulebook.block(engine, a_block(approved_by="班长"), NOW)
    await asyncio.gather(*(rulebook.count_blocked(engine, CALLER) for _ in range(5)))
    await rulebook.count_blocked(engine, "+861")
    assert [one.calls for one in await rulebook.blocks(engine)] == [5]


async def test_a_caller_is_on_the_list_once_and_again_when_the_block_ran_out(
    engine: AsyncEngine,
) -> None:
    await rulebook.block(engine, a_block(approved_by="班长", calls=3), NOW)
    with pytest.raises(RulesError, match="on the list already"):
        await rulebook.block(engine, a_block(), NOW + DAY - 1)
    assert [one.calls for one in await rulebook.blocks(engine)] == [3]
    later = a_block(added_at=NOW + DAY, until=NOW + 2 * DAY)
    await rulebook.block(engine, later, NOW + DAY)
    assert await rulebook.blocks(engine) == [later]
    await rulebook.unblock(engine, CALLER)
    assert await rulebook.blocks(engine) == []
    with pytest.raises(RulesError, match="not on the list"):
        await rulebook.unblock(engine, CALLER)


@pytest.mark.parametrize("changed", [{"until": NOW}, {"reason": ""}, {"asked_by": ""}])
async def test_blocks_that_cannot_be(engine: AsyncEngine, changed: dict[str, Any]) -> None:
    with pytest.raises(RulesError):
        await rulebook.block(engine, a_block(**changed), NOW)
    assert await rulebook.blocks(engine) == []


# --- the calendar


async def test_years_of_the_calendar_are_replaced_one_by_one(engine: AsyncEngine) -> None:
    first = {"holidays": ["2027-01-01"], "makeup_workdays": ["2027-02-06"]}
    other = {"holidays": ["2028-01-01"], "makeup_workdays": []}
    assert await rulebook.calendar(engine) == {}
    await rulebook.set_calendar(engine, {"2027": other, "2028": other})
    await rulebook.set_calendar(engine, {"2027": first})
    assert await rulebook.calendar(engine) == {"2027": first, "2028": other}


async def test_a_broken_row_is_an_error_and_not_other_rules(engine: AsyncEngine) -> None:
    """Somebody wrote into the database by hand: the controller keeps the rules of before and says so."""
    async with engine.begin() as connection:
        await connection.execute(
            insert(tables.queue).values(name="x", settings={"strategy": "fair"})
        )
    with pytest.raises(ValueError, match="fair"):
        await rulebook.read(engine)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM queue WHERE name = 'x'"))
    assert await rulebook.read(engine) == Rulebook()
