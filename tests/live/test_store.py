"""A call's recording leaves the machine: sent to the store, read back, and given out from there."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from facts import RecordingFinished
from softphone.phones import Phones, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, Centre, until_talk
from tests.seaweed import KEY, Seaweed

GREETING = 10.0
BUCKET = "whole-centre"


@pytest.fixture(scope="module")
def running(seaweed: Seaweed) -> Iterator[Centre]:
    seaweed.make(BUCKET)
    store = {
        "recording_store": f"s3://{BUCKET}/centre",
        "store_endpoint": f"http://127.0.0.1:{seaweed.port}",
    }
    made = Centre(**store)
    secrets = made.home / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "recordings-store").write_text(f"{KEY.id}\n{KEY.secret}\n")
    with made as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        yield centre


async def test_a_call_goes_to_the_store_and_comes_back(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen("13900000701").dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    await leg.until_hears(agent.tone)
    await asyncio.sleep(1.5)
    call = await centre.call_id("13900000701")
    await leg.hang_up()
    await centre.fact(RecordingFinished, 20, call=call)
    recordings = centre.home / "recordings"
    await centre.until(lambda: not list(recordings.rglob(f"{call}.*")), 30, "it to leave")

    out = centre.home / "out.wav"
    await centre.cli("recordings", "export", call, "--out", str(out))
    left, right = sounds.stereo(out)
    assert seconds_of(left, leg.tone) > 1
    assert seconds_of(right, agent.tone) > 1
    found = json.loads(await centre.cli("recordings", "audit", "--format", "json"))
    assert found["findings"] == []
    await centre.cli("recordings", "verify")
    assert "which gives them back" in await centre.cli("check", status=None)
    # The secret is in no log, and no process was started with it.
    everything = [*centre.log_lines(), *centre.processes().values()]
    assert not [line for line in everything if KEY.secret in line]
