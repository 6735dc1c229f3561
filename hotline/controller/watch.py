"""Watches the phones of agents who talk, and ends the leg of one that has died: `telephony.pulse` decides.

Events tell of a phone that registers again. Its sound has none, so it is read: one short question every three seconds
and talk (`READ_EVERY`), the first after two, so that short talks cost nothing. A phone is asked only while it is
silent. While the controller is away, Asterisk's session timers do this more slowly.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from base.background import within
from facts import Fact, PhoneLost
from facts.times import SECOND
from telephony.channels import SIGN_IN_EVENT, Calls, Message, Talk
from telephony.in_call import InCallAnswer, Questions
from telephony.link import LinkError
from telephony.pulse import Pulses, Step
from telephony.refused import Copy

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.5
"""Seconds at most between two looks at whose turn it is: a talk that has just begun is found by it."""


class Verbs(Protocol):
    """What the watch needs of `telephony.switch.Switch`."""

    async def read_sound(self, channel: str) -> str:
        """What a channel's phone has sent so far."""

    async def ask_phone(self, agent: str) -> None:
        """Ask the agent's phone by OPTIONS."""

    async def sip_call(self, channel: str) -> str:
        """The Call-ID of the channel's SIP dialogue."""

    async def registration(self, agent: str) -> str:
        """The Call-ID of the registration of the agent's phone."""

    async def ask_in_call(self, channel: str) -> None:
        """Send a request within the call."""

    async def end_dead(self, channel: str, citizen: str = "") -> None:
        """End the leg."""


HEAR_FOR = 10.0
"""Seconds for which the answer to a question within a call is listened for."""


class PhoneWatch:
    """`report` takes facts. `after`: seconds of silence after which a phone that does not answer is dead.

    `ports`: from which Asterisk speaks SIP. `hear`: have the copies of answers come for so many seconds, if they can.
    """

    def __init__(
        self,
        calls: Calls,
        switch: Verbs,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        after: float,
        ports: Collection[int] = (),
        hear: Callable[[float], bool] = lambda _: False,
    ) -> None:
        self._calls = calls
        self._switch = switch
        self._report = report
        self._clock = clock
        self._pulses = Pulses(after)
        self._questions = Questions(ports)
        self._hear = hear
        self._heard = True
        self._wake = asyncio.Event()

    def take(self, message: Message) -> None:
        """Hear an event before `Calls.read` does: has a phone registered?"""
        if agent := self._calls.new_address(message):
            self._pulses.moved(agent, self._clock())
        elif message.get("Event") == SIGN_IN_EVENT and message.get("Service") == "PJSIP":
            self._pulses.signed_in(message.get("AccountID", ""), self._clock())
        else:
            return
        self._wake.set()

    def copied(self, copy: Copy) -> None:
        """Asterisk has received or sent a SIP message."""
        self._questions.take(copy)

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await within(self._until_next(), self._wake)
            self._wake.clear()
            await self.look()

    def _until_next(self) -> float:
        """Seconds until the next look."""
        due = self._pulses.next_due()
        if due is None:
            return LOOK_EVERY
        return min(LOOK_EVERY, max(0.0, (due - self._clock()) / SECOND))

    async def look(self) -> None:
        """Look after the talks whose turn it is."""
        talks = list(self._calls.talks())
        self._questions.keep({talk.leg for talk in talks})
        due = self._pulses.due(talks, self._clock())
        await asyncio.gather(*(self._look_at(talk) for talk in due))

    async def _look_at(self, talk: Talk) -> None:
        try:
            told = await self._switch.read_sound(talk.channel)
            now = self._clock()
            answer = self._questions.answer(talk.leg, now) if self._heard else InCallAnswer.UNHEARD
            for step in self._pulses.heard(talk.leg, told, now, answer):
                await self._do(step, talk)
        except LinkError as error:
            log.info("phone.not_watched", agent=talk.agent, error=str(error))

    async def _do(self, step: Step, talk: Talk) -> None:
        match step:
            case Step.ASK:
                await self._switch.ask_phone(talk.agent)
                if self._pulses.identify(talk.leg):
                    registration = await self._switch.registration(talk.agent)
                    self._pulses.registered(talk.leg, registration)
            case Step.ASK_IN_CALL:
                await self._ask_in_call(talk)
            case Step.END:
                log.warning("phone.lost", call_id=talk.call, agent=talk.agent)
                # First the fact: by then the session knows that this talk's end is not the call's.
                self._report(PhoneLost(self._clock(), talk.call, talk.agent))
                # Beside others in the talk the citizen waits for nobody.
                alone = not self._calls.talks_on(talk.call)
                await self._switch.end_dead(talk.channel, talk.citizen if alone else "")

    async def _ask_in_call(self, talk: Talk) -> None:
        if self._pulses.only_moved(talk.leg, await self._switch.registration(talk.agent)):
            return
        if sip_call := await self._switch.sip_call(talk.channel):
            self._heard = self._hear(HEAR_FOR)
            self._questions.ask(sip_call, talk.leg)
            await self._switch.ask_in_call(talk.channel)
