"""Sessions on a real Asterisk, with telephones that speak and hear; the desk alone is played by the test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from base import clock
from facts import CallArrived, CallDetached, CallQueued, CallReturned, Fact, OfferEnded
from facts.terms import OfferReason, Release
from facts.times import SECOND
from hotline.machine import render
from ivr.agi import AgiReply
from ivr.connection import Connection
from ivr.server import Server, serve
from ivr.session import CallSession, Pace
from softphone.phones import RATE, AgentPhone, Leg, Phones, likeness
from tests.live.sounds import music, prompt, spoken
from tests.live.test_asterisk_conf import NUMBER, PASSWORD, Exchange, until

FAST = Pace(announce_every=30)


class TestDesk:
    """Writes down facts, and says what the test wants."""

    __test__ = False

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.session: CallSession | None = None
        self.anyone = True

    def report(self, *facts: Fact) -> None:
        self.facts.extend(facts)

    def attach(self, call: str, session: CallSession) -> None:
        self.session = session

    def detach(self, call: str, session: CallSession) -> None:
        self.session = None

    def ahead(self, call: str) -> int:
        return 5

    def dropped(self, call: str) -> bool:
        return False

    def staffed(self, call: str) -> bool:
        return self.anyone

    def call_colleague(self, agent: str, colleague: str) -> str:
        return ""

    async def queued(self, within: float = 20) -> CallSession:
        await until(lambda: self.session is not None, within, "a caller in the queue")
        assert self.session is not None
        return self.session

    async def over(self, within: float = 10) -> None:
        await until(lambda: self.session is None, within, "the end of the session")


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    made = Exchange(tmp_path_factory.mktemp("agi"))
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.stop())
        made.close()


@pytest.fixture
async def phones(exchange: Exchange) -> AsyncIterator[Phones]:
    async with Phones(exchange.sip) as made:
        yield made


@pytest.fixture
def desk() -> TestDesk:
    return TestDesk()


@pytest.fixture
def start(exchange: Exchange, desk: TestDesk) -> Callable[[Pace], Awaitable[Server]]:
    async def feature(agent: str, action: str, reason: str) -> str:
        return "ok" if agent == "1001" and reason != "9" else "unknown"

    async def start(pace: Pace = FAST) -> Server:
        return await serve(
            exchange.settings.control_address,
            exchange.settings.agi_port,
            secret=render.agi_secret(exchange.settings),
            desk=desk,
            clock=clock.now,
            feature=feature,
            pace=pace,
            sounds=render.sounds_folder(exchange.settings),
        )

    return start


@pytest.fixture
async def server(start: Callable[[Pace], Awaitable[Server]]) -> AsyncIterator[Server]:
    server = await start(FAST)
    yield server
    await server.close()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The opening of twelve seconds is heard in one test only."""
    monkeypatch.setattr("ivr.script.opening", lambda number: ["hotline/please_wait"])


def said(leg: Leg, key: str) -> bool:
    # Most of it: a busy machine loses packets, and the last moment before a hang-up may lie in the jitter buffer.
    return spoken(key, leg.heard()) > 0.6


def hears_music(leg: Leg) -> bool:
    heard = leg.heard(1.0)
    return heard.size > 0 and max(likeness(piece, heard) for piece in music()) > 0.9


async def waiting(phones: Phones, desk: TestDesk) -> tuple[Leg, CallSession]:
    leg = await phones.citizen("13900000001").dial(NUMBER)
    session = await desk.queued()
    return leg, session


async def agent(phones: Phones, number: str = "1001", **manners: Any) -> AgentPhone:
    return await phones.agent(number, PASSWORD, **manners)


async def test_greeting_notice_music_agent(server: Server, desk: TestDesk, phones: Phones) -> None:
    phone = await agent(phones, answer_after=0.3)
    leg, session = await waiting(phones, desk)
    await until(lambda: hears_music(leg), 10, "music")
    assert said(leg, "greeting_12345")
    assert said(leg, "recording_notice")
    # To the last syllable, though the session does not wait until Asterisk says that the notice is over. Behind it are
    # 80 ms of silence, into which the music may begin.
    notice = prompt("recording_notice")
    syllable = notice[: np.flatnonzero(np.abs(notice) > 200)[-1]]
    assert likeness(leg.heard(), syllable[-RATE * 6 // 10 :]) > 0.9

    session.ring(("1001",), 5)
    offer = await phone.until_rings()
    assert offer.peer == "13900000001"
    await leg.until_hears(phone.tone)
    await leg.hang_up()
    await desk.over()

    arrived, queued = desk.facts
    assert isinstance(arrived, CallArrived)
    assert isinstance(queued, CallQueued)
    assert (arrived.number, arrived.caller) == (NUMBER, "+8613900000001")
    assert (queued.at - arrived.at) / SECOND > 11


@pytest.mark.usefixtures("short")
async def test_the_agent_hangs_up_first(server: Server, desk: TestDesk, phones: Phones) -> None:
    await agent(phones, answer_after=0.1, hang_up_after=0.5)
    leg, session = await waiting(phones, desk)
    session.ring(("1001",), 5)
    await leg.until_ended()
    assert not leg.hung_up_here
    await desk.over()
    assert not any(isinstance(fact, CallDetached | OfferEnded) for fact in desk.facts)


@pytest.mark.usefixtures("short")
async def test_nobody_answers_then_the_next_does(
    server: Server, desk: TestDesk, phones: Phones
) -> None:
    await agent(phones, answer_after=None)
    refusing = await agent(phones, "1002", refuses=True)
    leg, session = await waiting(phones, desk)

    rung_at = clock.now()
    session.ring(("1001",), 1.25)
    await until(lambda: isinstance(desk.facts[-1], OfferEnded), 10, "the end of the offer")
    ended = desk.facts[-1]
    assert ended == OfferEnded(ended.at, session.call, "1001", OfferReason.NO_ANSWER)
    assert (ended.at - rung_at) / SECOND > 1.2
    await until(lambda: hears_music(leg), 10, "music again")

    session.ring(("1002",), 5)
    await until(lambda: desk.facts[-1] is not ended, 10, "the end of the second offer")
    assert desk.facts[-1] == OfferEnded(
        desk.facts[-1].at, session.call, "1002", OfferReason.REFUSED
    )
    refusing.refuses, refusing.answer_after = False, 0.1
    session.ring(("1002",), 5)
    await leg.until_hears(refusing.tone)


@pytest.mark.usefixtures("short")
async def test_a_phone_that_is_not_there(server: Server, desk: TestDesk, phones: Phones) -> None:
    _, session = await waiting(phones, desk)
    session.ring(("1002",), 5)
    await until(lambda: isinstance(desk.facts[-1], OfferEnded), 10, "the end of the offer")
    assert desk.facts[-1] == OfferEnded(
        desk.facts[-1].at, session.call, "1002", OfferReason.UNREACHABLE
    )


@pytest.mark.usefixtures("short")
async def test_the_caller_gives_up_while_it_rings(
    server: Server, desk: TestDesk, phones: Phones
) -> None:
    phone = await agent(phones, answer_after=None)
    leg, session = await waiting(phones, desk)
    session.ring(("1001",), 10)
    offer = await phone.until_rings()
    await leg.hang_up()
    await offer.until_ended()
    await desk.over()
    assert server.sessions == 0


@pytest.mark.usefixtures("short")
async def test_a_ring_cuts_an_announcement_within_milliseconds(
    start: Callable[[Pace], Awaitable[Server]], desk: TestDesk, phones: Phones
) -> None:
    server = await start(Pace(announce_every=0.5))
    try:
        phone = await agent(phones, answer_after=1.5)
        leg, session = await waiting(phones, desk)
        started_at = time.monotonic()
        # "您前面还有五位来电者。" takes 2.4 s, from half a second after the caller was queued.
        await asyncio.sleep(1.5)
        asked_at = time.monotonic()
        session.ring(("1001",), 5)
        offer = await phone.until_rings()
        assert offer.started_at - asked_at < 0.25
        await until(lambda: hears_music(leg), 10, "music while the phone rings")
        heard = leg.heard_between(started_at, offer.started_at + 1.5)
        sentence = prompt("queue_ahead_5")
        assert likeness(heard, sentence[:4000]) > 0.9
        assert likeness(heard, sentence[-6000:]) < 0.6
        await leg.until_hears(phone.tone)
        await leg.hang_up()
    finally:
        await server.close()


@pytest.mark.usefixtures("short")
async def test_a_farewell(server: Server, desk: TestDesk, phones: Phones) -> None:
    leg, session = await waiting(phones, desk)
    session.release(Release.TIMED_OUT)
    await leg.until_ended(15)
    assert not leg.hung_up_here
    assert said(leg, "wait_limit")


@pytest.mark.usefixtures("short")
async def test_nobody_signed_in(server: Server, desk: TestDesk, phones: Phones) -> None:
    desk.anyone = False
    leg, _ = await waiting(phones, desk)
    await until(lambda: said(leg, "agents_away"), 15, "the sentence that nobody is there")


@pytest.mark.usefixtures("short")
async def test_a_new_controller_gives_the_old_place(
    start: Callable[[Pace], Awaitable[Server]], desk: TestDesk, phones: Phones
) -> None:
    first = await start(FAST)
    leg, session = await waiting(phones, desk)
    await first.close()
    assert desk.session is None
    second = await start(FAST)
    try:
        assert await desk.queued() is not session
        queued = next(fact for fact in desk.facts if isinstance(fact, CallQueued))
        back = desk.facts[-1]
        assert back == CallReturned(back.at, session.call, "default", queued.at)
        await until(lambda: hears_music(leg), 10, "music")
    finally:
        await second.close()
        await leg.hang_up()


@pytest.mark.parametrize(
    ("agent_number", "code", "key"),
    [
        ("1001", "*122", "agent_paused"),
        ("1001", "*129", "agent_refused"),
        ("1002", "*11", "agent_refused"),
    ],
)
async def test_feature_codes(
    server: Server, phones: Phones, agent_number: str, code: str, key: str
) -> None:
    phone = await agent(phones, agent_number)
    leg = await phone.dial(code)
    await leg.until_ended(10)
    assert said(leg, key)


@pytest.mark.parametrize(
    "value",
    ['a "quoted" word', "back\\slash\\", '\\"', "  ", "张三 ☎", "a,b;c${EXTEN}$(reboot)|`id`", ""],
)
async def test_asterisk_reads_an_argument_as_it_was_meant(
    exchange: Exchange, phones: Phones, value: str
) -> None:
    connections: asyncio.Queue[Connection] = asyncio.Queue()
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(connections.put_nowait, lambda connection: None),
        exchange.settings.control_address,
        exchange.settings.agi_port,
    )
    async with listening:
        leg = await phones.citizen("13900000002").dial(NUMBER)
        async with asyncio.timeout(20):
            connection = await connections.get()
        await connection.environment(5)
        await connection.ask("SET VARIABLE", "TRIED", value)
        assert await connection.ask("GET VARIABLE", "TRIED") == AgiReply(200, "1", value)
        await connection.ask("SET VARIABLE", "HL_DONE", "1")
        connection.close("done")
        await leg.until_ended()
