"""What is read from the store: the same bytes by the same door, and never more than was asked for."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock
from base.settings import Settings
from facts.times import SECOND
from hotline.machine import check
from metrics import completeness
from metrics.completeness import AuditError
from recorder import copying, deletion, finishing, hearing
from recorder.audit import AuditKind
from recorder.entry import LedgerEntry
from recorder.hearing import Unheard
from recorder.ledger import LedgerAwayError, LedgerError
from recorder.tables import recording
from recorder.vault import old, reading
from recorder.vault.crypt import VaultError
from recorder.vault.store import Store, print_of
from recorder.vault.trouble import StoreError
from recorder.vault.uploads import Uploads
from recorder.voice import Voices
from tests.authority import Authority
from tests.recorder.conftest import Spool, a_call, call_id, write
from tests.seaweed import Proxy, Seaweed, proxied

pytestmark = pytest.mark.live

ONE = call_id(1)


@asynccontextmanager
async def stored(
    engine: AsyncEngine,
    seaweed: Seaweed,
    tmp_path: Path,
    spool: Spool,
    seconds: int = 10,
    more: Mapping[str, object] | None = None,
) -> AsyncIterator[tuple[Settings, Proxy, LedgerEntry]]:
    """A recording that only the store has, behind a proxy."""
    name = seaweed.make_one("stored")
    async with proxied(seaweed) as (proxy, before):
        settings = before.settings(tmp_path, name, **(more or {}))
        await write(engine, a_call(ONE, seconds, talk=5))
        spool(ONE, seconds)
        entry = await finishing.finish(engine, settings, ONE)
        loop = Uploads(engine, settings)
        await loop.look(clock.now())
        await loop.look(clock.now() + SECOND)
        assert not (settings.recordings_dir / entry.path).exists()
        yield settings, proxy, entry


async def test_an_encrypted_recording_comes_back_as_it_was(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, _, entry):
        assert entry.cipher_sha256
        assert (await copying.verify(engine, settings, ONE)).call == ONE
        out = tmp_path / "out.mp4"
        await copying.export(engine, settings, ONE, out)
        assert hashlib.sha256(out.read_bytes()).hexdigest() == entry.sha256
        assert [said async for _, said in copying.verify_all(engine, settings)] == [""]


async def test_a_seek_in_an_hour_reads_a_few_chunks(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    wav = {"recording_format": "wav"}
    async with stored(engine, seaweed, tmp_path, spool, 3600, wav) as (settings, proxy, entry):
        assert entry.size > 115_000_000
        before = proxy.received

        def look() -> bytes:
            with reading.open_recording(settings, entry) as sound:
                sound.seek(57_600_044)
                return sound.read(1000)

        assert await asyncio.to_thread(look) == bytes((1, 0, 2, 0)) * 250
        assert proxy.received - before < 2 << 20


async def test_a_store_that_is_away_is_no_lost_recording(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, proxy, _):
        proxy.up = False
        for work in (
            copying.verify(engine, settings, ONE),
            copying.export(engine, settings, ONE, tmp_path / "out.wav"),
        ):
            with pytest.raises(LedgerAwayError, match="cannot be read now: the store s3://"):
                await work
        with pytest.raises(AuditError, match=r"cannot be reached|did not answer"):
            await completeness.audit(engine, settings, None)
        assert not (tmp_path / "out.wav").exists()
        said = [said async for _, said in copying.verify_all(engine, settings)]
        assert "cannot be read now" in said[0]


async def test_a_recording_that_only_the_store_has_is_heard_there(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, proxy, entry):

        def files() -> list[Path]:
            return [one for one in settings.recordings_dir.rglob("*") if one.is_file()]

        before = files()
        assert entry.cipher_sha256
        assert await asyncio.to_thread(hearing.hear, settings, entry) == Voices((), ())
        assert files() == before
        proxy.up = False
        answer = await asyncio.to_thread(hearing.hear, settings, entry)
        assert isinstance(answer, Unheard)
        assert answer.later


async def test_an_object_that_was_changed_or_taken_away_is_found(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, _, entry):
        bucket = Store(settings)
        with await asyncio.to_thread(bucket.open, entry.path) as opened:
            content = bytearray(await asyncio.to_thread(opened.read))
        content[len(content) // 2] ^= 1
        other = tmp_path / "other"
        other.write_bytes(content)
        await bucket.delete(entry.path)
        with pytest.raises(LedgerError, match=r"gone from .* and from s3://"):
            await copying.verify(engine, settings, ONE)
        await bucket.put(other, entry.path, print_of(other), None)
        with pytest.raises(LedgerError, match="SHA-256 differs"):
            await copying.verify(engine, settings, ONE)

        def hear() -> None:
            with reading.open_recording(settings, entry) as sound:
                sound.read()

        with pytest.raises(VaultError):
            await asyncio.to_thread(hear)


async def test_a_plain_recording_that_only_the_store_has_can_be_encrypted(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    more = {"encrypt_recordings": False}
    async with stored(engine, seaweed, tmp_path, spool, more=more) as (plain, _, entry):
        assert not reading.is_encrypted(entry.path)
        settings = plain.model_copy(update={"encrypt_recordings": True})
        steps = [step async for step in old.encrypt(engine, settings)]
        assert [(step.done, step.failed) for step in steps] == [(1, "")]
        loop = Uploads(engine, settings)
        await loop.look(clock.now())
        await loop.look(clock.now() + SECOND)
        bucket = Store(settings)
        keys = await asyncio.to_thread(lambda: [one.key for one in bucket.listed()])
        assert keys == [f"{entry.path}{reading.SUFFIX}"]
        assert not list(settings.recordings_dir.rglob("*.wav*"))
        await copying.verify(engine, settings, ONE)


async def test_a_deletion_takes_the_object_along_and_certifies_nothing_before(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, proxy, entry):
        doomed = [deletion.Doomed(entry, "default")]
        proxy.up = False
        kept = await deletion.carry_out(engine, settings, doomed, by="cli:wang", absent=True)
        assert kept.done == []
        [(call, why)] = kept.kept
        assert call == ONE
        assert "s3://" in why
        proxy.up = True
        assert (await copying.verify(engine, settings, ONE)).call == ONE
        gone = await deletion.carry_out(engine, settings, doomed, by="cli:wang")
        assert (gone.done, gone.kept) == ([ONE], [])
        assert not await asyncio.to_thread(reading.is_there, settings, entry)
        with pytest.raises(LedgerError, match="was deleted on"):
            await copying.verify(engine, settings, ONE)
        assert [said async for _, said in copying.verify_all(engine, settings)] == [""]
        assert await strangers(engine, settings) == []
        back = tmp_path / "back"
        back.write_bytes(b"of a backup")
        await Store(settings).put(back, entry.path, print_of(back), None)
        assert await strangers(engine, settings) == [f"{settings.recording_store}/{entry.path}"]


async def strangers(engine: AsyncEngine, settings: Settings) -> list[str]:
    """Files and objects that an audit finds without a row."""
    found = await completeness.audit(engine, settings, None)
    return [one.file for one in found.findings if one.kind is AuditKind.ORPHAN_FILE]


async def test_a_deletion_that_the_store_interrupts_is_finished_later(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, proxy, entry):
        begun = await deletion._begin(
            engine,
            [deletion.Doomed(entry, "default")],
            {ONE: True},
            "recorder",
            "",
            deletion.Deleted(),
        )
        assert [one.call for one in begun] == [ONE]
        proxy.up = False
        kept = await deletion.resume(engine, settings)
        assert (kept.done, len(kept.kept)) == ([], 1)
        proxy.up = True
        assert (await deletion.resume(engine, settings)).done == [ONE]
        assert not await asyncio.to_thread(reading.is_there, settings, entry)


async def test_an_audit_reads_the_store_and_finds_what_no_row_names(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, _, entry):
        found = await completeness.audit(engine, settings, None)
        assert (found.findings, found.files) == ([], 1)
        async with engine.begin() as connection:
            await connection.execute(delete(recording))
        kinds = {
            (one.kind, one.file)
            for one in (await completeness.audit(engine, settings, None)).findings
        }
        assert (AuditKind.ORPHAN_FILE, f"{settings.recording_store}/{entry.path}") in kinds


async def test_check_tries_the_store(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    async with stored(engine, seaweed, tmp_path, spool) as (settings, proxy, entry):
        assert await check.store(settings) == [
            (True, f"recordings go to {settings.recording_store}, which gives them back")
        ]
        locked = settings.model_copy(update={"store_lock": "compliance"})
        assert (await check.store(locked))[1][1].startswith("HOTLINE_STORE_LOCK: ")
        proxy.up = False
        ((fine, said),) = await check.store(settings)
        assert not fine
        assert "cannot be reached" in said
        proxy.up = True
        names = [
            one.key
            for one in Store(
                seaweed.settings(tmp_path, settings.recording_store[5:].split("/")[0])
            ).listed()
        ]
        assert names == [entry.path]


async def test_a_reader_in_another_process_can_say_what_is_wrong(tmp_path: Path) -> None:
    import pickle

    from recorder.vault.trouble import StoreGoneError, StoreTrouble

    for made in (StoreError(StoreTrouble.SLOW, "slow"), StoreGoneError(StoreTrouble.GONE, "gone")):
        again = pickle.loads(pickle.dumps(made))  # noqa: S301
        assert (type(again), str(again), again.trouble) == (type(made), str(made), made.trouble)


async def test_each_file_is_read_once_to_be_compared_and_heard(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    wav = {"recording_format": "wav"}
    async with stored(engine, seaweed, tmp_path, spool, 600, wav) as (settings, proxy, entry):
        before = proxy.received
        assert (await copying.verify(engine, settings, ONE)).call == ONE
        verified = proxy.received
        await completeness.audit(engine, settings, None)
        audited = proxy.received
    # Beside the sound: the slot, the last part, and the first one, each with what is read ahead.
    for read in (verified - before, audited - verified):
        assert entry.size < read < entry.size * 1.2


async def test_over_tls_only_a_store_whose_certificate_is_trusted(
    engine: AsyncEngine, seaweed: Seaweed, tmp_path: Path, spool: Spool
) -> None:
    by_tls = {"store_endpoint": f"https://127.0.0.1:{seaweed.tls}"}
    name = seaweed.make_one("tls")
    settings = seaweed.settings(tmp_path, name, **by_tls, store_ca=seaweed.ca)
    await write(engine, a_call(ONE, 10, talk=5))
    spool(ONE, 10)
    entry = await finishing.finish(engine, settings, ONE)

    stranger = Authority(tmp_path / "stranger").ca
    for told in (
        seaweed.settings(tmp_path, name, **by_tls),
        seaweed.settings(tmp_path, name, **by_tls, store_ca=stranger),
    ):
        with capture_logs() as logs:
            await Uploads(engine, told).look(clock.now())
        (said,) = [one["why"] for one in logs if one["event"] == "store.away"]
        assert "certificate" in said
        with pytest.raises(StoreError, match="certificate"):
            await Store(told).probe()
    assert (settings.recordings_dir / entry.path).exists()

    loop = Uploads(engine, settings)
    await loop.look(clock.now())
    await loop.look(clock.now() + SECOND)
    assert not (settings.recordings_dir / entry.path).exists()
    assert (await copying.verify(engine, settings, ONE)).call == ONE
    out = tmp_path / "out.mp4"
    await copying.export(engine, settings, ONE, out)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == entry.sha256
    assert await Store(settings).probe() == []
