"""Recordings at rest: nothing is audible without the key, nothing is lost without it either."""

import hashlib
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock, database
from base.migrations import upgrade
from base.settings import Settings
from facts import RecordingFinished
from facts.times import SECOND
from recorder import copying, finishing, ledger, policy, proofs, tables, tape
from recorder.archive import Archive
from recorder.audit import FileState
from recorder.entry import LedgerEntry
from recorder.ledger import LedgerError
from recorder.levels import listen_to
from recorder.tape import Fault, Job, Tape
from recorder.vault import crypt, keys, old, reading, rotation
from recorder.vault.crypt import HEADER, VaultError
from recorder.vault.keys import KeyAwayError
from tests.recorder.conftest import NOW, Spool, a_call, call_id, recording_facts, write

CALL = call_id(17)


@pytest.fixture
async def entry(engine: AsyncEngine, settings: Settings, spool: Spool) -> LedgerEntry:
    spool(CALL)
    await write(engine, a_call(CALL))
    return await finishing.finish(engine, settings, CALL)


def place(settings: Settings, entry: LedgerEntry) -> Path:
    return settings.recordings_dir / entry.path


def heard(settings: Settings, entry: LedgerEntry) -> bytes:
    with reading.open_recording(settings, entry) as sound:
        return sound.read()


def in_process(engine: AsyncEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Archive:
    made = Archive(engine, settings, lambda _: None)

    async def here(jobs: list[Job]) -> list[Tape | Fault]:
        return tape.finish_batch(jobs)

    monkeypatch.setattr(made, "_in_pool", here)
    return made


# --- without the key no second is audible


async def test_without_the_key_no_second_is_audible(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry
) -> None:
    data = place(settings, entry).read_bytes()
    wav = heard(settings, entry)
    assert hashlib.sha256(wav).hexdigest() == entry.sha256
    assert b"RIFF" not in data
    assert wav[44:60] not in data
    # Sound repeats itself; what lies on the disk looks like noise, each value as often as any other.
    body = data[HEADER:]
    counts = [body.count(bytes((value,))) for value in range(256)]
    assert max(counts) < 1.3 * len(body) / 256
    assert not [
        path
        for path in settings.home.rglob("*")
        if path.is_file() and wav[44:444] in path.read_bytes()
    ]

    keys.path(settings).unlink()
    with pytest.raises(KeyAwayError, match="no master key"):
        heard(settings, entry)
    keys.add(settings)
    with pytest.raises(KeyAwayError) as error:
        heard(settings, entry)
    assert entry.key is not None
    assert f"its master key {entry.key.master} is not there" in str(error.value)
    assert "secrets/recordings.keys and HOTLINE_RECORDING_KEYS" in str(error.value)
    with pytest.raises(LedgerError, match="is the file that was entered, but cannot be heard"):
        await copying.verify(engine, settings, CALL)
    (level,) = listen_to(settings, [entry])
    assert (level.state, level.levels) == (FileState.LOCKED, None)
    assert entry.key.master in level.why
    place(settings, entry).write_bytes(data[:-1])
    (level,) = listen_to(settings, [entry])
    assert (level.state, "SHA-256" in level.why) == (FileState.TORN, True)


async def test_row_file_and_evidence_have_both_hashes(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry
) -> None:
    with place(settings, entry).open("rb") as file:
        assert crypt.cipher_sha256(file) == entry.cipher_sha256
        assert crypt.read_slot(file) == entry.key
    async with engine.connect() as connection:
        row = await connection.scalar(select(tables.evidence.c.row))
    assert row is not None
    assert f'"cipher_sha256":"{entry.cipher_sha256}"' in row
    assert ledger.vouched(entry) == row
    assert [one async for one in proofs.check(engine)] == []
    assert await copying.verify(engine, settings, CALL) == entry
    assert policy.place(CALL) + ".enc" == entry.path
    assert "key" not in repr(entry)


async def test_a_changed_cipher_is_told_without_the_key(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, tmp_path: Path
) -> None:
    path = place(settings, entry)
    data = bytearray(path.read_bytes())
    data[HEADER + 70_000] ^= 1
    path.write_bytes(data)
    away = keys.path(settings).rename(tmp_path / "away")
    with pytest.raises(LedgerError, match="SHA-256 differs"):
        await copying.verify(engine, settings, CALL)
    away.rename(keys.path(settings))
    out = tmp_path / "x.wav"
    with pytest.raises(LedgerError, match=r"damaged.*part 2 of 5.*--despite-damage"):
        await copying.export(engine, settings, CALL, out)
    assert not out.exists()
    await copying.export(engine, settings, CALL, out, despite_damage=True)
    assert len(out.read_bytes()) == entry.size
    (level,) = listen_to(settings, [entry])
    assert level.state is FileState.TORN
    assert "part 2 of 5" in level.why


async def test_another_recordings_file_in_its_place_is_found(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, spool: Spool
) -> None:
    spool(call_id(18))
    other = await finishing.finish(engine, settings, call_id(18))
    place(settings, other).replace(place(settings, entry))
    with pytest.raises(VaultError, match="another call"):
        heard(settings, entry)


async def test_the_database_is_lost_and_the_file_says_its_own_key(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry
) -> None:
    async with engine.begin() as connection:
        for table in (tables.recording, tables.recording_key, tables.evidence):
            await connection.execute(delete(table))
    made = reading.inspect(settings, CALL, place(settings, entry))
    assert (made.sha256, made.cipher_sha256, made.key) == (
        entry.sha256,
        entry.cipher_sha256,
        entry.key,
    )


async def test_a_torn_slot_is_read_by_the_key_of_the_database(
    settings: Settings, entry: LedgerEntry
) -> None:
    with place(settings, entry).open("r+b") as file:
        file.write(bytes(100))
    assert hashlib.sha256(heard(settings, entry)).hexdigest() == entry.sha256


async def test_plain_recordings_of_before_stay_readable(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    spool(CALL)
    plain = settings.model_copy(update={"encrypt_recordings": False})
    entry = await finishing.finish(engine, plain, CALL)
    assert (entry.path, entry.cipher_sha256, entry.key) == (policy.place(CALL), "", None)
    assert heard(settings, entry) == place(settings, entry).read_bytes()
    assert await copying.verify(engine, settings, CALL) == entry
    assert not keys.path(settings).exists()


async def test_a_longer_file_that_is_encrypted_takes_the_plain_ones_place(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    spool(CALL, seconds=3)
    before = await finishing.finish(
        engine, settings.model_copy(update={"encrypt_recordings": False}), CALL
    )
    spool(CALL)
    after = await finishing.finish(engine, settings, CALL)
    assert not place(settings, before).exists()
    assert await copying.verify(engine, settings, CALL) == after


async def test_a_crash_before_the_raw_file_went_changes_no_entered_file(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, spool: Spool
) -> None:
    before = place(settings, entry).read_bytes()
    spool(CALL)
    assert await finishing.finish(engine, settings, CALL) == entry
    assert place(settings, entry).read_bytes() == before
    place(settings, entry).unlink()
    spool(CALL)
    again = await finishing.finish(engine, settings, CALL)
    assert again.cipher_sha256 != entry.cipher_sha256
    assert await copying.verify(engine, settings, CALL) == again
    assert len(await recording_facts(engine)) == 1


async def test_the_disk_fills_in_the_middle_and_nothing_plain_is_left(
    settings: Settings, spool: Spool
) -> None:
    keys.add(settings)
    job = finishing.job(settings, keys.read(settings), spool(CALL), CALL)
    code = """
        import errno, pickle, resource, signal, sys
        from recorder import tape
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        tape._OF_DISK = frozenset({errno.EFBIG})
        fault, = tape.finish_batch([pickle.load(sys.stdin.buffer)])
        assert fault.disk, fault
    """
    subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        input=pickle.dumps(job),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert list(settings.recordings_dir.rglob("*17*")) == [job.raw]


# --- the key is away


async def test_the_key_is_away_and_raw_files_wait_for_it(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = in_process(engine, settings, monkeypatch)
    await write(engine, a_call(CALL))
    spool(CALL)
    await work.sweep(NOW)
    assert (settings.secrets_dir / "recordings.keys").stat().st_mode & 0o777 == 0o600
    away = keys.path(settings).rename(settings.home / "away")

    raw = spool(call_id(18))
    await write(engine, a_call(call_id(18)))
    with capture_logs() as logs:
        for second in range(1, 4):
            await work.sweep(NOW + second * SECOND)
    assert raw.exists()
    assert not keys.path(settings).exists(), "a second key would hide that the first is gone"
    (said,) = [one for one in logs if one["event"] == "recording.key_away"]
    assert said["on"]
    assert "bring back" in said["why"]
    assert not [one for one in logs if one["event"] == "recording.entered"]

    away.rename(keys.path(settings))
    with capture_logs() as logs:
        await work.sweep(NOW + 10 * SECOND)
    assert [one["on"] for one in logs if one["event"] == "recording.key_away"] == [False]
    assert not raw.exists()
    facts = await recording_facts(engine)
    assert [type(fact) for fact in facts] == [RecordingFinished] * 2


async def test_a_file_without_a_row_waits_for_the_key_too(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.add(settings)
    made = tape.finish_one(finishing.job(settings, keys.read(settings), spool(CALL), CALL))
    (settings.spool_dir / f"{CALL}.raw").unlink()
    await write(engine, a_call(CALL))
    away = keys.path(settings).rename(settings.home / "away")
    work = in_process(engine, settings, monkeypatch)
    await work.sweep(NOW)
    assert await ledger.look_up(engine, [CALL]) == {}
    away.rename(keys.path(settings))
    await work.sweep(NOW + SECOND)
    entry = (await ledger.look_up(engine, [CALL]))[CALL]
    assert (entry.sha256, entry.cipher_sha256) == (made.sha256, made.cipher_sha256)
    assert await copying.verify(engine, settings, CALL) == entry


@pytest.mark.parametrize("found", ["row", "file"])
async def test_no_new_key_is_made_beside_encrypted_recordings(
    engine: AsyncEngine, settings: Settings, entry: LedgerEntry, found: str
) -> None:
    keys.path(settings).unlink()
    if found == "file":
        async with engine.begin() as connection:
            await connection.execute(delete(tables.recording_key))
    else:
        place(settings, entry).unlink()
    with pytest.raises(KeyAwayError, match=r"bring back .*recordings\.keys"):
        await keys.ready(engine, settings)
    assert not keys.path(settings).exists()


@pytest.mark.parametrize("text", ["", "# nothing\n", "12345\n", "g" * 64, "\xff"])
async def test_a_file_of_keys_that_cannot_be_used(
    engine: AsyncEngine, settings: Settings, text: str
) -> None:
    settings.secrets_dir.mkdir()
    keys.path(settings).write_bytes(text.encode("latin-1"))
    with pytest.raises(KeyAwayError, match=r"recordings\.keys"):
        await keys.ready(engine, settings)
    assert keys.path(settings).read_bytes() == text.encode("latin-1")


async def test_the_key_may_come_from_the_environment(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTLINE_RECORDING_KEYS", f"{'ab' * 32} {'cd' * 32}")
    told = Settings(home=settings.home, min_free_mb=0)
    spool(CALL)
    entry = await finishing.finish(engine, told, CALL)
    assert not keys.path(settings).exists()
    assert entry.key is not None
    assert entry.key.master == keys.read(told).current.id
    assert await copying.verify(engine, told, CALL) == entry
    assert "cdcd" not in repr(told) + repr(keys.read(told))
    monkeypatch.setenv("HOTLINE_RECORDING_KEYS", "short")
    with pytest.raises(KeyAwayError, match="HOTLINE_RECORDING_KEYS, line 1"):
        keys.read(Settings(home=settings.home))


def test_keys_that_are_made_at_the_same_moment_are_all_kept(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: keys.add(settings).id, range(16)))
        first = list(pool.map(lambda _: keys.add(settings, only_first=True).id, range(4)))
    kept = [one.id for one in keys.read(settings).keys]
    assert sorted(kept) == sorted(made)
    assert set(first) == {kept[-1]}


def test_a_last_line_without_an_end_is_not_joined_with_the_next(settings: Settings) -> None:
    settings.secrets_dir.mkdir()
    keys.path(settings).write_text("ab" * 32)
    keys.add(settings)
    assert len(keys.read(settings).keys) == 2


# --- rotation


async def rotate(engine: AsyncEngine, settings: Settings) -> list[rotation.Rotated]:
    ring = await rotation.begin(engine, settings)
    return [step async for step in rotation.rotate(engine, settings, ring)]


async def many(engine: AsyncEngine, settings: Settings, spool: Spool) -> list[str]:
    calls = [call_id(number) for number in range(1, 6)]
    for call in calls:
        spool(call, seconds=0.1)
        await finishing.finish(engine, settings, call)
    return calls


async def test_a_new_master_key_rewrites_no_sound(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "PAGE", 2)
    calls = await many(engine, settings, spool)
    before = await ledger.look_up(engine, calls)
    files = {call: place(settings, row).read_bytes() for call, row in before.items()}
    steps = await rotate(engine, settings)
    assert [(step.done, step.total) for step in steps] == [(2, 5), (4, 5), (5, 5)]
    ring = keys.read(settings)
    old = ring.keys[0].id
    assert await rotation.waiting(engine, ring) == {}
    assert await rotation.unused(engine, ring) == [old]
    after = await ledger.look_up(engine, calls)
    for call in calls:
        data = place(settings, after[call]).read_bytes()
        assert data[crypt.SLOT :] == files[call][crypt.SLOT :]
        assert data[: crypt.SLOT] != files[call][: crypt.SLOT]
        assert after[call].cipher_sha256 == before[call].cipher_sha256

    # Whoever takes the old key away has lost nothing; whoever has only the old one hears nothing.
    lines = keys.path(settings).read_text().splitlines(keepends=True)
    keys.path(settings).write_text("".join(lines[:-2] + lines[-1:]))
    for call in calls:
        assert await copying.verify(engine, settings, call) == after[call]
    keys.path(settings).write_text("".join(lines[:-1]))
    with pytest.raises(KeyAwayError):
        heard(settings, after[calls[0]])


async def test_an_unfinished_rotation_goes_on_with_the_same_key(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "PAGE", 2)
    calls = await many(engine, settings, spool)
    ring = await rotation.begin(engine, settings)
    steps = rotation.rotate(engine, settings, ring)
    await anext(steps)
    await steps.aclose()
    # Killed after the slots of a page were written, and before its rows were.
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "update", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await rotate(engine, settings)
    for call in calls:
        await copying.verify(engine, settings, call)
    assert [step.done for step in await rotate(engine, settings)] == [2, 3]
    assert len(keys.read(settings).keys) == 2
    for call in calls:
        await copying.verify(engine, settings, call)
    await rotate(engine, settings)
    assert len(keys.read(settings).keys) == 3


async def test_a_key_that_is_gone_stops_no_other_recording(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    calls = await many(engine, settings, spool)
    keys.path(settings).unlink()
    keys.add(settings)
    spool(CALL)
    await finishing.finish(engine, settings, CALL)
    ring = keys.read(settings)
    (step,) = [one async for one in rotation.rotate(engine, settings, ring)]
    assert (step.done, step.total, len(step.failed)) == (0, 5, 5)
    assert calls[0] in step.failed[0]
    assert "is not there: looked for in" in step.failed[0]
    assert await rotation.unused(engine, ring) == []


_ROTATION = """
    import asyncio, os, signal, sys
    from base import clock, database
    from base.settings import Settings
    from recorder.vault import crypt, rotation

    settings = Settings(home=sys.argv[1], min_free_mb=0)
    rotation.PAGE = 2
    moments = [int(sys.argv[2])]
    fsync = os.fsync

    def dies(descriptor):
        moments[0] -= 1
        if not moments[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    async def main():
        engine = database.engine(settings.database)
        ring = await rotation.begin(engine, settings)
        async for _ in rotation.rotate(engine, settings, ring):
            pass

    os.fsync = dies
    asyncio.run(main())
"""


async def test_kill_9_at_any_moment_of_a_rotation_loses_no_key(
    settings: Settings, spool: Spool
) -> None:
    engine = database.engine(settings.database)
    await upgrade(engine)
    calls = await many(engine, settings, spool)
    entries = await ledger.look_up(engine, calls)
    for moment in (3, 2):  # the first slot is written; the second page begins
        done = subprocess.run(  # noqa: ASYNC221
            [
                *(sys.executable, "-W", "ignore", "-c", textwrap.dedent(_ROTATION)),
                *(str(settings.home), str(moment)),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        for call in calls:
            assert (await copying.verify(engine, settings, call)).sha256 == entries[call].sha256
            # The slot alone is enough, too.
            reading.inspect(settings, call, place(settings, entries[call]))
        ring = keys.read(settings)
        assert await rotation.waiting(engine, ring), (moment, ring)
    await rotate(engine, settings)
    ring = keys.read(settings)
    assert await rotation.waiting(engine, ring) == {}
    await engine.dispose()


# --- recordings of before


async def plain_ones(engine: AsyncEngine, settings: Settings, spool: Spool) -> list[str]:
    return await many(engine, settings.model_copy(update={"encrypt_recordings": False}), spool)


async def test_plain_recordings_are_encrypted_later_and_stay_provable(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    calls = await plain_ones(engine, settings, spool)
    before = await ledger.look_up(engine, calls)
    place(settings, before[calls[1]]).write_bytes(b"other")
    place(settings, before[calls[2]]).unlink()
    began = clock.now()
    steps = [step async for step in old.encrypt(engine, settings)]
    assert [(step.done, step.total) for step in steps] == [(1, 5), (1, 5), (1, 5), (2, 5), (3, 5)]
    assert "SHA-256 differs" in steps[1].failed
    assert "is gone" in steps[2].failed
    after = await ledger.look_up(engine, calls)
    for number in (0, 3, 4):
        call = calls[number]
        assert after[call].path == f"{before[call].path}.enc"
        assert after[call].sha256 == before[call].sha256
        assert await copying.verify(engine, settings, call) == after[call]
        assert not place(settings, before[call]).exists()
    assert [after[call] == before[call] for call in calls[1:3]] == [True, True]
    assert len(await recording_facts(engine)) == 5
    assert [one async for one in proofs.check(engine)] == []
    column = tables.evidence.c
    async with engine.connect() as connection:
        question = select(column.row, column.entered_at).where(column.call == calls[0])
        rows = (await connection.execute(question.order_by(column.number))).all()
    assert [row.row for row in rows] == [ledger.vouched(one[calls[0]]) for one in (before, after)]
    assert rows[1].entered_at >= began, "else no seal would ever have it"


async def test_whoever_is_killed_while_encrypting_leaves_nothing_plain_in_the_end(
    engine: AsyncEngine, settings: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = await plain_ones(engine, settings, spool)

    async def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    for of, moment in ((ledger, "enter"), (finishing, "remove_other_forms")):
        with monkeypatch.context() as patch:
            patch.setattr(of, moment, killed)
            with pytest.raises(RuntimeError):
                _ = [step async for step in old.encrypt(engine, settings)]
        for call in calls:
            await copying.verify(engine, settings, call)
    done = [step async for step in old.encrypt(engine, settings)]
    assert [step.done for step in done] == [1, 2, 3, 4]
    for call in calls:
        assert (await copying.verify(engine, settings, call)).cipher_sha256
    assert not list(settings.recordings_dir.rglob("*.wav"))
