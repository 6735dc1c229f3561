"""A controller whose callers and agents are made up: everything of `hotline serve` but Asterisk.

The floor, the diary, the callbacks' book, the figures, the live state and Redis are the real ones. A caller's session
says at once what Asterisk would tell a moment later, so nothing here takes a phone, and a day may pass in a minute.
"""

import asyncio
import heapq
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Final
from unittest import mock

from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, log, migrations, settings
from base.background import spawn
from base.settings import Settings
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    Fact,
    LinkRestored,
    OfferAnswered,
    OfferRinging,
    PhoneReachable,
    TalkEnded,
)
from facts.terms import CallId, Party, Release
from facts.times import DAY, HOUR, SECOND, midnight
from hotline.controller import feeding, garbage
from hotline.controller.serve import Controller
from hotline.machine import home, programs
from telephony.channels import AsteriskState

GIVES_UP: Final = 0.05
"""The share of callers who hang up in the greeting. Later ones would be called back, which is not made up here."""
_LOOK_AFTER: Final = 200
"""Things after which the controller looks for garbage: about what happens in a quarter of a second at 100 calls/s."""
_MOST_UNWRITTEN: Final = 2000
_GREETING: Final = 2 * SECOND
_RINGS_AFTER: Final = SECOND // 5
_ANSWERS_AFTER: Final = 3 * SECOND


@dataclass(frozen=True, slots=True)
class Work:
    """How busy the centre is: its agents, the seconds of a talk on average, and the moments at which callers come."""

    agents: int
    talk: float
    wrap_up: float
    arrivals: Callable[[Random, int], Iterator[int]]


def steadily(rate: float) -> Callable[[Random, int], Iterator[int]]:
    """Callers who come by chance, `rate` of them a second, from a moment on (microseconds)."""

    def arrivals(chance: Random, at: int) -> Iterator[int]:
        while True:
            at += round(chance.expovariate(rate) * SECOND)
            yield at

    return arrivals


def by_day(calls: int) -> Callable[[Random, int], Iterator[int]]:
    """Days of `calls` callers each: hardly any at night, the most before noon and in the afternoon."""
    weights = [1 + 24 * max(0.0, math.sin(math.pi * (hour - 6) / 16)) for hour in range(24)]
    shares = [weight / sum(weights) for weight in weights]

    def arrivals(chance: Random, at: int) -> Iterator[int]:
        while True:
            hour = (at - midnight(at)) % DAY // HOUR
            at += round(chance.expovariate(calls * shares[hour] / 3600) * SECOND)
            yield at

    return arrivals


@asynccontextmanager
async def at_home(work: Work, **chosen: object) -> "AsyncIterator[tuple[Settings, AsyncEngine]]":
    """A home in a folder of its own, with database and Redis, for a centre of this work. `chosen`: more settings."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="hotline-bench-") as folder:
        chosen |= {"HOME": folder, "CONFIG": f"{folder}/none.toml", "METRICS_PORT": 0}
        chosen |= {"WRAP_UP_TIME": work.wrap_up}
        # Programs are started with this process's environment.
        os.environ.update({f"HOTLINE_{name}": str(value) for name, value in chosen.items()})
        made = settings.load()
        home.close(made)
        log.configure("error", made.log_dir / "bench.log")
        engine = database.engine(made.database)
        try:
            await migrations.upgrade(engine)
            garbage.begin()
            await programs.start_redis(made)
            yield made, engine
        finally:
            await programs.stop_redis(made)
            await engine.dispose()
            os.environ.clear()
            os.environ.update(before)


class Moment:
    """A clock that stands until it is set: patch `base.clock.now` with its `now`."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        """The moment."""
        return self.at


class MadeUp(Controller):
    """One such controller. `run` lets calls come; `begun` and `ended` count them."""

    def __init__(self, settings: Settings, engine: AsyncEngine, work: Work) -> None:
        super().__init__(settings, engine)
        self.begun = self.ended = 0
        self.shown_after = 60
        self._work = work
        self._chance = Random(1)
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._turn = count()

    async def open(self, *, paced: bool = True) -> None:
        """Begin: the agents sit down, and want calls. Not `paced`: states are made when `show` is called."""
        self._diary.start()
        self._book.start()
        await self._in_force.read()
        self._tasks = [
            spawn(self._bus.run(), "bus"),
            spawn(self._bus.answer(self._requests.answer), "requests"),
        ]
        if paced:
            self._tasks.append(spawn(self._shown.run(), "live state"))
            self._tasks.append(spawn(garbage.run(lambda: False), "garbage"))
        garbage.keep()
        now = clock.now()
        for number in range(1001, 1001 + self._work.agents):
            agent = str(number)
            self._people.names[agent] = f"Agent {agent}"
            self._report(AgentAdded(now, agent), PhoneReachable(now, agent), AgentReady(now, agent))
        self._report(LinkRestored(now))
        self._up.set()
        self._arrivals = self._work.arrivals(self._chance, now)
        self._next()

    async def start_again(self) -> None:
        """Start as `hotline serve` does after it was killed. In Asterisk there are no more calls."""
        self._diary.start()
        self._book.start()
        await self._in_force.read()
        await self._people.read()
        await self._recovery.read_diary()
        self._tasks = [
            spawn(self._bus.run(), "bus"),
            spawn(self._shown.run(), "live state"),
            spawn(garbage.run(lambda: False), "garbage"),
        ]
        nothing = AsteriskState((), (), (), (), frozenset())
        with mock.patch.object(self._switch, "read_state", mock.AsyncMock(return_value=nothing)):
            await self._recovery.link_restored()
        await feeding.warm_up(self._engine, self._figures, asyncio.Event(), clock.now())
        garbage.keep()

    async def pass_on(self, moment: Moment, until: Callable[[], bool]) -> None:
        """Let happen what happens, one thing a turn of the loop, as fast as this machine can.

        Each sets the clock to its own moment. The floor's timer counts as a thing. The live state is made for every
        `shown_after` of them.
        """
        things = 0
        while not until():
            due = self._desk.floor.deadline()
            first = self.next_at if due is None else min(self.next_at, due)
            moment.at = max(first, moment.at)
            if first == due:
                self._desk.wake()
            else:
                self.step()
            things += 1
            if things % self.shown_after == 0:
                self.show()
            if things % _LOOK_AFTER == 0:
                garbage.look()
            await asyncio.sleep(0)
            while self.unwritten_facts > _MOST_UNWRITTEN:  # noqa: ASYNC110 a disk that is slower than this
                await asyncio.sleep(0.005)

    def show(self) -> None:
        """Hand on what was recorded, and show a state, as the loop of the live state does."""
        self._outlets.hand_on()
        self._bus.show(self._shown.state(clock.now()))

    async def close(self) -> None:
        """Stop everything, and write what is left."""
        self._desk.close()
        for task in self._tasks:
            task.cancel()
        self._outlets.hand_on(sys.maxsize)
        await self._book.close()
        await self._diary.close()
        await self._bus.close()

    async def run(self, until: int) -> None:
        """Let happen what happens until that moment, at the pace of the clock."""
        while self._due[0][0] < until:
            if (wait := self._due[0][0] - clock.now()) > 0:
                await asyncio.sleep(wait / SECOND)
            self.step()

    def step(self) -> int:
        """Let the next thing happen; gives its moment."""
        at, _, happens = heapq.heappop(self._due)
        happens()
        return at

    @property
    def next_at(self) -> int:
        """When the next thing happens."""
        return self._due[0][0]

    @property
    def unwritten_facts(self) -> int:
        """Facts that the database does not have yet."""
        return self._diary.waiting

    def later(self, at: int, happens: Callable[[], None]) -> None:
        """Let this happen at that moment."""
        heapq.heappush(self._due, (at, next(self._turn), happens))

    def report(self, *facts: Fact) -> None:
        """Report facts as the seam to Asterisk does."""
        self._report(*facts)

    def leave(self, call: CallId, session: "_Session") -> None:
        """A caller has gone."""
        self.ended += 1
        self._desk.detach(call, session)

    def talk(self) -> int:
        """How long the next talk lasts (microseconds)."""
        return round(self._chance.expovariate(1 / self._work.talk) * SECOND)

    def _next(self) -> None:
        self.later(next(self._arrivals), self._arrive)

    def _arrive(self) -> None:
        now = clock.now()
        self.begun += 1
        call = f"{self._settings.node}-{now // SECOND}.{self.begun}"
        session = _Session(self, call)
        self._desk.attach(call, session)
        number = self._settings.numbers[0]
        self.report(CallArrived(now, call, number, f"+86138{self._chance.randrange(10**8):08}"))
        if self._chance.random() < GIVES_UP:
            self.later(now + _GREETING, lambda: session.end(Party.CALLER))
        else:
            self.later(now + _GREETING, lambda: self.report(CallQueued(clock.now(), call, "")))
        self._next()


class _Session:
    """Speaks for one made-up caller."""

    def __init__(self, centre: MadeUp, call: CallId) -> None:
        self._centre = centre
        self._call = call

    def ring(self, agents: tuple[str, ...], ring_for: float) -> None:
        """The phone rings, and is answered."""
        centre, call, agent, now = self._centre, self._call, agents[0], clock.now()
        rings, answered = now + _RINGS_AFTER, now + _ANSWERS_AFTER
        centre.later(rings, lambda: centre.report(OfferRinging(clock.now(), call, agent)))
        centre.later(answered, lambda: centre.report(OfferAnswered(clock.now(), call, agent)))
        centre.later(answered + centre.talk(), lambda: self._hang_up(agent))

    def send_outside(self, number: str) -> None:
        """There is no such rule."""

    def release(self, reason: Release) -> None:
        """The caller hears the farewell."""
        self._centre.later(clock.now() + _GREETING, lambda: self.end(Party.SYSTEM))

    def _hang_up(self, agent: str) -> None:
        self._centre.report(TalkEnded(clock.now(), self._call, agent, Party.CALLER))
        self.end(Party.CALLER)

    def end(self, by: Party) -> None:
        """The caller's channel is gone."""
        self._centre.report(CallEnded(clock.now(), self._call, by, 16))
        self._centre.leave(self._call, self)
