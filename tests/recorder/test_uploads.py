"""Recordings on their way to the store: none is lost, none is there twice, and the copy here goes last."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from base import clock
from base.settings import Settings
from facts.times import DAY, HOUR, SECOND
from recorder import copying, finishing, ledger
from recorder.entry import LedgerEntry
from recorder.tables import recording, stored
from recorder.vault import objects, uploads
from recorder.vault.store import FilePrint, Store, print_of
from recorder.vault.trouble import StoreError, StoreTrouble
from recorder.vault.uploads import Uploads
from tests.recorder.conftest import NOW, Spool, a_call, call_id, write
from tests.seaweed import Seaweed, proxied

ONE = call_id(1)


async def entered(
    engine: AsyncEngine, settings: Settings, spool: Spool, *calls: str
) -> LedgerEntry:
    """Recordings that the archive has just finished. Gives the first one's row."""
    for call in calls:
        await write(engine, a_call(call))
        spool(call)
        await finishing.finish(engine, settings, call)
    return (await ledger.look_up(engine, calls))[calls[0]]


async def states(engine: AsyncEngine) -> dict[str, tuple[str, bool]]:
    """Of each call: its state, and whether its copy here is gone."""
    async with engine.connect() as connection:
        rows = await connection.execute(select(stored))
        return {row.call: (row.state, row.left_at > 0) for row in rows}


class FakeBucket:
    """A bucket in memory that fails as it is told."""

    def __init__(self) -> None:
        self.objects: dict[str, FilePrint] = {}
        self.fails: StoreTrouble | None = None
        self.puts: list[str] = []
        self.proven: list[str] = []
        self.at_once = self.most_at_once = 0

    async def put(self, file: Path, key: str, known: FilePrint, before: FilePrint | None) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        self.puts.append(key)
        if self.fails is not None:
            raise StoreError(self.fails, "the store cannot")
        if self.objects.get(key, known) not in (known, before):
            raise StoreError(StoreTrouble.OTHER, "another object")
        self.objects[key] = known

    async def prove(self, key: str, known: FilePrint) -> None:
        self.proven.append(key)
        if self.objects.get(key) != known:
            raise StoreError(StoreTrouble.OTHER, "it is another")

    async def delete(self, key: str) -> int:
        return 0 if self.objects.pop(key, None) is None else 1

    async def lock(self, key: str, mode: str, until: int) -> bool:
        return False

    async def drop_left(self, now: int) -> int:
        return 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Seaweed(1).settings(tmp_path, "bucket")
    made.spool_dir.mkdir(parents=True)
    return made


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> FakeBucket:
    made = FakeBucket()
    monkeypatch.setattr(uploads, "Store", lambda settings: made)
    monkeypatch.setattr("recorder.vault.store.Store", lambda settings: made)
    monkeypatch.setattr("base.clock.now", lambda: NOW)
    return made


async def test_the_copy_here_goes_once_the_store_is_proven_to_have_it(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    entry = await entered(engine, settings, spool, ONE)
    file = settings.recordings_dir / entry.path
    known = print_of(file)
    bucket.fails = StoreTrouble.AWAY
    loop = Uploads(engine, settings)
    await loop.look(NOW)
    assert await states(engine) == {ONE: ("uploading", False)}
    assert file.exists()
    bucket.fails = None
    await loop.look(NOW + HOUR)
    assert await states(engine) == {ONE: ("stored", True)}
    assert not file.exists()
    assert bucket.objects == {entry.path: known}


async def test_a_store_that_is_away_is_asked_at_longer_and_longer_pauses(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    await entered(engine, settings, spool, *map(call_id, range(1, 10)))
    bucket.fails = StoreTrouble.AWAY
    loop = Uploads(engine, settings)
    with capture_logs() as logs:
        for second in range(120):
            await loop.look(NOW + second * SECOND)
        bucket.fails = None
        await loop.look(NOW + HOUR)
    # 2, 4, 8, 16, 32, 64 seconds, and four recordings each time
    assert len(bucket.puts) <= 7 * settings.store_parallel + 9
    said = [entry["on"] for entry in logs if entry["event"] == "store.away"]
    assert said == [True, False]
    assert set((await states(engine)).values()) == {("stored", True)}


async def test_so_many_are_sent_at_a_time(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    few = settings.model_copy(update={"store_parallel": 2})
    await entered(engine, few, spool, *map(call_id, range(1, 8)))
    await Uploads(engine, few).look(NOW)
    assert bucket.most_at_once == 2
    assert len(bucket.objects) == 7


async def test_one_recording_in_trouble_keeps_no_other_back(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    first = await entered(engine, settings, spool, ONE, call_id(2), call_id(3))
    bucket.objects[first.path] = FilePrint(1, "somebody else's")
    broken = settings.recordings_dir / first.path.replace(ONE, call_id(2))
    content = bytearray(broken.read_bytes())
    content[5000] ^= 1
    broken.write_bytes(content)
    loop = Uploads(engine, settings)
    with capture_logs() as logs:
        for second in range(3):
            await loop.look(NOW + second * SECOND // 2)
    why = {
        entry["call_id"]: entry["why"] for entry in logs if entry["event"] == "recording.not_stored"
    }
    assert why[ONE] == "another object"
    assert why[call_id(2)].endswith("is not what was entered: its SHA-256 differs")
    assert len([entry for entry in logs if entry["event"] == "recording.not_stored"]) == 2
    found = await states(engine)
    assert found == {
        ONE: ("uploading", False),
        call_id(2): ("local", False),
        call_id(3): ("stored", True),
    }
    assert (settings.recordings_dir / first.path).exists()
    assert broken.exists()


async def test_a_copy_stays_for_days_and_goes_after_another_proof(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    kept = settings.model_copy(update={"store_keep_days": 7})
    first = await entered(engine, kept, spool, ONE, call_id(2))
    loop = Uploads(engine, kept)
    await loop.look(NOW)
    await loop.look(NOW + 7 * DAY - SECOND)
    assert await states(engine) == {ONE: ("stored", False), call_id(2): ("stored", False)}
    assert bucket.proven == []
    # The store has lost one of them meanwhile: it is put again, and its copy stays.
    del bucket.objects[first.path]
    await loop.look(NOW + 7 * DAY)
    assert await states(engine) == {ONE: ("local", False), call_id(2): ("stored", True)}
    assert (kept.recordings_dir / first.path).exists()
    await loop.look(NOW + 7 * DAY + 60 * SECOND)
    assert (await states(engine))[ONE][0] == "stored"
    assert first.path in bucket.objects


async def test_a_recording_that_became_longer_replaces_the_object(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    kept = settings.model_copy(update={"store_keep_days": 7})
    before = await entered(engine, kept, spool, ONE)
    loop = Uploads(engine, kept)
    await loop.look(NOW)
    spool(ONE, seconds=12)
    with pytest.MonkeyPatch.context() as later:
        later.setattr("base.clock.now", lambda: NOW + SECOND)
        after = await finishing.finish(engine, kept, ONE)
    assert after.sha256 != before.sha256
    await loop.look(NOW + 2 * SECOND)
    assert bucket.objects == {after.path: print_of(kept.recordings_dir / after.path)}
    assert await states(engine) == {ONE: ("stored", False)}


async def test_a_file_that_is_being_replaced_is_not_removed(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    entry = await entered(engine, settings, spool, ONE)
    file = settings.recordings_dir / entry.path
    real = bucket.put

    async def and_then_replaced(
        place: Path, key: str, known: FilePrint, before: FilePrint | None
    ) -> None:
        await real(place, key, known, before)
        file.write_bytes(b"the archive's newer file, whose row is not entered yet")

    bucket.put = and_then_replaced  # type: ignore[assignment,method-assign]
    loop = Uploads(engine, settings)
    await loop.look(NOW)
    await loop.look(NOW + SECOND)
    assert file.read_bytes().startswith(b"the archive's newer file")
    assert await states(engine) == {ONE: ("stored", False)}
    assert [one.name for one in file.parent.iterdir()] == [file.name]


async def test_recordings_of_before_are_sent_too_and_another_nodes_are_not(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    loop = Uploads(engine, settings)
    await loop.look(NOW + 30 * DAY)
    await entered(engine, settings, spool, ONE)
    await loop.look(NOW + 30 * DAY + SECOND)
    assert (
        await states(engine) == {}
    )  # it seems to be long ago: the next look at all of it finds it
    await loop.look(NOW + 31 * DAY)
    assert (await states(engine))[ONE][0] == "stored"
    other = settings.model_copy(update={"node": "other"})
    async with engine.begin() as connection:
        await connection.execute(delete(stored))
    await Uploads(engine, other).look(NOW)
    assert await states(engine) == {}


async def test_nothing_runs_without_a_store(engine: AsyncEngine, tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        await uploads.run(engine, Settings(home=tmp_path), asyncio.Event())


async def test_a_wrong_setting_is_said_and_does_not_end_the_loop(
    engine: AsyncEngine, settings: Settings, spool: Spool
) -> None:
    await entered(engine, settings, spool, ONE)
    bare = settings.model_copy(update={"store_key_id": type(settings.store_key_id)("")})
    with capture_logs() as logs:
        await Uploads(engine, bare).look(NOW)
    assert [entry["why"][:34] for entry in logs if entry["event"] == "store.away"] == [
        "the store's access key is not set:"
    ]


async def test_what_is_forgotten_is_deleted(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    await entered(engine, settings, spool, ONE, call_id(2))
    await Uploads(engine, settings).look(NOW)
    assert await objects.forget(engine, settings, [ONE, call_id(3)]) == 1
    assert list(await states(engine)) == [call_id(2)]
    assert len(bucket.objects) == 1


async def test_the_backlog(
    engine: AsyncEngine, settings: Settings, spool: Spool, bucket: FakeBucket
) -> None:
    async def waits() -> objects.Backlog:
        async with engine.connect() as connection:
            return await objects.backlog(connection)

    assert await waits() == objects.Backlog(0, 0)
    await entered(engine, settings, spool, ONE, call_id(2))
    bucket.fails = StoreTrouble.FULL
    loop = Uploads(engine, settings)
    await loop.look(NOW)
    assert await waits() == objects.Backlog(2, NOW)
    bucket.fails = None
    await loop.look(NOW + HOUR)
    assert await waits() == objects.Backlog(0, 0)


# --- a real server


@pytest.mark.live
async def test_recordings_wait_while_the_store_is_away_and_go_by_themselves(
    engine: AsyncEngine, tmp_path: Path, spool: Spool, seaweed: Seaweed, settings: Settings
) -> None:
    name = seaweed.make_one("away")
    async with proxied(seaweed) as (proxy, before):
        real = before.settings(tmp_path, name)
        proxy.up = False
        stop = asyncio.Event()
        await entered(engine, real, spool, *map(call_id, range(1, 6)))
        running = asyncio.get_running_loop().create_task(uploads.run(engine, real, stop))
        async with asyncio.timeout(20):
            while not await states(engine):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        assert {state for state, _ in (await states(engine)).values()} <= {"local", "uploading"}
        proxy.up = True
        async with asyncio.timeout(30):
            while set((await states(engine)).values()) != {("stored", True)}:
                await asyncio.sleep(0.1)
        stop.set()
        await running
    objects = {one.key: one.size for one in Store(seaweed.settings(tmp_path, name)).listed()}
    async with engine.connect() as connection:
        rows = (await connection.execute(select(recording))).all()
    assert objects.keys() == {row.path for row in rows}
    assert not list(real.recordings_dir.rglob("*.wav*"))


@pytest.mark.live
@pytest.mark.timeout(120)
async def test_a_recorder_that_is_killed_while_it_sends_leaves_each_object_once(
    engine: AsyncEngine, tmp_path: Path, spool: Spool, seaweed: Seaweed, settings: Settings
) -> None:
    name = seaweed.make_one("kills")
    script = (
        "import asyncio\n"
        "from base import database\n"
        "from base.settings import load\n"
        "from recorder.vault import uploads\n"
        "async def main():\n"
        "    settings = load()\n"
        "    await uploads.run(database.engine(settings.database), settings, asyncio.Event())\n"
        "asyncio.run(main())\n"
    )
    async with proxied(seaweed) as (proxy, before):
        real = before.settings(tmp_path, name, store_parallel=2, recording_format="wav")
        for number in range(1, 9):
            call = call_id(number)
            await write(engine, a_call(call, seconds=400))
            spool(call, seconds=400)  # 12.8 MB: two parts
            await finishing.finish(engine, real, call)
        environment = {
            **os.environ,
            **before.environment(name),
            "HOTLINE_HOME": str(tmp_path),
            "HOTLINE_DATABASE_URL": engine.url.render_as_string(hide_password=False),
            "HOTLINE_STORE_PARALLEL": "2",
        }
        for kill in range(5):
            proxy.sent = 0
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", script, env=environment
            )
            try:
                async with asyncio.timeout(60):
                    while proxy.sent < (7 + 4 * kill) << 20 and process.returncode is None:
                        await asyncio.sleep(0.005)
                assert process.returncode is None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
    direct = seaweed.settings(tmp_path, name)
    loop = Uploads(engine, direct)
    async with asyncio.timeout(60):
        while set((await states(engine)).values()) != {("stored", True)}:
            await loop.look(clock.now())
            await asyncio.sleep(0.1)
    bucket = Store(direct)
    async with engine.connect() as connection:
        rows = (await connection.execute(select(recording))).all()
    assert [one.key for one in bucket.listed()] == sorted(row.path for row in rows)
    assert [said async for _, said in copying.verify_all(engine, direct)] == [""] * 8
    assert not list(real.recordings_dir.rglob("*.wav*"))


@pytest.mark.live
async def test_a_locked_bucket_gets_a_lock_and_an_unlocked_one_does_not_mind(
    engine: AsyncEngine, tmp_path: Path, spool: Spool, seaweed: Seaweed, settings: Settings
) -> None:
    entry = await entered(engine, settings, spool, ONE)
    for lock in (True, False):
        name = seaweed.make_one("lock", lock=lock)
        real = seaweed.settings(
            tmp_path, name, store_lock="governance", store_lock_days=36_000, store_keep_days=9
        )
        async with engine.begin() as connection:
            await connection.execute(delete(stored))
        await Uploads(engine, real).look(NOW)
        assert (await states(engine))[ONE] == ("stored", False)
        if lock:
            with pytest.raises(StoreError, match="object lock"):
                await Store(real).delete(entry.path)
        else:
            assert await Store(real).delete(entry.path) == 1
