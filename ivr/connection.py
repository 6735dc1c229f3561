"""One connection from Asterisk: the shell round `ivr.agi` that a session talks through.

An `asyncio.Protocol`, not streams: a reply resolves the future that the session waits for, with no reader task, buffer
or drain between them (measured: a quarter less CPU a command, with and without uvloop).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import structlog

from ivr.agi import AgiReply, Conversation, Environment, Event, Hangup, ProtocolError

log = structlog.get_logger(__name__)

REPLY_LIMIT = 10.0
"""Seconds within which Asterisk answers a command that does not play or dial."""
PLAY_LIMIT = 60.0
"""Seconds that one prompt can last; the longest of ours lasts 20."""
SETTLED = 0.02
"""Seconds after which Asterisk has read a command, even on a busy machine."""


class GoneError(Exception):
    """The other end is gone. The message says why: `hangup`, `closed`, `stopping`, `late`, `protocol`."""


class Connection(asyncio.Protocol):
    """Commands out, answers in, one at a time. Every wait ends: by an answer, by its limit, or by `GoneError`.

    `opened` is called once with the connection itself when Asterisk has connected, `closed` once when it is over.
    """

    def __init__(
        self, opened: "Callable[[Connection], None]", closed: "Callable[[Connection], None]"
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._agi = Conversation()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Event | None] | None = None
        self._interruptible = False
        self._gone = ""
        self._sent_at = 0.0
        self._environment: Environment | None = None
        self._heard = False

    # --- what a session calls

    async def environment(self, limit: float) -> Mapping[str, str]:
        """Wait for the environment. Raises `GoneError` when it is not complete within `limit` seconds."""
        event = self._environment or await self._wait(limit)
        # Nothing but the environment can come first: no command has been sent.
        return cast("Environment", event).values

    async def ask(self, verb: str, *arguments: str, limit: float | None = REPLY_LIMIT) -> AgiReply:
        """Send a command, ending a prompt that still plays, and return its answer.

        `limit` in seconds; None for a `Dial`, which lasts as long as the talk. Raises `GoneError`, and `ValueError` for
        arguments that cannot be sent.
        """
        self._send(verb, *arguments)
        return cast(
            "AgiReply", await self._wait(limit)
        )  # only `play` and `idle` can be interrupted

    async def play(self, sound: str, seconds: float = 0.0) -> AgiReply | None:
        """Play one sound. Returns the answer, or None when the wait ended before it: the next command ends the sound.

        `interrupt` ends the wait. So does the length of the sound, if `seconds` gives it: Asterisk has then sent the
        last of it and says so a moment later. Raises `GoneError`.
        """
        if self._agi.pending:
            # With two sounds at once nobody could tell which of them an answer belongs to.
            await self.ask("NOOP")
        self._send("STREAM FILE", sound, "")
        event = await self._wait(
            seconds or PLAY_LIMIT, interruptible=True, late_is_fine=seconds > 0
        )
        return event if isinstance(event, AgiReply) else None

    async def idle(self, seconds: float) -> None:
        """Wait until `interrupt`, or until the time is over. Raises `GoneError`."""
        if seconds > 0:
            await self._wait(seconds, interruptible=True, late_is_fine=True)

    def interrupt(self) -> None:
        """End a `play` or an `idle` that is going on, and nothing else.

        A sound that has only just begun is ended a moment later. Asterisk must have read its command before the next
        one arrives, or it would never read the next one (`ivr.agi`).
        """
        if not self._interruptible or self._waiter is None:
            return
        loop = asyncio.get_running_loop()
        early = self._sent_at + SETTLED - loop.time() if self._agi.pending else 0
        if early > 0:
            loop.call_later(early, self._cut_short, self._waiter)
        else:
            self._cut_short(self._waiter)

    def close(self, why: str) -> None:
        """Close the connection, telling a session that still waits `why`. Asterisk goes on with its dialplan."""
        self._leave(why)
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """Close the connection without waiting for what is still unsent."""
        self._leave(why)
        if self._transport is not None:
            self._transport.abort()

    @property
    def gone(self) -> str:
        """Why the other end is gone, or `""`. What `GoneError` says at the next command."""
        return self._gone

    @property
    def peer(self) -> str:
        """The other end's address, for logs."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return f"{name[0]}:{name[1]}" if name else "?"

    @property
    def host(self) -> str:
        """The other end's address without its port; empty when it is gone already."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else ""

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asterisk has connected."""
        self._transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes came, cut anywhere."""
        if self._gone:
            return
        self._heard = True
        try:
            events = self._agi.receive(data)
        except ProtocolError as error:
            log.warning("agi.protocol_error", peer=self.peer, error=str(error))
            self.abort("protocol")
            return
        for event in events:
            if isinstance(event, AgiReply):
                self._resolve(event)
            elif isinstance(event, Hangup):
                self._leave("hangup")
            else:
                self._environment = event
                self._resolve(event)

    def eof_received(self) -> None:
        """Asterisk sends nothing more."""
        self._leave("closed")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._leave("closed")
        self._closed(self)

    # --- inside

    def _send(self, verb: str, *arguments: str) -> None:
        if self._gone or self._transport is None:
            raise GoneError(self._gone or "closed")
        self._transport.write(self._agi.send(verb, *arguments))
        self._sent_at = asyncio.get_running_loop().time()

    @staticmethod
    def _cut_short(waiter: "asyncio.Future[Event | None]") -> None:
        if not waiter.done():
            waiter.set_result(None)

    async def _wait(
        self, limit: float | None, *, interruptible: bool = False, late_is_fine: bool = False
    ) -> Event | None:
        if self._gone:
            raise GoneError(self._gone)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Event | None] = loop.create_future()
        self._waiter = waiter
        self._interruptible = interruptible
        timer = None if limit is None else loop.call_later(limit, self._late, waiter, late_is_fine)
        try:
            return await waiter
        finally:
            self._interruptible = False
            if timer is not None:
                timer.cancel()

    def _late(self, waiter: asyncio.Future[Event | None], fine: bool) -> None:
        if waiter.done():
            return
        if fine:
            waiter.set_result(None)
            return
        if self._environment is None:
            log.warning(
                "agi.silent", peer=self.peer, hint="connected and did not say which call it is for"
            )
        else:
            call = self._environment.values.get("agi_uniqueid", "")
            log.warning("agi.no_answer", peer=self.peer, call_id=call, command=self._agi.pending)
        self.abort("late")

    def _resolve(self, event: Event) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(event)

    def _leave(self, why: str) -> None:
        if not self._gone:
            if why == "closed" and self._heard and self._environment is None:
                log.info(
                    "agi.truncated", peer=self.peer, hint="left before it said which call it is for"
                )
            self._gone = why
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(GoneError(why))
