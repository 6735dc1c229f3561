"""Retention and erasure in a running centre: what is unconfirmed is on the screens, and one citizen goes everywhere."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from base import database
from base.bus import Bus
from base.settings import Settings
from facts import RecordingFinished
from hotline.cli.tools import operator
from privacy import erase, find
from softphone.phones import AgentPhone, Phones
from tests.live.centre import NUMBER, Centre, until_talk

CITIZEN, OTHER = "13900000001", "13900000002"


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(wrap_up_time=1, trial="false") as centre:
        centre.add_agent("1001")
        centre.shorten_greeting()
        centre.run("queue", "set", "default", "call_back_lost=no")
        yield centre


async def until_reminded(centre: Centre, *, reminded: bool) -> None:
    """Wait until the screens say, or do not say any more, that no rules are confirmed."""
    bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    try:
        async with asyncio.timeout(40):
            while True:
                live = await bus.live()
                rules = {one["rule"] for one in live["alarms"]} if live else set()
                if ("retention_unconfirmed" in rules) == reminded:
                    return
                await asyncio.sleep(0.2)
    finally:
        await bus.close()


async def talk(centre: Centre, phones: Phones, agent: AgentPhone, caller: str) -> str:
    """A call that is answered and recorded; its id."""
    await centre.presence("1001", "ready", 10)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, 10)
    call = await centre.call_id(caller)
    await leg.hang_up()
    await centre.fact(RecordingFinished, 20, call=call)
    return call


async def test_from_a_reminder_to_an_erasure(
    centre: Centre, phones: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until_reminded(centre, reminded=True)
    assert "not confirmed" in await centre.cli("check", status=None)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    calls = [await talk(centre, phones, agent, caller) for caller in (CITIZEN, OTHER)]
    await centre.cli("recordings", "retention", "--confirm")
    await until_reminded(centre, reminded=False)
    found = json.loads(await centre.cli("privacy", "report", CITIZEN, "--format", "json"))
    assert [one["call"] for one in found["calls"]] == calls[:1]
    assert found["texts"]["log/asterisk/cel-custom/hotline.csv"] > 3
    assert "less than a day old" in found["forbidden"][0]
    before = await centre.report()

    monkeypatch.setattr(find, "WAITS", 0)
    settings = Settings(home=centre.home, numbers=(NUMBER,))
    engine = database.engine(settings.database)
    try:
        stored = await find.traces(engine, settings, await find.wanted(engine, settings, CITIZEN))
        made = await erase.erase(engine, settings, stored, by=operator(), reason="asked")
    finally:
        await engine.dispose()
    assert made.counts["recordings"] == 1
    cel = settings.cel_file.read_text()
    assert CITIZEN not in cel
    assert OTHER in cel
    files = [file.name for file in settings.recordings_dir.rglob("*.enc")]
    assert files == [f"{calls[1]}.mp4.enc"]

    # All goes on, and nothing that counts has moved.
    after = await centre.report()
    assert {name: after[name] for name in ("M1", "M23")} == {
        name: before[name] for name in ("M1", "M23")
    }
    await talk(centre, phones, agent, CITIZEN)
    audit = json.loads(
        await centre.cli("recordings", "audit", "--format", "json", "--lang", "en", status=0)
    )
    assert audit["M23"] == audit["M23_reported"]
    assert audit["M23"]["numerator"] == 3
    assert [one["call"] for one in audit["unrecorded"]] == calls[:1]
    await centre.cli("recordings", "seals", "--check")
