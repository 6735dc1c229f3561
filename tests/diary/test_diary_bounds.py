"""How much the diary holds in memory, and how much it sends at once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from base import database
from base.retry import Schedule
from diary import writer
from diary.spool import Row
from diary.writer import BATCH, Diary
from facts import AgentReady
from facts.times import SECOND

T = 1_763_700_000 * SECOND


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY", Schedule(0.02, 0.02))
    monkeypatch.setattr(writer, "FLUSH_EVERY", 0.01)


class Sent(Diary):
    """A diary whose database only counts what it is sent."""

    def __init__(self, folder: Path) -> None:
        super().__init__(database.engine("sqlite+aiosqlite://"), folder)
        self.sizes: list[int] = []

    async def _send(self, rows: Sequence[Row]) -> None:
        self.sizes.append(len(rows))


def write(book: Diary, count: int) -> None:
    for n in range(count):
        book.write(AgentReady(T + n, "1001"))


async def test_what_neither_database_nor_disk_takes_stays_in_memory_up_to_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MOST_IN_MEMORY", 50)
    (tmp_path / "run").write_text("a file where the folder should be")
    away = database.engine(f"sqlite+aiosqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    book = Diary(away, tmp_path / "run")
    book.start()
    with capture_logs() as logs:
        write(book, 49)
        async with asyncio.timeout(20):
            while "diary.journal_failed" not in [line["event"] for line in logs]:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert (book.waiting, book.lost) == (49, 0)
        write(book, 1)
        async with asyncio.timeout(20):
            while not book.lost:
                await asyncio.sleep(0.01)
        assert (book.waiting, book.lost) == (0, 50)
        # The next ones stay again, and what is lost afterwards is counted without a second alarm.
        write(book, 50)
        async with asyncio.timeout(20):
            while book.lost < 100:
                await asyncio.sleep(0.01)
    assert [line["event"] for line in logs] == ["diary.away", "diary.journal_failed", "diary.lost"]
    await book.close()
    await away.dispose()


def test_the_bound_is_an_hour_of_the_busiest_hotline() -> None:
    """A million facts would be most of a small machine's memory; a thousand would be gone within a minute."""
    assert 100_000 <= writer._MOST_IN_MEMORY <= 500_000
    assert 100 <= BATCH <= 1000


async def test_no_insert_has_more_rows_than_a_batch(tmp_path: Path) -> None:
    book = Sent(tmp_path)
    write(book, 2 * BATCH + 1)
    book.start()
    assert await book.flush()
    assert book.sizes == [BATCH, BATCH, 1]
    await book.close()


async def test_a_journal_is_sent_in_batches_too(tmp_path: Path) -> None:
    before = Sent(tmp_path)
    write(before, BATCH + 1)
    await before.close()
    book = Sent(tmp_path)
    assert book.waiting == BATCH + 1
    book.start()
    assert await book.flush()
    assert book.sizes == [BATCH, 1]
    await book.close()


async def test_a_full_batch_does_not_wait_for_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "FLUSH_EVERY", 30.0)
    book = Sent(tmp_path)
    book.start()
    write(book, BATCH - 1)
    await asyncio.sleep(0.05)
    assert book.sizes == []
    write(book, 1)
    await asyncio.sleep(0.05)
    assert book.sizes == [BATCH]
    await book.close()


async def test_the_order_is_kept_within_one_moment(tmp_path: Path) -> None:
    book = Sent(tmp_path)
    write(book, 1000)
    ids = [row_id for row_id, _ in book._queue]
    assert ids == sorted(set(ids))
    # Two writers never give the same id: their ten bits differ, or else their moments do.
    assert len({row_id & 1023 for row_id in ids}) == 1
    await book.close()
