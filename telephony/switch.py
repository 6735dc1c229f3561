"""The verbs: what the hotline does to a call in Asterisk besides its AGI session. Each is one action.

Every verb raises `LinkError` (`LinkDown`, `ActionRefused`, `Unknown`) from `telephony.link`. A channel that is already
gone is no error: the call is where the verb wanted it.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import structlog

from base.clock import now as _now
from facts.causes import WITHDRAWN, Cause
from facts.endpoints import OUTBOUND_WATCH
from facts.terms import CallId
from telephony import actions
from telephony.channels import VARIABLES, AsteriskState, Calls, Early, Message
from telephony.link import ActionRefused

log = structlog.get_logger(__name__)

_TOO_LATE = re.compile("channel|playback", re.IGNORECASE)
"""Asterisk's ways of saying that the channel ended between our look and its own, or that nothing is being played."""

PARTED = 0.06
"""Seconds after which a channel has forgotten a MixMonitor that was stopped: a few frames of sound."""

_LIST_TIMEOUT = 10.0

_SOON = 0.45
"""Seconds that one of two actions may take for a person who waits for the answer to both."""

_MUTE_TIMEOUT = 2.0
"""Seconds that an agent who has pressed the key waits for Asterisk at most, out of the citizen's hearing."""


class Actions(Protocol):
    """What is needed of a `telephony.link.Link`; tests have a list of what was sent."""

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        """Send an action and return its answer."""

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        """Send an action and return the entries of its list."""


async def contacts_of(link: Actions, endpoint: str) -> list[Message]:
    """What Asterisk knows of each contact of an endpoint (`ContactStatusDetail`). Raises `LinkError`."""
    entries = await link.gather(
        {"Action": "PJSIPShowEndpoint", "Endpoint": endpoint}, "EndpointDetailComplete"
    )
    return [entry for entry in entries if entry.get("Event") == "ContactStatusDetail"]


class Switch:
    """Acts on one node. `calls` knows the channels' names; it must be the one that reads this link's messages.

    `found`: told of the state that was read, before any later event.
    """

    def __init__(
        self,
        link: Actions,
        calls: Calls,
        clock: Callable[[], int] = _now,
        found: Callable[[AsteriskState], object] = lambda _: None,
    ) -> None:
        self._link = link
        self._calls = calls
        self._clock = clock
        self._found = found

    async def ask_phone(self, agent: str) -> None:
        """Have Asterisk ask an agent's phone (OPTIONS) whether it is there, instead of within 30 seconds."""
        await self._link.act({"Action": "PJSIPQualify", "Endpoint": agent})

    async def read_sound(self, channel: str) -> str:
        """What a channel's phone has sent so far (RTP and RTCP), as Asterisk counts it; empty for one that is gone."""
        try:
            told = await self._link.act(actions.get_variable(channel, "CHANNEL(rtcp,all)"))
        except ActionRefused:
            return ""
        return told.get("Value", "")

    async def sip_call(self, channel: str) -> str:
        """The Call-ID of the channel's SIP dialogue; empty for one that is gone."""
        try:
            answer = await self._link.act(actions.get_variable(channel, "CHANNEL(pjsip,call-id)"))
        except ActionRefused as refusal:
            if not _TOO_LATE.search(str(refusal)):
                raise
            return ""
        return answer.get("Value", "")

    async def registration(self, agent: str) -> str:
        """The Call-ID by which the agent's phone registers: the same until it is started again; empty if unknown."""
        found = await contacts_of(self._link, agent)
        return found[-1].get("CallID", "") if found else ""

    async def ask_in_call(self, channel: str) -> None:
        """Send a re-INVITE that changes nothing. If the phone does not know the call (481), Asterisk ends the leg."""
        await self._try(actions.set_variable(channel, "PJSIP_SEND_SESSION_REFRESH()", "invite"))

    async def end_dead(self, channel: str, citizen: str = "") -> None:
        """End the leg of a phone that has died. `citizen`: a channel that would end with it, and goes to the queue."""
        if citizen:
            await self._try(actions.set_variable(citizen, "HL_TARGET", "queue"))
            await self._try(actions.redirect(citizen, "hotline-citizen"))
        await self._hang_up(channel, Cause.OUT_OF_ORDER)

    async def has_dialogue(self, agent: str, sip_call: str) -> bool:
        """Whether a channel of the agent's phone is this SIP call."""
        for channel in self._calls.agent_channels(agent):
            if await self.sip_call(channel) == sip_call:
                return True
        return False

    async def hang_up(self, call: CallId, agent: str = "", cause: int = Cause.NORMAL) -> None:
        """End the call, or with `agent` only that agent's talk in it. `cause` is a Q.850 code."""
        if agent:
            channel = self._calls.leg_channel(call, agent, answered=True)
        else:
            channel = self._calls.caller_channel(call)
        await self._hang_up(channel, cause)

    async def hand_to_survey(self, call: CallId) -> None:
        """From now on the dialplan runs the survey when the talk is over. `ActionRefused`: the call has ended."""
        channel = self._calls.caller_channel(call)
        if not channel:
            raise ActionRefused("the call has ended")
        await self._link.act(actions.set_variable(channel, "HL_SURVEY", "1"), _SOON)

    async def leave_talk(self, call: CallId, agent: str) -> None:
        """End the agent's talk, and know so within a second; the citizen's channel goes on with the dialplan."""
        channel = self._calls.leg_channel(call, agent, answered=True)
        await self._try(actions.hang_up(channel), _SOON)

    async def stop_ringing(self, call: CallId, agent: str) -> None:
        """Withdraw the offer: the phone falls silent, the caller keeps the place. `OfferEnded(WITHDRAWN)` follows.

        A phone that was picked up in the meantime is left alone. Between this look and Asterisk's lie a few
        milliseconds in which a pick-up is cut.
        """
        await self._hang_up(self._calls.ringing_channel(call, agent), WITHDRAWN)

    async def stop_playback(self, call: CallId) -> None:
        """Stop the prompt that the caller hears. The AGI session goes on as if it had ended."""
        await self._try(
            {
                "Action": "ControlPlayback",
                "Channel": self._calls.caller_channel(call),
                "Control": "stop",
            }
        )

    async def reload(self, *modules: str) -> None:
        """Have modules of Asterisk read their configuration again. No call is touched."""
        for module in modules:
            await self._link.act({"Action": "Reload", "Module": module})

    async def recall(self, call: CallId) -> None:
        """Fetch a caller out of Asterisk's fallback queue, back to the controller."""
        citizen = self._calls.caller_channel(call)
        await self._try(actions.redirect(citizen, "hotline-call", priority="controller"))

    async def end_early(self, early: Early) -> None:
        """Silence the colleague's phone. The dialplan then carries the transfer out as a blind one."""
        log.info("transfer.joined_early", call_id=early.call, to=early.to)
        # Not with the cause of a withdrawal: it would stay on the citizen's channel and seem to be that of the next
        # ring.
        await self._hang_up(early.ringing, Cause.NORMAL)

    async def renew_recording(self, call: CallId, file: Path) -> None:
        """Go on recording the call with a new MixMonitor, at the end of the same file.

        After a talk, the old one loses the voice of the next agent in about half of all cases, and music in all
        (Asterisk 22.10; asterisk/asterisk#507). So it does of two who are left of three. The dialplan does the same
        after a blind transfer.
        """
        await self.record_on(self._calls.recorded_channel(call), file)

    async def record_on(self, channel: str, file: Path, before: str = "") -> None:
        """Go on recording at the end of the file with this channel: what it says left, what it hears right.

        `before`: the channel that was recorded until now, if that is another one.
        """
        await self._try({"Action": "StopMixMonitor", "Channel": before or channel})
        await asyncio.sleep(PARTED)
        await self._try(
            {"Action": "MixMonitor", "Channel": channel, "File": str(file), "Options": "aD"}
        )

    async def pause_recording(self, call: CallId, mark: str) -> None:
        """Leave silence in the recording from now on. `mark` stays at the channel, for the next controller to read.

        Returns when Asterisk has confirmed it. `ActionRefused` also for a call that has ended.
        """
        channel = self._calls.recorded_channel(call)
        if not channel:
            raise ActionRefused("the call has ended")
        # The mark first: a controller that dies between the two leaves no pause that nobody knows of.
        await self._link.act(_mark(channel, mark), _MUTE_TIMEOUT)
        await self._link.act(_mute(channel, "1"), _MUTE_TIMEOUT)

    async def resume_recording(self, call: CallId) -> None:
        """Record the call again. A recording that is not paused stays as it is.

        Raises `ActionRefused` if Asterisk does not record this channel.
        """
        channel = self._calls.recorded_channel(call)
        try:
            await self._try(_mute(channel, "0"), _MUTE_TIMEOUT)
        except ActionRefused:
            await self._clear_mark(channel)
            raise
        await self._clear_mark(channel)

    async def read_state(self) -> AsteriskState:
        """Ask what exists in Asterisk, and make `calls` agree with it. Safe at any time, and meant for each `on_up`."""
        before = self._calls.channels()
        contacts = await self._link.gather(
            {"Action": "PJSIPShowContacts"}, "ContactListComplete", _LIST_TIMEOUT
        )
        channels = await self._link.gather(
            {"Action": "Status", "Variables": ",".join(VARIABLES)}, "StatusComplete", _LIST_TIMEOUT
        )
        state = self._calls.snapshot(channels, contacts, self._clock(), before)
        self._found(state)
        return state

    async def outbound_answers(self) -> bool | None:
        """Whether the way out answers Asterisk's OPTIONS; None when that is not known yet, or without a way out."""
        contacts = await contacts_of(self._link, OUTBOUND_WATCH)
        found = {contact.get("Status", "") for contact in contacts}
        if "Reachable" in found:
            return True
        return False if "Unreachable" in found else None

    async def _clear_mark(self, channel: str) -> None:
        with contextlib.suppress(ActionRefused):
            await self._try(_mark(channel, ""), _MUTE_TIMEOUT)

    async def _hang_up(self, channel: str, cause: int) -> None:
        await self._try(actions.hang_up(channel, cause))

    async def _try(self, action: Mapping[str, str], timeout: float = 5.0) -> None:
        if not action["Channel"]:
            return
        try:
            await self._link.act(action, timeout)
        except ActionRefused as refusal:
            if not _TOO_LATE.search(str(refusal)):
                raise
            log.info("switch.too_late", answer=str(refusal))


def _mute(channel: str, state: str) -> dict[str, str]:
    return {"Action": "MixMonitorMute", "Channel": channel, "Direction": "both", "State": state}


def _mark(channel: str, value: str) -> dict[str, str]:
    return actions.set_variable(channel, "HL_PAUSED", value)
