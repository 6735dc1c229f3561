"""Transfers over AGI: a citizen who comes back to be handed over, and an agent who calls a colleague."""

from collections.abc import AsyncIterator

import pytest

from facts import CallArrived, CallDetached, CallReturned, CallTransferred, Fact, OwnCallEnded
from ivr.server import Server, serve
from ivr.session import Pace
from tests.fakes.asterisk_agi import SECRET, FakeCall, close_all
from tests.ivr.test_server import CALL, NOW, FakeDesk, ended

ARRIVED, QUEUED = NOW - 60_000_000, NOW - 50_000_000
BY_1001 = "200 result=1 (PJSIP/1001-0000002a)"


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def server(desk: FakeDesk) -> AsyncIterator[Server]:
    async def feature(agent: str, action: str, key: str) -> str:
        return "ok"

    pace = Pace(announce_every=60)
    made = await serve(
        *("127.0.0.1", 0),
        secret=SECRET,
        desk=desk,
        clock=lambda: NOW,
        feature=feature,
        pace=pace,
    )
    yield made
    await made.close()
    await ended(made)
    await close_all()


async def handed_over(server: Server, to: str, by: str = BY_1001) -> FakeCall:
    """An agent has transferred a citizen; the floor has not decided anything yet."""
    arguments = ("12345", str(ARRIVED), str(QUEUED), "default", to)
    call = await FakeCall.connect(server.port, *arguments)
    assert await call.next() == ["GET", "VARIABLE", "BLINDTRANSFER"]
    call.answer(by)
    assert await call.next() == ["EXEC", "MSet", "HL_TRIES=0,HL_TARGET="]
    return call


async def test_the_citizen_is_handed_over_and_rung_for_without_another_greeting(
    server: Server, desk: FakeDesk
) -> None:
    def decide(fact: Fact) -> None:
        if isinstance(fact, CallTransferred):
            desk.attached[CALL].ring(("1002",), 15.0)

    desk.on = decide
    call = await handed_over(server, "1002")
    call.answer("200 result=0")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/1002,15.000,miI"]
    call.answer("200 result=-1")
    await call.end()
    assert desk.facts == [
        CallArrived(ARRIVED, CALL, "12345", "+8613812345678"),
        CallTransferred(NOW, CALL, "1001", "1002"),
    ]


async def test_one_who_has_to_wait_hears_music_like_any_other(
    server: Server, desk: FakeDesk
) -> None:
    desk.anyone = False  # the citizen has heard already that nobody was there, or has talked
    call = await handed_over(server, "1002")
    call.answer("200 result=0")
    assert await call.next() == ["SET", "MUSIC", "ON"]
    call.hang_up()
    await call.end()
    assert desk.facts[-1] == CallDetached(NOW, CALL)


@pytest.mark.parametrize("by", ["200 result=0", "200 result=1 (PJSIP/trunk-00000001)"])
async def test_who_did_it_may_be_unknown(server: Server, desk: FakeDesk, by: str) -> None:
    await handed_over(server, "1002", by)
    assert desk.facts[-1] == CallTransferred(NOW, CALL, "", "1002")


async def test_a_citizen_left_silent_by_the_agent_is_handed_to_nobody(
    server: Server, desk: FakeDesk
) -> None:
    arguments = ("12345", str(ARRIVED), str(QUEUED), "default", "queue")
    call = await FakeCall.connect(server.port, *arguments)
    assert await call.next() == ["EXEC", "MSet", "HL_TRIES=0,HL_TARGET="]
    assert desk.facts[-1] == CallTransferred(NOW, CALL, "", "")


@pytest.mark.parametrize("to", ["1002&PJSIP/1", "1002,60", "x", "1" * 16])
async def test_a_target_that_is_no_number_is_none(server: Server, desk: FakeDesk, to: str) -> None:
    arguments = ("12345", str(ARRIVED), str(QUEUED), "default", to)
    call = await FakeCall.connect(server.port, *arguments)
    await call.until("SET MUSIC ON")
    assert desk.facts[-1] == CallReturned(NOW, CALL, "default", QUEUED)


async def test_one_who_is_handed_on_from_a_callback_gets_a_place(
    server: Server, desk: FakeDesk
) -> None:
    """The channel holds none: whatever ends the controller, the next one gives the citizen this one back."""
    call = await FakeCall.connect(server.port, "", "", "", "tax", "1002", "hotline-c7.1")
    assert await call.next() == ["GET", "VARIABLE", "BLINDTRANSFER"]
    call.answer(BY_1001)
    place = f"HL_ARRIVED={NOW},HL_QUEUED={NOW},HL_QUEUE=tax"
    assert await call.next() == ["EXEC", "MSet", f"{place},HL_TRIES=0,HL_TARGET="]
    assert desk.facts == [
        CallArrived(NOW, CALL, "", "+8613812345678", "hotline-c7.1", "tax"),
        CallTransferred(NOW, CALL, "1001", "1002"),
    ]
    again = await FakeCall.connect(
        server.port, "", str(ARRIVED), str(QUEUED), "tax", "", "hotline-c7.1"
    )
    await again.until("SET MUSIC ON")
    assert desk.facts[-2:] == [
        CallArrived(ARRIVED, CALL, "", "+8613812345678", "hotline-c7.1", "tax"),
        CallReturned(NOW, CALL, "tax", QUEUED),
    ]


async def test_nobody_answers_outside_and_the_citizen_waits_again(
    server: Server, desk: FakeDesk
) -> None:
    desk.on = lambda fact: (
        desk.attached[CALL].send_outside("12333") if isinstance(fact, CallTransferred) else None
    )
    call = await handed_over(server, "12333")
    call.answer("200 result=0")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/12333@outbound,60,mI"]
    call.answer("200 result=0")
    assert await call.next() == ["SET", "MUSIC", "ON"]
    assert desk.facts[-1] == CallReturned(NOW, CALL, "default", QUEUED)


# --- an agent calls a colleague


async def colleague(server: Server, agent: str, dialled: str) -> FakeCall:
    return await FakeCall.connect(server.port, agent, dialled, script="colleague", call=CALL)


async def test_a_colleague_is_rung(server: Server, desk: FakeDesk) -> None:
    call = await colleague(server, "1001", "1002")
    assert await call.next() == ["SET", "VARIABLE", "HL_DONE", "1"]
    call.answer("200 result=1")
    assert await call.next() == ["EXEC", "Dial", "PJSIP/1002,30,iI"]
    call.answer("200 result=-1")  # they have talked: AMI tells the end
    assert await call.next() == []
    assert desk.facts == []


async def test_a_colleague_who_does_not_answer_is_free_again(
    server: Server, desk: FakeDesk
) -> None:
    call = await colleague(server, "1001", "1002")
    await call.until("EXEC Dial")
    call.answer("200 result=0")
    assert await call.next() == []
    assert desk.facts == [OwnCallEnded(NOW, "1002")]


async def test_a_colleague_is_free_when_the_agent_hangs_up_before_it_rings(
    server: Server, desk: FakeDesk
) -> None:
    call = await colleague(server, "1001", "1002")
    await call.next()
    call.hang_up()
    assert await call.next() == []
    assert desk.facts == [OwnCallEnded(NOW, "1002")]


@pytest.mark.parametrize(
    ("agent", "dialled"), [("trunk", "1002"), ("1001", ""), ("1001", "1"), ("1001", "013912345678")]
)
async def test_only_an_agent_calls_and_only_an_agent_is_called(
    server: Server, agent: str, dialled: str
) -> None:
    assert await (await colleague(server, agent, dialled)).next() == []


async def test_a_busy_colleague_is_not_rung(server: Server, desk: FakeDesk) -> None:
    desk.busy = {"1002"}
    assert await (await colleague(server, "1001", "1002")).next() == []
    assert desk.facts == []
