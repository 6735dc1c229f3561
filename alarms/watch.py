"""Watches a process: takes readings, keeps the table of alarms, and sends each alarm once to each address.

Nothing here waits for anything else. Looking (every second) is arithmetic. Readings that need a disk or the database
are taken by a task of their own (`slow`). Rows are written when the database takes them. Each address has a task of its
own, which tries again until the message is accepted. No error ends any of them.
"""

import asyncio
import contextlib
import shutil
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Sequence,
)
from dataclasses import asdict, replace
from typing import Any, Final

import structlog
from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from alarms import tables as alarms_tables
from alarms.rules import Alarm, Alarms, Key, Readings, Rule, changed
from base import clock, notify
from base.background import spawn
from base.bus import Bus
from base.retry import Schedule
from base.settings import Settings, SettingsError
from diary import tables as diary_tables
from facts import CallbackMissed, CallRefused, DialRefused, RecordingMissing
from facts.terms import Severity
from facts.times import SECOND, local
from quality import weekly
from recorder import backlog, deletion, exports, listening, press, spool
from recorder import tables as recorder_tables
from recorder.forms import RecordingForm
from recorder.vault import keys, objects
from recorder.vault.crypt import VaultError
from speech import shelf

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
SLOW_EVERY = 10.0
"""Seconds between two looks at disk and database."""
RETRY = Schedule(first=2.0, longest=300.0, factor=3.0, jitter=0.1)
"""Between the attempts to send."""
_LAST_LETTERS = 5.0
"""Seconds that a stop waits for letters that are being sent."""
_GIVE_UP = 86_400 * SECOND
"""Microseconds after which an alarm that was not sent is not sent any more."""
_HOUR = 3600 * SECOND

ESCALATES: Final = "red_button_unseen"
"""The rule whose value says how often it has escalated."""
ELSEWHERE = frozenset({"stale_figures"})
"""Rules about the controller itself: watched by the process that shows its figures (`hotline web`)."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """The rules with what the settings change. Raises `SettingsError`."""
    least = float(settings.min_free_mb)
    disk = {"raise_at": least, "clear_at": least * 1.1, **settings.alarms.get("disk_low", {})}
    try:
        return changed({**settings.alarms, "disk_low": disk})
    except ValueError as error:
        raise SettingsError(f"HOTLINE_ALARMS, hotline.toml: {error}") from None


class Watch:
    """The alarms of one process.

    `quick` measures without waiting; `slow` may wait, and is asked every `slow_every` seconds. A reading that cannot be
    taken raises no alarm and clears none. `urls`: where alarms are sent. `higher`: where those of `ESCALATES` go as
    well, the first address from the first escalation on, the second from the second on, and so forth.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        urls: Sequence[str],
        watched: Iterable[Rule],
        quick: Callable[[int], Readings],
        slow: Callable[[int], Awaitable[Readings]] | None = None,
        slow_every: float = SLOW_EVERY,
        higher: Sequence[str] = (),
    ) -> None:
        self._engine = engine
        self._rules = tuple(watched)
        self._book = Alarms(self._rules)
        self._quick = quick
        self._slow = slow
        self._slow_every = slow_every
        self._measured: dict[Key, float | None] = {}
        levels = {url: level for level, url in reversed([*enumerate(higher, 1)])}
        levels |= dict.fromkeys(urls, 0)
        self._letters = {
            url: _Letters(url, self._delivered, level) for url, level in levels.items()
        }
        self._known: dict[str, Alarm] = {}
        self._sent: dict[str, dict[str, list[str]]] = {}
        self._unsaved: set[str] = set()
        self._restored = False
        self._save = asyncio.Event()
        self._troubles: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin. Needs the running loop."""
        self._tasks = [
            spawn(self._look_for_ever(), "alarms"),
            spawn(self._save_for_ever(), "alarms' table"),
            *(spawn(one.run(), "alarms' letters") for one in self._letters.values()),
        ]
        if self._slow is not None:
            self._tasks.append(spawn(self._measure_for_ever(), "alarms' readings"))

    async def close(self) -> None:
        """Stop when the letters that are being sent have arrived. The others are sent after the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_LETTERS):
                await asyncio.gather(*(one.finish() for one in self._letters.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._unsaved:
            await self._guarded("alarms.not_saved", self._write)

    def open(self) -> list[Alarm]:
        """The alarms that are raised, the gravest first."""
        return self._book.open()

    def acknowledge(self, name: str, by: str) -> Alarm:
        """Acknowledge an alarm. `name`: an id, or a rule's name. Raises `UnknownAlarm`."""
        alarm = self._book.acknowledge(name, by, clock.now())
        log.info("alarm.acknowledged", alarm=alarm.id, rule=alarm.rule, by=by)
        self._keep(alarm)
        return alarm

    def look(self, now: int) -> None:
        """Take the readings of `now`, and send what is new."""
        for alarm in self._book.look({**self._measured, **self._quick(now)}, now):
            over = bool(alarm.cleared_at)
            of = "trunk" if alarm.rule.startswith("trunk_") else "agent"
            log.warning(
                "alarm.cleared" if over else "alarm.raised",
                alarm=alarm.id,
                rule=alarm.rule,
                value=round(alarm.value, 1),
                **({of: alarm.subject} if alarm.subject else {}),
            )
            self._keep(alarm)
            for letters in self._letters.values():
                letters.add(alarm, "cleared" if over else "raised")

    # --- the tasks

    async def _look_for_ever(self) -> None:
        while True:
            if not self._restored:
                await self._guarded("alarms.not_restored", self._restore)
            await self._guarded("alarms.failed", self._look)
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self) -> None:
        self.look(clock.now())

    async def _measure_for_ever(self) -> None:
        while True:
            if not await self._guarded("alarms.not_measured", self._measure):
                self._measured = dict.fromkeys(self._measured)
            await asyncio.sleep(self._slow_every)

    async def _measure(self) -> None:
        if self._slow is not None:
            self._measured = dict(await self._slow(clock.now()))

    async def _save_for_ever(self) -> None:
        while True:
            await self._save.wait()
            self._save.clear()
            if not await self._guarded("alarms.not_saved", self._write):
                await asyncio.sleep(LOOK_EVERY)
                self._save.set()

    async def _guarded(self, trouble: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something that may fail. Logs when it begins to fail, not each time; True when it went well."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 whatever it is, the next look may succeed
            if trouble not in self._troubles:
                self._troubles.add(trouble)
                log.warning(trouble, error=f"{type(error).__name__}: {error}"[:200])
            return False
        self._troubles.discard(trouble)
        return True

    # --- the table

    def _keep(self, alarm: Alarm) -> None:
        self._known[alarm.id] = alarm
        self._unsaved.add(alarm.id)
        self._save.set()

    async def _write(self) -> None:
        unsaved, self._unsaved = self._unsaved, set()
        rows = [
            {**asdict(one), "severity": one.severity.value, "sent": self._sent.get(one.id, {})}
            for one in (self._known[name] for name in unsaved)
        ]
        if not rows:
            return
        try:
            async with self._engine.begin() as connection:
                await connection.execute(
                    delete(alarms_tables.alarm).where(alarms_tables.alarm.c.id.in_(unsaved))
                )
                await connection.execute(insert(alarms_tables.alarm), rows)
        except BaseException:
            self._unsaved |= unsaved
            raise
        self._forget()

    def _forget(self) -> None:
        """Drop alarms that were cleared long ago and are in the table: they would only use memory."""
        before = clock.now() - _GIVE_UP
        old = [one.id for one in self._known.values() if 0 < one.cleared_at < before]
        for name in set(old) - self._unsaved:
            del self._known[name]
            self._sent.pop(name, None)

    async def _restore(self) -> None:
        """Take over from an earlier process: open alarms, and letters that were not accepted."""
        now = clock.now()
        table = alarms_tables.alarm.c
        question = (
            select(alarms_tables.alarm)
            .where(table.rule.in_([rule.name for rule in self._rules]))
            .where(or_(table.cleared_at == 0, table.cleared_at > now - _GIVE_UP))
            .order_by(table.raised_at)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(question)).all()
        self._restored = True
        for row in rows:
            alarm = _alarm(row)
            if alarm.id in self._known:
                continue
            self._known[alarm.id] = alarm
            self._sent[alarm.id] = {what: list(labels) for what, labels in row.sent.items()}
            if not alarm.cleared_at and not self._book.restore(alarm):
                self._keep(
                    replace(alarm, cleared_at=now)
                )  # its rule is off, or it was raised again meanwhile
                continue
            for letters in self._letters.values():
                raised, cleared = (
                    letters.names & {*row.sent.get(what, ())} for what in ("raised", "cleared")
                )
                if not raised and not alarm.cleared_at:
                    letters.add(alarm, "raised")
                if raised and alarm.cleared_at and not cleared:
                    letters.add(alarm, "cleared")

    def _delivered(self, alarm: Alarm, what: str, label: str) -> None:
        self._sent.setdefault(alarm.id, {}).setdefault(what, []).append(label)
        # The alarm may have been acknowledged or cleared since this letter was written: save its newest state.
        self._keep(self._known.get(alarm.id, alarm))


class _Letters:
    """The letters to one address, in order. `level`: it hears only of what has escalated so often; 0: of all."""

    def __init__(
        self, url: str, delivered: Callable[[Alarm, str, str], None], level: int = 0
    ) -> None:
        self._level = level
        self.label = notify.label(url)
        self.names = {self.label, notify.former_label(url)}
        self._url = url
        self._delivered = delivered
        self._waiting: asyncio.Queue[tuple[Alarm, str]] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._idle.set()
        self._finishing = False

    def add(self, alarm: Alarm, what: str) -> None:
        if not self._level or (alarm.rule == ESCALATES and alarm.value >= self._level):
            self._waiting.put_nowait((alarm, what))

    async def finish(self) -> None:
        """Begin no other letter, and wait for the one that is being sent."""
        self._finishing = True
        await self._idle.wait()

    async def run(self) -> None:
        while not self._finishing:
            alarm, what = await self._waiting.get()
            await self._carry(alarm, what)

    async def _send(self, alarm: Alarm) -> str:
        title, body, kind = letter(alarm)
        self._idle.clear()
        try:
            return await notify.send(self._url, title, body, kind=kind)
        finally:
            self._idle.set()

    async def _carry(self, alarm: Alarm, what: str) -> None:
        failures = 0
        while error := await self._send(alarm):
            failures += 1
            fields = {"alarm": alarm.id, "rule": alarm.rule, "to": self.label, "error": error}
            if clock.now() - (alarm.cleared_at or alarm.raised_at) > _GIVE_UP:
                log.warning("alarm.not_sent", **fields, effect="given up after a day")
                return
            if failures == 1:
                log.warning("alarm.not_sent", **fields, effect="it is tried again")
            await asyncio.sleep(RETRY.pause(failures))
        log.info("alarm.sent", alarm=alarm.id, rule=alarm.rule, to=self.label)
        self._delivered(alarm, what, self.label)


_MARKS = {
    Severity.CRITICAL: "严重 CRITICAL",
    Severity.WARNING: "警告 WARNING",
    Severity.INFO: "提示 INFO",
}


def letter(alarm: Alarm) -> tuple[str, str, str]:
    """Title, text and kind (see `notify.send`) of the message about an alarm, in both languages."""
    over = bool(alarm.cleared_at)
    title = f"[{'恢复 OK' if over else _MARKS[alarm.severity]}] {alarm.text('zh')}"
    lines = [alarm.text("zh"), alarm.text("en"), "", f"发生 since {_second(alarm.raised_at)}"]
    if over:
        lines.append(f"恢复 until {_second(alarm.cleared_at)}")
    else:
        lines.append(f"确认 acknowledge: hotline alarm ack {alarm.id}")
    return title, "\n".join(lines), "good" if over else alarm.severity.value


def _second(at: int) -> str:
    return local(at).strftime("%Y-%m-%d %H:%M:%S")


async def read(engine: AsyncEngine, since: int | None = None) -> list[Alarm]:
    """The open alarms; with `since` (microseconds) also those that were raised or cleared after it. Oldest first."""
    table = alarms_tables.alarm.c
    wanted = table.cleared_at == 0
    if since is not None:
        wanted = or_(wanted, table.raised_at >= since, table.cleared_at >= since)
    question = select(alarms_tables.alarm).where(wanted).order_by(table.raised_at, table.id)
    async with engine.connect() as connection:
        return [_alarm(row) for row in await connection.execute(question)]


def _alarm(row: Any) -> Alarm:
    values = {name: value for name, value in row._mapping.items() if name != "sent"}
    return Alarm(**{**values, "severity": Severity(row.severity)})


# --- what needs the disk, the database or Redis


async def recordings(engine: AsyncEngine, settings: Settings, now: int) -> dict[Key, float | None]:
    """What the recorder and the callbacks left in the diary in the last hour, and the recordings' disk."""
    disk = await asyncio.to_thread(_disk, settings, now)
    columns = diary_tables.diary.c
    question = (
        select(columns.kind, func.count())
        .where(columns.kind.in_(_COUNTED), columns.at > now - _HOUR, columns.at <= now)
        .group_by(columns.kind)
    )
    try:
        async with engine.connect() as connection:
            rows = await connection.execute(question)
            counts = {row[0]: row[1] for row in rows}
            sealed = await _seals(connection, now, stamped=bool(settings.seal_tsa))
            sealed |= await _waits_for_store(connection, settings, now)
            since = (await listening.waiting(connection, settings, now)).since
            sealed["listening_late", ""] = max(0, now - since) / _HOUR if since else 0
            asked = await exports.oldest(connection, now)
            sealed["export_late", ""] = max(0, now - asked) / _HOUR if asked else 0
            kept = await _retention(connection)
            words = await _words(connection, settings, now)
        assessed = await weekly.readings(engine, settings, now)
        unconfirmed = not (settings.trial or await deletion.is_confirmed(engine, settings))
    except Exception as error:  # noqa: BLE001 whatever a driver raises: `database_away` says it
        log.debug("alarms.database_away", error=type(error).__name__)
        return {**disk, **{(name, ""): None for name in _OF_DATABASE}}
    counted: dict[Key, float | None] = {
        (name, ""): counts.get(kind, 0) for kind, name in _COUNTED.items()
    }
    counted["retention_unconfirmed", ""] = unconfirmed
    weeks = {(name, ""): value for name, value in assessed.items()}
    return {**disk, **counted, **sealed, **kept, **words, **weeks}


_OF_SEALS: Final = (
    *("seal_late", "stamp_late", "seal_broken"),
    *("store_late", "store_backlog", "listening_late", "export_late"),
)


async def _waits_for_store(
    connection: AsyncConnection, settings: Settings, now: int
) -> dict[Key, float | None]:
    """How many recordings wait for their store, and for how many seconds the oldest does."""
    if not settings.recording_store:
        return {("store_late", ""): 0, ("store_backlog", ""): 0}
    waits = await objects.backlog(connection)
    late = max(0, now - waits.since) / SECOND if waits.since else 0
    return {("store_late", ""): late, ("store_backlog", ""): waits.count}


async def _seals(
    connection: AsyncConnection, now: int, *, stamped: bool
) -> dict[Key, float | None]:
    """Hours since the oldest row without a seal was entered, and since the oldest seal was made that no time stamp
    vouches for (0 unless they are `stamped`); the days that do not agree with their seals."""
    waiting, sealed = recorder_tables.evidence.c, recorder_tables.seal
    oldest = select(func.min(waiting.entered_at)).where(waiting.day == "")
    broken = select(func.count()).select_from(sealed).where(sealed.c.fault != "")
    first = await connection.scalar(oldest)
    late = 0 if first is None else max(0, now - first) / _HOUR
    without = 0.0
    if stamped:
        last = select(func.coalesce(func.max(recorder_tables.stamp.c.day), "")).scalar_subquery()
        made = await connection.scalar(
            select(func.min(sealed.c.sealed_at)).where(sealed.c.day > last)
        )
        without = 0 if made is None else max(0, now - made) / _HOUR
    return {
        ("seal_late", ""): late,
        ("stamp_late", ""): without,
        ("seal_broken", ""): await connection.scalar(broken),
    }


_OF_RETENTION: Final = ("retention_stopped", "retention_unconfirmed")


async def _retention(connection: AsyncConnection) -> dict[Key, float | None]:
    """How many recordings the newest run left though they were due; 1 if it is not known how many were."""
    run = recorder_tables.retention_run.c
    question = select(run.due, run.deleted, run.why).order_by(run.id.desc()).limit(1)
    last = (await connection.execute(question)).one_or_none()
    left = 0 if last is None else max(last.due - last.deleted, 1 if last.why else 0)
    return {("retention_stopped", ""): left}


_OF_WORDS: Final = ("words_late", "words_failed")


async def _words(
    connection: AsyncConnection, settings: Settings, now: int
) -> dict[Key, float | None]:
    """Hours that the oldest recording has waited for its transcript, and what failed; 0 while they are off."""
    if not settings.speech:
        return {(name, ""): 0 for name in _OF_WORDS}
    since = (await shelf.waiting(connection, now)).since
    return {
        ("words_late", ""): max(0, now - since) / _HOUR if since else 0,
        ("words_failed", ""): await shelf.failures(connection, now),
    }


_COUNTED: Final = {
    RecordingMissing.kind: "recording_gap",
    CallbackMissed.kind: "callbacks_missed",
    DialRefused.kind: "dial_refused",
    CallRefused.kind: "calls_refused",
}
"""The kinds of facts of which the last hour's are counted → the rule that goes by their number."""

_OF_DATABASE: Final = (
    *(*_COUNTED.values(), *_OF_SEALS, *_OF_RETENTION, *_OF_WORDS),
    *weekly.READINGS,
)
"""The rules that need the database."""


def _disk(settings: Settings, now: int) -> dict[Key, float | None]:
    folder = settings.spool_dir
    try:
        free = shutil.disk_usage(folder).free / 1_000_000
        raws, _ = spool.look(folder)
    except OSError:
        return {(name, ""): None for name in _OF_SPOOL}
    waits = backlog.waiting(raws.values(), now)
    return {
        ("disk_low", ""): free,
        ("recording_late", ""): waits.age(now),
        ("recording_backlog", ""): waits.files,
        ("recording_key", ""): len(raws) if raws and _no_key(settings) else 0,
        ("recording_no_ffmpeg", ""): waits.files if waits.files and _no_ffmpeg(settings) else 0,
        ("recording_held_up", ""): waits.files if waits.files and _is_closed(settings) else 0,
        ("recording_ffmpeg_hangs", ""): waits.files if spool.hung(folder) else 0,
    }


_OF_SPOOL: Final = (
    "disk_low",
    "recording_late",
    "recording_backlog",
    "recording_key",
    "recording_no_ffmpeg",
    "recording_held_up",
    "recording_ffmpeg_hangs",
)


def _no_ffmpeg(settings: Settings) -> bool:
    """Whether recordings cannot be compressed, so that their raw files wait."""
    return settings.recording_format != RecordingForm.WAV and not press.is_there()


def _is_closed(settings: Settings) -> bool:
    """Whether no finished recording can be written, so that the raw files wait."""
    folder = settings.recordings_dir
    return folder.is_dir() and bool(spool.why_not(folder))


def _no_key(settings: Settings) -> bool:
    """Whether recordings cannot be encrypted, so that their raw files wait."""
    try:
        return settings.encrypt_recordings and not keys.read(settings).keys
    except VaultError:
        return True


async def age_of_live_state(bus: Bus, now: int) -> dict[Key, float | None]:
    """How old the screens' figures are (seconds); None when there never were any, or Redis is away (another alarm)."""
    try:
        state = await bus.live()
    except Exception:  # noqa: BLE001 redis raises many kinds
        state = None
    return {("stale_figures", ""): None if state is None else max(0, now - state["at"]) / SECOND}


@contextlib.asynccontextmanager
async def over_figures(engine: AsyncEngine, settings: Settings) -> AsyncIterator[None]:
    """Watch the controller from another process: the controller cannot report that it hangs."""
    bus = Bus(settings.redis, settings.node)
    watch = Watch(
        engine,
        [url.get_secret_value() for url in settings.alarm_urls],
        of_names(rules(settings), ELSEWHERE),
        quick=lambda _now: {},
        slow=lambda now: age_of_live_state(bus, now),
        slow_every=2.0,
    )
    watch.start()
    try:
        yield
    finally:
        await watch.close()
        await bus.close()


def of_names(
    watched: Iterable[Rule], names: Collection[str], *, without: bool = False
) -> list[Rule]:
    """The rules of these names, or all others."""
    return [rule for rule in watched if (rule.name in names) is not without]
