"""Retention at work: what is due goes, nothing else does, and a run has a gate, a limit and an alarm."""

from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks import book
from acd.callbacks.entry import Wanted
from alarms import watch
from base import clock
from base.settings import Settings
from facts import CallbackPlaced, Fact
from facts.times import DAY, HOUR, SECOND, midnight
from metrics import due
from metrics.reports import sla
from recorder import deletion, evidence, finishing, ledger, retention, seals, tables
from recorder.retention import RetentionError
from tests.metrics.histories import T, answered, arrived, ended
from tests.metrics.test_callback_report import write

CALLS = [f"hotline-{T // SECOND}.{number}" for number in range(4)]
RULES = """
[[rule]]
name = "given-up"
outcomes = ["abandoned_greeting"]
days = 184

[[rule]]
name = "tax"
queues = ["default"]
days = 200
"""
DUE = midnight(T) + 185 * DAY
"""When the first ones are due by the shorter rule."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path)
    made.spool_dir.mkdir(parents=True)
    return made


@pytest.fixture
async def files(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    """Two calls that an agent answered, one that gave up in the greeting, one that the diary does not know."""
    monkeypatch.setattr(clock, "now", lambda: T + HOUR)
    stories: list[list[Fact]] = [
        answered(CALLS[0]),
        answered(CALLS[1], 60),
        [arrived(120, CALLS[2]), ended(125, CALLS[2])],
    ]
    await write(engine, settings.home, *stories)
    made = []
    for call in CALLS:
        (settings.spool_dir / f"{call}.raw").write_bytes(b"\1\0\2\0" * 8000)
        entry = await finishing.finish(engine, settings, call)
        made.append(settings.recordings_dir / entry.path)
    return made


async def confirm(engine: AsyncEngine, settings: Settings, text: str = RULES) -> None:
    (settings.root / retention.FILE).write_text(text)
    await deletion.confirm(engine, deletion.policy_of(settings), "cli:wang", T)


def at_now(monkeypatch: pytest.MonkeyPatch, now: int) -> int:
    monkeypatch.setattr(clock, "now", lambda: now)
    return now


def there(files: list[Path]) -> list[int]:
    return [number for number, file in enumerate(files) if file.exists()]


async def runs(engine: AsyncEngine) -> list[tuple[int, int, str]]:
    columns = tables.retention_run.c
    question = select(columns.due, columns.deleted, columns.why).order_by(columns.id)
    async with engine.connect() as connection:
        return [(row.due, row.deleted, row.why) for row in await connection.execute(question)]


async def test_each_recording_is_counted_by_the_rule_that_decides_for_it(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    await confirm(engine, settings)
    await deletion.hold(engine, CALLS[2], reason="court", by="cli:wang", now=T)
    found = await due.survey(engine, deletion.policy_of(settings), DUE)
    rules = {name: (one.calls, one.due, one.held) for name, one in found.rules.items()}
    assert rules == {"default": (1, 0, 0), "given-up": (1, 1, 1), "tax": (2, 0, 0)}
    tax = found.rules["tax"]
    rows = await ledger.look_up(engine, list(CALLS))
    sizes = [rows[call].size for call in CALLS[:2]]
    assert min(sizes) > 0
    assert (tax.duration, tax.size) == (2 * SECOND, sum(sizes))
    assert (tax.oldest, tax.newest) == (T + HOUR, T + HOUR)
    assert tax.next_at == midnight(T) + 201 * DAY
    assert found.doomed == []
    assert there(files) == [0, 1, 2, 3]


async def test_a_run_deletes_what_is_due_by_its_rule_and_nothing_else(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await confirm(engine, settings)
    report = await sla.sla(engine, T + HOUR, 24, 95, details=True)
    await due.delete_due(engine, settings, at_now(monkeypatch, DUE - 1), by="cli:wang")
    assert there(files) == [0, 1, 2, 3]
    _, done = await due.delete_due(engine, settings, at_now(monkeypatch, DUE), by="cli:wang")
    assert done.done == [CALLS[2]]
    assert there(files) == [0, 1, 3]
    now = at_now(monkeypatch, midnight(T) + 201 * DAY - 1)
    assert (await due.survey(engine, deletion.policy_of(settings), now)).doomed == []
    await due.delete_due(engine, settings, now, by="cli:wang")
    assert there(files) == [0, 1, 3]
    now = at_now(monkeypatch, now + 1)
    await due.delete_due(engine, settings, now, by="cli:wang")
    assert there(files) == [3]
    now = at_now(monkeypatch, midnight(T) + 1097 * DAY)
    await due.delete_due(engine, settings, now, by="cli:wang")
    assert there(files) == []
    assert await runs(engine) == [(0, 0, ""), (1, 1, ""), (0, 0, ""), (2, 2, ""), (1, 1, "")]
    assert await sla.sla(engine, T + HOUR, 24, 95, details=True) == report


async def test_a_callback_has_the_queue_of_its_task(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: T + HOUR)
    wanted = Wanted(number="13812345678", queue="default", earliest=T, latest=T + DAY)
    task = await book.enter_directly(engine, settings.run_dir, wanted)
    call = f"hotline-c{task}.1"
    await write(engine, settings.home, [CallbackPlaced(T, task, call, "1001")])
    (settings.spool_dir / f"{call}.raw").write_bytes(b"\1\0\2\0" * 8000)
    await finishing.finish(engine, settings, call)
    await confirm(engine, settings)
    found = await due.survey(engine, deletion.policy_of(settings), DUE)
    assert found.rules["tax"].calls == 1


# --- the gate, the limit, the alarm


async def test_nothing_is_deleted_before_the_rules_are_confirmed(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    now = T + 5000 * DAY
    with pytest.raises(RetentionError, match="not confirmed"):
        await due.delete_due(engine, settings, now, by="cli:wang")
    await confirm(engine, settings)
    (settings.root / retention.FILE).write_text(RULES.replace("200", "201"))
    with pytest.raises(RetentionError, match="not confirmed"):
        await due.delete_due(engine, settings, now, by="cli:wang")
    (settings.root / retention.FILE).write_text(RULES.replace("200", "2"))
    with pytest.raises(RetentionError, match="too few"):
        await due.delete_due(engine, settings, now, by="cli:wang")
    assert there(files) == [0, 1, 2, 3]


async def test_more_than_a_days_limit_deletes_nothing_and_raises_an_alarm(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(due, "ALWAYS", 3)
    await confirm(engine, settings)
    now = at_now(monkeypatch, T + 5000 * DAY)

    async def left() -> float | None:
        return (await watch.recordings(engine, settings, now))["retention_stopped", ""]

    assert await left() == 0
    with pytest.raises(RetentionError, match=r"4 recordings are due, more than the 3.*--at-most 4"):
        await due.delete_due(engine, settings, now, by="cli:wang")
    assert there(files) == [0, 1, 2, 3]
    assert await left() == 4
    _, done = await due.delete_due(engine, settings, now, by="cli:wang", most=4)
    assert len(done.done) == 4
    assert await left() == 0


async def test_the_limit_is_a_part_of_all_recordings(settings: Settings) -> None:
    assert due.most_of_a_day(settings, 1000) == 100
    assert due.most_of_a_day(settings, 1_000_000) == 20_000


async def test_a_file_that_is_gone_is_left_and_raises_the_alarm(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await confirm(engine, settings)
    files[2].unlink()
    now = at_now(monkeypatch, DUE)
    _, done = await due.delete_due(engine, settings, now, by="cli:wang")
    assert done.done == []
    assert (await watch.recordings(engine, settings, now))["retention_stopped", ""] == 1
    assert "not there" in (await runs(engine))[0][2]


async def test_days_without_a_seal_stop_a_run(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await confirm(engine, settings)
    await seals.seal(engine, settings, T + DAY)
    with pytest.raises(RetentionError, match=r"newest seal is of 2025-11-21.*clock"):
        await due.delete_due(engine, settings, at_now(monkeypatch, DUE), by="cli:wang")
    assert there(files) == [0, 1, 2, 3]
    await seals.seal(engine, settings, DUE)
    await due.delete_due(engine, settings, DUE, by="cli:wang")
    assert there(files) == [0, 1, 3]


# --- the daily run


async def test_the_recorder_runs_the_rules_once_a_day_and_goes_on_after_a_kill(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keeper = due.Keeper(engine, settings)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await keeper.look(at_now(monkeypatch, DUE + 3 * HOUR))
    assert [one["event"] for one in logs] == ["retention.not_confirmed"]
    await confirm(engine, settings)
    await keeper.look(at_now(monkeypatch, DUE + HOUR))
    assert await runs(engine) == []
    await keeper.look(at_now(monkeypatch, DUE + 2 * HOUR))
    await keeper.look(at_now(monkeypatch, DUE + 3 * HOUR))
    assert await runs(engine) == [(1, 1, "")]
    assert there(files) == [0, 1, 3]
    entry = (await ledger.look_up(engine, [CALLS[0]]))[CALLS[0]]
    row = {"call": CALLS[0], "rule": "tax", "rules": "", "by": "x", "found": True, "begun_at": 1}
    row["ends"] = evidence.hash_of(ledger.vouched(entry))
    async with engine.begin() as connection:
        await connection.execute(tables.deletion.insert().values(row))
    await due.Keeper(engine, settings).look(at_now(monkeypatch, DUE + 4 * HOUR))
    assert there(files) == [1, 3]
    assert (await ledger.look_up(engine, [CALLS[0]]))[CALLS[0]].certificate


async def test_no_error_ends_the_loop_and_a_trial_is_not_reminded(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("the disk reports an error")

    with monkeypatch.context() as failing, structlog.testing.capture_logs() as logs:
        failing.setattr(deletion, "resume", broken)
        await due.Keeper(engine, settings).look(T)
    assert [(one["event"], one["why"]) for one in logs] == [
        ("retention.failed", "the disk reports an error")
    ]
    trial = settings.model_copy(update={"trial": True})
    with structlog.testing.capture_logs() as logs:
        await due.Keeper(engine, trial).look(T)
    assert logs == []
    readings = await watch.recordings(engine, settings, T)
    assert readings["retention_unconfirmed", ""] == 1
    assert (await watch.recordings(engine, trial, T))["retention_unconfirmed", ""] == 0
    await confirm(engine, settings)
    assert (await watch.recordings(engine, settings, T))["retention_unconfirmed", ""] == 0
