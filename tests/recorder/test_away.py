"""PostgreSQL crashes, or stands still, under the recorder: one line when it goes, one when it is back, no trace."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock, database
from base.background import spawn
from base.migrations import upgrade
from base.settings import Settings
from facts.times import SECOND
from metrics import rollup
from metrics.due import Keeper
from quality.sample import Assessor
from quality.weekly import WeeklyDraw
from recorder import ledger, tape
from recorder.archive import Archive
from recorder.listening import Listening
from recorder.notary import Notary
from recorder.policy import RecordingState
from recorder.tape import Fault, Job, Tape
from recorder.vault import keys
from recorder.vault.uploads import Uploads
from tests.postgres import PostgresServer
from tests.recorder.conftest import Spool, a_call, write

pytestmark = pytest.mark.live  # it needs PostgreSQL

Look = Callable[[], Awaitable[Any]]
AWAY = {
    *("recording.database_away", "voice.database_away", "store.database_away"),
    *("seal.database_away", "retention.database_away", "quality.database_away"),
    "rollup.database_away",
}
"""What each loop of the recorder says."""


@pytest.fixture
async def postgres(postgresql_url: str) -> AsyncIterator[AsyncEngine]:
    """The recorder's own engine, less patient."""
    engine = database.engine(postgresql_url, answer_within=0.5, connect_args={"timeout": 0.5})
    await upgrade(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    return postgres_server


async def nobody() -> list[Assessor]:
    return []


def loops(engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """One turn of each of the recorder's loops."""
    archive = Archive(engine, settings, lambda _: None)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(archive, "_in_pool", here)
    monkeypatch.setattr(rollup, "EVERY", 0.01)
    listening = Listening(engine, settings)
    uploads = Uploads(engine, settings)
    keeper, notary = Keeper(engine, settings), Notary(engine, settings)
    drawing = WeeklyDraw(engine, settings, nobody)
    return [
        lambda: archive.sweep(clock.now()),
        lambda: listening.look(clock.now()),
        lambda: uploads.look(clock.now()),
        lambda: notary.look(clock.now()),
        lambda: keeper.look(clock.now()),
        lambda: drawing.look(clock.now()),
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, min_free_mb=0, recording_format="wav", listen_workers=1)
    made.spool_dir.mkdir(parents=True)
    keys.add(made)
    return made


async def turn(looks: list[Look], times: int = 1) -> None:
    for _ in range(times):
        for look in looks:
            await look()


def lines(logs: list[Any]) -> list[tuple[str, bool]]:
    """Who said that the database went or came; nothing of what was said has a trace."""
    assert not any("exc_info" in one for one in logs), logs
    return sorted((one["event"], one["on"]) for one in logs if "database_away" in one["event"])


@pytest.mark.parametrize("how", ["crash", "stop", "stand still"])
async def test_each_loop_says_once_that_it_went_and_once_that_it_came(
    postgres: AsyncEngine,
    server: PostgresServer,
    settings: Settings,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    call = f"hotline-{clock.now() // SECOND - 30}.1"
    ended = clock.now() - 20 * SECOND
    looks = loops(postgres, settings, monkeypatch)
    stop = asyncio.Event()
    with capture_logs() as logs:
        rolling = spawn(rollup.run(postgres, stop), "roll-ups")
        await turn(looks)
        await write(postgres, a_call(call, ended=ended))
        raw = spool(call)
        with server.standing_still() if how == "stand still" else server.away(how):
            await turn(looks, times=1 if how == "stand still" else 3)
            while ("rollup.database_away", True) not in lines(logs):
                await asyncio.sleep(0.01)
            assert raw.exists()
        await turn(looks, times=2)
        while ("rollup.database_away", False) not in lines(logs):
            await asyncio.sleep(0.01)
        stop.set()
        await rolling
    said = lines(logs)
    for event, _ in set(said):
        assert [on for name, on in said if name == event] == [False, True], said
    assert {event for event, _ in said} >= AWAY - {"quality.database_away"}
    assert not raw.exists()
    found = (await ledger.look_up(postgres, [call]))[call]
    assert found.state is RecordingState.FINISHED


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_it_goes_in_the_middle_of_a_question(
    postgres: AsyncEngine, server: PostgresServer, mode: str
) -> None:
    async def ask() -> None:
        async with postgres.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(0.4)"))

    async with asyncio.TaskGroup() as both:
        asking = both.create_task(_away(ask))
        await asyncio.sleep(0.1)
        with server.away("crash" if mode == "immediate" else "stop"):
            await asking
    await ask()


async def _away(ask: Look) -> None:
    with pytest.raises(database.DatabaseAwayError) as raised:
        await ask()
    assert "SELECT" not in str(raised.value)
