"""The ledger: one row a call, and files that are what it says."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts import RecordingFinished, RecordingMissing
from recorder import copying, finishing, ledger, tape
from recorder.entry import LedgerEntry
from recorder.ledger import LedgerError
from recorder.policy import RecordingState
from recorder.vault import reading
from tests.recorder.conftest import NOW, Spool, a_call, call_id, recording_facts, write

CALL = call_id(17)


@pytest.fixture
async def entry(engine: AsyncEngine, settings: Settings, spool: Spool) -> LedgerEntry:
    spool(CALL)
    await write(engine, a_call(CALL))
    return await finishing.finish(engine, settings, CALL)


async def test_a_finished_recording_has_a_row_a_file_and_a_fact(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry
) -> None:
    assert entry.path == f"2025/11/21/{CALL}.wav.enc"
    assert (entry.state, entry.duration, entry.note) == (RecordingState.FINISHED, 10_000_000, "")
    with reading.open_recording(settings, entry) as sound:
        assert tape.describe(sound, Path(entry.path)).sha256 == entry.sha256
    assert await ledger.look_up(engine, [CALL, call_id(18)]) == {CALL: entry}
    assert await recording_facts(engine) == [
        RecordingFinished(entry.finished_at, CALL, 10_000_000, entry.sha256)
    ]
    assert not list(settings.spool_dir.glob("*.raw"))
    assert (settings.recordings_dir / entry.path).stat().st_mode & 0o777 == 0o600


async def test_finishing_twice_is_finishing_once(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, spool: Spool
) -> None:
    assert await finishing.finish(engine, settings, CALL) == entry
    spool(CALL)  # as if the crash had come before the removal
    await finishing.finish(engine, settings, CALL)
    assert len(await recording_facts(engine)) == 1
    assert await ledger.look_up(engine, [CALL]) == {CALL: entry}


async def test_more_sound_replaces_a_row_and_none_never_does(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    await write(engine, a_call(CALL))
    facts = (await ledger.facts_of(engine, [CALL]))[CALL]
    missing = finishing.draft(CALL, facts, None, at=NOW)
    assert [type(fact) for fact in await ledger.enter(engine, [missing])] == [RecordingMissing]
    assert await ledger.enter(engine, [missing]) == []

    spool(CALL, seconds=3)
    short = await finishing.finish(engine, settings, CALL)
    assert short.state is RecordingState.SHORT
    assert short.note == "2.0 s of the talk are missing"

    spool(CALL, seconds=10)
    whole = await finishing.finish(engine, settings, CALL)
    assert whole.state is RecordingState.FINISHED
    assert await ledger.enter(engine, [missing]) == []
    assert await ledger.look_up(engine, [CALL]) == {CALL: whole}
    assert [type(fact) for fact in await recording_facts(engine)] == [
        RecordingMissing,
        RecordingFinished,
        RecordingMissing,
        RecordingFinished,
    ]


async def test_a_torn_sample_is_noted(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    await write(engine, a_call(CALL))
    spool(CALL, extra=b"\x01\x02\x03")
    entry = await finishing.finish(engine, settings, CALL)
    assert (entry.state, entry.note) == (
        RecordingState.CUT_OFF,
        "cut off: Asterisk or the machine died while it wrote; 3 bytes of a torn last sample dropped",
    )


async def test_row_and_fact_are_entered_together_or_not_at_all(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_fact: object) -> dict[str, object]:
        raise RuntimeError("power cut")

    monkeypatch.setattr(ledger, "_diary_row", breaks)
    facts = a_call(CALL)
    with pytest.raises(RuntimeError, match="power cut"):
        await ledger.enter(engine, [finishing.draft(CALL, facts, None, at=NOW)])
    assert await ledger.look_up(engine, [CALL]) == {}


# --- export


async def test_the_exported_file_is_the_entered_one(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    out = tmp_path / "录音.wav"
    assert await copying.export(engine, settings, CALL, out) == entry
    assert tape.inspect(out).sha256 == entry.sha256
    assert await copying.verify(engine, settings, CALL) == entry


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "17", f"{CALL}\n", "$(reboot)"])
async def test_what_is_no_call_id_reaches_no_path(
    engine: AsyncEngine, settings: Settings, tmp_path: Path, text: str
) -> None:
    for action in (
        copying.export(engine, settings, text, tmp_path / "x.wav"),
        copying.verify(engine, settings, text),
        finishing.finish(engine, settings, text),
    ):
        with pytest.raises(LedgerError, match=r"is not a call id.*hotline calls"):
            await action


async def test_calls_without_a_recording_say_why(
    engine: AsyncEngine, settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "x.wav"
    with pytest.raises(LedgerError, match=r"no call hotline-1763731200\.99.*hotline calls"):
        await copying.export(engine, settings, call_id(99), out)
    await write(engine, a_call(CALL))
    with pytest.raises(LedgerError, match=r"is not finished.*Try again soon"):
        await copying.export(engine, settings, CALL, out)
    with pytest.raises(LedgerError, match=f"no raw file of call {CALL}"):
        await finishing.finish(engine, settings, CALL)
    await ledger.enter(engine, [finishing.draft(CALL, a_call(CALL), None, at=NOW)])
    with pytest.raises(LedgerError, match="has no recording: the call was answered, but"):
        await copying.export(engine, settings, CALL, out)
    assert not out.exists()


async def test_a_file_that_is_gone(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    (settings.recordings_dir / entry.path).unlink()
    for action in (
        copying.export(engine, settings, CALL, tmp_path / "x.wav"),
        copying.verify(engine, settings, CALL),
    ):
        with pytest.raises(LedgerError, match=r"file is gone.*backup"):
            await action


async def test_an_altered_file_is_refused_unless_told(
    engine: AsyncEngine, settings: Settings, spool: Spool, tmp_path: Path
) -> None:
    spool(CALL)
    plain = settings.model_copy(update={"encrypt_recordings": False})
    entry = await finishing.finish(engine, plain, CALL)
    path = settings.recordings_dir / entry.path
    sound = bytearray(path.read_bytes())
    sound[1000] ^= 1
    path.write_bytes(bytes(sound))
    out = tmp_path / "x.wav"
    with pytest.raises(LedgerError, match="SHA-256 differs"):
        await copying.verify(engine, settings, CALL)
    with pytest.raises(LedgerError, match="SHA-256 differs"):
        await copying.export(engine, settings, CALL, out)
    assert not list(tmp_path.glob("*x.wav*"))
    await copying.export(engine, settings, CALL, out, despite_damage=True)
    assert out.read_bytes() == bytes(sound)

    path.write_bytes(bytes(sound[:-400]))
    with pytest.raises(LedgerError, match=r"is damaged.*header promises"):
        await copying.verify(engine, settings, CALL)


async def test_where_it_cannot_be_written(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    out = tmp_path / "x.wav"
    out.write_bytes(b"mine")
    with pytest.raises(LedgerError, match="exists already"):
        await copying.export(engine, settings, CALL, out)
    assert out.read_bytes() == b"mine"
    await copying.export(engine, settings, CALL, out, overwrite=True)
    assert tape.inspect(out).sha256 == entry.sha256
    with pytest.raises(LedgerError, match=r"folder .*nowhere does not exist"):
        await copying.export(engine, settings, CALL, tmp_path / "nowhere" / "x.wav")
    with pytest.raises(LedgerError, match="is a folder: name a file in it"):
        await copying.export(engine, settings, CALL, tmp_path)


async def test_a_full_disk_leaves_no_half_export(
    engine: AsyncEngine,
    settings: Settings,
    entry: LedgerEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_descriptor: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"x\.wav cannot be written: No space left on device"):
        await copying.export(engine, settings, CALL, tmp_path / "x.wav")
    assert not list(tmp_path.glob("*x.wav*"))
