"""One controller a database: two would end each other's calls and work on the same callbacks.

The database has one row that names the controller at work. It counts up `beats` every `BEAT` seconds. Whoever starts
elsewhere watches that count for `WATCH` seconds: if it moves, they are refused; if it stands still, they take over. No
clock is compared, so a clock that is set changes nothing. With the database away nobody beats and nobody starts.

A start in the same place (this boot of this machine, this home) takes over without watching: there the file lock of
`alone` says whether the one before is alive, and the kernel drops it when a process is killed.
"""

import asyncio
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from base.migrations import DatabaseError
from base.settings import Settings
from base.tables import lease

log = structlog.get_logger(__name__)

BEAT = 3.0
WATCH = 15.0
POLL = 1.0
"""Seconds; see the module's docstring. `POLL`: between two looks while watching."""
_ANSWER_WITHIN = 5.0


class _Seen(NamedTuple):
    holder: str
    place: str
    node: str
    beats: int


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the only controller of this home. Raises `DatabaseError` when there is another."""
    settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(settings.run_dir / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise DatabaseError(
            f"{settings.root} 的控制程序已在运行 / the controller of {settings.root} is running already"
        ) from None
    finally:
        os.close(lock)


class Lease:
    """This process's right to work on the database. `lost` is True once another has it."""

    def __init__(self, engine: AsyncEngine, settings: Settings) -> None:
        self.lost = False
        self._engine = engine
        self._node = settings.node
        self._place = _place(settings.root)
        self._holder = uuid.uuid4().hex

    async def take(self) -> None:
        """Get the lease. Takes `WATCH` seconds if another place had it and died. Raises `DatabaseError`."""
        loop = asyncio.get_running_loop()
        first = await self._row()
        until = loop.time() + WATCH
        while first is not None and first.holder and first.place != self._place:
            await asyncio.sleep(POLL)
            row = await self._row()
            if row is None or (row.holder, row.beats) != (first.holder, first.beats):
                self._refuse(first.node)
            if loop.time() >= until:
                log.warning("lease.taken_over", node=first.node)
                break
        if not await self._enter(first):
            self._refuse("" if first is None else first.node)

    async def run(self, gone: Callable[[], object]) -> None:
        """Beat for ever. `gone` is called when another has taken the lease: then this process must end."""
        while not self.lost:
            await asyncio.sleep(BEAT)
            try:
                async with asyncio.timeout(_ANSWER_WITHIN):
                    self.lost = not await self._beat()
            except Exception:
                # Nobody else can take the lease while the database is away.
                log.debug("lease.no_beat", exc_info=True)
        log.critical(
            "lease.lost", effect="another controller works on this database; this one stops"
        )
        gone()

    async def release(self) -> None:
        """Let another place start at once. An absent database is no error."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN), self._engine.begin() as connection:
                mine = lease.c.holder == self._holder
                await connection.execute(update(lease).where(mine).values(holder=""))
        except Exception:
            log.warning("lease.not_released", exc_info=True)

    async def _row(self) -> _Seen | None:
        columns = lease.c
        question = select(columns.holder, columns.place, columns.node, columns.beats)
        async with self._engine.connect() as connection:
            row = (await connection.execute(question)).one_or_none()
        return None if row is None else _Seen(*row)

    async def _enter(self, before: _Seen | None) -> bool:
        """Write this holder in place of the one that was seen. False when somebody else was quicker."""
        values = {"holder": self._holder, "place": self._place, "node": self._node}
        try:
            async with self._engine.begin() as connection:
                if before is None:
                    await connection.execute(insert(lease).values(id=1, beats=1, **values))
                    return True
                same = (lease.c.holder == before.holder) & (lease.c.beats == before.beats)
                done = await connection.execute(
                    update(lease).where(same).values(beats=before.beats + 1, **values)
                )
                return done.rowcount == 1
        except IntegrityError:
            return False

    async def _beat(self) -> bool:
        mine = lease.c.holder == self._holder
        async with self._engine.begin() as connection:
            done = await connection.execute(
                update(lease).where(mine).values(beats=lease.c.beats + 1)
            )
        # The row is gone when the database was brought back from a backup.
        return done.rowcount == 1 or (await self._row() is None and await self._enter(None))

    def _refuse(self, node: str) -> None:
        raise DatabaseError(
            f"另一个 Hotline（节点 {node or '?'}）正在使用这个数据库：请先停止它，或为本机另设 HOTLINE_DATABASE_URL / "
            f"another Hotline (node {node or '?'}) works on this database: stop that one first, or give this one a "
            "HOTLINE_DATABASE_URL of its own"
        )


def _place(root: Path) -> str:
    """This boot of this machine, and this home. A copied home, machine or container is another place."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        home = root.stat()
    except OSError:
        return uuid.uuid4().hex
    return f"{boot}:{home.st_dev}:{home.st_ino}"
