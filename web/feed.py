"""One reader of Redis, fanned out to every screen and every listener as server-sent events.

A screen gets the whole state once (`snapshot`), then what changes (`change`), each with a number one higher than the
one before. A screen that misses a number asks for the state again. Each message is made into bytes once, and once more
with names and numbers masked; which of them a screen gets is decided when it leaves (`web.recheck`). Between messages a
`beat` says how old the newest state is: if the controller, Redis or this process fails, the screen knows since when it
shows the past.

A screen that does not take its messages is dropped. Others do not wait for it: what may wait is bounded, and it may
connect again.

A message goes to a screen's connection at once, framed once for all (`Wire`). Where a connection cannot take that
(HTTP/1.0, another server), messages wait in a queue for the screen's own task.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import orjson
import structlog
from redis.exceptions import RedisError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import TypedDict

from base import clock
from base.background import spawn, stopping
from base.bus import Bus
from base.retry import REDIS
from facts.live import Change, Following, Json, LiveState, difference, follow
from web.accounts.accounts import Who
from web.accounts.rights import (
    masked_agents,
    masked_fact,
    masked_part,
    masked_state,
    masked_waiting,
)

log = structlog.get_logger(__name__)

BEAT_EVERY: Final = 2.0
"""Seconds without a message after which a screen gets a `beat`."""
QUEUED: Final = 128
"""Messages that wait for a screen before it is dropped: six seconds of a busy centre."""
QUEUED_FACTS: Final = 1024
UNSENT: Final = 4 << 20
"""Bytes that a screen may leave unread before it is dropped: several whole states of a thousand agents."""
WIRE: Final = "hotline.wire"
"""The ASGI extension under which a request finds its `Wire`."""
SENT_WITHIN: Final = 5.0
"""Seconds in which a screen must take a message."""


class Snapshot(TypedDict):
    """What a screen begins with: the newest state, its number in the stream, and the server's time."""

    seq: int
    now: int
    state: LiveState


class Feed:
    """The newest state, and the screens that get the next one. `run` it in the background."""

    def __init__(self, bus: Bus, on_facts: Callable[[], None] = lambda: None) -> None:
        self._bus = bus
        self._on_facts = on_facts
        # Higher than any number of an earlier process: no screen may mistake one of ours for its next one.
        self.number = clock.now() // 1000
        self.state: LiveState | None = None
        self.heard = 0
        self.away = False
        self._screens: set[Screen] = set()
        self._listeners: set[Screen] = set()
        self._whole: Message | None = None

    async def run(self) -> None:
        """Read for ever; Redis may go away and come back."""
        failures = 0
        while not stopping():
            try:
                async for channel, data in self._bus.watch():
                    failures = 0
                    if channel == "live":
                        self.show(orjson.loads(data))
                    elif channel == "change":
                        self.follow(orjson.loads(data))
                    else:
                        self.send(orjson.loads(line) for line in data.split(b"\n"))
                    self._found()
            except (RedisError, OSError) as error:
                if not self.away:
                    self.away = True
                    log.warning("redis.away", error=str(error), effect="screens are stale")
            except ValueError as error:
                log.error("feed.unreadable", error=str(error))
            failures += 1
            await asyncio.sleep(REDIS.pause(failures))

    def _found(self) -> None:
        if self.away:
            self.away = False
            log.info("redis.back")

    def show(self, state: LiveState) -> None:
        """Take a new state, and send what is new about it."""
        before = self.state
        self._take(state)
        if before is None:
            self.number += 1
            for screen in list(self._screens):
                screen.begin()
        elif (changed := difference(before, state)) is not None:
            self._tell(changed, state["at"])

    def follow(self, change: Following) -> None:
        """Take a change, and send it on. One that was missed makes the next unusable, until a whole state comes."""
        if self.state is not None and self.state["at"] == change["before"]:
            self._take(follow(self.state, change))
            told: Change = {
                "set": change["set"],
                "agents": change["agents"],
                "gone": change["gone"],
            }
            if "waiting" in change:
                told["waiting"], told["left"] = change["waiting"], change.get("left", [])
            self._tell(told, change["at"])

    def _take(self, state: LiveState) -> None:
        self.state = state
        self.heard = clock.now()
        self._whole = None

    def _tell(self, changed: Change, at: int) -> None:
        self.number += 1
        message = _change_message(changed, self.number, at)
        for screen in list(self._screens):
            screen.put(message)

    def send(self, facts: Iterable[Mapping[str, Json]]) -> None:
        """Send facts to the listeners."""
        self._on_facts()
        if not self._listeners:
            return
        for fact in facts:
            message = _fact_message(fact)
            for listener in list(self._listeners):
                if listener.wants(str(fact["kind"])):
                    listener.put(message)

    def snapshot(self, masked: bool) -> Snapshot | None:
        """What a screen begins with: `seq`, `now`, `state`. None when no state was ever seen."""
        if self.state is None:
            return None
        shown = masked_state(self.state) if masked else self.state
        return {"seq": self.number, "now": clock.now(), "state": shown}

    def whole(self) -> "Message | None":
        """The same as a message, made once for all who ask before the next change."""
        if self._whole is None and self.state is not None:
            state, number, now = self.state, self.number, clock.now()

            def made(masked: bool) -> bytes:
                shown = masked_state(state) if masked else state
                return event("snapshot", {"seq": number, "now": now, "state": shown}, number)

            self._whole = Message(made)
        return self._whole

    def beat(self) -> bytes:
        """A sign of life: `seq`, `now`, and when the newest state was `heard` (microseconds)."""
        return event("beat", {"seq": self.number, "now": clock.now(), "heard": self.heard})

    def watch(self, who: Who, right: str) -> "Screen":
        """A new screen of a reader who needs this right; its first message is the whole state."""
        screen = Screen(self, who, right, self._screens, QUEUED, whole=True)
        screen.begin()
        return screen

    def listen(self, who: Who, kinds: frozenset[str], right: str) -> "Screen":
        """A new listener to facts; no kinds is every kind."""
        return Screen(self, who, right, self._listeners, QUEUED_FACTS, kinds)

    def streams(self) -> "list[Screen]":
        """Every screen and listener."""
        return [*self._screens, *self._listeners]

    @property
    def watchers(self) -> int:
        """How many screens and listeners there are."""
        return len(self._screens) + len(self._listeners)


class Message:
    """One message, as bytes for those who see everything and for those who do not; each is made when it is needed."""

    def __init__(self, make: Callable[[bool], bytes]) -> None:
        self._make = make
        self._made: dict[bool, bytes] = {}
        self._pieces: dict[bool, bytes] = {}

    def of(self, masked: bool) -> bytes:
        """Its bytes."""
        if masked not in self._made:
            self._made[masked] = self._make(masked)
        return self._made[masked]

    def piece(self, masked: bool) -> bytes:
        """The same as a piece of a body."""
        if masked not in self._pieces:
            self._pieces[masked] = piece(self.of(masked))
        return self._pieces[masked]


class Wire(Protocol):
    """A screen's connection: `web.server` offers it."""

    def write(self, pieces: bytes) -> None:
        """Send pieces of a body. Returns at once."""

    def unsent(self) -> int:
        """How many bytes the other side has not taken yet."""


def piece(body: bytes) -> bytes:
    """A piece of a body as HTTP/1.1 frames it (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def _change_message(changed: Change, number: int, at: int) -> Message:
    def made(masked: bool) -> bytes:
        shown = _masked_change(changed) if masked else changed
        return event("change", {**shown, "seq": number, "at": at}, number)

    return Message(made)


def _fact_message(fact: Mapping[str, Json]) -> Message:
    return Message(lambda masked: event("fact", masked_fact(fact) if masked else fact))


_OVER: Final = Message(lambda _masked: b"")


@dataclass(eq=False)
class Screen:
    """One stream: what waits to be sent to it, in order. `who` opened it, and must keep the `right`.

    `whole`: it shows the state, not facts.
    """

    feed: Feed
    who: Who
    right: str
    among: "set[Screen]"
    most: int
    kinds: frozenset[str] = frozenset()
    whole: bool = False
    dropped: bool = False
    masked: bool = field(init=False)
    _wire: Wire | None = None
    _told: bool = False
    _waiting: "asyncio.Queue[Message]" = field(init=False)

    def __post_init__(self) -> None:
        self.masked = self.who.masked
        self._waiting = asyncio.Queue(self.most)
        self.among.add(self)

    def seen_as(self, who: Who | None) -> None:
        """Go on as what its reader is now; end when they may no longer look."""
        if who is None or self.right not in who.rights:
            self.drop()
        else:
            self.mask(who.masked)

    def mask(self, masked: bool) -> None:
        """Send masked from now on, or no longer. A screen gets the whole state again."""
        if masked != self.masked:
            self.masked = masked
            if self.whole:
                self.begin()

    def begin(self) -> None:
        """Send the whole state, if there is one."""
        if (whole := self.feed.whole()) is not None:
            self.put(whole)

    def wants(self, kind: str) -> bool:
        """Whether this stream gets facts of this kind."""
        return not self.kinds or kind in self.kinds

    def put(self, message: Message) -> None:
        """Send a message, or add it to the queue. A slow screen is dropped: it must not use up memory."""
        if self._wire is not None:
            if self._wire.unsent() > UNSENT:
                self.drop()
            else:
                self._wire.write(message.piece(self.masked))
                self._told = True
            return
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Send nothing more, and end the stream."""
        if not self.dropped:
            self.dropped = True
            self.among.discard(self)
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(_OVER)

    async def write_to(self, wire: Wire) -> None:
        """Send what waits, and from then on every message at once, until it is over. Beats go out in between.

        Raises `TimeoutError` when the screen takes nothing for `SENT_WITHIN` seconds.
        """
        self._wire = wire
        while not self._waiting.empty():
            wire.write(self._waiting.get_nowait().piece(self.masked))
        took = asyncio.get_running_loop().time()
        while not self.dropped:
            self._told = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_EVERY):
                    await self._waiting.get()  # nothing comes here any more but the end
            now = asyncio.get_running_loop().time()
            if not wire.unsent():
                took = now
            elif now - took > SENT_WITHIN:
                raise TimeoutError
            if not (self._told or self.dropped):
                wire.write(piece(self.feed.beat()))

    async def next(self) -> bytes:
        """The next messages in one piece, or a beat when there is none; empty when it is over."""
        if self.dropped:
            return b""
        try:
            async with asyncio.timeout(BEAT_EVERY):
                message = await self._waiting.get()
        except TimeoutError:
            return self.feed.beat()
        made = message.of(self.masked)
        while made and not self._waiting.empty():
            made += self._waiting.get_nowait().of(self.masked)
        return made


class Stream(Response):
    """A screen's messages as an HTTP answer that ends when the screen leaves or is dropped."""

    media_type = "text/event-stream"

    def __init__(self, screen: Screen) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._screen = screen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it is over. A screen that takes nothing for `SENT_WITHIN` seconds is cut off."""
        screen = self._screen
        leaving = spawn(_until_gone(receive, screen), "screen leaves")
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            body = screen.feed.beat()
            if (wire := scope.get("extensions", {}).get(WIRE)) is not None:
                wire.write(piece(body))
                await screen.write_to(wire)
                body = b""
            while body:
                async with asyncio.timeout(SENT_WITHIN):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                body = await screen.next()
            async with asyncio.timeout(SENT_WITHIN):
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            log.warning("screen.dropped", reason="it does not take its messages")
        finally:
            screen.drop()
            leaving.cancel()


async def _until_gone(receive: Receive, screen: Screen) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    screen.drop()


def _masked_change(changed: Change) -> Change:
    shown: Change = {
        "set": masked_part(changed["set"]),
        "agents": masked_agents(changed["agents"]),
        "gone": changed["gone"],
    }
    if "waiting" in changed:
        shown["waiting"] = masked_waiting(changed["waiting"])
        shown["left"] = changed.get("left", [])
    return shown


def event(name: str, data: Mapping[str, object], number: int | None = None) -> bytes:
    """A server-sent event (WHATWG HTML, section 9.2)."""
    mark = b"" if number is None else b"id: %d\n" % number
    return b"event: %s\n%sdata: %s\n\n" % (name.encode(), mark, orjson.dumps(data))
