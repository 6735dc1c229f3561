"""Simulated telephones: many agents and callers on one UDP socket, as little SIP (RFC 3261) as they need.

What they are for is exact times: of every INVITE that reaches an agent, of every BYE that an agent sends, of the end of
the greeting in a caller's ear. They send next to no sound, unless they `speak`. baresip and SIPp tell such times to the
millisecond and in files, if at all.
"""

import asyncio
import contextlib
import hashlib
import math
import random
import re
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self, cast

from base.background import spawn

RESEND = 0.5
"""Seconds after which an unacknowledged answer, BYE or INVITE is sent again (T1 of RFC 3261)."""

GREETING_SOUND = b"\x2a"
"""A-law that a bench's greeting consists of, so that a caller's phone can tell it from music."""
PACKET = 160
"""Samples in a packet of sound: 20 ms."""

_LOUD = 0x40
"""A-law samples above this are loud; the sound of a talk here is noise, and silence is 0."""
_SDP = (
    "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
)


@dataclass(slots=True)
class Mark:
    """One thing that happened at a phone, at `moment` of `time.perf_counter`."""

    moment: float
    phone: str
    what: str
    """Agents: `invite`, `answered` (its ACK), `bye` (ours). Callers: `greeted` (the greeting is over), `failed`."""
    caller: str
    """The caller's number."""


@dataclass(slots=True)
class _Dialog:
    number: str
    caller: str
    call_id: str
    local: str
    remote: str
    target: str
    sound_port: int = 9
    answer: bytes = b""
    vias: list[str] = field(default_factory=list)
    cseq: str = ""
    state: str = "new"
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


class BenchPhones(asyncio.DatagramProtocol):
    """All simulated telephones of one measurement.

    `talk(agent, caller)` gives the seconds after which an agent hangs up; infinite: the other side hangs up.
    `clashes` counts INVITEs that reached a phone in use, and `refused` answers that no telephone should get. An INVITE
    to a number that is not signed in rings at the citizen of a callback (`port` is the way out), who never picks up.
    While `speak`, whoever begins to talk sends sound without a pause, as agent and as caller.
    """

    def __init__(
        self, exchange: tuple[str, int], *, port: int = 0, answer_after: float = 0.05
    ) -> None:
        self.exchange = exchange
        self.talk: Callable[[str, str], float] = lambda _agent, _caller: 1.0
        self.marks: list[Mark] = []
        self.speak = False
        self.clashes = 0
        self.refused: list[str] = []
        self._port = port
        self._answer_after = answer_after
        self._dialogs: dict[str, _Dialog] = {}
        self._busy: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._registering: dict[str, tuple[str, asyncio.Future[None]]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._ear = _Ear()
        self._hears = ""
        self._mouth = _Mouth()
        self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._here = ("", 0)

    async def __aenter__(self) -> Self:
        address = self.exchange[0]
        # Everybody's sound goes here and is never read: a closed port would answer each packet with an error.
        self._sink.bind((address, 0))
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        wire.setblocking(False)
        wire.bind((address, self._port))
        self._here = wire.getsockname()
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=wire)
        await loop.create_datagram_endpoint(lambda: self._ear, local_addr=(address, 0))
        self._mouth.open(self._sink)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for dialog in list(self._dialogs.values()):
            self._end(dialog)
        if self._transport is not None:
            self._transport.close()
        self._ear.close()
        self._mouth.close()
        self._sink.close()

    @property
    def sink(self) -> int:
        """A port to which sound may be sent."""
        return int(self._sink.getsockname()[1])

    @property
    def in_talk(self) -> int:
        """How many calls there are at these phones."""
        return len(self._dialogs)

    @property
    def called_back(self) -> int:
        """How many citizens' phones ring for a callback."""
        return sum(dialog.number not in self._passwords for dialog in self._dialogs.values())

    def times(self, what: str) -> list[Mark]:
        """The marks of one kind."""
        return [mark for mark in self.marks if mark.what == what]

    @property
    def first_sound(self) -> float:
        """When the phone that is to `hear` heard something loud; 0 until it does."""
        return self._ear.heard

    def hear(self, number: str) -> None:
        """Listen at this agent's phone, from its next answer on."""
        self._hears, self._ear.heard = number, 0.0

    # --- what they do by themselves

    async def register(self, numbers: Sequence[str], password: str, within: float = 10.0) -> None:
        """Sign these agents' phones in. Raises `TimeoutError`, or `ConnectionError` when one is refused."""
        loop = asyncio.get_running_loop()
        for start in range(0, len(numbers), 25):
            waiting = []
            for number in numbers[start : start + 25]:
                call_id = secrets.token_hex(8)
                done: asyncio.Future[None] = loop.create_future()
                self._registering[call_id] = (number, done)
                self._passwords[number] = password
                self._send(self._register(number, call_id, 1, ""))
                waiting.append(done)
            async with asyncio.timeout(within):
                await asyncio.gather(*waiting)

    def call(self, caller: str, number: str) -> None:
        """Call `number` as a citizen; the exchange is expected to hang up.

        They hear the greeting, so one calls at a time. Those who `speak` hear nothing, and may be many.
        """
        call_id = secrets.token_hex(8)
        host, port = self.exchange
        here = f"{self._here[0]}:{self._here[1]}"
        dialog = _Dialog(
            number=caller,
            caller=caller,
            call_id=call_id,
            local=f"<sip:{caller}@{here}>;tag={call_id}",
            remote=f"<sip:{number}@{host}:{port}>",
            target=f"sip:{number}@{host}:{port}",
            state="calling",
        )
        self._dialogs[call_id] = dialog
        self._ear.greeted = 0.0
        port = self.sink if self.speak else self._ear.port
        self._repeat(dialog, self._request(dialog, "INVITE", 1, self._sound(port)), "calling")

    def hang_up_all(self) -> None:
        """Let every agent who talks hang up."""
        for dialog in list(self._dialogs.values()):
            if dialog.state == "talking":
                self._hang_up(dialog)

    # --- the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _address: tuple[str, int]) -> None:
        """One SIP message."""
        moment = time.perf_counter()
        message = _Message(data.decode(errors="replace"))
        if message.status:
            self._answered(message, moment)
            return
        match message.method:
            case "INVITE":
                self._invited(message, moment)
            case "ACK":
                self._acknowledged(message, moment)
            case "BYE":
                self._hung_up(message)
            case "CANCEL":
                self._cancelled(message)
            case _:
                # OPTIONS asks whether the phone still lives; others need no more than this either.
                self._send(message.reply("200 OK", ""))

    def _send(self, text: str | bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(text.encode() if isinstance(text, str) else text, self.exchange)

    def _repeat(self, dialog: _Dialog, text: str, while_state: str, tries: int = 6) -> None:
        """Send, and send again for as long as the dialog is in this state."""
        self._send(text)

        def again() -> None:
            if dialog.state == while_state and tries:
                self._repeat(dialog, text, while_state, tries - 1)
            elif dialog.state == while_state:
                self.refused.append(f"{dialog.number}: no answer in {while_state}")
                self._end(dialog)

        self._later(dialog, RESEND, again)

    def _later(self, dialog: _Dialog, seconds: float, work: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        dialog.timers = [timer for timer in dialog.timers if timer.when() > loop.time()]
        dialog.timers.append(loop.call_later(seconds, work))

    def _end(self, dialog: _Dialog) -> None:
        dialog.state = "ended"
        for timer in dialog.timers:
            timer.cancel()
        self._dialogs.pop(dialog.call_id, None)
        self._mouth.where.pop(dialog.call_id, None)
        if self._busy.get(dialog.number) == dialog.call_id:
            del self._busy[dialog.number]

    # --- an agent's phone

    def _invited(self, message: "_Message", moment: float) -> None:
        known = self._dialogs.get(message["call-id"])
        if known is not None:
            self._send(known.answer)
            return
        agent = message.user
        tag = secrets.token_hex(8)
        if agent in self._busy:
            self.clashes += 1
            self._send(message.reply("486 Busy Here", tag))
            return
        caller = _user(message["from"])
        dialog = _Dialog(
            number=agent,
            caller=caller,
            call_id=message["call-id"],
            local=f"{message['to']};tag={tag}",
            remote=message["from"],
            target=_address(message["contact"]),
            sound_port=message.sound_port,
            vias=message.all("via"),
            cseq=message["cseq"],
            state="ringing",
        )
        self._dialogs[dialog.call_id] = dialog
        self._busy[agent] = dialog.call_id
        self.marks.append(Mark(moment, agent, "invite", caller))
        dialog.answer = message.reply("180 Ringing", tag, contact=self._contact(agent)).encode()
        self._send(dialog.answer)
        if agent not in self._passwords:
            return

        def answer() -> None:
            dialog.state = "answering"
            port = self._ear.port if agent == self._hears else self.sink
            accepted = message.reply(
                "200 OK", tag, contact=self._contact(agent), body=self._sound(port)
            )
            dialog.answer = accepted.encode()
            self._repeat(dialog, accepted, "answering")

        self._later(dialog, self._answer_after, answer)

    def _acknowledged(self, message: "_Message", moment: float) -> None:
        dialog = self._dialogs.get(message["call-id"])
        if dialog is None or dialog.state != "answering":
            return
        dialog.state = "talking"
        self.marks.append(Mark(moment, dialog.number, "answered", dialog.caller))
        where = self.exchange[0], dialog.sound_port
        if self.speak and dialog.number == self._hears:
            # The exchange sends sound to where it gets some from.
            self._ear.hum(where)
        elif self.speak:
            self._mouth.where[dialog.call_id] = where
        seconds = self.talk(dialog.number, dialog.caller)
        if math.isfinite(seconds):
            self._later(dialog, seconds, lambda: self._hang_up(dialog))

    def _hang_up(self, dialog: _Dialog) -> None:
        # Free from now on: the exchange may ring it again before its answer to the BYE is here.
        self._busy.pop(dialog.number, None)
        dialog.state = "leaving"
        self.marks.append(Mark(time.perf_counter(), dialog.number, "bye", dialog.caller))
        self._repeat(dialog, self._request(dialog, "BYE", 1), "leaving")

    def _cancelled(self, message: "_Message") -> None:
        self._send(message.reply("200 OK", secrets.token_hex(8)))
        dialog = self._dialogs.get(message["call-id"])
        if dialog is not None and dialog.state == "ringing":
            tag = dialog.local.rpartition("=")[2]
            invite = _Message("")
            invite.headers = [
                *(("via", via) for via in dialog.vias),
                ("from", dialog.remote),
                ("to", dialog.local),
                ("call-id", dialog.call_id),
                ("cseq", dialog.cseq),
            ]
            self._send(invite.reply("487 Request Terminated", tag))
            self._end(dialog)

    # --- both

    def _hung_up(self, message: "_Message") -> None:
        self._send(message.reply("200 OK", ""))
        dialog = self._dialogs.get(message["call-id"])
        if dialog is not None:
            if dialog.state == "waiting":
                self.marks.append(Mark(self._ear.greeted, dialog.number, "greeted", dialog.caller))
            self._end(dialog)

    def _answered(self, message: "_Message", moment: float) -> None:
        call_id, method = message["call-id"], message["cseq"].rpartition(" ")[2]
        if method == "REGISTER":
            self._registered(message)
            return
        dialog = self._dialogs.get(call_id)
        if dialog is None:
            return
        if method == "BYE" and message.status >= 200 and dialog.state == "leaving":
            self._end(dialog)
        elif method == "INVITE" and message.status >= 200:
            dialog.remote = message["to"]
            self._send(self._request(dialog, "ACK", 1))
            if dialog.state != "calling":
                return
            if message.status == 200:
                dialog.state = "waiting"
                dialog.target = _address(message["contact"])
                where = self.exchange[0], message.sound_port
                if self.speak:
                    self._mouth.where[dialog.call_id] = where
                else:
                    self._ear.hum(where)
            else:
                self.marks.append(Mark(moment, dialog.number, "failed", dialog.caller))
                self.refused.append(f"{dialog.caller}: {message.first}")
                self._end(dialog)
        elif method == "INVITE" and dialog.state == "calling":
            # The exchange has it: no more repeating, only the answer to wait for.
            for timer in dialog.timers:
                timer.cancel()

    def _registered(self, message: "_Message") -> None:
        number, done = self._registering.get(message["call-id"], ("", None))
        if done is None or done.done():
            return
        if message.status == 401 and message["cseq"].startswith("1 "):
            proof = self._proof(number, message["www-authenticate"])
            self._send(self._register(number, message["call-id"], 2, proof))
        elif message.status == 200:
            done.set_result(None)
        elif message.status >= 300:
            done.set_exception(ConnectionError(f"{number} cannot register: {message.first}"))

    # --- texts

    def _contact(self, user: str) -> str:
        return f"Contact: <sip:{user}@{self._here[0]}:{self._here[1]}>\r\n"

    def _sound(self, port: int) -> str:
        return _SDP.format(address=self._here[0], port=port)

    def _request(self, dialog: _Dialog, method: str, sequence: int, body: str = "") -> str:
        return (
            f"{method} {dialog.target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._here[0]}:{self._here[1]};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            f"From: {dialog.local}\r\nTo: {dialog.remote}\r\nCall-ID: {dialog.call_id}\r\n"
            f"CSeq: {sequence} {method}\r\nMax-Forwards: 70\r\n"
            f"{self._contact(dialog.number)}{_with(body)}"
        )

    def _register(self, number: str, call_id: str, sequence: int, proof: str) -> str:
        host, port = self.exchange
        return (
            f"REGISTER sip:{host}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._here[0]}:{self._here[1]};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            f"From: <sip:{number}@{host}>;tag={call_id}\r\nTo: <sip:{number}@{host}>\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {sequence} REGISTER\r\nMax-Forwards: 70\r\n"
            f"{self._contact(number)}Expires: 600\r\n{proof}{_with('')}"
        )

    def _proof(self, number: str, challenge: str) -> str:
        """The answer to a digest challenge (RFC 2617) for REGISTER."""
        asked = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        uri = f"sip:{self.exchange[0]}:{self.exchange[1]}"
        once = secrets.token_hex(8)
        known = _md5(f"{number}:{asked['realm']}:{self._passwords[number]}")
        answer = _md5(f"{known}:{asked['nonce']}:00000001:{once}:auth:{_md5('REGISTER:' + uri)}")
        opaque = f', opaque="{asked["opaque"]}"' if "opaque" in asked else ""
        return (
            f'Authorization: Digest username="{number}", realm="{asked["realm"]}", nonce="{asked["nonce"]}", '
            f'uri="{uri}", response="{answer}", algorithm=MD5, qop=auth, nc=00000001, cnonce="{once}"{opaque}\r\n'
        )


class _Ear(asyncio.DatagramProtocol):
    """Where one phone's sound comes in. `greeted`: when the greeting was over; `heard`: the first loud packet."""

    def __init__(self) -> None:
        self.greeted = 0.0
        self.heard = 0.0
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        assert self._transport is not None  # noqa: S101 for the type checker: it is opened before any call
        return int(self._transport.get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _address: tuple[str, int]) -> None:
        if data[12:] == GREETING_SOUND * PACKET:
            self.greeted = time.perf_counter() + PACKET / 8000
        if not self.heard and any((sample ^ 0x55) & 0x7F > _LOUD for sample in data[12:]):
            self.heard = time.perf_counter()

    def hum(self, where: tuple[str, int]) -> None:
        """Send a little silence (RTP): without any, Asterisk's Answer() waits half a second for it."""
        assert self._transport is not None  # noqa: S101 for the type checker: it is opened before any call
        for number in range(5):
            header = struct.pack("!BBHII", 0x80, 8, number, number * PACKET, 1)
            self._transport.sendto(header + b"\xd5" * PACKET, where)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class _Mouth:
    """Sends the same noise to all who are told of in `where`, call by call: RTP, A-law, a packet every 20 ms."""

    def __init__(self) -> None:
        self.where: dict[str, tuple[str, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self, wire: socket.socket) -> None:
        """From now on it speaks through this socket."""
        wire.setblocking(False)
        self._task = spawn(self._speak(wire), "mouth")

    def close(self) -> None:
        """Be silent."""
        if self._task is not None:
            self._task.cancel()

    async def _speak(self, wire: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        noise = random.Random(1).randbytes(PACKET)
        began, number = loop.time(), 0
        while True:
            number += 1
            header = struct.pack("!BBHII", 0x80, 8, number & 0xFFFF, number * PACKET, 2)
            for where in self.where.values():
                with contextlib.suppress(BlockingIOError):
                    wire.sendto(header + noise, where)
            # By the clock, and not after each other: a machine that is late for once catches up.
            await asyncio.sleep(began + number * PACKET / 8000 - loop.time())


class _Message:
    """A SIP message: its first line and its headers."""

    __slots__ = ("body", "first", "headers")

    def __init__(self, text: str) -> None:
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self.headers = []
        for line in lines:
            name, _, value = line.partition(":")
            self.headers.append((name.strip().lower(), value.strip()))

    def __getitem__(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    @property
    def method(self) -> str:
        return self.first.partition(" ")[0]

    @property
    def user(self) -> str:
        """The number that a request is for."""
        return _user(self.first)

    @property
    def status(self) -> int:
        """The code of an answer, 0 for a request."""
        return int(self.first[8:11]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def sound_port(self) -> int:
        """Where the other side wants to have our sound."""
        found = re.search(r"m=audio (\d+)", self.body)
        return int(found[1]) if found else 9

    def reply(self, status: str, tag: str, *, contact: str = "", body: str = "") -> str:
        to = self["to"]
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        vias = "".join(f"Via: {via}\r\n" for via in self.all("via"))
        return (
            f"SIP/2.0 {status}\r\n{vias}From: {self['from']}\r\nTo: {to}\r\n"
            f"Call-ID: {self['call-id']}\r\nCSeq: {self['cseq']}\r\n{contact}{_with(body)}"
        )


def _with(body: str) -> str:
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"


def _user(text: str) -> str:
    found = re.search(r"sips?:([^@;>]+)@", text)
    return found[1] if found else ""


def _address(contact: str) -> str:
    found = re.search(r"<([^>]+)>", contact)
    return found[1] if found else contact


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # RFC 2617 says MD5
