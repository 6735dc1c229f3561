"""The agents as the controller knows them: their names, and what they ask for on a phone or a screen."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import roster
from agents.model import Agent, Intent
from agents.pause import Pause, reason
from base import clock, database
from facts import AgentAdded, AgentOut, AgentPaused, AgentReady, Fact
from facts.requests import SetOut, SetPaused, SetReady

log = structlog.get_logger(__name__)


class Desk(Protocol):
    """What the people need of `acd.desk.Desk`."""

    def report(self, *facts: Fact) -> None:
        """Take facts."""

    def seed(self, facts: Iterable[Fact]) -> None:
        """Take facts that the diary has already."""


class People:
    """The roster, as far as it was read. `on_floor`: whether the floor has an agent. `pauses`: the centre's reasons."""

    def __init__(
        self,
        engine: AsyncEngine,
        desk: Desk,
        seed_log: Callable[[list[Fact]], None],
        on_floor: Callable[[str], bool],
        pauses: Callable[[], Iterable[Pause]],
    ) -> None:
        self.names: dict[str, str] = {}
        self._engine = engine
        self._desk = desk
        self._seed_log = seed_log
        self._on_floor = on_floor
        self._pauses = pauses

    async def read(self, *only: str) -> None:
        """Put the agents of the roster on the floor: all, or `only` these. An absent database changes nothing."""
        try:
            agents = await roster.list_all(self._engine)
        except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
            log.error("roster.away", **database.told(error))
            return
        for number, agent in enumerate(agents):
            if number % 50 == 49:
                await asyncio.sleep(0)  # callers are served in between
            self.names[agent.number] = agent.name
            if not only or agent.number in only:
                facts = _seated(agent)
                self._desk.seed(facts)
                self._seed_log(facts)

    async def knows(self, number: str) -> bool:
        """Whether there is such an agent. One that another process added just now is found, too."""
        if not self._known(number):
            await self.read(number)
        return self._known(number)

    async def dialled(self, number: str, action: str, key: str) -> str:
        """An agent dialled a feature code; `key` is the digit after `*12`. Gives `ok`, or why not."""
        if action != "pause":
            asked = SetReady(number) if action == "ready" else SetOut(number)
            return await self.set_intent(asked)
        why = reason(key, self._pauses())
        return "no such reason" if why is None else await self.set_intent(SetPaused(number, why))

    async def set_intent(self, asked: SetReady | SetPaused | SetOut) -> str:
        """Carry out what an agent, or a supervisor for them, asked for. Gives `ok`, or `unknown` without such an
        agent."""
        now = clock.now()
        if not await self.knows(asked.number):
            return "unknown"
        intent, fact = _INTENTS[type(asked)], _fact(asked, now)
        self._desk.report(fact)
        why = asked.reason if isinstance(asked, SetPaused) else ""
        try:
            await roster.set_intent(self._engine, asked.number, intent, why, now)
        except Exception as error:  # noqa: BLE001 a fault of ours is logged with its trace
            # The floor has it already; only after a restart would the old one come back.
            log.error("roster.away", agent=asked.number, **database.told(error))
        return "ok"

    def _known(self, number: str) -> bool:
        # The name of a removed agent stays: screens show them until their last talk has ended.
        return number in self.names and self._on_floor(number)


_INTENTS: dict[type, Intent] = {
    SetReady: Intent.READY,
    SetPaused: Intent.PAUSED,
    SetOut: Intent.OUT,
}


def _fact(asked: SetReady | SetPaused | SetOut, now: int) -> Fact:
    match asked:
        case SetReady(number):
            return AgentReady(now, number)
        case SetPaused(number, why):
            return AgentPaused(now, number, why)
        case SetOut(number):
            return AgentOut(now, number)


def _seated(agent: Agent) -> list[Fact]:
    """A row of the roster as the facts that put the agent on the floor."""
    facts: list[Fact] = [AgentAdded(agent.intent_at, agent.number)]
    if agent.intent is Intent.READY:
        facts.append(AgentReady(agent.intent_at, agent.number))
    elif agent.intent is Intent.PAUSED:
        facts.append(AgentPaused(agent.intent_at, agent.number, agent.pause_reason))
    return facts
