"""Calls counted by hand against the report, and the day proven against CEL and the recordings."""

import asyncio
import json
import time

import pytest

from facts import RecordingFinished, WrapUpEnded
from softphone.phones import Phones
from tests.live.centre import NUMBER, Centre

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def quick(centre: Centre) -> Centre:
    """The shared centre, from now on with a short greeting."""
    centre.shorten_greeting()
    return centre


@pytest.mark.usefixtures("quick")
async def test_three_calls_counted_by_hand_and_proven(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.5)

    # One citizen hangs up first, one is hung up on, one leaves in the greeting after less than five seconds.
    leg = await phones.citizen("13900000101").dial(NUMBER)
    await leg.until_hears(agent.tone, 15)
    await asyncio.sleep(2)
    await leg.hang_up()
    first = await centre.call("13900000101")
    await centre.fact(WrapUpEnded, 15, agent="1001", call=first["id"])

    leg = await phones.citizen("13900000102").dial(NUMBER)
    await leg.until_hears(agent.tone, 15)
    await asyncio.sleep(1)
    await agent.offers[-1].hang_up()
    await leg.until_ended()
    second = await centre.call("13900000102")
    assert second["hung_up_by"] == "agent"
    await centre.fact(WrapUpEnded, 15, agent="1001", call=second["id"])

    centre.change_prompts()  # the whole greeting: on a busy machine the short one may be over
    leg = await phones.citizen("13900000103").dial(NUMBER)
    await leg.until_answered()
    # A caller who leaves in the same instant may leave no sound at all.
    await asyncio.sleep(0.3)
    await leg.hang_up()
    third = await centre.call("13900000103")
    assert third["outcome"] == "abandoned_greeting"
    for row in (first, second):
        await centre.fact(RecordingFinished, 20, call=row["id"])

    report = await centre.report()
    rows = await centre.calls()
    talked = sum(_length(row) for row in rows)
    assert (report["M1"]["numerator"], report["M1"]["denominator"]) == (2, 3)
    assert (report["M3"]["numerator"], report["M3"]["denominator"]) == (2, 2)
    assert (report["M21"]["numerator"], report["M21"]["denominator"]) == (1, 2)
    assert (report["M23"]["numerator"], report["M23"]["denominator"]) == (2, 2)
    assert report["M9"]["denominator"] == 2
    # Talk as in the list of calls, and twice the wrap-up that the floor ended by itself.
    wrapped = report["M9"]["numerator"] - talked
    assert 0 < wrapped < 2 * 6
    assert report["M10"]["numerator"] == pytest.approx(report["M9"]["numerator"])
    assert report["M10"]["denominator"] >= talked
    mine = await centre.report("--agent", "1001")
    assert (mine["M9"]["numerator"], mine["M9"]["denominator"]) == (
        report["M9"]["numerator"],
        2,
    )

    # CEL and the ledger are compared half a minute after a call.
    deadline = time.monotonic() + 90
    while "CEL: 3 calls" not in (said := await centre.cli("metrics", "verify", status=None)):
        assert "differs" not in said, said
        assert time.monotonic() < deadline, said
        await asyncio.sleep(2)
    assert "agrees: live figures" in said
    assert "agrees: recordings: 3" in said
    await centre.cli("metrics", "verify", status=0)
    json.loads(await centre.cli("metrics", "incident", "list", "--format", "json"))


def _length(row: dict[str, str | None]) -> float:
    from datetime import datetime

    if row["answered"] is None or row["ended"] is None:
        return 0.0
    ended, answered = (datetime.fromisoformat(row[name] or "") for name in ("ended", "answered"))
    return (ended - answered).total_seconds()
