"""What other SIP stacks send, letter by letter: keys, texts, odd addresses, and a call that forked."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from base.background import spawn
from facts import (
    CallArrived,
    CallbackAsked,
    CallEnded,
    CallQueued,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.times import SECOND
from softphone.phones import Leg, Phones
from telephony.leaving import PATIENCE
from tests.live.centre import NUMBER, PASSWORD, Centre
from tests.live.gateway import Gateway, alaw
from tests.live.sip import Dialog, Wire

GREETING = 18.0


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    gateway = Gateway()
    with Centre(outbound=gateway.address) as made:
        made.add_agent("1001", "1002")
        made.shorten_greeting()
        # Else a phone by hand that becomes ready is rung for the caller of an earlier test.
        made.run("queue", "set", "default", "call_back_lost=no")
        yield made
    gateway.close()


async def arrived(centre: Centre, before: int) -> CallArrived:
    """The call after those."""
    await centre.until(lambda: len(centre.facts(CallArrived)) > before, 10, "the arrival")
    fact = centre.facts(CallArrived)[before]
    assert isinstance(fact, CallArrived)
    return fact


async def test_every_request_of_a_common_stack_is_answered(centre: Centre) -> None:
    with Wire(centre.sip) as wire:
        dialog = await wire.call(NUMBER, b"<sip:13900000101@x.invalid>")
        assert dialog.status == 200
        asked = [
            ("INFO", b"Content-Type: application/dtmf-relay\r\n", b"Signal=1\r\nDuration=160\r\n"),
            ("INFO", b"Content-Type: application/dtmf\r\n", b"1"),
            ("INFO", b"", b""),
            ("INFO", b"Content-Type: application/media_control+xml\r\n", b"<media_control/>"),
            ("MESSAGE", b"Content-Type: text/plain\r\n", b"hello"),
            ("OPTIONS", b"", b""),
            ("UPDATE", b"", b""),
        ]
        for sequence, (method, headers, body) in enumerate(asked, 2):
            status = await dialog.ask(method, sequence, headers, body)
            assert status in (200, 202), (method, headers, status)
        await dialog.ask("BYE", 20)


async def test_a_text_outside_a_call_reaches_no_dialplan(centre: Centre) -> None:
    with Wire(centre.sip) as wire:
        for number in (NUMBER, "1001", "*11"):
            lost = Dialog(wire, number, b"<sip:13900000102@x.invalid>", f"text{number.strip('*')}")
            status = await lost.ask("MESSAGE", 1, b"Content-Type: text/plain\r\n", b"hello")
            assert status in (401, 404), number
        dialog = await wire.call(NUMBER, b"<sip:13900000103@x.invalid>")
        await centre.fact(CallArrived, caller="+8613900000103")
        await dialog.ask("BYE", 2)
    assert "+8613900000102" not in {getattr(one, "caller", "") for one in centre.facts(CallArrived)}


@pytest.mark.parametrize("way", ["INFO", "INFO with one key", "in the sound"])
async def test_a_key_is_heard(centre: Centre, way: str) -> None:
    """RFC 4733 is what the simulated telephones send (test_caller_side.py)."""
    await centre.cli("queue", "set", "default", "callback_key=5")
    before = len(centre.facts(CallArrived))
    try:
        with Wire(centre.sip) as wire:
            dialog = await wire.call(NUMBER, b"<sip:139000002%02d@x.invalid>" % len(way))
            call = (await arrived(centre, before)).call
            await centre.fact(CallQueued, GREETING, call=call)
            if way == "INFO":
                relay = b"Signal=5\r\nDuration=160\r\n"
                assert (
                    await dialog.ask("INFO", 2, b"Content-Type: application/dtmf-relay\r\n", relay)
                    == 200
                )
            elif way == "INFO with one key":
                assert (
                    await dialog.ask("INFO", 2, b"Content-Type: application/dtmf\r\n", b"5") == 200
                )
            else:
                await sing(dialog)
            await centre.fact(CallbackAsked, 15, call=call)
            await dialog.ask("BYE", 3)
            await centre.fact(CallEnded, 10, call=call)
    finally:
        await centre.cli("queue", "set", "default", "callback_key=")


async def sing(dialog: Dialog) -> None:
    """Key 5 as two tones in the sound (ITU-T Q.23), between two moments of silence."""
    found = re.search(r"c=IN IP4 (\S+).*?m=audio (\d+)", dialog.answer, re.DOTALL)
    assert found is not None
    time_of = np.arange(8000 * 3) / 8000
    wave = (np.sin(2 * np.pi * 770 * time_of) + np.sin(2 * np.pi * 1336 * time_of)) * 6000
    wave[(time_of < 1) | (time_of > 1.3)] = 0
    sound = alaw(wave.astype(np.int32))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        due = time.monotonic()
        for n in range(len(sound) // 160):
            head = b"\x80\x08" + n.to_bytes(2, "big") + (n * 160).to_bytes(4, "big") + b"sing"
            out.sendto(head + sound[n * 160 : (n + 1) * 160], (found[1], int(found[2])))
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))


@pytest.mark.parametrize("number", [f"{NUMBER};phone-context=+86", f"{NUMBER};npdi;rn=+8612345"])
async def test_what_a_network_writes_behind_the_number_is_none_of_it(
    centre: Centre, number: str
) -> None:
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        dialog = await wire.call(number, b"<sip:13900000121;phone-context=+86@x.invalid>")
        assert dialog.status == 200
        fact = await arrived(centre, before)
        assert (fact.number, fact.caller) == (NUMBER, "+8613900000121")
        await dialog.ask("BYE", 2)
        await centre.fact(CallEnded, call=fact.call)


@pytest.mark.parametrize(
    ("privacy", "shown"),
    [
        (b"id", False),
        (b"user", False),
        (b"header", False),
        (b"Critical; ID", False),
        (b"user;id;header", False),
        (b"none", True),
        (b"session", True),
        (b"critical", True),
        (b'idx;)}${EPOCH}"', True),
    ],
)
async def test_a_withheld_number_is_withheld_in_every_form(
    centre: Centre, privacy: bytes, shown: bool
) -> None:
    """RFC 3323, without a P-Asserted-Identity."""
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        sender = b"<sip:13900000131@127.0.0.1>"
        dialog = await wire.call(NUMBER, sender, headers=b"Privacy: " + privacy + b"\r\n")
        assert dialog.status == 200
        fact = await arrived(centre, before)
        await dialog.ask("BYE", 2)
        await centre.fact(CallEnded, call=fact.call)
    assert fact.caller == ("+8613900000131" if shown else "")


@pytest.mark.parametrize("later", [0.0, 1.0])
async def test_a_call_that_arrives_twice_is_one(
    centre: Centre, phones: Phones, later: float
) -> None:
    """A proxy on the way forked the INVITE: same Call-ID, other branch (RFC 3261, 8.2.2.2)."""
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    before = len(centre.facts(CallArrived))
    sender, call = b"<sip:13900000141@127.0.0.1>", f"fork-{later}"
    with Wire(centre.sip) as first, Wire(centre.sip) as second:

        async def copy() -> Dialog:
            await asyncio.sleep(later)
            return await second.call(NUMBER, sender, call=call)

        real, copied = await asyncio.gather(first.call(NUMBER, sender, call=call), copy())
        assert sorted((real.status, copied.status)) == [200, 482]
        answered = real if real.status == 200 else copied
        fact = await arrived(centre, before)
        await agent.until_rings(1, GREETING)
        await asyncio.sleep(0.5)
        await answered.ask("BYE", 2)
        await centre.fact(CallEnded, call=fact.call)
    assert len(centre.facts(CallArrived)) == before + 1
    assert len(agent.offers) == 1
    rows = [row for row in await centre.calls() if row["caller"] == "+8613900000141"]
    assert len(rows) == (1 if later == 0.0 else 2)


async def test_of_two_that_arrive_in_one_moment_one_is_taken(centre: Centre) -> None:
    """Many times: each of the two sees the other, and both were refused now and then."""
    for attempt in range(25):
        with Wire(centre.sip) as first, Wire(centre.sip) as second:
            sender, call = b"<sip:13900000145@127.0.0.1>", f"moment-{attempt}"
            both = await asyncio.gather(
                *(wire.call(NUMBER, sender, call=call) for wire in (first, second))
            )
            assert sorted(one.status for one in both) == [200, 482]
            for one in both:
                if one.status == 200:
                    assert await one.ask("BYE", 2) == 200


async def test_a_phone_that_comes_back_is_asked_at_once(centre: Centre) -> None:
    """With the address that it had: Asterisk would believe in it only after up to 30 s."""
    with Wire(centre.sip) as wire:
        await wire.register("1002", PASSWORD)
        await centre.fact(PhoneReachable, agent="1002")
        gone = len(centre.facts(PhoneUnreachable, agent="1002"))
        await centre.until(
            lambda: len(centre.facts(PhoneUnreachable, agent="1002")) > gone, 40, "it to be silent"
        )
        back = len(centre.facts(PhoneReachable, agent="1002"))
        wire.forget()
        await wire.register("1002", PASSWORD)
        answering = spawn(wire.be_there(), "answering")
        await centre.until(
            lambda: len(centre.facts(PhoneReachable, agent="1002")) > back, 10, "it to be back"
        )
        answering.cancel()


@pytest.mark.parametrize(
    ("media", "status"),
    [
        (b"9\r\na=rtpmap:9 G722/8000\r\n", 200),
        (b"96\r\na=rtpmap:96 opus/48000/2\r\n", 200),
        (b"18\r\na=rtpmap:18 G729/8000\r\n", 488),
        (b"9 8\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\n", 200),
    ],
    ids=["G.722", "Opus", "G.729", "G.722 or A-law"],
)
async def test_codecs_of_a_trunk(centre: Centre, phones: Phones, media: bytes, status: int) -> None:
    """A carrier's change of codec loses no call, and A-law stays the first choice."""
    centre.expected += ["488", "negotiate", "codec"]
    agent = await centre.agent(phones, "1001", answer_after=0.1)
    before = len(centre.facts(CallArrived))
    with Wire(centre.sip) as wire:
        dialog = await wire.call(NUMBER, b"<sip:13900000151@x.invalid>", media=media)
        assert dialog.status == status
        if status == 200:
            chosen = b"8" if b"PCMA" in media else media.split(b"\r\n")[0]
            assert f"RTP/AVP {chosen.decode()}" in dialog.answer
            fact = await arrived(centre, before)
            await agent.until_rings(1, GREETING)
            await agent.offers[0].until_answered()
            await dialog.ask("BYE", 2)
            await centre.fact(CallEnded, call=fact.call)


async def talk(centre: Centre, phones: Phones, wire: Wire, caller: str) -> tuple[Leg, Dialog]:
    """A citizen, and 1001's telephone by hand, in a talk."""
    await wire.register("1001", PASSWORD)
    answering = spawn(wire.be_there(), "answering")
    await centre.cli("agent", "ready", "1001")
    answering.cancel()
    leg = await phones.citizen(caller).dial(NUMBER)
    dialog = await Dialog.pick_up(wire, GREETING)
    await centre.presence("1001", "talking")
    return leg, dialog


async def until_bye(wire: Wire) -> list[str]:
    """Answer what the exchange asks until it sends BYE: the last line of each request before."""
    said = []
    while not (asked := (await wire.receive()).decode()).startswith("BYE "):
        if not asked.startswith(("SIP/2.0 ", "ACK ", "OPTIONS ")):
            said.append(asked.rstrip().splitlines()[-1])
        if not asked.startswith(("SIP/2.0 ", "ACK ")):
            await wire.reply(asked)
    await wire.reply(asked)
    return said


async def test_a_phone_that_keeps_the_dialogue_after_a_transfer_is_sent_bye(
    centre: Centre, phones: Phones
) -> None:
    """Asterisk itself waits a minute for the phone's BYE. Until the dialogue is over, the agent is not free."""
    with Wire(centre.sip) as wire:
        leg, dialog = await talk(centre, phones, wire, "13900000161")
        second = await centre.agent(phones, "1002", answer_after=0.1)
        target = f"Refer-To: <sip:1002@{centre.sip}>\r\n".encode()
        assert await dialog.ask("REFER", 1, target) == 202
        async with asyncio.timeout(10):
            said = await until_bye(wire)
        assert said[-1] == "SIP/2.0 200 OK"
        # The citizen has not noticed, and the dialogue is over.
        await leg.until_hears(second.tone)
        assert await dialog.ask("INFO", 3) in (0, 481, 500)  # what is left of it knows no talk
        talked, held, free = await until_free(centre)
        assert held.at <= talked.at < free.at < talked.at + 20 * SECOND
        await leg.hang_up()
        await centre.call("13900000161")
        await wire.register("1001", PASSWORD, expires=0)


async def test_a_phone_that_sends_bye_after_a_transfer_is_free_at_once(
    centre: Centre, phones: Phones
) -> None:
    with Wire(centre.sip) as wire:
        leg, dialog = await talk(centre, phones, wire, "13900000164")
        second = await centre.agent(phones, "1002", answer_after=0.1)
        target = f"Refer-To: <sip:1002@{centre.sip}>\r\n".encode()
        assert await dialog.ask("REFER", 1, target) == 202
        await centre.until(lambda: bool(centre.facts(TalkEnded, agent="1001")), 10, "the hand-over")
        spoken = spoken_for(centre)
        assert await dialog.ask("BYE", 2) == 200
        talked, held, free = await until_free(centre)
        assert held.at <= talked.at < free.at
        await leg.until_hears(second.tone)
        await asyncio.sleep(PATIENCE + 1)
        assert spoken_for(centre) == spoken
        await leg.hang_up()
        await centre.call("13900000164")
        await wire.register("1001", PASSWORD, expires=0)


def spoken_for(centre: Centre) -> int:
    """How often the controller has said something in a phone's name."""
    return (centre.home / "log" / "serve.log").read_text().count("transfer.dialogue_ended")


async def until_free(centre: Centre) -> tuple[TalkEnded, OwnCallStarted, OwnCallEnded]:
    """The newest end of 1001's talk, and when their phone was taken for one that leaves it, and for free again."""
    kinds = (TalkEnded, OwnCallStarted, OwnCallEnded)

    def newest() -> tuple[Any, ...]:
        return tuple(centre.facts(kind, agent="1001")[-1] for kind in kinds)

    await centre.until(
        lambda: (
            all(centre.facts(kind, agent="1001") for kind in kinds)
            and newest()[2].at > newest()[1].at
        ),
        10,
        "1001 to be free",
    )
    return newest()


async def test_a_phone_whose_transfer_is_refused_talks_on(centre: Centre, phones: Phones) -> None:
    centre.expected.append("attempted blind transfer to")
    with Wire(centre.sip) as wire:
        leg, dialog = await talk(centre, phones, wire, "13900000162")
        target = f"Refer-To: <sip:1099@{centre.sip}>\r\n".encode()
        assert await dialog.ask("REFER", 1, target) == 202
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await until_bye(wire)
        # Nobody has spoken in the phone's name meanwhile: its next request is in order.
        assert await dialog.ask("INFO", 2) == 200
        assert await dialog.ask("BYE", 3) == 200
        await leg.until_ended()
        await wire.register("1001", PASSWORD, expires=0)


async def test_an_agents_keys_by_info_are_heard(centre: Centre, phones: Phones) -> None:
    """`*0`: the silent phone's citizen hears the phrase."""
    with Wire(centre.sip) as wire:
        leg, dialog = await talk(centre, phones, wire, "13900000163")
        for sequence, key in enumerate((b"*", b"0"), 1):
            relay = b"Signal=" + key + b"\r\nDuration=160\r\n"
            headers = b"Content-Type: application/dtmf-relay\r\n"
            assert await dialog.ask("INFO", sequence, headers, relay) == 200
        await leg.until_hears_something()
        await leg.hang_up()
        await centre.call("13900000163")
