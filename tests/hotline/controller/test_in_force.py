"""The rules in force: taken as a whole or not at all, and Asterisk learns each new number once."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.rules import book
from acd.rules.book import Block
from acd.rules.model import Number, Rules
from acd.rules.text import Rulebook
from base.settings import Settings
from facts.terms import Release
from facts.times import CHINA, SECOND, microseconds
from hotline.controller.in_force import RulesInForce
from hotline.machine.render import NUMBER_MODULES
from telephony.link import ActionRefused
from tests.hotline.controller.conftest import Clock, Database

CALLER = "+8613800000001"
SECOND_NUMBER = Rulebook(numbers={"12319": Number("12319")})
OFFICE = Rulebook(
    queues={"default": {"hours": "office"}}, hours={"office": {"workdays": "09:00-17:00"}}
)


class Asterisk:
    """Writes down which modules read their configuration again. `up`: the link; `refuses`: a reload fails."""

    def __init__(self) -> None:
        self.up, self.refuses = True, False
        self.reloads: list[tuple[str, ...]] = []

    def reload(self) -> Callable[..., Awaitable[None]] | None:
        return self._reload if self.up else None

    async def _reload(self, *modules: str) -> None:
        if self.refuses:
            raise ActionRefused("Reload: not now")
        self.reloads.append(modules)


@pytest.fixture
def asterisk() -> Asterisk:
    return Asterisk()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, numbers=("12345",))
    made.asterisk_dir.mkdir()
    return made


Applied = list[tuple[Rules, Rulebook]]


@pytest.fixture
def applied() -> Applied:
    return []


@pytest.fixture
def rules(
    engine: AsyncEngine, settings: Settings, applied: Applied, asterisk: Asterisk, clock: Clock
) -> RulesInForce:
    return RulesInForce(engine, settings, lambda *new: applied.append(new), asterisk.reload)


# --- the rules


async def test_new_rules_are_applied(
    rules: RulesInForce, engine: AsyncEngine, applied: Applied
) -> None:
    assert set(rules.rules.numbers) == {"12345"}
    await book.save(engine, SECOND_NUMBER)
    await rules.read()
    assert set(rules.rules.numbers) == {"12345", "12319"}
    assert applied == [(rules.rules, rules.book)]


async def test_the_rules_of_before_hold_while_the_database_is_away(
    rules: RulesInForce, engine: AsyncEngine, database: Database, applied: Applied
) -> None:
    await book.save(engine, SECOND_NUMBER)
    await rules.read()
    before = rules.rules, rules.book
    database.away = True
    with capture_logs() as logs:
        await rules.read()
    assert (rules.rules, rules.book) == before
    assert applied == [before]
    assert [line["event"] for line in logs] == ["rules.away"]


async def test_a_first_start_without_a_database_has_the_settings_numbers(
    rules: RulesInForce, database: Database, applied: Applied, clock: Clock
) -> None:
    database.away = True
    await rules.read()
    assert applied == []
    assert rules.receive("12345", CALLER, clock.at).refusal is None


# --- the block list


async def blocked(engine: AsyncEngine, clock: Clock) -> None:
    hour = clock.at + 3600 * SECOND
    await book.block(engine, Block(CALLER, "威胁", "1001", "", clock.at, hour), clock.at)
    await book.approve(engine, CALLER, "1002", clock.at)


async def test_a_blocked_caller_is_refused_until_the_block_runs_out(
    rules: RulesInForce, engine: AsyncEngine, clock: Clock
) -> None:
    await blocked(engine, clock)
    assert rules.receive("12345", CALLER, clock.at).refusal is None
    await rules.read()
    assert rules.receive("12345", CALLER, clock.at).refusal is Release.BLOCKED
    assert rules.receive("12345", "+8613800000002", clock.at).refusal is None
    assert rules.receive("12345", CALLER, clock.at + 3600 * SECOND).refusal is None


async def test_who_was_turned_away_is_counted(
    rules: RulesInForce,
    engine: AsyncEngine,
    clock: Clock,
    database: Database,
    until: Callable[[Callable[[], object]], Awaitable[None]],
) -> None:
    await blocked(engine, clock)
    with capture_logs() as logs:
        database.away = True
        rules.count_blocked(CALLER)
        await until(lambda: logs)
        database.away = False
        rules.count_blocked(CALLER)
        rules.count_blocked(CALLER)
        counts: list[int] = []
        while counts[-1:] != [2]:
            counts += [one.calls for one in await book.blocks(engine)]
    assert [line["event"] for line in logs] == ["block.not_counted"]


# --- the calendar


async def test_opening_hours_go_by_the_calendar(rules: RulesInForce, engine: AsyncEngine) -> None:
    await book.save(engine, OFFICE)
    await rules.read()
    [friday, saturday, holiday] = [
        microseconds(datetime(2025, *day, 10, tzinfo=CHINA))
        for day in ((11, 21), (11, 22), (10, 1))
    ]
    assert rules.receive("12345", CALLER, friday).refusal is None
    assert rules.receive("12345", CALLER, saturday).refusal is Release.CLOSED_HOURS
    assert rules.receive("12345", CALLER, holiday).refusal is Release.CLOSED_HOURS


async def test_a_missing_calendar_is_warned_of(
    rules: RulesInForce, engine: AsyncEngine, clock: Clock
) -> None:
    await book.save(engine, OFFICE)
    with capture_logs() as logs:
        await rules.read()
        assert "calendar.missing" not in {line["event"] for line in logs}
        clock.at = microseconds(datetime(2040, 12, 1, tzinfo=CHINA))
        await rules.read()
    years = [line["year"] for line in logs if line["event"] == "calendar.missing"]
    assert years == [2040, 2041] == rules.missing_years(clock.at)


async def test_without_opening_hours_no_calendar_is_missing(
    rules: RulesInForce, clock: Clock
) -> None:
    await rules.read()
    assert rules.missing_years(microseconds(datetime(2040, 12, 1, tzinfo=CHINA))) == []


# --- numbers that Asterisk does not know yet


async def test_the_settings_numbers_need_no_reload(rules: RulesInForce, asterisk: Asterisk) -> None:
    await rules.read()
    assert asterisk.reloads == []


async def test_a_new_number_is_announced_once(
    rules: RulesInForce, engine: AsyncEngine, asterisk: Asterisk
) -> None:
    await rules.read()
    await book.save(engine, SECOND_NUMBER)
    await rules.read()
    await rules.read()
    await rules.announce_numbers()
    assert asterisk.reloads == [NUMBER_MODULES]
    await book.save(engine, Rulebook())
    await rules.read()
    assert asterisk.reloads == [NUMBER_MODULES, NUMBER_MODULES]


async def test_a_reload_that_failed_is_done_again(
    rules: RulesInForce, engine: AsyncEngine, asterisk: Asterisk
) -> None:
    await book.save(engine, SECOND_NUMBER)
    asterisk.refuses = True
    with capture_logs() as logs:
        await rules.read()
    assert [line["event"] for line in logs] == ["rules.read", "numbers.not_told"]
    asterisk.refuses = False
    await rules.announce_numbers()
    await rules.announce_numbers()
    assert asterisk.reloads == [NUMBER_MODULES]


async def test_numbers_wait_for_the_link(
    rules: RulesInForce, engine: AsyncEngine, asterisk: Asterisk
) -> None:
    asterisk.up = False
    await rules.read()
    await book.save(engine, SECOND_NUMBER)
    await rules.read()
    asterisk.up = True
    await rules.announce_numbers()
    await rules.announce_numbers()
    assert asterisk.reloads == [NUMBER_MODULES]


async def test_a_controller_that_was_killed_may_have_left_numbers_unread(
    rules: RulesInForce, engine: AsyncEngine, settings: Settings, asterisk: Asterisk
) -> None:
    await book.save(engine, SECOND_NUMBER)
    asterisk.up = False
    await rules.read()

    asterisk.up = True
    next_one = RulesInForce(engine, settings, lambda *new: None, asterisk.reload)
    await next_one.read()
    await next_one.announce_numbers()
    assert asterisk.reloads == [NUMBER_MODULES]


async def test_a_configuration_that_cannot_be_written_ends_nothing(
    rules: RulesInForce, engine: AsyncEngine, settings: Settings, applied: Applied
) -> None:
    await book.save(engine, SECOND_NUMBER)
    settings.asterisk_dir.rmdir()
    with capture_logs() as logs:
        await rules.read()
    assert [line["event"] for line in logs] == ["rules.read", "numbers.not_told"]
    assert len(applied) == 1
