"""Hints about a real call whose two sides say known prompts at known seconds, heard though the recorder is killed."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from base import database
from facts import RecordingFinished
from recorder.tables import recording_voice
from softphone.phones import RATE, Phones
from tests.live.centre import NUMBER, Centre, until_talk
from tests.recorder.voices import side, spoken

CALLER = "13900004711"
SECONDS = 15.5


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(hint_long_silence=5, hint_talk_over=1, hint_too_short=5) as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        yield centre


async def test_a_call_is_heard_though_the_recorder_is_killed_and_has_the_hints_of_what_was_said(
    centre: Centre, phones: Phones
) -> None:
    """The agent speaks over the citizen, both are silent, the agent says a last word and hangs up."""
    citizen, over, last = (
        spoken(key) for key in ("no_response_farewell", "agent_refused", "queue_ahead_1")
    )
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(CALLER).dial(NUMBER)
    await until_talk(leg, agent.tone, 10)
    call = await centre.call_id(CALLER)
    leg.say(side(SECONDS, [(1, citizen)]))
    agent.offers[-1].say(side(SECONDS, [(4, over), (13, last)]))
    await asyncio.sleep(SECONDS + 1)
    await agent.offers[-1].hang_up()
    await centre.fact(RecordingFinished, 20, call=call)

    log = centre.home / "log" / "recorder.log"
    await centre.until(lambda: "voice.backlog" in log.read_text(), 30, "somebody to listen")
    centre.expected.append("program.died")
    os.kill(centre.pid(" recorder"), signal.SIGKILL)

    async def told() -> dict[str, Any]:
        words = ("recordings", "hints", "--call", call, "--format", "json")
        found: dict[str, Any] = json.loads(await centre.cli(*words))
        return found

    async with asyncio.timeout(40):
        while (found := await told())["waiting"]:
            await asyncio.sleep(0.5)
    assert (found["calls"], found["unheard"]) == (1, 0)
    hints = {one["kind"]: one for one in found["hints"]}
    assert set(hints) == {"talk_over", "long_silence", "agent_hung_up_first"}
    silence = 12 - citizen.size / RATE
    assert hints["talk_over"]["value"] == pytest.approx(over.size / RATE, abs=0.5)
    assert hints["long_silence"]["value"] == pytest.approx(silence, abs=0.5)
    apart = hints["long_silence"]["at"] - hints["talk_over"]["at"]
    assert apart == pytest.approx(citizen.size / RATE - 3, abs=0.5)
    assert {one["agent"] for one in hints.values()} == {"1001"}
    engine = database.engine(f"sqlite+aiosqlite:///{centre.home / 'hotline.db'}")
    async with engine.connect() as connection:
        rows = (await connection.execute(select(recording_voice))).all()
    await engine.dispose()
    assert [(row.call, row.why) for row in rows] == [(call, "")]
