"""The soak's citizens and agents: what each does in a call, by seeded turn, and what each saw of it."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from base.background import spawn
from facts.numbers import normalise
from tests.live.centre import NUMBER, PASSWORD
from tests.live.gateway import Gateway, Manners
from tests.soak.telephones import Clash, Leg, Line, Sound

KEY = "1"
"""A waiting caller presses it to be called back."""
GREETING = 1.2
"""Seconds from the answer until the caller is queued: a pause and two prompts of half a second."""
PATIENCE = 40.0
"""Seconds after which a citizen whose call goes nowhere gives up."""

SHAPES = {
    "agent ends": 30,
    "citizen ends": 30,
    "abandons in the greeting": 5,
    "abandons at its end": 5,
    "abandons in the queue": 8,
    "cancels": 2,
    "blind transfer": 4,
    "back to the queue": 2,
    "attended transfer": 4,
    "hold": 3,
    "asks to be called back": 4,
    "hangs up as the agent answers": 3,
}
"""Shapes of calls → how often, of a hundred."""


@dataclass(eq=False)
class Plan:
    """One citizen's call: what shall happen, and what was seen here. Times are of `time.time()`, 0: never."""

    shape: str
    caller: str
    talk: float
    """Seconds."""
    point: float
    """When the caller gives up: seconds, from what the shape says."""
    leg: Leg | None = None
    talks: "list[Talk]" = field(default_factory=list)

    @property
    def normal(self) -> str:
        """The number as the diary has it."""
        return normalise(self.caller)


@dataclass(eq=False)
class Talk:
    """What an agent's phone saw of one talk."""

    agent: str
    leg: Leg
    dropped: bool = False
    """The phone hung up in the moment of its answer."""
    died: bool = False
    """The phone lost its power, or started again."""

    @property
    def over_at(self) -> float:
        """When it ended; now if it goes on. A phone may keep its leg after a transfer."""
        return self.leg.handed_on_at or self.leg.ended_at or time.time()

    @property
    def seconds(self) -> float:
        """How long it lasted, until now if it goes on."""
        return self.over_at - self.leg.answered_at


class Agent:
    """An agent and the telephone, which may die and come back elsewhere."""

    def __init__(self, town: "Town", number: str, chance: random.Random) -> None:
        self.town, self.number = town, number
        self.drops_until = 0.0
        self.clashes: list[Clash] = []
        self._chance = chance
        self.line = self._line()

    async def start(self) -> None:
        """Sign in and dial *11."""
        await self.line.open()
        assert await self.line.register(), f"{self.number} cannot sign in: {self.line.refused}"
        await self.ready()

    async def ready(self) -> None:
        """Dial *11, and hear its answer to the end."""
        await self.press("*11")

    async def press(self, code: str) -> None:
        """Dial a feature code, and hear its answer to the end."""
        leg = self.line.dial(code)
        if not await leg.until(leg.ended, 10):
            await leg.hang_up()

    async def again(self, pause: float, *, sudden: bool = True) -> None:
        """The phone starts again: another port, another contact. `sudden`: calls that went on are not hung up."""
        old = self.line
        for plan in self.town.plans.values():
            for talk in plan.talks:
                if talk.agent == self.number and talk.leg.talking:
                    talk.died = True
        if not sudden:
            await asyncio.gather(*(leg.hang_up() for leg in old.legs))
        old.die()
        self.clashes += old.clashes
        await asyncio.sleep(pause)
        self.line = self._line()
        await self.line.open()
        await self.register()

    async def register(self) -> None:
        """Sign in, and try again while nobody answers."""
        line = self.line
        while line.alive and line is self.line and not await line.register():
            await asyncio.sleep(1)

    @property
    def idle(self) -> bool:
        """No call is at this phone."""
        return self.line.alive and not self.line.legs

    def _line(self) -> Line:
        town = self.town
        return Line(
            town.exchange, town.sound, number=self.number, password=PASSWORD, incoming=self._rings
        )

    async def _rings(self, leg: Leg) -> None:
        chance, town = self._chance, self.town
        turn = chance.random()
        plan = town.plans.get(leg.peer[-11:])
        if turn < 0.015:
            await asyncio.sleep(chance.uniform(0, 0.5))
            leg.refuse()
            return
        if turn < 0.03:
            await leg.until(leg.ended, 60)
            return
        await asyncio.sleep(chance.choice((0.02, 0.1, 0.3, 0.6, 1.0)) * chance.uniform(0.5, 1.5))
        await leg.answer()
        if not leg.talking:
            return
        drops = time.time() < self.drops_until
        if plan is None:
            if drops:
                await leg.hang_up()
            await leg.until(leg.ended, 25)
            await leg.hang_up()
            return
        talk = Talk(self.number, leg, dropped=drops)
        plan.talks.append(talk)
        if drops:
            await asyncio.sleep(chance.uniform(0, 0.03))
            await leg.hang_up()
            return
        await self._talks(plan, talk)

    async def _talks(self, plan: Plan, talk: Talk) -> None:
        leg, first = talk.leg, sum(not known.dropped for known in plan.talks) == 1
        # An answer of less than a second is none: the next agent stays.
        await leg.until(leg.ended, plan.talk if first else max(plan.talk, 1.3))
        if leg.ended_at:
            return
        if first and plan.shape == "hold":
            await leg.hold()
            await leg.until(leg.ended, 0.5)
            if not leg.ended_at:
                await leg.hold(False)
                await leg.until(leg.ended, 0.5)
        elif first and plan.shape == "blind transfer":
            if (colleague := self.town.colleague(self)) is not None:
                await leg.refer(colleague.number)
        elif first and plan.shape == "back to the queue":
            await leg.refer(NUMBER)
        elif first and plan.shape == "attended transfer":
            await self._asks_first(leg)
        elif plan.shape == "citizen ends":
            await leg.until(leg.ended, 10)
        await leg.hang_up()

    async def _asks_first(self, leg: Leg) -> None:
        colleague = self.town.colleague(self)
        if colleague is None:
            return
        asked = self.line.dial(colleague.number)
        await asked.until(asked.answered, 4)
        if asked.talking and leg.talking:
            await leg.refer(colleague.number, asked)
            await asked.until(asked.ended, 2)
        await asked.hang_up()


class Citizens(dict[str, Manners]):
    """How the citizens behave who are called back: by seeded turn, each a bit differently."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self.hurry = False
        """All answer at once, and are short."""
        self.silent = False
        """The operator says nothing."""

    def get(self, _number: str, _default: object = None) -> Manners:
        """Those of the next call."""
        chance = self._chance
        if self.silent:
            return Manners(silent=True)
        if self.hurry:
            return Manners(answer_after=0.1, hang_up_after=0.3)
        turn = chance.random()
        if turn < 0.1:
            return Manners(status=chance.choice((486, 480, 404)))
        if turn < 0.2:
            return Manners(answer_after=None)
        if turn < 0.25:
            return Manners(answer_after=chance.uniform(0.2, 2), hang_up_after=0.01)
        return Manners(
            answer_after=chance.uniform(0.1, 3.0), hang_up_after=chance.choice((0.5, 1.0, 2.0))
        )


class Town:
    """Everybody, and what they did. An asynchronous context manager; `exchange` is Asterisk's address."""

    def __init__(
        self, exchange: tuple[str, int], numbers: list[str], gateway: Gateway, seed: int
    ) -> None:
        self.exchange = exchange
        self.chance = random.Random(seed)
        self.sound = Sound(exchange[0])
        self.gateway = gateway
        self.citizens = Citizens(random.Random(seed + 1))
        gateway.manners = self.citizens
        self.plans: dict[str, Plan] = {}
        self.agents = [Agent(self, number, random.Random(f"{seed} {number}")) for number in numbers]
        self.trunk = Line(exchange, self.sound)

    async def __aenter__(self) -> "Town":
        self.sound.start()
        await self.trunk.open()
        # One by one: a phone whose code is heard needs no more.
        await asyncio.gather(*(agent.start() for agent in self.agents))
        return self

    async def __aexit__(self, *_error: object) -> None:
        for agent in self.agents:
            agent.line.die()
        self.trunk.die()
        self.sound.close()

    def colleague(self, agent: Agent) -> Agent | None:
        """An agent without a call, to ask or to hand a citizen over to."""
        idle = [other for other in self.agents if other is not agent and other.idle]
        return self.chance.choice(idle) if idle else None

    def next_plan(self) -> Plan:
        """Who calls next."""
        chance = self.chance
        shape = chance.choices([*SHAPES], [*SHAPES.values()])[0]
        point = {
            "abandons in the greeting": chance.uniform(0.05, GREETING - 0.1),
            "abandons at its end": GREETING + chance.uniform(-0.06, 0.06),
            "abandons in the queue": GREETING + chance.uniform(0.2, 6),
            "cancels": chance.choice((0.0, 0.001, 0.005, 0.02, 0.05)),
            "asks to be called back": GREETING + chance.uniform(0.3, 2),
            "hangs up as the agent answers": chance.choice((0.0, 0.005, 0.02, 0.2)),
        }
        caller = f"139{len(self.plans) + 10_000_000:08d}"
        talk = chance.choice((0.3, 0.9, 1.1, 2.0, 2.0, 3.0, 4.0)) * chance.uniform(0.9, 1.1)
        plan = Plan(shape, caller, talk, point.get(shape, 0.0))
        self.plans[caller] = plan
        return plan

    async def call(self, plan: Plan) -> None:
        """A citizen calls, does what is planned, and is patient for a while at most."""
        leg = plan.leg = self.trunk.dial(NUMBER, plan.caller)
        match plan.shape:
            case "cancels":
                await asyncio.sleep(plan.point)
                await leg.hang_up()
            case "abandons in the greeting" | "abandons at its end" | "abandons in the queue":
                if await leg.until(leg.answered, 10):
                    await leg.until(leg.ended, plan.point)
                await leg.hang_up()
            case "asks to be called back":
                if await leg.until(leg.answered, 10):
                    await leg.until(leg.ended, plan.point)
                    leg.press(KEY)
                    await leg.until(leg.ended, PATIENCE)
                await leg.hang_up()
            case "citizen ends" | "hangs up as the agent answers":
                await self._ends_it(plan, leg)
            case _:
                await leg.until(leg.ended, PATIENCE)
                await leg.hang_up()

    async def _ends_it(self, plan: Plan, leg: Leg) -> None:
        until = time.monotonic() + PATIENCE
        ends_after = plan.talk if plan.shape == "citizen ends" else plan.point
        while not leg.ended_at and time.monotonic() < until:
            talk = next((talk for talk in plan.talks if not talk.dropped), None)
            if talk is not None:
                await leg.until(leg.ended, talk.leg.answered_at + ends_after - time.time())
                break
            await asyncio.sleep(0.005)
        await leg.hang_up()

    async def crashed(self) -> None:
        """Asterisk is gone: its calls are over, without a word. The phones notice by the silence."""
        lines = [self.trunk, *(agent.line for agent in self.agents)]
        legs = [leg for line in lines for leg in line.legs]
        calls = [call for call in self.gateway.calls if not call.ended_at]
        await asyncio.sleep(1.5)
        for leg in legs:
            leg.over("dropped")
        for call in calls:
            call.ended_at = call.ended_at or time.time()
        for agent in self.agents:
            spawn(agent.register(), "a phone signs in again")
