"""The verbs about third parties: call them, have the citizen hear music, bring all together, mute, drop.

A party is called by a channel of its own (AMI Originate) that runs `BridgeAdd` with the citizen's channel when it is
answered (context `party`). From then on everything lives inside Asterisk: the talk goes on without this program,
whoever leaves it, and the recording has all of them. While the agent consults a party first, the citizen is in a loop
of the dialplan (context `consult`) with music, which ends by itself when the agent leaves.

`telephony.parties` reads what becomes of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from base.background import comes_true, spawn
from facts import (
    CallbackEnded,
    CallEnded,
    Fact,
    OwnCallEnded,
    PartyAsked,
    PartyFailed,
    PartyLeft,
    PartyMuted,
    PartyUnmuted,
    TalkEnded,
)
from facts.ids import party_id, party_leg
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.terms import CallId
from telephony import actions
from telephony.channels import Calls, Talk
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown
from telephony.parties import LiveParty, Parties, PartyState, mark
from telephony.switch import Actions
from telephony.trunks import Way

log = structlog.get_logger(__name__)

CONSULT_KEYS = "*#"
"""The feature code (features.conf) that takes the citizen out of the talk, "pressed" for the agent by AMI."""

FAILED_KEYS = "*99"
"""The feature code that has the agent alone hear that it did not work."""

HELD_WITHIN = 2.0
"""Seconds in which the citizen hears music after these keys."""

APPEARS_WITHIN = 2.0
"""Seconds within which Asterisk makes a party's channel. It reports nothing when it cannot."""

SIGN_WITHIN = 0.8
"""Seconds for which an answer to a request waits for the first sign of the party's phone."""


class PartyRefused(Exception):  # noqa: N818 - reads as what happened
    """It is not done. The message says why, and is fit to be shown as it is."""


@dataclass(frozen=True, slots=True)
class PartyOrder:
    """Who is to be brought into which talk. `number`: an agent's, or an outside number in normal form.

    `ways`: how an outside number is dialled, the best first; empty for an agent's phone. `rings`: seconds. `caller` and
    `name`: what the party's phone shows; a way may show another number, except in an emergency. `by`: the account that
    asks. `citizen`: as in `LiveParty`.
    """

    talk: Talk
    who: PartyKind
    number: str
    rings: float
    caller: str
    name: str = ""
    consult: bool = False
    ways: Sequence[Way] = ()
    by: str = ""
    citizen: str = ""


class BringIn:
    """The third parties of one node. `parties` reads the messages of `link`, as `calls` does. `report` takes facts.

    `clock`: microseconds UTC. `asked`: told of each party before they are called. `stepped_in`: whether a supervisor is
    to be heard in a call's talk.
    """

    def __init__(
        self,
        link: Actions,
        calls: Calls,
        parties: Parties,
        *,
        node: str,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        asked: Callable[[PartyAsked], object] = lambda _: None,
        stepped_in: Callable[[CallId], bool] = lambda _: False,
    ) -> None:
        self._link = link
        self._calls = calls
        self._parties = parties
        self._node = node
        self._report = report
        self._clock = clock
        self._tell = asked
        self._stepped_in = stepped_in
        self._asked: dict[str, tuple[PartyOrder, int]] = {}
        self._last = 0

    # --- what is asked for

    async def invite(self, order: PartyOrder) -> LiveParty:
        """Call a party. Returns at the first sign of their phone, or after `SIGN_WITHIN`. Raises `PartyRefused`."""
        citizen = self._calls.citizen_channel(order.talk.call)
        if not self._anchor(order.talk.call) or (order.consult and not citizen):
            raise PartyRefused("the citizen has hung up")
        # Two in one microsecond would share an id.
        self._last = max(self._clock(), self._last + 1)
        talk = order.talk
        party = self._parties.ask(
            asked := PartyAsked(
                self._last,
                *(talk.call, talk.agent, party_id(self._node, self._last)),
                order.who,
                order.number,
                order.consult,
                order.by,
            ),
            order.citizen,
        )
        self._tell(asked)
        self._report(asked)
        self._asked[party.id] = (order, 0)
        try:
            await self._set(talk.channel, "TRANSFER_CONTEXT", "nothing")
            if order.consult:
                await self._begin_consult(talk, citizen)
            await self._originate(party)
        except LinkError as error:
            self._gave_up(party, error)
            raise PartyRefused(_why(error)) from None
        finally:
            if not self._gone(party):
                spawn(self._appears(party), "party called")
        await comes_true(
            lambda: party.state() is not PartyState.CALLED or self._gone(party), SIGN_WITHIN
        )
        return party

    async def join(self, call: CallId) -> None:
        """The consultation is over: the citizen hears everybody again. Raises `PartyRefused`."""
        try:
            await self._set(self._calls.citizen_channel(call), "HL_CONSULT", "")
        except LinkError as error:
            raise PartyRefused(_why(error)) from None
        if not await comes_true(lambda: not self._parties.consulting(call), HELD_WITHIN):
            raise PartyRefused("Asterisk has not brought the citizen back yet: try again")

    async def mute(self, party: LiveParty, *, muted: bool, by: str = "") -> None:
        """Have the others hear this party no more, or again. Raises `PartyRefused`."""
        if not party.inside:
            raise PartyRefused("they have not answered yet")
        if party.muted == muted:
            return
        try:
            # The mark first: the next controller must not take somebody for heard who is not.
            await self._set(party.channel, "HL_MUTED", "1" if muted else "")
            await self._link.act(actions.mute(party.channel, muted=muted))
        except LinkError as error:
            raise PartyRefused(_why(error)) from None
        party.muted = muted
        kind = PartyMuted if muted else PartyUnmuted
        self._report(kind(self._clock(), party.call, party.agent, party.id, by))

    async def drop(self, party: LiveParty, by: str = "", why: PartyEnd = PartyEnd.DROPPED) -> None:
        """End the leg of a party who is in the talk, or whose phone rings. Raises `PartyRefused`."""
        party.ending, party.by = why, by
        if not party.channel:
            return  # `_appears` ends it as soon as it exists
        try:
            await self._hang_up(party.channel)
        except LinkError as error:
            raise PartyRefused(_why(error)) from None

    # --- what the link tells

    def take(self, facts: Sequence[Fact]) -> None:
        """Take facts of `calls` and of `parties`: what must follow when somebody has left."""
        for fact in facts:
            match fact:
                case CallEnded(call=call):
                    self._citizen_left(call)
                case TalkEnded(call=call, agent=agent) | CallbackEnded(call=call, agent=agent):
                    for party in self._parties.of(call):
                        if party.agent == agent and not party.inside:
                            spawn(self._end(party), "party withdrawn")
                case PartyFailed() | PartyLeft():
                    self._asked.pop(fact.party, None)
                    if self.citizen_gone(fact.call):
                        self._citizen_left(fact.call)
                    elif not self._parties.of(fact.call):
                        spawn(self._alone(fact.call, fact.agent), "last party has left")

    def citizen_left(self, call: CallId) -> None:
        """The citizen of a callback has left the talk; no fact tells it, for the callback is its agent's."""
        if self._parties.of(call):
            self._citizen_left(call)

    def again(self, party: LiveParty) -> bool:
        """For `Parties`: the leg was not taken by its trunk. Whether the next one is tried."""
        order, tried = self._asked.get(party.id, (None, 0))
        if order is None or tried >= len(order.ways) or not self._anchor(party.call):
            return False
        log.warning("trunk.passed_over", call_id=party.call, trunk=order.ways[tried - 1].name)
        spawn(self._try_again(party), "party by another trunk")
        return True

    def caught_up(self) -> None:
        """After a start or a lost link: `calls` and `parties` know what exists. What should have ended is ended."""
        for call, agent in self._parties.consultations().items():
            if not self._parties.of(call):
                spawn(self._alone(call, agent), "citizen back from a consultation")
        for party in self._parties.all():
            if self._calls.caller_gone(party.call):
                self._citizen_left(party.call)
            elif not party.inside and not self._calls.talk_channel(party.call, party.agent):
                spawn(self._end(party), "party withdrawn")

    # --- how it is done

    async def _originate(self, party: LiveParty) -> None:
        order, tried = self._asked[party.id]
        self._asked[party.id] = (order, tried + 1)
        party.leg = party_leg(party.id, tried + 1)
        way = order.ways[tried] if order.ways else None
        target = f"{order.number}@{way.endpoint}" if way is not None else order.number
        shows = "" if way is None or order.who is PartyKind.EMERGENCY else way.shows
        caller = shows or order.caller
        await self._link.act(
            {
                "Action": "Originate",
                "Channel": f"PJSIP/{target}",
                "ChannelId": party.leg,
                "Context": "party",
                "Exten": "s",
                "Priority": "1",
                "Timeout": str(round(order.rings * 1000)),
                "CallerID": f'"{order.name}" <{caller}>',
                # A colleague has no keys in this talk, and cannot transfer it.
                "Variable": f"HL_PARTY={mark(party)},HL_JOINED={self._anchor(party.call)},"
                "DYNAMIC_FEATURES=,TRANSFER_CONTEXT=nothing",
                "Async": "true",
            }
        )

    async def _begin_consult(self, talk: Talk, citizen: str) -> None:
        if self._parties.consulting(talk.call):
            return
        await self._set(citizen, "HL_CONSULT", talk.channel)
        try:
            await self._press(talk.channel, CONSULT_KEYS)
            if not await comes_true(lambda: self._parties.consulting(talk.call), HELD_WITHIN):
                raise ActionRefused("the citizen could not be put on hold")
        except LinkError:
            await self._set(citizen, "HL_CONSULT", "")
            raise

    async def _try_again(self, party: LiveParty) -> None:
        try:
            await self._originate(party)
        except LinkError as error:
            self._gave_up(party, error)
            return
        await self._appears(party)

    async def _appears(self, party: LiveParty) -> None:
        """Asterisk tells of no channel that it could not make: a phone that is not registered."""
        leg = party.leg
        there = await comes_true(
            lambda: bool(party.channel) or party.leg != leg or self._gone(party), APPEARS_WITHIN
        )
        if not there:
            self._fail(party, PartyFailure.UNREACHABLE)
        elif party.ending is not None and not self._gone(party):
            await self._end(party, party.ending)

    def _gave_up(self, party: LiveParty, error: LinkError) -> None:
        log.warning("party.not_called", call_id=party.call, error=str(error))
        if not isinstance(error, Unknown):
            lost = isinstance(error, LinkDown)
            self._fail(party, PartyFailure.LOST if lost else PartyFailure.UNREACHABLE)

    def _citizen_left(self, call: CallId) -> None:
        """Agent and parties are still connected. Unless it is an emergency, their talk is over."""
        if self._parties.emergency(call) is not None or self._called_back(call):
            return
        for party in self._parties.of(call):
            spawn(self._end(party), "party after the talk")
        spawn(self._let_agents_go(call), "agent after the talk")

    async def _let_agents_go(self, call: CallId) -> None:
        for channel in self._calls.outlived(call):
            try:
                await self._hang_up(channel)
            except LinkError as error:
                log.warning("party.agent_not_freed", call_id=call, error=str(error))

    async def _alone(self, call: CallId, agent: str) -> None:
        """The last party is gone: the citizen must not hear music on, and the agent may transfer again."""
        try:
            if self._parties.consulting(call):
                await self._set(self._calls.citizen_channel(call), "HL_CONSULT", "")
            leg = self._calls.talk_channel(call, agent)
            if not self._parties.of(call) and not self._stepped_in(call):
                await self._set(leg, "TRANSFER_CONTEXT", "transfer")
        except LinkError as error:
            log.warning("party.not_settled", call_id=call, error=str(error))

    async def _end(self, party: LiveParty, why: PartyEnd = PartyEnd.TALK_OVER) -> None:
        try:
            await self.drop(party, party.by, why)
        except PartyRefused as refused:
            log.warning("party.not_ended", call_id=party.call, error=str(refused))

    def _fail(self, party: LiveParty, why: PartyFailure) -> None:
        """Tell what no channel will. A colleague counted as busy from the moment in which they were to be called."""
        now = self._clock()
        facts = self._parties.fail(party, why, now)
        if party.who is PartyKind.COLLEAGUE and not self._calls.agent_channels(party.number):
            facts.append(OwnCallEnded(now, party.number))
        for fact in facts:
            self._report(fact)
        self.take(facts)

    def citizen_gone(self, call: CallId) -> bool:
        """Whether the citizen's own channel is gone."""
        return self._calls.caller_gone(call)

    async def tell_agent(self, call: CallId, agent: str) -> None:
        """Have the agent, and nobody else, hear that somebody cannot be reached (`FAILED_KEYS`)."""
        channels = {self._calls.talk_channel(call, agent), *self._calls.outlived(call)}
        for channel in filter(None, channels):
            try:
                await self._press(channel, FAILED_KEYS)
            except LinkError as error:
                log.warning("party.agent_not_told", call_id=call, error=str(error))

    async def _press(self, channel: str, keys: str) -> None:
        for key in keys:
            await self._link.act(actions.press(channel, key))

    def _anchor(self, call: CallId) -> str:
        """A channel in the bridge of this call's talk; after the citizen has been dropped in an emergency, another."""
        citizen = self._calls.citizen_channel(call)
        if citizen or self._parties.emergency(call) is None:
            return citizen
        inside = [one.channel for one in self._parties.of(call) if one.inside]
        return [*self._calls.outlived(call), *inside][0]

    def _called_back(self, call: CallId) -> bool:
        """Whether a citizen who was dropped in an emergency is in the talk again."""
        parties = self._parties.of(call)
        return any(one.who is PartyKind.CITIZEN and one.inside for one in parties)

    def _gone(self, party: LiveParty) -> bool:
        return self._parties.get(party.id) is not party

    async def _hang_up(self, channel: str) -> None:
        try:
            await self._link.act(actions.hang_up(channel))
        except ActionRefused as refused:
            log.info("party.gone_already", answer=str(refused))

    async def _set(self, channel: str, variable: str, value: str) -> None:
        if not channel:
            return
        try:
            await self._link.act(actions.set_variable(channel, variable, value))
        except ActionRefused as refused:
            log.info("party.gone_already", answer=str(refused))


def _why(error: LinkError) -> str:
    if isinstance(error, LinkDown):
        return "Asterisk does not answer: try again when it does"
    if isinstance(error, Unknown):
        return "Asterisk has not answered: look whether it was done"
    return str(error)
