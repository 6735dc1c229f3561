"""Marks of calls: harassing (R18) or silent (R20), by the agent's key or by a program, and the proposal to block.

A mark blocks nobody. It proposes a block with an end, and a supervisor approves it or not (`acd.rules.book`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules.text import RulesError
from base import database
from base.background import spawn
from facts import CallMarked, Fact
from facts.terms import CallId, CallMark
from telephony.channels import Talk
from telephony.link import LinkError

log = structlog.get_logger(__name__)

PROPOSED_WITHIN = 0.25
"""Seconds for which an answer waits for the block's proposal. A slow database gets it later."""
_BY_PHONE = "agent {}"
"""Who proposes a block by the telephone's key."""


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen."""

    def ends(self, leg: str) -> None:
        """The agent of this talk has asked to have it ended."""


Propose = Callable[[CallId, str], Awaitable[str]]
"""`propose(call, by)` → a sentence that says what became of it."""


class Marks:
    """`hang_up` ends an agent's channel and raises `LinkError`."""

    def __init__(
        self,
        calls: Calls,
        *,
        hang_up: Callable[[str], Awaitable[None]],
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        propose: Propose,
    ) -> None:
        self._calls = calls
        self._hang_up = hang_up
        self._report = report
        self._clock = clock
        self._propose = propose
        self._asked: dict[str, str] = {}
        self._said: dict[str, str] = {}

    async def mark(self, talk: Talk, mark: CallMark, by: str) -> str:
        """Mark the call of a talk that goes on. Gives a sentence."""
        self._report(CallMarked(self._clock(), talk.call, talk.agent, mark, by))
        said = f"agent {talk.agent}: the call is marked as {mark.value}"
        if mark is not CallMark.HARASSING:
            return said
        return f"{said}; {await self._blocked(talk, by)}"

    def expect(self, talk: Talk, by: str) -> None:
        """This account has asked for the end that `ending` is about to be told of."""
        self._asked[talk.leg] = by

    def expect_no_more(self, talk: Talk) -> None:
        """Whoever asked has been answered."""
        self._asked.pop(talk.leg, None)
        self._said.pop(talk.leg, None)

    def said(self, talk: Talk) -> str:
        """What became of the end that was asked for, in a sentence; empty as long as nothing did."""
        return self._said.get(talk.leg, "")

    async def ending(self, channel: str, uniqueid: str) -> None:
        """A caller begins to hear the phrase for harassing callers: mark the call, and release the agent."""
        for talk in self._calls.talks():
            if talk.call == uniqueid or (talk.citizen and talk.citizen == channel):
                break
        else:
            log.info("mark.no_talk", call_id=uniqueid, effect="the agent has hung up meanwhile")
            return
        by = self._asked.get(talk.leg, "")
        self._calls.ends(talk.leg)
        self._report(
            CallMarked(self._clock(), talk.call, talk.agent, CallMark.HARASSING, by, ended=True)
        )
        try:
            await self._hang_up(talk.channel)
        except LinkError as error:
            log.warning("mark.agent_not_released", call_id=talk.call, error=str(error))
        said = await self._blocked(talk, by)
        if talk.leg in self._asked:
            self._said[talk.leg] = said

    async def _blocked(self, talk: Talk, by: str) -> str:
        """Propose a block of the caller. Gives a sentence."""
        told: list[str] = []

        async def ask() -> None:
            told.append(await self._propose(talk.call, by or _BY_PHONE.format(talk.agent)))

        proposal = spawn(ask(), "block proposed")
        await asyncio.wait({proposal}, timeout=PROPOSED_WITHIN)
        return told[0] if told else "a block is being proposed"


async def propose(
    engine: AsyncEngine, caller: str, by: str, call: CallId, days: float, now: int
) -> str:
    """Ask for a block of this caller for so many days. Gives a sentence; it never blocks by itself."""
    if not caller:
        return "the number is withheld, so nothing can be blocked"
    wanted = rulebook.Block(
        caller=caller,
        reason=f"骚扰来电 harassing: {call}",
        asked_by=by,
        approved_by="",
        added_at=now,
        until=now + round(timedelta(days=days) / timedelta(microseconds=1)),
    )
    try:
        await rulebook.block(engine, wanted, now)
    except RulesError:
        return "the caller is on the block list already"
    except database.FAILED as error:
        log.error("block.not_proposed", call_id=call, **database.told(error))
        return "the database is away, so no block was proposed"
    log.info("block.proposed", call_id=call, by=by)
    return "a block waits for a supervisor's approval"
