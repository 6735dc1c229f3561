"""The watch over the phones of agents who talk: what is asked of Asterisk, and what is told to the floor."""

import pytest

from facts import Fact, PhoneLost
from facts.times import SECOND
from hotline.controller.watch import HEAR_FOR, PhoneWatch
from telephony.channels import Calls, Message, Talk
from telephony.link import LinkDown
from telephony.pulse import Step
from telephony.refused import Copy
from tests.fakes.hep import HERE, TRUNK
from tests.telephony.test_calls import NUMBERS, folded
from tests.telephony.test_channels_ends import (
    AGENT,
    CALL,
    LEG,
    arrives,
    begins,
    contact,
    event,
    is_up,
)

CITIZEN = "PJSIP/outbound-00000001"


class Wire:
    """A switch whose phone has sent so many packets; everything that is done is noted."""

    def __init__(self, done: list[object]) -> None:
        self.done = done
        self.packets = 0
        self.away = self.gone = False
        self.registered = "r1"
        self.moved = ""

    async def read_sound(self, channel: str) -> str:
        if self.away:
            raise LinkDown("away")
        assert channel == AGENT
        return f"rxcount={self.packets};rtt=0.1"

    async def ask_phone(self, agent: str) -> None:
        self.done.append(("ask", agent))

    async def sip_call(self, channel: str) -> str:
        return "" if self.gone else "dialogue"

    async def registration(self, agent: str) -> str:
        return self.registered

    async def ask_in_call(self, channel: str) -> None:
        self.done.append(("ask in call", channel))

    async def end_dead(self, channel: str, citizen: str = "") -> None:
        self.done.append(("end", channel))
        self.moved = citizen


class Talking:
    """1001 talks; time goes on by hand."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.calls = Calls(NUMBERS)
        folded([contact("sip:a", "NonQualified"), arrives(), begins(LEG), is_up(LEG)], self.calls)
        self.wire = Wire(self.done)
        self.now = 1000 * SECOND
        self.heard_for: list[float] = []
        self.copies = True
        self.watch = PhoneWatch(
            self.calls,
            self.wire,
            self.report,
            lambda: self.now,
            8.0,
            {HERE[1]},
            self.hears,
        )

    def report(self, fact: Fact) -> None:
        self.done.append(fact)

    async def go_on(self, seconds: float, packets: int) -> None:
        for _ in range(round(seconds * 2)):
            self.now += SECOND // 2
            self.wire.packets += packets // 2
            await self.watch.look()

    def hears(self, seconds: float) -> bool:
        self.heard_for.append(seconds)
        return self.copies

    def asks(self, seconds_ago: float) -> None:
        """Asterisk has sent its question, or has repeated it."""
        text = b"INVITE sip:a SIP/2.0\r\nCall-ID: dialogue\r\nCSeq: 2 INVITE\r\n\r\n"
        self.watch.copied(Copy(self.now - round(seconds_ago * SECOND), HERE, TRUNK, text))

    def hear(self, message: Message) -> None:
        self.watch.take(message)
        self.calls.read(message)


async def test_a_phone_that_was_reloaded_is_told_before_its_leg_is_ended() -> None:
    story = Talking()
    await story.go_on(10, 50)
    assert story.done == []
    story.hear(contact("sip:b", "NonQualified"))
    await story.go_on(0.5, 0)
    story.asks(0)
    await story.go_on(0.5, 0)
    assert story.done[-2:] == [PhoneLost(story.now, CALL, "1001"), ("end", AGENT)]


async def test_a_phone_that_has_just_been_muted_and_answers_is_left_alone() -> None:
    """A second phone of the agent registers."""
    story = Talking()
    await story.go_on(10, 50)
    story.hear(contact("sip:b", "NonQualified"))
    await story.go_on(0.5, 0)
    story.asks(0)
    answer = b"SIP/2.0 200 OK\r\nCall-ID: dialogue\r\nCSeq: 2 INVITE\r\n\r\n"
    story.watch.copied(Copy(story.now, TRUNK, HERE, answer))
    await story.go_on(30, 0)
    assert ("end", AGENT) not in story.done


async def test_without_copies_nobody_knows_of_an_answer() -> None:
    story = Talking()
    story.copies = False
    await story.go_on(10, 50)
    story.hear(contact("sip:b", "NonQualified"))
    await story.go_on(1.5, 0)
    assert story.done[-2:] == [PhoneLost(story.now, CALL, "1001"), ("end", AGENT)]


async def test_a_phone_that_signs_in_again_is_asked_within_the_call() -> None:
    story = Talking()
    await story.go_on(10, 50)
    signed_in = {**event("SuccessfulAuth", LEG), "Service": "PJSIP", "AccountID": "1001"}
    story.hear({**signed_in, "Service": "AMI"})
    story.hear(signed_in)
    await story.go_on(1.5, 0)
    assert ("ask in call", AGENT) in story.done
    assert not any(isinstance(one, PhoneLost) for one in story.done)


async def test_a_muted_phone_that_was_reloaded_is_ended_when_it_does_not_answer() -> None:
    story = Talking()
    await story.go_on(10, 50)
    await story.go_on(6, 0)
    story.wire.registered = "r2"
    story.hear(contact("sip:b", "NonQualified"))
    await story.go_on(1, 0)
    assert story.done.count(("ask in call", AGENT)) == 1
    assert story.heard_for == [HEAR_FOR]
    story.asks(0)
    await story.go_on(3.5, 0)
    assert ("end", AGENT) not in story.done
    story.asks(0)
    await story.go_on(0.5, 0)
    assert story.done[-2:] == [PhoneLost(story.now, CALL, "1001"), ("end", AGENT)]


async def test_a_phone_that_has_another_address_and_was_not_started_again_is_left_alone() -> None:
    story = Talking()
    await story.go_on(10, 50)
    await story.go_on(6, 0)
    story.hear(contact("sip:b", "NonQualified"))
    await story.go_on(60, 0)
    assert set(story.done) == {("ask", "1001")}


async def test_a_channel_that_has_just_ended_is_not_asked() -> None:
    story = Talking()
    await story.go_on(10, 50)
    story.wire.gone = True
    await story.go_on(60, 0)
    assert set(story.done) == {("ask", "1001")}


async def test_a_silent_phone_is_asked_and_ended_only_when_it_is_gone() -> None:
    story = Talking()
    await story.go_on(10, 50)
    await story.go_on(60, 0)
    assert set(story.done) == {("ask", "1001"), ("ask in call", AGENT)}
    story.hear(contact("sip:a", "Unreachable"))
    await story.go_on(5, 0)
    assert ("end", AGENT) in story.done


async def test_while_the_link_is_away_nothing_is_decided() -> None:
    story = Talking()
    story.wire.away = True
    await story.go_on(30, 0)
    assert story.done == []
    story.wire.away = False
    await story.go_on(1, 50)
    assert story.done == []


@pytest.mark.parametrize(("others", "moved"), [(False, CITIZEN), (True, "")])
async def test_a_callbacks_citizen_waits_again_unless_others_are_in_the_talk(
    *, others: bool, moved: str
) -> None:
    story = Talking()
    story.calls.talks_on = lambda _: others
    talk = Talk("l", AGENT, "c", "1001", held=False, there=True, citizen=CITIZEN)
    await story.watch._do(Step.END, talk)
    assert story.wire.moved == moved
