"""Call control on a whole centre: each verb through the API, on real calls, heard by tones."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from base.background import spawn
from facts import (
    CallbackAdded,
    CallbackAnswered,
    CallbackCancelled,
    CallbackEnded,
    CallEnded,
    CallMarked,
    CallTransferred,
    ControllerStarted,
    OfferAnswered,
    OfferRinging,
    PartyLeft,
    RecordingFinished,
    TalkEnded,
    TalkHeld,
    TalkMuted,
    TalkResumed,
    TalkUnmuted,
    WrapUpStarted,
)
from facts.ids import callback_of
from facts.parties import PartyEnd
from facts.terms import CallMark, Party
from softphone.phones import RATE, AgentPhone, Leg, Phones
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk
from tests.live.deskphone import DeskPhone
from tests.live.gateway import Gateway, Manners, header
from tests.live.test_parties import colleague, until_ready
from tests.live.test_supervision import put_away
from tests.live.test_transfer import hears_music

GREETING = 10.0
OTHER_NUMBER, OUTSIDE = "8890", "12333"
RULES = """
queue = { default = {}, tax = {} }
number.8890 = { queue = "tax" }
member = { default = { 1001 = 0, 1002 = 0, 1004 = 0 }, tax = { 1003 = 0 } }
"""


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address,
        numbers=f"{NUMBER},{OTHER_NUMBER}",
        transfer_to=OUTSIDE,
        dial_picks_up=True,
        wrap_up_time=1,
    ) as centre:
        centre.add_agent("1001", "1002", "1003", "1004")
        centre.shorten_greeting()
        centre.run("queue", "import", "-", stdin=RULES)
        yield centre


@pytest.fixture
async def admin(centre: Centre) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in with the password of the first start."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{centre.web_port}") as client:
        password = (centre.home / "secrets" / "web-admin-password").read_text().strip()
        signed_in = await client.post("/api/session", json={"name": "admin", "password": password})
        assert signed_in.status_code == 200, signed_in.text
        client.headers["X-CSRF-Token"] = signed_in.json()["csrf"]
        yield client


async def ask(
    client: httpx.AsyncClient, agent: str, verb: str, status: int = 200, **body: object
) -> dict[str, str]:
    """Ask for a verb; gives the answer, which has this status."""
    answer = await client.post(f"/api/talks/{agent}/{verb}", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def talk(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, AgentPhone, str]:
    """A citizen and 1001 who talk; nobody else is ready."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent, await centre.call_id(caller)


async def talks_on(centre: Centre, leg: Leg, tone: int) -> None:
    """Wait until the talk is long enough to count as one."""
    await centre.until(lambda: leg.seconds_of(tone) > 1.5, 10, "a talk")


@pytest.fixture
async def desk(centre: Centre) -> AsyncIterator[DeskPhone]:
    """The desk phone of 1004, who is ready and lets it ring."""
    async with DeskPhone(centre.sip, "1004", PASSWORD) as phone:
        phone.waits = True
        await phone.sign_in()
        await centre.cli("agent", "ready", "1004")
        yield phone
        if phone.talking:
            phone.hang_up()
        await centre.cli("agent", "out", "1004")


async def test_a_ringing_desk_phone_picks_up_when_told(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient, desk: DeskPhone
) -> None:
    assert (await ask(admin, "1004", "answer", 409))["code"] == "not_ringing"
    leg = await phones.citizen("13900000041").dial(NUMBER)
    call = await centre.call_id("13900000041")
    await centre.fact(OfferRinging, 20, call=call, agent="1004")
    assert "answer-after" not in desk.invite
    assert not centre.facts(OfferAnswered, call=call)
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [await admin.post("/api/talks/1004/answer", headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200], answers[0].text
    assert answers[0].json() == {"said": "agent 1004: the phone has picked up", "call": call}
    assert desk.asked.count("NOTIFY") == 1
    await centre.fact(OfferAnswered, call=call, agent="1004")
    await leg.until_hears(desk.tone)
    assert (await ask(admin, "1004", "answer", 409))["code"] == "not_ringing"
    await talks_on(centre, leg, desk.tone)
    await leg.hang_up()
    row = await centre.call("13900000041")
    assert (row["outcome"], row["agents"]) == ("human", ["1004"])


async def test_a_phone_that_ignores_it_rings_on_and_can_be_picked_up_by_hand(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient, desk: DeskPhone
) -> None:
    desk.obeys = False
    leg = await phones.citizen("13900000042").dial(NUMBER)
    call = await centre.call_id("13900000042")
    await centre.fact(OfferRinging, 20, call=call, agent="1004")
    refused = await ask(admin, "1004", "answer", 409)
    assert refused["code"] == "phone_ignores"
    assert refused["zh"]
    assert desk.asked.count("NOTIFY") == 1
    assert not centre.facts(OfferAnswered, call=call)
    desk.pick_up()
    await talks_on(centre, leg, desk.tone)
    await leg.hang_up()
    assert (await centre.call("13900000042"))["agents"] == ["1004"]


async def test_a_phone_that_rings_for_its_agents_own_call_picks_up_when_told(
    centre: Centre, phones: Phones, gateway: Gateway, admin: httpx.AsyncClient, desk: DeskPhone
) -> None:
    number = "13900000043"
    gateway.manners[number] = Manners(answer_after=0.2)
    dialled = await admin.post("/api/agents/1004/dial", json={"to": number})
    assert dialled.status_code == 200, dialled.text
    await desk.until_rings()
    assert header(desk.invite, "Call-Info").endswith(";answer-after=0")
    assert ";info=alert-autoanswer" in header(desk.invite, "Alert-Info")
    attempt = dialled.json()["call"]
    assert (await ask(admin, "1004", "answer"))["call"] == attempt
    await centre.fact(CallbackAnswered, 15, call=attempt)
    await ask(admin, "1004", "hang-up")
    await centre.fact(CallbackEnded, call=attempt)


async def test_the_citizen_of_a_held_talk_hears_music_and_then_the_agent(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000001")
    held = await ask(admin, "1001", "hold")
    assert held == {"said": "agent 1001: the citizen hears music", "call": call}
    await centre.fact(TalkHeld, call=call)
    await centre.until(lambda: hears_music(leg), 10, "music")
    assert not agent.offers[0].hears(leg.tone)
    assert (await ask(admin, "1001", "hold"))["call"] == call
    await ask(admin, "1001", "resume")
    await centre.fact(TalkResumed, call=call)
    await leg.until_hears(agent.tone)
    await agent.offers[0].until_hears(leg.tone)
    assert (await ask(admin, "1001", "resume", 409))["code"] == "not_held"
    await leg.hang_up()
    row = await centre.call("13900000001")
    assert (row["hung_up_by"], row["agents"]) == ("caller", ["1001"])
    assert len(centre.facts(TalkHeld, TalkResumed, call=call)) == 2


async def test_the_citizen_hangs_up_in_a_hold_and_the_agent_is_free(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000002")
    await ask(admin, "1001", "hold")
    await leg.hang_up()
    await agent.offers[0].until_ended(3)
    assert (await centre.fact(TalkEnded, call=call)).hung_up_by is Party.CALLER
    await centre.presence("1001", "ready")
    assert (await ask(admin, "1001", "resume", 409))["code"] == "not_in_talk"


async def test_the_agent_hangs_up_in_a_hold_and_the_call_is_over(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000003")
    await ask(admin, "1001", "hold")
    await agent.offers[0].hang_up()
    await leg.until_ended(3)
    assert (await centre.fact(CallEnded, call=call)).hung_up_by is Party.AGENT


async def test_a_held_talk_outlives_the_controller_and_is_resumed_by_the_next(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000004")
    await ask(admin, "1001", "hold")
    await centre.fact(TalkHeld, call=call)
    centre.kill_controller()
    await centre.until(lambda: hears_music(leg), 10, "music")
    # With its key it is asked until there is an answer: it is done once, though an answer may come too late.
    key = {"Idempotency-Key": str(uuid.uuid4())}
    deadline = asyncio.get_running_loop().time() + 20
    told = []
    while (answer := await admin.post("/api/talks/1001/resume", headers=key)).status_code == 503:
        told.append(answer.text)
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.2)
    assert answer.status_code == 200, (answer.text, told)
    await leg.until_hears(agent.tone)
    await centre.fact(TalkResumed, call=call)
    # Asked again, the answer is the same, and nothing is done: the talk is not held any more.
    assert (await admin.post("/api/talks/1001/resume", headers=key)).status_code == 200
    assert (await ask(admin, "1001", "resume", 409))["code"] == "not_held"
    await leg.hang_up()
    assert (await centre.call("13900000004"))["outcome"] == "human"


async def test_the_citizen_does_not_hear_a_mute_agent(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000005")
    await ask(admin, "1001", "mute")
    muted = await centre.fact(TalkMuted, call=call)
    assert (muted.agent, muted.by) == ("1001", "admin")
    await centre.until(
        lambda: leg.seconds_of(agent.tone) > 0 and not leg.hears(agent.tone), 5, "silence"
    )
    await agent.offers[0].until_hears(leg.tone)
    centre.kill_controller()
    await centre.until(lambda: bool(centre.processes(" serve")), 20, "a new controller")
    deadline = asyncio.get_running_loop().time() + 20
    while (await admin.post("/api/talks/1001/mute", json={"mute": False})).status_code != 200:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.2)
    await leg.until_hears(agent.tone)
    await centre.fact(TalkUnmuted, call=call)
    await leg.hang_up()
    await centre.fact(CallEnded, call=call)


async def test_a_transfer_reaches_the_right_phone_and_a_refused_one_changes_nothing(
    centre: Centre, phones: Phones, gateway: Gateway, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000011")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    codes = {
        "1001": "to_self",
        "1003": "colleague_not_ready",
        "110": "target_unknown",
        "13812345678": "target_unknown",
    }
    for to, code in codes.items():
        assert (await ask(admin, "1001", "transfer", 409, to=to))["code"] == code
    assert leg.hears(agent.tone)
    assert (await ask(admin, "1001", "transfer", to="1002"))["call"] == call
    await until_talk(leg, second.tone, GREETING)
    sent = await centre.fact(CallTransferred, call=call)
    assert (sent.agent, sent.to) == ("1001", "1002")
    await centre.presence("1001", "ready")
    # From a hold, and into another queue.
    third = await centre.agent(phones, "1003", answer_after=0.2)
    await ask(admin, "1002", "hold")
    await ask(admin, "1002", "transfer", queue="tax")
    await until_talk(leg, third.tone, GREETING)
    await leg.hang_up()
    row = await centre.call("13900000011")
    assert (row["agents"], row["hung_up_by"]) == (["1001", "1002", "1003"], "caller")
    assert not [one for one in centre.facts(CallbackAdded) if one.origin == call]


async def test_a_consulted_colleague_is_left_the_citizen_in_one_request(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000051")
    assert (await ask(admin, "1001", "handover", 409))["code"] == "asks_nobody"
    second = await colleague(centre, phones)
    second.answer_after = None
    await ask(admin, "1001", "parties", 201, to="1002", how="consult")
    assert (await ask(admin, "1001", "handover", 409))["code"] == "colleague_rings"
    await second.offers[-1].answer()
    await second.offers[-1].until_hears(agent.tone)
    await centre.until(lambda: not agent.offers[0].hears(leg.tone), 5, "the citizen to be away")
    await centre.until(lambda: hears_music(leg), 10, "music")
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = [await admin.post("/api/talks/1001/handover", headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200], answers[0].text
    assert answers[0].json() == {"said": "agent 1001: the citizen talks to 1002", "call": call}
    await agent.offers[0].until_ended(3)
    await leg.until_hears(second.tone)
    await second.offers[-1].until_hears(leg.tone)
    handed = await centre.fact(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
    assert (await centre.fact(PartyLeft, call=call)).why is PartyEnd.HANDED_OVER
    assert (await centre.fact(TalkEnded, call=call)).hung_up_by is Party.AGENT
    await centre.presence("1001", "ready")
    # From now on the talk is the colleague's: they may do with it what they like.
    await ask(admin, "1002", "hold")
    await centre.until(lambda: hears_music(leg), 10, "music")
    await ask(admin, "1002", "resume")
    await leg.until_hears(second.tone)
    await second.offers[-1].hang_up()
    await leg.until_ended(5)
    row = await centre.call("13900000051")
    assert (row["agents"], row["hung_up_by"]) == (["1001", "1002"], "agent")
    assert not [one for one in centre.facts(CallbackAdded) if one.origin == call]


def colleague_takes(centre: Centre, number: str) -> None:
    """The first half of a handover, as `TalkVerbs.hand_over` has Asterisk do it: the agent is still in the talk."""
    names = re.findall(
        r"^(PJSIP/(\w+)-\w+)!", centre.asterisk("core show channels concise"), re.MULTILINE
    )
    channel = {party: name for name, party in names}
    centre.asterisk(f"dialplan set chanvar {channel[number]} HL_JOINED {channel['trunk']}")
    centre.asterisk(f"channel redirect {channel[number]} supervision,take,1")


async def until_killed(client: httpx.AsyncClient, agent: str) -> None:
    """Ask a controller that may not live to answer for a handover."""
    await client.post(f"/api/talks/{agent}/handover")


@pytest.mark.parametrize("moment", ["asked", "between"])
async def test_a_controller_killed_in_a_handover_leaves_the_citizen_to_the_colleague(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient, moment: str
) -> None:
    caller = f"1390000055{len(moment)}"
    leg, agent, call = await talk(centre, phones, caller)
    second = await colleague(centre, phones)
    await ask(admin, "1001", "parties", 201, to="1002", how="consult")
    at_second = await second.until_rings(len(second.offers) or 1)
    await at_second.until_hears(agent.tone)
    starts = len(centre.facts(ControllerStarted))
    # It may be killed when it has just stopped the recording, to start it again.
    centre.expected.append(f'"recording.incomplete","call_id":"{call}"')
    if moment == "between":
        centre.kill_controller(for_good=True)
        colleague_takes(centre, "1002")
        await asyncio.sleep(2)
        assert agent.offers[-1].ended_at is None
        centre.revive()
    else:
        asking = spawn(until_killed(admin, "1001"), "a handover")
        await asyncio.sleep(0.03)
        centre.kill_controller()
        await asking
    await until_ready(centre, starts + 1)
    with contextlib.suppress(AssertionError):
        await centre.fact(CallTransferred, 5, call=call)
    if not centre.facts(CallTransferred, call=call):
        # It was killed before Asterisk was asked: nothing has changed, and it can be asked again.
        await ask(admin, "1001", "handover")
    await agent.offers[-1].until_ended(20)
    await leg.until_hears(second.tone)
    await at_second.until_hears(leg.tone)
    handed = await centre.fact(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
    assert (await centre.fact(PartyLeft, call=call)).why is PartyEnd.HANDED_OVER
    ended = await centre.fact(TalkEnded, call=call)
    assert ended.agent == "1001"
    assert moment == "asked" or ended.hung_up_by is Party.AGENT
    await centre.presence("1001", "ready")
    await centre.presence("1002", "talking")
    await leg.hang_up()
    await at_second.until_ended(5)
    row = await centre.call(caller)
    assert (row["agents"], row["hung_up_by"]) == (["1001", "1002"], "caller")
    await put_away(centre, call)
    await centre.verified()


async def test_a_busy_colleague_is_refused_and_the_talk_goes_on(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, _ = await talk(centre, phones, "13900000012")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    other = await phones.citizen("13900000013").dial(NUMBER)
    await until_talk(other, second.tone, GREETING)
    assert (await ask(admin, "1001", "transfer", 409, to="1002"))["code"] == "colleague_busy"
    assert leg.hears(agent.tone)
    await leg.hang_up()
    await other.hang_up()
    await centre.call("13900000012")


def assert_heard_the_phrase(leg: Leg) -> None:
    """The leg has heard the phrase for harassing callers. On a busy machine each lost packet costs a piece of it."""
    share = sounds.spoken("harassment", leg.heard())
    assert share > 0.7, f"{share:.0%} of the phrase in {leg.heard().size / RATE:.1f} s"


async def test_a_harassing_caller_hears_the_phrase_and_is_hung_up(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000021")
    said = await ask(admin, "1001", "mark", mark="harassing", end=True)
    assert said["call"] == call
    marked = await centre.fact(CallMarked, call=call)
    assert (marked.agent, marked.mark, marked.by, marked.ended) == (
        *("1001", CallMark.HARASSING, "admin", True),
    )
    await agent.offers[0].until_ended(3)
    await centre.fact(WrapUpStarted, call=call)
    assert leg.talking
    await leg.until_ended(30)
    assert_heard_the_phrase(leg)
    row = await centre.call("13900000021")
    assert (row["hung_up_by"], row["disposition"]) == ("agent", "harassing")
    blocks = (await admin.get("/api/blocks")).json()
    assert [(one["caller"], one["state"]) for one in blocks] == [("+8613900000021", "to approve")]
    assert blocks[0]["calls"] == 0
    assert blocks[0]["until"] > blocks[0]["added_at"]
    report = await centre.report()
    assert report["harassing"] == 1
    assert not [one for one in centre.facts(CallbackAdded) if one.origin == call]


async def test_the_key_does_the_same_and_the_controller_may_die_in_it(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000022")
    await agent.offers[0].press("*4")
    marked = await centre.fact(CallMarked, call=call)
    assert (marked.by, marked.ended) == ("", True)
    await agent.offers[0].until_ended(3)
    centre.kill_controller()
    await leg.until_ended(30)
    row = await centre.call("13900000022")
    assert (row["outcome"], row["disposition"]) == ("human", "harassing")
    await centre.presence("1001", "ready", 20)


async def test_a_key_without_a_controller_is_known_afterwards(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000023")
    centre.kill_controller(for_good=True)
    try:
        await agent.offers[0].press("*4")
        await leg.until_ended(40)
    finally:
        centre.revive()
    assert_heard_the_phrase(leg)
    marked = await centre.fact(CallMarked, 30, call=call)
    assert (marked.agent, marked.mark, marked.ended) == ("1001", CallMark.HARASSING, True)
    assert (await centre.call("13900000023"))["disposition"] == "harassing"


async def test_a_mark_without_an_end_and_a_withheld_number(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, agent, call = await talk(centre, phones, "anonymous")
    said = await ask(admin, "1001", "mark", mark="harassing")
    assert said["said"].endswith("the number is withheld, so nothing can be blocked")
    assert not (await centre.fact(CallMarked, call=call)).ended
    assert leg.hears(agent.tone)
    assert (await ask(admin, "1001", "mark", 422, mark="rude"))["error"]
    # The citizen hangs up before the phrase is over.
    await ask(admin, "1001", "mark", mark="harassing", end=True)
    await leg.until_hears_something()
    await leg.hang_up()
    assert (await centre.fact(CallEnded, call=call)).hung_up_by is Party.CALLER


async def test_a_number_is_dialled_for_an_agent_and_recorded(
    centre: Centre, phones: Phones, gateway: Gateway, admin: httpx.AsyncClient
) -> None:
    number = "13900000031"
    gateway.manners[number] = Manners(answer_after=0.2)
    body = {"to": number}
    refused = await admin.post("/api/agents/1001/dial", json=body)
    assert refused.status_code == 409, refused.text
    assert refused.json()["code"] in {"phone_away", "agent_not_ready"}
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    other = await centre.agent(phones, "1002", answer_after=0.2)
    rung = len(other.offers)
    for to, code in (("110", "not_entered"), ("1002", "not_entered"), ("x", "not_entered")):
        answer = await admin.post("/api/agents/1001/dial", json={"to": to})
        assert (answer.status_code, answer.json()["code"]) == (409, code)
    key = {"Idempotency-Key": "dial-1"}
    answers = [await admin.post("/api/agents/1001/dial", json=body, headers=key) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    attempt = answers[0].json()["call"]
    assert answers[1].json()["call"] == attempt
    answered = await centre.fact(CallbackAnswered, 15, call=attempt)
    assert answered.agent == "1001"
    citizen = gateway.of(number)[-1]
    await agent.offers[-1].until_hears(citizen.manners.tone)
    # Held and resumed as any talk.
    await ask(admin, "1001", "hold")
    await centre.fact(TalkHeld, call=attempt)
    await ask(admin, "1001", "resume")
    await agent.offers[-1].until_hears(citizen.manners.tone)
    await ask(admin, "1001", "hang-up")
    ended = await centre.fact(CallbackEnded, call=attempt)
    assert (ended.failure, ended.hung_up_by) == ("", Party.AGENT)
    await centre.fact(RecordingFinished, 20, call=attempt)
    assert len(gateway.of(number)) == 1
    assert len(other.offers) == rung


async def test_an_agent_who_does_not_pick_up_is_not_made_up_for(
    centre: Centre, phones: Phones, gateway: Gateway, admin: httpx.AsyncClient
) -> None:
    await centre.agent(phones, "1001", answer_after=60)
    other = await centre.agent(phones, "1002", answer_after=0.2)
    rung = len(other.offers)
    answer = await admin.post("/api/agents/1001/dial", json={"to": "13900000032"})
    assert answer.status_code == 200, answer.text
    await centre.fact(CallbackCancelled, 15, callback=callback_of(answer.json()["call"]))
    assert len(other.offers) == rung
    assert gateway.of("13900000032") == []


async def test_a_hang_up_counts_as_the_agents_own(
    centre: Centre, phones: Phones, admin: httpx.AsyncClient
) -> None:
    leg, _, call = await talk(centre, phones, "13900000006")
    assert (await ask(admin, "1001", "hang-up"))["said"] == "agent 1001: the talk is over"
    await leg.until_ended(3)
    assert (await centre.fact(TalkEnded, call=call)).hung_up_by is Party.AGENT
    row = await centre.call("13900000006")
    assert row["hung_up_by"] == "agent"
    assert (await centre.fact(WrapUpStarted, call=call)).agent == "1001"
    assert (await ask(admin, "1001", "hang-up", 409))["code"] == "not_in_talk"
    assert (await ask(admin, "4711", "hang-up", 404))["code"] == "unknown_agent"


async def test_the_figures_of_all_of_it_agree(centre: Centre) -> None:
    """The last test of the module: what was held, muted, handed on, marked and dialled, by each witness."""
    await centre.verified()
