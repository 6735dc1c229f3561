"""`hotline recordings`: sound that is given away is what the ledger vouches for, and what is not is listed."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base.settings import Settings
from facts import CallArrived, CallEnded, Fact, OfferAnswered, TalkEnded
from facts.terms import Party
from facts.times import SECOND
from hotline.cli.main import app
from recorder import backlog, copying, finishing, ledger, listening, policy, seals, tables, tape
from recorder.entry import LedgerEntry
from recorder.evidence import DaySeal
from recorder.vault import keys
from recorder.voice import SpeechSpan, Voices
from tests.recorder.conftest import write
from web.accounts.tables import audit

NOW = 1_763_731_300_000_000


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    monkeypatch.setenv("HOTLINE_ENCRYPT_RECORDINGS", "false")
    made = Settings(home=tmp_path, recording_format="wav")
    made.spool_dir.mkdir(parents=True)
    return made


async def recorded(engine: AsyncEngine, settings: Settings, number: int) -> LedgerEntry:
    call = f"hotline-1763731200.{number}"
    (settings.spool_dir / f"{call}.raw").write_bytes(os.urandom(4 * 8000))
    return await finishing.finish(engine, settings, call)


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["recordings", *words])
    return done.exit_code, done.stdout, done.stderr


async def in_thread(*words: str) -> tuple[int, str, str]:
    """The command line has a loop of its own."""
    return await asyncio.to_thread(run, *words)


def verdict(said: tuple[int, str, str]) -> tuple[int, dict[str, Any]]:
    return said[0], json.loads(said[1])


async def test_a_whole_ledger_verifies(engine: AsyncEngine, settings: Settings) -> None:
    for number in range(3):
        await recorded(engine, settings, number)
    facts: list[Fact] = []
    missing = finishing.draft("hotline-1763731200.9", facts, None, at=NOW)
    await ledger.enter(engine, [missing])
    status, said, _ = await in_thread("verify")
    assert (status, said) == (
        0,
        "3 recordings checked, 0 differ; 1 calls have none, as the ledger says\n",
    )
    assert verdict(await in_thread("verify", "--format", "json", "--hours", "1")) == (
        0,
        {"checked": 3, "without_recording": 0, "differ": []},
    )
    assert (await in_thread("verify", "--hours", "0"))[0] == 2


async def test_every_difference_is_listed(engine: AsyncEngine, settings: Settings) -> None:
    entries = [await recorded(engine, settings, number) for number in range(6)]
    gone, altered, torn, empty, longer = (
        settings.recordings_dir / entry.path for entry in entries[:5]
    )
    gone.unlink()
    altered.write_bytes(altered.read_bytes()[:-1] + b"!")
    torn.write_bytes(torn.read_bytes()[:-4])
    empty.write_bytes(b"")
    async with engine.begin() as connection:
        row = update(tables.recording).where(tables.recording.c.path == entries[4].path)
        await connection.execute(row.values(duration=entries[4].duration + 1))
    status, found = verdict(await in_thread("verify", "--format", "json"))
    assert status == 1
    assert [one["call"] for one in found["differ"]] == [entry.call for entry in entries[:5]]
    for one, said in zip(
        found["differ"],
        ("is gone", "SHA-256 differs", "is damaged", "is damaged", "the row was changed"),
        strict=True,
    ):
        assert said in one["what"]
    status, text, _ = await in_thread("verify")
    assert status == 1
    assert text.endswith("6 recordings checked, 5 differ; 0 calls have none, as the ledger says\n")
    assert longer.exists()


async def test_more_rows_than_a_page(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "PAGE", 2)
    for number in range(5):
        await recorded(engine, settings, number)
    seen = [entry.call async for entry, _ in copying.verify_all(engine, settings)]
    assert seen == sorted(seen)
    assert len(seen) == 5


async def test_an_export_replaces_and_gives_damaged_sound_only_when_told_to(
    engine: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    entry = await recorded(engine, settings, 1)
    source, out = settings.recordings_dir / policy.place(entry.call), tmp_path / "out.wav"
    assert (await in_thread("export", entry.call, "--out", str(out)))[0] == 0
    status, _, said = await in_thread("export", entry.call, "--out", str(out))
    assert status == 1
    assert "add --overwrite" in said
    source.write_bytes(source.read_bytes()[:-1] + b"!")
    status, _, said = await in_thread("export", entry.call, "--out", str(out), "--overwrite")
    assert status == 1
    assert "export it with --despite-damage" in said
    assert out.read_bytes() != source.read_bytes()
    words = ("--overwrite", "--despite-damage")
    assert (await in_thread("export", entry.call, "--out", str(out), *words))[0] == 0
    assert out.read_bytes() == source.read_bytes()


# --- seals and proofs


DAY = 86_400_000_000


@pytest.fixture
async def sealed(engine: AsyncEngine, settings: Settings) -> list[DaySeal]:
    """Two days with a recording each, both over."""
    for number in range(2):
        call = f"hotline-1763731200.{number}"
        entry = LedgerEntry(
            call,
            f"{number}.wav",
            policy.RecordingState.FINISHED,
            1,
            1,
            "ab" * 32,
            NOW + number * DAY,
        )
        await ledger.enter(engine, [ledger.Draft(entry, [])])
    return await seals.seal(engine, settings, NOW + 2 * DAY)


async def test_seals_are_listed_with_the_public_key(
    settings: Settings, sealed: list[DaySeal]
) -> None:
    status, said, _ = await in_thread("seals")
    assert status == 0
    assert said.splitlines() == [
        *(f"{one.day}       1 {one.sha256.head}" for one in sealed),
        f"signed from 2025-11-21 on with public key {sealed[0].public_key}",
    ]
    found = json.loads((await in_thread("seals", "--format", "json"))[1])
    assert [one["head"] for one in found["seals"]] == [one.sha256.head for one in sealed]
    assert "differ" not in found


async def test_a_check_says_which_day_and_which_row(
    engine: AsyncEngine, settings: Settings, sealed: list[DaySeal]
) -> None:
    status, said, _ = await in_thread("seals", "--check")
    assert (status, said) == (0, "2 days checked, 2 rows sealed; 0 differ\n")
    printed = f"2025-11-22={sealed[1].sha256.head[:32]}"
    assert (await in_thread("seals", "--check", "--printed", printed))[0] == 0
    async with engine.begin() as connection:
        gone = tables.recording.c.call == "hotline-1763731200.1"
        await connection.execute(delete(tables.recording).where(gone))
        await connection.execute(
            update(tables.evidence).values(row="{}").where(tables.evidence.c.number == 1)
        )
    status, said, _ = await in_thread("seals", "--check")
    assert status == 1
    assert (
        "2025-11-21: the rows of this day are not those that were sealed: it was rewritten" in said
    )
    assert "call hotline-1763731200.1: its row is gone from the ledger" in said
    status, said, _ = await in_thread("seals", "--check", "--format", "json")
    assert status == 1
    assert len(json.loads(said)["differ"]) == 3
    async with engine.connect() as connection:
        faults = (await connection.execute(select(tables.seal.c.fault))).scalars().all()
    assert [bool(one) for one in faults] == [True, True], "the alarm does not see it"


async def test_another_head_than_the_reports_is_said(
    settings: Settings, sealed: list[DaySeal]
) -> None:
    other = f"2025-11-22={sealed[0].sha256.head}"
    status, said, _ = await in_thread("seals", "--check", "--printed", other)
    assert status == 1
    assert "2025-11-22: the head of the report is another one" in said
    for wrong in ("2025-11-22=abc", "yesterday=" + "ab" * 32, "2025-11-22"):
        assert (await in_thread("seals", "--check", "--printed", wrong))[0] == 2
    assert (await in_thread("seals", "--printed", other))[0] == 2


async def test_a_proof_is_written_and_the_look_is_in_the_audit_log(
    engine: AsyncEngine, settings: Settings, sealed: list[DaySeal], tmp_path: Path
) -> None:
    out = tmp_path / "proof.json"
    assert (await in_thread("prove", "hotline-1763731200.0", "--out", str(out)))[0] == 0
    made = json.loads(out.read_text())
    assert [one["day"] for one in made["seals"]] == ["2025-11-21", "2025-11-22"]
    one_day = await in_thread("prove", "hotline-1763731200.0", "--until", "2025-11-21")
    assert [one["day"] for one in json.loads(one_day[1])["seals"]] == ["2025-11-21"]
    status, _, why = await in_thread("prove", "hotline-1763731200.7")
    assert (status, "nothing to prove" in why) == (1, True)
    async with engine.connect() as connection:
        looks = (await connection.execute(select(audit.c.action))).scalars().all()
    assert looks.count("hotline recordings prove") == 3


async def test_recordings_are_encrypted_and_get_a_new_master_key(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entries = [await recorded(engine, settings, number) for number in range(2)]
    assert (await in_thread("encrypt"))[2] == "hotline: HOTLINE_ENCRYPT_RECORDINGS is off\n"
    monkeypatch.setenv("HOTLINE_ENCRYPT_RECORDINGS", "true")
    assert await in_thread("encrypt") == (0, "2 recordings are encrypted now; 0 could not be\n", "")
    first = keys.read(settings).current.id

    status, said, progress = await in_thread("rotate-key")
    second = keys.read(settings).current.id
    assert (status, progress) == (0, "2 of 2 recordings\n")
    assert said == (
        f"all recordings are under the master key {second}: keep a copy of it apart from the backup\n"
        f"{first} is needed by no recording here; older backups still need it\n"
    )
    assert (await in_thread("verify"))[0] == 0
    out = tmp_path / "out.wav"
    assert (await in_thread("export", entries[0].call, "--out", str(out)))[0] == 0
    assert tape.inspect(out).sha256 == entries[0].sha256

    # Without the key: a sentence, and no new one.
    keys.path(settings).unlink()
    status, _, said = await in_thread("export", entries[0].call, "--out", str(out), "--overwrite")
    assert status == 1
    assert f"{keys.path(settings)} and HOTLINE_RECORDING_KEYS" in said
    for command in ("rotate-key", "encrypt"):
        status, _, said = await in_thread(command)
        assert (status, "bring back" in said) == (1, True)
    assert not keys.path(settings).exists()

    # The second one is away and the first one is there: what cannot be opened is named.
    keys.add(settings)
    status, said, failed = await in_thread("rotate-key")
    assert status == 1
    assert said == "2 recordings still need an older master key: keep it, and run this again\n"
    assert f"call {entries[1].call}: its master key {second} is not there" in failed


async def test_the_backlog_in_words_as_json_and_to_its_end(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await in_thread("backlog") == (0, "没有录音等待处理\n", "")
    await recorded(engine, settings, 1)
    assert await in_thread("backlog", "--lang", "en") == (
        0,
        "no recording waits to be finished\n",
        "",
    )
    raw = settings.spool_dir / "hotline-1763731200.2.raw"
    raw.write_bytes(bytes(4 * 8000 * 90))
    os.utime(raw, (time.time() - 3700, time.time() - 3700))
    _, text, _ = await in_thread("backlog")
    assert text.startswith("1 个录音等待处理，共 0:01:30，最早的已等待 1:01:4")
    assert "预计还需" in text
    monkeypatch.setenv("HOTLINE_RECORDING_STORE", "s3://recordings")
    status, found = verdict(await in_thread("backlog", "--format", "json"))
    assert status == 0
    assert (found["files"], found["sound_seconds"]) == (1, 90.0)
    assert 3700 <= found["oldest_seconds"] < 3800
    assert found["left_seconds"] > 0
    assert found["store"]["files"] == 0
    assert found["store"]["left_seconds"] == 0

    look = backlog.read

    async def look_and_work(*asked: Any) -> Any:
        """The recorder finishes it after the first look."""
        found = await look(*asked)
        raw.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(backlog, "read", look_and_work)
    status, text, _ = await in_thread("backlog", "--follow", "--lang", "en")
    assert status == 0
    first, _, last, _ = text.splitlines()
    assert "1 raw files wait to be finished, 0:01:30 of sound" in first
    assert last == "no recording waits to be finished"

    settings.spool_dir.rmdir()
    status, _, said = await in_thread("backlog", "--lang", "en")
    assert status == 1
    assert "Look whether the disk is mounted" in said


async def test_nothing_was_finished_lately(engine: AsyncEngine, settings: Settings) -> None:
    raw = settings.spool_dir / "hotline-1763731200.2.raw"
    raw.write_bytes(bytes(4 * 8000))
    os.utime(raw, (time.time() - 60, time.time() - 60))
    _, text, _ = await in_thread("backlog", "--lang", "en")
    assert "none was finished in the last five minutes" in text
    assert verdict(await in_thread("backlog", "--format", "json"))[1]["left_seconds"] is None


async def test_hints_are_listed_by_kind_and_say_that_they_are_no_score(
    engine: AsyncEngine, settings: Settings
) -> None:
    """The citizen waits 10 s, then a talk of 8 s that the agent ends. Its recording is heard, then its rules change."""
    entry = await recorded(engine, settings, 1)
    begin = 1_763_731_200 * SECOND
    await write(
        engine,
        [
            CallArrived(begin, entry.call, "12345", "13812345678"),
            OfferAnswered(begin + 10 * SECOND, entry.call, "1001"),
            TalkEnded(begin + 18 * SECOND, entry.call, "1001", Party.AGENT),
            CallEnded(begin + 18 * SECOND, entry.call, Party.AGENT),
        ],
    )
    status, said, _ = await in_thread("hints", "--day", "2025-11-21")
    assert status == 0
    assert [line.split()[-1] for line in said.splitlines()[1:3]] == ["秒）", "话务员先挂机"]
    assert "138****5678" in said
    assert "13812345678" not in said
    assert "提示 2 条，有通话的来电 1 通" in said
    assert "1 通尚未做语音检测" in said
    assert said.endswith("不是评分。\n")
    heard = Voices((SpeechSpan(10 * SECOND, 12 * SECOND - 50_000, -20),), ())
    await listening.enter(engine, entry, heard, NOW)
    words = ("hints", "--call", entry.call, "--kind", "agent_hung_up_first", "--lang", "en")
    status, said, _ = await in_thread(*words)
    assert status == 0
    # The file lacks its first half second, in which Asterisk waited for the citizen's sound.
    assert "the agent hung up first, 5.5 s after the citizen was last heard" in said
    assert "0:17" in said
    assert "no score" in said
    assert "have not been listened to" not in said
    status, said, _ = await in_thread("hints", "--day", "2025-11-21", "--format", "json")
    assert {one["kind"] for one in json.loads(said)["hints"]} == {
        "too_short",
        "agent_hung_up_first",
    }
    wrong: list[tuple[tuple[str, ...], str]] = [
        (("--kind", "score"), "--kind score: there is long_silence, talk_over"),
        (("--day", "x"), "write a day, such as"),
        (("--call", "x", "--day", "2025-11-21"), "leave out --day"),
    ]
    for typed, sentence in wrong:
        status, _, failed = await in_thread("hints", *typed)
        assert (status, sentence in failed) == (2, True), failed
    status, _, failed = await in_thread("hints", "--call", "hotline-1.1")
    assert (status, "there is no call" in failed) == (1, True)
