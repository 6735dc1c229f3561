"""How 200 screens of a centre of 1,000 agents keep up with 100 calls a second: the CPU of `hotline web`, and how late.

A made-up controller (`bench.made_up`) tells a real Redis what happens, at the pace of the clock. The real `hotline web`
serves 200 connections to another process. A screen's delay begins at the moment of a fact about an
agent, by the fact itself. It ends when the screen has the whole message that shows it.
"""

import asyncio
import multiprocessing
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import orjson
import psutil
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from bench.figures import TableRow, milliseconds
from bench.made_up import MadeUp, Work, at_home, steadily
from bench.side import free_ports
from facts.times import SECOND
from hotline.machine import programs
from web.accounts import accounts

SECONDS: Final = 60.0
SCREENS: Final = 200
_RATE: Final = 100.0
_WORK: Final = Work(agents=1_000, talk=3.0, wrap_up=1.0, arrivals=steadily(_RATE))
_SETTLES: Final = 10.0
"""Seconds until calls begin and end at the same rate."""
_MOST_CPU: Final = 0.05
_LATEST: Final = 0.1
_ENDS: Final = b"\n\n\r\n"
"""A whole message: its empty line, and the end of the chunk of HTTP that it came in."""
_NUMBER: Final = re.compile(rb"event: change\nid: (\d+)\n")


def measure(seconds: float = SECONDS) -> list[TableRow]:
    """Run the centre for so long; the rows of the table."""
    return uvloop.run(_measure(seconds))


async def _measure(seconds: float) -> list[TableRow]:
    async with at_home(_WORK, WEB_PORT=free_ports(1)[0]) as (chosen, engine):
        return await _watched(chosen, engine, seconds)


async def _watched(chosen: Settings, engine: AsyncEngine, seconds: float) -> list[TableRow]:
    web = programs.own_program(chosen, "web")
    centre = MadeUp(chosen, engine, _WORK)
    try:
        programs.start(web)
        await centre.open()

        async def open_for_screens() -> bool:
            return await programs.answers("127.0.0.1", chosen.web_port)

        await programs.until(web, open_for_screens, 30)
        await centre.run(clock.now() + round(_SETTLES * SECOND))
        token = accounts.token_file(chosen).read_text().strip()
        with _watching(chosen.web_port, token) as screens:
            await _while_running(centre, screens)
            web_pid = programs.running(web)
            used, own, began = _used(web_pid), time.process_time(), time.monotonic()
            await centre.run(clock.now() + round(seconds * SECOND))
            took = time.monotonic() - began
            spent, owned = _used(web_pid) - used, time.process_time() - own
            screens.send("stop")
            delays, messages, size = await _while_running(centre, screens)
        await centre.close()
    finally:
        await programs.stop(web)
    return _rows(delays, spent / took, owned / took, messages / took, size / took)


async def _while_running(centre: MadeUp, pipe: Connection) -> tuple[list[float], int, int]:
    """Wait for a word of the screens; calls go on meanwhile."""
    while not pipe.poll():
        await centre.run(clock.now() + SECOND // 10)
    said: tuple[list[float], int, int] = pipe.recv()
    return said


def _rows(
    delays: Sequence[float], web: float, controller: float, messages: float, size: float
) -> list[TableRow]:
    median, late, longest = (float(one) for one in np.percentile(delays, (50, 99, 100)))
    each = f"{messages / SCREENS:.1f} messages, {size / SCREENS / 1000:.0f} kB"
    return [
        TableRow(
            f"{SCREENS} screens, {_WORK.agents:,} agents, {_RATE:.0f} calls/s: CPU of `hotline web`",
            "",
            f"{web:.1%} of a core",
            "",
            f"≤ {_MOST_CPU:.0%}",
            web <= _MOST_CPU,
        ),
        TableRow("… fact → screen, median", "", milliseconds(median)),
        TableRow(
            "… p99", "", milliseconds(late), "", f"≤ {milliseconds(_LATEST)}", late <= _LATEST
        ),
        TableRow("… longest", "", milliseconds(longest)),
        TableRow("… each screen gets in a second", "", each),
        TableRow("… CPU of the controller, without Asterisk", "", f"{controller:.1%} of a core"),
    ]


def _used(pid: int | None) -> float:
    """Seconds of processor time so far."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


# --- the screens, in a process of their own


@contextmanager
def _watching(port: int, token: str) -> Iterator[Connection]:
    """It says that all are open, hears `stop`, and gives what was seen: delays, messages, bytes."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_watch, args=(there, port, token))
    process.start()
    there.close()
    try:
        with closing(here):
            yield here
    finally:
        process.kill()
        process.join()


def _watch(pipe: Connection, port: int, token: str) -> None:
    uvloop.run(_screens(pipe, port, token))


async def _screens(pipe: Connection, port: int, token: str) -> None:
    loop = asyncio.get_running_loop()
    screens = [_Screen(port, token, reads=not number) for number in range(SCREENS)]
    for screen in screens:
        await loop.create_connection(partial(_same, screen), "127.0.0.1", port)
    await asyncio.gather(*(screen.open for screen in screens))
    pipe.send(([], 0, 0))
    since = clock.now()
    await asyncio.to_thread(pipe.recv)
    happened = screens[0].happened
    delays: list[float] = []
    for screen in screens:
        for number, at in screen.arrived.items():
            if at >= since:
                delays += [(at - moment) / SECOND for moment in happened.get(number, ())]
    messages = sum(len(screen.arrived) for screen in screens)
    size = sum(screen.size for screen in screens)
    pipe.send((np.percentile(delays, np.arange(0, 100.05, 0.1)).tolist(), messages, size))


def _same(screen: "_Screen") -> "_Screen":
    return screen


class _Screen(asyncio.Protocol):
    """One connection. `arrived`: each change and when it was there; of the one that `reads`, also what `happened`."""

    def __init__(self, port: int, token: str, *, reads: bool) -> None:
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrived: dict[int, int] = {}
        self.happened: dict[int, list[int]] = {}
        self.size = 0
        self._asks = (
            f"GET /api/live/stream HTTP/1.1\r\nHost: localhost:{port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        self._reads = reads
        self._known: dict[str, int] = {}
        self._got = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(self._asks.encode())

    def data_received(self, data: bytes) -> None:
        at = clock.now()
        self._got += data
        self.size += len(data)
        if not data.endswith(_ENDS):
            return
        got, self._got = bytes(self._got), bytearray()
        if not self.open.done() and b"event: snapshot" in got:
            self.open.set_result(None)
        for found in _NUMBER.finditer(got):
            self.arrived[int(found[1])] = at
        if self._reads:
            for line in got.split(b"\n"):
                if line.startswith(b"data: {"):
                    self._read(orjson.loads(line[6:]))

    def _read(self, said: dict[str, Any]) -> None:
        moments = []
        for agent in (said.get("state") or said).get("agents", ()):
            if self._known.get(agent["number"]) != agent["since"]:
                self._known[agent["number"]] = agent["since"]
                moments.append(agent["since"])
        if "set" in said:
            self.happened[said["seq"]] = moments

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(ConnectionError("hotline web closed a screen"))
