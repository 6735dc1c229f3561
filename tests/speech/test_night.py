"""Recordings are heard at night and entered once, whatever happens meanwhile; with a listener who needs no model."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts.times import DAY, MINUTE, SECOND
from recorder import deletion, ledger, tables
from recorder.deletion import Doomed
from recorder.entry import LedgerEntry
from recorder.ledger import Draft
from recorder.vault import keys, rotation, sealed
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from speech import model, night, phrases, shelf
from speech.hearing import StoppedError
from speech.hints import WordHint, WordHintKind
from speech.model import SpeechError
from speech.night import NightWork
from speech.shelf import CallWords, WordsState
from speech.transcript import TalkWords, Word
from tests.speech.conftest import CALL, Parrot, recorded

SAID = [Word("您好", 0, SECOND), Word("不行", 4 * SECOND, 5 * SECOND)]
"""From the beginning of the talk, which begins 5 s into the recording."""


@pytest.fixture(autouse=True)
def parrot(monkeypatch: pytest.MonkeyPatch) -> Parrot:
    bird = Parrot(SAID)
    monkeypatch.setattr(model, "load", lambda _settings: bird)
    monkeypatch.setattr(night, "Transcriber", lambda loaded: loaded)
    return bird


async def hear(
    engine: AsyncEngine, settings: Settings, stop: asyncio.Event | None = None, **more: Any
) -> NightWork:
    now = clock.now()
    span = {"since": now - DAY, "until": now + 1, "within": DAY} | more
    return await night.work(engine, settings, stop or asyncio.Event(), **span)


async def known(engine: AsyncEngine, settings: Settings, call: str = CALL) -> CallWords:
    found = await shelf.read(engine, settings, call)
    assert found is not None
    return found


async def test_a_recording_is_heard_and_its_hint_is_at_the_right_second(
    engine: AsyncEngine, settings: Settings
) -> None:
    await recorded(engine, settings)
    did = await hear(engine, settings)
    assert (did.done, did.failed, did.why) == (1, 0, "")
    found = await known(engine, settings)
    assert found.state is WordsState.DONE
    (talk,) = found.talks
    assert (talk.agent, talk.begin, talk.end) == ("1001", 5 * SECOND, 20 * SECOND)
    assert talk.citizens == ()
    assert found.hints == [
        WordHint(WordHintKind.FORBIDDEN, "1001", 9 * SECOND, 10 * SECOND, "不行")
    ]
    again = await hear(engine, settings)
    assert (again.done, again.failed, again.left) == (0, 0, 0)


async def test_nothing_of_it_lies_readable_anywhere(
    engine: AsyncEngine, settings: Settings
) -> None:
    await recorded(engine, settings)
    before = {file for file in settings.root.rglob("*") if file.is_file()}
    await hear(engine, settings)
    after = {file for file in settings.root.rglob("*") if file.is_file()}
    assert {file.name for file in after - before} == {"transcribe.lock"}
    await engine.dispose()
    said = ("您好".encode(), b"\\u60a8\\u597d")
    for file in settings.root.rglob("*"):
        assert not file.is_file() or not any(one in file.read_bytes() for one in said), file


async def test_a_killed_run_costs_its_work_and_nothing_else(
    engine: AsyncEngine, settings: Settings, parrot: Parrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it listens, and within the transaction that enters."""
    await recorded(engine, settings)

    class KilledError(BaseException):
        pass

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    for place, name in ((night, "listen"), (shelf, "_is_still")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, kill)
            with pytest.raises(KilledError):
                await hear(engine, settings)
        assert await shelf.read(engine, settings, CALL) is None
    await hear(engine, settings)
    await hear(engine, settings)
    assert len((await known(engine, settings)).hints) == 1
    assert await count(engine, tables.recording_words) == 1


async def count(engine: AsyncEngine, table: Any) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).select_from(table)) or 0


async def test_a_stop_ends_it_between_two_blocks(
    engine: AsyncEngine, settings: Settings, parrot: Parrot
) -> None:
    await recorded(engine, settings)
    stop = asyncio.Event()
    stop.set()
    did = await hear(engine, settings, stop)
    assert (did.done, did.left, parrot.blocks) == (0, 1, [])
    did = await hear(engine, settings, within=0)
    assert (did.done, did.left, parrot.blocks) == (0, 1, [])

    class Stopping(Parrot):
        def hear(self, sound: Any, *, last: bool) -> Any:
            stop.set()
            return super().hear(sound, last=last)

    stop.clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model, "load", lambda _settings: Stopping(SAID))
        did = await hear(engine, settings, stop)
    assert (did.done, did.failed, did.left) == (0, 0, 1)
    assert await count(engine, tables.recording_words) == 0


async def test_one_that_fails_does_not_hold_up_the_others_and_is_given_up_in_the_end(
    engine: AsyncEngine, settings: Settings, parrot: Parrot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(engine, settings)
    other = "hotline-1763731200.2"
    await recorded(engine, settings, other)
    listen = night.listen

    def broken(told: Settings, entry: LedgerEntry, *more: Any) -> list[TalkWords]:
        if entry.call == CALL:
            raise VaultError("it was changed")
        return listen(told, entry, *more)

    monkeypatch.setattr(night, "listen", broken)
    did = await hear(engine, settings)
    assert (did.done, did.failed) == (1, 1)
    found = await known(engine, settings)
    assert (found.state, found.why, found.talks) == (WordsState.FAILED, "it was changed", [])
    assert (await known(engine, settings, other)).state is WordsState.DONE
    assert (await hear(engine, settings)).failed == 0  # not in the same night
    for expected in (1, 1, 0):
        did = await hear(engine, settings, again_before=clock.now() + 1)
        assert did.failed == expected
    async with engine.connect() as connection:
        assert await shelf.failures(connection, clock.now()) == 1


@pytest.mark.parametrize("error", [KeyAwayError("the key is away"), SpeechError("no model")])
async def test_what_no_recording_is_to_blame_for_stops_the_run_and_says_so(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await recorded(engine, settings)

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(
        night, "listen" if isinstance(error, KeyAwayError) else "Transcriber", broken
    )
    did = await hear(engine, settings)
    assert (did.done, did.failed, did.why) == (0, 0, str(error))
    async with engine.connect() as connection:
        assert await shelf.failures(connection, clock.now()) == 1
        assert (await shelf.waiting(connection, clock.now() + MINUTE)).count == 1


async def test_a_call_without_a_talk_or_too_long_a_one_is_entered_as_such(
    engine: AsyncEngine, settings: Settings, parrot: Parrot
) -> None:
    await recorded(engine, settings, talk=0)
    long = "hotline-1763731200.2"
    await recorded(engine, settings, long, seconds=70, talk=65)
    brief = settings.model_copy(update={"speech_longest_minutes": 1})
    assert (await hear(engine, brief)).done == 2
    assert parrot.blocks == []
    assert (await known(engine, settings)).state is WordsState.EMPTY
    assert (await known(engine, settings, long)).state is WordsState.TOO_LONG
    assert (await hear(engine, brief)).done == 0


async def test_plain_recordings_are_left_out(engine: AsyncEngine, settings: Settings) -> None:
    plain = settings.model_copy(update={"encrypt_recordings": False})
    entry = await recorded(engine, plain)
    assert (await hear(engine, settings)).done == 0
    assert await shelf.plain(engine, 0, clock.now() + 1) == 1
    with pytest.raises(VaultError, match="has no key"):
        sealed.seal(await keys.ready(engine, settings), entry, b"text")


async def test_what_was_heard_goes_with_its_recording(
    engine: AsyncEngine, settings: Settings
) -> None:
    entry = await recorded(engine, settings)
    await hear(engine, settings)
    done = await deletion.carry_out(engine, settings, [Doomed(entry, "test")], by="test")
    assert done.done == [CALL]
    assert await count(engine, tables.recording_words) == 0
    assert await count(engine, tables.recording_words_hint) == 0
    talk = TalkWords("1001", 0, SECOND)
    assert not await shelf.enter(engine, settings, entry, [talk], [], at=1, took=1)
    await shelf.fail(engine, entry, "late", at=1, took=1)
    assert await count(engine, tables.recording_words) == 0


async def test_a_longer_recording_takes_its_place_and_is_heard_again(
    engine: AsyncEngine, settings: Settings
) -> None:
    entry = await recorded(engine, settings)
    await hear(engine, settings)
    other = replace(entry, sha256="1" * 64, cipher_sha256="2" * 64)
    await ledger.enter(engine, [Draft(other, ())])
    assert await shelf.read(engine, settings, CALL) is None
    assert await count(engine, tables.recording_words_hint) == 0


async def test_it_is_read_after_a_rotation_and_not_by_another_call(
    engine: AsyncEngine, settings: Settings
) -> None:
    entry = await recorded(engine, settings)
    await hear(engine, settings)
    ring = await rotation.begin(engine, settings)
    assert [step.failed async for step in rotation.rotate(engine, settings, ring)] == [()]
    assert len((await known(engine, settings)).talks) == 1
    (turned,) = (await ledger.look_up(engine, [CALL])).values()
    text = sealed.seal(ring, turned, b"text")
    assert sealed.open_sealed(ring, turned, text) == b"text"
    for other in (replace(turned, call="hotline-1763731200.2"), replace(turned, sha256="0" * 64)):
        with pytest.raises(VaultError, match="not what was written"):
            sealed.open_sealed(ring, other, text)
    for wrong in (b"", text[:20], text[:-1] + bytes((text[-1] ^ 1,))):
        with pytest.raises(VaultError, match="not what was written"):
            sealed.open_sealed(ring, turned, wrong)
    assert entry.key is not None


async def test_two_runs_do_not_work_in_one_home(
    engine: AsyncEngine, settings: Settings, parrot: Parrot
) -> None:
    await recorded(engine, settings)
    async with night._only_one(settings) as mine:
        assert mine
        did = await hear(engine, settings)
    assert "another `hotline transcribe`" in did.why
    assert parrot.blocks == []


async def test_only_a_night_is_worked_and_only_so_many_minutes_of_it(
    engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()
    asked: list[int] = []

    async def work(*_: object, within: int, **__: object) -> NightWork:
        asked.append(within)
        stop.set()
        return NightWork()

    monkeypatch.setattr(night, "work", work)
    monkeypatch.setattr(night, "EVERY", 0.01)
    monkeypatch.setattr(clock, "now", lambda: 1_763_697_600 * SECOND)  # 12:00 in China
    quarter = asyncio.get_running_loop().call_later(0.1, stop.set)
    await night.run(engine, settings, stop)
    quarter.cancel()
    assert asked == []
    for minutes, hours, expected in ((420, "11:00-13:00", 60), (10, "11:00-13:00", 10)):
        stop.clear()
        told = {"speech_hours": hours, "speech_night_minutes": minutes}
        await night.run(engine, settings.model_copy(update=told), stop)
        assert asked.pop() == expected * MINUTE


async def test_work_of_this_night_counts(engine: AsyncEngine, settings: Settings) -> None:
    await recorded(engine, settings)
    await hear(engine, settings)
    changed = update(tables.recording_words).values(took=7, at=1000)
    async with engine.begin() as connection:
        await connection.execute(changed)
    assert await shelf.spent(engine, 1000) == 7
    assert await shelf.spent(engine, 1001) == 0


def test_a_list_in_the_home_is_read_instead(settings: Settings) -> None:
    assert len(night.read_list(settings).forbidden) == 12
    (settings.root / phrases.FILE).write_text('[[forbidden]]\nphrase = "没空"\n', encoding="utf-8")
    assert [one.text for one in night.read_list(settings).forbidden] == ["没空"]
    (settings.root / phrases.FILE).write_bytes(b"\xff")
    with pytest.raises(phrases.PhraseListError, match="cannot be read"):
        night.read_list(settings)


def test_stopped_is_no_failure() -> None:
    assert not issubclass(StoppedError, SpeechError)
    assert Path(phrases.FILE).suffix == ".toml"
