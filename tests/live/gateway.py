"""The way out, for tests: a telephone operator's SIP gateway with citizens behind it (RFC 3261, by hand).

    async with Gateway() as gateway:
        gateway.manners["13800000001"] = Manners(answer_after=0.5)
        ...
        call = await gateway.call(1)
        await call.until(lambda: call.answered_at)

A citizen who has answered hums their tone (A-law, RFC 3551), so that recordings can be looked at, and keeps what they
hear. The address is known
before the loop runs, for the centre wants it in its settings.
"""

import asyncio
import hashlib
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from base.background import spawn
from softphone.phones import Sound

CRLF = "\r\n"
_STEP = 0.02
_SAMPLES = 160
_SILENCE = bytes([0xD5] * _SAMPLES)


@dataclass
class Manners:
    """How a citizen's phone behaves. Seconds; `answer_after` None: it rings for ever. `status`: the answer instead.

    `silent`: the operator says nothing at all. `crosses`: the citizen picks up so many seconds after our CANCEL has
    come, before the operator has ended the call, so that the answer and the cancel surely cross on the wire.
    """

    answer_after: float | None = None
    status: int = 0
    ring_after: float = 0.0
    silent: bool = False
    crosses: float | None = None
    hang_up_after: float | None = None
    tone: int = 440


@dataclass
class GatewayCall:
    """One INVITE and what became of it. Times are seconds of `time.time()`, 0 until it happens."""

    gateway: "Gateway"
    number: str
    caller: str
    name: str
    manners: Manners
    request: str
    where: Any
    invited_at: float
    tag: str = field(default_factory=lambda: secrets.token_hex(6))
    ringing_at: float = 0.0
    cancelled_at: float = 0.0
    crossed_at: float = 0.0
    """Our CANCEL came when the citizen had picked up."""
    answered_at: float = 0.0
    acked_at: float = 0.0
    ended_at: float = 0.0
    hung_up_here: bool = False
    sent: float = 0.0
    """Seconds of sound that the citizen sent."""
    muted: bool = False
    received: list[tuple[float, bytes]] = field(default_factory=list)
    """A-law that came, each packet with its moment (`time.monotonic()`)."""

    @property
    def tone(self) -> int:
        """What this citizen hums."""
        return self.manners.tone

    def mute(self) -> None:
        """The citizen says nothing from now on."""
        self.muted = True

    def heard(self, seconds: float) -> Sound:
        """What the citizen received in the last `seconds`."""
        since = time.monotonic() - seconds
        packets = b"".join(packet for at, packet in self.received if at >= since)
        return _LINEAR[np.frombuffer(packets, dtype=np.uint8)]

    async def until(self, true: Callable[[], object], within: float = 10.0) -> None:
        """Wait for a condition. Raises `TimeoutError`."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the citizen's call was not as awaited within {within} s")
            await asyncio.sleep(0.005)

    def answer(self) -> None:
        """The citizen picks up, unless it is too late."""
        if self.ended_at or self.answered_at:
            return
        self.answered_at = time.time()
        if self.cancelled_at:
            self.crossed_at = self.answered_at
        self.gateway.reply(self, 200, "OK", self.gateway.offer())
        spawn(self.gateway.hum(self), "citizen hums")

    def refuse(self, status: int) -> None:
        """The citizen does not want to answer, or cannot."""
        if not self.ended_at and not self.answered_at:
            self.ended_at = time.time()
            self.gateway.reply(self, status, "No")

    def hang_up(self) -> None:
        """The citizen ends the talk."""
        if self.answered_at and not self.ended_at:
            self.ended_at = time.time()
            self.hung_up_here = True
            self.gateway.send_bye(self)


@dataclass
class Registered:
    """A REGISTER that was accepted: where the exchange wants its calls, and for how many seconds."""

    contact: str
    expires: int


class Gateway:
    """Answers what the exchange dials, as `manners` says by number (without +86); `otherwise` is everybody else's.

    With `accounts` (user → password) the operator wants to know who calls: each REGISTER and each INVITE is challenged
    (401, RFC 2617). `registered` is by user; `refused` counts the wrong passwords.
    """

    via, parameters = "UDP", ""
    keeps_sound = True
    """Citizens keep what they hear."""

    def __init__(self, **accounts: str) -> None:
        self.accounts = accounts
        self.registered: dict[str, Registered] = {}
        self.refused = 0
        self.deaf = False
        """It does not answer anything, as if it were not there."""
        self._nonce = secrets.token_hex(8)
        self.manners: dict[str, Manners] = {}
        self.otherwise = Manners()
        self.calls: list[GatewayCall] = []
        self._socket = _bound()
        self._sound = _bound()
        self._by_id: dict[str, GatewayCall] = {}
        self._by_port: dict[int, GatewayCall] = {}
        self._transport: Any = None

    @property
    def address(self) -> str:
        """What HOTLINE_OUTBOUND is to be."""
        return f"sip:127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._take), sock=self._socket.dup()
        )
        if self.keeps_sound:
            loop.add_reader(self._sound, self._hear)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for call in self.calls:
            call.hang_up()
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().remove_reader(self._sound)
        self._transport.close()

    def close(self) -> None:
        """Give the ports back."""
        self._socket.close()
        self._sound.close()

    def of(self, number: str) -> list[GatewayCall]:
        """Every time this number was dialled."""
        return [call for call in self.calls if call.number == number]

    async def call(self, times: int = 1, number: str = "", within: float = 10.0) -> GatewayCall:
        """Wait until the exchange has dialled out (`number`) that many times. Raises `TimeoutError`."""
        deadline = time.monotonic() + within
        while True:
            calls = self.of(number) if number else self.calls
            if len(calls) >= times:
                return calls[times - 1]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(calls)} calls went out, not {times}, within {within} s")
            await asyncio.sleep(0.005)

    # --- what a call sends

    def reply(self, call: GatewayCall, status: int, phrase: str, body: str = "") -> None:
        """Answer the INVITE."""
        self._answer(call.request, call.where, status, phrase, body, call.tag)

    def send_bye(self, call: GatewayCall) -> None:
        """End the dialogue from here."""
        request = call.request
        target = re.search(r"<([^>]+)>", header(request, "Contact"))
        assert target is not None
        self._send(
            f"BYE {target[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self.via} {self._here()};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
            f"From: {header(request, 'To')};tag={call.tag}\r\nTo: {header(request, 'From')}\r\n"
            f"Call-ID: {header(request, 'Call-ID')}\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n",
            call.where,
        )

    def offer(self) -> str:
        """Our SDP: A-law only."""
        port = self._sound.getsockname()[1]
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n"
        )

    async def hum(self, call: GatewayCall) -> None:
        """Send the citizen's tone until the call is over."""
        media = re.search(r"c=IN IP4 (\S+).*?m=audio (\d+)", call.request, re.DOTALL)
        if media is None:
            return
        where = (media[1], int(media[2]))
        self._by_port[where[1]] = call
        sound = tone_of(call.manners.tone)
        source, sequence = secrets.token_bytes(4), 0
        due = time.monotonic()
        while not call.ended_at:
            if call.manners.hang_up_after is not None and (
                time.time() >= call.answered_at + call.manners.hang_up_after
            ):
                call.hang_up()
                return
            at = sequence * _SAMPLES % len(sound)
            packet = (
                b"\x80\x08" + (sequence & 0xFFFF).to_bytes(2, "big")
                + (sequence * _SAMPLES & 0xFFFFFFFF).to_bytes(4, "big") + source
                + (_SILENCE if call.muted else (sound + sound)[at : at + _SAMPLES])
            )  # fmt: skip
            self._sound.sendto(self.protected(packet), where)
            sequence += 1
            call.sent += _STEP
            due += _STEP
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def protected(self, packet: bytes) -> bytes:
        """What goes over the wire for a packet of sound."""
        return packet

    # --- what comes in

    def _hear(self) -> None:
        """A packet of sound: Asterisk sends it from where it wants the citizen's."""
        packet, where = self._sound.recvfrom(2048)
        if (call := self._by_port.get(where[1])) is not None:
            call.received.append((time.monotonic(), packet[12:]))

    def _take(self, message: str, where: Any) -> None:
        if self.deaf:
            return
        method = message.split(" ", 1)[0]
        call = self._by_id.get(header(message, "Call-ID"))
        if method in ("REGISTER", "INVITE") and call is None and not self._is_known(message):
            self.refused += "Authorization: " in message
            realm = f'WWW-Authenticate: Digest realm="operator", nonce="{self._nonce}", algorithm=MD5\r\n'
            self._answer(message, where, 401, "Unauthorized", tag=self._nonce, more=realm)
        elif method == "REGISTER":
            self._register(message, where)
        elif method == "INVITE" and call is None:
            self._invited(message, where)
        elif method == "CANCEL":
            self._answer(message, where, 200, "OK")
            if call is None or call.ended_at or call.cancelled_at:
                return
            if call.answered_at:
                call.crossed_at = call.crossed_at or time.time()
                return
            call.cancelled_at = time.time()
            if call.manners.crosses is not None:
                spawn(self._cross(call, call.manners.crosses), "answer crosses")
                return
            call.ended_at = call.cancelled_at
            self.reply(call, 487, "Request Terminated")
        elif method == "BYE":
            self._answer(message, where, 200, "OK")
            if call is not None and not call.ended_at:
                call.ended_at = time.time()
        elif method == "ACK" and call is not None:
            call.acked_at = call.acked_at or time.time()
        elif method == "OPTIONS":
            self._answer(message, where, 200, "OK")

    def _is_known(self, message: str) -> bool:
        """Whether the request is signed by one of the accounts."""
        if not self.accounts:
            return True
        told = dict(re.findall(r'(\w+)="([^"]*)"', header(message, "Authorization")))
        password = self.accounts.get(told.get("username", ""))
        if password is None or told.get("nonce") != self._nonce:
            return False
        method = message.split(" ", 1)[0]
        ours = _md5(f"{told['username']}:operator:{password}")
        return told.get("response") == _md5(
            f"{ours}:{self._nonce}:{_md5(method + ':' + told.get('uri', ''))}"
        )

    def _register(self, message: str, where: Any) -> None:
        user = re.search(r"sips?:([^@;>]*)@", header(message, "To"))
        contact = re.search(r"<(sip:[^>]+)>", header(message, "Contact"))
        expires = int(header(message, "Expires") or 0)
        name = user[1] if user else ""
        self.registered.pop(name, None)
        more = ""
        if contact is not None and expires:
            self.registered[name] = Registered(contact[1], expires)
            more = f"Contact: <{contact[1]}>;expires={expires}\r\n"
        self._answer(message, where, 200, "OK", more=more)

    def _invited(self, message: str, where: Any) -> None:
        number = re.match(r"INVITE sips?:([^@;>\s]*)", message)
        sender = header(message, "From")
        caller = re.search(r"sips?:([^@;>]*)", sender)
        name = re.match(r'\s*"([^"]*)"', sender)
        known = number[1].removeprefix("+86") if number else ""
        call = GatewayCall(
            self,
            known,
            caller[1] if caller else "",
            name[1] if name else "",
            self.manners.get(known, self.otherwise),
            message,
            where,
            time.time(),
        )
        self.calls.append(call)
        self._by_id[header(message, "Call-ID")] = call
        spawn(self._behave(call), "citizen's phone")

    async def _behave(self, call: GatewayCall) -> None:
        manners = call.manners
        if manners.silent:
            return
        self.reply(call, 100, "Trying")
        if manners.status:
            call.refuse(manners.status)
            return
        if manners.ring_after:
            await asyncio.sleep(manners.ring_after)
        if not call.ended_at:
            call.ringing_at = time.time()
            self.reply(call, 180, "Ringing")
        if manners.answer_after is None:
            return
        await asyncio.sleep(manners.answer_after)
        call.answer()

    async def _cross(self, call: GatewayCall, after: float) -> None:
        await asyncio.sleep(after)
        call.answer()

    def _answer(
        self,
        request: str,
        where: Any,
        status: int,
        phrase: str,
        body: str = "",
        tag: str = "",
        more: str = "",
    ) -> None:
        vias = "".join(
            f"Via: {value}\r\n" for value in re.findall(r"^Via: (.*?)\r$", request, re.MULTILINE)
        )
        to = header(request, "To")
        if tag and "tag=" not in to:
            to += f";tag={tag}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._send(
            f"SIP/2.0 {status} {phrase}\r\n{vias}From: {header(request, 'From')}\r\nTo: {to}\r\n"
            f"Call-ID: {header(request, 'Call-ID')}\r\nCSeq: {header(request, 'CSeq')}\r\n"
            f"{more or f'Contact: <sip:{self._here()}{self.parameters}>' + CRLF}{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}",
            where,
        )

    def _send(self, message: str, where: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(message.encode(), where)

    def _here(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[str, Any], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data.decode(errors="replace"), addr)


def _bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def header(message: str, name: str) -> str:
    """The value of a SIP message's header; empty when it has none."""
    found = re.search(rf"^{name}: (.*?)\r$", message, re.MULTILINE)
    return found[1] if found else ""


def tone_of(hertz: int) -> bytes:
    """One second of a tone in A-law."""
    return alaw((np.sin(2 * np.pi * hertz * np.arange(8000) / 8000) * 6000).astype(np.int32))


def alaw(samples: np.ndarray[Any, Any]) -> bytes:
    """Samples of 16 bits in A-law (ITU-T G.711)."""
    sign = np.where(samples >= 0, 0x80, 0)
    size = np.minimum(np.abs(samples), 32767) >> 3
    step = np.maximum(0, np.floor(np.log2(np.maximum(size, 1))).astype(np.int32) - 4)
    part = np.where(step > 1, size >> step, size >> 1) & 0x0F
    return bytes(((sign | (step << 4) | part) ^ 0x55).astype(np.uint8))


def _linear(code: int) -> int:
    """One byte of A-law as a sample of 16 bits (ITU-T G.711)."""
    code ^= 0x55
    step, part = code >> 4 & 7, (code & 15) * 2 + 1
    size = part << 3 if step == 0 else part + 32 << step + 2
    return size if code & 0x80 else -size


_LINEAR = np.array([_linear(code) for code in range(256)], dtype=np.int16)
