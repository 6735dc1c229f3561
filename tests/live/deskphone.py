"""An agent's telephone that can mute itself, die without a word and be reloaded (RFC 3261 and 3550, by hand).

    async with DeskPhone(centre.sip, "1001", PASSWORD) as phone:
        await phone.sign_in()
        ...
        phone.die()

It answers every call at once, unless it `waits`, and hums. A telephone that died has closed its ports: what is sent
there is lost.
"""

import asyncio
import re
import secrets
import socket
import time
from typing import Any, Self

from base.background import spawn
from tests.live.gateway import header, tone_of
from tests.live.sip import digest

_STEP = 0.02
_SAMPLES = 160
_REPORT_EVERY = 2.5
_KNOWS = "INVITE, ACK, BYE, CANCEL, NOTIFY, OPTIONS, UPDATE"


class DeskPhone:
    """One telephone of the agent `number` at the exchange `address:port`. `tcp`: it speaks SIP by TCP, not UDP."""

    def __init__(
        self, exchange: str, number: str, password: str, *, tone: int = 2500, tcp: bool = False
    ) -> None:
        host, _, port = exchange.rpartition(":")
        self.number, self.tone = number, tone
        self.muted = False
        """True: no RTP leaves any more. The other side is heard all the same."""
        self.reports = True
        """Whether RTCP is sent."""
        self.answers = True
        """Whether requests are answered: False for one that hangs."""
        self.waits = False
        """True: it rings until `pick_up`."""
        self.obeys = True
        """Whether NOTIFY with `Event: talk` has it pick up, as desk phones do; else it says 200 and rings on."""
        self.invited = 0
        """Calls that came so far."""
        self.invite = ""
        """The newest INVITE of a call."""
        self.asked: list[str] = []
        """Methods of the requests within a call that came so far."""
        self.talking = False
        self._exchange, self._host, self._to = exchange, host, (host, int(port))
        self._password, self._tcp = password, tcp
        self._registration = secrets.token_hex(8)
        self._signal: Any = None
        self._media: Any = None
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._dialog = self._peer = self._rings = ""
        self._sound_to: tuple[str, int] | None = None
        self._heard = b""
        self._tag = self._target = ""
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.die()

    async def sign_in(self, expires: int = 120) -> None:
        """Register. Raises `AssertionError` when refused, `TimeoutError` without an answer."""
        call, proof, answer = self._registration, b"", ""
        for sequence in (1, 2):
            self._send(
                f"REGISTER sip:{self._exchange} SIP/2.0\r\n{self._via()}"
                f"From: <sip:{self.number}@{self._exchange}>;tag={call}\r\n"
                f"To: <sip:{self.number}@{self._exchange}>\r\n"
                f"Call-ID: {call}\r\nCSeq: {sequence} REGISTER\r\nMax-Forwards: 70\r\n"
                f"Contact: <{self._contact()}>\r\nExpires: {expires}\r\n{proof.decode()}"
                "Content-Length: 0\r\n\r\n"
            )
            async with asyncio.timeout(10):
                answer = await self._answers.get()
            if answer.startswith("SIP/2.0 200"):
                return
            challenge = dict(
                re.findall(r'(\w+)="?([^",\r]+)"?', answer[answer.index("WWW-Authenticate") :])
            )
            proof = digest(self.number, self._password, f"sip:{self._exchange}", challenge)
        raise AssertionError(f"the exchange refused to register {self.number}: {answer}")

    def die(self) -> None:
        """Stop without a word."""
        self.talking = False
        for transport in (self._signal, self._media):
            if transport is not None:
                transport.close()
        self._signal = self._media = None

    async def reload(self, *, same_port: bool = False, register: bool = True) -> None:
        """Die, and come back registered with a new address (or the old one), knowing of no call.

        Without `register` it counts on the registration that the exchange still has.
        """
        port = self.port if same_port else 0
        self.die()
        await asyncio.sleep(0.05)
        self._dialog, self._registration = "", secrets.token_hex(8)
        await self._open(port)
        if register:
            await self.sign_in()

    async def move(self) -> None:
        """Have another address from now on, as behind a router (NAT) that forgot the old one, and register."""
        self._signal.close()
        await self._listen()
        await self.sign_in()

    async def until_rings(self, times: int = 1, within: float = 20) -> None:
        """Wait for the call of this number. Raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while self.invited < times:
                await asyncio.sleep(0.02)

    def pick_up(self) -> None:
        """Answer the call that rings. Nothing happens when none does."""
        message, self._rings = self._rings, ""
        if message:
            self._accept(message)

    def hang_up(self) -> None:
        """End the talk with BYE."""
        self.talking = False
        self._send(
            f"BYE {self._target} SIP/2.0\r\n{self._via()}"
            f"From: {header(self._peer, 'To')};tag={self._tag}\r\nTo: {header(self._peer, 'From')}\r\n"
            f"Call-ID: {self._dialog}\r\nCSeq: 1 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )

    # --- how it works

    async def _open(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        await self._listen(port)
        self._media, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self._hear), sock=_bound(self._host, 0)
        )
        spawn(self._hum(self._media), f"phone {self.number} hums")

    async def _listen(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        if self._tcp:
            self._signal, _ = await loop.create_connection(lambda: _Stream(self._take), *self._to)
        else:
            self._signal, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self._take), sock=_bound(self._host, port)
            )
        self.port = self._signal.get_extra_info("sockname")[1]

    def _take(self, data: bytes, _where: Any) -> None:
        message = data.decode(errors="replace")
        if message.startswith("SIP/2.0 "):
            if "REGISTER" in header(message, "CSeq"):
                self._answers.put_nowait(message)
            return
        method = message.split(" ", 1)[0]
        call = header(message, "Call-ID")
        within = "tag=" in header(message, "To")
        if within:
            self.asked.append(method)
        if method == "ACK" or not self.answers:
            return
        if within and call != self._dialog:
            self._reply(message, 481, "Call/Transaction Does Not Exist")
        elif method in ("INVITE", "UPDATE"):
            self._invite(message, call)
        elif method in ("BYE", "CANCEL", "OPTIONS"):
            self.talking = self.talking and method == "OPTIONS"
            self._reply(message, 200, "OK")
            if method == "CANCEL" and self._rings:
                self._reply(self._rings, 487, "Request Terminated")
                self._rings = ""
        elif method == "NOTIFY" and within:
            self._reply(message, 200, "OK")
            if header(message, "Event") == "talk" and self.obeys:
                self.pick_up()
        else:
            self._reply(message, 405, "Method Not Allowed")

    def _invite(self, message: str, call: str) -> None:
        if fresh := call != self._dialog:
            self.invited += 1
            self.invite = message
            self._dialog, self._peer, self._tag = call, message, secrets.token_hex(6)
            found = re.search(r"<([^>]+)>", header(message, "Contact"))
            self._target = found[1] if found else ""
            self._reply(message, 180, "Ringing")
        media = re.search(r"c=IN IP4 (\S+).*?m=audio (\d+)", message, re.DOTALL)
        self._sound_to = (media[1], int(media[2])) if media else self._sound_to
        if fresh and self.waits:
            self._rings = message
        else:
            self._accept(message)

    def _accept(self, message: str) -> None:
        self.talking = True
        port = self._media.get_extra_info("sockname")[1]
        self._reply(
            message,
            200,
            "OK",
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n",
        )

    async def _hum(self, media: Any) -> None:
        """Send the tone, and reports of what was sent, as long as this telephone lives."""
        sound, source = tone_of(self.tone), secrets.token_bytes(4)
        due = report_at = time.monotonic()
        sent = 0
        while not media.is_closing():
            if self.talking and self._sound_to is not None:
                if not self.muted:
                    at = sent * _SAMPLES % len(sound)
                    media.sendto(
                        b"\x80\x08" + (sent & 0xFFFF).to_bytes(2, "big")
                        + (sent * _SAMPLES & 0xFFFFFFFF).to_bytes(4, "big") + source
                        + (sound + sound)[at : at + _SAMPLES],
                        self._sound_to,
                    )  # fmt: skip
                    sent += 1
                if self.reports and due > report_at:
                    report_at = due + _REPORT_EVERY
                    host, port = self._sound_to
                    report = _sender_report(source, sent, self._heard, int(due * 1000) % 97)
                    media.sendto(report, (host, port + 1))
            due += _STEP
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _hear(self, packet: bytes, _where: Any) -> None:
        self._heard = packet[8:12]

    def _reply(self, request: str, status: int, phrase: str, body: str = "") -> None:
        vias = "".join(
            f"Via: {value}\r\n" for value in re.findall(r"^Via: (.*?)\r$", request, re.MULTILINE)
        )
        to = header(request, "To")
        if "tag=" not in to:
            to += f";tag={self._tag or 'none'}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._send(
            f"SIP/2.0 {status} {phrase}\r\n{vias}From: {header(request, 'From')}\r\nTo: {to}\r\n"
            f"Call-ID: {header(request, 'Call-ID')}\r\nCSeq: {header(request, 'CSeq')}\r\n"
            f"Contact: <{self._contact()}>\r\nAllow: {_KNOWS}\r\n{kind}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _send(self, message: str) -> None:
        if self._signal is None:
            return
        if self._tcp:
            self._signal.write(message.encode())
        else:
            self._signal.sendto(message.encode(), self._to)

    def _contact(self) -> str:
        return f"sip:{self.number}@{self._host}:{self.port}" + ";transport=tcp" * self._tcp

    def _via(self) -> str:
        by = "TCP" if self._tcp else "UDP"
        return f"Via: SIP/2.0/{by} {self._host}:{self.port};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"


def _sender_report(source: bytes, sent: int, heard: bytes, jitter: int) -> bytes:
    """RTCP with a sender report and a name (RFC 3550, 6.4.1), and a report about the other side, if it was heard."""
    now = time.time() + 2_208_988_800
    when = int(now).to_bytes(4, "big") + int(now % 1 * 2**32).to_bytes(4, "big")
    counts = [sent * _SAMPLES & 0xFFFFFFFF, sent, sent * _SAMPLES]
    head = b"\x81\xc8\x00\x0c" if heard else b"\x80\xc8\x00\x06"
    report = head + source + when + b"".join(n.to_bytes(4, "big") for n in counts)
    if heard:
        report += heard + bytes(8) + jitter.to_bytes(4, "big") + bytes(8)
    return report + b"\x81\xca\x00\x02" + source + b"\x01\x01x\x00"


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr)


class _Stream(asyncio.Protocol):
    """Messages out of a stream of bytes (RFC 3261, 18.3)."""

    def __init__(self, take: Any) -> None:
        self._take = take
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (head := self._rest.partition(b"\r\n\r\n"))[1]:
            length = re.search(rb"^Content-Length: *(\d+)", head[0], re.MULTILINE)
            size = len(head[0]) + 4 + (int(length[1]) if length else 0)
            if len(self._rest) < size:
                return
            message, self._rest = self._rest[:size], self._rest[size:]
            if length:  # otherwise it is a ping
                self._take(message, None)


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.setblocking(False)
    return made
