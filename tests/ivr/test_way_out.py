"""An outside number is dialled by one trunk or another, and only what a trunk itself fails to do is tried again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from facts import CallReleased
from facts.terms import Release
from ivr import way_out
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import SECRET, FakeCall, close_all
from tests.ivr.test_callback import ATTEMPT, FakeCallbacks
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended, waiting

FIRST = "PJSIP/outbound-first-0000000a"
VARIABLES = "${DIALSTATUS} ${HANGUPCAUSE_KEYS()} ${RINGTIME_MS}${PROGRESSTIME_MS}"


@dataclass(frozen=True)
class FakeWay:
    name: str
    endpoint: str
    shows: str = ""


@dataclass
class FakeWays:
    """What `telephony.trunks` would say."""

    found: Sequence[FakeWay] = (
        FakeWay("first", "outbound-first"),
        FakeWay("second", "outbound-second", "8890"),
    )
    asked: list[str] = field(default_factory=list)
    begun: list[tuple[str, str]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    cut: bool = False

    def ways(self, number: str) -> Sequence[FakeWay]:
        self.asked.append(number)
        return self.found

    def begins(self, call: str, way: FakeWay) -> None:
        self.begun.append((call, way.name))

    def over(self, call: str) -> bool:
        self.ended.append(call)
        return self.cut


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
def callbacks() -> FakeCallbacks:
    return FakeCallbacks()


@pytest.fixture
def ways() -> FakeWays:
    return FakeWays()


@pytest.fixture
async def server(desk: FakeDesk, callbacks: FakeCallbacks, ways: FakeWays) -> AsyncIterator[Server]:
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
        ways=ways,
    )
    yield made
    await made.close()
    await ended(made)
    await close_all()


async def dialled(server: Server) -> FakeCall:
    """A callback whose first trunk is being dialled."""
    call = await FakeCall.connect(server.port, ATTEMPT, script="callback", call=ATTEMPT)
    dial = await call.until("EXEC Dial")
    assert dial == ["EXEC", "Dial", "PJSIP/+8613800000001@outbound-first,30,iI"]
    assert ["EXEC", "HangupCauseClear"] in call.commands
    return call


async def fails(call: FakeCall, heard: str, cause: str = "") -> None:
    """The first dial comes to nothing."""
    call.answer("200 result=0")
    assert await call.next() == ["GET", "FULL", "VARIABLE", VARIABLES]
    call.answer(f"200 result=1 ({heard})")
    if cause:
        assert await call.next() == ["GET", "FULL", "VARIABLE", f"${{HANGUPCAUSE({FIRST},tech)}}"]
        call.answer(f"200 result=1 ({cause})")


@pytest.mark.parametrize(
    ("heard", "cause"),
    [
        (f"CONGESTION {FIRST} ", "SIP 503 Service Unavailable"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 500 (what) ever"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 408 Request Timeout"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 401 Unauthorized"),
        ("CHANUNAVAIL  ", ""),
    ],
)
async def test_the_next_trunk_dials_what_the_first_did_not_take(
    server: Server, ways: FakeWays, heard: str, cause: str
) -> None:
    call = await dialled(server)
    await fails(call, heard, cause)
    assert await call.next() == [
        "EXEC",
        "Dial",
        "PJSIP/+8613800000001@outbound-second,30,iIf(8890)",
    ]
    call.answer("200 result=-1")
    assert await call.next() == []
    assert ways.asked == ["12345"], "the hotline's number decides"
    assert (ways.begun, ways.ended) == ([(ATTEMPT, "first")], [ATTEMPT])


@pytest.mark.parametrize(
    ("heard", "cause"),
    [
        (f"BUSY {FIRST} ", "SIP 486 Busy Here"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 404 Not Found"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 603 Decline"),
        (f"NOANSWER {FIRST} ", "SIP 480 Temporarily Unavailable"),
        (f"CHANUNAVAIL {FIRST} ", "SIP 403 Forbidden"),
        (f"CONGESTION {FIRST} 1500", ""),
        (f"NOANSWER {FIRST} ", "SIP 487 Request Terminated"),
        ("NOANSWER  ", ""),
        ("ANSWER  ", ""),
        ("CANCEL  ", ""),
        ("CHANUNAVAIL ${SHELL(x)} ", ""),
    ],
)
async def test_what_the_far_end_said_or_what_rang_is_not_dialled_again(
    server: Server, heard: str, cause: str
) -> None:
    call = await dialled(server)
    await fails(call, heard, cause)
    assert await call.next() == []


async def test_a_talk_is_the_end(server: Server, ways: FakeWays) -> None:
    call = await dialled(server)
    call.answer("200 result=-1")
    assert await call.next() == []
    assert ways.ended == [ATTEMPT]


async def test_an_agent_who_hangs_up_dials_nobody_else(server: Server, ways: FakeWays) -> None:
    call = await dialled(server)
    call.hang_up()
    assert await call.next() == []
    assert ways.ended == [ATTEMPT]


async def test_a_leg_that_was_cut_at_a_dead_trunk_goes_on(server: Server, ways: FakeWays) -> None:
    call = await dialled(server)
    ways.cut = True
    await fails(call, f"NOANSWER {FIRST} ")
    assert (await call.next())[2].startswith("PJSIP/+8613800000001@outbound-second,")
    call.answer("200 result=0")
    assert await call.next() == []


async def test_an_attempt_that_nobody_wants_any_more_is_not_tried_again(
    server: Server, callbacks: FakeCallbacks
) -> None:
    call = await dialled(server)
    callbacks.attempts.clear()
    await fails(call, "CHANUNAVAIL  ")
    assert await call.next() == []


async def test_too_late_for_another_trunk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_out, "BEGIN_WITHIN", -1.0)
    call = await dialled(server)
    await fails(call, "CHANUNAVAIL  ")
    assert await call.next() == []


async def test_one_trunk_is_dialled_without_further_questions(
    server: Server, ways: FakeWays
) -> None:
    ways.found = (FakeWay("first", "outbound-first"),)
    call = await FakeCall.connect(server.port, ATTEMPT, script="callback", call=ATTEMPT)
    assert (await call.until("EXEC Dial"))[2] == "PJSIP/+8613800000001@outbound-first,30,iI"
    call.answer("200 result=0")
    assert await call.next() == []
    assert [command[1] for command in call.commands[:2]] == ["MSet", "Dial"]
    assert ways.begun == []


async def test_an_overflow_goes_by_the_next_trunk_too(server: Server, desk: FakeDesk) -> None:
    call = await waiting(server, desk)
    desk.attached[CALL].send_outside("0411000")
    assert (await call.until("EXEC Dial"))[2] == "PJSIP/0411000@outbound-first,60,mI"
    await fails(call, f"CONGESTION {FIRST} ", "SIP 503 Service Unavailable")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/0411000@outbound-second,60,mIf(8890)"]
    call.answer("200 result=0")
    await call.end()
    assert [fact for fact in desk.facts if isinstance(fact, CallReleased)] == [
        CallReleased(NOW, CALL, Release.TIMED_OUT)
    ], "one way out, however many trunks"
