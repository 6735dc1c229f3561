"""The loop: what lies in the spool gets into the ledger, once, whatever happens in between."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock, database
from base.database import DatabaseAwayError
from base.migrations import upgrade
from base.settings import Settings
from facts import (
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallbackYielded,
    Fact,
    PartyAsked,
    PartyLeft,
    RecordingFinished,
    RecordingMissing,
)
from facts.parties import PartyEnd, PartyKind
from facts.times import SECOND
from recorder import archive, copying, ledger, policy, tape
from recorder.archive import Archive
from recorder.policy import RecordingState
from recorder.press import LateError
from recorder.spool import hung
from recorder.tape import Fault, Job, Tape
from recorder.vault import keys
from tests.recorder.conftest import NOW, Spool, a_call, call_id, recording_facts, write

CALL = call_id(17)


@pytest.fixture
async def posted() -> list[Fact]:
    return []


@pytest.fixture
async def work(
    engine: AsyncEngine,
    settings: Settings,
    posted: list[Fact],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Archive]:
    """An archive whose jobs run in this process."""
    keys.add(settings)
    made = Archive(engine, settings, posted.append, lambda: 0.0)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(made, "_in_pool", here)
    yield made
    await made.close()


async def test_an_ended_call_is_finished_entered_posted_and_its_raw_file_removed(
    engine: AsyncEngine, settings: Settings, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    raw = spool(CALL)
    await write(engine, a_call(CALL))
    await work.sweep(NOW)

    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    assert entry.state is RecordingState.FINISHED
    assert (settings.recordings_dir / entry.path).exists()
    assert posted == [RecordingFinished(NOW, CALL, 10_000_000, entry.sha256)]
    assert await recording_facts(engine) == posted
    assert not raw.exists()

    await work.sweep(NOW + 60 * SECOND)
    assert len(posted) == 1


ATTEMPT = "hotline-c1007.2"


async def test_a_row_says_when_it_was_entered_not_when_the_sweep_began(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's loop looks for rows of the last minute: a long recording takes longer."""
    plain = settings.model_copy(update={"encrypt_recordings": False})
    work = Archive(engine, plain, lambda _: None, count(0, 90).__next__)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(work, "_in_pool", here)
    spool(CALL)
    await write(engine, a_call(CALL))
    await work.sweep(NOW)
    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    assert entry.finished_at == NOW + 90 * SECOND
    await work.close()


async def test_a_callback_is_recorded_like_a_call(
    engine: AsyncEngine, settings: Settings, work: Archive, spool: Spool
) -> None:
    raw = spool(ATTEMPT)
    began = NOW - 30 * SECOND
    await write(
        engine,
        [
            CallbackPlaced(began - SECOND, 1007, ATTEMPT, "1001"),
            CallbackDialling(began, 1007, ATTEMPT, "1001"),
            CallbackAnswered(began + 2 * SECOND, 1007, ATTEMPT, "1001"),
            CallbackEnded(began + 10 * SECOND, 1007, ATTEMPT, "1001"),
        ],
    )
    await work.sweep(NOW)
    entry = (await ledger.look_up(engine, [ATTEMPT]))[ATTEMPT]
    assert (entry.state, entry.path) == (
        RecordingState.FINISHED,
        "callbacks/001/hotline-c1007.2.wav.enc",
    )
    assert not raw.exists()


async def test_of_callbacks_only_those_that_dialled_out_must_have_a_recording(
    engine: AsyncEngine, work: Archive
) -> None:
    at = NOW - 30 * SECOND
    facts: list[Fact] = []
    for number, end in (
        (1, CallbackEnded(at + SECOND, 1, "hotline-c1.1", "1001", "agent_no_answer")),
        (2, CallbackYielded(at + SECOND, 2, "hotline-c2.1", "1001", CALL)),
        (3, CallbackYielded(at + SECOND, 3, "hotline-c3.1", "1001", CALL)),
    ):
        attempt = f"hotline-c{number}.1"
        facts.append(CallbackPlaced(at, number, attempt, "1001"))
        if number == 3:
            facts.append(CallbackDialling(at, number, attempt, "1001"))
        facts.append(end)
    await write(engine, facts)
    await work.sweep(NOW)
    assert set(await ledger.look_up(engine, [f"hotline-c{n}.1" for n in (1, 2, 3)])) == {
        "hotline-c3.1"
    }


async def test_a_call_that_goes_on_is_left_alone(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    talking, quiet = spool(CALL, age=0), spool(call_id(18), age=100)
    await write(engine, a_call(CALL)[:1] + a_call(call_id(18))[:1])
    await work.sweep(NOW)
    assert talking.exists()
    assert quiet.exists()
    assert posted == []


async def test_the_file_of_an_emergency_waits_until_the_last_has_left(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    raw, party = spool(CALL, age=100), "hotline-x1a"
    asked = PartyAsked(NOW - 60 * SECOND, CALL, "1001", party, PartyKind.EMERGENCY, "120")
    await write(engine, [*a_call(CALL, ended=NOW - 50 * SECOND), asked])
    await work.sweep(NOW)
    assert raw.exists()
    left = PartyLeft(NOW - 5 * SECOND, CALL, "1001", party, PartyEnd.HUNG_UP)
    await write(engine, [left])
    await work.sweep(NOW + SECOND)
    assert not raw.exists()
    assert [fact.call for fact in posted if isinstance(fact, RecordingFinished)] == [CALL]


async def test_asterisk_may_still_be_writing_when_the_call_has_just_ended(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    spool(CALL, age=1)
    await write(engine, a_call(CALL, ended=NOW - 3 * SECOND))
    await work.sweep(NOW)
    assert posted == []
    await work.sweep(NOW + SECOND)
    assert len(posted) == 1


async def test_a_file_of_an_unknown_call_is_taken_when_it_has_been_quiet_for_long(
    engine: AsyncEngine, work: Archive, spool: Spool
) -> None:
    spool(CALL, age=299)
    await work.sweep(NOW)
    assert await ledger.look_up(engine, [CALL]) == {}
    await work.sweep(NOW + SECOND)
    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    assert (entry.state, entry.note) == (
        RecordingState.FINISHED,
        "the diary does not know the whole of this call",
    )


async def test_an_end_that_the_diary_learns_of_late_is_found_with_its_file(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    await work.sweep(NOW)  # the first look, which reads far back
    spool(CALL, age=200)
    await write(engine, a_call(CALL, ended=NOW - 200 * SECOND))
    await work.sweep(NOW + SECOND)
    assert [fact.call for fact in posted if isinstance(fact, RecordingFinished)] == [CALL]


async def test_calls_without_a_file(engine: AsyncEngine, work: Archive, posted: list[Fact]) -> None:
    left, answered, other = call_id(1), call_id(2), "node2-1763731200.3"
    await write(engine, a_call(left, talk=0) + a_call(answered) + a_call(other))
    with capture_logs() as logs:
        await work.sweep(NOW)
    rows = await ledger.look_up(engine, [left, answered, other])
    assert {call: row.state for call, row in rows.items()} == {
        left: RecordingState.MISSING,
        answered: RecordingState.MISSING,
    }
    why = "the call was answered, but no sound was recorded"
    assert posted == [RecordingMissing(NOW, answered, why)]
    assert [entry["call_id"] for entry in logs if entry["event"] == "recording.incomplete"] == [
        answered
    ]
    await work.sweep(NOW + 60 * SECOND)
    assert len(posted) == 1


async def test_a_missing_end_found_hours_later_is_still_judged(
    engine: AsyncEngine, work: Archive, posted: list[Fact]
) -> None:
    await work.sweep(NOW)
    await write(engine, a_call(CALL, ended=NOW - 7200 * SECOND))
    await work.sweep(NOW + SECOND)
    assert posted == []
    await work.sweep(NOW + archive.AUDIT_EVERY)
    assert [type(fact) for fact in posted] == [RecordingMissing]


async def test_a_file_that_turns_up_after_all_replaces_the_gap(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    await write(engine, a_call(CALL))
    await work.sweep(NOW)
    spool(CALL)
    await work.sweep(NOW + SECOND)
    assert [type(fact) for fact in posted] == [RecordingMissing, RecordingFinished]
    assert (await ledger.look_up(engine, [CALL]))[CALL].state is RecordingState.FINISHED


async def test_an_empty_file_is_a_missing_recording(
    engine: AsyncEngine, settings: Settings, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    raw = spool(CALL, seconds=0, extra=b"\0\0")
    await write(engine, a_call(CALL))
    await work.sweep(NOW)
    assert [type(fact) for fact in posted] == [RecordingMissing]
    assert not raw.exists()
    assert not list(settings.recordings_dir.rglob("*.wav"))


async def test_a_finished_file_whose_row_a_power_cut_took_is_entered_again(
    engine: AsyncEngine, settings: Settings, work: Archive, posted: list[Fact], spool: Spool
) -> None:
    wav = settings.recordings_dir / policy.place(CALL)
    made = tape.finish(spool(CALL), wav)
    (settings.spool_dir / f"{CALL}.raw").unlink()
    await write(engine, a_call(CALL))
    await work.sweep(NOW)
    assert posted == [RecordingFinished(NOW, CALL, 10_000_000, made.sha256)]


async def test_a_clock_that_was_put_back_keeps_no_recording_waiting(
    engine: AsyncEngine, work: Archive, spool: Spool
) -> None:
    raw = spool(CALL)
    await write(engine, a_call(CALL))
    before = NOW - 86_400 * SECOND  # a day is to pass until this call has ended
    await work.sweep(before)
    assert raw.exists(), "Asterisk may be writing"
    await work.sweep(before + SECOND)
    assert raw.exists()
    await work.sweep(before + 3 * SECOND)
    assert not raw.exists()
    assert (await ledger.look_up(engine, [CALL]))[CALL].state is RecordingState.FINISHED


async def test_a_file_that_grew_meanwhile_is_finished_again(
    engine: AsyncEngine,
    work: Archive,
    posted: list[Fact],
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = spool(CALL, seconds=8)
    await write(engine, a_call(CALL))

    async def grows(jobs: list[Job]) -> list[Tape | Fault]:
        answers = tape.finish_batch(jobs)
        spool(CALL, seconds=10, age=10)
        return answers

    with monkeypatch.context() as patch:
        patch.setattr(work, "_in_pool", grows)
        await work.sweep(NOW)
    assert raw.exists()
    await work.sweep(NOW + SECOND)
    assert not raw.exists()
    assert [fact.duration for fact in posted if isinstance(fact, RecordingFinished)] == [
        8_000_000,
        10_000_000,
    ]
    assert (await ledger.look_up(engine, [CALL]))[CALL].duration == 10_000_000


async def test_odd_files_stay_and_are_named_once(
    engine: AsyncEngine, settings: Settings, work: Archive
) -> None:
    odd = ["x.raw", "hotline-1763731200.17.wav", "$(reboot).raw", "hotline-1.1.raw.raw"]
    for name in odd:
        (settings.spool_dir / name).write_bytes(b"x")
    (settings.spool_dir / f"{call_id(5)}.raw").mkdir()
    (settings.spool_dir / f"{call_id(6)}.raw").symlink_to("/etc/passwd")
    odd += [f"{call_id(5)}.raw", f"{call_id(6)}.raw"]
    with capture_logs() as logs:
        await work.sweep(NOW)
        await work.sweep(NOW + 600 * SECOND)
    assert sorted(entry["file"] for entry in logs if entry["event"] == "recording.odd_file") == (
        sorted(odd)
    )
    assert sorted(path.name for path in settings.spool_dir.iterdir()) == sorted(odd)


async def test_many_short_calls_share_jobs(
    engine: AsyncEngine,
    work: Archive,
    posted: list[Fact],
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[int] = []

    async def counts(batch: list[Job]) -> list[Tape | Fault]:
        jobs.append(len(batch))
        return tape.finish_batch(batch)

    monkeypatch.setattr(work, "_in_pool", counts)
    calls = [call_id(number) for number in range(150)]
    for call in calls:
        spool(call, seconds=0.5)
    await write(engine, [fact for call in calls for fact in a_call(call, seconds=1, talk=0)])
    await work.sweep(NOW)
    assert sorted(jobs) == [22, 64, 64]
    assert len(posted) == 150


async def test_a_long_recording_does_not_hold_up_short_ones_in_its_job(
    work: Archive, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "BATCH_BYTES", 100_000)
    for number, seconds in enumerate([1, 1, 10, 1]):
        spool(call_id(number), seconds=seconds, age=900 - number)
    batches = list(work._batches(work._look(NOW), NOW))
    assert [[raw.size for raw in batch] for batch in batches] == [
        [32_000, 32_000],
        [320_000],
        [32_000],
    ]


class Disk:
    """A disk with room for so many bytes of one recording, or a folder that cannot be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: float = 0
        self.error = OSError(errno.ENOSPC, "No space left on device", "/recordings")
        self.tried: list[int] = []
        self._write = tape._write
        monkeypatch.setattr(tape, "_write", self.write)

    def write(self, job: Job) -> Tape:
        size = job.raw.stat().st_size
        self.tried.append(size)
        if size > self.room:
            raise self.error
        return self._write(job)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def sweep_for(work: Archive, now: int, seconds: int) -> int:
    """Sweep each second, and again at once when it says so."""
    for _ in range(seconds):
        for _ in range(200):
            if not await work.sweep(now):
                break
        now += SECOND
    return now


WHYS = [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")]


@pytest.mark.parametrize(("number", "why"), WHYS)
async def test_a_disk_that_takes_nothing_is_told_of_once_and_costs_no_file_an_attempt(
    engine: AsyncEngine,
    work: Archive,
    posted: list[Fact],
    spool: Spool,
    disk: Disk,
    number: int,
    why: str,
) -> None:
    disk.error = OSError(number, why, "/recordings")
    calls = [call_id(number) for number in range(80)]
    raws = [spool(call, seconds=0.5) for call in calls]
    await write(engine, [fact for call in calls for fact in a_call(call, seconds=1, talk=0)])
    with capture_logs() as logs:
        now = await sweep_for(work, NOW, 600)
    told = [one for one in logs if one["event"] != "recording.backlog"]
    assert [(one["event"], one["on"], one["files"]) for one in told] == [
        ("recording.held_up", True, 80)
    ]
    assert why in told[0]["why"]
    # All of the first look; then one file at a time, at longer and longer pauses.
    assert 64 <= len(disk.tried) <= 80 + 20
    assert all(raw.exists() for raw in raws)
    assert await ledger.look_up(engine, calls) == {}
    assert posted == []

    disk.room = 1e9
    with capture_logs() as logs:
        await sweep_for(work, now, 61)
    told = [one for one in logs if one["event"] == "recording.held_up"]
    assert [one["on"] for one in told] == [False]
    assert len(posted) == 80
    assert not any(raw.exists() for raw in raws)


async def test_a_disk_with_room_for_some_does_not_flap(
    engine: AsyncEngine, work: Archive, posted: list[Fact], spool: Spool, disk: Disk
) -> None:
    """What fits is finished, one at a time; the alarm lasts until what did not fit is finished."""
    disk.room = 100_000
    spool(CALL, seconds=10)
    await write(engine, a_call(CALL))
    now = NOW
    with capture_logs() as logs:
        for number in range(30, 60):
            spool(call_id(number), seconds=1, age=20 - (now - NOW) / SECOND)
            await write(engine, a_call(call_id(number), seconds=1, talk=0))
            now = await sweep_for(work, now, 20)
    told = [one for one in logs if one["event"] in {"recording.held_up", "recording.unfinished"}]
    assert [(one["event"], one["on"]) for one in told] == [("recording.held_up", True)]
    assert len(posted) >= 29
    disk.room = 1e9
    with capture_logs() as logs:
        await sweep_for(work, now, 61)
    assert [one["on"] for one in logs if one["event"] == "recording.held_up"] == [False]
    assert CALL in await ledger.look_up(engine, [CALL])


async def test_while_the_disk_is_full_a_broken_file_does_not_stand_for_it(
    engine: AsyncEngine,
    work: Archive,
    spool: Spool,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The smallest file is tried first, and it is the one that no disk would take."""
    broken, calls = call_id(1), [call_id(2), call_id(3)]
    full = disk.write

    def writes(job: Job) -> Tape:
        if job.raw.name.startswith(broken):
            raise tape.TapeError("it is broken")
        return full(job)

    monkeypatch.setattr(tape, "_write", writes)
    for call in calls:
        spool(call, seconds=2)
    spool(broken, seconds=1)
    await write(engine, [fact for call in (broken, *calls) for fact in a_call(call)])
    with capture_logs() as logs:
        await sweep_for(work, NOW, 120)
    events = [one["event"] for one in logs]
    assert events.count("recording.held_up") == 1
    assert events.count("recording.unfinished") <= 6
    assert disk.tried.count(64_000) >= 3, "the disk was asked all the same"


async def test_what_was_refused_and_then_taken_away_holds_nothing_up(
    engine: AsyncEngine, work: Archive, spool: Spool, disk: Disk
) -> None:
    raw = spool(CALL)
    await write(engine, a_call(CALL))
    with capture_logs() as logs:
        await work.sweep(NOW)
        raw.unlink()
        await work.sweep(NOW + SECOND)
    held = [one["on"] for one in logs if one["event"] == "recording.held_up"]
    assert held == [True, False]


async def test_an_ffmpeg_that_hangs_is_an_attempt_of_its_file_and_has_an_alarm_of_its_own(
    engine: AsyncEngine,
    work: Archive,
    posted: list[Fact],
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = spool(CALL)
    await write(engine, a_call(CALL))

    def hangs(_job: Job) -> Tape:
        raise LateError("ffmpeg hangs: it had not ended after 63 s, and was killed")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(tape, "_write", hangs)
        now = await sweep_for(work, NOW, 100)
    alarms = [one["on"] for one in logs if one["event"] == "recording.ffmpeg_hangs"]
    tries = [one["again_in"] for one in logs if one["event"] == "recording.unfinished"]
    assert (alarms, tries) == ([True], [5, 10, 20, 40, 80])
    assert raw.exists()
    assert hung(raw.parent), "the alarms, in another process, know of it"
    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    assert entry.state is RecordingState.DAMAGED
    assert entry.note.startswith("ffmpeg hangs")
    assert [type(fact) for fact in posted] == [RecordingMissing]

    with capture_logs() as logs:
        await sweep_for(work, now, 60)
    assert [one["on"] for one in logs if one["event"] == "recording.ffmpeg_hangs"] == [False]
    assert not hung(raw.parent)
    assert (await ledger.look_up(engine, [CALL]))[CALL].state is RecordingState.FINISHED
    assert [type(fact) for fact in posted] == [RecordingMissing, RecordingFinished]


async def test_low_disk_space_is_alarmed_and_called_off(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Archive(engine, settings.model_copy(update={"min_free_mb": 100}), lambda _: None)
    with capture_logs() as logs:
        for free in (200, 99, 98, 105, 99, 111, 200):
            usage = (10**12, 0, free * 1_000_000)
            monkeypatch.setattr(
                shutil, "disk_usage", lambda _folder, usage=usage: shutil._ntuple_diskusage(*usage)
            )
            await work.sweep(NOW)
    alarms = [entry for entry in logs if entry["event"] == "recording.disk_low"]
    assert [(entry["on"], entry["free_mb"]) for entry in alarms] == [(True, 99), (False, 111)]


async def test_a_lost_database_leaves_all_raw_files_and_is_alarmed_once(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    raw = spool(CALL)
    await write(engine, a_call(CALL))
    away = database.engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    work = Archive(away, settings, lambda _: None)
    with capture_logs() as logs:
        await work.sweep(NOW)
        await work.sweep(NOW)
    assert raw.exists()
    assert [entry["event"] for entry in logs] == ["recording.database_away"]
    work._engine = engine
    with capture_logs() as logs:
        await work.sweep(NOW)
    assert [entry["on"] for entry in logs if entry["event"] == "recording.database_away"] == [False]
    await work.close()


async def test_a_database_that_is_locked_is_away_and_shows_no_sql(
    work: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be read, but not written."""

    async def locked(*_: object) -> None:
        raise DatabaseAwayError("INSERT INTO recording", {}, Exception("database is locked"))

    monkeypatch.setattr(work, "_enter_missing", locked)
    with capture_logs() as logs:
        await work.sweep(NOW)
    [said] = [entry for entry in logs if entry["log_level"] == "error"]
    assert said["event"] == "recording.database_away"
    assert "INSERT" not in str(said)


async def test_a_spool_that_is_gone_is_alarmed_and_the_loop_lives(
    engine: AsyncEngine, settings: Settings, work: Archive
) -> None:
    settings.spool_dir.rmdir()
    with capture_logs() as logs:
        await work.sweep(NOW)
        await work.sweep(NOW)
        settings.spool_dir.mkdir()
        await work.sweep(NOW)
    assert [(entry["event"], entry["on"]) for entry in logs] == [
        ("recording.spool_unreadable", True),
        ("recording.spool_unreadable", False),
    ]


def _die(_work: object) -> None:
    """Runs in the worker process."""
    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_worker_that_dies_costs_nothing(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Archive(engine, settings, lambda _: None, lambda: 0.0)
    raw = spool(CALL)
    await write(engine, a_call(CALL))
    with monkeypatch.context() as patch:
        patch.setattr(tape, "finish_batch", _die)
        with capture_logs() as logs:
            await work.sweep(NOW)
    assert [entry["why"] for entry in logs] == ["the worker process died over it"]
    assert raw.exists()
    await work.sweep(NOW + 5 * SECOND)
    assert (await ledger.look_up(engine, [CALL]))[CALL].state is RecordingState.FINISHED
    await work.close()


async def test_run_works_until_stopped_and_a_second_recorder_waits(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    posted: list[Fact] = []
    stops = [asyncio.Event(), asyncio.Event()]
    call = f"hotline-{clock.now() // SECOND}.1"
    raw = spool(call)
    await write(engine, a_call(call, ended=clock.now() - 5 * SECOND))
    with capture_logs() as logs:
        async with asyncio.timeout(20), asyncio.TaskGroup() as both:
            first = both.create_task(archive.run(engine, settings, posted.append, stops[0]))
            while raw.exists():
                await asyncio.sleep(0.01)
            second = both.create_task(archive.run(engine, settings, posted.append, stops[1]))
            while not any(entry["event"] == "recorder.waits" for entry in logs):
                await asyncio.sleep(0.01)
            stops[1].set()
            await second
            assert not first.done()
            stops[0].set()
    assert len(posted) == 1
    assert [entry["event"] for entry in logs][-1] == "recorder.stopped"


# --- kill -9

_RECORDER = """
    import asyncio, os, sys
    from pathlib import Path
    from base import database
    from base.settings import Settings
    from recorder import archive, ledger

    where, die_at, form = sys.argv[1:]
    settings = Settings(home=where, min_free_mb=0, recording_format=form)

    def die(*_):
        print("now", flush=True)
        import time
        time.sleep(60)

    def main():
        if die_at == "enter":
            ledger.enter = die
        elif die_at == "remove":
            archive._remove = die
        elif die_at == "part":
            Path.replace = die
        elif die_at == "press":
            from recorder import press
            press.decode = press._Ffmpeg.feed = die
        elif die_at == "post":
            pass
        engine = database.engine(settings.database)
        post = die if die_at == "post" else lambda fact: None
        if die_at in ("part", "press"):
            from recorder import tape
            archive.Archive._in_pool = lambda self, jobs: asyncio.to_thread(tape.finish_batch, jobs)
        asyncio.run(archive.run(engine, settings, post, asyncio.Event()))

    if __name__ == "__main__":
        main()
"""


@pytest.mark.parametrize(
    ("moment", "form"),
    [
        *((moment, "wav") for moment in ("part", "enter", "remove", "post")),
        *((moment, "mp4") for moment in ("press", "enter")),
    ],
)
async def test_kill_9_at_any_moment_loses_nothing_and_enters_nothing_twice(
    settings: Settings, spool: Spool, tmp_path: Path, moment: str, form: str
) -> None:
    settings = settings.model_copy(update={"recording_format": form})
    engine = database.engine(settings.database)
    await upgrade(engine)
    calls = [f"hotline-{clock.now() // SECOND}.{number}" for number in range(5)]
    for call in calls:
        spool(call)
        await write(engine, a_call(call, ended=clock.now() - 5 * SECOND))
    keys.add(settings)

    script = tmp_path / "victim.py"
    script.write_text(textwrap.dedent(_RECORDER))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    victim = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-W", "ignore", str(script), str(tmp_path), moment, form],
        env=environment,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert victim.stdout is not None
    with victim.stdout:
        lines = iter(victim.stdout.readline, b"")
        assert any(line == b"now\n" for line in lines)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    # Its workers end with it: nobody is left in its session.
    deadline = time.monotonic() + 60
    while _session(victim.pid):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)

    posted: list[Fact] = []
    work = Archive(engine, settings, posted.append, lambda: 0.0)
    await work.sweep(clock.now())
    await work.close()
    # Nothing is left in the spool but the lock, nor half-made in the folder.
    assert [path.name for path in settings.spool_dir.iterdir()] == [".recorder.lock"]
    finished = [path.name for path in settings.recordings_dir.rglob("*") if path.is_file()]
    assert sorted(finished) == sorted([".recorder.lock", *(f"{call}.{form}.enc" for call in calls)])
    rows = await ledger.look_up(engine, calls)
    assert {row.state for row in rows.values()} == {RecordingState.FINISHED}
    assert len(rows) == 5
    facts = await recording_facts(engine)
    assert sorted(fact.call for fact in facts if isinstance(fact, RecordingFinished)) == calls
    assert len(facts) == 5
    for call in calls:
        await copying.verify(engine, settings, call)
    await engine.dispose()


def _session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ProcessLookupError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found
