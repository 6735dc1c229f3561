"""Many telephones in one process, for the soak: SIP by hand (RFC 3261), with sound (RTP, RFC 3550) and keys (RFC 4733).

`Line` is a telephone, or an operator's trunk with many citizens behind it; `Leg` is its side of one call. A line may do
what no decent telephone does: fall silent in a talk, come back with another contact, hang up in the moment of its
answer. baresip is not told to do that, and carries the sound of a few calls only.
"""

import asyncio
import contextlib
import hashlib
import itertools
import re
import secrets
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import quote

from base.background import spawn
from softphone.phones import RATE

RESEND = 0.5
"""Seconds after which a request without an answer is sent again, then twice as long (T1 of RFC 3261)."""
GIVE_UP = 8.0
"""Seconds after which nobody is believed to be there any more; for a BYE it is `LAST_WORD` (64 × T1 of RFC 3261)."""
LAST_WORD = 32.0
GLARE = 1.0
"""Seconds in which an agent's own call may cross a call to that agent."""
CROSSING = 0.1
"""Seconds in which the cancel of a call may be behind the next INVITE."""

_PACKET = 160
_VOICE = b"\xd5\x94\x80\x8d\x80\x94\xd5\x14\x00\x0d\x00\x14" * 14
"""A-law samples of a hum, enough for a packet."""


class Sound:
    """Sends everybody's sound from one socket: a packet a leg each 20 ms. What comes in is never read."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((address, 0))
        self._talking: dict[Leg, _Stream] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where sound may be sent to."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._task = spawn(self._hum(), "the telephones' sound")

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._socket.close()

    def begin(self, leg: "Leg", where: tuple[str, int]) -> None:
        """From now on this leg hums."""
        self._talking[leg] = _Stream(where)

    def end(self, leg: "Leg") -> None:
        """It hums no more."""
        self._talking.pop(leg, None)

    def press(self, leg: "Leg", key: str) -> None:
        """Press a key for 100 ms."""
        if stream := self._talking.get(leg):
            stream.key = "0123456789*#".index(key)
            stream.key_left = 5

    async def _hum(self) -> None:
        due = time.monotonic()
        while True:
            for stream in list(self._talking.values()):
                with contextlib.suppress(OSError):
                    for packet in stream.packets():
                        self._socket.sendto(packet, stream.where)
            # After a pause of this process nothing is made up for: the sound has a hole, as on a bad network.
            due = max(due + _PACKET / RATE, time.monotonic() - 0.1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


class _Stream:
    __slots__ = ("_sequence", "_source", "_stamp", "key", "key_left", "where")

    def __init__(self, where: tuple[str, int]) -> None:
        self.where = where
        self.key, self.key_left = 0, 0
        self._sequence, self._stamp = 0, 0
        self._source = secrets.randbits(32)

    def packets(self) -> list[bytes]:
        """What is due now."""
        self._stamp = (self._stamp + _PACKET) & 0xFFFFFFFF
        if self.key_left <= 0:
            return [self._packet(8, self._stamp, _VOICE[:_PACKET])]
        began = (self._stamp - (5 - self.key_left) * _PACKET) & 0xFFFFFFFF
        last = self.key_left == 1
        event = struct.pack("!BBH", self.key, (0x80 if last else 0) | 10, (6 - self.key_left) * 160)
        self.key_left -= 1
        return [self._packet(101, began, event) for _ in range(3 if last else 1)]

    def _packet(self, kind: int, stamp: int, body: bytes) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return struct.pack("!BBHII", 0x80, kind, self._sequence, stamp, self._source) + body


@dataclass(frozen=True)
class Clash:
    """A call that came while one went on: `busy` says which. `passing`: a phone is in use so for some milliseconds.

    It has handed a citizen on and is about to end its own leg, or the cancel of the last INVITE is behind this one.
    """

    at: float
    caller: str
    busy: str
    passing: bool


class Leg:
    """One telephone's side of one call. Times are of `time.time()`, 0 until it happens."""

    def __init__(self, line: "Line", call_id: str, local: str, remote: str, target: str) -> None:
        self.line, self.call_id = line, call_id
        self.local, self.remote, self.target = local, remote, target
        self.peer = ""
        """The number that the phone shows, or that was dialled."""
        self.outgoing = False
        self.began_at = time.time()
        self.reached_at = self.ringing_at = self.answered_at = self.ended_at = 0.0
        """`reached_at`: when the exchange first said something. `answered_at`: its 200, or the ACK of ours."""
        self.status = 0
        """The final answer to our INVITE."""
        self.how = ""
        """How it ended: `here`, `there`, `cancelled`, `refused`, `lost` (nobody answers any more), `dropped`."""
        self.unanswered = False
        """A request of ours got no answer, however often it was sent."""
        self.handed_on_at = 0.0
        """When the exchange took the REFER: the far end is with nobody or elsewhere from then on."""
        self.referred = 0
        """What became of a REFER: the status of the last NOTIFY, or of the refusal; 0 until it is known."""
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self._moved = asyncio.Event()
        self._request: Message | None = None
        self._answer = b""
        self._final = b""
        self._sequence = 1
        self._awaited: dict[int, asyncio.Future[Message]] = {}

    def __str__(self) -> str:
        towards = "to" if self.outgoing else "from"
        told = f"began {time.time() - self.began_at:.2f} s ago"
        if self.answered_at:
            told += f", answered {time.time() - self.answered_at:.2f} s ago"
        if self.handed_on_at:
            told += (
                f", handed on {time.time() - self.handed_on_at:.2f} s ago, NOTIFY {self.referred}"
            )
        return f"{towards} {self.peer} ({told})"

    @property
    def talking(self) -> bool:
        """Answered and not over."""
        return bool(self.answered_at) and not self.ended_at

    async def until(self, event: asyncio.Event, within: float) -> bool:
        """Wait for `answered` or `ended`; False when it took longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await event.wait()
        return event.is_set()

    # --- what its owner does

    async def answer(self) -> None:
        """Take the call, and wait for the acknowledgement."""
        if self.ended_at or self._request is None:
            return
        self._final = self._request.reply(
            "200 OK", self.local, contact=self.line.contact(), body=self.line.offer()
        )
        pause, until = RESEND, time.monotonic() + GIVE_UP
        while not self.ended_at and not self.answered_at and time.monotonic() < until:
            self.line.send(self._final)
            await self.until(self._moved, pause)
            pause = min(pause * 2, 4.0)
        if not self.answered_at:
            self.over("lost")

    def refuse(self, status: str = "486 Busy Here") -> None:
        """Answer with this instead."""
        if not self.ended_at and not self.answered_at and self._request is not None:
            self._final = self._request.reply(status, self.local)
            self.line.send(self._final)
            self.over("refused")

    async def hang_up(self) -> None:
        """Send BYE, or CANCEL while it rings, and wait until that is answered."""
        if self.ended_at:
            return
        if self.outgoing and not self.answered_at:
            self.how = "cancelled"
            if self._request is not None:
                self.line.send(self._request.cancel())
            if not await self.until(self.ended, GIVE_UP):
                self.over("cancelled")
            return
        self.over("here")
        await self.ask("BYE")

    async def refer(self, to: str, replaces: "Leg | None" = None) -> int:
        """Hand the far end over to a number, or to another call's far end. The status, 0 when nobody told."""
        target = f"sip:{to}@{self.line.exchange_name}"
        if replaces is not None:
            told = (
                f"{replaces.call_id};to-tag={_tag(replaces.remote)};from-tag={_tag(replaces.local)}"
            )
            target += f"?Replaces={quote(told, safe='')}"
        said = await self.ask("REFER", f"Refer-To: <{target}>\r\nReferred-By: {self.local}\r\n")
        if said is None or said.status >= 300:
            self.referred = said.status if said else 0
            return self.referred
        self.handed_on_at = time.time()
        until = time.monotonic() + GIVE_UP
        while self.referred < 200 and not self.ended_at and time.monotonic() < until:
            await asyncio.sleep(0.02)
        return self.referred or 202

    async def hold(self, held: bool = True) -> None:
        """Put the far end on hold, or come back."""
        body = self.line.offer("sendonly" if held else "sendrecv")
        said = await self.ask("INVITE", self.line.contact(), body)
        if said is not None:
            self.line.send(self.line.request(self, "ACK", self._sequence))

    def press(self, key: str) -> None:
        """Press a key."""
        self.line.sound.press(self, key)

    async def ask(self, method: str, headers: str = "", body: str = "") -> "Message | None":
        """Send a request within the call, and give its final answer; None when there is none."""
        self._sequence += 1
        sequence = self._sequence
        text = self.line.request(self, method, sequence, headers, body)
        done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited[sequence] = done
        within = LAST_WORD if method == "BYE" else GIVE_UP
        pause, until = RESEND, time.monotonic() + within
        try:
            while time.monotonic() < until and self.line.alive:
                self.line.send(text)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        return await asyncio.shield(done)
                pause = min(pause * 2, 4.0)
            self.unanswered = self.line.alive
            return None
        finally:
            self._awaited.pop(sequence, None)
            done.cancel()
            if method == "BYE":
                self.line.forget(self)

    def over(self, how: str) -> None:
        """It is over; nothing is sent."""
        if not self.ended_at:
            self.ended_at = time.time()
            self.how = self.how or how
            self.line.sound.end(self)
            self.ended.set()
            self._moved.set()
            if how != "here":
                self.line.forget(self)

    # --- what comes in

    def took(self, message: "Message") -> None:
        """A request within the call."""
        match message.method:
            case "ACK":
                if self._final and not self.answered_at and not self.ended_at:
                    self._speaks()
            case "CANCEL":
                self.line.send(message.reply("200 OK", self.local))
                if not self.answered_at and not self.ended_at and self._request is not None:
                    self.line.send(self._request.reply("487 Request Terminated", self.local))
                    self.over("cancelled")
            case "BYE":
                self.line.send(message.reply("200 OK", self.local))
                self.over("there")
            case "NOTIFY":
                self.line.send(message.reply("200 OK", self.local))
                if found := re.match(r"SIP/2.0 (\d+)", message.body):
                    self.referred = int(found[1])
            case "INVITE":
                body = self.line.offer()
                self.line.send(
                    message.reply("200 OK", self.local, contact=self.line.contact(), body=body)
                )
            case _:
                self.line.send(message.reply("200 OK", self.local))

    def heard(self, message: "Message") -> None:
        """An answer within the call."""
        sequence, _, method = message["cseq"].partition(" ")
        if (done := self._awaited.get(int(sequence))) is not None:
            if message.status >= 200 and not done.done():
                done.set_result(message)
            return
        if method != "INVITE" or not self.outgoing or self._request is None:
            return
        if int(sequence) != self._sequence:
            return
        self.reached_at = self.reached_at or time.time()
        if 100 < message.status < 200:
            self.ringing_at = self.ringing_at or time.time()
        self._moved.set()
        if message.status < 200:
            return
        if message.status == 200:
            self.remote = message["to"]
            self.target = _address(message["contact"])
            self.line.send(self.line.request(self, "ACK", self._sequence))
            self.status = 200
            if self.how == "cancelled" and not self.answered_at:
                # The answer crossed the CANCEL.
                self.how = ""
                self._request = message
                self._speaks()
                spawn(self.hang_up(), "answered after its cancel")
            elif not self.answered_at and not self.ended_at:
                self._request = message
                self._speaks()
            return
        self.line.send(self._request.acknowledge(message))
        if message.status in (401, 407) and not self.status and self.line.password:
            self.status = message.status
            self._sequence += 1
            proof = self.line.proof("INVITE", self.target, message)
            self.line.send(self._invite(proof))
            return
        self.status = message.status
        self.over("refused")

    def _speaks(self) -> None:
        self.answered_at = time.time()
        if self._request is not None and (where := self._request.sound):
            self.line.sound.begin(self, where)
        self.answered.set()
        self._moved.set()

    def _invite(self, proof: str = "") -> bytes:
        text = self.line.request(
            self, "INVITE", self._sequence, self.line.contact() + proof, self.line.offer()
        )
        self._request = Message(text.decode())
        return text

    async def place(self) -> None:
        """Send the INVITE until somebody says something. For `Line.dial`."""
        pause, until = RESEND, time.monotonic() + GIVE_UP
        text = self._invite()
        while not self._moved.is_set() and not self.ended_at and self.line.alive:
            if time.monotonic() > until:
                self.over("lost")
                return
            self.line.send(text)
            await self.until(self._moved, pause)
            pause = min(pause * 2, 4.0)

    def rings(self, request: "Message") -> None:
        """It rings here. For `Line`."""
        self._request = request
        self.ringing_at = time.time()
        self._answer = request.reply("180 Ringing", self.local, contact=self.line.contact())
        self.line.send(self._answer)

    def again(self) -> None:
        """The same INVITE once more. For `Line`."""
        self.line.send(self._final or self._answer)


class Line(asyncio.DatagramProtocol):
    """A telephone with an account, or without `password` a trunk, whose citizens dial with numbers of their own.

    `incoming(leg)` is awaited for each call that comes in. `clashes`: those that came while a call went on.
    """

    def __init__(
        self,
        exchange: tuple[str, int],
        sound: Sound,
        *,
        number: str = "",
        password: str = "",
        incoming: Callable[[Leg], Awaitable[None]] | None = None,
    ) -> None:
        self.exchange, self.sound = exchange, sound
        self.exchange_name = f"{exchange[0]}:{exchange[1]}"
        self.number, self.password = number, password
        self.alive = True
        self.clashes: list[Clash] = []
        self.refused: list[str] = []
        """Why REGISTER was refused."""
        self._incoming = incoming
        self._legs: dict[str, Leg] = {}
        self._done: dict[str, Leg] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._here = ""
        self._registering: dict[str, asyncio.Future[Message]] = {}

    @property
    def legs(self) -> list[Leg]:
        """The calls that go on here."""
        return list(self._legs.values())

    async def open(self) -> Self:
        """Take a port that the kernel chooses."""
        wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        wire.setblocking(False)
        wire.bind((self.exchange[0], 0))
        self._here = f"{self.exchange[0]}:{wire.getsockname()[1]}"
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=wire)
        return self

    def die(self) -> None:
        """From now on nothing is sent, answered or heard here: the power is off."""
        self.alive = False
        for leg in self.legs:
            leg.over("dropped")
        if self._transport is not None:
            self._transport.abort()

    def dial(self, number: str, caller: str = "") -> Leg:
        """Call a number, and return before anybody has answered."""
        call_id = secrets.token_hex(10)
        here = f"sip:{caller or self.number}@{self._here}"
        target = f"sip:{number}@{self.exchange_name}"
        leg = Leg(self, call_id, f"<{here}>;tag={secrets.token_hex(6)}", f"<{target}>", target)
        leg.peer, leg.outgoing = number, True
        self._legs[call_id] = leg
        spawn(leg.place(), "a call is placed")
        return leg

    async def register(self, within: float = GIVE_UP) -> bool:
        """Sign in. False when nobody answers, or the password is refused."""
        call_id, target = secrets.token_hex(10), f"sip:{self.exchange_name}"
        proof, answer = "", None
        for sequence in (1, 2):
            text = (
                f"REGISTER {target} SIP/2.0\r\n{self._via()}"
                f"From: <sip:{self.number}@{self.exchange_name}>;tag={call_id}\r\n"
                f"To: <sip:{self.number}@{self.exchange_name}>\r\nCall-ID: {call_id}\r\n"
                f"CSeq: {sequence} REGISTER\r\nMax-Forwards: 70\r\n{self.contact()}"
                f"Expires: 600\r\n{proof}Content-Length: 0\r\n\r\n"
            )
            answer = await self._exchange(f"{call_id} {sequence}", text, within)
            if answer is None:
                return False
            if answer.status == 200:
                return True
            if answer.status not in (401, 407):
                break
            proof = self.proof("REGISTER", target, answer)
        if answer is not None:
            self.refused.append(answer.first)
        return False

    async def _exchange(self, key: str, text: str, within: float) -> "Message | None":
        done: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._registering[key] = done
        pause, until = RESEND, time.monotonic() + within
        try:
            while self.alive and time.monotonic() < until:
                self.send(text.encode())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        return await asyncio.shield(done)
                pause = min(pause * 2, 4.0)
            return None
        finally:
            self._registering.pop(key, None)
            done.cancel()

    # --- for legs

    def send(self, text: bytes) -> None:
        """One datagram, unless the power is off."""
        if self.alive and self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(text, self.exchange)

    def forget(self, leg: Leg) -> None:
        """The call is over; what is still said about it is answered."""
        if self._legs.pop(leg.call_id, None) is not None:
            self._done[leg.call_id] = leg
            if len(self._done) > 500:
                self._done.pop(next(iter(self._done)))

    @property
    def address(self) -> str:
        """Where this telephone is, as a SIP URI."""
        return f"sip:{self.number or 'trunk'}@{self._here}"

    def contact(self) -> str:
        """The header that says where this telephone is."""
        return f"Contact: <{self.address}>\r\n"

    def offer(self, direction: str = "sendrecv") -> str:
        """A-law and keys (SDP)."""
        address = self.exchange[0]
        return (
            f"v=0\r\no=- 1 {next(_versions)} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio {self.sound.port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )

    def request(
        self, leg: Leg, method: str, sequence: int, headers: str = "", body: str = ""
    ) -> bytes:
        """A request within a call."""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        contact = "" if "Contact:" in headers or method in ("ACK", "BYE") else self.contact()
        return (
            f"{method} {leg.target} SIP/2.0\r\n{self._via()}From: {leg.local}\r\nTo: {leg.remote}\r\n"
            f"Call-ID: {leg.call_id}\r\nCSeq: {sequence} {method}\r\nMax-Forwards: 70\r\n"
            f"{contact}{headers}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def proof(self, method: str, uri: str, challenge: "Message") -> str:
        """The answer to a digest challenge (RFC 2617)."""
        said = challenge["www-authenticate"] or challenge["proxy-authenticate"]
        asked = dict(re.findall(r'(\w+)="?([^",]+)"?', said))
        once = secrets.token_hex(8)
        known = _md5(f"{self.number}:{asked['realm']}:{self.password}")
        answer = _md5(f"{known}:{asked['nonce']}:00000001:{once}:auth:{_md5(f'{method}:{uri}')}")
        opaque = f', opaque="{asked["opaque"]}"' if "opaque" in asked else ""
        name = "Authorization" if challenge["www-authenticate"] else "Proxy-Authorization"
        return (
            f'{name}: Digest username="{self.number}", realm="{asked["realm"]}", '
            f'nonce="{asked["nonce"]}", uri="{uri}", response="{answer}", algorithm=MD5, qop=auth, '
            f'nc=00000001, cnonce="{once}"{opaque}\r\n'
        )

    def _via(self) -> str:
        branch = f"z9hG4bK{secrets.token_hex(8)}"
        return f"Via: SIP/2.0/UDP {self._here};rport;branch={branch}\r\n"

    # --- the wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _address: Any) -> None:
        """One SIP message."""
        if not self.alive or not data.strip():
            return
        message = Message(data.decode(errors="replace"))
        call_id = message["call-id"]
        if message.status and message["cseq"].endswith("REGISTER"):
            done = self._registering.get(f"{call_id} {message['cseq'].partition(' ')[0]}")
            if done is not None and not done.done():
                done.set_result(message)
            return
        leg = self._legs.get(call_id) or self._done.get(call_id)
        if message.status:
            if leg is not None:
                leg.heard(message)
        elif message.method == "INVITE" and ";tag=" not in message["to"]:
            if leg is not None:
                leg.again()
            else:
                self._invited(message)
        elif leg is not None:
            leg.took(message)
        elif message.method == "OPTIONS":
            self.send(message.reply("200 OK", f"{message['to']};tag={secrets.token_hex(4)}"))
        elif message.method != "ACK":
            self.send(message.reply("481 Call/Transaction Does Not Exist", message["to"]))

    def _invited(self, message: "Message") -> None:
        tag = secrets.token_hex(6)
        caller = _user(message["from"])
        if self._legs:
            # Both sides call in one moment: nobody's fault.
            glare = all(
                leg.outgoing and time.time() - leg.began_at < GLARE for leg in self._legs.values()
            )
            if not glare:
                now, legs = time.time(), [*self._legs.values()]
                passing = all(
                    leg.handed_on_at or (not leg.answered_at and now - leg.began_at < CROSSING)
                    for leg in legs
                )
                busy = ", ".join(map(str, legs))
                self.clashes.append(Clash(now, caller, busy, passing))
            self.send(message.reply("486 Busy Here", f"{message['to']};tag={tag}"))
            return
        leg = Leg(
            self,
            message["call-id"],
            f"{message['to']};tag={tag}",
            message["from"],
            _address(message["contact"]),
        )
        leg.peer = caller
        self._legs[leg.call_id] = leg
        leg.rings(message)
        if self._incoming is not None:
            spawn(cast("Any", self._incoming(leg)), f"phone {self.number}")


class Message:
    """A SIP message: its first line, its headers, its body."""

    __slots__ = ("_headers", "body", "first")

    def __init__(self, text: str) -> None:
        head, _, self.body = text.partition("\r\n\r\n")
        self.first, *lines = head.split("\r\n")
        self._headers = []
        for line in lines:
            name, _, value = line.partition(":")
            self._headers.append((name.strip().lower(), value.strip()))

    def __getitem__(self, name: str) -> str:
        return next((value for known, value in self._headers if known == name), "")

    @property
    def method(self) -> str:
        """That of a request."""
        return self.first.partition(" ")[0]

    @property
    def status(self) -> int:
        """That of an answer, 0 for a request."""
        return int(self.first[8:11]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def sound(self) -> tuple[str, int] | None:
        """Where the other side wants to have our sound."""
        found = re.search(r"c=IN IP4 (\S+).*?m=audio (\d+)", self.body, re.DOTALL)
        return (found[1], int(found[2])) if found else None

    def reply(self, status: str, to: str, *, contact: str = "", body: str = "") -> bytes:
        """An answer to this request."""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        vias = "".join(f"Via: {value}\r\n" for name, value in self._headers if name == "via")
        return (
            f"SIP/2.0 {status}\r\n{vias}From: {self['from']}\r\nTo: {to}\r\n"
            f"Call-ID: {self['call-id']}\r\nCSeq: {self['cseq']}\r\n"
            f"{contact}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def cancel(self) -> bytes:
        """The CANCEL of this INVITE."""
        return self._same("CANCEL", self["to"])

    def acknowledge(self, refusal: "Message") -> bytes:
        """The ACK for a refusal of this INVITE: part of the same transaction (RFC 3261, 17.1.1.3)."""
        return self._same("ACK", refusal["to"])

    def _same(self, method: str, to: str) -> bytes:
        return (
            f"{method} {self.first.split(' ')[1]} SIP/2.0\r\nVia: {self['via']}\r\n"
            f"From: {self['from']}\r\nTo: {to}\r\nCall-ID: {self['call-id']}\r\n"
            f"CSeq: {self['cseq'].partition(' ')[0]} {method}\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode()


_versions = itertools.count(1)


def _tag(header: str) -> str:
    return header.rpartition(";tag=")[2]


def _user(header: str) -> str:
    found = re.search(r"sips?:([^@;>]+)@", header)
    return found[1] if found else ""


def _address(contact: str) -> str:
    found = re.search(r"<([^>]+)>", contact)
    return found[1] if found else contact


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # RFC 2617 says MD5
