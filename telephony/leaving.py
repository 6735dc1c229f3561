"""Sees a phone off that has handed its citizen on: it is not free before its own SIP call is over.

Most phones send BYE themselves. For one that does not, Asterisk would wait a minute, and the agent would be rung beside
a talk that is over. `telephony.referrals` says how Asterisk is brought to end it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from base.background import spawn, within
from base.bounded import remember
from facts import Fact, TalkEnded
from facts.terms import Party
from telephony import hang_over
from telephony.channels import Calls
from telephony.link import LinkError
from telephony.referrals import Referral, invited, over, referral
from telephony.refused import Copy

log = structlog.get_logger(__name__)

COPY_WITHIN = 0.5
"""Seconds after the end of a talk in which the copy of the REFER that ended it comes."""
LOOK_EVERY = 0.25
"""Seconds between two looks whether the phone's channel is gone."""
PATIENCE = 1.0
"""Seconds that a phone has for its own BYE, once its channel is gone."""
REFUSED_AFTER = 5.0
"""A channel that is still there so many seconds after the REFER talks on: the transfer was refused."""
LONGEST = 65.0
"""Seconds after which a phone counts as free in any case. Asterisk itself sends BYE after 60."""

MOST_LEAVING = 100
_MOST_RUNG = 5000
_OVER = frozenset({200, 481})
"""What Asterisk answers when it ends the dialogue, or knows none."""


class Verbs(Protocol):
    """What is needed of `telephony.switch.Switch`."""

    async def has_dialogue(self, agent: str, sip_call: str) -> bool:
        """Whether a channel of the agent's phone is this SIP call."""


@dataclass(slots=True)
class _Phone:
    """`asked`: its newest REFER, and `began` its moment by the loop's clock. `over`: the SIP call has ended."""

    agent: str
    asked: Referral
    began: float
    task: asyncio.Task[None]
    over: asyncio.Event = field(default_factory=asyncio.Event)


class LeavingPhones:
    """Give it each copy of a SIP message. `ports`: where Asterisk speaks SIP, at `address` by UDP at `port`.

    `informed`: whether Asterisk tells what happens. Only a SIP call by which Asterisk has rung an agent's phone counts.
    """

    def __init__(
        self,
        calls: Calls,
        switch: Verbs,
        report: Callable[..., None],
        clock: Callable[[], int],
        informed: Callable[[], bool],
        *,
        address: str,
        port: int,
        ports: frozenset[int],
    ) -> None:
        self._calls = calls
        self._switch = switch
        self._report = report
        self._clock = clock
        self._informed = informed
        self._where = address, port
        self._ports = ports
        self._rung: OrderedDict[str, str] = OrderedDict()
        self._leaving: dict[str, _Phone] = {}
        self._closed = False

    def take(self, copy: Copy) -> bool:
        """Take a SIP message that Asterisk has received or sent. Says whether a phone's BYE is listened for."""
        if (rung := invited(copy, self._ports)) is not None:
            if agent := self._calls.agent_of(rung[1]):
                remember(self._rung, rung[0], agent, _MOST_RUNG)
        elif (asked := referral(copy, self._ports)) is not None:
            self._refers(asked, copy.at)
        elif self._leaving and (phone := self._leaving.get(over(copy))) is not None:
            phone.over.set()
        return bool(self._leaving)

    def heard(self, facts: list[Fact]) -> list[Fact]:
        """What AMI has told at one moment. If the exchange has ended a talk, a REFER may be what it obeyed.

        The copy of that REFER may come a little later, and nothing may be offered to the agent in between.
        """
        told: list[Fact] = []
        for fact in facts:
            if isinstance(fact, TalkEnded) and fact.hung_up_by is Party.SYSTEM:
                key = f"{fact.call} {fact.agent}"
                told += self._calls.keeps(key, fact.agent, fact.at)
                asyncio.get_running_loop().call_later(COPY_WITHIN, self._lets_go, key)
            told.append(fact)
        return told

    def close(self) -> None:
        """Tell nothing any more."""
        for phone in self._leaving.values():
            phone.task.cancel()
        self._leaving.clear()
        self._closed = True

    def _refers(self, asked: Referral, at: int) -> None:
        sip_call = asked.sip_call
        now = asyncio.get_running_loop().time()
        if (known := self._leaving.get(sip_call)) is not None:
            known.asked, known.began = asked, now  # the one before was refused
        elif (agent := self._rung.get(sip_call, "")) and len(self._leaving) < MOST_LEAVING:
            task = spawn(self._see_off(sip_call), "a phone that leaves its talk")
            self._leaving[sip_call] = _Phone(agent, asked, now, task)
            self._report(*self._calls.keeps(sip_call, agent, at))

    async def _see_off(self, sip_call: str) -> None:
        phone = self._leaving[sip_call]
        try:
            async with asyncio.timeout(LONGEST):
                if await self._channel_gone(phone):
                    await self._until_over(phone)
        except TimeoutError:
            log.warning("transfer.dialogue_left", agent=phone.agent)
        finally:
            self._leaving.pop(sip_call, None)
            self._lets_go(sip_call)

    def _lets_go(self, key: str) -> None:
        if not self._closed:
            self._report(*self._calls.lets_go(key, self._clock()))

    async def _channel_gone(self, phone: _Phone) -> bool:
        """Wait until the talk is over at this phone. False: it talks on, or its SIP call is over."""
        loop = asyncio.get_running_loop()
        while not await within(LOOK_EVERY, phone.over):
            if not self._informed():
                continue
            try:
                if not await self._switch.has_dialogue(phone.agent, phone.asked.sip_call):
                    return True
            except LinkError:
                continue
            if loop.time() > phone.began + REFUSED_AFTER:
                return False
        return False

    async def _until_over(self, phone: _Phone) -> None:
        if not await within(PATIENCE, phone.over) and phone.asked.contact:
            status = 0
            try:
                status = await hang_over.call_off(phone.asked, *self._where)
            except OSError as error:
                log.warning("transfer.dialogue_left", agent=phone.agent, error=str(error))
            log.info("transfer.dialogue_ended", agent=phone.agent, status=status)
            if status in _OVER:
                return
        await phone.over.wait()
