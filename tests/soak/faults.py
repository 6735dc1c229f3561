"""The faults of the soak. Each is a function of the `Ground`: it strikes, heals, and says in a few words what it did.

A fault that hits a program has it die, stand still, or lose a connection. A hostile one must be refused; it raises
`AssertionError` when it is not.
"""

import asyncio
import contextlib
import os
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import psutil

from tests.live.centre import NUMBER, Centre
from tests.live.sip import Wire
from tests.postgres import PostgresServer
from tests.soak.people import Agent, Town

Fault: TypeAlias = "Callable[[Ground], Awaitable[str]]"

ANNOUNCED = frozenset(
    {
        *("program.died", "program.stuck", "program.killed", "link.down", "recording.incomplete"),
        *("diary.away", "callbacks.away", "webhooks.away", "web.database_away", "figures.away"),
        *("roster.away", "rules.away", "feature.late", "recording.database_away"),
        *("phones.as_before", "rollup.database_away", "voice.database_away"),
        *("store.database_away", "seal.database_away", "retention.database_away"),
        *("quality.database_away", "recording.held_up", "recording.blocked"),
        "recovery.journal_unread",
    }
)
"""Events of level error that the faults bring about: the program says what is away, or that something died."""


@dataclass
class Receiver:
    """A webhook's receiver. `manner`: takes, refuses, hangs, drips or floods."""

    manner: str = "takes"
    taken: list[str] = field(default_factory=list)
    url: str = ""
    _held: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, with any number of deliveries."""
        self._held.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                assert line.startswith(b"POST ")
                length = 0
                while (header := await reader.readline()).strip():
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = await reader.readexactly(length)
                await self._answer(writer, body)
        self._held.discard(writer)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        match self.manner:
            case "hangs":
                while self.manner == "hangs":
                    await asyncio.sleep(0.2)
                raise OSError
            case "drips":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                while self.manner == "drips":
                    writer.write(b"X: y\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.3)
                raise OSError
            case "floods":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
                while self.manner == "floods":
                    writer.write(b"x" * 65_536)
                    await writer.drain()
                    await asyncio.sleep(0)
                raise OSError
            case "refuses":
                writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
            case _:
                self.taken.append(body.decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    def close(self) -> None:
        """Let everybody go who is held."""
        self.manner = "takes"
        for writer in self._held:
            writer.transport.abort()


@dataclass
class Ground:
    """What faults strike. `short`: faults are quick, for the test. `hostile`: a webhook's receiver."""

    centre: Centre
    town: Town
    chance: random.Random
    hostile: Receiver
    server: PostgresServer | None = None
    short: bool = False
    crashes: list[float] = field(default_factory=list)
    """When Asterisk was killed (`time.time()`)."""
    full: list[tuple[float, float]] = field(default_factory=list)
    """When the disk for recordings was full: from, until."""

    def seconds(self, least: float, most: float) -> float:
        """How long a fault lasts."""
        return self.chance.uniform(least, least + (most - least) * (0.2 if self.short else 1))


# --- programs that die or stand still


def _pid(ground: Ground, program: str) -> int:
    """The program's process id; 0 when an earlier fault has ended it."""
    found = ground.centre.processes(program)
    return min(found) if found else 0


def redis_of(centre: Centre) -> int:
    """The process id of a centre's own Redis; 0 when there is none."""
    # It writes its title over its environment.
    title = f"redis-server unixsocket:{centre.home}/"
    for process in psutil.process_iter(["cmdline"]):
        if title in " ".join(process.info["cmdline"] or []):
            return int(process.pid)
    return 0


def _kill(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if pid > 0:
            os.kill(pid, number)
            return True
    return False


async def _halt(pids: list[int], seconds: float) -> None:
    for pid in pids:
        _kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for pid in pids:
            _kill(pid, signal.SIGCONT)


async def controller_halts(ground: Ground) -> str:
    seconds = ground.seconds(2, 9)
    await _halt([_pid(ground, " serve")], seconds)
    return f"{seconds:.1f} s"


async def controller_dies(ground: Ground) -> str:
    return "" if _kill(_pid(ground, " serve"), signal.SIGKILL) else "it did not run"


async def asterisk_dies(ground: Ground) -> str:
    if not _kill(_pid(ground, "asterisk -"), signal.SIGKILL):
        return "it did not run"
    ground.crashes.append(time.time())
    await ground.town.crashed()
    return ""


async def redis_dies(ground: Ground) -> str:
    return "" if _kill(redis_of(ground.centre), signal.SIGKILL) else "it did not run"


async def redis_halts(ground: Ground) -> str:
    seconds = ground.seconds(2, 8)
    await _halt([redis_of(ground.centre)], seconds)
    return f"{seconds:.1f} s"


async def web_dies(ground: Ground) -> str:
    return "" if _kill(_pid(ground, " web"), signal.SIGKILL) else "it did not run"


async def recorder_dies(ground: Ground) -> str:
    return "" if _kill(_pid(ground, " recorder"), signal.SIGKILL) else "it did not run"


async def link_is_cut(ground: Ground) -> str:
    try:
        await asyncio.to_thread(ground.centre.cut_link)
    except (AssertionError, subprocess.SubprocessError):
        return "it was down"
    return ""


# --- databases


async def postgres_crashes(ground: Ground) -> str:
    server = ground.server
    assert server is not None
    seconds = ground.seconds(5, 20)
    await asyncio.to_thread(server.stop)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(server.start)
    return f"away for {seconds:.1f} s"


async def postgres_halts(ground: Ground) -> str:
    server = ground.server
    assert server is not None
    seconds = ground.seconds(3, 15)
    first = int((server.folder / "data" / "postmaster.pid").read_text().split()[0])
    family = [first, *(child.pid for child in psutil.Process(first).children())]
    await _halt(family, seconds)
    return f"{seconds:.1f} s"


async def database_is_locked(ground: Ground) -> str:
    seconds = ground.seconds(2, 10)

    def lock() -> None:
        file = sqlite3.connect(ground.centre.home / "hotline.db", timeout=10, isolation_level=None)
        with contextlib.closing(file):
            file.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            file.execute("ROLLBACK")

    try:
        await asyncio.to_thread(lock)
    except sqlite3.OperationalError as error:
        return str(error)
    return f"{seconds:.1f} s"


# --- disks


async def disk_is_full(ground: Ground) -> str:
    """Fills the disk on which recordings are written. For a spool of its own (`Soak.mount`)."""
    seconds = ground.seconds(2, 6)
    ballast = ground.centre.home / "recordings" / "spool" / "ballast"
    began = time.time()
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * 65_536)
    try:
        await asyncio.sleep(seconds)
    finally:
        ballast.unlink(missing_ok=True)
        ground.full.append((began, time.time()))
    return f"{seconds:.1f} s"


# --- telephones


async def phone_dies(ground: Ground) -> str:
    agent = _agent(ground, in_talk=True)
    pause = ground.seconds(0.5, 4)
    await agent.again(pause)
    return f"{agent.number}, in a talk if there was one; back after {pause:.1f} s"


async def phone_reloads(ground: Ground) -> str:
    agent = _agent(ground, in_talk=True)
    await agent.again(0.0)
    return agent.number


async def phones_drop(ground: Ground) -> str:
    agents = ground.chance.sample(ground.town.agents, k=min(3, len(ground.town.agents)))
    seconds = ground.seconds(2, 5)
    for agent in agents:
        agent.drops_until = time.time() + seconds
    await asyncio.sleep(seconds)
    return f"{', '.join(agent.number for agent in agents)} for {seconds:.1f} s"


def _agent(ground: Ground, *, in_talk: bool) -> Agent:
    agents = ground.town.agents
    talking = [agent for agent in agents if any(leg.talking for leg in agent.line.legs)]
    return ground.chance.choice(talking if in_talk and talking else agents)


async def trunk_is_silent(ground: Ground) -> str:
    seconds = ground.seconds(3, 10)
    ground.town.citizens.silent = True
    try:
        await asyncio.sleep(seconds)
    finally:
        ground.town.citizens.silent = False
    return f"{seconds:.1f} s"


# --- strangers


async def agi_is_forged(ground: Ground) -> str:
    """Forty connections that say what Asterisk would say, but do not know the secret."""

    async def say(script: str, call: str, *arguments: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.centre.agi_port)
        values = {"network": "yes", "network_script": script, "uniqueid": call}
        values |= {f"arg_{place}": value for place, value in enumerate(arguments, 1)}
        writer.write(("".join(f"agi_{n}: {v}\n" for n, v in values.items()) + "\n").encode())
        try:
            async with asyncio.timeout(15):
                return await reader.read()
        finally:
            writer.close()

    agents = [agent.number for agent in ground.town.agents]
    said = await asyncio.gather(
        *(say("agent", f"hotline-1.{n}", agents[n % len(agents)], "out", "") for n in range(20)),
        *(say("call", f"hotline-17.{n}", NUMBER, "", "", "", "", "") for n in range(20)),
        return_exceptions=True,
    )
    got = [one for one in said if isinstance(one, bytes) and one]
    assert not got, f"a forged AGI request was answered: {got[0]!r}"
    return f"{len(said)} connections"


async def agi_is_flooded(ground: Ground) -> str:
    count = 300 if ground.short else 1500
    return await _crowd(ground.centre.agi_port, count, b"", ground.seconds(2, 6))


async def passwords_are_guessed(ground: Ground) -> str:
    count = 20 if ground.short else 80

    async def guess() -> None:
        agent = ground.chance.choice(ground.town.agents)
        with Wire(ground.centre.sip) as wire:
            try:
                await wire.register(agent.number, secrets.token_hex(6))
            except (AssertionError, TimeoutError, OSError):
                return
            raise AssertionError(f"a wrong password was taken for {agent.number}")

    for _ in range(count):
        await guess()
    return f"{count} guesses"


async def junk_comes_in(ground: Ground) -> str:
    centre, chance = ground.centre, ground.chance
    host, port = "127.0.0.1", int(centre.sip.rpartition(":")[2])
    count = 100 if ground.short else 500
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.setblocking(False)
        for number in range(count):
            junk = chance.randbytes(chance.randint(1, 1200))
            if number % 3 == 0:
                junk = b"INVITE sip:12345@x SIP/2.0\r\nVia: SIP/2.0/UDP \r\nFrom: " + junk
            # Of the sound's ports too, where talks go on.
            to = port if number % 2 else port + chance.randint(10, 490)
            with contextlib.suppress(OSError):
                wire.sendto(junk, (host, to))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
    for tcp in (centre.agi_port, centre.ami_port, centre.web_port, centre.metrics_port):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, tcp)
            writer.write(chance.randbytes(5000))
            writer.close()
    return f"{count} packets"


async def half_requests(ground: Ground) -> str:
    half = b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    count = 50 if ground.short else 300
    seconds = ground.seconds(2, 6)
    said = await asyncio.gather(
        _crowd(ground.centre.web_port, count, half, seconds),
        _crowd(ground.centre.metrics_port, count, half, seconds),
    )
    return f"screens {said[0]}, figures {said[1]}"


async def _crowd(port: int, count: int, say: bytes, seconds: float) -> str:
    """So many connections that say this and then nothing."""
    crowd: list[asyncio.StreamWriter] = []
    try:
        with contextlib.suppress(OSError):
            for _ in range(count):
                async with asyncio.timeout(20):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(say)
                crowd.append(writer)
        await asyncio.sleep(seconds)
    finally:
        for writer in crowd:
            writer.transport.abort()
    return f"{len(crowd)} connections"


async def webhook_is_hostile(ground: Ground) -> str:
    manner = ground.chance.choice(("hangs", "drips", "floods", "refuses"))
    seconds = ground.seconds(3, 12)
    ground.hostile.manner = manner
    try:
        await asyncio.sleep(seconds)
    finally:
        ground.hostile.manner = "takes"
    return f"{manner} for {seconds:.1f} s"


FAULTS: dict[str, Fault] = {
    "the controller stands still": controller_halts,
    "the controller is killed": controller_dies,
    "Asterisk is killed": asterisk_dies,
    "Redis is killed": redis_dies,
    "Redis stands still": redis_halts,
    "PostgreSQL crashes": postgres_crashes,
    "PostgreSQL stands still": postgres_halts,
    "the database is locked": database_is_locked,
    "the disk for recordings is full": disk_is_full,
    "the link is cut": link_is_cut,
    "the screens are killed": web_dies,
    "the recorder is killed": recorder_dies,
    "a phone dies": phone_dies,
    "a phone starts again": phone_reloads,
    "phones hang up in their answer": phones_drop,
    "the trunk is silent": trunk_is_silent,
    "AGI is forged": agi_is_forged,
    "AGI is flooded": agi_is_flooded,
    "passwords are guessed": passwords_are_guessed,
    "junk comes in": junk_comes_in,
    "half requests": half_requests,
    "a webhook's receiver is hostile": webhook_is_hostile,
}
"""Name → what strikes."""


def possible(ground: Ground, *, disk: bool) -> list[str]:
    """The faults that this centre can have."""
    left_out = {"the database is locked"} if ground.server else set(_POSTGRESQL)
    if not disk:
        left_out.add("the disk for recordings is full")
    return [name for name in FAULTS if name not in left_out]


def turns(names: list[str], chance: random.Random) -> Iterator[str]:
    """Every fault once, in a new order, and so on."""
    while True:
        yield from chance.sample(names, k=len(names))


_POSTGRESQL = ("PostgreSQL crashes", "PostgreSQL stands still")
