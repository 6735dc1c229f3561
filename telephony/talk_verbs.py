"""The verbs of a talk: begin it, hold it and resume it, mute its agent, end it. Each names the agent's channel.

A ringing phone is told to pick up by NOTIFY with `Event: talk`, within the call. No RFC has it; desk phones of Yealink,
Polycom and Snom do. A phone that does not may answer anything, 200 included, and ring on.

A hold needs nothing of the phone. Asterisk takes a key that no telephone has (`A` of RFC 4733) as if the agent had
pressed it, and runs what features.conf has for it: the agent's channel waits in the dialplan (`hotline-hold`), the
citizen hears music, and AMI tells Hold and Unhold as it does when the phone itself holds. So a held talk outlives this
program. `HL_HELD` at the agent's channel says that it is held in this way; without it the dialplan resumes it.

Muting stops what comes from the agent's channel. `HL_MUTED` says so for the next controller to read.

Every verb raises `LinkError` from `telephony.link`, `ActionRefused` also for a channel that is gone.
"""

from facts.numbers import HOTLINE_NUMBER
from facts.supervise import SupervisionMode
from facts.terms import CallMark
from telephony import actions, supervisors
from telephony.link import ActionRefused
from telephony.switch import Actions

HOLD_KEY = "A"
"""The key of asterisk-conf/features.conf that holds a talk."""

END_KEYS = {CallMark.HARASSING: "B", CallMark.SILENT: "C"}
"""The keys that have a marked call ended by its script: as `*4` and `*0` on the telephone."""

WITHIN = 0.3
"""Seconds that Asterisk has to answer an action: three of them leave time to answer whoever asked."""


class TalkVerbs:
    """Acts on agents' channels by one link."""

    def __init__(self, link: Actions) -> None:
        self._link = link

    async def pick_up(self, channel: str) -> None:
        """Tell a ringing phone to pick up. Done when AMI tells that the channel is up."""
        await self._link.act(
            {"Action": "PJSIPNotify", "Channel": channel, "Variable": "Event=talk"}, WITHIN
        )

    async def hold(self, channel: str) -> None:
        """Begin to hold. Done when AMI tells Hold."""
        await self._press(channel, HOLD_KEY)

    async def end_by_script(self, channel: str, mark: CallMark) -> None:
        """Begin the script by which a call so marked is ended. Done when AGI asks for it (`ivr.harassing`)."""
        await self._press(channel, END_KEYS[mark])

    async def resume(self, channel: str) -> None:
        """End a hold of `hold`. Done when AMI tells Unhold."""
        await self._set(channel, "HL_HELD", "")

    async def is_held(self, channel: str) -> bool:
        """Whether the talk is held by `hold`, and not by the phone."""
        return await self._get(channel, "HL_HELD") == "1"

    async def mute(self, channel: str, *, mute: bool) -> None:
        """Let nobody hear this agent, or let them be heard again. Done when it returns."""
        # The mark first: a controller that dies between the two leaves nobody mute without a mark.
        if mute:
            await self._set(channel, "HL_MUTED", "1")
        await self._link.act(actions.mute(channel, muted=mute), WITHIN)
        if not mute:
            await self._set(channel, "HL_MUTED", "")

    async def is_muted(self, channel: str) -> bool:
        """Whether this agent is mute by `mute`."""
        return await self._get(channel, "HL_MUTED") == "1"

    async def hang_up(self, channel: str) -> None:
        """End the agent's leg."""
        await self._link.act(actions.hang_up(channel), WITHIN)

    async def transfer(self, channel: str, to: str) -> None:
        """Send the citizen where the dialplan's context `transfer` leads from `to`, as if the phone had sent REFER.

        `to` is compared and checked by the caller of this verb. Done when the agent's talk is over.
        """
        if not HOTLINE_NUMBER.fullmatch(to):
            raise ActionRefused(f"{to[:20]!r} is no extension")
        await self._link.act(
            {"Action": "BlindTransfer", "Channel": channel, "Context": "transfer", "Exten": to},
            WITHIN,
        )

    async def hand_over(self, colleague: str, citizen: str) -> None:
        """Make the leg of a colleague who is in the talk one of the citizen's own (`telephony.supervisors.takes`).

        `colleague`, `citizen`: their channels. Done when AMI tells that the colleague is in the bridge again.
        """
        await self._set(colleague, "HL_JOINED", citizen)
        await self._link.act(
            actions.redirect(colleague, supervisors.CONTEXT, SupervisionMode.TAKE.value), WITHIN
        )

    async def _press(self, channel: str, key: str) -> None:
        await self._link.act(actions.press(channel, key), WITHIN)

    async def _set(self, channel: str, variable: str, value: str) -> None:
        await self._link.act(actions.set_variable(channel, variable, value), WITHIN)

    async def _get(self, channel: str, variable: str) -> str:
        try:
            answer = await self._link.act(actions.get_variable(channel, variable), WITHIN)
        except ActionRefused as refusal:
            if "no such variable" in str(refusal).lower():
                return ""
            raise
        return answer.get("Value", "")
