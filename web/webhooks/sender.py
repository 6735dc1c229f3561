"""Sends webhooks: facts of the diary, signed, tried again until they are accepted or dead.

Facts come from the diary, not from Redis, and each delivery is a row of a table before it is sent. So nothing is lost
when a process stops, and a receiver may see a fact twice (with the same `webhook-id`). The signature is that of the
Standard Webhooks specification (standardwebhooks.com), so receivers find a library for it.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final

import httpx
import orjson
import structlog
from sqlalchemy import delete, exists, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.background import spawn, stopping, within
from base.outage import Outage
from base.retry import Schedule
from diary import tables as diary_tables
from web.accounts.rights import masked_fact
from web.webhooks import outside
from web.webhooks import tables as webhooks_tables
from web.webhooks.seal import Seal, SealError

log = structlog.get_logger(__name__)

RETRY: Final = Schedule(first=10.0, longest=86_400.0, factor=4.0, jitter=0.1, attempts=10)
"""Between attempts; after the last one a delivery is dead: after two days and a half."""
PAUSE: Final = 0.25
"""Seconds at least between two looks: a busy hotline has news all the time, and none is in the diary at once."""
EVERY: Final = 1.0
"""Seconds between two looks, when nothing wakes us."""
LOOK_BACK: Final = 3_000_000
"""Microseconds that each look reaches back: a row may be written up to a second after its id was made."""
LOOK_FAR_BACK: Final = 900_000_000
"""The same for one look a minute: facts that could not be written at once come late."""
_FAR_EVERY: Final = 60_000_000
ANSWER_WITHIN: Final = 10.0
"""Seconds for a whole delivery, from looking up the name to the status."""
_BODY_WITHIN: Final = 1.0
_MOST_BODY: Final = 4096
_AT_ONCE: Final = 8
_BATCH: Final = 200
_ROWS: Final = 1000
_KEPT: Final = 2 * 86_400_000_000
"""How long an accepted delivery stays in the table: longer than any look back, so that none is sent again."""
_DEAD_KEPT: Final = 30 * 86_400_000_000
UNREADABLE: Final = (
    "it was encrypted with another key: restore the file secrets/webhooks, or add it again"
)
_WRITER_BITS: Final = 10  # of the diary's ids (diary.writer)


@dataclass(frozen=True, slots=True)
class _Hook:
    """A webhook, as far as sending goes."""

    id: int
    url: str
    secret: str
    whole: bool
    internal: bool


class Sender:
    """Looks for facts that a webhook wants, and has each receiver's worker send what is due to it.

    `run` it in the background; `wake` it for a fact. A receiver that takes its time holds up only its own worker.
    `allowed`: networks of internal addresses to which webhooks may lead.
    """

    def __init__(self, engine: AsyncEngine, seal: Seal, allowed: Sequence[str] = ()) -> None:
        self.allowed = allowed
        self._engine = engine
        self._seal = seal
        self._unreadable: set[int] = set()
        dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
        self._enter = dialect.insert(webhooks_tables.webhook_delivery).on_conflict_do_nothing()
        self._news = asyncio.Event()
        self._looked_at = 0
        self._far_at = 0
        self._away = Outage(log, "webhooks.away")
        self._workers: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There is a fact: look soon."""
        self._news.set()

    async def run(self) -> None:
        """Send for ever."""
        try:
            while not stopping():
                try:
                    await self.sweep()
                    self._away.end()
                except database.AWAY as error:
                    self._lost(error)
                except Exception:
                    log.exception("webhooks.failed")
                await asyncio.sleep(PAUSE)
                self._news.clear()
                await within(EVERY, self._news)
        finally:
            for worker in self._workers.values():
                worker.cancel()
            await self.settle()

    async def sweep(self) -> None:
        """Look once, and start the workers that have something to send and are not at work."""
        now = clock.now()
        async with self._engine.connect() as connection:
            hooks = (await connection.execute(select(webhooks_tables.webhook))).all()
        if not hooks:
            return
        # After an outage of the database, look back as far as it lasted.
        back = LOOK_BACK + max(0, now - self._looked_at) if self._looked_at else LOOK_FAR_BACK
        if now - self._far_at > _FAR_EVERY:
            self._far_at, back = now, max(back, LOOK_FAR_BACK)
            await self._forget(now)
        for hook in hooks:
            await self._note(hook, back, now)
        self._looked_at = now
        await self._close_old(hooks)
        due = await self._receivers_due(now)
        for receiver in self._read(hooks):
            if receiver.id in due and receiver.id not in self._workers:
                worker = spawn(self._work(receiver), f"webhook {receiver.id}")
                self._workers[receiver.id] = worker
                worker.add_done_callback(partial(self._done, receiver.id))

    async def settle(self) -> None:
        """Wait until no worker is at work."""
        if self._workers:
            await asyncio.wait(self._workers.values())

    def _done(self, hook: int, _worker: object) -> None:
        del self._workers[hook]

    def _lost(self, error: Exception) -> None:
        self._away.begin(**database.told(error))

    def _read(self, hooks: Sequence[Any]) -> list[_Hook]:
        """The webhooks whose addresses can be decrypted. Deliveries to the others wait."""
        found = []
        for hook in hooks:
            try:
                url, secret = self._seal.read(hook)
            except SealError:
                if hook.id not in self._unreadable:
                    self._unreadable.add(hook.id)
                    log.error("webhook.unreadable", webhook=hook.id, hint=UNREADABLE)
                continue
            found.append(_Hook(hook.id, url, secret, hook.whole, hook.internal))
        return found

    async def _close_old(self, hooks: Sequence[Any]) -> None:
        """Encrypt what an earlier version has left readable."""
        hook = webhooks_tables.webhook.c
        old = [row for row in hooks if row.sealed is None]
        if not old:
            return
        async with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":
                await connection.exec_driver_sql("PRAGMA secure_delete=ON")
            for row in old:
                closed = self._seal.close(row.url, row.secret)
                await connection.execute(
                    update(webhooks_tables.webhook)
                    .where(hook.id == row.id, hook.sealed.is_(None))
                    .values(url="", secret="", sealed=closed)
                )
        log.info("webhooks.sealed", count=len(old))

    async def _note(self, hook: Any, back: int, now: int) -> None:
        """Enter the facts for this webhook that are not entered yet."""
        rows, delivery = diary_tables.diary.c, webhooks_tables.webhook_delivery.c
        known = exists().where(delivery.webhook == hook.id, delivery.fact == rows.id)
        after = max(hook.after - (back << _WRITER_BITS), hook.added_at << _WRITER_BITS)
        while True:
            question = select(rows.id).where(rows.id > after, ~known).order_by(rows.id).limit(_ROWS)
            if hook.kinds:
                question = question.where(rows.kind.in_(hook.kinds))
            async with self._engine.connect() as connection:
                found: Sequence[int] = (await connection.execute(question)).scalars().all()
            if found:
                async with self._engine.begin() as connection:
                    await connection.execute(
                        self._enter, [_due(hook.id, row, now) for row in found]
                    )
                    if found[-1] > hook.after:
                        await connection.execute(
                            update(webhooks_tables.webhook)
                            .where(webhooks_tables.webhook.c.id == hook.id)
                            .values(after=found[-1])
                        )
                after = found[-1]
            if len(found) < _ROWS:
                return

    async def _receivers_due(self, now: int) -> set[int]:
        delivery = webhooks_tables.webhook_delivery.c
        question = select(delivery.webhook).where(delivery.state == "due", delivery.next_at <= now)
        async with self._engine.connect() as connection:
            return set((await connection.execute(question.distinct())).scalars())

    async def _work(self, hook: _Hook) -> None:
        """Send what is due to one receiver, until nothing is, or it fails."""
        try:
            async with httpx.AsyncClient(
                verify=_tls(), timeout=ANSWER_WITHIN, trust_env=False
            ) as client:
                while rows := await self._due(hook.id, clock.now()):
                    if not await self._send_all(client, hook, rows):
                        return
        except database.AWAY as error:
            self._lost(error)

    async def _due(self, hook: int, now: int) -> Sequence[Any]:
        delivery, fact = webhooks_tables.webhook_delivery.c, diary_tables.diary.c
        question = (
            select(delivery.webhook, delivery.fact, delivery.attempts, *fact)
            .outerjoin(diary_tables.diary, fact.id == delivery.fact)
            .where(delivery.webhook == hook, delivery.state == "due", delivery.next_at <= now)
            .order_by(delivery.next_at, delivery.fact)
            .limit(_BATCH)
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(question)).all()

    async def _send_all(self, client: httpx.AsyncClient, hook: _Hook, rows: Sequence[Any]) -> bool:
        """Send, a few at a time. False after a failure: what follows waits for the next look."""
        allowed = outside.EVERYWHERE if hook.internal else self.allowed
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            errors = await asyncio.gather(*(_send(client, hook, row, allowed) for row in some))
            now = clock.now()
            async with self._engine.begin() as connection:
                for row, error in zip(some, errors, strict=True):
                    await connection.execute(
                        update(webhooks_tables.webhook_delivery)
                        .where(
                            webhooks_tables.webhook_delivery.c.webhook == row.webhook,
                            webhooks_tables.webhook_delivery.c.fact == row.fact,
                        )
                        .values(**_after(row.attempts + 1, error, now))
                    )
            if any(errors):
                log.warning("webhook.failed", webhook=hook.id, error=next(filter(None, errors)))
                return False
        return True

    async def _forget(self, now: int) -> None:
        delivery = webhooks_tables.webhook_delivery.c
        async with self._engine.begin() as connection:
            for state, kept in (("sent", _KEPT), ("dead", _DEAD_KEPT)):
                await connection.execute(
                    delete(webhooks_tables.webhook_delivery).where(
                        delivery.state == state, delivery.at < now - kept
                    )
                )


async def _send(client: httpx.AsyncClient, hook: _Hook, row: Any, allowed: Sequence[str]) -> str:
    """Send one fact; gives an empty string, or why it was not taken: in our words, with none of the answer's."""
    if row.kind is None:
        return ""  # its diary row was removed: there is nothing left to send
    number, now = f"fact-{row.fact}", clock.now() // 1_000_000
    content = body(row, whole=hook.whole)
    headers = {
        "content-type": "application/json",
        "user-agent": "Hotline",
        "webhook-id": number,
        "webhook-timestamp": str(now),
        "webhook-signature": sign(hook.secret, number, now, content),
    }
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            status = await _post(client, hook.url, content, headers, allowed)
    except outside.InwardError as error:
        return str(error)
    except (TimeoutError, httpx.TimeoutException):
        return "no answer in time"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"{type(error).__name__}{_reason(error)}"
    return "" if 200 <= status < 300 else f"HTTP {status}"


async def _post(
    client: httpx.AsyncClient,
    url: str,
    content: bytes,
    headers: dict[str, str],
    allowed: Sequence[str],
) -> int:
    """Post to the address that was checked, under the receiver's own name; gives the status."""
    wanted = httpx.URL(url)
    dialled = wanted.copy_with(host=await outside.address_of(wanted, allowed))
    request = client.build_request(
        "POST",
        dialled,
        content=content,
        headers={**headers, "host": wanted.netloc.decode("ascii")},
        extensions={"sni_hostname": wanted.raw_host.decode("ascii")},
    )
    answer = await client.send(request, stream=True)
    try:
        # The status is all that matters. A short body is read, so that the connection can be used again.
        with contextlib.suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(_BODY_WITHIN):
                taken = 0
                async for some in answer.aiter_raw():
                    taken += len(some)
                    if taken > _MOST_BODY:
                        break
    finally:
        await answer.aclose()
    return answer.status_code


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError) and "SSL" in str(error):
        return ": TLS fails, or its certificate is not trusted"
    return next((f": {text}" for kind, text in _REASONS.items() if isinstance(error, kind)), "")


_REASONS: Final[dict[type[Exception], str]] = {
    httpx.ConnectError: "it cannot be reached",
    httpx.RemoteProtocolError: "no HTTP answer",
    socket.gaierror: "its name cannot be looked up",
}


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def body(row: Any, *, whole: bool) -> bytes:
    """The body, as JSON: `type`, the kind of fact; `timestamp`, ISO 8601; `data`, the fact, masked unless `whole`."""
    fact = {"at": row.at, "kind": row.kind, "call": row.call, "agent": row.agent, **row.more}
    at = datetime.fromtimestamp(row.at / 1_000_000, UTC)
    return orjson.dumps(
        {
            "type": row.kind,
            "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "data": fact if whole else masked_fact(fact),
        }
    )


def sign(secret: str, number: str, at: int, content: bytes) -> str:
    """The header `webhook-signature`: HMAC-SHA256 of `id.timestamp.body`; `secret` is `whsec_` and base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, b"%s.%d.%s" % (number.encode(), at, content), hashlib.sha256)
    return "v1," + base64.b64encode(made.digest()).decode()


def _due(hook: int, fact: int, now: int) -> dict[str, Any]:
    return {
        "webhook": hook,
        "fact": fact,
        "state": "due",
        "attempts": 0,
        "next_at": now,
        "error": "",
        "at": now,
    }


def _after(attempts: int, error: str, now: int) -> dict[str, Any]:
    """The columns of a delivery after its `attempts`-th attempt."""
    if not error:
        return {"state": "sent", "attempts": attempts, "error": "", "at": now}
    if RETRY.is_over(attempts):
        return {"state": "dead", "attempts": attempts, "error": error, "at": now}
    wait = round(RETRY.pause(attempts) * 1_000_000)
    return {"attempts": attempts, "error": error, "next_at": now + wait}


# --- subscriptions


async def add(
    engine: AsyncEngine,
    seal: Seal,
    url: str,
    kinds: Sequence[str],
    *,
    whole: bool,
    by: str,
    at: int,
) -> tuple[int, str]:
    """Add a webhook for the facts from now on; gives its number and its secret."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    row = {
        "url": "",
        "kinds": list(kinds),
        "secret": "",
        "sealed": seal.close(url, secret),
        "whole": whole,
        "internal": False,
        "added_by": by[:40],
        "added_at": at,
        "after": at << _WRITER_BITS,
    }
    async with engine.begin() as connection:
        done = await connection.execute(
            insert(webhooks_tables.webhook).values(row).returning(webhooks_tables.webhook.c.id)
        )
        return int(done.scalar_one()), secret


async def remove(engine: AsyncEngine, number: int) -> bool:
    """Remove a webhook and its unsent deliveries. False when there is none with this number."""
    async with engine.begin() as connection:
        done = await connection.execute(
            delete(webhooks_tables.webhook).where(webhooks_tables.webhook.c.id == number)
        )
    return bool(done.rowcount)


async def retry(engine: AsyncEngine, number: int, now: int) -> int:
    """Try dead deliveries again, from the first attempt on; gives how many."""
    delivery = webhooks_tables.webhook_delivery.c
    async with engine.begin() as connection:
        done = await connection.execute(
            update(webhooks_tables.webhook_delivery)
            .where(delivery.webhook == number, delivery.state == "dead")
            .values(state="due", attempts=0, next_at=now)
        )
    return int(done.rowcount)
