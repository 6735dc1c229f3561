"""A second person approves an export: never oneself, once, in time; on both databases."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts.times import HOUR
from recorder import exports, finishing, ledger
from recorder.exports import ExportError, ExportRequest, ExportState
from recorder.tape import Tape

CALL = "hotline-1763731200.1"
OTHER = "hotline-1763731200.2"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, export_approval=True, export_hours=2)


@pytest.fixture
async def book(engine: AsyncEngine) -> AsyncEngine:
    """With two recordings."""
    made = Tape(1_000_000, 32_044, "ab" * 32)
    await ledger.enter(engine, [finishing.draft(call, [], made, at=1) for call in (CALL, OTHER)])
    return engine


async def asked(book: AsyncEngine, settings: Settings, by: str = "wang") -> ExportRequest:
    return await exports.ask(book, settings, CALL, by=by, why="complaint", now=clock.now())


async def decided(
    book: AsyncEngine, settings: Settings, number: int, by: str = "li", approve: bool = True
) -> ExportRequest:
    return await exports.decide(
        book, settings, number, by=by, approve=approve, why="checked", now=clock.now()
    )


async def test_it_is_approved_by_another_and_used_once(
    book: AsyncEngine, settings: Settings
) -> None:
    request = await asked(book, settings)
    with pytest.raises(ExportError, match="second person"):
        async with exports.allowed(book, settings, CALL, by="wang"):
            raise AssertionError
    for same in ("wang", "Wang", "cli:wang"):
        with pytest.raises(ExportError, match="does not decide"):
            await decided(book, settings, request.id, by=same)
    done = await decided(book, settings, request.id)
    assert (done.decided_by, done.decided_why, done.state(clock.now())) == (
        "li",
        "checked",
        ExportState.APPROVED,
    )
    with pytest.raises(ExportError, match="cannot be decided any more"):
        await decided(book, settings, request.id, by="zhao", approve=False)
    for by, call in (("li", CALL), ("wang", OTHER)):
        with pytest.raises(ExportError, match="second person"):
            async with exports.allowed(book, settings, call, by=by):
                raise AssertionError
    async with exports.allowed(book, settings, CALL, by="wang") as used:
        assert used is not None
        assert (used.id, used.state(clock.now())) == (request.id, ExportState.USED)
    with pytest.raises(ExportError, match="second person"):
        async with exports.allowed(book, settings, CALL, by="wang"):
            raise AssertionError


async def test_two_at_a_time_do_not_share_an_approval(
    book: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await decided(book, settings, (await asked(book, settings)).id)
    look, both = exports.living, asyncio.Barrier(2)

    async def look_together(*asked: Any) -> list[ExportRequest]:
        found = await look(*asked)
        await both.wait()
        return found

    monkeypatch.setattr(exports, "living", look_together)

    async def take() -> bool:
        try:
            async with exports.allowed(book, settings, CALL, by="wang"):
                return True
        except ExportError:
            return False

    async with asyncio.timeout(10):
        assert sorted(await asyncio.gather(take(), take())) == [False, True]


async def test_an_export_that_failed_can_be_tried_again(
    book: AsyncEngine, settings: Settings
) -> None:
    await decided(book, settings, (await asked(book, settings)).id)
    with pytest.raises(OSError, match="full"):
        async with exports.allowed(book, settings, CALL, by="wang"):
            raise OSError("full")
    async with exports.allowed(book, settings, CALL, by="wang") as used:
        assert used is not None


async def test_a_refusal_says_why_and_is_the_end(book: AsyncEngine, settings: Settings) -> None:
    request = await asked(book, settings)
    with pytest.raises(ExportError, match="say why"):
        await exports.decide(
            book, settings, request.id, by="li", approve=False, why=" \n", now=clock.now()
        )
    await decided(book, settings, request.id, approve=False)
    with pytest.raises(ExportError, match="second person"):
        async with exports.allowed(book, settings, CALL, by="wang"):
            raise AssertionError
    again = await asked(book, settings)
    assert again.id != request.id


async def test_it_expires_before_and_after_the_decision(
    book: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    late = await asked(book, settings, "zhao")
    request = await asked(book, settings)
    monkeypatch.setattr(clock, "now", lambda: now + 3 * HOUR // 2)
    assert (await decided(book, settings, request.id)).until == clock.now() + 2 * HOUR
    monkeypatch.setattr(clock, "now", lambda: now + 3 * HOUR)
    with pytest.raises(ExportError, match="is expired"):
        await decided(book, settings, late.id)
    monkeypatch.setattr(clock, "now", lambda: now + 4 * HOUR)
    with pytest.raises(ExportError, match="second person"):
        async with exports.allowed(book, settings, CALL, by="wang"):
            raise AssertionError
    assert await exports.requests(book, clock.now()) == []
    states = [one.state(clock.now()) for one in await exports.requests(book, 0, every=True)]
    assert states == [ExportState.EXPIRED, ExportState.EXPIRED]


async def test_what_cannot_be_asked(
    book: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await exports.ask(
        book, settings, CALL, by="wang", why="of 13812345678,\x00 urgent", now=clock.now()
    )
    assert request.why == "of 138****5678, urgent"
    with pytest.raises(ExportError, match=f"request {request.id}"):
        await asked(book, settings)
    with pytest.raises(ExportError, match="no recording"):
        await exports.ask(book, settings, "hotline-1.1", by="wang", why="x", now=clock.now())
    with pytest.raises(ExportError, match="say why"):
        await exports.ask(book, settings, OTHER, by="wang", why="", now=clock.now())
    monkeypatch.setattr(exports, "MOST_OPEN", 1)
    with pytest.raises(ExportError, match="use those first"):
        await exports.ask(book, settings, OTHER, by="wang", why="x", now=clock.now())
    with pytest.raises(ExportError, match="no request 99"):
        await decided(book, settings, 99)


async def test_without_the_setting_nobody_need_ask(book: AsyncEngine, tmp_path: Path) -> None:
    off = Settings(home=tmp_path)
    with pytest.raises(ExportError, match="no approval is needed"):
        await asked(book, off)
    async with exports.allowed(book, off, CALL, by="wang") as request:
        assert request is None


@given(
    now=st.integers(0, 20),
    until=st.integers(0, 20),
    approved=st.booleans(),
    decided_at=st.integers(0, 20),
    used_at=st.integers(0, 20),
)
def test_only_an_approved_unused_request_in_time_is_approved(
    now: int, until: int, approved: bool, decided_at: int, used_at: int
) -> None:
    request = ExportRequest(
        1, CALL, "wang", "x", 0, until, approved and bool(decided_at), "li", "", decided_at, used_at
    )
    good = approved and bool(decided_at) and not used_at and until > now
    assert (request.state(now) is ExportState.APPROVED) == good
