"""`hotline recordings audit`: whatever is missing, cut, silent, altered or orphaned is named, and the status is 1."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base.settings import Settings
from diary.tables import diary as diary_table
from facts import (
    ControllerStarted,
    ControllerStopped,
    Fact,
    LinkLost,
    LinkRestored,
    RecordingFinished,
)
from facts.times import DAY, SECOND, midnight
from hotline.cli.main import app
from metrics import completeness
from metrics.completeness import AuditError, Completeness
from metrics.reports import sla
from metrics.window import Metric
from recorder import deletion, finishing, ledger, tables, tape
from recorder.audit import AuditKind, WhyUnrecorded
from recorder.entry import LedgerEntry
from recorder.vault import keys
from tests.metrics.histories import T, answered, at, handed_on, in_queue, refused
from tests.metrics.test_callback_report import write
from tests.metrics.test_verify import cel

pytestmark = pytest.mark.usefixtures("ten_days_later")

CALLS = [f"hotline-{T // SECOND}.{number}" for number in range(4)]
LENGTH = 15.0
"""Seconds of each call: greeting 8, queue 1, rings 1, talk 5."""
TODAY = (midnight(T), midnight(T) + DAY)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, encrypt_recordings=False, recording_format="wav")
    made.spool_dir.mkdir(parents=True)
    return made


def noise(seconds: float, quiet: tuple[int, float, float] = (0, 0, 0)) -> bytes:
    """Both sides speak, but for this side from, until (seconds)."""
    samples = np.full((round(8000 * seconds), 2), 2000, dtype="<i2")
    side, begin, end = quiet
    samples[round(8000 * begin) : round(8000 * end), side] = 8
    return samples.tobytes()


async def enter(
    engine: AsyncEngine, settings: Settings, call: str, sound: bytes = noise(LENGTH)
) -> LedgerEntry:
    """Finish a recording as the recorder does."""
    (settings.spool_dir / f"{call}.raw").write_bytes(sound)
    entry = await finishing.finish(engine, settings, call)
    if entry.path:
        age(settings.recordings_dir / entry.path)
    return entry


def age(path: Path) -> None:
    """Changed in the call's time: not just now."""
    os.utime(path, (T / SECOND, T / SECOND))


def of_call(number: int) -> list[Fact]:
    return answered(CALLS[number], number * 60, waits=1, rings=1, talks=5)


@pytest.fixture
async def files(engine: AsyncEngine, settings: Settings) -> list[Path]:
    """Four calls of one day, with their recordings."""
    await write(engine, settings.home, *map(of_call, range(4)))
    entries = [await enter(engine, settings, call) for call in CALLS]
    return [settings.recordings_dir / entry.path for entry in entries]


async def audit(
    engine: AsyncEngine, settings: Settings, day: tuple[int, int] | None = TODAY
) -> Completeness:
    return await completeness.audit(engine, settings, day)


def named(found: Completeness) -> list[tuple[AuditKind, str]]:
    return [(one.kind, one.call) for one in found.findings]


async def test_a_whole_day(engine: AsyncEngine, settings: Settings, files: list[Path]) -> None:
    steps: list[tuple[int, int]] = []
    for day in (TODAY, None):
        found = await completeness.audit(engine, settings, day, lambda *step: steps.append(step))
        assert (found.status, named(found), found.unrecorded) == (0, [], [])
        assert (found.calls, found.files, found.duration) == (4, 4, 4 * LENGTH * SECOND)
        assert found.m23 == found.reported == Metric(4, 4)
        assert found.unchecked == ["no_cel"]
    assert steps == [(0, 4), (4, 4)] * 2
    assert await audit(engine, settings, (TODAY[0] - DAY, TODAY[0])) == Completeness(
        unchecked=["no_cel"]
    )


async def test_an_empty_centre_is_whole(engine: AsyncEngine, settings: Settings) -> None:
    assert await audit(engine, settings, None) == Completeness(unchecked=["no_cel"])


def remove_file(path: Path) -> None:
    path.unlink()


def change_sound(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def cut_with_header(path: Path) -> None:
    """As somebody would who hides the end of a talk: a WAV in good order, 0.6 s shorter."""
    raw = path.with_name("cut.raw")
    raw.write_bytes(path.read_bytes()[44 : -4 * 4800])
    tape.finish(raw, path)
    raw.unlink()


def cut_without_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -4 * 4800])


def break_header(path: Path) -> None:
    path.write_bytes(b"RIFX" + path.read_bytes()[4:])


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (remove_file, AuditKind.MISSING),
        (change_sound, AuditKind.WRONG_HASH),
        (cut_with_header, AuditKind.SHORT),
        (cut_without_header, AuditKind.DAMAGED),
        (break_header, AuditKind.DAMAGED),
    ],
)
async def test_a_file_that_was_harmed(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    harm: Callable[[Path], None],
    kind: AuditKind,
) -> None:
    harm(files[1])
    for day in (TODAY, None):
        found = await audit(engine, settings, day)
        assert (found.status, named(found)) == (1, [(kind, CALLS[1])])
        # Reports count what was entered once; the audit, what is there.
        assert (found.m23, found.reported) == (Metric(3, 4), Metric(4, 4))


async def test_a_removed_row_and_a_removed_row_with_its_file(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    async with engine.begin() as connection:
        gone = tables.recording.c.call.in_(CALLS[:2])
        await connection.execute(delete(tables.recording).where(gone))
    files[0].unlink()
    for day in (TODAY, None):
        found = await audit(engine, settings, day)
        assert named(found) == [
            (AuditKind.MISSING, CALLS[0]),
            (AuditKind.ORPHAN_FILE, CALLS[1]),
        ]
        assert found.m23 == Metric(2, 4)


async def test_files_that_nobody_entered(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    names = [f"hotline-{T // SECOND}.99.wav", "notes.txt", CALLS[0] + ".wav", ".half.wav.part"]
    # A copy of a known recording in another folder is an orphan, too.
    elsewhere = settings.recordings_dir / "2025/11/20"
    elsewhere.mkdir()
    made = [files[0].parent / name for name in names[:2]] + [
        elsewhere / names[2],
        files[0].parent / names[3],
    ]
    for path in made:
        path.write_bytes(b"")
        age(path)
    (settings.spool_dir / "hotline-1.1.raw").write_bytes(b"")
    fresh = files[0].parent / f"hotline-{T // SECOND}.98.wav"
    fresh.write_bytes(b"")
    os.utime(fresh, (T / SECOND + 864_000 + 10, T / SECOND + 864_000 + 10))

    def orphans(found: Completeness) -> list[tuple[str, str]]:
        return [(Path(one.file).name, one.call) for one in found.findings]

    today = [("notes.txt", ""), (names[0], names[0][:-4])]
    found = await audit(engine, settings)
    assert {one.kind for one in found.findings} == {AuditKind.ORPHAN_FILE}
    assert orphans(found) == today
    assert sorted(orphans(await audit(engine, settings, None))) == sorted(
        [*today, (names[2], CALLS[0])]
    )


async def test_a_row_whose_call_the_diary_does_not_know(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    async with engine.begin() as connection:
        facts = diary_table.c
        await connection.execute(
            delete(diary_table).where(facts.call == CALLS[2], facts.kind != RecordingFinished.kind)
        )
        await connection.execute(update(tables.recording).values(finished_at=at(300)))
    for day in (TODAY, None):
        found = await audit(engine, settings, day)
        assert named(found) == [(AuditKind.ORPHAN_ROW, CALLS[2])]
        assert found.m23 == Metric(3, 3)
    assert named(await audit(engine, settings, (TODAY[0] - DAY, TODAY[0]))) == []


async def test_a_silent_side_a_short_recording_and_one_that_waits(
    engine: AsyncEngine, settings: Settings
) -> None:
    await write(engine, settings.home, *map(of_call, range(4)))
    await enter(engine, settings, CALLS[0], noise(LENGTH, (1, 10, LENGTH)))
    await enter(engine, settings, CALLS[1], noise(LENGTH, (0, 10, LENGTH)))
    await enter(engine, settings, CALLS[2], noise(LENGTH - 0.6))
    (settings.spool_dir / f"{CALLS[3]}.raw").write_bytes(noise(1))
    found = await audit(engine, settings)
    assert [(one.kind, one.call, one.party, one.why) for one in found.findings] == [
        (AuditKind.SILENT_SIDE, CALLS[0], "agent", ""),
        (AuditKind.SILENT_SIDE, CALLS[1], "caller", ""),
        (AuditKind.SHORT, CALLS[2], "", ""),
        (AuditKind.MISSING, CALLS[3], "", "in_spool"),
    ]
    # M23 asks only whether the file is as long as the talk.
    assert found.m23 == found.reported == Metric(3, 4)


async def test_calls_without_an_agent_or_a_channel_or_a_number(
    engine: AsyncEngine, settings: Settings
) -> None:
    await write(
        engine,
        settings.home,
        in_queue(CALLS[0]),
        refused(CALLS[1], 60),
        handed_on(CALLS[2], 120, talks=5),
    )
    await ledger.enter(engine, [finishing.draft(CALLS[0], in_queue(CALLS[0]), None, at=at(40))])
    await enter(engine, settings, CALLS[2], noise(7))
    found = await audit(engine, settings)
    assert (named(found), found.m23) == ([], Metric(0, 0))
    assert [(one.reason, one.call) for one in found.unrecorded] == [
        (WhyUnrecorded.NO_SOUND, CALLS[0])
    ]


@pytest.mark.parametrize(
    "absence",
    [
        [ControllerStopped(at(9)), ControllerStarted(at(16), "1")],
        [LinkLost(at(9)), LinkRestored(at(16))],
        [LinkLost(at(9)), ControllerStarted(at(16), "1")],
    ],
)
async def test_what_was_lost_while_nobody_was_there(
    engine: AsyncEngine, settings: Settings, absence: list[Fact]
) -> None:
    await write(engine, settings.home, of_call(0), absence)
    await enter(engine, settings, CALLS[0], noise(9))
    found = await audit(engine, settings)
    assert named(found) == []
    assert [(one.reason, one.begin, one.end) for one in found.unrecorded] == [
        (WhyUnrecorded.AWAY, at(9), at(LENGTH + 0.001))
    ]


async def test_a_killed_controller_was_away_since_its_last_word(
    engine: AsyncEngine, settings: Settings
) -> None:
    # What it missed is written down after its return, whenever that happened.
    await write(engine, settings.home, of_call(0)[:4])
    await write(engine, settings.home, [ControllerStarted(at(16), "1")], of_call(0)[4:])
    async with engine.begin() as connection:
        # The diary's rows are named by the moment in which they were written.
        for number, when in ((4, 9), (5, 16)):
            kinds = ["OfferRinging", "ControllerStarted"]
            await connection.execute(
                update(diary_table)
                .where(diary_table.c.kind == kinds[number - 4])
                .values(id=at(when) << 10)
            )
        others = diary_table.c.kind.not_in(["OfferRinging", "ControllerStarted"])
        before = others & diary_table.c.kind.in_(["CallArrived", "CallQueued", "OfferMade"])
        await connection.execute(
            update(diary_table).where(before).values(id=diary_table.c.at * 1024)
        )
    await enter(engine, settings, CALLS[0], noise(9.5))
    found = await audit(engine, settings)
    assert [(one.reason, one.begin) for one in found.unrecorded] == [(WhyUnrecorded.AWAY, at(9))]
    assert named(found) == []


async def test_a_call_that_only_asterisk_saw_answered(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    unknown, greeted = "hotline-1763697600.7", "hotline-1763697600.8"
    lines = [
        *cel(CALLS[0], 0, picked=10, ended=15),
        *cel(unknown, 90, picked=16, ended=40),
        *cel(greeted, 95, picked=None, ended=20),
    ]
    settings.cel_file.parent.mkdir(parents=True)
    settings.cel_file.write_text("".join(f"{line}\n" for line in lines))
    for day in (TODAY, None):
        found = await audit(engine, settings, day)
        assert [(one.kind, one.call, one.at, one.why) for one in found.findings] == [
            (AuditKind.UNEXPLAINED, unknown, at(106), "cel")
        ]
    assert found.unchecked == []
    # One that the diary knows, but without an answer; it is named as well.
    async with engine.begin() as connection:
        answer = (diary_table.c.call == CALLS[0]) & (diary_table.c.kind == "OfferAnswered")
        await connection.execute(delete(diary_table).where(answer))
    found = await audit(engine, settings)
    assert [one.call for one in found.findings if one.why == "cel"] == [CALLS[0], unknown]
    assert (await audit(engine, settings)).unchecked == ["old_cel"]  # nothing of the morning


async def test_a_cel_file_that_cannot_be_read(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    settings.cel_file.mkdir(parents=True)
    with pytest.raises(AuditError, match=str(settings.cel_file)):
        await audit(engine, settings)


async def test_m23_is_that_of_the_report(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    more = [f"hotline-{T // SECOND}.{number}" for number in (10, 11, 12)]
    for number, call in enumerate(more):
        await write(engine, settings.home, answered(call, 600 + number, waits=1, rings=1, talks=5))
    await enter(engine, settings, more[0], noise(4.4))
    await enter(engine, settings, more[1], noise(4.6))
    report = await sla.sla(engine, at=TODAY[1], hours=24, fail_under=95)
    found = await audit(engine, settings)
    assert found.m23 == found.reported == report.metrics["M23"] == Metric(5, 7)


async def test_many_calls_are_read_by_processes_page_by_page(
    sqlite_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hotline.cli.reading import opened

    monkeypatch.setattr(completeness, "_ALONE", 3)
    monkeypatch.setattr(completeness, "PAGE", 2)
    monkeypatch.setattr(completeness, "_JOB", 1)
    async with opened(settings) as engine:
        await write(engine, settings.home, *map(of_call, range(4)))
        entries = [await enter(engine, settings, call) for call in CALLS]
        (settings.recordings_dir / entries[3].path).unlink()
        steps: list[tuple[int, int]] = []
        found = await completeness.audit(engine, settings, None, lambda *one: steps.append(one))
    assert named(found) == [(AuditKind.MISSING, CALLS[3])]
    assert steps == [(0, 4), (2, 4), (4, 4)]


# --- the command


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["recordings", "audit", *words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
async def said(
    engine: AsyncEngine,
    settings: Settings,
    files: list[Path],
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    monkeypatch.setenv("HOTLINE_HOME", str(settings.home))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)

    async def ask(*words: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(run, *words)

    return ask


async def test_the_command_says_what_is_there_in_both_languages(
    said: Callable[..., Any], files: list[Path]
) -> None:
    status, text, _ = await said("--day", "2025-11-21", "--lang", "en")
    assert (status, text.splitlines()) == (
        0,
        [
            "4 calls and 4 files looked at; sound as it was entered: 0:01:00",
            "recorded in full (M23, from the files): 100.00 % (4/4)",
            "CEL is not checked: there is no CEL file",
            "Every answered second is on record, or listed with its reason.",
        ],
    )
    files[2].unlink()
    change_sound(files[3])
    status, text, _ = await said("--lang", "en")
    lines = text.splitlines()
    assert (status, lines[2]) == (1, "recorded in full (M23, as reports give it): 100.00 % (4/4)")
    assert [line.partition(":")[0] for line in lines[-2:]] == [f"- {CALLS[2]}", f"- {CALLS[3]}"]
    status, text, _ = await said()
    assert (status, text.splitlines()[-3]) == (1, "结论：不完整，2 项：")
    assert f"- {CALLS[2]}：录音文件 2025/11/21/{CALLS[2]}.wav 不见了（15.0 秒）" in text
    status, text, _ = await said("--format", "json")
    found = json.loads(text)
    assert (status, [one["kind"] for one in found["findings"]]) == (1, ["missing", "wrong_hash"])
    assert found["M23"]["numerator"] == 2


async def test_the_command_that_cannot_look(said: Callable[..., Any], settings: Settings) -> None:
    assert (await said("--day", "yesterday"))[0] == 2
    assert (await said("--lang", "fr"))[0] == 2
    assert (await said("--format", "xml"))[0] == 2
    settings.recordings_dir.rename(settings.home / "elsewhere")
    status, _, error = await said("--lang", "en")
    assert (status, "look whether the disk is mounted" in error) == (2, True)


async def test_a_deleted_recording_counts_as_it_did_and_is_listed(
    engine: AsyncEngine, settings: Settings, files: list[Path]
) -> None:
    before = await audit(engine, settings)
    reported = before.reported
    entry = (await ledger.look_up(engine, [CALLS[0]]))[CALLS[0]]
    doomed = [deletion.Doomed(entry, "default")]
    assert (await deletion.carry_out(engine, settings, doomed, by="cli:wang")).done == [CALLS[0]]
    found = await audit(engine, settings)
    assert found.findings == []
    assert (found.m23, found.reported) == (before.m23, reported)
    assert before.duration - found.duration == entry.duration
    [one] = [one for one in found.unrecorded if one.reason is WhyUnrecorded.DELETED]
    assert one.call == CALLS[0]
    files[0].write_bytes(b"from a backup")
    age(files[0])
    [finding] = (await audit(engine, settings)).findings
    assert (finding.kind, finding.call) == (AuditKind.ORPHAN_FILE, CALLS[0])


async def test_encrypted_recordings_are_audited_like_plain_ones(
    engine: AsyncEngine, settings: Settings
) -> None:
    secret = settings.model_copy(update={"encrypt_recordings": True})
    await write(engine, settings.home, *map(of_call, range(4)))
    entries = [await enter(engine, secret, call) for call in CALLS]
    for day in (TODAY, None):
        found = await audit(engine, secret, day)
        assert (found.status, named(found), found.files) == (0, [], 4)
        assert found.duration == 4 * LENGTH * SECOND
    first, second, third = (settings.recordings_dir / entry.path for entry in entries[:3])
    data = bytearray(first.read_bytes())
    data[100_000] ^= 1
    first.write_bytes(data)
    second.unlink()
    third.rename(third.with_name(f"hotline-{T // SECOND}.99.wav.enc"))
    found = await audit(engine, secret)
    assert named(found) == [
        (AuditKind.ORPHAN_FILE, f"hotline-{T // SECOND}.99"),
        (AuditKind.DAMAGED, CALLS[0]),
        (AuditKind.MISSING, CALLS[1]),
        (AuditKind.MISSING, CALLS[2]),
    ]
    assert "part 2 of" in found.findings[1].why
    keys.path(secret).rename(secret.home / "away")
    found = await audit(engine, secret)
    assert (AuditKind.LOCKED, CALLS[3]) in named(found)
    assert (found.m23, found.duration) == (Metric(0, 4), 0)
