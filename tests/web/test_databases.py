"""The web process's questions to both databases."""

import asyncio
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.database import DatabaseAwayError
from diary.writer import Diary
from facts import CallArrived, CallEnded, CallQueued, OfferAnswered, OfferMade, TalkEnded
from facts.terms import Party
from facts.times import CHINA, SECOND, microseconds, midnight
from metrics import search
from web.accounts import accounts, audit
from web.accounts import tables as accounts_tables
from web.accounts.rights import Role
from web.webhooks import sender
from web.webhooks import tables as webhooks_tables
from web.webhooks.seal import Seal
from web.webhooks.sender import Sender

NOW = clock.now() - 60 * SECOND


async def test_accounts_sessions_tokens_and_the_log(engine: AsyncEngine) -> None:
    await accounts.add(engine, "wang", "supervisor", "a good password", NOW, "1001")
    assert await accounts.check_password(engine, "wang", "a good password")
    assert not await accounts.check_password(engine, "wang", "another")
    assert not await accounts.check_password(engine, "li", "a good password")
    cookie = await accounts.begin(engine, "wang", clock.now())
    who = await accounts.by_cookie(engine, cookie, clock.now())
    assert who is not None
    assert (who.name, who.role, who.agent) == ("wang", Role.SUPERVISOR, "1001")
    secret = await accounts.add_token(engine, "hall", "guest", ["live"], "wang", NOW)
    wall = await accounts.begin_for_token(engine, "hall", NOW)
    assert await accounts.by_token(engine, secret, NOW) is not None
    assert await accounts.by_cookie(engine, wall, NOW + accounts.LONGEST_SESSION * 9) is not None
    await accounts.revoke_token(engine, "hall")
    assert await accounts.by_cookie(engine, wall, NOW) is None
    assert who.queues == (await accounts.list_all(engine))[0].queues == ()
    await accounts.set_queues(engine, "wang", ["default", "default"])
    who = await accounts.by_cookie(engine, cookie, clock.now())
    assert who is not None
    assert who.queues == await accounts.limit_of(engine, "wang") == ("default",)
    assert (await accounts.list_all(engine))[0].queues == ("default",)
    assert await accounts.limit_of(engine, "token:hall") == ()
    await accounts.remove(engine, "wang")
    assert await accounts.by_cookie(engine, cookie, NOW) is None
    for n in range(3):
        await audit.write(
            engine,
            at=NOW + n // 2,
            who="wang",
            role="supervisor",
            address="::1",
            action="POST /x",
            values={"caller": "13812345678"},
            status=200,
        )
    first, second, third = await audit.read(engine)
    assert first["at"] > second["at"] == third["at"]
    older = await audit.read(engine, before=(second["at"], second["id"]))
    assert older == [third]


async def enter(engine: AsyncEngine, *moments: int) -> None:
    """A row in the audit log at each moment."""
    row = {"who": "wang", "role": "", "address": "", "action": "POST /x", "status": 200}
    rows = [{**row, "at": at, "target": str(at)} for at in moments]
    async with engine.begin() as connection:
        await connection.execute(insert(accounts_tables.audit), rows)


async def test_the_audit_log_forgets_what_is_older_than_it_must_keep(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "BATCH", 4)
    now = microseconds(datetime(2026, 3, 31, 15, 0, tzinfo=CHINA))
    limit = microseconds(datetime(2025, 9, 28, 0, 0, tzinfo=CHINA))
    await enter(engine, *(limit - n for n in range(1, 11)), limit, now - SECOND)
    assert await audit.prune(engine, now, 184) == 10
    said, *kept = await audit.read(engine)
    assert [one["at"] for one in kept] == [now - SECOND, limit]
    assert (said["at"], said["who"], said["action"]) == (now, "hotline web", "DELETE audit")
    assert said["target"] == "10 from before 2025-09-28"
    assert await audit.prune(engine, now, 184) == 0
    assert len(await audit.read(engine)) == 3


async def test_a_broken_off_pruning_has_said_what_it_did(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(_seconds: float) -> None:
        if len(await audit.read(engine)) <= 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(audit, "BATCH", 4)
    monkeypatch.setattr(audit, "asyncio", SimpleNamespace(sleep=break_off))
    await enter(engine, *range(1, 14))
    with pytest.raises(KeyboardInterrupt):
        await audit.prune(engine, NOW, 184)
    said, *kept = await audit.read(engine)
    assert said["target"].startswith("8 from before ")
    assert [one["at"] for one in kept] == [13, 12, 11, 10, 9]


async def test_the_audit_log_is_looked_at_every_day_and_again_when_the_database_was_away(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    prune = audit.prune

    async def next_day(seconds: float) -> None:
        if seconds == audit._PAUSE:
            return
        pauses.append(seconds)
        monkeypatch.setattr(clock, "now", lambda: NOW + len(pauses) * 86_400 * SECOND)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    async def sometimes(engine: AsyncEngine, now: int, days: int) -> int:
        if len(pauses) == 1:
            raise DatabaseAwayError(None, None, OSError("away"))
        return await prune(engine, now, days)

    monkeypatch.setattr(audit, "asyncio", SimpleNamespace(sleep=next_day))
    monkeypatch.setattr(audit, "prune", sometimes)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    today = midnight(NOW)
    await enter(engine, *(today - (184 - n) * 86_400 * SECOND - 1 for n in range(4)))
    with pytest.raises(asyncio.CancelledError):
        await audit.keep(engine, 184)
    assert pauses == [audit.EVERY, audit.AGAIN, audit.EVERY]
    told = [one["target"].split()[0] for one in await audit.read(engine) if one["who"] == audit.BY]
    assert told == ["2", "1"]


async def test_search_and_webhooks(engine: AsyncEngine, tmp_path: Path) -> None:
    seal = Seal.of(tmp_path / "secrets")
    number, _ = await sender.add(
        engine, seal, "http://127.0.0.1:9/", ["CallArrived"], whole=False, by="x", at=NOW
    )
    diary = Diary(engine, tmp_path)
    diary.start()
    for n in range(5):
        call, at = f"n-1.{n}", NOW + n * SECOND
        diary.write(CallArrived(at, call, "12345", f"+861380000000{n}"))
        diary.write(CallQueued(at, call, "tax" if n % 2 else "default"))
        if n == 3:
            diary.write(OfferMade(at, call, "1001"))
            diary.write(OfferAnswered(at, call, "1001"))
            diary.write(TalkEnded(at + SECOND, call, "1001", Party.CALLER))
        diary.write(CallEnded(at + SECOND, call, Party.CALLER))
    await diary.close()

    async def found(**wanted: Any) -> list[str]:
        asked = search.CallSearch(NOW - SECOND, clock.now() + SECOND, **wanted)
        page = await search.search(engine, asked, 2)
        calls = page.calls
        while page.after is not None:
            page = await search.search(engine, asked, 2, page.after)
            calls += page.calls
        return [call["id"] for call in calls]

    assert await found() == [f"n-1.{n}" for n in (4, 3, 2, 1, 0)]
    assert await found(agent="1001") == ["n-1.3"]
    assert await found(queue="tax") == ["n-1.3", "n-1.1"]
    assert await found(caller="0002") == ["n-1.2"]
    assert await found(number="12345") == await found()
    assert await found(number="1234_") == []

    # Nobody listens there: every delivery is kept, and its next attempt is later.
    sending = Sender(engine, seal, ["127.0.0.1"])
    for _ in range(2):
        await sending.sweep()
        await sending.settle()
    async with engine.connect() as connection:
        kept = (await connection.execute(select(webhooks_tables.webhook_delivery))).all()
    assert len(kept) == 5
    assert {row.state for row in kept} == {"due"}
    assert all("ConnectError" in row.error and row.next_at > NOW for row in kept)
    assert await sender.retry(engine, number, NOW) == 0
    assert await sender.remove(engine, number)
