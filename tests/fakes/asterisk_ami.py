"""The other end of an AMI link: a small manager interface that can misbehave in every way that was seen."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Self

BANNER = b"Asterisk Call Manager/11.0.0\r\n"


def message(headers: Mapping[str, str]) -> bytes:
    """As Asterisk writes it."""
    return "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode() + b"\r\n"


class FakeAsterisk:
    """Listens on a port of its own. What a test changes holds from the next action on."""

    def __init__(self) -> None:
        self.secret = "right"
        self.banner = BANNER
        self.mute: set[str] = set()
        """Names of actions that get no answer."""
        self.answers: dict[str, list[dict[str, str]]] = {}
        """What an action is answered with, in place of `Response: Success`."""
        self.booted = True
        self.received: list[dict[str, str]] = []
        self.logins = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and drop everybody."""
        if self._server is not None:
            self._server.close()
        self.drop()
        if self._server is not None:
            await self._server.wait_closed()

    def drop(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def send(self, data: bytes) -> None:
        """Send these bytes to everybody, as they are."""
        for writer in self._writers:
            writer.write(data)

    def event(self, name: str, **headers: str) -> None:
        """Send an event with the headers that every real one has."""
        at = "1763731200.000001"
        self.send(message({"Event": name, "Privilege": "call,all", "Timestamp": at, **headers}))

    def names(self) -> list[str]:
        """The names of the actions received, without pings and logins."""
        return [
            action["Action"]
            for action in self.received
            if action["Action"] not in ("Ping", "Login")
        ]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            writer.write(self.banner)
            while True:
                block = (await reader.readuntil(b"\r\n\r\n")).decode()
                pairs = (line.partition(": ") for line in block.strip().split("\r\n"))
                action = {key: value for key, _, value in pairs}
                self.received.append(action)
                if action["Action"] not in self.mute:
                    self._answer(writer, action)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, action: dict[str, str]) -> None:
        name, tag = action["Action"], {"ActionID": action["ActionID"]}
        if name == "Login" and action["Secret"] != self.secret:
            refusal = {"Response": "Error", **tag, "Message": "Authentication failed"}
            writer.write(message(refusal))
            writer.close()
            return
        for answer in self.answers.get(name, [{"Response": "Success"}]):
            writer.write(message({**answer, **tag}))
        if name == "Login":
            self.logins += 1
            if self.booted:
                writer.write(message({"Event": "FullyBooted", "Privilege": "system,all"}))
