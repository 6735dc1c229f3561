"""Messages from a supervisor to one agent or to all: into the table, onto the agents' pages, onto their phones."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.floor import Seat
from agents import messages
from agents.model import Intent
from base import database
from base.background import spawn
from base.bus import Refused
from base.outage import Outage
from facts.requests import ReadMessage, Reply, SendMessage
from telephony.texts import Display

log = structlog.get_logger(__name__)

STORED_WITHIN = 0.5
"""Seconds in which the database takes a message, or it is not sent."""
ANSWERED_WITHIN = 0.25
"""Seconds for which the reply waits for the phones. Those that answer later are entered all the same."""
AT_ONCE = 10
"""Phones that are shown a text at the same time."""
_T = TypeVar("_T")


class Texts(Protocol):
    """What is needed of `telephony.texts.PhoneTexts`."""

    async def show(self, agent: str, text: str) -> Display:
        """Show this on the agent's phone."""


class Messages:
    """Sends messages. `keep`: days for which they are kept. `clock`: microseconds. `unread`: agent → message."""

    def __init__(
        self,
        engine: AsyncEngine,
        seats: Callable[[], Mapping[str, Seat]],
        texts: Texts,
        clock: Callable[[], int],
        *,
        keep: float,
    ) -> None:
        self.unread: dict[str, int] = {}
        self._engine = engine
        self._seats = seats
        self._texts = texts
        self._clock = clock
        self._keep = keep
        self._showing = False

    async def run(self) -> None:
        """Learn which messages are unread; returns when the database has said so."""
        away = Outage(log, "messages.database_away")
        await database.read_at_start(self._read, away, "unread messages are not counted")

    async def _read(self) -> None:
        self.unread = {**await messages.unread(self._engine), **self.unread}

    async def send(self, asked: SendMessage) -> Reply:
        """Enter the message and show it. Raises `Refused`."""
        text = " ".join(asked.text.split())
        if not text or not text.isprintable() or len(text) > messages.LONGEST:
            raise Refused(
                f"a message has 1 to {messages.LONGEST} characters, and no others than text"
            )
        to = self._receivers(asked.agent)
        if self._showing and len(to) > AT_ONCE:
            raise Refused("the message before is still being shown on the phones: try again soon")
        phones = {
            agent: messages.WAITING if self._has_phone(agent) else messages.NO_PHONE for agent in to
        }
        made = self._stored(
            messages.add(self._engine, self._clock(), asked.by, text, phones, self._keep)
        )
        numbers = await made
        self.unread |= numbers
        waiting = {numbers[agent]: agent for agent in to if phones[agent] == messages.WAITING}
        shown: dict[int, str] = {}
        showing = spawn(self._show(waiting, text, shown), "texts on phones")
        await asyncio.wait([showing], timeout=ANSWERED_WITHIN)
        log.info("message.sent", by=asked.by, agents=len(to), phones=len(waiting))
        return Reply(_said(len(to), len(waiting), list(shown.values())), max(numbers.values()))

    async def read(self, asked: ReadMessage) -> Reply:
        """The agent has read a message of theirs. Raises `Refused`."""
        found = await self._stored(
            messages.mark_read(self._engine, asked.agent, asked.id, self._clock())
        )
        if not found:
            raise Refused(f"agent {asked.agent} has no message {asked.id}")
        left = await self._stored(messages.unread(self._engine, [asked.agent]))
        self.unread.pop(asked.agent, None)
        self.unread |= left
        return Reply(f"message {asked.id} is read")

    def _receivers(self, agent: str) -> list[str]:
        seats = self._seats()
        if not agent:
            to = sorted(number for number, seat in seats.items() if not seat.removed)
        else:
            to = [agent] if agent in seats and not seats[agent].removed else []
        if not to:
            raise Refused(f"there is no agent {agent}" if agent else "there are no agents")
        return to

    def _has_phone(self, agent: str) -> bool:
        seat = self._seats()[agent]
        return seat.reachable and seat.intent is not Intent.OUT

    async def _stored(self, work: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(STORED_WITHIN):
                return await work
        except database.FAILED as error:
            log.warning("message.not_stored", **database.told(error))
            raise Refused("the database does not answer: nothing is sent") from None

    async def _show(self, waiting: Mapping[int, str], text: str, shown: dict[int, str]) -> None:
        """Show the text on the phones, a few at a time, and enter what became of it."""
        few = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, agent: str) -> None:
            async with few:
                shown[number] = (await self._texts.show(agent, text)).value

        self._showing = True
        try:
            await asyncio.gather(*(one(*each) for each in waiting.items()))
            if shown:
                await messages.told(self._engine, shown)
        except database.FAILED as error:
            log.warning("message.phones_unknown", **database.told(error))
        finally:
            self._showing = False


def _said(agents: int, phones: int, shown: list[str]) -> str:
    """What has happened so far, in a sentence. Nothing counts as shown that was not answered."""
    accepted, refused = shown.count("accepted"), shown.count("refused")
    open_ = phones - accepted - refused
    parts = [f"on the pages of {agents} agents" if agents > 1 else "on the agent's page"]
    if accepted:
        parts.append(f"{accepted} phones took it" if agents > 1 else "the phone took it")
    if refused:
        parts.append(f"not shown on {refused} phones" if agents > 1 else "not shown on the phone")
    if open_:
        parts.append(
            f"{open_} phones have not answered yet"
            if agents > 1
            else "the phone has not answered yet"
        )
    if not phones:
        parts.append("no phone is signed in")
    return "; ".join(parts)
