"""Supervisors in other agents' talks: ringing them, what they do there, and how it ends.

A supervisor's phone is an agent's, and is rung (AMI Originate) or has dialled `*8` and the agent's number. It listens
and whispers by `ChanSpy`, and steps in and takes over by `BridgeAdd`, which the recording has. To go from one to the
other is a `Redirect` within the dialplan's context `supervision`.

A request is answered with what has happened within a moment; what comes of it later is told as facts
(`telephony.supervised`).
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog

from base.background import comes_true, spawn
from facts import Fact, TalkStopped
from facts.ids import callback_of, listener_id
from facts.live import SupervisorNow
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.terms import CallId
from facts.times import SECOND
from telephony import actions, supervisors
from telephony.channels import Message, Talk, talk_of
from telephony.link import ActionRefused, LinkDown, LinkError
from telephony.supervised import (
    Calls,
    SupervisedTalks,
    SupervisionRefused,
    Supervisor,
)
from telephony.supervisors import SupervisionMark

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
_ACT_WITHIN = 0.5

_DOES = {
    SupervisionMode.LISTEN: "listens to",
    SupervisionMode.WHISPER: "whispers to",
    SupervisionMode.STEP_IN: "has stepped into the talk of",
    SupervisionMode.TAKE: "has taken over the talk of",
}


class Actions(Protocol):
    """What is needed of a `telephony.link.Link`."""

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        """Send an action and return its answer. Raises `LinkError`."""


class Supervision:
    """All supervisors in talks. `report` takes facts, `clock` gives microseconds, `node` begins the ids of legs.

    `engage`: why this agent's phone cannot be rung now, empty when it can; then it counts as busy until `release`.
    `two_left`: told when a talk that goes on has two voices again after three. `parties`: whether third parties are in
    a call's talk, or called into it.
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
        parties: Callable[[CallId], bool] = lambda _: False,
    ) -> None:
        self._link = link
        self._calls = calls
        self._report = report
        self._clock = clock
        self._node = node
        self._engage = engage
        self._release = release
        self._parties = parties
        self.there = SupervisedTalks(calls, self, report, clock, two_left)
        """Who is in whose talk: it hears what the link tells."""
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
        if (known := self.there.of(supervisor)) is not None:
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
        one = Supervisor(leg, supervisor, mark, mode, self._clock())
        self.there.add(one, talk)
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
        await comes_true(lambda: one.began > 0 or one.rang or one.ended is not None, TOLD_WITHIN)
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
        one = self.there.of(supervisor)
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
        await self._act(actions.redirect(one.channel, supervisors.CONTEXT, mode.value))
        await comes_true(lambda: one.mode is mode or one.ended is not None, TOLD_WITHIN)
        if one.ended is SupervisionEnd.TOOK or (one.ended is None and one.mode is mode):
            return self._said(one)
        if one.ended is not None:
            raise SupervisionRefused(f"the talk of agent {agent} has just ended")
        raise SupervisionRefused("Asterisk does not say that it is done: look before you try again")

    async def leave(self, agent: str, supervisor: str) -> str:
        """End the supervisor's part in the talk, or their phone's ringing. Raises `SupervisionRefused`."""
        one = self.there.of(supervisor)
        if one is None or one.mark.agent != agent:
            raise SupervisionRefused(f"agent {supervisor} is not in the talk of agent {agent}")
        if not one.channel:
            raise SupervisionRefused(f"the phone of agent {supervisor} is just being called")
        one.hung_up = True
        await self._act(actions.hang_up(one.channel))
        await comes_true(lambda: one.ended is not None, TOLD_WITHIN)
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
        await self._act(actions.hang_up(channel or talk.channel))
        await comes_true(lambda: not self._talks(talk), TOLD_WITHIN)
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
        if (known := self.there.of(supervisor)) is not None:
            raise SupervisionRefused(f"agent {supervisor} is in the talk of {known.mark.agent}")
        talk = self._may(mark.agent, supervisor, SupervisionMode.LISTEN)
        mark = SupervisionMark(talk.call, mark.agent, mark.by, mark.may_step_in)
        one = Supervisor(leg, supervisor, mark, SupervisionMode.LISTEN, self._clock(), channel)
        one.rang = True
        self.there.add(one, talk)
        return self._variables(one, talk)

    def now(self) -> list[SupervisorNow]:
        """Who is in whose talk, by the supervisors' numbers."""
        return self.there.now()

    # --- what `there` has Asterisk do

    def cut(self, channel: str) -> None:
        """Hang a channel up, soon."""
        spawn(self._cut_now(channel), "supervision over")

    def free(self, call: CallId, agent: str) -> None:
        """End the leg of an agent whose talk was taken over, soon."""
        for talk in self._calls.talks():
            if (talk.call, talk.agent) == (call, agent):
                self.cut(talk.channel)

    def inherited(self, call: CallId, channel: str) -> None:
        """A leg that has stepped in is the talk now: it may hand the citizen on, soon."""
        # By this name the dialplan would ask, at the talk's end, whether the agent's phone had died in it.
        forget = actions.set_variable(self._calls.caller_channel(call), "DIALEDPEERNAME", "")
        spawn(self._try(forget, "supervision.not_set"), "agent of a talk forgotten")
        may = actions.set_variable(channel, "TRANSFER_CONTEXT", "transfer")
        spawn(self._try(may, "supervision.not_set"), "supervisor may transfer")

    def follows(self, channel: str, mark: SupervisionMark, talk: Talk) -> None:
        """The leg `channel` is in this talk from now on: its variables say so, soon."""
        for name, value in ((supervisors.MARK, str(mark)), ("HL_SPIED", talk.channel)):
            action = actions.set_variable(channel, name, value)
            spawn(self._try(action, "supervision.not_set"), "supervisor of the next agent")

    def stepped_in(self, call: CallId, agent: str, *, there: bool) -> None:
        """Keep the agent's phone from handing on a talk of three, or let it, soon."""
        context = "nothing" if there or self._parties(call) else "transfer"
        for talk in self._calls.talks():
            if (talk.call, talk.agent) == (call, agent):
                may = actions.set_variable(talk.channel, "TRANSFER_CONTEXT", context)
                spawn(self._try(may, "supervision.not_set"), "transfers of an agent")

    # --- inside: what is allowed

    def _may(self, agent: str, supervisor: str, mode: SupervisionMode) -> Talk:
        """The talk, if this supervisor may be in it now."""
        if agent == supervisor:
            raise SupervisionRefused("one cannot listen to one's own talk")
        talk = self._talk_of(agent)
        if mode is SupervisionMode.TAKE and callback_of(talk.call):
            raise SupervisionRefused(_NO_TAKE)
        there = self.there.in_call(talk.call)
        if there >= MOST_IN_A_TALK:
            raise SupervisionRefused(f"{there} supervisors are in this talk already")
        if len(self.there) >= MOST:
            raise SupervisionRefused(f"{MOST} supervisors are in talks already")
        return talk

    def _talk_of(self, agent: str) -> Talk:
        talk = talk_of(self._calls.talks(), agent)
        if talk is None:
            raise SupervisionRefused(f"agent {agent} is not in a talk with a citizen")
        return talk

    def _talks(self, talk: Talk) -> bool:
        return any((one.call, one.agent) == (talk.call, talk.agent) for one in self._calls.talks())

    def _said(self, one: Supervisor) -> str:
        return f"agent {one.supervisor} {_DOES[one.mode]} agent {one.mark.agent}"

    # --- inside: what Asterisk is told

    def _origination(self, one: Supervisor, talk: Talk) -> dict[str, str]:
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

    def _variables(self, one: Supervisor, talk: Talk) -> dict[str, str]:
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

    async def _cut_now(self, channel: str) -> None:
        await self._try(actions.hang_up(channel), "supervision.not_ended")

    async def _try(self, action: Mapping[str, str], failed: str) -> None:
        """Act on a channel that may be gone. `failed`: the line of the log if nobody knows whether it is done."""
        try:
            await self._link.act(action)
        except ActionRefused:
            pass  # it is gone
        except LinkError as error:
            log.warning(failed, channel=action["Channel"], error=str(error))

    async def _await_channel(self, one: Supervisor) -> None:
        """A phone that is not registered gets no channel, and no event says so."""
        await comes_true(lambda: bool(one.channel) or one.ended is not None, APPEARS_WITHIN)
        if not one.channel and one.ended is None:
            self._fail(one, SupervisionEnd.UNREACHABLE)
        elif one.over and one.ended is None:
            self.cut(one.channel)

    def _fail(self, one: Supervisor, why: SupervisionEnd) -> None:
        """The phone was not reached, and no channel's end will tell so."""
        if one.ended is None:
            self.there.end(one, self._clock(), why)
            self._release(one.supervisor)


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
