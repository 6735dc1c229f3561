"""Who is in whose talk, as Asterisk tells it: what supervisors do there, and when it is over.

What is told as a fact has happened: the phone has answered, the dialplan is there, the leg has joined the talk.
Asterisk holds all that is known (`telephony.supervisors`), so a new controller finds it again (`settle`).

Whoever has stepped in talks on with the citizen when the agent leaves: `Calls` tells so as of a take-over. When the
agent hands the citizen on to a colleague and both had talked first, they are in the colleague's talk from then on.

A leg that only listens is hung up as soon as the talk's end is told, before Asterisk ends the talk's own legs: a spy
that sends no sound could hold up the agent's end by two seconds (asterisk/asterisk#2123).
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

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
)
from facts.causes import REFUSED
from facts.endpoints import endpoint
from facts.live import SupervisorNow
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.terms import CallId
from telephony import supervisors
from telephony.channels import RINGING, Message, Talk, microseconds
from telephony.supervisors import SupervisionMark, SupervisorLeg, mode_of

log = structlog.get_logger(__name__)

SPIES = (SupervisionMode.LISTEN, SupervisionMode.WHISPER)
"""What nobody but the agent can hear."""


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


class Verbs(Protocol):
    """What is needed of `telephony.supervision.Supervision`."""

    def cut(self, channel: str) -> None:
        """Hang a channel up, soon."""

    def free(self, call: CallId, agent: str) -> None:
        """End the leg of an agent whose talk was taken over, soon."""

    def inherited(self, call: CallId, channel: str) -> None:
        """The leg `channel` has stepped in, and now has the citizen: it may hand them on, soon."""

    def follows(self, channel: str, mark: SupervisionMark, talk: Talk) -> None:
        """The leg `channel` is in this talk from now on: its variables say so, soon."""

    def stepped_in(self, call: CallId, agent: str, *, there: bool) -> None:
        """Whether supervisors are to be heard in the agent's talk: then it cannot be handed on by the phone."""

    async def change(
        self, agent: str, supervisor: str, mode: SupervisionMode, *, by: str = ""
    ) -> str:
        """Have the supervisor do something else. Raises `SupervisionRefused`."""


@dataclass(slots=True)
class Supervisor:
    """One supervisor and their leg. `began`: when they were in the talk (microseconds), 0 while the phone rings.

    `mode`: what they do; before that, what was asked for. `wanted_by`: who asked for the change that is under way.
    `talk`: the talk's channels.
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
        """Whether they listen or whisper: the citizen does not hear them."""
        return self.mode in SPIES


class SupervisedTalks:
    """All supervisors in talks. `report` takes facts, `clock` gives microseconds.

    `two_left`: told when a talk that goes on has two voices again after three.
    """

    def __init__(
        self,
        calls: Calls,
        verbs: Verbs,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        two_left: Callable[[CallId], None],
    ) -> None:
        self._calls = calls
        self._verbs = verbs
        self._report = report
        self._clock = clock
        self._two_left = two_left
        self._legs: dict[str, Supervisor] = {}
        self._freed: set[tuple[CallId, str]] = set()

    def __len__(self) -> int:
        return len(self._legs)

    def add(self, one: Supervisor, talk: Talk) -> None:
        """A supervisor is rung for this talk, or has dialled."""
        one.talk = self._channels(talk)
        self._legs[one.leg] = one

    def in_call(self, call: CallId) -> int:
        """How many are in this call's talk, or rung for it."""
        return sum(one.mark.call == call for one in self._legs.values())

    def stepped_in(self, call: CallId) -> bool:
        """Whether a supervisor is to be heard in this call's talk."""
        return any(
            one.mark.call == call and one.began > 0 and one.mode is SupervisionMode.STEP_IN
            for one in self._legs.values()
        )

    def of(self, supervisor: str) -> Supervisor | None:
        """The supervisor with this phone, if they are in a talk or rung for one."""
        return next((one for one in self._legs.values() if one.supervisor == supervisor), None)

    def end(self, one: Supervisor, at: int, why: SupervisionEnd) -> None:
        """They are in the talk no more, or were not reached."""
        self._legs.pop(one.leg, None)
        one.ended = why
        if one.mode is SupervisionMode.STEP_IN and why is SupervisionEnd.LEFT:
            self._two_left(one.mark.call)
            self._bind(one.mark.call, one.mark.agent)
        mark, lasted = one.mark, at - one.began if one.began else 0
        self._report(
            SupervisionEnded(at, mark.call, mark.agent, one.supervisor, why, lasted, mark.by)
        )

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
                one.rang = one.rang or message.get("ChannelState") == RINGING
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
        if not (self._legs or self._freed):
            return
        for fact in facts:
            match fact:
                case CallTransferred(_, call, agent, to, attended):
                    if not self._handed_on(call, agent, to, fact.at) and attended:
                        self._stay(call, agent, to, fact.at)
                case OfferAnswered(_, call, agent):
                    self._handed_on(call, "", agent, fact.at)
                case TalkEnded(_, call, agent):
                    self._left_by_agent(call, agent)
                    if (call, agent) in self._freed:
                        self._freed.remove((call, agent))
                        self._two_left(call)
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
                self.end(one, self._clock(), SupervisionEnd.LOST)
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
                self._bind(started.call, started.agent)

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

    # --- inside

    def _knows(self, started: SupervisionStarted) -> bool:
        return any(
            (one.mark.call, one.mark.agent, one.supervisor)
            == (started.call, started.agent, started.supervisor)
            for one in self._legs.values()
        )

    def _is(self, one: Supervisor, mode: SupervisionMode | None, at: int) -> None:
        """The leg does this from now on."""
        if mode is None or (one.began and one.mode is mode):
            return
        mark, first = one.mark, not one.began
        before, one.mode = one.mode, mode
        one.began, by = one.began or at, one.wanted_by or mark.by
        if before is SupervisionMode.STEP_IN and mode in SPIES and not first:
            self._two_left(mark.call)
            self._bind(mark.call, mark.agent)
        elif mode is SupervisionMode.STEP_IN:
            self._bind(mark.call, mark.agent)
        one.wanted_by = ""
        if first:
            self._report(
                SupervisionStarted(at, mark.call, mark.agent, one.supervisor, mode, mark.by)
            )
        else:
            self._report(SupervisionChanged(at, mark.call, mark.agent, one.supervisor, mode, by))

    def _key(self, one: Supervisor, wanted: str) -> None:
        if wanted in SPIES and one.began and not one.over:
            spawn(self._by_key(one, SupervisionMode(wanted)), "supervisor's key")

    async def _by_key(self, one: Supervisor, mode: SupervisionMode) -> None:
        try:
            await self._verbs.change(one.mark.agent, one.supervisor, mode)
        except SupervisionRefused as refused:
            log.info("supervision.key_refused", supervisor=one.supervisor, why=str(refused))

    def _talk_ends(self, channel: str) -> None:
        """Somebody in a talk has hung up: spies must not hold up its end."""
        for one in self._legs.values():
            ends = one.spies or (one.mode is SupervisionMode.STEP_IN and _is_citizen(one, channel))
            if channel in one.talk and ends and not one.over:
                one.over = True
                if one.channel:
                    self._verbs.cut(one.channel)

    def _over(self, call: CallId) -> None:
        for one in self._legs.values():
            if one.mark.call == call and not one.over:
                one.over = True
                if one.channel:
                    self._verbs.cut(one.channel)

    def _left_by_agent(self, call: CallId, agent: str) -> None:
        for one in list(self._legs.values()):
            if (one.mark.call, one.mark.agent) != (call, agent) or one.taken or one.over:
                continue
            one.over = True
            if one.channel:
                self._verbs.cut(one.channel)

    def _bind(self, call: CallId, agent: str) -> None:
        """While a supervisor has stepped in, the agent's phone cannot hand the talk of all on."""
        self._verbs.stepped_in(call, agent, there=self.stepped_in(call))

    def _handed_on(self, call: CallId, agent: str, to: str, at: int) -> bool:
        """Whether it is a supervisor who has the citizen now."""
        one = self.of(to)
        if one is None or one.mark.call != call or one.taken:
            return False
        self._takes(one, at)
        if not agent:
            self._two_left(call)
        else:
            self._verbs.free(call, agent)
        return True

    def _stay(self, call: CallId, agent: str, to: str, at: int) -> None:
        """The agent has handed the citizen on: whoever has stepped in is in the talk of the next agent."""
        talk = next((t for t in self._calls.talks() if (t.call, t.agent) == (call, to)), None)
        for one in self._legs.values():
            stays = one.began and one.mode is SupervisionMode.STEP_IN and not one.over
            if talk is not None and stays and (one.mark.call, one.mark.agent) == (call, agent):
                self._follow(one, talk, at)

    def _follow(self, one: Supervisor, talk: Talk, at: int) -> None:
        mark, over = one.mark, SupervisionEnd.OVER
        lasted = at - one.began
        self._report(
            SupervisionEnded(at, mark.call, mark.agent, one.supervisor, over, lasted, mark.by)
        )
        one.mark = mark = replace(mark, agent=talk.agent)
        one.began, one.talk = at, self._channels(talk)
        self._report(
            SupervisionStarted(at, mark.call, mark.agent, one.supervisor, one.mode, mark.by)
        )
        self._verbs.follows(one.channel, mark, talk)
        self._bind(mark.call, mark.agent)

    def _takes(self, one: Supervisor, at: int) -> None:
        """The citizen is theirs."""
        one.taken = True
        if one.mode is SupervisionMode.STEP_IN:
            self._verbs.inherited(one.mark.call, one.channel)
        self.end(one, at, SupervisionEnd.TOOK)

    def _gone(self, one: Supervisor, at: int, cause: str) -> None:
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
        self.end(one, at, why)

    def _find(
        self, leg: SupervisorLeg, known: dict[tuple[CallId, str, str], SupervisionStarted]
    ) -> None:
        """Take up a leg that exists in Asterisk."""
        one = self._legs.get(leg.leg)
        mark = leg.mark if one is None else one.mark
        talks = list(self._calls.talks())
        talk = next((t for t in talks if (t.call, t.agent) == (mark.call, mark.agent)), None)
        key = (mark.call, mark.agent, leg.supervisor)
        if any(one.leg == leg.leg for one in talks):
            self._found_taken(leg, known.pop(key, None))
            if talk is not None:
                self._freed.add((mark.call, mark.agent))
                self._verbs.free(mark.call, mark.agent)
            return
        if one is None:
            one = self._legs[leg.leg] = self._made(leg, known.get(key))
            log.info("supervision.found", call_id=mark.call, supervisor=leg.supervisor)
        one.channel = leg.channel
        if leg.mode is not None:
            self._is(one, leg.mode, self._clock())
        if talk is not None:
            one.talk = self._channels(talk)
            return
        heir = next((t for t in talks if t.call == mark.call), None)
        if heir is not None and one.mode is SupervisionMode.STEP_IN:
            known.pop(key, None)
            self._follow(one, heir, self._clock())
        else:
            one.over = True
            self._verbs.cut(leg.channel)

    def _found_taken(self, leg: SupervisorLeg, started: SupervisionStarted | None) -> None:
        """The citizen is theirs. Whoever was killed in between has not told so."""
        one = self._legs.get(leg.leg)
        if one is None and started is not None:
            one = self._made(leg, started)
        if one is not None:
            self._takes(one, self._clock())

    def _made(self, leg: SupervisorLeg, started: SupervisionStarted | None) -> Supervisor:
        return Supervisor(
            leg.leg,
            leg.supervisor,
            leg.mark,
            started.mode if started is not None else leg.mode or SupervisionMode.LISTEN,
            self._clock(),
            leg.channel,
            rang=True,
            began=started.at if started is not None else 0,
        )

    def _channels(self, talk: Talk) -> frozenset[str]:
        """The names of the channels whose hang-up ends the talk."""
        citizen = talk.citizen or self._calls.caller_channel(talk.call)
        return frozenset({talk.channel, citizen} - {""})


def _is_citizen(one: Supervisor, channel: str) -> bool:
    return endpoint(channel) != one.mark.agent


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
