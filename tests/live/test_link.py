"""The AMI link and the fold of its events on a real Asterisk that is restarted, killed and lied to by callers."""

import asyncio
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from structlog.testing import capture_logs

from base.retry import Schedule
from facts import (
    CallArrived,
    CallEnded,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from hotline.machine import programs
from hotline.machine.render import AMI_USER, ami_secret
from softphone.phones import Phones
from telephony.cel import complete
from telephony.cel_file import read_since
from telephony.channels import VARIABLES, AsteriskState, Calls, Message
from telephony.link import ActionRefused, Link, LinkDown
from telephony.switch import Switch
from tests.live.test_asterisk_conf import NUMBER, PASSWORD, Controller, Exchange, ask, say_nothing

NUMBERS = (NUMBER,)

FLOOD = r"""
import socket, sys
host, port, user, secret = sys.argv[1:]
ami = socket.create_connection((host, int(port)))
ami.settimeout(20)
ami.sendall(f"Action: Login\r\nUsername: {user}\r\nSecret: {secret}\r\nEvents: off\r\n\r\n".encode())
for _ in range(300):
    ami.sendall(b"Action: Originate\r\nChannel: Local/*13@agents/n\r\n"
                b"Application: Wait\r\nData: 0\r\nAsync: true\r\n\r\n")
seen = b""
while seen.count(b"Response:") < 301:
    seen += ami.recv(65536)
"""
"""Has Asterisk make many channels, in a process of its own so that its cost is not counted."""


class Heard:
    """Link, fold and switch as the service wires them, and everything they told."""

    def __init__(self, exchange: Exchange, secret: str = "") -> None:
        self.facts: list[Fact] = []
        self.events = 0
        self.snapshots: list[AsteriskState] = []
        self.downs = 0
        self.calls = Calls(NUMBERS)
        self.link = Link(
            exchange.settings.control_address,
            exchange.settings.ami_port,
            AMI_USER,
            secret or ami_secret(exchange.settings),
            self._message,
            self._up,
            self._down,
            retry=Schedule(0.1, 0.5),
            refused_retry=Schedule(1.0, 1.0),
        )
        self.switch = Switch(self.link, self.calls)

    def _message(self, message: Message) -> None:
        self.events += 1
        self.facts += self.calls.read(message)

    async def _up(self) -> None:
        snapshot = await self.switch.read_state()
        self.facts += snapshot.facts
        self.snapshots.append(snapshot)

    def _down(self) -> None:
        self.downs += 1

    def of(self, *kinds: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kinds)]

    async def __aenter__(self) -> "Heard":
        self._task = asyncio.get_running_loop().create_task(self.link.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.link.close()
        async with asyncio.timeout(20):
            await self._task


async def until(true: Callable[[], object], within: float, what: str) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"waited {within} s for {what}"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    made = Exchange(tmp_path_factory.mktemp("link"), retries=1)
    try:
        asyncio.run(made.start())
        made.intent("out")
        yield made
    finally:
        asyncio.run(made.stop())
        made.close()


@pytest.fixture
async def heard(exchange: Exchange) -> AsyncIterator[Heard]:
    async with Heard(exchange) as made:
        await until(lambda: made.snapshots, 10, "the first snapshot")
        yield made


async def ring(
    agent: str, seconds: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await ask(reader, writer, f"EXEC Dial PJSIP/{agent},{seconds},g")
    await ask(reader, writer, "SET VARIABLE HL_DONE 1")
    writer.close()


async def test_a_talk_from_registration_to_hang_up(exchange: Exchange, heard: Heard) -> None:
    async def serve(
        _: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ring("1001", 10, reader, writer)

    async with Controller(exchange, serve), Phones(exchange.sip) as phones:
        await phones.agent("1001", PASSWORD, answer_after=0.5)
        await until(lambda: heard.of(PhoneReachable), 10, "the registration")
        leg = await phones.citizen("13900000001").dial(NUMBER)
        await until(lambda: heard.of(OfferAnswered), 10, "the answer")
        again = await heard.switch.read_state()
        assert again.facts == ()
        assert [agent for _, agent in again.talking] == ["1001"]
        await leg.hang_up()
        await until(lambda: heard.of(CallEnded), 10, "the end")
    kinds = [
        type(fact)
        for fact in heard.of(CallArrived, OfferRinging, OfferAnswered, TalkEnded, CallEnded)
    ]
    assert kinds == [CallArrived, OfferRinging, OfferAnswered, TalkEnded, CallEnded]
    (ringing,), (answered,) = heard.of(OfferRinging), heard.of(OfferAnswered)
    assert (answered.at - ringing.at) / 1e6 > 0.3
    (ended,) = heard.of(CallEnded)
    assert isinstance(ended, CallEnded)
    assert ended.hung_up_by is Party.CALLER
    # Asterisk's own record has the same story, and nothing to add.
    await until(
        lambda: (
            ended.call
            in {
                fact.call
                for fact in complete(
                    read_since(exchange.settings.cel_file, 0).events, [], numbers=NUMBERS
                )
                if isinstance(fact, CallEnded)
            }
        ),
        10,
        "CEL",
    )
    record = read_since(exchange.settings.cel_file, ended.at - 60_000_000)
    assert record.garbage == 0
    known = [fact for fact in heard.facts if getattr(fact, "call", "")]
    added = [
        fact
        for fact in complete(record.events, known, numbers=NUMBERS)
        if getattr(fact, "call", "") == ended.call
    ]
    assert added == []
    await until(lambda: not heard.calls.channels(), 10, "no channel left")


async def test_asterisk_knows_whose_far_end_hung_up(exchange: Exchange, heard: Heard) -> None:
    """The agent hangs up and the caller's channel goes on: `Status` says so even to a link that heard nothing of it."""
    over = asyncio.Event()

    async def serve(
        _: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ask(reader, writer, "EXEC Dial PJSIP/1001,10,g")
        await over.wait()
        await ask(reader, writer, "SET VARIABLE HL_DONE 1")
        writer.close()

    async with Controller(exchange, serve), Phones(exchange.sip) as phones:
        phone = await phones.agent("1001", PASSWORD, answer_after=0.2)
        await phones.citizen("13900000004").dial(NUMBER)
        await until(lambda: heard.of(OfferAnswered), 10, "the answer")
        await phone.offers[0].hang_up()
        await until(lambda: heard.of(TalkEnded), 10, "the end of the talk")
        listed = await heard.link.gather(
            {"Action": "Status", "Variables": ",".join(VARIABLES)}, "StatusComplete"
        )
        over.set()
        await until(lambda: heard.of(CallEnded), 10, "the end")
    (channel,) = listed
    assert "\nCHANNEL(hangupsource)=PJSIP/1001-" in channel["Variable"], channel
    assert "\nHANGUPCAUSE=16" in channel["Variable"], channel


async def test_an_offer_is_taken_back(exchange: Exchange, heard: Heard) -> None:
    async def serve(
        _: Controller, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await ring("1002", 10, reader, writer)

    async with Controller(exchange, serve), Phones(exchange.sip) as phones:
        await phones.agent("1002", PASSWORD, answer_after=None)
        await phones.citizen("13900000002").dial(NUMBER)
        await until(lambda: heard.of(OfferRinging), 10, "the ringing")
        (ringing,) = heard.of(OfferRinging)
        assert isinstance(ringing, OfferRinging)
        await heard.switch.stop_playback(ringing.call)  # nothing is being played: no error
        await heard.switch.stop_ringing(ringing.call, "1002")
        await until(lambda: heard.of(OfferEnded), 10, "the end of the offer")
        (ended,) = heard.of(OfferEnded)
        assert isinstance(ended, OfferEnded)
        assert ended.reason is OfferReason.WITHDRAWN
        await until(lambda: heard.of(CallEnded), 10, "the end")


async def test_a_feature_code_is_a_call_of_ones_own(exchange: Exchange, heard: Heard) -> None:
    async with Phones(exchange.sip) as phones:
        phone = await phones.agent("1001", PASSWORD)
        leg = await phone.dial("*11")
        await leg.until_ended(10)
        await until(lambda: heard.of(OwnCallEnded), 10, "the end")
    assert len(heard.of(OwnCallStarted)) == len(heard.of(OwnCallEnded)) == 1
    assert heard.of(CallArrived) == []


async def test_a_caller_cannot_forge_events(exchange: Exchange, heard: Heard) -> None:
    """The caller's number holds line breaks, as SIP lets anybody write them."""
    forged = (
        "1%0d%0a%0d%0aEvent%3a%20Hangup%0d%0aPrivilege%3a%20call%2call%0d%0aUniqueid%3a%20x-1.1"
    )
    async with Controller(exchange, say_nothing) as controller:
        call_raw(exchange, forged)
        await until(lambda: heard.of(CallArrived), 10, "the call")
        (arrived,) = heard.of(CallArrived)
        assert isinstance(arrived, CallArrived)
        found = await heard.switch.read_state()
        assert found.facts == ()
        assert found.alive == {arrived.call}
        # Nor lines of the voice session's environment, of which the arguments come last.
        await until(lambda: controller.calls, 10, "the session")
        assert controller.calls[0]["agi_arg_1"] == NUMBER
        assert not any(sign in controller.calls[0]["agi_callerid"] for sign in " :\r")
        await heard.switch.hang_up(arrived.call)
    await until(lambda: heard.of(CallEnded), 10, "the end")
    assert heard.downs == 0
    await until(lambda: not heard.calls.channels(), 10, "no channel left")


def call_raw(exchange: Exchange, user: str) -> None:
    """An INVITE that no telephone would send."""
    host, _, port = exchange.sip.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
        sip.bind(("127.0.0.1", 0))
        own = sip.getsockname()[1]
        body = (
            f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {own} RTP/AVP 8\r\n"
        )
        tag = f"{random.getrandbits(48):x}"
        head = (
            f"INVITE sip:{NUMBER}@{exchange.sip} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{tag}\r\nMax-Forwards: 70\r\n"
            f"From: <sip:{user}@127.0.0.1>;tag={tag}\r\nTo: <sip:{NUMBER}@{exchange.sip}>\r\n"
            f"Diversion: <sip:{user}@127.0.0.1>\r\nCall-ID: {tag}\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:x@127.0.0.1:{own}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        sip.sendto((head + body).encode(), (host, int(port)))


async def test_a_wrong_secret_is_said_aloud(exchange: Exchange) -> None:
    with capture_logs() as logs:
        async with Heard(exchange, secret="0" * 64) as wrong:
            await until(
                lambda: [entry for entry in logs if entry["event"] == "link.login_refused"],
                10,
                "it",
            )
            with pytest.raises(LinkDown):
                await wrong.link.act({"Action": "Ping"})


async def test_what_the_controller_may_not_do_is_refused(heard: Heard) -> None:
    with pytest.raises(ActionRefused, match=r"[Pp]ermission|Invalid/unknown"):
        await heard.link.act({"Action": "UpdateConfig", "SrcFilename": "a", "DstFilename": "b"})


async def test_an_event_costs_little(exchange: Exchange, heard: Heard) -> None:
    """Parsing and folding, the loop included, on whatever machine this is: 20 µs where it was measured."""
    flood = [
        sys.executable,
        "-c",
        FLOOD,
        exchange.settings.control_address,
        str(exchange.settings.ami_port),
        AMI_USER,
        ami_secret(exchange.settings),
    ]
    started = time.process_time()
    process = await asyncio.create_subprocess_exec(*flood)
    async with asyncio.timeout(30):
        await process.wait()
    await until(lambda: heard.events > 1000, 20, "a thousand events")
    await asyncio.sleep(1)
    spent = (time.process_time() - started) / heard.events
    print(f"{heard.events} events, {spent * 1e6:.1f} us each")
    assert spent < 200e-6


# Last: these stop Asterisk.


async def test_asterisk_is_killed_and_comes_back(exchange: Exchange) -> None:
    async with Heard(exchange) as heard, Phones(exchange.sip) as phones:
        await until(lambda: heard.snapshots, 10, "the first snapshot")
        await phones.agent("1001", PASSWORD)
        async with Controller(exchange, say_nothing):
            leg = await phones.citizen("13900000003").dial(NUMBER)
            await until(lambda: heard.of(CallArrived), 10, "the call")
            program = programs.asterisk_program(exchange.settings, exchange.asterisk)
            pid = programs.running(program)
            assert pid is not None
            with capture_logs() as logs:
                os.kill(pid, signal.SIGKILL)
                await until(lambda: heard.downs, 10, "the link to go down")
                with pytest.raises(LinkDown):
                    await heard.link.act({"Action": "Ping"})
                await until(lambda: programs.running(program) is None, 10, "the death")
                await exchange.start()
                await until(lambda: len(heard.snapshots) == 2, 20, "the second snapshot")
            assert [entry["event"] for entry in logs].count("link.up") == 1
        (ended,) = heard.of(CallEnded)
        assert isinstance(ended, CallEnded)
        assert ended.hung_up_by is Party.SYSTEM
        assert heard.snapshots[1].alive == frozenset()
        # The registration is in Asterisk's database and outlives it.
        assert heard.of(PhoneUnreachable) == []
        await leg.hang_up()
