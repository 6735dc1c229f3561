"""What the recorder has yet to do, how fast it goes on, and when it will be through. All of it is counts: no numbers.

A raw file waits from the moment at which it has not changed for `policy.SETTLED`: Asterisk writes to those of calls
that go on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base.settings import Settings
from facts.times import SECOND
from recorder import spool
from recorder.policy import FRAME, RATE, SETTLED
from recorder.spool import RawFile
from recorder.tables import recording, stored
from recorder.vault import objects

MEASURED: Final = 300 * SECOND
"""The pace is that of the last five minutes."""
MANY: Final = 100
"""So many waiting files are told of in the log."""
FEW: Final = 10
"""And with so few the backlog is over."""
TELL_EVERY: Final = 30 * SECOND


@dataclass(frozen=True, slots=True)
class WaitingWork:
    """`files` wait, with `sound` in them (microseconds); the oldest since `since` (microseconds UTC, 0: none waits).

    Of what waits for the store the sound is not counted.
    """

    files: int = 0
    sound: int = 0
    since: int = 0

    def age(self, now: int) -> float:
        """Seconds for which the oldest has waited."""
        return max(0, now - self.since) / SECOND if self.since else 0.0


@dataclass(frozen=True, slots=True)
class WorkPace:
    """What was done within `span` (microseconds): so many `files`, with so much `sound` (microseconds) in them."""

    files: int = 0
    sound: int = 0
    span: int = SECOND

    @property
    def files_per_second(self) -> float:
        """Files a second."""
        return self.files * SECOND / self.span

    @property
    def sound_per_second(self) -> float:
        """Seconds of sound a second."""
        return self.sound / self.span

    def left(self, backlog: WaitingWork) -> float | None:
        """Seconds until all of it is done at this pace, whichever takes longer; None if nothing was done lately."""
        if not backlog.files:
            return 0.0
        if not self.files:
            return None
        by_sound = backlog.sound / self.sound if self.sound else 0.0
        return max(by_sound, backlog.files / self.files) * self.span / SECOND


Work: TypeAlias = tuple[WaitingWork, WorkPace]


def waiting(raws: Iterable[RawFile], now: int) -> WaitingWork:
    """What waits of these raw files."""
    # One from the future waits, too: the clock was put back.
    quiet = [raw for raw in raws if not 0 <= now - raw.changed < SETTLED]
    sound = sum(raw.size // FRAME for raw in quiet) * SECOND // RATE
    return WaitingWork(len(quiet), sound, min((raw.changed for raw in quiet), default=0))


async def read(engine: AsyncEngine, settings: Settings, now: int) -> tuple[Work, Work | None]:
    """What waits for the recorder, what for the store (None without one), and how fast they go.

    Raises `OSError` if the spool cannot be read.
    """
    raws, _ = spool.look(settings.spool_dir)
    async with engine.connect() as connection:
        finished = waiting(raws.values(), now), await _finished(connection, now)
        if not settings.recording_store:
            return finished, None
        known = await objects.backlog(connection)
        return finished, (WaitingWork(known.count, 0, known.since), await _stored(connection, now))


async def _finished(connection: AsyncConnection, now: int) -> WorkPace:
    done = recording.c.finished_at
    return await _pace(connection, now, done, recording.c.duration, recording.c.path != "")


async def _stored(connection: AsyncConnection, now: int) -> WorkPace:
    return await _pace(connection, now, stored.c.stored_at, literal(0), true())


async def _pace(
    connection: AsyncConnection,
    now: int,
    done: ColumnElement[int],
    sound: ColumnElement[int],
    counts: ColumnElement[bool],
) -> WorkPace:
    """The files of a batch are done in one moment: so those count that were done after the first such moment."""
    what = select(func.count(), func.coalesce(func.sum(sound), 0)).where(counts)
    lately = done > now - MEASURED
    first = await connection.scalar(select(func.min(done)).where(lately, counts))
    files, length = (await connection.execute(what.where(done > (first or now)))).one()
    if first and files:
        return WorkPace(files, int(length), max(SECOND, now - first))
    files, length = (await connection.execute(what.where(lately))).one()
    return WorkPace(files, int(length), MEASURED)


class Progress:
    """What the recorder says of a backlog in its log: at its beginning, from time to time, at its end."""

    def __init__(self) -> None:
        self._began = self._told = 0
        self._files = self._sound = 0
        self._all = 0

    def finished(self, files: int, sound: int) -> None:
        """So many files were finished, with so much sound in them (microseconds)."""
        self._files += files
        self._sound += sound

    def tell(self, backlog: WaitingWork, now: int) -> Mapping[str, object] | None:
        """The fields of a line that is due at `now`, else None. With `waiting` 0 the backlog is over."""
        if not self._began:
            if backlog.files < MANY:
                self._files = self._sound = 0
                return None
            self._began = self._told = now
            self._files = self._sound = self._all = 0
            return _fields(backlog, now)
        over = backlog.files <= FEW
        if not over and now - self._told < TELL_EVERY:
            return None
        self._all += self._files
        pace = WorkPace(self._files, self._sound, max(SECOND, now - self._told))
        fields = {
            **_fields(backlog, now),
            "done": self._all,
            "sound_per_second": round(pace.sound_per_second, 1),
            "took": round((now - self._began) / SECOND),
        }
        if (left := pace.left(backlog)) is not None:
            fields["left"] = round(left)
        self._told, self._files, self._sound = now, 0, 0
        if over:
            self._began = 0
        return fields


def _fields(backlog: WaitingWork, now: int) -> dict[str, object]:
    return {
        "waiting": backlog.files,
        "sound_seconds": round(backlog.sound / SECOND),
        "oldest_seconds": round(backlog.age(now)),
    }
