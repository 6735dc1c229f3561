"""Phones that have handed their citizen on: when they count as free, and when somebody speaks in their name."""

import asyncio
from collections.abc import Iterator

import pytest

from facts import Fact, OwnCallEnded, OwnCallStarted, TalkEnded
from facts.terms import Party
from telephony import leaving
from telephony.channels import Calls
from telephony.leaving import LeavingPhones
from telephony.link import LinkDown
from telephony.referrals import Referral
from telephony.refused import Copy
from tests.fakes.hep import HERE, TRUNK, T
from tests.telephony.test_calls import NUMBERS, contact

RINGS = b"INVITE sip:1001@203.0.113.7:5080;ob SIP/2.0\r\nCall-ID: one\r\n\r\n"
BYE = b"BYE sip:x SIP/2.0\r\nCall-ID: one\r\nCSeq: 5 BYE\r\n\r\n"
REFUSED = b"SIP/2.0 481 Gone\r\nCall-ID: one\r\nCSeq: 4 REFER\r\n\r\n"
STARTED, ENDED = OwnCallStarted(T, "1001"), OwnCallEnded(T, "1001")


def refer(sequence: int = 4, via: str = "UDP", sip_call: str = "one") -> Copy:
    text = (
        f"REFER sip:y@10.1.2.3 SIP/2.0\r\nVia: SIP/2.0/{via} x;branch=z1\r\nFrom: <sip:1001@x>;tag=p\r\n"
        f"To: <sip:y@z>;tag=e\r\nCall-ID: {sip_call}\r\nCSeq: {sequence} REFER\r\n"
        "Contact: <sip:1001@203.0.113.7:5080>\r\nRefer-To: <sip:1002@y>\r\n\r\n"
    )
    return Copy(T, TRUNK, HERE, text.encode())


class Story:
    """1001's phone has been rung by SIP call `one`. `there`: its channel exists. `said`: in the phone's name."""

    def __init__(self) -> None:
        self.there, self.away = True, False
        self.facts: list[Fact] = []
        self.said: list[Referral] = []
        self.status = 200
        calls = Calls(NUMBERS)
        calls.read(contact("Reachable", "sip:1001@203.0.113.7:5080;ob"))
        self.phones = LeavingPhones(
            calls,
            self,
            self.report,
            lambda: T,
            lambda: not self.away,
            address="127.0.0.1",
            port=5060,
            ports=frozenset({5060}),
        )
        self.phones.take(Copy(T, HERE, TRUNK, RINGS, "one"))

    def report(self, *facts: Fact) -> None:
        self.facts += facts

    async def has_dialogue(self, agent: str, sip_call: str) -> bool:
        assert (agent, sip_call) == ("1001", "one")
        if self.away:
            raise LinkDown("away")
        return self.there

    async def call_off(self, asked: Referral, address: str, port: int) -> int:
        assert (address, port) == ("127.0.0.1", 5060)
        self.said.append(asked)
        if self.status < 0:
            raise OSError("no route")
        return self.status

    async def until(self, *facts: Fact) -> None:
        async with asyncio.timeout(10):
            while self.facts != list(facts):
                await asyncio.sleep(0.005)


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    for name, seconds in {
        "COPY_WITHIN": 0.05,
        "LOOK_EVERY": 0.01,
        "PATIENCE": 0.05,
        "REFUSED_AFTER": 0.1,
        "LONGEST": 0.4,
    }.items():
        monkeypatch.setattr(leaving, name, seconds)
    made = Story()
    monkeypatch.setattr("telephony.hang_over.call_off", made.call_off)
    yield made
    made.phones.close()


async def test_a_phone_that_keeps_its_dialogue_is_spoken_for(story: Story) -> None:
    story.phones.take(refer())
    assert story.facts == [STARTED]
    await asyncio.sleep(0.06)
    assert story.said == []  # its channel is still there
    story.there = False
    await story.until(STARTED, ENDED)
    assert [one.sequence for one in story.said] == [4]


async def test_a_phone_that_sends_bye_is_left_alone(story: Story) -> None:
    story.phones.take(refer())
    story.there = False
    await asyncio.sleep(0.03)
    story.phones.take(Copy(T, TRUNK, HERE, BYE))
    await story.until(STARTED, ENDED)
    await asyncio.sleep(0.1)
    assert story.said == []
    assert story.facts == [STARTED, ENDED]


async def test_a_transfer_that_is_refused_leaves_the_talk_alone(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "LONGEST", 60)
    story.phones.take(refer())
    await story.until(STARTED, ENDED)
    assert story.said == []


async def test_a_refer_that_asterisk_does_not_know_holds_nobody(story: Story) -> None:
    story.phones.take(refer())
    story.phones.take(Copy(T, HERE, TRUNK, REFUSED))
    await asyncio.sleep(0.03)
    assert story.facts == [STARTED, ENDED]
    assert story.said == []


async def test_of_a_second_refer_the_newer_counts(story: Story) -> None:
    story.phones.take(refer())
    story.phones.take(refer(6))
    story.there = False
    await story.until(STARTED, ENDED)
    assert [one.sequence for one in story.said] == [6]


@pytest.mark.parametrize("status", [0, 500, -1])
async def test_a_phone_that_cannot_be_spoken_for_is_waited_for(story: Story, status: int) -> None:
    """Until the BYE that Asterisk sends after a minute."""
    story.status, story.there = status, False
    story.phones.take(refer())
    await asyncio.sleep(0.2)
    assert story.facts == [STARTED]
    assert len(story.said) == 1
    story.phones.take(Copy(T, HERE, TRUNK, BYE))
    await story.until(STARTED, ENDED)


async def test_a_phone_in_a_browser_is_not_spoken_for_but_waited_for(story: Story) -> None:
    story.there = False
    story.phones.take(refer(via="WSS"))
    await asyncio.sleep(0.2)
    assert story.facts == [STARTED]
    await story.until(STARTED, ENDED)  # at the latest
    assert story.said == []


async def test_without_a_link_nothing_is_said(story: Story) -> None:
    story.away = True
    story.phones.take(refer())
    await asyncio.sleep(0.1)
    story.there = story.away = False
    await story.until(STARTED, ENDED)
    assert len(story.said) == 1


async def test_nobody_but_a_phone_that_was_rung_is_spoken_for(story: Story) -> None:
    story.there = False
    story.phones.take(refer(sip_call="a stranger's"))
    assert story.facts == []


async def test_an_agent_whose_talk_the_exchange_ends_waits_for_the_copy(story: Story) -> None:
    """The REFER's copy and the end of the talk come by two ways, and either may be first."""
    ended = TalkEnded(T, "hotline-1.1", "1001", Party.SYSTEM)
    assert story.phones.heard([ended]) == [STARTED, ended]
    story.phones.take(refer())
    await asyncio.sleep(0.08)
    assert story.facts == []  # held as before
    story.phones.take(Copy(T, TRUNK, HERE, BYE))
    await story.until(ENDED)


async def test_without_a_copy_the_agent_is_free_again(story: Story) -> None:
    ended = TalkEnded(T, "hotline-1.1", "1001", Party.SYSTEM)
    assert story.phones.heard([ended]) == [STARTED, ended]
    await story.until(ENDED)
    other = TalkEnded(T, "hotline-1.1", "1001", Party.AGENT)
    assert story.phones.heard([other]) == [other]


async def test_nothing_is_told_after_the_end(story: Story) -> None:
    story.phones.take(refer())
    story.phones.close()
    await asyncio.sleep(0.05)
    assert story.facts == [STARTED]
