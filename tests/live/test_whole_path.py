"""A citizen dials and reaches a person: what each side hears, what is recorded, listed and counted."""

import asyncio
import json
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest

from facts import CallQueued, OfferRinging, RecordingFinished
from softphone.phones import RATE, Phones, likeness, loudness, seconds_of
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk

GREETING = 18.0
"""Longest time until greeting and recording notice are over."""


@pytest.fixture
def quick(centre: Centre) -> Centre:
    """The shared centre, from now on with a short greeting: what comes after it is tested."""
    centre.shorten_greeting()
    return centre


def moment(text: str) -> float:
    """Seconds since 1970 of a time in `hotline calls`."""
    return datetime.fromisoformat(text).timestamp()


async def test_a_citizen_dials_and_reaches_a_person(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    before = await centre.report()
    agent = await centre.agent(phones, "1001", answer_after=0.7)
    leg = await phones.citizen("13912345678").dial(NUMBER)
    await leg.until_answered()

    # Greeting and recording notice in full, then the agent, and each hears the other.
    await leg.until_hears(agent.tone, GREETING)
    until_agent = leg.heard()
    assert sounds.spoken("greeting_12345", until_agent) > 0.8
    assert sounds.spoken("recording_notice", until_agent) > 0.8
    offer = agent.offers[0]
    await offer.until_hears(leg.tone)
    assert offer.peer == "13912345678"  # R19: the agent sees who calls
    await asyncio.sleep(3)
    await leg.until_hears(agent.tone)
    await offer.until_hears(leg.tone)

    await leg.hang_up()
    await offer.until_ended()
    assert offer.ended_at is not None
    assert offer.answered_at is not None
    talked = offer.ended_at - offer.answered_at

    # What the list of calls says.
    row = await centre.call("13912345678")
    assert set(row) == {
        "id", "number", "caller", "arrived", "queued", "answered", "ended",
        "outcome", "disposition", "hung_up_by", "agents", "recording_seconds", "origin",
    }  # fmt: skip
    assert row["id"].startswith("hotline-")
    assert row["number"] == NUMBER
    assert row["outcome"] == "human"
    assert row["hung_up_by"] == "caller"
    assert row["agents"] == ["1001"]
    times = [moment(row[name]) for name in ("arrived", "queued", "answered", "ended")]
    assert times == sorted(times)
    assert abs((times[3] - times[2]) - talked) < 2

    # The ledger: one stereo file, the citizen on the left, the agent on the right, as long as the call.
    kept = await centre.fact(RecordingFinished, 20, call=row["id"])
    assert len(kept.sha256) == 64
    row = await centre.call("13912345678")
    sounds.assert_whole(row["recording_seconds"], leg)  # M23, R45
    file = tmp_path / "call.wav"
    await centre.cli("recordings", "export", row["id"], "--out", str(file))
    left, right = sounds.stereo(file)
    sounds.assert_whole(left.size / RATE, leg)
    sounds.assert_hums(left, leg)
    sounds.assert_hums(right, offer)
    assert seconds_of(left, agent.tone) == seconds_of(right, leg.tone) == 0
    assert sounds.spoken("greeting_12345", right) > 0.8

    # The report counts the call, and only this one.
    report = await centre.report()
    assert set(report) >= {"window", "outcomes", "M1", "M1r", "M2", "M4", "M5", "M5a", "M7", "M8"}
    assert report["outcomes"]["human"] == before["outcomes"].get("human", 0) + 1
    for metric in ("M1", "M2"):
        assert report[metric]["numerator"] == before[metric]["numerator"] + 1
        assert report[metric]["denominator"] == before[metric]["denominator"] + 1
    assert report["M4"]["shares"]


@pytest.mark.usefixtures("quick")
async def test_the_waiting_citizen_hears_music_until_an_agent_is_ready(
    centre: Centre, phones: Phones
) -> None:
    leg = await phones.citizen("13900000002").dial(NUMBER)
    await centre.fact(CallQueued, GREETING, call=await centre.call_id("13900000002"))
    # Nobody is signed in: the caller hears that, and then there is music.
    await asyncio.sleep(sounds.prompt("agents_away").size / RATE + 2.5)
    assert sounds.spoken("agents_away", leg.heard()) > 0.8

    def hears_music() -> bool:
        """A packet that a busy machine loses costs half a second."""
        piece = leg.heard(0.5)
        likest = max(likeness(music, piece) for music in sounds.music())
        return loudness(piece) > 100 and bool(likest > 0.9)

    await centre.until(hears_music, 10, "music")

    agent = await centre.agent(phones, "1002", answer_after=0.3)
    await until_talk(leg, agent.tone)
    await agent.offers[0].hang_up()
    await leg.until_ended()
    row = await centre.call("13900000002")
    assert (row["outcome"], row["hung_up_by"], row["agents"]) == ("human", "agent", ["1002"])


@pytest.mark.usefixtures("quick")
async def test_a_withheld_number_is_served_like_any_other(centre: Centre, phones: Phones) -> None:
    agent = await centre.agent(phones, "1001", answer_after=0.3, hang_up_after=1.2)
    leg = await phones.citizen("anonymous").dial(NUMBER)
    await leg.until_hears(agent.tone, GREETING)
    await leg.until_ended()
    row = await centre.call("")
    assert row["outcome"] == "human"


async def test_a_number_that_is_not_ours_is_refused(centre: Centre, phones: Phones) -> None:
    leg = await phones.citizen("13900000003").dial("99999")
    await leg.until_ended()
    assert leg.answered_at is None
    assert leg.reason.startswith("404")


async def test_a_wrong_password_is_refused(centre: Centre, phones: Phones) -> None:
    import baresip

    with pytest.raises(baresip.RegistrationError):
        await phones.agent("1001", "wrong")
    with pytest.raises(baresip.RegistrationError):
        await phones.agent("7777", PASSWORD)
    await centre.without_phone("1001")
    assert "1001" in await centre.cli("agent", "list")


async def test_a_phone_without_its_password_cannot_call_as_an_agent(
    centre: Centre, phones: Phones
) -> None:
    # A citizen's telephone may name any sender; only the trunk's context must answer it.
    leg = await phones.citizen("1001").dial("*11")
    await leg.until_ended()
    assert leg.answered_at is None
    await centre.without_phone("1001")


async def test_a_citizen_whose_number_looks_like_an_agents_is_served(
    centre: Centre, phones: Phones
) -> None:
    leg = await phones.citizen("1001").dial(NUMBER)
    await leg.until_answered()
    await leg.hang_up()
    assert (await centre.call("1001"))["outcome"] == "abandoned_greeting"


@pytest.mark.usefixtures("quick")
async def test_an_agent_added_while_running_signs_in_at_once(
    centre: Centre, phones: Phones
) -> None:
    import baresip

    await asyncio.to_thread(centre.add_agent, "1009")
    try:
        agent = await centre.agent(phones, "1009", answer_after=0.3, hang_up_after=1.2)
        leg = await phones.citizen("13900000009").dial(NUMBER)
        await leg.until_hears(agent.tone, GREETING)
        await leg.until_ended()
        assert (await centre.call("13900000009"))["agents"] == ["1009"]
    finally:
        await centre.cli("agent", "remove", "1009")
    with pytest.raises(baresip.RegistrationError):
        await phones.agent("1009", PASSWORD)
    await centre.presence("1009", None)


@pytest.mark.usefixtures("quick")
async def test_the_agents_phone_rings_and_the_180_is_in_the_diary(
    centre: Centre, phones: Phones
) -> None:
    agent = await centre.agent(phones, "1003", answer_after=None)
    leg = await phones.citizen("13900000010").dial(NUMBER)
    await agent.until_rings(1, GREETING)
    ringing = await centre.fact(OfferRinging, agent="1003")
    assert not ringing.estimated
    await centre.presence("1003", "ringing")
    await leg.hang_up()
    await agent.offers[0].until_ended()
    assert (await centre.call("13900000010"))["outcome"] == "abandoned_ringing"


async def test_the_wallboard_answers(centre: Centre) -> None:
    def fetch() -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{centre.web_port}/", timeout=5) as page:
            return page.status, page.read().decode()

    status, page = await asyncio.to_thread(fetch)
    assert status == 200
    assert "<html" in page.lower()


async def test_the_report_is_text_json_and_csv_and_its_status_is_the_verdict(
    centre: Centre,
) -> None:
    assert "M1" in await centre.cli("report", "sla", status=None)
    assert "M1" in await centre.cli("report", "sla", "--format", "csv", status=None)
    empty = json.loads(
        await centre.cli(
            "report", "sla", "--format", "json", "--at", "2020-01-01T00:00:00+08:00", status=2
        )
    )
    assert empty["M1"] == {"numerator": 0, "denominator": 0, "value": None}
