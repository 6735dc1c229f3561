"""The verbs within a talk: each is an action that names the agent's channel, and nothing unchecked gets into one."""

from collections.abc import Mapping

import pytest

from facts.terms import CallMark
from telephony.channels import Message
from telephony.link import ActionRefused
from telephony.talk_verbs import TalkVerbs

AGENT = "PJSIP/1001-00000001"


class Link:
    """Notes what was sent; `value` is what Getvar gives, None for no such variable."""

    def __init__(self, value: str | None = "") -> None:
        self.sent: list[Mapping[str, str]] = []
        self.value = value

    async def act(self, action: Mapping[str, str], timeout: float = 5.0) -> Message:
        self.sent.append(action)
        if self.value is None:
            raise ActionRefused("No such variable")
        return {"Value": self.value}

    async def gather(
        self, action: Mapping[str, str], until: str, timeout: float = 5.0
    ) -> list[Message]:
        raise NotImplementedError


def brief(link: Link) -> list[str]:
    return [" ".join(value for value in action.values() if value != AGENT) for action in link.sent]


async def test_keys_that_no_telephone_has_are_given_in_the_agents_name() -> None:
    link = Link()
    verbs = TalkVerbs(link)
    await verbs.hold(AGENT)
    await verbs.end_by_script(AGENT, CallMark.HARASSING)
    await verbs.end_by_script(AGENT, CallMark.SILENT)
    assert brief(link) == ["PlayDTMF A true", "PlayDTMF B true", "PlayDTMF C true"]
    assert all(action["Channel"] == AGENT for action in link.sent)


async def test_a_ringing_phone_is_told_to_pick_up_within_its_call() -> None:
    link = Link()
    await TalkVerbs(link).pick_up(AGENT)
    assert link.sent == [{"Action": "PJSIPNotify", "Channel": AGENT, "Variable": "Event=talk"}]


async def test_a_mute_leaves_a_mark_that_is_never_missing_while_it_lasts() -> None:
    link = Link()
    verbs = TalkVerbs(link)
    await verbs.mute(AGENT, mute=True)
    await verbs.mute(AGENT, mute=False)
    assert brief(link) == [
        "Setvar HL_MUTED 1",
        "MuteAudio in on",
        "MuteAudio in off",
        "Setvar HL_MUTED ",
    ]


async def test_what_the_channel_says() -> None:
    assert await TalkVerbs(Link("1")).is_held(AGENT)
    assert not await TalkVerbs(Link("")).is_held(AGENT)
    assert not await TalkVerbs(Link(None)).is_muted(AGENT)


async def test_a_colleague_takes_the_citizen_by_the_dialplan() -> None:
    link = Link()
    await TalkVerbs(link).hand_over("PJSIP/1002-00000003", "PJSIP/trunk-00000001")
    (first, second) = link.sent
    assert (first["Channel"], first["Variable"]) == ("PJSIP/1002-00000003", "HL_JOINED")
    assert first["Value"] == "PJSIP/trunk-00000001"
    assert (second["Action"], second["Channel"]) == ("Redirect", "PJSIP/1002-00000003")
    assert (second["Context"], second["Exten"]) == ("supervision", "take")


async def test_a_transfer_goes_to_digits_only() -> None:
    link = Link()
    await TalkVerbs(link).transfer(AGENT, "1002")
    assert brief(link) == ["BlindTransfer transfer 1002"]
    for to in ("", "1", "1002,1", "1002\r\nAction: Reload", "abc", "1" * 16):
        with pytest.raises(ActionRefused):
            await TalkVerbs(link).transfer(AGENT, to)
    assert len(link.sent) == 1
