"""The survey after a talk: the citizen hangs up last, their key counts once, and every other end stays as it was."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from facts import (
    CallArrived,
    CallbackAdded,
    CallEnded,
    CallTransferred,
    HangUpExplained,
    LinkRestored,
    RecordingFinished,
    RecordingMissing,
    SurveyEnded,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
    TalkEnded,
)
from facts.numbers import normalise
from facts.terms import Grade, HandOver, Party, RatedBy, SurveyEnd
from facts.times import HOUR, SECOND
from metrics.verify import SETTLED
from softphone.phones import RATE, AgentPhone, Leg, Phones
from tests.live import sounds
from tests.live.centre import NUMBER, PROMPTS, Centre, until_talk
from tests.live.gateway import Gateway

GREETING = 10.0
SHORT = 1.0


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address,
        wrap_up_time=1,
        survey_least_talk=SHORT,
        survey_reason=5,
        survey_link_hours=1,
    ) as centre:
        centre.add_agent("1001", "1002")
        centre.shorten_greeting(survey_invitation=_beginning("survey_invitation", 2.0))
        centre.run("queue", "set", "default", "call_back_lost=no", "survey=hand-over")
        yield centre


def _beginning(key: str, seconds: float) -> bytes:
    return (PROMPTS / f"{key}.alaw").read_bytes()[: round(seconds * 8000)]


@pytest.fixture
async def on_hang_up(centre: Centre) -> AsyncIterator[Centre]:
    """In this centre an agent who hangs up hands the citizen over."""
    await centre.cli("queue", "set", "default", "survey=hang-up")
    yield centre
    await centre.cli("queue", "set", "default", "survey=hand-over")


async def talk(
    centre: Centre, phones: Phones, caller: str, count: int = 1
) -> tuple[Leg, AgentPhone, str]:
    """A citizen who has talked to 1001 for long enough, that agent's phone, and the id of their `count`-th call."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    await asyncio.sleep(SHORT + 0.5)
    arrived = await centre.fact(CallArrived, count=count, caller=normalise(caller))
    return leg, agent, arrived.call


async def hears(centre: Centre, leg: Leg, prompt: str) -> None:
    """Wait until the citizen has heard most of a prompt."""
    await centre.until(
        lambda: sounds.spoken(prompt, leg.heard(6)) > 0.5, 20, f"{prompt} in what {leg} hears"
    )


async def test_the_key_hands_over_and_the_citizen_rates(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900001001")
    await agent.offers[-1].press("*5")
    handed = await centre.fact(SurveyHandedOver, call=call)
    assert (handed.agent, handed.why, handed.by) == ("1001", HandOver.KEY, "")
    await agent.offers[-1].until_ended()
    await centre.fact(SurveyOffered, call=call, agent="1001")
    assert leg.ended_at is None, "the citizen is still on the line"
    await centre.presence("1001", "ready", 10)
    await leg.press("2")
    rated = await centre.fact(SurveyRated, call=call)
    assert (rated.agent, rated.grade) == ("1001", Grade.SATISFIED)
    await leg.until_ended(20)
    ended = await centre.fact(SurveyEnded, call=call)
    assert (ended.end, ended.reason_at) == (SurveyEnd.RATED, 0)
    row = await centre.call("13900001001")
    assert (row["outcome"], row["agents"]) == ("human", ["1001"])
    (talked,) = centre.facts(TalkEnded, call=call)
    assert talked.hung_up_by is Party.AGENT
    # One recording, as long as the citizen was on the line.
    await centre.fact(RecordingFinished, 20, call=call)
    assert centre.facts(RecordingMissing, call=call) == []
    await centre.cli("recordings", "export", call, "--out", str(tmp_path / "survey.wav"))
    left, right = sounds.stereo(tmp_path / "survey.wav")
    sounds.assert_whole(left.size / RATE, leg)
    sounds.assert_hums(left, leg)
    assert right.size


async def test_wrong_keys_a_timeout_and_a_hang_up_are_no_rating(
    centre: Centre, phones: Phones
) -> None:
    for number, keys, end in (
        ("13900001011", "99", SurveyEnd.WRONG_KEY),
        ("13900001012", "", SurveyEnd.NO_KEY),
        ("13900001013", "bye", SurveyEnd.HUNG_UP),
    ):
        leg, agent, call = await talk(centre, phones, number)
        await agent.offers[-1].press("*5")
        await centre.fact(SurveyOffered, call=call)
        if keys == "bye":
            await leg.hang_up()
        elif keys:
            await leg.press(keys[0])
            await hears(centre, leg, "survey_wrong_key")
            await leg.press(keys[1])
        if keys != "bye":
            await hears(centre, leg, "survey_farewell")
            await leg.until_ended(30)
        assert (await centre.fact(SurveyEnded, 30, call=call)).end is end
        assert centre.facts(SurveyRated, call=call) == []
        await centre.call(number)


async def test_a_bad_rating_with_its_reason_becomes_one_callback(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900001021")
    await agent.offers[-1].press("*5")
    await centre.fact(SurveyOffered, call=call)
    await leg.press("5")
    rated = await centre.fact(SurveyRated, call=call)
    assert rated.grade is Grade.VERY_DISSATISFIED
    task = await centre.fact(CallbackAdded, origin=call)
    assert (task.reason, task.matter) == ("dissatisfied", "差评回访")
    assert task.number == normalise("13900001021")
    assert task.latest > rated.at
    await leg.until_ended(30)
    ended = await centre.fact(SurveyEnded, call=call)
    assert ended.end is SurveyEnd.RATED
    assert ended.reason_at > rated.at
    assert ended.reason > 0
    assert len(centre.facts(CallbackAdded)) == 1
    # The same citizen is asked once a day: a second hand-over brings the farewell alone.
    leg, agent, second = await talk(centre, phones, "13900001021", 2)
    said = await centre.cli("agent", "survey", "1001")
    assert "farewell" in said
    assert (await centre.fact(SurveyHandedOver, call=second)).why is HandOver.API
    await hears(centre, leg, "survey_farewell")
    await leg.until_ended(20)
    await centre.fact(CallEnded, call=second)
    assert centre.facts(SurveyOffered, call=second) == []


async def test_who_hangs_up_first_without_a_hand_over_says_why(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900001031")
    await agent.offers[-1].hang_up()
    await leg.until_ended()
    assert (await centre.call("13900001031"))["hung_up_by"] == "agent"
    assert centre.facts(SurveyOffered, call=call) == []
    before = (await centre.report())["M21_unexplained"]["numerator"]
    await centre.press(agent, "*143")
    explained = await centre.fact(HangUpExplained, call=call)
    assert (explained.agent, explained.reason) == ("1001", "abuse")
    assert (await centre.report())["M21_unexplained"]["numerator"] == before - 1


async def test_before_the_talk_and_after_it_there_is_nothing_to_hand_over(
    centre: Centre, phones: Phones
) -> None:
    await centre.cli("agent", "survey", "1001", status=1)
    leg, _, call = await talk(centre, phones, "13900001041")
    await leg.hang_up()
    ended = await centre.fact(CallEnded, call=call)
    assert ended.hung_up_by is Party.CALLER
    await centre.cli("agent", "survey", "1001", status=1)
    assert centre.facts(SurveyHandedOver, SurveyOffered, call=call) == []


async def test_hanging_up_is_a_hand_over_where_the_queue_says_so(
    on_hang_up: Centre, phones: Phones
) -> None:
    centre = on_hang_up
    leg, agent, call = await talk(centre, phones, "13900001051")
    await agent.offers[-1].hang_up()
    handed = await centre.fact(SurveyHandedOver, call=call)
    assert (handed.why, handed.agent) == (HandOver.HANG_UP, "1001")
    await centre.fact(SurveyOffered, call=call)
    await leg.press("1")
    assert (await centre.fact(SurveyRated, call=call)).grade is Grade.VERY_SATISFIED
    await leg.until_ended(20)
    # The citizen who hangs up first is not asked.
    leg, agent, second = await talk(centre, phones, "13900001052")
    await leg.hang_up()
    assert (await centre.fact(CallEnded, call=second)).hung_up_by is Party.CALLER
    assert centre.facts(SurveyHandedOver, SurveyOffered, call=second) == []


async def test_blind_and_attended_transfers_then_the_last_agent_is_rated(
    on_hang_up: Centre, phones: Phones
) -> None:
    centre = on_hang_up
    for number, attended in (("13900001061", False), ("13900001062", True)):
        leg, agent, call = await talk(centre, phones, number)
        second = await centre.agent(phones, "1002", answer_after=0.3)
        at_agent = agent.offers[-1]
        if attended:
            await at_agent.hold()
            own = await agent.dial("1002")
            await own.until_hears(second.tone)
            await at_agent.transfer_to(own)
        else:
            await at_agent.transfer("1002")
        assert (await centre.fact(CallTransferred, call=call)).attended is attended
        await until_talk(leg, second.tone, GREETING)
        assert centre.facts(SurveyHandedOver, SurveyOffered, call=call) == []
        await asyncio.sleep(SHORT + 0.5)
        await second.offers[-1].hang_up()
        assert (await centre.fact(SurveyOffered, call=call)).agent == "1002"
        await leg.press("3")
        assert (await centre.fact(SurveyRated, call=call)).grade is Grade.FAIRLY_SATISFIED
        await leg.until_ended(20)
        assert (await centre.call(number))["agents"] == ["1001", "1002"]
        await second.sign_out()


async def test_kill_9_in_the_talk_and_in_the_survey(on_hang_up: Centre, phones: Phones) -> None:
    centre = on_hang_up
    leg, agent, call = await talk(centre, phones, "13900001071")
    centre.kill_controller()
    await centre.fact(LinkRestored, 30, count=2)
    await leg.until_hears(agent.tone)
    await agent.offers[-1].hang_up()
    await centre.fact(SurveyOffered, call=call)
    # Now it dies while it asks: the citizen hears the farewell, and there is no rating.
    centre.kill_controller(for_good=True)
    await hears(centre, leg, "survey_farewell")
    await leg.until_ended(20)
    centre.revive()
    row = await centre.call("13900001071", 40)
    assert row["outcome"] == "human"
    assert centre.facts(SurveyRated, call=call) == []


async def test_who_hangs_up_first_may_rate_by_a_link_once(centre: Centre, phones: Phones) -> None:
    leg, _, call = await talk(centre, phones, "13900001081")
    await leg.hang_up()
    link = await centre.fact(SurveyLinked, call=call)
    assert (link.agent, link.caller) == ("1001", normalise("13900001081"))
    assert link.until - link.at == HOUR
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{centre.web_port}") as client:
        password = (centre.home / "secrets" / "web-admin-password").read_text().strip()
        session = await client.post("/api/session", json={"name": "admin", "password": password})
        client.headers["X-CSRF-Token"] = session.json()["csrf"]
        answers = [
            await client.post(f"/api/surveys/{link.token}", json={"grade": "satisfied"})
            for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [200, 409], answers[0].text
    rated = await centre.fact(SurveyRated, call=call)
    assert (rated.grade, rated.way, rated.agent) == (Grade.SATISFIED, RatedBy.LINK, "1001")


async def test_the_figures_of_all_of_it_agree(centre: Centre) -> None:
    """The last test of the module: what was counted, by report, roll-ups, facts and CEL."""
    offered, rated = centre.facts(SurveyOffered), centre.facts(SurveyRated)
    report = await centre.report()
    assert report["M11"]["numerator"] == report["M12"]["denominator"] == len(rated)
    assert report["M11"]["denominator"] == len(offered) + len(centre.facts(SurveyLinked))
    good = sum(one.grade not in (Grade.DISSATISFIED, Grade.VERY_DISSATISFIED) for one in rated)
    assert report["M12"]["numerator"] == good
    await asyncio.sleep(SETTLED / SECOND + 1)
    said = await centre.cli("metrics", "verify", status=None)
    differ = [line for line in said.splitlines() if line.startswith("differs")]
    # A machine that is short of time may make Asterisk's two witnesses differ about a single call.
    calls = {fact.call for fact in centre.facts(CallArrived)}
    assert not [line for line in differ if not any(call in line for call in calls)], said
    audit = json.loads(await centre.cli("recordings", "audit", "--format", "json", "--lang", "en"))
    assert audit["findings"] == []
