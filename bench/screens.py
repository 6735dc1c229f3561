"""`python -m bench.screens`: how long a fact takes from Asterisk to the screens, with 200 agents and 20 screens.

Real calls are offered to simulated phones; each screen is a connection of its own to the real `hotline web`. A latency
is the moment at which a screen got `ringing` or `talking` of an agent, minus the time that Asterisk itself gave to that
event: the whole way, Asterisk → AMI → controller → Redis → web process → screen.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import sys
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

import orjson
import psutil

from base import clock
from bench.phone import BenchPhones
from bench.side import AGENTS, HOTLINE, PASSWORD, Centre, stop_on_sigterm
from hotline.machine import programs
from web.accounts import accounts

SCREENS = 20
_TALK = 3.0


def main() -> int:
    """Measure and print. Status 130 when it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bench.screens", description=__doc__)
    parser.add_argument("--rate", type=int, default=10, help="calls per second")
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    stop_on_sigterm()
    try:
        asyncio.run(_measure(given.rate, given.calls))
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130
    return 0


async def _measure(rate: int, calls: int) -> None:
    async with Centre() as centre, BenchPhones(centre.exchange) as phones:
        phones.talk = lambda _agent, _caller: _TALK
        await phones.register(AGENTS, PASSWORD)
        web = programs.own_program(centre.settings, "web")
        programs.start(web)
        try:
            async with centre.side(HOTLINE, ready=len(AGENTS)) as number:

                async def open_for_screens() -> bool:
                    return await programs.answers("127.0.0.1", centre.settings.web_port)

                await programs.until(web, open_for_screens, 30)
                token = accounts.token_file(centre.settings).read_text().strip()
                with _watching(centre.settings.web_port, token) as screens:
                    await asyncio.to_thread(screens.recv)
                    before = centre.cpu()
                    used = _used(programs.running(web))
                    began = clock.now()
                    await centre.sipp("caller", number, calls=calls, rate=rate, sink=phones.sink)
                    await asyncio.sleep(1)
                    took = (clock.now() - began) / 1_000_000
                    after = centre.cpu()
                    spent = _used(programs.running(web)) - used
                    screens.send("stop")
                    found, messages, size = await asyncio.to_thread(screens.recv)
        finally:
            await programs.stop(web)
    controller = after["controller"] - before["controller"]
    print(
        f"{calls} calls at {rate}/s, {len(AGENTS)} agents, {SCREENS} screens: {len(found)} observations\n"
        f"fact in Asterisk → screen: median {_ms(found, 50)}, p95 {_ms(found, 95)}, "
        f"p99 {_ms(found, 99)}, longest {max(found):.0f} ms\n"
        f"each screen: {messages / SCREENS / took:.1f} messages/s, {size / SCREENS / took / 1000:.1f} kB/s\n"
        f"CPU: controller {controller / took:.1%} of a core, web process {spent / took:.1%}"
    )


@contextlib.contextmanager
def _watching(port: int, token: str) -> Iterator[Connection]:
    """The screens, in a process of their own: it says `open`, hears `stop`, and gives what it has seen."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_watch, args=(there, port, token))
    process.start()
    # Ours of that end: with it open nobody who waits for a word of a dead process would ever hear that it is dead.
    there.close()
    try:
        yield here
    finally:
        process.kill()
        process.join()


def _ms(found: Sequence[float], percent: int) -> str:
    return f"{statistics.quantiles(found, n=100)[percent - 1]:.0f} ms"


def _used(pid: int | None) -> float:
    """Seconds of processor time so far."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def _watch(pipe: Connection, port: int, token: str) -> None:
    asyncio.run(_screens(pipe, port, token))


async def _screens(pipe: Connection, port: int, token: str) -> None:
    found: list[float] = []
    counts = [0, 0]
    opened = asyncio.Barrier(SCREENS + 1)
    screens = [
        asyncio.get_running_loop().create_task(_screen(port, token, found, counts, opened))
        for _ in range(SCREENS)
    ]
    await opened.wait()
    pipe.send("open")
    await asyncio.to_thread(pipe.recv)
    for screen in screens:
        screen.cancel()
    pipe.send((found, *counts))


async def _screen(
    port: int, token: str, found: list[float], counts: list[int], opened: asyncio.Barrier
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(
        f"GET /api/live/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    await opened.wait()
    seen: dict[str, int] = {}
    while line := await reader.readline():
        counts[1] += len(line)
        if not line.startswith(b"data: {"):
            continue
        at = clock.now()
        counts[0] += 1
        data = orjson.loads(line[6:])
        for agent in data.get("agents", []):
            new = seen.get(agent["number"]) != agent["since"]
            seen[agent["number"]] = agent["since"]
            if new and agent["presence"] in {"ringing", "talking"}:
                found.append((at - agent["since"]) / 1000)


if __name__ == "__main__":
    sys.exit(main())
