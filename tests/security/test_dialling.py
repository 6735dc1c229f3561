"""Callers whose number nobody may dial give up, on a real Asterisk: nothing is dialled, and it is counted."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from facts import CallArrived, CallbackAdded, CallbackPlaced, CallEnded, DialRefused
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre
from tests.live.gateway import Gateway, Manners

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

CITIZEN = "13800000001"
WATCHED = 8.0
"""Seconds for which the way out is watched. Without the gate the first call left within one."""


@pytest.fixture(scope="module")
def way_out() -> Iterator[Gateway]:
    """The operator's gateway; a test opens it."""
    made = Gateway()
    yield made
    made.close()


@pytest.fixture(scope="module")
def centre(way_out: Gateway) -> Iterator[Centre]:
    """A centre with a way out that calls back whoever gave up, as it does by default."""
    with Centre(outbound=way_out.address, wrap_up_time=0) as made:
        made.add_agent("1001")
        made.shorten_greeting()
        yield made


async def test_a_number_that_must_not_be_dialled_is_not(centre: Centre, way_out: Gateway) -> None:
    """The hotline's own number: it called itself, eleven times in 50 s. Then 110, a satellite, and an agent."""
    strangers = {
        NUMBER: "own",
        "024" + NUMBER: "own",
        "110": "emergency",
        "+882161234567": "premium",
        "1001": "agent",
        "10086": "short",
    }
    way_out.otherwise = Manners(answer_after=0.1, hang_up_after=0.5)
    async with way_out, Phones(centre.sip) as phones:
        for count, (number, why) in enumerate(strangers.items(), 1):
            leg = await phones.citizen(number).dial(NUMBER)
            arrived = await centre.fact(CallArrived, 10, count=count)
            await asyncio.sleep(2)
            await leg.hang_up()
            await centre.fact(CallEnded, call=arrived.call)
            refused: DialRefused = await centre.fact(DialRefused, call=arrived.call)
            assert (refused.purpose, refused.why) == ("lost", why)
        agent = await centre.agent(phones, "1001", answer_after=0.1)
        until = time.monotonic() + WATCHED
        while time.monotonic() < until:
            assert way_out.calls == []
            assert agent.offers == []
            await asyncio.sleep(0.1)
        assert len(centre.facts(CallArrived)) == len(strangers), "the hotline has called itself"
        assert centre.facts(CallbackAdded, CallbackPlaced) == []

        # A citizen at home is still called back, once; who was reached is not called again.
        await centre.press(agent, "*12")
        for _ in range(2):
            leg = await phones.citizen(CITIZEN).dial(NUMBER)
            await asyncio.sleep(3)
            await leg.hang_up()
        await centre.press(agent, "*11")
        await way_out.call(1, CITIZEN)
        await asyncio.sleep(3)
        assert [call.number for call in way_out.calls] == [CITIZEN]
        assert len(centre.facts(CallbackAdded)) == 1
    assert centre.complaints() == []
