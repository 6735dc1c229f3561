"""Asterisk's side of FastAGI, as res_agi.c does it: one call that connects, listens and answers.

call = await FakeCall.connect(port)
assert await call.until("EXEC Dial") == ["EXEC", "Dial", "PJSIP/1001,15.000,miI"]
call.answer("200 result=0")
"""

import asyncio
import contextlib
from typing import Self

PATIENCE = 5.0
"""Seconds after which a test that waits in vain fails."""

SECRET = "5ec2e7" * 10 + "0123"
"""The secret of every server in these tests: the dialplan gives it as the last argument."""

USUAL = {
    "STREAM FILE": "200 result=0 endpos=8000",
    "GET FULL VARIABLE": "200 result=1 (NOANSWER 19)",
}
"""How `until` answers what it passes over; everything else with `200 result=0`."""


def words(line: bytes) -> list[str]:
    """The words of a command, found as Asterisk's `parse_args` finds them."""
    found: list[str] = []
    quoted, escaped, space = False, False, True
    for char in line.decode().removesuffix("\n"):
        if char in " \t" and not quoted and not escaped:
            space = True
        elif char == "\\" and not escaped:
            escaped = True
            continue
        else:
            quote = char == '"' and not escaped
            quoted ^= quote
            if space and (quoted or not quote):
                found.append("")
                space = False
            if not quote:
                found[-1] += char
        escaped = False
    return found


_connections: list[asyncio.StreamWriter] = []


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which nothing has been said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    _connections.append(writer)
    return reader, writer


async def close_all() -> None:
    """Close every connection that a test has left open."""
    while _connections:
        writer = _connections.pop()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class FakeCall:
    """One call. `commands` holds every command that came, as words."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.commands: list[list[str]] = []

    @classmethod
    async def connect(
        cls,
        port: int,
        *arguments: str,
        call: str = "hotline-1763731200.17",
        caller: str = "13812345678",
        script: str = "call",
        callingpres: str = "0",
        secret: str = SECRET,
    ) -> Self:
        """Connect and send the environment, with the arguments that the dialplan would give."""
        fake = cls(*await connect(port))
        values = {"network": "yes", "network_script": script, "uniqueid": call, "callerid": caller}
        values["callingpres"] = callingpres
        given = (*(arguments or ("12345", "", "", "")), secret)
        values |= {f"arg_{n}": value for n, value in enumerate(given, 1)}
        for name, value in values.items():
            fake.answer(f"agi_{name}: {value}")
        fake.answer("")
        return fake

    def answer(self, line: str) -> None:
        """Send one line."""
        self.writer.write(line.encode() + b"\n")

    async def next(self) -> list[str]:
        """The next command; an empty list when the controller has closed the connection."""
        async with asyncio.timeout(PATIENCE):
            line = await self.reader.readline()
        if line:
            self.commands.append(words(line))
        return self.commands[-1] if line else []

    async def until(self, beginning: str) -> list[str]:
        """Answer as usual until a command begins with these words; that one is returned unanswered."""
        wanted = beginning.split()
        while (command := await self.next())[: len(wanted)] != wanted:
            assert command, f"closed before {beginning} came; had {self.commands}"
            self._answer_as_usual(command)
        return command

    async def end(self) -> None:
        """Answer as usual until the controller closes."""
        while command := await self.next():
            self._answer_as_usual(command)

    def _answer_as_usual(self, command: list[str]) -> None:
        self.answer(
            next((a for v, a in USUAL.items() if " ".join(command).startswith(v)), "200 result=0")
        )

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.answer("HANGUP")

    async def close(self) -> None:
        """Asterisk's end of the connection closes."""
        self.writer.close()
        await self.writer.wait_closed()
