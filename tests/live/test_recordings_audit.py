"""`hotline recordings audit` of a real day: with tones for each party all is on record; a removed file is named."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from facts import CallSilent, RecordingFinished, TalkHeld, TalkResumed
from softphone.phones import AgentPhone, Leg, Phones
from tests.live.centre import NUMBER, Centre, until_talk
from tests.live.test_caller_side import PHRASES, until_asked

GREETING = 10.0


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(wrap_up_time=1) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


async def talk(phones: Phones, caller: str, agent: AgentPhone) -> tuple[Leg, Leg]:
    """The citizen's leg and the agent's, in a talk."""
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent.offers[-1]


async def audit(centre: Centre, status: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        await centre.cli(
            *("recordings", "audit", "--format", "json", "--lang", "en"), status=status
        )
    )
    return found


async def test_all_is_on_record_until_a_file_is_removed(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)

    # A hold, longer than the talk before and after it.
    leg, at_agent = await talk(phones, "13900000001", agent)
    held = await centre.call_id("13900000001")
    await at_agent.hold()
    await centre.fact(TalkHeld, call=held)
    await leg.until_hears_something()
    await at_agent.resume()
    await centre.fact(TalkResumed, call=held)
    await until_talk(leg, agent.tone)
    await leg.hang_up()

    # The caller speaks as soon as the phrase of *0 is said; the agent is still there.
    await centre.presence("1001", "ready", 10)
    leg, at_agent = await talk(phones, "13900000002", agent)
    asked = await centre.call_id("13900000002")
    await at_agent.press("*0")
    await until_talk(leg, agent.tone, PHRASES)
    await leg.hang_up()

    # The caller never speaks.
    await centre.presence("1001", "ready", 10)
    leg = await phones.citizen("13900000003").dial(NUMBER)
    leg.silent = True
    await until_talk(leg, agent.tone, GREETING)
    silent = await centre.call_id("13900000003")
    await agent.offers[-1].press("*0")
    await until_asked(leg)
    await leg.until_ended(PHRASES)
    await centre.fact(CallSilent, call=silent)

    # From one agent to the other.
    await centre.presence("1001", "ready", 10)
    leg, at_agent = await talk(phones, "13900000004", agent)
    other = await centre.agent(phones, "1002", answer_after=0.2)
    await at_agent.transfer("1002")
    await until_talk(leg, other.tone, GREETING)
    await other.offers[-1].hang_up()
    await leg.until_ended()
    moved = await centre.call_id("13900000004")

    for call in (held, asked, silent, moved):
        await centre.fact(RecordingFinished, 20, call=call)
    found = await audit(centre, 0)
    assert (found["calls"], found["files"], found["findings"]) == (4, 4, [])
    assert [(one["reason"], one["call"]) for one in found["unrecorded"]] == [
        ("hold", held),
        ("asked", asked),
        ("asked", silent),
    ]
    assert found["not_checked"] == []
    report = await centre.report()
    assert found["M23"] == found["M23_reported"] == report["M23"]
    assert found["M23"]["numerator"] == 4

    (file,) = (centre.home / "recordings").rglob(f"{moved}.mp4.enc")
    file.unlink()
    found = await audit(centre, 1)
    assert [(one["kind"], one["call"]) for one in found["findings"]] == [("missing", moved)]
    assert str(moved) in found["findings"][0]["text"]
    assert found["M23"]["numerator"] == 3
