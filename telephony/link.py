"""One AMI connection to one Asterisk node: every wanted event in order, and actions with an answer or a clear error.

panoramisk does the protocol: its `Manager` connects, logs in and pings, its `AMIProtocol` matches answers with its
`Action`s. The three subclasses at the end of this module change what it does wrong. Each change has a test
(tests/telephony/test_link.py):

  - bytes are cut into messages before they are decoded, or a Chinese name split over two packets loses characters;
  - events are filtered by name before they are parsed, and go to one callback, whose errors never drop the link;
  - a message has a greatest length, or one endless line costs quadratic time and all memory;
  - a lost connection forgets its actions: panoramisk sends them again, so that one call is placed twice;
  - an action that times out leaves nothing behind, and `Originate` and similar actions do not wait for ever;
  - an unanswered ping drops the link, a refused login is logged, `close` during a pause really closes.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import structlog
from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.manager import Manager

# The class behind every parsed answer in panoramisk; its case-insensitive keys are what Action compares.
from panoramisk.message import Message as PanoramiskMessage

from base.background import spawn, within
from base.retry import Schedule
from telephony.channels import WANTED, Message

log = structlog.get_logger(__name__)

RETRY = Schedule(first=0.5, longest=10.0, jitter=0.1)
"""Between two attempts to connect."""
REFUSED_RETRY = Schedule(first=30.0, longest=30.0)
"""The same after a wrong secret: a person must correct it."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LONGEST_LINE = 1000
"""Bytes of one line of an action. Asterisk's buffer holds 1024 and throws a longer line away without an answer."""

_WHOLE = re.compile(
    rb"\r\nLanguage: [^\r]*\r\nAccountCode: [^\r]*\r\nContext: (?P<Context>[^\r]*)"
    rb"\r\nExten: (?P<Exten>[^\r]*)\r\nPriority: [^\r]*"
    rb"\r\nUniqueid: (?P<Uniqueid>[^\r]*)\r\nLinkedid: (?P<Linkedid>[^\r]*)"
)
"""How Asterisk ends a channel in an event: longer than the 79 characters of a caller's number, so it is not forged."""

_LONGEST_CUT = 4096
"""Bytes of an event that a caller's number may cut into pieces; the longest has about a thousand."""

_MANY = 20
_COUNTED_FOR = 0.1
_TOGETHER = 0.01
"""Seconds for which events are collected, once more than `_MANY` came within `_COUNTED_FOR` seconds: about 25 calls a
second. Each wake-up finds the caches cold, so one by one they cost twice as much (measured at 40 calls/s)."""

_NOTHING_FOUND = re.compile(r": No \w+ found\.?$")
_BANNER = b"Asterisk Call Manager/"


class LinkError(Exception):
    """An action did not succeed."""


class LinkDown(LinkError):  # noqa: N818  # reads as what happened
    """There is no connection to Asterisk's manager interface; nothing was sent."""


class ActionRefused(LinkError):  # noqa: N818
    """Asterisk answered the action with an error, which is the message."""


class Unknown(LinkError):  # noqa: N818
    """The action was sent and not answered: it may have been carried out. Look, and never repeat it blindly."""


class Link:
    """The connection to one node. `run` keeps it up until `close`.

    `on_message` gets every event whose name is in `events`, in Asterisk's order; it must be quick. `on_up` runs in the
    background once Asterisk has booted and accepted the login, and may use `act` and `gather`; when it fails, the
    connection is dropped and tried again. `on_down` is called when a connection is lost for which `on_up` was called.

    Times are seconds, `longest_message` bytes. Raises `ValueError` for a user or secret that cannot be sent.
    """

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        secret: str,
        on_message: Callable[[Message], object],
        on_up: Callable[[], Awaitable[object]],
        on_down: Callable[[], object],
        *,
        events: Collection[str] = WANTED,
        # Time-outs
        login_timeout: float = 10.0,
        boot_timeout: float = 60.0,
        ping_every: float = 5.0,
        # Pauses between attempts
        retry: Schedule = RETRY,
        refused_retry: Schedule = REFUSED_RETRY,
        # Limits
        longest_message: int = 262_144,
    ) -> None:
        self.where = f"{host}:{port}"
        self.user = user
        self.events = frozenset(events)
        self.longest_message = longest_message
        self.ping_every = ping_every
        self.boot_timeout = boot_timeout
        self._on_message = on_message
        self._on_up = on_up
        self._on_down = on_down
        self._address = {"host": host, "port": port, "username": user, "secret": secret}
        self._login_timeout = login_timeout
        self._retry = retry
        self._refused_retry = refused_retry
        self._connection: _Connection | None = None
        self._closing = asyncio.Event()
        self._up = False
        _check({"Username": user, "Secret": secret})

    @property
    def up(self) -> bool:
        """Whether `on_up` has been called for the connection that exists now."""
        return self._up

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until `close`. No failure ends it."""
        failures = 0
        while not self._closing.is_set():
            connection = self._connection = _Connection(self, self._address)
            watch = asyncio.get_running_loop().call_later(self._login_timeout, connection.late)
            connection.connect()
            try:
                reason = await connection.ended
            finally:
                watch.cancel()
                connection.drop("the link is being closed")
                self._connection = None
                was_up = self._went_down()
            if self._closing.is_set():
                break
            failures = 1 if was_up else failures + 1
            schedule = self._refused_retry if connection.refused else self._retry
            wait = schedule.pause(failures)
            log.error("link.down", asterisk=self.where, reason=reason, retry_after=wait)
            await self._sleep(wait)

    def close(self) -> None:
        """Drop the connection and let `run` end. Actions on their way fail with `Unknown`."""
        self._closing.set()
        if self._connection is not None:
            self._connection.drop("the link is being closed")

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        """Send an action (`{"Action": "Hangup", ...}`) and return its answer.

        Raises `LinkDown`, `ActionRefused` or `Unknown`; and `ValueError`, before anything is sent, for a header name or
        value that AMI cannot carry: line breaks would inject actions.
        """
        answers = await self._send(_Action(_check(action)), timeout)
        return answers[0]

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        """Send an action that is answered with a list, and return its entries, without the event `until` that ends it.

        `gather({"Action": "Status"}, "StatusComplete")`. Raises as `act` does.
        """
        try:
            answers = await self._send(_Action(_check(action), until=until), timeout)
        except ActionRefused as refusal:
            if _NOTHING_FOUND.search(str(refusal)):
                return []  # PJSIPShowContacts calls an empty list an error
            raise
        return answers[1:-1]

    async def _send(self, action: "_Action", timeout: float) -> list[Message]:
        connection = self._connection
        if connection is None or not connection.authenticated or connection.ended.done():
            raise LinkDown(f"no connection to Asterisk's manager interface at {self.where}")
        name = action["Action"]
        try:
            async with asyncio.timeout(timeout):
                answers: list[Message] = await connection.send_action(action)
        except TimeoutError:
            raise Unknown(f"{name}: no answer within {timeout:g} s") from None
        finally:
            connection.forget(action)
        if answers[0].get("Response") == "Error":
            reason = answers[0].get("Message", "no reason given").strip()
            raise ActionRefused(f"{name}: {reason}")
        return answers

    async def _sleep(self, seconds: float) -> None:
        await within(seconds, self._closing)

    # --- what a connection reports

    def deliver(self, message: Message) -> None:
        """An event, for the one callback."""
        try:
            self._on_message(message)
        except Exception:
            log.exception("link.callback_failed", event_name=message.get("Event", ""))

    def came_up(self, connection: "_Connection") -> None:
        """Logged in, and Asterisk has booted."""
        if self._up or connection is not self._connection or connection.ended.done():
            return
        self._up = True
        log.info("link.up", asterisk=self.where)
        spawn(self._begin(connection), "link.on_up")

    async def _begin(self, connection: "_Connection") -> None:
        try:
            await self._on_up()
        except Exception:
            if not connection.ended.done():
                log.exception("link.on_up_failed", asterisk=self.where)
                connection.drop("what had to be read after the login could not be read")

    def _went_down(self) -> bool:
        was_up, self._up = self._up, False
        if was_up:
            try:
                self._on_down()
            except Exception:
                log.exception("link.on_down_failed")
        return was_up


def _check(action: Mapping[str, str]) -> dict[str, str]:
    for key, value in action.items():
        if not _KEY.fullmatch(key) or key.casefold() in ("actionid", "commandid"):
            raise ValueError(f"{key!r} is no header of an action")
        if any(sign in value for sign in "\r\n\0"):
            raise ValueError(
                f"{key}: a value with a line break or a zero would inject actions into AMI"
            )
        if len(key) + 2 + len(value.encode()) > _LONGEST_LINE:
            raise ValueError(
                f"{key}: a value of more than {_LONGEST_LINE} bytes is thrown away by Asterisk"
            )
    return dict(action)


def parse(block: bytes) -> dict[str, str]:
    """Read one AMI message (without its blank line). Lines without a colon are skipped.

    Headers that come several times (`Variable`) have their values joined by line feeds. A caller's number may hold line
    breaks, and so headers of its own: none of them replaces one that came before it, nor the channel's (`_WHOLE`).
    """
    lines = block.decode("utf-8", "replace").split("\r\n")
    try:
        message: dict[str, str] = dict([line.split(": ", 1) for line in lines])
    except ValueError:
        return _parse_odd(block, lines)
    return message if len(message) == len(lines) else _parse_odd(block, lines)


_JOINED = frozenset({"Variable", "ChanVariable", "Output"})


def _parse_odd(block: bytes, lines: list[str]) -> dict[str, str]:
    """Read a message that repeats a header or has a line that is no header."""
    message: dict[str, str] = {}
    trusted: frozenset[str] = frozenset()
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon or key in trusted:
            continue
        value = value[1:] if value[:1] == " " else value
        if key == "CallerIDNum":
            trusted = frozenset(message) | {key}
        message[key] = f"{message[key]}\n{value}" if key in _JOINED and key in message else value
    if (channel := _WHOLE.search(block)) is not None:
        message |= {
            key: value.decode("utf-8", "replace") for key, value in channel.groupdict().items()
        }
    return message


class _Action(Action):  # type: ignore[misc]  # panoramisk has no types
    """An action whose answer is one message or, with `until`, the list that ends with that event."""

    def __init__(self, action: Mapping[str, str], until: str = "") -> None:
        super().__init__(action)
        self.until = until

    @property
    def multi(self) -> bool:
        """What makes panoramisk wait for more than one message."""
        return bool(self.until) and self.responses[0].response != "Error"

    @property
    def completed(self) -> bool:
        """Whether the last message is the last one."""
        return not self.multi or self.responses[-1].event == self.until

    def add_message(self, message: PanoramiskMessage) -> bool:
        """Take an answer; True when the action is done."""
        self.responses.append(message)
        if self.completed and not self.future.done():
            self.future.set_result([_plain(response) for response in self.responses])
        return bool(self.completed)

    def fail(self, reason: str) -> None:
        """The connection is gone."""
        if not self.future.done():
            self.future.set_exception(Unknown(f"{self['Action']}: not answered: {reason}"))


def _plain(message: Mapping[str, str]) -> Message:
    """As our callers know messages; panoramisk adds a body, which no message here has."""
    return {key: value for key, value in message.items() if key != "content"}


class _Connection(Manager):  # type: ignore[misc]  # panoramisk has no types
    """One TCP connection, from the attempt to the end. `ended` gets the reason in words."""

    pinger: asyncio.TimerHandle | None

    def __init__(self, link: Link, address: dict[str, Any]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(**address, loop=loop, protocol_factory=lambda: _Protocol(self))
        self.link = link
        self.ended: asyncio.Future[str] = loop.create_future()
        self.refused = False
        self.booted = False
        self.ping_delay = self.ping_interval = link.ping_every
        self._attempt: asyncio.Task[Any] | None = None
        self._ping: _Action | None = None
        self._boot_timer: asyncio.TimerHandle | None = None

    def connect(self) -> None:
        """Begin; `connection_made` or the end of `ended` follows."""
        self._attempt = super().connect()

    def connection_made(self, f: "asyncio.Future[Any]") -> None:
        """The attempt is over: panoramisk logs in, or would try again by itself without end."""
        if f.cancelled():
            return
        if (error := f.exception()) is not None:
            self.drop(f"cannot connect: {error}")
        elif self.ended.done():
            f.result()[0].abort()
        else:
            super().connection_made(f)

    def login(self, future: "asyncio.Future[Any]") -> bool:
        """The login's answer."""
        if future.cancelled() or future.exception() is not None:
            return False
        answer = future.result()[0]
        if answer.get("Response") != "Success":
            self.refused = True
            log.error(
                "link.login_refused",
                asterisk=self.link.where,
                user=self.link.user,
                answer=answer.get("Message", ""),
                remedy="the secret or the permitted address in Asterisk's manager.conf is another one: "
                "render the configuration again and reload Asterisk, or restart both",
            )
            self.drop("the manager interface refused the login")
            return False
        self.authenticated = True
        if self.pinger is not None:
            self.pinger.cancel()
        self.pinger = self.loop.call_later(self.ping_interval, self.ping)
        if self.booted:
            self.link.came_up(self)
        else:
            self._boot_timer = self.loop.call_later(self.link.boot_timeout, self._not_booted)
        return True

    def late(self) -> None:
        """The time for connecting and logging in is over."""
        if not self.authenticated:
            self.drop("no answer: is this Asterisk's manager interface?")

    def fully_booted(self) -> None:
        """Asterisk says that all modules are there. It says so right after a login, too."""
        self.booted = True
        if self.authenticated:
            self.link.came_up(self)

    def _not_booted(self) -> None:
        if not self.booted:
            log.warning("link.not_booted", asterisk=self.link.where, waited=self.link.boot_timeout)
            self.fully_booted()

    def ping(self) -> None:
        """Ask for a sign of life. No answer since the last time means that the connection is dead."""
        if not self.authenticated:
            return  # `late` watches over the login
        if self._ping is not None and not self._ping.future.done():
            self.drop(f"half open: no answer to a ping within {self.ping_interval:g} s")
            return
        self._ping = _Action({"Action": "Ping"})
        # Nothing awaits it, so its failure would not be seen.
        self._ping.future.add_done_callback(lambda future: future.cancelled() or future.exception())
        self.pinger = self.loop.call_later(self.ping_interval, self.ping)
        self.send_action(self._ping)

    def send_action(
        self, action: Any, as_list: object = None, **kwargs: object
    ) -> "asyncio.Future[Any]":
        """Like panoramisk's, but with our own action for its login."""
        if not isinstance(action, _Action):
            action = _Action(action)
        future: asyncio.Future[Any] = super().send_action(action, as_list=as_list)
        return future

    def forget(self, action: _Action) -> None:
        """Nothing awaits this action any more."""
        if self.protocol is not None:
            self.protocol.responses.pop(action.id, None)

    def dispatch(self, event: Mapping[str, str]) -> None:
        """An event that answers nothing."""
        if event["Event"] in self.link.events:
            self.link.deliver(_plain(event))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed; panoramisk would connect again by itself and send everything again."""
        self.drop(f"connection lost: {exc}" if exc else "Asterisk closed the connection")

    def drop(self, reason: str) -> None:
        """End this connection for good. Doing it twice is harmless."""
        if not self.ended.done():
            self.ended.set_result(reason)
        if self._attempt is not None:
            self._attempt.cancel()
        if self._boot_timer is not None:
            self._boot_timer.cancel()
        self.close()
        if self.protocol is not None:
            self.protocol.fail_all(reason)


class _Protocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """Cuts the stream into messages and hands out the wanted ones."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._link = connection.link
        self._buffer = bytearray()
        self._searched = 0
        self._greeted = False
        self._garbage = 0
        self._held = b""
        self._counted = 0
        self._counting_since = 0.0
        self._many = False

    def data_received(self, data: bytes) -> None:
        """Any number of bytes: half a message, or a hundred."""
        if self._connection.ended.done():
            return
        buffer = self._buffer
        buffer += data
        if not self._greeted and not self._greet():
            return
        start, search = 0, self._searched
        while (end := buffer.find(b"\r\n\r\n", search)) >= 0:
            self._take(bytes(buffer[start:end]))
            if self._connection.ended.done():
                return
            start = search = end + 4
            self._counted += 1
        del buffer[:start]
        # The blank line itself may be split over two packets.
        self._searched = max(0, len(buffer) - 3)
        if len(buffer) > self._link.longest_message:
            self._give_up(f"a message of more than {self._link.longest_message} bytes")
            return
        loop = self._connection.loop
        if (now := loop.time()) - self._counting_since >= _COUNTED_FOR:
            self._many = self._counted > _MANY
            self._counted, self._counting_since = 0, now
        if self._many:
            self.transport.pause_reading()
            loop.call_later(_TOGETHER, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _greet(self) -> bool:
        """The first line names the protocol and is followed by no blank line."""
        line, end, _ = self._buffer.partition(b"\r\n")
        if not end and len(line) < 256:
            return False
        if not line.startswith(_BANNER) or len(line) >= 256:
            self._give_up("this is not Asterisk's manager interface")
            return False
        self._greeted = True
        self.version = line[len(_BANNER) :].decode("ascii", "replace")
        del self._buffer[: len(line) + 2]
        return True

    def _take(self, block: bytes) -> None:
        if len(block) > self._link.longest_message:
            self._give_up(f"a message of {len(block)} bytes")
            return
        if self._held:
            # The rest of an event always follows at once.
            block, self._held = self._held + b"\r\n\r\n" + block, b""
        if block.startswith(b"Event: "):
            end = block.find(b"\r\n")
            name = block[7 : end if end >= 0 else None].decode("ascii", "replace")
            wanted = name in self._link.events
            if not wanted and not self.responses and name != "FullyBooted":
                return
            if not self._whole(name, block, wanted=wanted):
                self._hold(block)
                return
            if wanted:
                message = parse(block)
                if "ActionID" not in message:
                    self._link.deliver(message)
                    return
            elif name == "FullyBooted":
                self._connection.fully_booted()
                return
            elif b"\r\nActionID: " not in block:
                return
        elif not block.startswith(b"Response: "):
            self._count_garbage(block)
            return
        self.handle_message(PanoramiskMessage(parse(block)))

    def _whole(self, name: str, block: bytes, *, wanted: bool) -> bool:
        """Whether the event ends here, or a blank line in the caller's number has cut it.

        Headers that the number forges come after CallerIDNum. There `parse` lets them replace no earlier header.
        """
        if wanted:
            return b"\r\nChannel: " not in block or _WHOLE.search(block) is not None
        # An entry of a list ends with the ActionID of its question, which no caller can know.
        asked = [
            action.id.encode()
            for action in self.responses.values()
            if action.until.startswith(name)
        ]
        return not asked or any(action_id in block for action_id in asked)

    def _hold(self, block: bytes) -> None:
        """Keep this piece of an event until the rest is there."""
        if len(block) > _LONGEST_CUT:
            self._count_garbage(block)
        else:
            self._held = block

    def _count_garbage(self, block: bytes) -> None:
        self._garbage += 1
        if self._garbage & (self._garbage - 1) == 0:  # the 1st, 2nd, 4th, 8th …: no flood of lines
            log.warning(
                "link.garbage", asterisk=self._link.where, size=len(block), seen=self._garbage
            )

    def _give_up(self, reason: str) -> None:
        self._connection.drop(reason)

    def fail_all(self, reason: str) -> None:
        """Nothing is kept for another connection, so nothing is ever sent twice."""
        waiting = {id(action): action for action in self.responses.values()}
        self.responses.clear()
        for action in waiting.values():
            action.fail(reason)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self._connection.connection_lost(exc)

    def close(self) -> None:
        """At once: a half-open connection would never empty its buffer."""
        self._buffer.clear()
        self.transport.abort()
