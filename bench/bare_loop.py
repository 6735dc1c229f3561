"""The limit beside Hotline: the smallest program that does a queue's work. `python -m bench.bare_loop` is its process.

It hears on AMI that an agent hung up, and answers one AGI session a caller with music and the `Dial` that Hotline
sends too. Whoever came first is served first, by the agent who is idle the longest. There is no diary, no floor, no
rule, no figure, and nothing that holds when a phone does not answer: so it is no alternative, but what Asterisk, the
protocols and asyncio cost by themselves. It runs on uvloop, as the controller does.
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final, cast

import uvloop

USER: Final = "bench"
"""Who it is to Asterisk's manager interface."""
HOST: Final = "127.0.0.1"
RING_FOR: Final = 15
"""Seconds for which a phone rings."""


class Loop:
    """Who waits, and who is idle; both in the order in which they came."""

    def __init__(self, agents: Collection[str]) -> None:
        self._agents = frozenset(agents)
        self._idle = deque(agents)
        self.waiting: deque[LoopSession] = deque()

    def arrived(self, caller: "LoopSession") -> None:
        """A caller wants a person."""
        if self._idle:
            caller.dial(self._idle.popleft())
        else:
            self.waiting.append(caller)
            caller.wait()

    def hung_up(self, agent: str) -> None:
        """This channel's owner is free, if it is an agent."""
        if agent not in self._agents:
            return
        if self.waiting:
            self.waiting.popleft().dial(agent)
        else:
            self._idle.append(agent)


class LoopSession(asyncio.Protocol):
    """One AGI session: the environment is read, music or `Dial` asked for, and the answers awaited."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._unread = b""
        self._arrived = self._dialled = False
        self._unanswered = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asterisk has connected."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came, cut anywhere."""
        self._unread += data
        if not self._arrived:
            _environment, end, rest = self._unread.partition(b"\n\n")
            if not end:
                return
            self._arrived, self._unread = True, rest
            self._loop.arrived(self)
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            self._unanswered -= line.startswith(b"200 ")
            # After a Dial, whatever came of it, the dialplan hangs up.
            if line == b"HANGUP" or (self._dialled and not self._unanswered):
                self._close()

    def wait(self) -> None:
        """Hear music until an agent is free."""
        self._send(b"SET MUSIC ON\n")

    def dial(self, agent: str) -> None:
        """Ring this agent. Asterisk reads one command after another: music need not have begun."""
        self._dialled = True
        self._send(f"EXEC Dial PJSIP/{agent},{RING_FOR}.000,miI\n".encode())

    def connection_lost(self, error: Exception | None) -> None:
        """The caller is gone."""
        if self in self._loop.waiting:
            self._loop.waiting.remove(self)

    def _send(self, command: bytes) -> None:
        self._unanswered += 1
        if self._transport is not None:
            self._transport.write(command)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def hear(reader: asyncio.StreamReader, loop: Loop) -> None:
    """Tell `loop` whose channels hang up, until Asterisk closes the manager interface."""
    try:
        while True:
            event = await reader.readuntil(b"\r\n\r\n")
            if event.startswith(b"Event: Hangup\r\n"):
                _, _, channel = event.partition(b"\r\nChannel: PJSIP/")
                loop.hung_up(channel.partition(b"-")[0].decode())
    except asyncio.IncompleteReadError:
        return


async def run(ami: int, agi: int, secret: str, agents: Sequence[str]) -> None:
    """Sign in, answer AGI, and go on until Asterisk ends. Raises `ConnectionError` when it is refused."""
    loop = Loop(agents)
    reader, writer = await asyncio.open_connection(HOST, ami)
    writer.write(f"Action: Login\r\nUsername: {USER}\r\nSecret: {secret}\r\n\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    if b"Response: Success" not in answer:
        raise ConnectionError(f"Asterisk's manager interface says {answer!r}")
    server = await asyncio.get_running_loop().create_server(lambda: LoopSession(loop), HOST, agi)
    async with server:
        await hear(reader, loop)
    writer.close()


def main() -> int:
    """Run until Asterisk ends, or SIGTERM comes."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare_loop", description=__doc__)
    parser.add_argument("ami", type=int, help="port of Asterisk's manager interface")
    parser.add_argument("agi", type=int, help="port at which callers arrive")
    parser.add_argument("secret", help=f"of the manager's user {USER}")
    parser.add_argument("agents", nargs="*", help="numbers of agents who are idle now")
    arguments = parser.parse_args()
    uvloop.run(run(arguments.ami, arguments.agi, arguments.secret, arguments.agents))
    return 0


if __name__ == "__main__":
    sys.exit(main())
