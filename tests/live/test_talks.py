"""Talks that end as no talk should: a phone that drops its caller, and what becomes of the citizen."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from facts import CallbackAdded, CallEnded, CallTransferred, LinkRestored, OfferAnswered, TalkEnded
from facts.offers import NO_TALK
from facts.terms import Outcome, Party
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre

GREETING = 18.0


@pytest.fixture
def centre() -> Iterator[Centre]:
    """A centre of the test's own, with a short greeting."""
    with Centre(ring_time=20) as made:
        made.add_agent("1001", "1002")
        made.shorten_greeting()
        yield made
        assert not made.complaints(), "\n".join(made.complaints())


async def test_a_caller_dropped_at_once_keeps_their_place_and_is_offered_on(
    centre: Centre,
) -> None:
    async with Phones(centre.sip) as phones:
        broken = await centre.agent(phones, "1001", answer_after=0.2, hang_up_after=0.0)
        leg = await phones.citizen("13900100001").dial(NUMBER)
        call = await centre.call_id("13900100001")
        ended = await centre.fact(TalkEnded, GREETING, call=call, agent="1001")
        (answered,) = centre.facts(OfferAnswered, call=call, agent="1001")
        assert ended.hung_up_by is Party.AGENT
        assert ended.at - answered.at <= NO_TALK

        await centre.fact(CallTransferred, call=call, agent="", to="")
        assert leg.ended_at is None, "the citizen is still on the line"
        second = await centre.agent(phones, "1002", answer_after=0.2)
        await centre.fact(OfferAnswered, 10, call=call, agent="1002")
        await leg.until_hears(second.tone)
        await asyncio.sleep(1.2)
        assert len(broken.offers) == 1, "1001 must first say that they are ready"
        await leg.hang_up()
        row = await centre.call("13900100001")
        assert row["outcome"] == Outcome.HUMAN.value
        assert row["agents"] == ["1002"]


async def test_citizens_whose_talks_a_crash_of_asterisk_cuts_are_called_back(
    centre: Centre,
) -> None:
    async with Phones(centre.sip) as phones:
        await centre.agent(phones, "1001", answer_after=0.2)
        await phones.citizen("13900100001").dial(NUMBER)
        call = await centre.call_id("13900100001")
        await centre.fact(OfferAnswered, GREETING, call=call)
        await asyncio.sleep(2)
        centre.expected += ["link.down", "program.died", "recording.incomplete"]
        os.kill(centre.pid("asterisk -"), signal.SIGKILL)
        await centre.fact(LinkRestored, 40, count=2)
        ended = await centre.fact(CallEnded, 10, call=call)
        assert ended.hung_up_by is Party.SYSTEM
        task = await centre.fact(CallbackAdded, 10)
        assert (task.origin, task.reason) == (call, "lost")
        row = await centre.call("13900100001")
        assert row["outcome"] == Outcome.HUMAN.value
        report = await centre.report()
        assert report["M24"]["numerator"] == 1
