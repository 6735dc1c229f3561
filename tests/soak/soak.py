"""The soak: a whole centre, many calls of all shapes, and a fault every few seconds. At the end everything must agree.

    with Soak(calls=150, every=3.0, database="sqlite", seed=1) as soak:
        report = asyncio.run(soak.run(print))

`tests/soak/verdict.py` compares what the telephones saw with what the centre says.
"""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx
import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import roster
from base import clock, database, migrations
from base.background import spawn
from base.bus import Bus
from facts.live import LiveState
from tests import postgres
from tests.live.centre import PASSWORD, Centre
from tests.live.gateway import Gateway
from tests.postgres import PostgresServer
from tests.soak.faults import FAULTS, Ground, Receiver, possible, turns
from tests.soak.people import KEY, Town
from tests.soak.verdict import Struck, Usage, Verdict, judge

Say = Callable[[str], None]

PROGRAMS = {"controller": " serve", "recorder": " recorder", "screens": " web"}
_SPOOL_MB = 192


@dataclass(frozen=True)
class Load:
    """How much. `rate`: new calls a second; `every`: seconds between two faults; `only`: names of faults, or all."""

    calls: int = 3000
    rate: float = 5.0
    every: float = 10.0
    agents: int = 20
    seed: int = 1
    database: str = "sqlite"
    short: bool = False
    only: tuple[str, ...] = ()


@dataclass
class Soak:
    """One run. A context manager: it leaves nothing behind but its verdict."""

    load: Load
    say: Say
    struck: list[Struck] = field(default_factory=list)
    usage: dict[str, list[Usage]] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._gateway = Gateway()
        self._stack.callback(self._gateway.close)
        self._server = None
        settings: dict[str, object] = {
            "outbound": self._gateway.address,
            "webhook_internal": "127.0.0.1",
            "ring_time": 4,
            "wrap_up_time": 0.3,
            "retry_pause": 1,
            "retries": 20,
            "callback_rings": 6,
            "longest_wait": 60,
            "dial_per_hour": 0,
            "dial_budget_day": 0,
        }
        if self.load.database == "postgresql":
            programs = postgres.programs()
            assert programs is not None, "PostgreSQL is not installed"
            self._server = PostgresServer(programs)
            self._stack.callback(self._server.remove)
            self._server.create("soak")
            settings["database_url"] = self._server.url("soak")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
        self._stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.centre = Centre(**settings)
        # Whatever goes wrong from here on, its programs are ended.
        self._stack.callback(self.centre.discard)
        self._disk = self._mount()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _mount(self) -> bool:
        """Give the recordings' spool a small disk of its own, which can be filled. Only root may do that."""
        spool = self.centre.home / "recordings" / "spool"
        if os.geteuid() or shutil.which("mount") is None:
            return False
        spool.mkdir(parents=True, mode=0o700)
        spool.parent.chmod(0o700)
        options = f"size={_SPOOL_MB}m,mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "soak", str(spool)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        self._stack.callback(subprocess.run, ["umount", "-l", str(spool)], check=False)
        return True

    async def run(self) -> Verdict:
        """Start everything, let it run, wait until it is quiet, and judge."""
        load = self.load
        numbers = [str(1001 + place) for place in range(load.agents)]
        url = str(
            self.centre.environment.get(
                "HOTLINE_DATABASE_URL", f"sqlite+aiosqlite:///{self.centre.home / 'hotline.db'}"
            )
        )
        engine = database.engine(url)
        try:
            await self._people_in(engine, numbers)
            await asyncio.to_thread(self.centre.start)
            self.centre.shorten_greeting()
            await self.centre.cli("queue", "set", "default", f"callback_key={KEY}")
            address, _, port = self.centre.sip.rpartition(":")
            async with (
                self._gateway as gateway,
                Town((address, int(port)), numbers, gateway, load.seed) as town,
                _receivers() as (good, hostile),
            ):
                await self._webhooks(good, hostile)
                ground = Ground(
                    self.centre,
                    town,
                    random.Random(load.seed + 2),
                    hostile,
                    self._server,
                    load.short,
                )
                await self._until_ready(numbers)
                await self._calls_and_faults(ground)
                quiet = await self._until_quiet(town)
                await self._until_recorded()
                verdict = await judge(self, engine, ground, good, quiet)
            try:
                await asyncio.to_thread(self.centre.stop)
            except AssertionError as error:
                verdict.disagreements.append(str(error)[:500])
            return verdict
        finally:
            await engine.dispose()
            with contextlib.suppress(AssertionError):
                await asyncio.to_thread(self.centre.stop)

    async def _people_in(self, engine: AsyncEngine, numbers: list[str]) -> None:
        self.centre.home.mkdir(exist_ok=True)
        await migrations.upgrade(engine)
        for number in numbers:
            await roster.add(engine, number, f"坐席{number}", PASSWORD, clock.now())

    async def _webhooks(self, good: Receiver, hostile: Receiver) -> None:
        """One that takes the end of every call, and one that will be hostile."""
        password = (self.centre.home / "secrets" / "web-admin-password").read_text().strip()
        address = f"http://127.0.0.1:{self.centre.web_port}"
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            answer = await client.post("/api/session", json={"name": "admin", "password": password})
            client.headers["X-CSRF-Token"] = answer.json()["csrf"]
            for receiver in (good, hostile):
                body = {"url": receiver.url, "kinds": ["CallEnded"], "whole": True}
                made = await client.post("/api/webhooks", json=body)
                assert made.status_code == 201, made.text

    # --- while it runs

    async def _calls_and_faults(self, ground: Ground) -> None:
        load, town = self.load, ground.town
        tasks = [
            spawn(self._measures(), "measures"),
            spawn(self._leads(ground), "shift lead"),
        ]
        began = time.monotonic()
        faults = spawn(self._faults(ground, began), "faults")
        calls = []
        for number in range(load.calls):
            due = began + number / load.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            calls.append(spawn(town.call(town.next_plan()), "a citizen"))
            if number % 250 == 249:
                self.say(f"{number + 1} calls, {len(self.struck)} faults")
        faults.cancel()
        await asyncio.wait([faults, *calls])
        if self._running:
            await asyncio.wait(self._running)
        await asyncio.sleep(2)
        self._tasks = tasks

    async def _faults(self, ground: Ground, began: float) -> None:
        names = [
            name
            for name in possible(ground, disk=self._disk)
            if not self.load.only or name in self.load.only
        ]
        for number, name in enumerate(turns(names, random.Random(self.load.seed + 3)), 1):
            due = began + number * self.load.every
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            struck = Struck(name, time.time())
            self.struck.append(struck)
            task = spawn(self._strike(ground, struck), name)
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _strike(self, ground: Ground, struck: Struck) -> None:
        try:
            struck.what = await FAULTS[struck.name](ground)
        except Exception as error:  # noqa: BLE001 whatever a fault runs into is told of
            struck.failed = f"{type(error).__name__}: {error}".splitlines()[0]
        struck.ended = time.time()
        said = f"{struck.name}: {struck.failed or struck.what}"
        self.say(said.rstrip(": "))

    async def _measures(self) -> None:
        """Memory and open files of our programs, every two seconds."""
        while True:
            for name, program in PROGRAMS.items():
                for pid in self.centre.processes(program):
                    with contextlib.suppress(OSError, ValueError, IndexError):
                        self.usage.setdefault(name, []).append(_usage(pid))
            await asyncio.sleep(2)

    async def _leads(self, ground: Ground) -> None:
        """Whoever is `not-responding`, or was signed out, dials *11 again after a while."""
        by_number = {agent.number: agent for agent in ground.town.agents}
        while True:
            await asyncio.sleep(2)
            shown = await self.live()
            for one in shown["agents"] if shown else []:
                agent = by_number[one["number"]]
                if one["presence"] in ("not-responding", "out", "paused") and agent.idle:
                    spawn(agent.ready(), "*11")
                elif one["presence"] == "unreachable" and agent.idle:
                    spawn(agent.register(), "a phone signs in again")

    async def live(self) -> LiveState | None:
        """The live state, None while Redis is away or the state is old."""
        bus = Bus(f"unix://{self.centre.home}/run/redis.sock", "hotline")
        try:
            async with asyncio.timeout(20):
                shown = await bus.live()
        except (redis.RedisError, TimeoutError, OSError):
            return None
        finally:
            await bus.close()
        return shown if shown and clock.now() - shown["at"] < 5_000_000 else None

    async def _until_ready(self, numbers: list[str], within: float = 40) -> None:
        until = time.monotonic() + within
        while True:
            shown = await self.live()
            presences = Counter(one["presence"] for one in shown["agents"]) if shown else Counter()
            if presences["ready"] == len(numbers):
                return
            assert time.monotonic() < until, f"the agents are {dict(presences)}"
            await asyncio.sleep(0.5)

    async def _until_quiet(self, town: Town) -> str:
        """Wait until nobody is on the phone any more. What is not quiet, if it lasts.

        First everybody who waits is served. Then all agents pause, since there may be more callbacks to make than a run
        is long, and what they do comes to an end.
        """
        town.citizens.hurry = True
        measures, lead = self._tasks
        said = await self._calm(lambda shown: [*shown["stages"].items()], 150)
        lead.cancel()
        if not said:
            closing = spawn(self._pauses(town), "closing")
            said = await self._calm(_busy, 120)
            closing.cancel()
        measures.cancel()
        return said

    async def _until_recorded(self) -> None:
        """Wait until the recorder has put all calls away, as long as it gets on: a busy machine leaves it behind."""
        spool = self.centre.home / "recordings" / "spool"
        left, since = -1, time.monotonic()
        while left and time.monotonic() - since < 30:
            await asyncio.sleep(1)
            found = sum(1 for _ in await asyncio.to_thread(list, spool.iterdir()))
            if found != left:
                left, since = found, time.monotonic()
                if left % 100 == 0:
                    self.say(f"until all is recorded: {left} files")
        if left:
            self.say(f"the recorder leaves {left} files")

    async def _pauses(self, town: Town) -> None:
        """Every agent dials *12 as soon as their phone is free."""
        by_number = {agent.number: agent for agent in town.agents}
        while True:
            shown = await self.live()
            for one in shown["agents"] if shown else []:
                agent = by_number[one["number"]]
                # The state may be a second old: then this is the call in which they dialled *12.
                if one["presence"] not in ("paused", "own-call") and agent.idle:
                    spawn(agent.press("*12"), "*12")
            await asyncio.sleep(2)

    async def _calm(
        self, going: Callable[[LiveState], Sequence[tuple[str, object]]], within: float
    ) -> str:
        """Wait until nothing goes on for three seconds. What does, if that takes longer."""
        until, calm, told = time.monotonic() + within, 0, 0.0
        said = "the live state is away"
        while time.monotonic() < until:
            await asyncio.sleep(1)
            shown = await self.live()
            if shown is None:
                calm = 0
                continue
            said = ", ".join(f"{name}: {what}" for name, what in going(shown) if what)
            calm = 0 if said else calm + 1
            if calm >= 3:
                return ""
            if said and time.monotonic() - told > 20:
                told = time.monotonic()
                self.say(f"until it is quiet: {said}")
        return said


def _busy(shown: LiveState) -> list[tuple[str, object]]:
    """Whoever is on the phone, and who is not paused."""
    callbacks = shown["callbacks"]
    return [
        *shown["stages"].items(),
        ("callbacks dialling", callbacks.get("dialling")),
        ("callbacks talking", callbacks.get("talking")),
        *(
            (one["number"], one["presence"])
            for one in shown["agents"]
            if one["presence"] != "paused"
        ),
    ]


@contextlib.asynccontextmanager
async def _receivers() -> AsyncIterator[tuple[Receiver, Receiver]]:
    made = (Receiver(), Receiver())
    servers = []
    for receiver in made:
        server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
        receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        servers.append(server)
    try:
        yield made
    finally:
        for receiver, server in zip(made, servers, strict=True):
            receiver.close()
            server.close()


def _usage(pid: int) -> Usage:
    resident = next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return Usage(time.time(), pid, resident // 1024, len([*Path(f"/proc/{pid}/fd").iterdir()]))
