"""Call control: what programs ask about an agent's talk, carried out or refused with a code.

Who asks hears within a second what has happened. "Done" is said only after Asterisk has said so. What it has not
confirmed in time is refused as `asterisk_silent`, since nobody knows whether it took place; the facts will tell.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Protocol

import structlog

from acd.gate import Refusal
from base.background import comes_true
from base.bus import Refused
from facts import Fact, TalkMuted, TalkUnmuted
from facts.control import (
    AnswerRing,
    ControlRequest,
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MarkCall,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
    sentences,
)
from facts.ids import is_attempt
from facts.parties import PartyKind
from facts.requests import Reply
from facts.terms import CallId, CallMark
from hotline.controller.marks import Marks
from telephony.channels import Rung, Talk, talk_of
from telephony.link import ActionRefused, LinkDown, LinkError
from telephony.parties import LiveParty

log = structlog.get_logger(__name__)

CONFIRMED_WITHIN = 0.5
"""Seconds in which Asterisk tells what an action has brought about. Usually it takes a tenth."""


class Calls(Protocol):
    """What is needed of `telephony.channels.Calls`."""

    def talks(self) -> Iterable[Talk]:
        """Every leg of an agent that talks to a citizen."""

    def rung(self, agent: str) -> list[Rung]:
        """The phones of this agent that are called for a citizen, or picked up for one."""

    def caller_channel(self, call: CallId) -> str:
        """The name of the citizen's channel."""

    def ends(self, leg: str) -> None:
        """The agent of this talk has asked to have it ended."""

    def goes_on(self, leg: str) -> None:
        """It was not ended after all."""


class Floor(Protocol):
    """What is needed of `acd.floor.Floor`."""

    def may_hand_on(self, agent: str, to: str) -> str | Refusal:
        """Why this agent cannot hand their citizen on; empty when they can."""

    def way_into(self, queue: str) -> str:
        """The hotline's number that leads into this queue; empty without one."""


class Verbs(Protocol):
    """What is needed of `telephony.talk_verbs.TalkVerbs`. All raise `LinkError`."""

    async def pick_up(self, channel: str) -> None:
        """Tell a ringing phone to pick up."""

    async def hold(self, channel: str) -> None:
        """Begin to hold."""

    async def resume(self, channel: str) -> None:
        """End a hold."""

    async def is_held(self, channel: str) -> bool:
        """Whether it is a hold of ours."""

    async def mute(self, channel: str, *, mute: bool) -> None:
        """Mute or unmute the agent."""

    async def is_muted(self, channel: str) -> bool:
        """Whether the agent is mute."""

    async def hang_up(self, channel: str) -> None:
        """End the agent's leg."""

    async def transfer(self, channel: str, to: str) -> None:
        """Hand the citizen on."""

    async def hand_over(self, colleague: str, citizen: str) -> None:
        """Make the colleague's leg one of the citizen's own."""

    async def end_by_script(self, channel: str, mark: CallMark) -> None:
        """Begin the script by which a marked call is ended."""


class Control:
    """Answers `ControlRequest`. `knows`: whether there is such an agent; `stopping`: whether the hotline stops.

    `asked_in`: the third parties of a call.
    """

    def __init__(
        self,
        calls: Calls,
        verbs: Verbs,
        floor: Floor,
        marks: Marks,
        *,
        report: Callable[[Fact], None],
        clock: Callable[[], int],
        knows: Callable[[str], Awaitable[bool]],
        stopping: Callable[[], bool],
        dial: Callable[[DialForAgent], Awaitable[Reply]],
        asked_in: Callable[[CallId], Sequence[LiveParty]],
    ) -> None:
        self._calls = calls
        self._verbs = verbs
        self._floor = floor
        self._marks = marks
        self._report = report
        self._clock = clock
        self._knows = knows
        self._stopping = stopping
        self._dial = dial
        self._asked_in = asked_in

    async def answer(self, asked: ControlRequest) -> Reply:
        """Carry out one request. Raises `Refused` with one of the codes of `facts.control.REFUSALS`."""
        agent = asked.number
        if isinstance(asked, DialForAgent):
            return await self._dial(asked)
        if isinstance(asked, AnswerRing):
            return await self._pick_up(agent)
        talk = await self._talk_of(agent)
        log.info("control.asked", request=asked.name, agent=agent, call_id=talk.call)
        try:
            match asked:
                case HoldTalk():
                    return await self._hold(talk)
                case ResumeTalk():
                    return await self._resume(talk)
                case MuteTalk(state=state, by=by):
                    return await self._mute(talk, state == "on", by)
                case HangUpTalk():
                    return await self._hang_up(talk)
                case MarkCall(mark=mark, end=end, by=by):
                    return await self._mark(talk, mark, end != 0, by)
                case TransferTalk(to=to, queue=queue):
                    return await self._transfer(talk, to, queue)
                case HandOverTalk():
                    return await self._hand_over(talk)
        except LinkError as error:
            log.warning("control.failed", request=asked.name, agent=agent, error=str(error))
            raise self._failed(talk, error) from None

    async def finish(self, handed: Collection[tuple[CallId, str]]) -> list[CallId]:
        """Have agents leave whose controller, or its link, was lost when a colleague had just got their citizen.

        `handed`: the calls, and these agents, after a start and a lost link. Gives the calls that an agent has left.
        """
        left = []
        for talk in [one for one in self._calls.talks() if (one.call, one.agent) in handed]:
            log.info("control.handover_finished", agent=talk.agent, call_id=talk.call)
            try:
                await self._leave(talk)
            except LinkError as error:
                log.warning("control.failed", request=HandOverTalk.name, error=str(error))
            else:
                left.append(talk.call)
        return left

    # --- the verbs

    async def _pick_up(self, agent: str) -> Reply:
        """Tell every phone of the agent that rings: the first to answer has the call, as by hand."""
        if self._stopping():
            raise refused("stopping")
        ringing = [one for one in self._calls.rung(agent) if one.rings and not one.picked_up]
        if not ringing:
            known = await self._knows(agent)
            raise refused("not_ringing" if known else "unknown_agent", agent=agent)
        legs = {one.leg for one in ringing}

        def now() -> list[Rung]:
            return [one for one in self._calls.rung(agent) if one.leg in legs]

        def over() -> bool:
            return not now() or any(one.picked_up for one in now())

        call = ringing[0].call
        log.info("control.asked", request=AnswerRing.name, agent=agent, call_id=call)
        try:
            for one in ringing:
                await self._verbs.pick_up(one.channel)
        except LinkError as error:
            log.warning("control.failed", request=AnswerRing.name, agent=agent, error=str(error))
            raise _failed(error, "" if now() else "ring_over", agent) from None
        await comes_true(over, CONFIRMED_WITHIN)
        if any(one.picked_up for one in now()):
            return Reply(f"agent {agent}: the phone has picked up", call=call)
        raise refused("phone_ignores" if now() else "ring_over", agent=agent)

    async def _hold(self, talk: Talk) -> Reply:
        if not talk.held:
            await self._verbs.hold(talk.channel)
            await self._until(talk, lambda now: now.held)
        return Reply(f"agent {talk.agent}: the citizen hears music", call=talk.call)

    async def _resume(self, talk: Talk) -> Reply:
        if not await self._verbs.is_held(talk.channel):
            raise refused("held_by_phone" if talk.held else "not_held", agent=talk.agent)
        await self._verbs.resume(talk.channel)
        await self._until(talk, lambda now: not now.held)
        return Reply(f"agent {talk.agent}: they talk again", call=talk.call)

    async def _mute(self, talk: Talk, mute: bool, by: str) -> Reply:
        if await self._verbs.is_muted(talk.channel) != mute:
            await self._verbs.mute(talk.channel, mute=mute)
            kind = TalkMuted if mute else TalkUnmuted
            self._report(kind(self._clock(), talk.call, talk.agent, by))
        said = "is mute" if mute else "is heard"
        return Reply(f"agent {talk.agent} {said}", call=talk.call)

    async def _hang_up(self, talk: Talk) -> Reply:
        self._calls.ends(talk.leg)
        try:
            await self._verbs.hang_up(talk.channel)
        except (LinkDown, ActionRefused):
            self._calls.goes_on(talk.leg)
            raise
        if not await comes_true(lambda: self._now(talk) is None, CONFIRMED_WITHIN):
            raise refused("asterisk_silent")
        return Reply(f"agent {talk.agent}: the talk is over", call=talk.call)

    async def _transfer(self, talk: Talk, to: str, queue: str) -> Reply:
        if queue and not (to := self._floor.way_into(queue)):
            raise refused("queue_without_number", queue=queue[:32])
        why = self._floor.may_hand_on(talk.agent, to)
        if isinstance(why, Refusal):
            raise refused("gate", why=why.text(), why_zh=why.text("zh"))
        if why:
            raise refused(why, agent=talk.agent, to=to)
        await self._verbs.transfer(talk.channel, to)
        if not await comes_true(lambda: self._now(talk) is None, CONFIRMED_WITHIN):
            raise refused("asterisk_silent")
        where = f"queue {queue}" if queue else to
        return Reply(f"agent {talk.agent}: the citizen goes to {where}", call=talk.call)

    async def _hand_over(self, talk: Talk) -> Reply:
        """The colleague first, so that nobody is alone with the citizen for a moment; then the agent leaves.

        If this program dies in between, the next one goes on from what Asterisk lists (`finish`).
        """
        to = self._colleague(talk)

        def theirs() -> bool:
            return any(
                (one.call, one.agent) == (talk.call, to.number) for one in self._calls.talks()
            )

        await self._verbs.hand_over(to.channel, self._calls.caller_channel(talk.call))
        if not await comes_true(theirs, CONFIRMED_WITHIN):
            raise refused("asterisk_silent")
        if not await self._leave(talk):
            raise refused("asterisk_silent")
        return Reply(f"agent {talk.agent}: the citizen talks to {to.number}", call=talk.call)

    async def _leave(self, talk: Talk) -> bool:
        """End the agent's leg of a talk that goes on without them; whether Asterisk has told of it."""
        self._calls.ends(talk.leg)
        await self._verbs.hang_up(talk.channel)
        return await comes_true(lambda: self._now(talk) is None, CONFIRMED_WITHIN)

    def _colleague(self, talk: Talk) -> LiveParty:
        """The one colleague in this talk. Raises `Refused`."""
        match self._asked_in(talk.call):
            case []:
                raise refused("asks_nobody", agent=talk.agent)
            case [one] if one.who is not PartyKind.COLLEAGUE:
                raise refused("no_colleague")
            case [one] if not one.inside:
                raise refused("colleague_rings", to=one.number)
            case [one] if is_attempt(talk.call):
                raise refused("handed_in_callback", to=one.number)
            case [one]:
                return one
            case _:
                raise refused("several_parties")

    async def _mark(self, talk: Talk, word: str, end: bool, by: str) -> Reply:
        if word not in tuple(CallMark):
            raise refused("mark_unknown")
        mark = CallMark(word)
        if not end:
            return Reply(await self._marks.mark(talk, mark, by), call=talk.call)
        if talk.held:
            await self._resume(talk)
        if mark is CallMark.SILENT:
            await self._verbs.end_by_script(talk.channel, mark)
            return Reply(
                f"{await self._marks.mark(talk, mark, by)}; the caller is asked now", call=talk.call
            )
        self._marks.expect(talk, by)
        try:
            await self._verbs.end_by_script(talk.channel, mark)
            await comes_true(
                lambda: self._marks.said(talk) != "" and not self._now(talk), CONFIRMED_WITHIN
            )
            if self._now(talk) is not None:
                raise refused("asterisk_silent")
            block = self._marks.said(talk) or "a block is being proposed"
        finally:
            self._marks.expect_no_more(talk)
        said = f"agent {talk.agent}: the call is marked as {mark.value} and is being ended"
        return Reply(f"{said}; {block}", call=talk.call)

    # --- what they rest on

    async def _talk_of(self, agent: str) -> Talk:
        if self._stopping():
            raise refused("stopping")
        if (talk := talk_of(self._calls.talks(), agent)) is not None:
            return talk
        raise refused("not_in_talk" if await self._knows(agent) else "unknown_agent", agent=agent)

    def _now(self, talk: Talk) -> Talk | None:
        return next((one for one in self._calls.talks() if one.leg == talk.leg), None)

    async def _until(self, talk: Talk, true: Callable[[Talk], bool]) -> None:
        """Wait until Asterisk has told it of this talk. Raises `Refused` if the talk ends, or nothing is told."""

        def over_or_true() -> bool:
            now = self._now(talk)
            return now is None or true(now)

        told = await comes_true(over_or_true, CONFIRMED_WITHIN)
        if self._now(talk) is None:
            raise refused("talk_over", agent=talk.agent)
        if not told:
            raise refused("asterisk_silent")

    def _failed(self, talk: Talk, error: LinkError) -> Refused:
        gone = self._now(talk) is None or "channel" in str(error).lower()
        return _failed(error, "talk_over" if gone else "", talk.agent)


def _failed(error: LinkError, gone: str, agent: str) -> Refused:
    """The refusal for an action that has failed. `gone`: the code if what it was about is gone, empty if it is not."""
    if isinstance(error, LinkDown):
        return refused("asterisk_away")
    if not isinstance(error, ActionRefused):
        return refused("asterisk_silent")
    return refused(gone or "asterisk_refused", agent=agent)


def refused(code: str, **words: str) -> Refused:
    """The refusal with this code, in both languages."""
    zh, en = sentences(code, **words)
    return Refused(en, code, zh)
