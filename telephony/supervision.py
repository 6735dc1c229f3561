"""Supervisors in other agents' talks: ringing them, what they do there, and how it ends.

A supervisor's phone is an agent's, and is rung (AMI Originate) or has dialled `*8` and the agent's number. It listens
and whispers by `ChanSpy`, and steps in and takes over by `BridgeAdd`, which the recording has. To go from one to the
other is a `Redirect` within the dialplan's context `supervision`.

Asterisk holds all that is known: `telephony.supervisors` reads it there, so a new controller finds it again (`settle`).
What is told as a fact has happened: the phone has answered, the dialplan is there, the leg has joined the talk.

A leg that only listens is hung up as soon as the talk's end is told, before Asterisk ends the talk's own legs: a spy
that sends no sound could hold up the agent's end by two seconds (asterisk/asterisk#2123).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from base.background import spawn
from facts import (
    CallArrived,
    CallbackEnded,
    CallbackYielded,
    CallEnded,
    CallTransferred,
    Fact,
    OfferAnswered,
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TalkEnded,
    TalkStopped,
)
from facts.causes import REFUSED, Cause
from facts.endpoints import endpoint
from facts.ids import callback_of, listener_id
from facts.live import SupervisorNow
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.terms import CallId
from facts.times import SECOND
from telephony import supervisors
from telephony.channels import Message, Talk, microseconds
from telephony.link import ActionRefused, LinkDown, LinkError
from telephony.supervisors import SupervisionMark, SupervisorLeg, mode_of

log = structlog.get_logger(__name__)

RINGS: Final = 20.0
"""Seconds that a supervisor's phone rings."""
TOLD_WITHIN: Final = 0.6
"""Seconds in which a request is answered with what has happened by then."""
APPEARS_WITHIN: Final = 2.0
"""Seconds after which a phone that has no channel yet will get none."""
MOST_IN_A_TALK: Final = 3
"""Supervisors in one talk."""
MOST: Final = 100
"""Supervisors in talks at a time: each costs Asterisk two channels' worth of sound."""
_LOOK_EVERY = 0.01
_ACT_WITHIN = 0.5

_SPIES = (SupervisionMode.LISTEN, SupervisionMode.WHISPER)
_DOES = {
    SupervisionMode.LISTEN: "listens to",
    SupervisionMode.WHISPER: "whispers to",
    SupervisionMode.STEP_IN: "has stepped into the talk of",
    SupervisionMode.TAKE: "has taken over the talk of",
}


class SupervisionRefused(Exception):  # noqa: N818 - reads as what happened
    """It is not done. The message says why, and is fit to be shown as it is."""


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen."""

    def caller_channel(self, call: CallId) -> str:
        """The name of the caller's channel, empty when there is none."""

    def knows(self, uniqueid: str) -> bool:
        """Whether this channel is known to exist."""


class Actions(Protocol):
    """What is needed of a `telephony.link.Link`."""

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        """Send an action and return its answer. Raises `LinkError`."""


@dataclass(slots=True)
class _Supervisor:
    """`began`: when they were in the talk (microseconds), 0 while the phone rings. `mode`: what they do; before that,
    what was asked for. `wanted_by`: who asked for the change that is under way. `talk`: the talk's channels.
    """

    leg: str
    supervisor: str
    mark: SupervisionMark
    mode: SupervisionMode
    asked_at: int
    channel: str = ""
    rang: bool = False
    began: int = 0
    hung_up: bool = False
    ended: SupervisionEnd | None = None
    over: bool = False
    taken: bool = False
    wanted_by: str = ""
    talk: frozenset[str] = frozenset()

    @property
    def spies(self) -> bool:
        return self.mode in _SPIES


class Supervision:
    """All supervisors in talks. `report` takes facts, `clock` gives microseconds, `node` begins the ids of legs.

    `engage`: why this agent's phone cannot be rung now, empty when it can; then it counts as busy until `release`.
    `two_left`: told when a talk that goes on has two voices again after three.
    """

    def __init__(
        self,
        link: Actions,
        calls: Calls,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        *,
        node: str,
        engage: Callable[[str], str],
        release: Callable[[str], None],
        two_left: Callable[[CallId], None] = lambda _: None,
    ) -> None:
        self._link = link
        self._calls = calls
        self._report = report
        self._clock = clock
        self._node = node
        self._engage = engage
        self._release = release
        self._two_left = two_left
        self._legs: dict[str, _Supervisor] = {}
        self._number = 0

    # --- what supervisors ask for

    async def listen(
        self,
        agent: str,
        supervisor: str,
        mode: SupervisionMode = SupervisionMode.LISTEN,
        *,
        by: str = "",
        may_step_in: bool = False,
    ) -> str:
        """Ring the supervisor's phone, and have it in the agent's talk when it answers. Raises `SupervisionRefused`.

        Gives a sentence that says what has happened within `TOLD_WITHIN`. Whoever is in that talk already changes the
        mode.
        """
        if (known := self._of(supervisor)) is not None:
            if known.mark.agent == agent:
                return await self.change(agent, supervisor, mode, by=by)
            raise SupervisionRefused(
                f"agent {supervisor} is in the talk of agent {known.mark.agent}: leave that one first"
            )
        talk = self._may(agent, supervisor, mode)
        if why := self._engage(supervisor):
            raise SupervisionRefused(f"the phone of agent {supervisor} cannot be rung: {why}")
        self._number += 1
        leg = listener_id(self._node, self._clock() // SECOND, self._number)
        mark = SupervisionMark(talk.call, agent, by, may_step_in)
        one = _Supervisor(leg, supervisor, mark, mode, self._clock(), talk=self._channels(talk))
        self._legs[leg] = one
        try:
            await self._link.act(self._origination(one, talk), _ACT_WITHIN)
        except (LinkDown, ActionRefused) as error:
            self._fail(one, SupervisionEnd.UNREACHABLE)
            down = isinstance(error, LinkDown)
            why = "there is no connection to Asterisk" if down else f"Asterisk refused it ({error})"
            raise SupervisionRefused(f"nobody was rung: {why}") from None
        except LinkError as error:
            log.warning("supervision.unknown", supervisor=supervisor, error=str(error))
        spawn(self._await_channel(one), "supervisor rung")
        await self._until(lambda: one.began > 0 or one.rang or one.ended is not None)
        if one.ended is not None:
            raise SupervisionRefused(f"the phone of agent {supervisor} {_MISSED[one.ended]}")
        if one.began:
            return self._said(one)
        state = "rings" if one.rang else "was called, and does not ring yet"
        return f"the phone of agent {supervisor} {state}"

    async def change(
        self, agent: str, supervisor: str, mode: SupervisionMode, *, by: str = ""
    ) -> str:
        """Listen, whisper, step in or take over, without hanging up. Raises `SupervisionRefused`."""
        one = self._of(supervisor)
        if one is None or one.mark.agent != agent:
            raise SupervisionRefused(f"agent {supervisor} is not in the talk of agent {agent}")
        if not one.began:
            raise SupervisionRefused(f"the phone of agent {supervisor} has not answered yet")
        if one.over:
            raise SupervisionRefused(f"the talk of agent {agent} has just ended")
        if mode is SupervisionMode.TAKE and callback_of(one.mark.call):
            raise SupervisionRefused(_NO_TAKE)
        if one.mode is mode:
            return self._said(one)
        one.wanted_by = by
        await self._act(
            {
                "Action": "Redirect",
                "Channel": one.channel,
                "Context": supervisors.CONTEXT,
                "Exten": mode.value,
                "Priority": "1",
            }
        )
        await self._until(lambda: one.mode is mode or one.ended is not None)
        if one.ended is SupervisionEnd.TOOK or (one.ended is None and one.mode is mode):
            return self._said(one)
        if one.ended is not None:
            raise SupervisionRefused(f"the talk of agent {agent} has just ended")
        raise SupervisionRefused("Asterisk does not say that it is done: look before you try again")

    async def leave(self, agent: str, supervisor: str) -> str:
        """End the supervisor's part in the talk, or their phone's ringing. Raises `SupervisionRefused`."""
        one = self._of(supervisor)
        if one is None or one.mark.agent != agent:
            raise SupervisionRefused(f"agent {supervisor} is not in the talk of agent {agent}")
        if not one.channel:
            raise SupervisionRefused(f"the phone of agent {supervisor} is just being called")
        one.hung_up = True
        await self._act(_hang_up(one.channel))
        await self._until(lambda: one.ended is not None)
        if one.ended is None:
            raise SupervisionRefused(
                "Asterisk does not say that it is done: look before you try again"
            )
        return f"agent {supervisor} has left the talk of agent {agent}"

    async def end(self, agent: str, *, by: str, reason: str = "") -> str:
        """End the agent's talk, and the citizen's call with it. Raises `SupervisionRefused`."""
        talk = self._talk_of(agent)
        # First the fact: by then the floor knows that the citizen is not to be called back.
        self._report(TalkStopped(self._clock(), talk.call, agent, by, reason))
        callback = callback_of(talk.call) > 0
        channel = talk.channel if callback else self._calls.caller_channel(talk.call)
        await self._act(_hang_up(channel or talk.channel))
        await self._until(lambda: not self._talks(talk))
        if self._talks(talk):
            raise SupervisionRefused(
                "Asterisk does not say that it is done: look before you try again"
            )
        return f"the talk of agent {agent} is ended"

    # --- the phone's own way

    def dialled(
        self, leg: str, channel: str, supervisor: str, mark: SupervisionMark
    ) -> Mapping[str, str]:
        """A phone that may listen has dialled `*8`: its channel's variables. Raises `SupervisionRefused`."""
        if (known := self._of(supervisor)) is not None:
            raise SupervisionRefused(f"agent {supervisor} is in the talk of {known.mark.agent}")
        talk = self._may(mark.agent, supervisor, SupervisionMode.LISTEN)
        mark = SupervisionMark(talk.call, mark.agent, mark.by, mark.may_step_in)
        one = _Supervisor(leg, supervisor, mark, SupervisionMode.LISTEN, self._clock(), channel)
        one.talk, one.rang = self._channels(talk), True
        self._legs[leg] = one
        return self._variables(one, talk)

    # --- what the link tells

    def read(self, message: Message) -> None:
        """Take one event, after `Calls.read` has. Never raises."""
        event, uniqueid = message.get("Event", ""), message.get("Uniqueid", "")
        at = microseconds(message.get("Timestamp", ""))
        if not self._legs or not at or "Privilege" not in message:
            return
        if event == "HangupRequest":
            self._talk_ends(message.get("Channel", ""))
        one = self._legs.get(uniqueid)
        if one is None or one.channel not in ("", message.get("Channel", "")):
            return
        match event:
            case "Newchannel":
                one.channel = message.get("Channel", "")
            case "Newstate":
                one.channel = one.channel or message.get("Channel", "")
                one.rang = one.rang or message.get("ChannelState") == "5"
            case "UserEvent" if message.get("UserEvent") == supervisors.MODE_EVENT:
                self._is(one, mode_of(message), at)
            case "UserEvent" if message.get("UserEvent") == supervisors.KEY_EVENT:
                self._key(one, message.get("Mode", ""))
            case "BridgeEnter":
                self._is(one, mode_of(message), at)
            case "HangupRequest":
                one.hung_up = True
            case "Hangup":
                self._gone(one, at, message.get("Cause", ""))

    def take(self, facts: Iterable[Fact]) -> None:
        """Hear what AMI tells: whoever is in a talk that ends is not in it any more."""
        if not self._legs:
            return
        for fact in facts:
            match fact:
                case CallTransferred(_, call, agent, to, _):
                    self._handed_on(call, agent, to, fact.at)
                case OfferAnswered(_, call, agent):
                    self._handed_on(call, "", agent, fact.at)
                case TalkEnded(_, call, agent):
                    self._left_by_agent(call, agent)
                case CallArrived(origin=call) if call:
                    self._over(call)
                case CallEnded(call=call) | CallbackEnded(call=call) | CallbackYielded(call=call):
                    self._over(call)
                case _:
                    pass

    async def settle(
        self,
        found: Iterable[SupervisorLeg],
        unended: Callable[[], Awaitable[Sequence[SupervisionStarted]]],
    ) -> None:
        """Find the supervisors who are in talks, after a start or a loss of the link.

        `unended` gives what the diary knows of those whose end it does not know.
        """
        there = {one.leg: one for one in found}
        for leg, one in list(self._legs.items()):
            if one.channel and leg not in there and not self._calls.knows(leg):
                self._end(one, self._clock(), SupervisionEnd.LOST)
        try:
            known = {(one.call, one.agent, one.supervisor): one for one in await unended()}
        except Exception:
            log.exception("supervision.unread", effect="ends may be missing in the diary")
            known = {}
        for entry in there.values():
            self._find(entry, known)
        for started in known.values():
            if not self._knows(started):
                self._report(_lost(started, self._clock()))

    # --- what screens and the audit log ask

    def now(self) -> list[SupervisorNow]:
        """Who is in whose talk, by the supervisors' numbers."""
        shown: list[SupervisorNow] = [
            {
                "agent": one.mark.agent,
                "supervisor": one.supervisor,
                "by": one.mark.by,
                "call": one.mark.call,
                "mode": one.mode.value,
                "state": "on" if one.began else "ringing",
                "since": one.began or one.asked_at,
            }
            for one in self._legs.values()
        ]
        return sorted(shown, key=lambda one: one["supervisor"])

    # --- inside: what is allowed

    def _may(self, agent: str, supervisor: str, mode: SupervisionMode) -> Talk:
        """The talk, if this supervisor may be in it now."""
        if agent == supervisor:
            raise SupervisionRefused("one cannot listen to one's own talk")
        talk = self._talk_of(agent)
        if mode is SupervisionMode.TAKE and callback_of(talk.call):
            raise SupervisionRefused(_NO_TAKE)
        there = sum(one.mark.call == talk.call for one in self._legs.values())
        if there >= MOST_IN_A_TALK:
            raise SupervisionRefused(f"{there} supervisors are in this talk already")
        if len(self._legs) >= MOST:
            raise SupervisionRefused(f"{MOST} supervisors are in talks already")
        return talk

    def _talk_of(self, agent: str) -> Talk:
        for talk in self._calls.talks():
            if talk.agent == agent:
                return talk
        raise SupervisionRefused(f"agent {agent} is not in a talk with a citizen")

    def _talks(self, talk: Talk) -> bool:
        return any((one.call, one.agent) == (talk.call, talk.agent) for one in self._calls.talks())

    def _of(self, supervisor: str) -> _Supervisor | None:
        return next((one for one in self._legs.values() if one.supervisor == supervisor), None)

    def _knows(self, started: SupervisionStarted) -> bool:
        return any(
            (one.mark.call, one.mark.agent, one.supervisor)
            == (started.call, started.agent, started.supervisor)
            for one in self._legs.values()
        )

    def _channels(self, talk: Talk) -> frozenset[str]:
        """The names of the channels whose hang-up ends the talk."""
        citizen = talk.citizen or self._calls.caller_channel(talk.call)
        return frozenset({talk.channel, citizen} - {""})

    def _said(self, one: _Supervisor) -> str:
        return f"agent {one.supervisor} {_DOES[one.mode]} agent {one.mark.agent}"

    # --- inside: what Asterisk is told

    def _origination(self, one: _Supervisor, talk: Talk) -> dict[str, str]:
        pairs = ",".join(f"{name}={value}" for name, value in self._variables(one, talk).items())
        return {
            "Action": "Originate",
            "Channel": f"PJSIP/{one.supervisor}",
            "ChannelId": one.leg,
            "Context": supervisors.CONTEXT,
            "Exten": one.mode.value,
            "Priority": "1",
            "Timeout": str(round(RINGS * 1000)),
            # The supervisor's display shows it.
            "CallerID": f'"监听 {one.mark.agent}" <{one.mark.agent}>',
            "Variable": pairs,
            "Async": "true",
        }

    def _variables(self, one: _Supervisor, talk: Talk) -> dict[str, str]:
        joined = talk.citizen or self._calls.caller_channel(talk.call) or talk.channel
        return {
            "HL_SPIED": talk.channel,
            "HL_JOINED": joined,
            "HL_MAY_STEP_IN": str(int(one.mark.may_step_in)),
            "TRANSFER_CONTEXT": "supervision-nowhere",
            supervisors.MARK: str(one.mark),
        }

    async def _act(self, action: Mapping[str, str]) -> None:
        try:
            await self._link.act(action, _ACT_WITHIN)
        except LinkDown:
            raise SupervisionRefused("it is not done: there is no connection to Asterisk") from None
        except ActionRefused:
            raise SupervisionRefused("it is not done: that channel has just ended") from None
        except LinkError:
            raise SupervisionRefused(
                "Asterisk does not answer: it is not known whether it is done"
            ) from None

    def _cut(self, channel: str) -> None:
        spawn(self._cut_now(channel), "supervision over")

    async def _cut_now(self, channel: str) -> None:
        try:
            await self._link.act(_hang_up(channel))
        except ActionRefused:
            pass  # it is gone
        except LinkError as error:
            log.warning("supervision.not_ended", channel=channel, error=str(error))

    async def _await_channel(self, one: _Supervisor) -> None:
        """A phone that is not registered gets no channel, and no event says so."""
        await self._until(lambda: bool(one.channel) or one.ended is not None, APPEARS_WITHIN)
        if not one.channel and one.ended is None:
            self._fail(one, SupervisionEnd.UNREACHABLE)
        elif one.over and one.ended is None:
            self._cut(one.channel)

    # --- inside: what becomes of a leg

    def _is(self, one: _Supervisor, mode: SupervisionMode | None, at: int) -> None:
        """The leg does this from now on."""
        if mode is None or (one.began and one.mode is mode):
            return
        mark, first = one.mark, not one.began
        if one.mode is SupervisionMode.STEP_IN and mode in _SPIES and not first:
            self._two_left(mark.call)
        one.mode, by = mode, one.wanted_by or mark.by
        one.wanted_by = ""
        if first:
            one.began = at
            self._report(
                SupervisionStarted(at, mark.call, mark.agent, one.supervisor, mode, mark.by)
            )
        else:
            self._report(SupervisionChanged(at, mark.call, mark.agent, one.supervisor, mode, by))

    def _key(self, one: _Supervisor, wanted: str) -> None:
        if wanted in _SPIES and one.began and not one.over:
            spawn(self._by_key(one, SupervisionMode(wanted)), "supervisor's key")

    async def _by_key(self, one: _Supervisor, mode: SupervisionMode) -> None:
        try:
            await self.change(one.mark.agent, one.supervisor, mode)
        except SupervisionRefused as refused:
            log.info("supervision.key_refused", supervisor=one.supervisor, why=str(refused))

    def _talk_ends(self, channel: str) -> None:
        """Somebody in a talk has hung up: spies must not hold up its end."""
        for one in self._legs.values():
            ends = one.spies or (one.mode is SupervisionMode.STEP_IN and _is_citizen(one, channel))
            if channel in one.talk and ends and not one.over:
                one.over = True
                if one.channel:
                    self._cut(one.channel)

    def _over(self, call: CallId) -> None:
        for one in self._legs.values():
            if one.mark.call == call and not one.over:
                one.over = True
                if one.channel:
                    self._cut(one.channel)

    def _left_by_agent(self, call: CallId, agent: str) -> None:
        """Whoever has stepped in goes on with the citizen, if they are still there; for others it is over."""
        for one in list(self._legs.values()):
            if (one.mark.call, one.mark.agent) != (call, agent) or one.taken or one.over:
                continue
            goes_on = one.mode is SupervisionMode.STEP_IN and one.began and not callback_of(call)
            if goes_on and not any(talk.call == call for talk in self._calls.talks()):
                spawn(self._go_on(one), "a supervisor goes on")
                continue
            one.over = True
            if one.channel:
                self._cut(one.channel)

    async def _go_on(self, one: _Supervisor) -> None:
        try:
            await self.change(one.mark.agent, one.supervisor, SupervisionMode.TAKE)
        except SupervisionRefused as refused:
            log.warning("supervision.not_gone_on", supervisor=one.supervisor, why=str(refused))
            self._cut(one.channel)

    def _handed_on(self, call: CallId, agent: str, to: str, at: int) -> None:
        for one in list(self._legs.values()):
            if one.mark.call == call and one.supervisor == to and not one.taken:
                one.taken = True
                self._end(one, at, SupervisionEnd.TOOK)
                if not agent:
                    self._two_left(call)
                else:
                    spawn(self._free(call, agent), "agent freed by a supervisor")

    async def _free(self, call: CallId, agent: str) -> None:
        """End the leg of the agent whose talk was taken over."""
        for talk in self._calls.talks():
            if (talk.call, talk.agent) == (call, agent):
                await self._cut_now(talk.channel)
                return

    def _gone(self, one: _Supervisor, at: int, cause: str) -> None:
        if one.over:
            why = SupervisionEnd.OVER
        elif one.began:
            talks = any(talk.call == one.mark.call for talk in self._calls.talks())
            why = SupervisionEnd.LEFT if one.hung_up or talks else SupervisionEnd.OVER
        elif one.hung_up and cause.isdigit() and int(cause) in REFUSED:
            why = SupervisionEnd.REFUSED
        elif one.hung_up and not one.rang:
            why = SupervisionEnd.UNREACHABLE
        else:
            why = SupervisionEnd.NO_ANSWER
        self._end(one, at, why)

    def _fail(self, one: _Supervisor, why: SupervisionEnd) -> None:
        """The phone was not reached, and no channel's end will tell so."""
        if one.ended is None:
            self._end(one, self._clock(), why)
            self._release(one.supervisor)

    def _end(self, one: _Supervisor, at: int, why: SupervisionEnd) -> None:
        self._legs.pop(one.leg, None)
        one.ended = why
        if one.mode is SupervisionMode.STEP_IN and why is SupervisionEnd.LEFT:
            self._two_left(one.mark.call)
        mark, lasted = one.mark, at - one.began if one.began else 0
        self._report(
            SupervisionEnded(at, mark.call, mark.agent, one.supervisor, why, lasted, mark.by)
        )

    def _find(
        self, leg: SupervisorLeg, known: Mapping[tuple[CallId, str, str], SupervisionStarted]
    ) -> None:
        """Take up a leg that exists in Asterisk."""
        mark = leg.mark
        talk = next(
            (
                one
                for one in self._calls.talks()
                if (one.call, one.agent) == (mark.call, mark.agent)
            ),
            None,
        )
        if leg.mode is SupervisionMode.TAKE and talk is None:
            return  # the citizen is theirs
        one = self._legs.get(leg.leg)
        if one is None:
            started = known.get((mark.call, mark.agent, leg.supervisor))
            one = _Supervisor(
                leg.leg,
                leg.supervisor,
                mark,
                started.mode if started is not None else leg.mode or SupervisionMode.LISTEN,
                self._clock(),
                leg.channel,
                rang=True,
                began=started.at if started is not None else 0,
            )
            self._legs[leg.leg] = one
            log.info("supervision.found", call_id=mark.call, supervisor=leg.supervisor)
        one.channel = leg.channel
        if leg.mode is not None:
            self._is(one, leg.mode, self._clock())
        if talk is None:
            one.over = True
            self._cut(leg.channel)
        else:
            one.talk = self._channels(talk)
            if leg.mode is SupervisionMode.TAKE:
                self._handed_on(mark.call, mark.agent, leg.supervisor, self._clock())

    async def _until(self, true: Callable[[], bool], within: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (TOLD_WITHIN if within is None else within)
        while not true() and loop.time() < deadline:  # noqa: ASYNC110 - many conditions, for moments
            await asyncio.sleep(_LOOK_EVERY)


def _is_citizen(one: _Supervisor, channel: str) -> bool:
    return endpoint(channel) != one.mark.agent


_NO_TAKE = (
    "a citizen who was called back cannot be taken over: step in, or have the agent transfer them"
)

_MISSED = {
    SupervisionEnd.LEFT: "has hung up",
    SupervisionEnd.OVER: "was not needed: the talk has ended",
    SupervisionEnd.TOOK: "has the citizen",
    SupervisionEnd.NO_ANSWER: "did not answer",
    SupervisionEnd.REFUSED: "is busy, or refuses",
    SupervisionEnd.UNREACHABLE: "cannot be reached",
    SupervisionEnd.LOST: "is lost",
}


def _hang_up(channel: str) -> dict[str, str]:
    return {"Action": "Hangup", "Channel": channel, "Cause": str(int(Cause.NORMAL))}


def _lost(started: SupervisionStarted, now: int) -> SupervisionEnded:
    return SupervisionEnded(
        now,
        started.call,
        started.agent,
        started.supervisor,
        SupervisionEnd.LOST,
        now - started.at,
        started.by,
    )
