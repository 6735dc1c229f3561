"""The erasure of one citizen's number: everywhere one token stands for it from then on, so no count changes.

The recordings are deleted by certificate (`recorder.deletion`). Then callbacks, rules and facts are changed, each page
with its count in one transaction, and then the texts. A kill at any point leaves an erasure that has begun. The same
command goes on with it, with the same token. At the end a certificate enters the evidence.
"""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from redis.exceptions import RedisError
from sqlalchemy import delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from acd.callbacks.tables import callback
from acd.rules import book as rulebook
from acd.rules.tables import blocked, caller_flag
from acd.rules.text import Rulebook
from base import bus, clock, database
from base.settings import Settings
from diary.tables import diary
from facts import CallArrived
from facts.numbers import written_forms
from metrics import traits
from metrics.tables import incident
from privacy import find, texts
from privacy.find import DiaryTrace, PrivacyError, Traces
from quality.tables import assessment, event
from recorder import deletion
from recorder.deletion import Doomed
from recorder.evidence import DELETION, ERASURE, ErasureCertificate
from recorder.tables import erasure, evidence, hold, mark

_LETTERS: Final = 12
_BATCH: Final = 500
_VACUUMED: Final = (
    "diary",
    "callback",
    "caller_flag",
    "blocked",
    "recording_mark",
    "quality_event",
    "quality_assessment",
)


@dataclass(slots=True)
class Erased:
    """What came of an erasure. `salt`: with it the citizen can show that the certificate is about their number.

    `remnants`: how often the number still lies in free space of SQLite's file.
    """

    id: str
    salt: str
    certificate: int
    counts: dict[str, int] = field(default_factory=dict)
    remnants: int = 0

    @property
    def token(self) -> str:
        """What stands for the number."""
        return _token(self.id)


async def erase(
    engine: AsyncEngine,
    settings: Settings,
    found: Traces,
    *,
    by: str,
    reason: str,
) -> Erased:
    """Erase the number of `found` everywhere.

    Raises `PrivacyError`: forbidden, nothing is stored, or not all of it could be done.
    """
    if why := await find.forbids(engine, settings, found):
        raise PrivacyError("\n".join(why))
    number, form = found.number, written_forms(found.number)
    erased = await _begin(engine, found, by, form.sub("…", reason))
    await _recordings(engine, settings, found, erased, by)
    await _rules(engine, settings, number, erased)
    await _rows(engine, number, form, erased)
    # The facts come after what is found by them.
    await _diary(engine, number, form, erased)
    await _texts(engine, settings, form, erased)
    await _redis(settings, form)
    await _finish(engine, erased)
    await _free(engine)
    erased.remnants = await _remnants(settings, form)
    return erased


def _token(name: str) -> str:
    return f"erased-{name}"


def hash_of(number: str, salt: str) -> str:
    """What a certificate says instead of the number: HMAC-SHA-256, keyed with the salt."""
    return hmac.new(bytes.fromhex(salt), number.encode(), hashlib.sha256).hexdigest()


async def _begin(engine: AsyncEngine, found: Traces, by: str, reason: str) -> Erased:
    """A new erasure, or the one of this number that has begun."""
    columns, number = erasure.c, found.number
    async with engine.begin() as connection:
        rows = (await connection.execute(select(erasure).where(columns.done_at == 0))).all()
        for row in rows:
            if hmac.compare_digest(hash_of(number, row.salt), row.hash):
                return Erased(row.id, row.salt, 0, json.loads(row.counts))
        if found.is_empty:
            raise PrivacyError("nothing is stored about this number")
        name = "".join(secrets.choice(string.ascii_lowercase) for _ in range(_LETTERS))
        salt = secrets.token_hex(16)
        values = {"id": name, "salt": salt, "hash": hash_of(number, salt), "by": by[:80]}
        values |= {"reason": reason[:200], "counts": "{}"}
        times = {"begun_at": clock.now(), "done_at": 0, "certificate": 0}
        await connection.execute(insert(erasure).values({**values, **times}))
    return Erased(name, salt, 0)


async def _recordings(
    engine: AsyncEngine, settings: Settings, found: Traces, erased: Erased, by: str
) -> None:
    await deletion.resume(engine, settings)
    entries = await find.recordings(engine, [call for call, _ in found.calls])
    doomed = [
        Doomed(entry, _rule(erased)) for entry in entries if entry.path and not entry.certificate
    ]
    done = await deletion.carry_out(engine, settings, doomed, by=by, absent=True)
    erased.counts["recordings"] = 0
    async with engine.begin() as connection:
        certified = await _certified(connection, erased)
        await _count(connection, erased, "recordings", certified)
    if done.kept:
        call, why = done.kept[0]
        raise PrivacyError(
            f"{len(done.kept)} recordings were not deleted, and the erasure is not done: call {call}: {why}. "
            "Mend it, then run the same command again"
        )


async def _certified(connection: AsyncConnection, erased: Erased) -> int:
    """How many recordings this erasure has deleted, before a kill, too."""
    row = evidence.c
    mine = row.row.contains(f'"rule":"{_rule(erased)}"')
    question = select(func.count()).where(row.kind == DELETION, mine)
    return await connection.scalar(question) or 0


def _rule(erased: Erased) -> str:
    return f"erasure {erased.id}"


async def _rows(engine: AsyncEngine, number: str, form: re.Pattern[str], erased: Erased) -> None:
    """The columns in which the number may stand alone, or in people's own words."""
    for what, columns in _COLUMNS:
        table = columns[0].table
        [key] = table.primary_key.columns
        mentions = or_(*(column.contains(number[-find.ENDING :]) for column in columns))
        async with _erasing(engine) as connection:
            changed = 0
            question = select(key.label("key"), *columns).where(mentions)
            for row in (await connection.execute(question)).mappings().all():
                values = {}
                for column in columns:
                    text = _without(row[column.name], number, form, erased.token)
                    if text != row[column.name]:
                        values[column.name] = text[: column.type.length]
                if values:
                    await connection.execute(update(table).where(key == row["key"]).values(values))
                    changed += 1
            await _count(connection, erased, what, changed)


_COLUMNS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("callbacks", (callback.c.number, callback.c.reason, callback.c.matter)),
    ("notes", (caller_flag.c.note,)),
    ("notes", (blocked.c.reason,)),
    ("notes", (incident.c.reason,)),
    ("notes", (mark.c.text,)),
    ("notes", (hold.c.reason, hold.c.reference, hold.c.released_why)),
    ("notes", (event.c.text, event.c.sheet)),
    ("notes", (assessment.c.sheet,)),
)
"""What is counted, and the columns of one table."""


async def _rules(engine: AsyncEngine, settings: Settings, number: str, erased: Erased) -> None:
    book = await rulebook.read(engine)
    if number in book.flags:

        def without(known: Rulebook) -> Rulebook:
            flags = {caller: flag for caller, flag in known.flags.items() if caller != number}
            return replace(known, flags=flags)

        await rulebook.change(engine, without, rulebook.defaults(settings), settings.numbers)
        async with engine.begin() as connection:
            await _count(connection, erased, "flags", 1)
    async with _erasing(engine) as connection:
        gone = await connection.execute(delete(blocked).where(blocked.c.caller == number))
        await _count(connection, erased, "blocks", gone.rowcount)


async def _diary(engine: AsyncEngine, number: str, form: re.Pattern[str], erased: Erased) -> None:
    page: list[DiaryTrace] = []
    async for trace in find.in_diary(engine, number):
        page.append(trace)
        if len(page) == _BATCH:
            await _write(engine, page, number, form, erased)
            page = []
    await _write(engine, page, number, form, erased)


async def _write(
    engine: AsyncEngine,
    page: list[DiaryTrace],
    number: str,
    form: re.Pattern[str],
    erased: Erased,
) -> None:
    async with _erasing(engine) as connection:
        for trace in page:
            more = _without(trace.more, number, form, erased.token)
            await connection.execute(update(diary).where(diary.c.id == trace.id).values(more=more))
            if trace.kind == CallArrived.kind:
                await traits.forget_caller(connection, number, trace.at, trace.id)
        await _count(connection, erased, "facts", len(page))


async def _texts(
    engine: AsyncEngine, settings: Settings, form: re.Pattern[str], erased: Erased
) -> None:
    try:
        times = await asyncio.to_thread(texts.overwrite, settings, form, erased.id)
    except OSError as error:
        raise PrivacyError(
            f"{error.filename}: {error.strerror}: the erasure is not done. Mend it, then run the same command again"
        ) from None
    async with engine.begin() as connection:
        await _count(connection, erased, "texts", times)


async def _redis(settings: Settings, form: re.Pattern[str]) -> None:
    """A live state from before, in Redis or in the file in which it keeps one: the controller shows a new one."""
    client = bus.connect(settings.redis, wait=10)
    in_bytes = texts.in_bytes(form)
    try:
        async for key in client.scan_iter(f"hotline:{settings.node}:*", _type="string"):
            value = await client.get(key)
            if isinstance(value, bytes) and in_bytes.search(value):
                await client.delete(key)
        await client.save()
    except (RedisError, OSError):
        # It does not run: a private one has left its file, which nobody has open.
        if not settings.redis_url:
            (settings.root / "redis" / "dump.rdb").unlink(missing_ok=True)
    finally:
        await client.aclose()


async def _finish(engine: AsyncEngine, erased: Erased) -> None:
    """Enter the certificate, and forget the salt."""
    now = clock.now()
    columns = erasure.c
    async with engine.begin() as connection:
        row = (await connection.execute(select(erasure).where(columns.id == erased.id))).one()
        certificate = ErasureCertificate(
            erasure=erased.id,
            hash=row.hash,
            counts=erased.counts,
            by=row.by,
            reason=row.reason,
            begun_at=row.begun_at,
            done_at=now,
        )
        erased.certificate = await deletion.enter(connection, certificate, ERASURE, "", now)
        values = {"done_at": now, "salt": "", "certificate": erased.certificate}
        await connection.execute(update(erasure).where(columns.id == erased.id).values(values))


# --- bytes that are free, but not gone


@asynccontextmanager
async def _erasing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction in which SQLite overwrites with zeros what becomes free."""
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.exec_driver_sql("PRAGMA secure_delete=ON")
            await connection.rollback()
        async with connection.begin():
            yield connection


async def clean(engine: AsyncEngine) -> None:
    """Rewrite SQLite's file, so that its free space holds nothing; meanwhile nobody else can write."""
    if engine.dialect.name == "sqlite":
        async with _without_transaction(engine) as connection:
            await connection.exec_driver_sql("VACUUM")
    await _free(engine)


async def _free(engine: AsyncEngine) -> None:
    """Let the database forget the old versions of rows: SQLite its journal, PostgreSQL its dead rows."""
    async with _without_transaction(engine) as connection:
        if engine.dialect.name == "sqlite":
            await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        for name in _VACUUMED:
            await connection.exec_driver_sql(f"VACUUM {name}")


@asynccontextmanager
async def _without_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


async def _remnants(settings: Settings, form: re.Pattern[str]) -> int:
    """How often the number lies in SQLite's file, or in its journal."""
    file = database.file_of(settings.database)
    if file is None:
        return 0
    beside = [one for one in (file, file.with_name(f"{file.name}-wal")) if one.exists()]
    return sum([await asyncio.to_thread(texts.count, one, form) for one in beside])


# --- small things


def _without(value: Any, number: str, form: re.Pattern[str], token: str) -> Any:
    """A value of JSON with the token in the number's place."""
    if isinstance(value, dict):
        return {name: _without(one, number, form, token) for name, one in value.items()}
    if isinstance(value, list):
        return [_without(one, number, form, token) for one in value]
    if not isinstance(value, str):
        return value
    return token if find.is_number(value, number) else form.sub(token, value)


async def _count(connection: AsyncConnection, erased: Erased, what: str, times: int) -> None:
    """Add to a count, in the transaction that made it true."""
    erased.counts[what] = erased.counts.get(what, 0) + times
    text = json.dumps(erased.counts, sort_keys=True)
    await connection.execute(update(erasure).where(erasure.c.id == erased.id).values(counts=text))
