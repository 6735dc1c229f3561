"""Redis: the live state and facts for the screens, requests from them. Calls never depend on it.

What goes out in one moment is sent in one pipeline, and the controller hands its facts on a few times a second: a round
trip for each would cost more than all the rest. Of the live state mostly the changes go out, and the whole once a
second. When Redis is away the newest state is kept, older facts are dropped (the diary has them), and screens are
stale: they show the age of their state.

Requests are a list per node, with a list per request for its reply. A request has a deadline for its reply, so a
controller that comes back late does not carry out an expired one. They are answered one after the other, but for those
about a talk: these may wait for Asterisk or for a phone, and each talk has a lane of its own. One with a name is
carried out once: who got no answer asks again under that name, and is given the reply that came too late.
"""

import asyncio
import contextlib
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from weakref import WeakValueDictionary

import orjson
import redis.asyncio as redis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from base import clock
from base.background import spawn, stopping
from base.retry import REDIS
from facts import Fact, as_json
from facts.live import Following, Json, LiveState, difference
from facts.requests import Reply, Request, RequestError, lane_of, read_reply, read_request, words_of
from facts.times import SECOND

log = structlog.get_logger(__name__)

_BUFFERED_FACTS = 10_000
_ANSWER_KEPT = 10
ASKED_AGAIN = 60
"""Seconds after its first asking within which a named request may be asked again."""
MOST_LANES = 100
"""Talks about which requests are answered side by side; beyond them one after the other."""
WHOLE_EVERY = SECOND
"""Microseconds after which the live state is sent whole: who has missed a change goes on from there."""


class NoAnswer(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The controller did not answer in time: it is not running, or cannot reach Redis."""


class Refused(Exception):  # noqa: N818
    """The controller answered that it will not do this; the message is its reason.

    `code` and `zh`, the reason in Chinese, are empty for a refusal that has none (`facts.control.REFUSALS`).
    """

    def __init__(self, sentence: str, code: str = "", zh: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.zh = zh


def connect(url: str, *, wait: float = 2.0) -> redis.Redis:
    """Open Redis with less patience than its defaults: no retries, and no wait longer than `wait` seconds."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=0.5, socket_timeout=wait, retry=Retry(NoBackoff(), 0)
    )


class Bus:
    """One process's end of the bus. `node` keeps several centres apart in one Redis.

    `patience`: seconds for which Redis may be silent, and so the longest wait for a reply.
    """

    def __init__(self, url: str, node: str, *, patience: float = 2.0) -> None:
        self._redis = connect(url, wait=patience)
        self._commands = f"hotline:{node}:commands"
        self._answer = f"hotline:{node}:answer:"
        self._begun = f"hotline:{node}:begun:"
        self._facts = f"hotline:{node}:facts"
        self._live = f"hotline:{node}:live"
        self._shown = f"hotline:{node}:shown"
        self._changed = f"hotline:{node}:changed"
        self._outgoing: deque[bytes] = deque(maxlen=_BUFFERED_FACTS)
        self._snapshot: bytes | None = None
        self._changes: list[bytes] = []
        self._state: LiveState | None = None
        self._whole_at = 0
        self._away = False
        self._news = asyncio.Event()
        self._away_since = 0
        self._lanes: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- the controller's side

    def away_for(self, now: int) -> int:
        """How long Redis has not been reached (microseconds); 0 when it answers."""
        return max(1, now - self._away_since) if self._away else 0

    def send(self, fact: Fact) -> None:
        """Send a fact to all listeners, together with the others of the same moment. Returns at once."""
        self._outgoing.append(orjson.dumps(as_json(fact)))
        self._news.set()

    def show(self, state: LiveState) -> None:
        """Replace the live state that screens read. Returns at once. The state is not to be changed afterwards."""
        before, self._state = self._state, state
        change = None
        if before is not None and state["at"] - self._whole_at < WHOLE_EVERY:
            change = difference(before, state)
        if before is None or change is None:
            self._snapshot, self._whole_at = orjson.dumps(state), state["at"]
            self._changes.clear()
        else:
            told: Following = {"before": before["at"], "at": state["at"], **change}
            self._changes.append(orjson.dumps(told))
        self._news.set()

    async def run(self) -> None:
        """Send facts and states, until cancelled."""
        failures = 0
        while not stopping():
            await self._news.wait()
            self._news.clear()
            try:
                await self._flush()
            except (RedisError, OSError) as error:
                self._lost(error)
                failures += 1
                await asyncio.sleep(REDIS.pause(failures))
            else:
                failures = 0
                self._found()

    async def answer(
        self,
        handle: Callable[[Request], Awaitable[Reply]],
        ready: Callable[[Request], Awaitable[None]] | None = None,
    ) -> None:
        """Answer requests with `handle`, until cancelled. `ready` returns once a request can be handled.

        Both raise `Refused` to say no. What nobody waits for any more when its turn comes is not carried out.
        """
        failures = 0
        while not stopping():
            try:
                taken = await self._redis.blpop([self._commands], timeout=1)
            except (RedisError, OSError) as error:
                self._lost(error)
                failures += 1
                await asyncio.sleep(REDIS.pause(failures))
                continue
            failures = 0
            self._found()
            if taken is not None:
                await self._take(taken[1], handle, ready)

    async def _take(
        self,
        raw: bytes | str,
        handle: Callable[[Request], Awaitable[Reply]],
        ready: Callable[[Request], Awaitable[None]] | None,
    ) -> None:
        """Answer one request. One about a talk may wait for a phone, so it holds up that talk's requests alone."""
        try:
            request = orjson.loads(raw)
            key, until = self._answer + request["id"], request["until"]
            try:
                asked = read_request(request["command"], request["args"])
            except RequestError as unreadable:
                await self._reply(key, {"refused": str(unreadable)})
                return
        except Exception:
            log.exception("command.failed")
            return
        begun = self._begun + request["id"] if request.get("once") else ""
        work = self._answer_one(key, asked, until, begun, handle, ready)
        if (lane := lane_of(asked)) and len(self._lanes) < MOST_LANES:
            spawn(self._in_turn(lane, work), asked.name)
        else:
            await work

    async def _in_turn(self, lane: str, work: Awaitable[None]) -> None:
        turn = self._lanes.setdefault(lane, asyncio.Lock())
        async with turn:
            await work

    async def _answer_one(
        self,
        key: str,
        asked: Request,
        until: int,
        begun: str,
        handle: Callable[[Request], Awaitable[Reply]],
        ready: Callable[[Request], Awaitable[None]] | None,
    ) -> None:
        try:
            try:
                refused = None if ready is None else await _refusal(ready(asked))
                if until < clock.now():
                    return
                # In Redis, for the next controller must know it, too.
                if begun and not await self._redis.set(begun, b"", nx=True, ex=2 * ASKED_AGAIN):
                    return
                if refused is not None:
                    raise refused
                reply: dict[str, Json] = {"ok": words_of(await handle(asked))}
            except Refused as refusal:
                reply = {"refused": str(refusal), "code": refusal.code, "zh": refusal.zh}
            await self._reply(key, reply, 2 * ASKED_AGAIN if begun else _ANSWER_KEPT)
        except Exception:
            log.exception("command.failed")

    async def _reply(self, key: str, reply: Mapping[str, Json], kept: int = _ANSWER_KEPT) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(key, orjson.dumps(reply))
            pipe.expire(key, kept)
            await pipe.execute()

    async def _flush(self) -> None:
        batch = [self._outgoing.popleft() for _ in range(len(self._outgoing))]
        snapshot, self._snapshot = self._snapshot, None
        changes, self._changes = self._changes, []
        async with self._redis.pipeline(transaction=False) as pipe:
            if snapshot is not None:
                pipe.set(self._live, snapshot)
                pipe.publish(self._shown, snapshot)
            for change in changes:
                pipe.publish(self._changed, change)
            if batch:
                pipe.publish(self._facts, b"\n".join(batch))
            await pipe.execute()

    def _lost(self, error: Exception) -> None:
        self._state = None  # what was sent may be lost: the next state goes out whole
        if not self._away:
            self._away = True
            self._away_since = clock.now()
            log.warning("redis.away", error=str(error), effect="calls go on; screens are stale")

    def _found(self) -> None:
        if self._away:
            self._away = False
            log.info("redis.back")

    # --- the other side: screens and the command line

    async def ask(self, asked: Request, *, wait: float = 1.0, name: str = "") -> Reply:
        """Ask the controller to do something. Raises `NoAnswer` after `wait` seconds, or `Refused`.

        `name`: of this request, for who may ask again within `ASKED_AGAIN` seconds after `NoAnswer`.
        """
        request_id = name or uuid.uuid4().hex
        until = clock.now() + round(wait * 1_000_000)
        request = {
            "id": request_id,
            "command": asked.name,
            "args": words_of(asked),
            "until": until,
            "once": bool(name),
        }
        try:
            # Redis itself ends the wait; the time-out is for a Redis that hangs.
            async with asyncio.timeout(wait + 0.5):
                await self._redis.rpush(self._commands, orjson.dumps(request))
                # The reply stays: who is cut off while they take it may ask again. It expires.
                key = self._answer + request_id
                got = await self._redis.brpoplpush(key, key, wait)
        except TimeoutError:
            got = None
        except (RedisError, OSError) as error:
            raise NoAnswer(
                f"Redis cannot be reached ({error}): is `hotline up` running with this home?"
            ) from None
        if got is None:
            raise NoAnswer(
                "the controller does not answer: is `hotline up` running with this home?"
            )
        reply = orjson.loads(got)
        if "refused" in reply:
            raise Refused(reply["refused"], reply.get("code", ""), reply.get("zh", ""))
        return read_reply(reply["ok"])

    async def live(self) -> LiveState | None:
        """The newest live state, or None when nothing was ever shown. Raises `RedisError` or `OSError`."""
        raw = await self._redis.get(self._live)
        return None if raw is None else orjson.loads(raw)

    async def facts(self) -> AsyncIterator[dict[str, Json]]:
        """Every fact from now on. Ends with `RedisError` or `OSError` when Redis goes away."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(self._facts)
            while not stopping():
                message = await pubsub.get_message(timeout=1.0)
                if message is not None:
                    for line in message["data"].split(b"\n"):
                        yield orjson.loads(line)

    async def watch(self) -> AsyncIterator[tuple[str, bytes]]:
        """What screens need: `live` with a whole state, the newest first, `change` with what follows on one (JSON of
        `Following`), and `facts`, JSON lines.

        Ends with `RedisError` or `OSError` when Redis goes away.
        """
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            names = {self._shown: "live", self._changed: "change", self._facts: "facts"}
            await pubsub.subscribe(*names)
            newest = await self._redis.get(self._live)
            if newest is not None:
                yield "live", _bytes(newest)
            while not stopping():
                message = await pubsub.get_message(timeout=1.0)
                if message is not None:
                    yield names[message["channel"].decode()], _bytes(message["data"])

    async def close(self) -> None:
        """Send what is left, then disconnect."""
        if self._outgoing or self._snapshot is not None:
            with contextlib.suppress(RedisError, OSError):
                await self._flush()
        await self._redis.aclose()


async def _refusal(work: Awaitable[None]) -> Refused | None:
    try:
        await work
    except Refused as refusal:
        return refusal
    return None


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data
