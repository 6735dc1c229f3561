"""What waits for the recorder: how many, for how long, how fast it goes, and what the log says of it."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base.settings import Settings
from facts import Fact
from facts.times import SECOND
from recorder import archive, backlog, ledger, spool
from recorder.archive import Archive
from recorder.backlog import Progress, WaitingWork, WorkPace
from recorder.policy import FRAME, RATE
from recorder.spool import RawFile
from recorder.tables import recording, stored
from recorder.tape import Fault, Job, Tape
from tests.recorder.conftest import NOW, call_id


def raws(*files: tuple[float, float]) -> list[RawFile]:
    """Files of so many seconds, unchanged for so many seconds."""
    return [
        RawFile(call_id(number), Path("x"), int(seconds * RATE) * FRAME, NOW - int(age * SECOND))
        for number, (seconds, age) in enumerate(files)
    ]


def test_a_file_that_asterisk_writes_to_does_not_wait() -> None:
    found = backlog.waiting(raws((10, 0), (10, 1.9), (30, 2), (60, 90)), NOW)
    assert found == WaitingWork(2, 90 * SECOND, NOW - 90 * SECOND)
    assert found.age(NOW) == 90
    assert backlog.waiting([], NOW) == WaitingWork()
    assert WaitingWork().age(NOW) == 0
    # The clock was put back: nothing has waited for less than no time.
    assert found.age(NOW - 3600 * SECOND) == 0


def test_how_long_it_takes() -> None:
    pace = WorkPace(files=60, sound=3000 * SECOND, span=30 * SECOND)
    assert (pace.files_per_second, pace.sound_per_second) == (2, 100)
    assert pace.left(WaitingWork(10, 5000 * SECOND, NOW)) == 50
    assert pace.left(WaitingWork(200, 5000 * SECOND, NOW)) == 100
    assert pace.left(WaitingWork()) == 0
    assert WorkPace().left(WaitingWork(1, SECOND, NOW)) is None
    assert WorkPace(files=3).left(WaitingWork(6, 0, NOW)) == 2


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_each_backlog_that_is_told_has_one_beginning_and_one_end(counts: list[int]) -> None:
    progress, now, is_open = Progress(), NOW, False
    for files in counts:
        now += 10 * SECOND
        progress.finished(5, SECOND)
        line = progress.tell(WaitingWork(files, files * SECOND, now - SECOND), now)
        if line is None:
            continue
        assert line["waiting"] == files
        begins = "done" not in line
        assert begins is not is_open
        if begins:
            assert files >= backlog.MANY
        is_open = files > backlog.FEW
    assert is_open is (progress._began != 0)


def test_what_the_log_says() -> None:
    progress = Progress()
    assert progress.tell(WaitingWork(backlog.MANY - 1, 0, NOW), NOW) is None
    progress.finished(99, 99 * SECOND)
    full = WaitingWork(200, 6000 * SECOND, NOW - 700 * SECOND)
    assert progress.tell(full, NOW) == {
        "waiting": 200,
        "sound_seconds": 6000,
        "oldest_seconds": 700,
    }
    progress.finished(50, 1500 * SECOND)
    assert progress.tell(full, NOW + 29 * SECOND) is None
    said = progress.tell(WaitingWork(150, 4500 * SECOND, NOW), NOW + 30 * SECOND)
    assert said is not None
    assert said["done"] == 50
    assert said["sound_per_second"] == 50
    assert said["left"] == 90
    progress.finished(150, 4500 * SECOND)
    over = progress.tell(WaitingWork(), NOW + 40 * SECOND)
    assert over is not None
    assert (over["waiting"], over["done"], over["took"], over["left"]) == (0, 200, 40, 0)
    assert progress.tell(WaitingWork(), NOW + 99 * SECOND) is None


async def test_what_is_read(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying = {raw.call: raw for raw in raws((8, 20), (4, 1))}
    monkeypatch.setattr(spool, "look", lambda _: (lying, []))
    row = {"path": "p", "state": "finished", "size": 1, "sha256": "", "note": ""}
    rows = [
        {**row, "call": call_id(number), "finished_at": NOW - age * SECOND, "duration": 40 * SECOND}
        for number, age in ((3, 20), (4, 10), (5, 900))
    ]
    missing = {**rows[0], "call": call_id(6), "path": "", "duration": 0}
    of_store = dict.fromkeys(("size", "left_at"), 0) | {"path": "p", "sha256": ""}
    waits = {"state": "local", "finished_at": NOW - 50 * SECOND, "stored_at": 0}
    is_there = {"state": "stored", "finished_at": NOW, "stored_at": NOW - 4 * SECOND}
    async with engine.begin() as connection:
        await connection.execute(insert(recording), [*rows, missing])
        await connection.execute(
            insert(stored),
            [{**of_store, **waits, "call": "1"}, {**of_store, **is_there, "call": "2"}],
        )
    finished, store = await backlog.read(engine, settings, NOW)
    assert finished == (
        WaitingWork(1, 8 * SECOND, NOW - 20 * SECOND),
        WorkPace(1, 40 * SECOND, 20 * SECOND),
    )
    assert store is None
    with_store = settings.model_copy(update={"recording_store": "s3://recordings"})
    _, store = await backlog.read(engine, with_store, NOW)
    assert store == (WaitingWork(1, 0, NOW - 50 * SECOND), WorkPace(1, 0, backlog.MEASURED))


@pytest.fixture
async def work(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Archive]:
    """An archive that enters what lies there and makes no files."""
    plain = settings.model_copy(update={"encrypt_recordings": False})
    posted: list[Fact] = []
    made = Archive(engine, plain, posted.append, lambda: 0.0)

    async def finish(jobs: list[Job]) -> list[Tape | Fault]:
        return [
            Tape(2 * SECOND, 100, hashlib.sha256(str(job.raw).encode()).hexdigest()) for job in jobs
        ]

    monkeypatch.setattr(made, "_in_pool", finish)
    yield made
    await made.close()


async def test_ten_thousand_files_are_worked_off_in_steps_that_are_seen(
    engine: AsyncEngine, settings: Settings, work: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SWEEP_FOR", 0.0)
    monkeypatch.setattr(archive, "BATCH_FILES", 2500)
    monkeypatch.setattr(backlog, "TELL_EVERY", SECOND)
    # Ten thousand files need a minute on a busy machine. What is made of them is bookkeeping.
    lying = {raw.call: raw for raw in raws(*[(0.25, 400)] * 10_000)}
    monkeypatch.setattr(spool, "look", lambda _: (dict(lying), []))
    monkeypatch.setattr(archive, "_remove", lambda raw: lying.pop(raw.call))
    work._ended = dict.fromkeys(lying, NOW - 400 * SECOND)
    now, sweeps = NOW, 0
    with capture_logs() as logs:
        more = True
        while more:
            more = await work.sweep(now)
            now += SECOND
            sweeps += 1
        await work.sweep(now)
    assert sweeps == 4, "one sweep did it all: a disk that fills meanwhile would not be seen"
    assert lying == {}
    told = [one for one in logs if one["event"] == "recording.backlog"]
    waits = [one["waiting"] for one in told]
    assert waits[0] == 10_000
    assert waits == sorted(waits, reverse=True)
    assert len(told) > 2
    assert (told[-1]["waiting"], told[-1]["done"]) == (0, 10_000)
    entries: Mapping[str, object] = await ledger.look_up(
        engine, [call_id(number) for number in (0, 5000, 9999)]
    )
    assert len(entries) == 3
    finished, _ = await backlog.read(engine, settings, now)
    assert finished[0].files == 0
    assert finished[1].files == 7_500, "those after the first moment"
