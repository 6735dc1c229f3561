"""`hotline recordings find | play | export` and the second person: on both databases, as an operator types it."""

import asyncio
import io
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from acd.callbacks import book as callback_book
from acd.callbacks.entry import Wanted
from base.settings import Settings
from diary.writer import Diary
from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallEnded,
    CallQueued,
    CallSilent,
    Fact,
    OfferAnswered,
    OfferMade,
    TalkEnded,
)
from facts.terms import Party
from facts.times import HOUR, SECOND
from hotline.cli.main import app
from recorder import finishing, tables
from recorder.entry import LedgerEntry
from web.accounts import accounts
from web.accounts.tables import audit

NOON = 1_763_697_600_000_000
"""2025-11-21 12:00 in China."""
CITIZEN = "+8613812345678"
CALL = "hotline-1763697600.1"
SECONDS = 4


@pytest.fixture
def settings(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_DATABASE_URL", url)
    monkeypatch.setenv("HOTLINE_ENCRYPT_RECORDINGS", "false")
    monkeypatch.setenv("LOGNAME", "wang")
    made = Settings(home=tmp_path, recording_format="wav")
    made.spool_dir.mkdir(parents=True)
    return made


def run(*words: str, typed: str = "") -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["recordings", *words], input=typed)
    return done.exit_code, done.stdout, done.stderr


async def typed(*words: str, stdin: str = "") -> tuple[int, str, str]:
    """The command line has a loop of its own."""
    return await asyncio.to_thread(run, *words, typed=stdin)


def story(number: int, caller: str, agent: str, queue: str) -> list[Fact]:
    call, at = f"hotline-1763697600.{number}", NOON + number * HOUR
    return [
        CallArrived(at, call, "12345", caller),
        CallQueued(at + SECOND, call, queue),
        OfferMade(at + SECOND, call, agent),
        OfferAnswered(at + 2 * SECOND, call, agent),
        TalkEnded(at + 9 * SECOND, call, agent, Party.CALLER),
        CallEnded(at + 9 * SECOND, call, Party.CALLER),
    ]


async def written(engine: AsyncEngine, settings: Settings, facts: Sequence[Fact]) -> None:
    diary = Diary(engine, settings.run_dir)
    diary.start()
    for fact in facts:
        diary.write(fact)
    await diary.close()


async def recorded(
    engine: AsyncEngine, settings: Settings, call: str, seconds: int = SECONDS
) -> LedgerEntry:
    frames = b"".join(n.to_bytes(2, "little", signed=True) * 2 for n in range(8000)) * seconds
    (settings.spool_dir / f"{call}.raw").write_bytes(frames)
    return await finishing.finish(engine, settings, call)


async def rows(engine: AsyncEngine) -> list[tuple[str, str, str, str]]:
    """The audit log: who, action, target, why."""
    columns = audit.c
    question = select(columns.who, columns.action, columns.target, columns.why)
    async with engine.connect() as connection:
        found = await connection.execute(question.order_by(columns.id))
        return [(row.who, row.action, row.target, row.why) for row in found]


async def found(*words: str) -> list[str]:
    status, said, _ = await typed("find", "--format", "json", *words)
    assert status == 0
    return [one["id"].rpartition("-")[2] for one in json.loads(said)]


async def test_recordings_are_found_by_what_is_known_of_them(
    engine: AsyncEngine, settings: Settings
) -> None:
    wanted = Wanted(number="13912345678", queue="tax", earliest=0, latest=NOON + 24 * HOUR)
    task = await callback_book.enter_directly(engine, settings.run_dir, wanted)
    attempt, at = f"hotline-c{task}.1", NOON + 5 * HOUR
    facts = [
        *story(1, CITIZEN, "1001", "default"),
        *story(2, "+8613812340002", "1002", "tax"),
        CallSilent(NOON + 2 * HOUR + 5 * SECOND, "hotline-1763697600.2"),
        *story(3, CITIZEN, "1001", "default"),
        CallbackPlaced(at, task, attempt, "1002"),
        CallbackDialling(at + 1, task, attempt, "1002"),
        CallbackAnswered(at + 2, task, attempt, "1002"),
        CallbackEnded(at + 9 * SECOND, task, attempt, "1002"),
        *story(40, CITIZEN, "1001", "default"),
    ]
    await written(engine, settings, facts)
    for number in (1, 2, 40):
        await recorded(engine, settings, f"hotline-1763697600.{number}", 1 + number % 3)
    await recorded(engine, settings, attempt, 1)
    first, second, later = (f"1763697600.{number}" for number in (1, 2, 40))
    back = attempt.partition("-")[2]
    of_day = ("--day", "2025-11-21")
    assert await found(*of_day) == [back, second, first]
    assert await found("--since", "2025-11-21T13:30", "--until", "2025-11-30") == [
        *(later, back, second)
    ]
    assert await found(*of_day, "--caller", "13812345678") == [first]
    assert await found(*of_day, "--caller", "5678") == [back, first]
    assert await found(*of_day, "--agent", "1002") == [back, second]
    assert await found(*of_day, "--queue", "tax") == [back, second]
    assert await found(*of_day, "--number", "12345") == [second, first]
    assert await found(*of_day, "--outcome", "human") == await found(*of_day, "--number", "12345")
    assert await found(*of_day, "--disposition", "silent") == [second]
    assert await found(*of_day, "--shortest", "1.5", "--longest", "2.5") == [first]
    assert await found(*of_day, "--shortest", "3") == [second]
    assert await found() == []
    async with engine.begin() as connection:
        row = update(tables.recording).where(tables.recording.c.call == CALL)
        await connection.execute(row.values(certificate=7))
    assert await found(*of_day) == [back, second], "what was deleted cannot be heard"


async def test_what_is_found_is_masked_and_who_searched_is_written_down(
    engine: AsyncEngine, settings: Settings
) -> None:
    await written(engine, settings, story(1, CITIZEN, "1001", "default"))
    await recorded(engine, settings, CALL)
    words = ("--day", "2025-11-21", "--caller", "13812345678", "--why", "complaint of 13812345678")
    status, said, _ = await typed("find", *words)
    assert status == 0
    assert CALL in said
    assert "来电编号" in said
    assert CITIZEN not in said
    status, said, more = await typed("find", "--day", "2025-11-21", "--lang", "en", "--limit", "1")
    assert ("citizen" in said, more) == (True, "")
    assert (await typed("find", "--day", "2025-11-22", "--lang", "en"))[1] == "No recording fits.\n"
    assert (await rows(engine))[0] == (
        "cli:wang",
        "hotline recordings find",
        "caller=138****5678 day=2025-11-21 limit=50",
        "complaint of 138****5678",
    )
    listed = await asyncio.to_thread(CliRunner().invoke, app, ["calls", "--why", "handover"])
    assert listed.exit_code == 0
    assert (await rows(engine))[-1] == (
        *("cli:wang", "hotline calls", "hours=24 limit=10000", "handover"),
    )
    refused: list[tuple[tuple[str, ...], str]] = [
        (("--day", "x"), "write 2025-11-20"),
        (("--day", "2025-11-21", "--since", "2025-11-21"), "either --day or"),
        (("--outcome", "good"), "there is human"),
        (("--disposition", "good"), "there is silent"),
    ]
    for typed_words, wanted in refused:
        status, _, said = await typed("find", *typed_words)
        assert (status, wanted in said) == (2, True), said


async def test_a_part_is_played_into_a_pipe(engine: AsyncEngine, settings: Settings) -> None:
    entry = await recorded(engine, settings, CALL)
    whole = (settings.recordings_dir / entry.path).read_bytes()[44:]

    def play(*words: str) -> bytes:
        done = CliRunner().invoke(app, ["recordings", "play", CALL, "--out", "-", *words])
        assert done.exit_code == 0, done.stderr
        with wave.open(io.BytesIO(done.stdout_bytes)) as sound:
            return bytes(sound.readframes(sound.getnframes()))

    parts: list[tuple[tuple[str, ...], float, float]] = [
        ((), 0, SECONDS),
        (("--from", "1.5"), 1.5, SECONDS),
        (("--from", "0:01", "--to", "0:00:03", "--why", "quality"), 1, 3),
        (("--to", "99"), 0, SECONDS),
    ]
    for words, begin, end in parts:
        heard = await asyncio.to_thread(play, *words)
        assert heard == whole[round(begin * 32_000) : round(end * 32_000)]
    assert (await rows(engine))[2] == (
        "cli:wang",
        "hotline recordings play",
        f"{CALL} download=1 from=0:01 to=0:00:03",
        "quality",
    )
    wrong: list[tuple[tuple[str, ...], int, str]] = [
        (("--from", "5"), 1, "the recording has 4.0 s"),
        (("--from", "2", "--to", "1"), 1, "nothing to play"),
        (("--from", "1:2:3:4"), 2, "write seconds or minutes"),
    ]
    for words, status, wanted in wrong:
        found = await typed("play", CALL, "--out", "-", *words)
        assert (found[0], found[1], wanted in found[2]) == (status, "", True), found
    assert "no file" in (await typed("play", CALL, "--out", "a.wav"))[2]
    assert "no call" in (await typed("play", "hotline-1.1", "--out", "-"))[2]


async def test_it_is_played_by_the_machine_or_says_what_is_missing(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await recorded(engine, settings, CALL)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    status, _, said = await typed("play", CALL)
    assert (status, "install one" in said) == (1, True)
    assert await rows(engine) == [], "nobody heard anything"
    player = tmp_path / "bin" / "aplay"
    player.write_text(f"#!/bin/sh\nexec /bin/cat > {tmp_path}/heard\n")
    player.chmod(0o755)
    assert await typed("play", CALL) == (0, "", "")
    assert (tmp_path / "heard").read_bytes() == (settings.recordings_dir / entry.path).read_bytes()


async def test_a_reason_is_demanded_by_setting(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(engine, settings, CALL)
    monkeypatch.setenv("HOTLINE_RECORDING_REASON", "yes")
    for words in (("play", CALL, "--out", "-"), ("export", CALL, "--out", str(tmp_path / "a.wav"))):
        for reason in ((), ("--why", " \n ")):
            status, _, said = await typed(*words, *reason)
            assert (status, "say why" in said) == (2, True)
        assert await rows(engine) == []
    assert (await typed(*words, "--why", "court"))[0] == 0
    assert (await rows(engine))[0][3] == "court"


async def test_an_export_needs_another_persons_approval(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(engine, settings, CALL)
    for name, role in (("wang", "administrator"), ("li", "supervisor"), ("zhao", "auditor")):
        await accounts.add(engine, name, role, f"the password of {name}", 1)
    out = tmp_path / "a.mp3"
    take = ("export", CALL, "--out", str(out))
    assert "no approval is needed" in (await typed("request", CALL, "--why", "court"))[2]
    monkeypatch.setenv("HOTLINE_EXPORT_APPROVAL", "yes")

    for words in (take, ("play", CALL, "--out", "-")):
        status, sound, said = await typed(*words)
        assert (status, sound, "second person" in said) == (1, "", True)
    status, said, _ = await typed("request", CALL, "--why", "court of 13812345678")
    assert (status, said.startswith("request 1: ")) == (0, True)
    assert "待审批" in (await typed("requests"))[1]

    async def decide(name: str, command: str = "approve", password: str = "") -> tuple[int, str]:
        words = (command, "1", "--account", name, "--password-stdin", "--why", "checked")
        status, said, wrong = await typed(*words, stdin=password or f"the password of {name}\n")
        return status, said + wrong

    for name, password, wanted in (
        ("wang", "", "another person must"),
        ("zhao", "", "needs the right recordings.approve"),
        ("li", "guessed\n", "the password is wrong"),
        ("nobody", "", "the password is wrong"),
    ):
        status, said = await decide(name, password=password)
        assert (status, wanted in said) == (1, True), said
    assert (await typed(*take))[0] == 1
    status, said = await decide("li")
    assert (status, "cli:wang may export it once" in said) == (0, True)
    assert (await decide("li", "refuse"))[0] == 1

    assert (await typed("export", CALL, "--out", str(tmp_path / "no" / "a.mp3")))[0] == 1
    status, said, _ = await typed(*take)
    assert (status, said, out.read_bytes()[:3]) == (0, f"{out}\n", b"ID3")
    status, _, said = await typed(*take, "--overwrite")
    assert (status, "second person" in said) == (1, True)
    listed: list[dict[str, Any]] = json.loads(
        (await typed("requests", "--all", "--format", "json"))[1]
    )
    assert [(one["by"], one["decided_by"], one["state"], one["why"]) for one in listed] == [
        ("cli:wang", "li", "used", "court of 138****5678")
    ]
    assert (await typed("requests", "--lang", "en"))[1] == "No request waits for a decision.\n"
    log = await rows(engine)
    assert ("cli:wang", "hotline recordings request", f"{CALL} 1", "court of 138****5678") in log
    assert ("li", "hotline recordings approve", "1", "checked") in log
