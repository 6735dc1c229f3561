"""SIP by hand (RFC 3261), for what no decent telephone would send, and for phones that die without a word."""

import asyncio
import contextlib
import hashlib
import re
import secrets
import socket
import ssl
from pathlib import Path
from typing import Any, Self


class Wire:
    """A UDP socket that speaks SIP to one exchange, `address:port`. `via`: what it calls itself."""

    via = "UDP"

    def __init__(self, exchange: str) -> None:
        host, _, port = exchange.rpartition(":")
        self.exchange = exchange
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self._socket.connect((host, int(port)))
        self.here = f"{host}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    async def send(self, message: bytes) -> None:
        """Send one datagram."""
        await asyncio.get_running_loop().sock_sendall(self._socket, message)

    async def answer(self, within: float = 10) -> str:
        """The next answer; what the exchange asks by itself (OPTIONS) is passed over. Raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while True:
                got = await self.receive()
                if got.startswith(b"SIP/2.0 "):
                    return got.decode(errors="replace")

    async def receive(self) -> bytes:
        """The next message."""
        return await asyncio.get_running_loop().sock_recv(self._socket, 65_535)

    def forget(self) -> None:
        """Throw away what has come in."""
        while True:
            try:
                self._socket.recv(65_535)
            except BlockingIOError:
                return

    async def be_there(self) -> None:
        """Answer every question whether this phone is there (OPTIONS), until cancelled.

        A question of before may be sent again, and come first: to answer it alone is not enough.
        """
        while True:
            await self._tell_there(await self.receive())

    async def until_asked(self, request: bytes) -> bytes:
        """Wait for a request of this kind, such as `INVITE`, and answer OPTIONS in the meantime."""
        while not (asked := await self.receive()).startswith(request + b" "):
            await self._tell_there(asked)
        return asked

    async def _tell_there(self, asked: bytes) -> None:
        if asked.startswith(b"OPTIONS "):
            await self.reply(asked.decode())

    async def reply(self, asked: str, headers: str = "", body: str = "", tag: str = "") -> None:
        """Answer 200 OK to a request of the exchange. `tag`: this side's, for the first answer in a dialogue."""
        kept = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*?\r\n", asked, re.MULTILINE)
        if tag:
            kept = [
                one.replace("\r\n", f";tag={tag}\r\n") if one[:3] == "To:" else one for one in kept
            ]
        head = f"SIP/2.0 200 OK\r\n{''.join(kept)}{headers}Content-Length: {len(body)}\r\n\r\n"
        await self.send((head + body).encode())

    async def call(
        self,
        number: str,
        from_: bytes,
        *,
        headers: bytes = b"",
        within: float = 10,
        call: str = "",
        media: bytes = b"8\r\na=rtpmap:8 PCMA/8000\r\n",
        profile: bytes = b"RTP/AVP",
        password: str = "",
    ) -> "Dialog":
        """Call `number` with this From header, letter by letter; returns after the final answer.

        `call`: the Call-ID, so that a call can arrive twice. `media`: the codecs offered. `password`: an agent's.
        Raises `TimeoutError` when the exchange drops the message. The call is silent: it has no sound at all.
        """
        dialog = Dialog(self, number, from_, call or secrets.token_hex(8))
        offer = (
            b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            b"m=audio 9 " + profile + b" " + media
        )
        headers += b"Content-Type: application/sdp\r\n"
        await self.send(dialog.request("INVITE", 1, headers, offer))
        while True:
            answer = await self.answer(within)
            status = int(answer.split(" ", 2)[1])
            if status == 401 and password:
                await self.send(dialog.request("ACK", 1))
                who = re.search(rb"sip:(\w+)@", from_)
                headers += digest(
                    who[1].decode() if who else "",
                    password,
                    f"sip:{number}@{self.exchange}",
                    challenge_of(answer),
                    "INVITE",
                )
                password = ""
                dialog.sequence = 2
                await self.send(dialog.request("INVITE", 2, headers, offer))
            elif status >= 200:
                dialog.status = status
                dialog.to = header(answer, "To").encode()
                dialog.answer = answer
                await self.send(dialog.request("ACK", dialog.sequence))
                return dialog

    async def register(self, number: str, password: str, expires: int = 300) -> None:
        """Sign in as an agent's phone, and then never say anything again. Raises `AssertionError` if refused."""
        call = secrets.token_hex(8)
        authorization = b""
        answer = ""
        for sequence in (1, 2):
            await self.send(
                f"REGISTER sip:{self.exchange} SIP/2.0\r\n"
                f"Via: SIP/2.0/{self.via} {self.here};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
                f"From: <sip:{number}@{self.exchange}>;tag={call}\r\nTo: <sip:{number}@{self.exchange}>\r\n"
                f"Call-ID: {call}\r\nCSeq: {sequence} REGISTER\r\nMax-Forwards: 70\r\n"
                f"Contact: <sip:{number}@{self.here};transport={self.via.lower()}>\r\nExpires: {expires}\r\n".encode()
                + authorization
                + b"Content-Length: 0\r\n\r\n"
            )
            answer = await self.answer()
            if answer.startswith("SIP/2.0 200"):
                return
            if not answer.startswith("SIP/2.0 401"):
                break
            authorization = digest(number, password, f"sip:{self.exchange}", challenge_of(answer))
        raise AssertionError(f"the exchange refused to register {number}: {answer}")


class SecureWire(Wire):
    """The same over TLS: an asynchronous context manager. `ca`: whoever signed the exchange's certificate."""

    via = "TLS"

    def __init__(self, exchange: str, ca: Path) -> None:
        self.exchange = exchange
        self._ca = ca

    async def __aenter__(self) -> Self:
        host, _, port = self.exchange.rpartition(":")
        trust = ssl.create_default_context(cafile=self._ca)
        self._reader, self._writer = await asyncio.open_connection(host, int(port), ssl=trust)
        address, own, *_ = self._writer.get_extra_info("sockname")
        self.here = f"{address}:{own}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):  # the exchange may be the first to close
            await self._writer.wait_closed()

    async def send(self, message: bytes) -> None:
        """Send one message."""
        self._writer.write(message)
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next message."""
        return await one_message(self._reader)


async def one_message(reader: asyncio.StreamReader) -> bytes:
    """One message of SIP from a stream (RFC 3261, 18.3). Raises `asyncio.IncompleteReadError` at its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lstrip()
    while not head:  # a sign of life
        head = (await reader.readuntil(b"\r\n\r\n")).lstrip()
    length = re.search(rb"^Content-Length: *(\d+)", head, re.MULTILINE | re.IGNORECASE)
    return head + await reader.readexactly(int(length[1]) if length else 0)


class Dialog:
    """One call made by `Wire.call`, or answered by `Dialog.pick_up`; `status` is the final answer's."""

    def __init__(self, wire: Wire, number: str, from_: bytes, call: str) -> None:
        self.status = 0
        self.sequence = 1
        self.answer = ""
        self.to = f"<sip:{number}@{wire.exchange}>".encode()
        self._wire, self._call = wire, call
        self._from = from_ + b";tag=" + call.encode()
        self._target = f"sip:{number}@{wire.exchange}"

    @classmethod
    async def pick_up(cls, wire: Wire, within: float, key: str = "") -> "Dialog":
        """As a phone: wait for the exchange's next call and answer it, in silence. Raises `TimeoutError`.

        `key`: an `a=crypto` line for encrypted sound (RFC 4568).
        """
        async with asyncio.timeout(within):
            invite = (await wire.until_asked(b"INVITE")).decode()
        tag = secrets.token_hex(4)
        dialog = cls(wire, "", b"", header(invite, "Call-ID"))
        dialog.status = 200
        dialog._from = f"{header(invite, 'To')};tag={tag}".encode()
        dialog.to = header(invite, "From").encode()
        dialog._target = header(invite, "Contact").partition("<")[2].partition(">")[0]
        offer = (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio 9 RTP/{'S' if key else ''}AVP 8\r\na=rtpmap:8 PCMA/8000\r\n{key}"
        )
        contact = f"Contact: <sip:{wire.here};transport={wire.via.lower()}>\r\nContent-Type: application/sdp\r\n"
        await wire.reply(invite, contact, offer, tag)
        return dialog

    def request(self, method: str, sequence: int, headers: bytes = b"", body: bytes = b"") -> bytes:
        """A request inside this dialogue."""
        return (
            f"{method} {self._target} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self._wire.via} {self._wire.here};branch=z9hG4bK{secrets.token_hex(8)};rport\r\n"
            f"Call-ID: {self._call}\r\nCSeq: {sequence} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:{self._wire.here}>\r\n".encode()
            + b"From: " + self._from + b"\r\nTo: " + self.to + b"\r\n"
            + headers
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )  # fmt: skip

    async def ask(
        self,
        method: str,
        sequence: int,
        headers: bytes = b"",
        body: bytes = b"",
        within: float = 10,
    ) -> int:
        """Send a request inside this dialogue. The status of its answer, 0 when there is none."""
        await self._wire.send(self.request(method, sequence, headers, body))
        try:
            while True:
                answer = await self._wire.answer(within)
                if f"CSeq: {sequence} {method}\r\n" in answer:
                    return int(answer.split(" ", 2)[1])
        except TimeoutError:
            return 0

    async def hang_up(self) -> None:
        """Send BYE."""
        if self.status == 200:
            await self._wire.send(self.request("BYE", self.sequence + 1))


def header(message: str, name: str) -> str:
    """The first header of this name. Raises `AssertionError` if there is none."""
    found = re.search(rf"^{name}: (.*)\r$", message, re.MULTILINE)
    assert found is not None, message
    return found[1]


def challenge_of(answer: str) -> dict[str, Any]:
    return dict(re.findall(r'(\w+)="?([^",\r]+)"?', answer[answer.index("WWW-Authenticate") :]))


def digest(
    user: str, password: str, uri: str, challenge: dict[str, Any], method: str = "REGISTER"
) -> bytes:
    """The header that answers a challenge of the exchange (RFC 2617)."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 RFC 2617 says MD5

    known = md5(f"{user}:{challenge['realm']}:{password}")
    once = secrets.token_hex(8)
    proof = md5(f"{known}:{challenge['nonce']}:00000001:{once}:auth:{md5(f'{method}:{uri}')}")
    opaque = f', opaque="{challenge["opaque"]}"' if "opaque" in challenge else ""
    return (
        f'Authorization: Digest username="{user}", realm="{challenge["realm"]}", '
        f'nonce="{challenge["nonce"]}", uri="{uri}", response="{proof}", algorithm=MD5, '
        f'qop=auth, nc=00000001, cnonce="{once}"{opaque}\r\n'
    ).encode()
