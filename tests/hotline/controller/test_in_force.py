"""The rules in force: new ones at once, old ones while the database is away, numbers announced to Asterisk."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from acd.rules import book as rulebook
from acd.rules.book import Block
from acd.rules.model import Number, Rules
from acd.rules.text import Rulebook
from base import clock, database
from base.settings import Settings, load
from facts.terms import Release
from facts.times import DAY
from hotline.controller.in_force import RulesInForce
from hotline.machine import render
from telephony.link import LinkError

CALLER = "+8613812345678"


class Centre:
    """Who goes by the rules, and an Asterisk that reads its configuration again when it is told."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.applied: list[tuple[Rules, Rulebook]] = []
        self.reloads = 0
        self.linked = True
        self.fails = False
        self.rules = RulesInForce(
            engine, settings, lambda rules, book: self.applied.append((rules, book)), self.reload
        )

    def reload(self) -> Callable[..., Awaitable[None]] | None:
        return self._reload if self.linked else None

    async def _reload(self, *modules: str) -> None:
        assert modules == render.NUMBER_MODULES
        if self.fails:
            raise LinkError("gone")
        self.reloads += 1


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load(home=tmp_path, numbers="12345")
    (made.root / "asterisk" / "etc").mkdir(parents=True)
    return made


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """The numbers that were written for Asterisk; written again only if they differ."""
    written: list[frozenset[str]] = []

    def render_numbers(settings: Settings, numbers: frozenset[str]) -> bool:
        changed = not written or written[-1] != numbers
        written.append(numbers)
        return changed

    monkeypatch.setattr(render, "render_numbers", render_numbers)
    return written


async def add_number(engine: AsyncEngine, settings: Settings, number: str) -> None:
    def with_number(book: Rulebook) -> Rulebook:
        return replace(book, numbers={**book.numbers, number: Number(number)})

    await rulebook.change(engine, with_number, rulebook.defaults(settings))


async def test_before_the_first_reading_the_settings_hold(
    engine: AsyncEngine, settings: Settings
) -> None:
    centre = Centre(engine, settings)
    assert set(centre.rules.rules.numbers) == {"12345"}
    assert centre.rules.receive("12345", CALLER, clock.now()).refusal is None


@pytest.mark.parametrize(
    ("instead", "outbound", "refusal", "outside"),
    [
        ("continue", "sip:127.0.0.1:5090", None, ""),
        ("refuse", "", Release.SYSTEM_FAILURE, ""),
        ("0411000", "sip:127.0.0.1:5090", None, "0411000"),
        # Without a way out the caller is taken rather than lost.
        ("0411000", "", None, ""),
    ],
)
async def test_new_callers_while_no_call_can_be_recorded(
    engine: AsyncEngine,
    tmp_path: Path,
    instead: str,
    outbound: str,
    refusal: Release | None,
    outside: str,
) -> None:
    told = load(home=tmp_path, numbers="12345", without_recording=instead, outbound=outbound)
    can = True
    centre = RulesInForce(engine, told, lambda *_: None, lambda: None, recordable=lambda: can)
    usual = centre.receive("12345", CALLER, clock.now())
    assert (usual.refusal, usual.outside) == (None, "")
    can = False
    found = centre.receive("12345", CALLER, clock.now())
    assert (found.refusal, found.outside) == (refusal, outside)


async def test_new_rules_reach_all_who_go_by_them(
    engine: AsyncEngine, settings: Settings, announced: list[frozenset[str]]
) -> None:
    centre = Centre(engine, settings)
    await centre.rules.read()
    [(rules, book)] = centre.applied
    assert (rules, book) == (centre.rules.rules, centre.rules.book)
    assert announced == [frozenset({"12345"})]


async def test_while_the_database_is_away_the_rules_of_before_hold(
    settings: Settings, announced: list[frozenset[str]]
) -> None:
    gone = database.engine("sqlite+aiosqlite:////nonexistent/hotline.db")
    centre = Centre(gone, settings)
    before = centre.rules.rules
    with capture_logs() as logs:
        await centre.rules.read()
    assert centre.rules.rules is before
    assert centre.applied == []
    assert [entry["event"] for entry in logs] == ["rules.away"]
    await gone.dispose()


async def test_a_blocked_caller_is_turned_away_and_counted(
    engine: AsyncEngine, settings: Settings, announced: list[frozenset[str]]
) -> None:
    now = clock.now()
    await rulebook.block(engine, Block(CALLER, "骚扰", "a", "", now, now + DAY), now)
    await rulebook.approve(engine, CALLER, "b", now)
    centre = Centre(engine, settings)
    await centre.rules.read()
    assert centre.rules.receive("12345", CALLER, now + 1).refusal is Release.BLOCKED
    assert centre.rules.receive("12345", CALLER, now + 2 * DAY).refusal is not Release.BLOCKED
    await centre.rules._count_blocked(CALLER)
    assert (await rulebook.blocked(engine, now))[CALLER].calls == 1


async def test_numbers_of_the_settings_alone_need_no_reload_but_after_a_start(
    engine: AsyncEngine, settings: Settings, announced: list[frozenset[str]]
) -> None:
    centre = Centre(engine, settings)
    await centre.rules.read()
    assert centre.reloads == 1
    await centre.rules.read()
    assert centre.reloads == 1


async def test_numbers_that_could_not_be_announced_are_announced_when_the_link_is_back(
    engine: AsyncEngine, settings: Settings, announced: list[frozenset[str]]
) -> None:
    await add_number(engine, settings, "12346")
    centre = Centre(engine, settings)
    centre.linked = False
    await centre.rules.read()
    assert centre.reloads == 0
    centre.linked, centre.fails = True, True
    with capture_logs() as logs:
        await centre.rules.announce_numbers()
    assert [entry["event"] for entry in logs] == ["numbers.not_told"]
    centre.fails = False
    await centre.rules.announce_numbers()
    await centre.rules.announce_numbers()
    assert centre.reloads == 1


async def test_opening_hours_without_a_calendar_are_warned_of(
    engine: AsyncEngine, settings: Settings, announced: list[frozenset[str]]
) -> None:
    def with_hours(book: Rulebook) -> Rulebook:
        return replace(book, hours={"office": {"workdays": "08:00-18:00"}})

    await rulebook.change(engine, with_hours, rulebook.defaults(settings))
    centre = Centre(engine, settings)
    await centre.rules.read()
    far = clock.now() + 50 * 366 * DAY
    assert centre.rules.missing_years(far)
