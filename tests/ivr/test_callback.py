"""Callbacks over AGI: the attempt's own session, and how a citizen gets an agent whose callback has yielded."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from facts import CallDetached, CallQueued, CallReleased
from facts.terms import Release
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import SECRET, FakeCall, close_all
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended, waiting

ATTEMPT = "hotline-c7.1"
LINE = "PJSIP/1001-00000001"


@dataclass
class Attempt:
    number: str = "+8613800000001"
    caller: str = "12345"
    rings: float = 30.0
    queue: str = "tax"


class FakeCallbacks:
    """What `telephony.outbound` would say."""

    def __init__(self) -> None:
        self.attempts = {ATTEMPT: Attempt()}
        self.lines: dict[tuple[str, str], str] = {}
        self.first: set[str] = set()
        self.waits: list[tuple[str, float]] = []

    def attempt(self, call: str) -> Attempt | None:
        return self.attempts.get(call)

    def kept_channel(self, call: str, agent: str) -> str:
        return self.lines.get((call, agent), "")

    def keep_longer(self, call: str, agent: str, wait: float) -> None:
        self.waits.append((agent, wait))

    def goes_first(self, call: str) -> bool:
        return call in self.first


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def callbacks() -> FakeCallbacks:
    return FakeCallbacks()


@pytest.fixture
async def server(desk: FakeDesk, callbacks: FakeCallbacks) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, key: str) -> str:
        return "ok"

    made = await serve(
        "127.0.0.1",
        0,
        secret=SECRET,
        desk=desk,
        clock=lambda: NOW,
        feature=feature,
        pace=Pace(announce_every=60),
        callbacks=callbacks,
    )
    yield made
    await made.close()
    await ended(made)
    await close_all()


async def attempt(server: Server, call: str = ATTEMPT) -> FakeCall:
    # Whatever the dialplan gives as an argument, the channel's own id counts.
    return await FakeCall.connect(server.port, "hotline-c8.1", script="callback", call=call)


async def test_the_citizen_is_dialled_with_the_hotlines_number(server: Server) -> None:
    call = await attempt(server)
    assert await call.next() == [
        "EXEC",
        "MSet",
        "CALLERID(num)=12345,CALLERID(name)=,_HL_ATTEMPT=hotline-c7.1,_HL_CITIZEN=+8613800000001,_HL_QUEUE=tax",
    ]
    call.answer("200 result=0")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/+8613800000001@outbound,30,iI"]
    call.answer("200 result=-1")
    assert await call.next() == []


@pytest.mark.parametrize("name", ["hotline-c8.1", "x/../y", ""])
async def test_an_attempt_that_nobody_wants_dials_nobody(server: Server, name: str) -> None:
    call = await attempt(server, name)
    assert await call.next() == []


async def test_only_a_number_is_ever_dialled(server: Server, callbacks: FakeCallbacks) -> None:
    callbacks.attempts[ATTEMPT] = Attempt(number="1&PJSIP/2")
    assert await (await attempt(server)).next() == []


async def test_an_agent_who_hangs_up_meanwhile_is_no_error(server: Server) -> None:
    call = await attempt(server)
    await call.until("EXEC Dial")
    call.hang_up()
    assert await call.next() == []


async def test_an_agent_whose_callback_yielded_sees_why(
    server: Server, desk: FakeDesk, callbacks: FakeCallbacks
) -> None:
    callbacks.first.add(CALL)
    call = await waiting(server, desk)
    desk.attached[CALL].ring(("1001",), 15.0)
    assert await call.next() == ["EXEC", "MSet", "CALLERID(name)=呼入优先"]
    call.answer("200 result=0")
    assert (await call.next())[:2] == ["EXEC", "Dial"]
    call.answer("200 result=-1")
    await call.end()


async def test_an_agent_who_stays_on_the_line_is_fetched(
    server: Server, desk: FakeDesk, callbacks: FakeCallbacks
) -> None:
    callbacks.lines[CALL, "1001"] = LINE
    call = await waiting(server, desk)
    desk.attached[CALL].ring(("1001",), 15.0)
    heard = []
    for answer in ("200 result=1", "200 result=0", "200 result=0", "200 result=1 (SUCCESS)"):
        heard.append(" ".join(await call.next()))
        call.answer(answer)
    assert heard == [
        "SET VARIABLE DIALSTATUS ANSWER",
        "SET MUSIC OFF",
        f"EXEC Bridge {LINE},x",
        "GET VARIABLE BRIDGERESULT",
    ]
    await call.end()
    assert not any(isinstance(fact, CallDetached) for fact in desk.facts), "the caller has talked"


async def test_a_line_that_is_gone_leaves_the_caller_where_they_were(
    server: Server, desk: FakeDesk, callbacks: FakeCallbacks
) -> None:
    callbacks.lines[CALL, "1001"] = LINE
    call = await waiting(server, desk)
    desk.attached[CALL].ring(("1001",), 15.0)
    await call.until("GET VARIABLE BRIDGERESULT")
    call.answer("200 result=1 (NONEXISTENT)")
    assert await call.next() == ["SET", "VARIABLE", "DIALSTATUS", ""]
    call.answer("200 result=1")
    assert await call.next() == ["SET", "MUSIC", "ON"]


async def test_nobody_at_the_outside_number(server: Server, desk: FakeDesk) -> None:
    call = await waiting(server, desk)
    desk.attached[CALL].send_outside("0411000")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/0411000@outbound,60,mI"]
    call.answer("200 result=0")
    assert await call.until("STREAM FILE") == ["STREAM", "FILE", "hotline/wait_limit", ""]
    call.answer("200 result=0 endpos=8000")
    await call.end()
    assert CallReleased(NOW, CALL, Release.TIMED_OUT) in desk.facts
    assert [type(fact) for fact in desk.facts if isinstance(fact, CallQueued)] == [CallQueued]
