"""A supervisor listens, whispers, steps in, takes over and ends: who hears which tone, what is recorded and told."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import baresip
import pytest

from base.background import spawn
from base.bus import Bus, NoAnswer, Refused
from facts import (
    CallbackAdded,
    CallEnded,
    CallQueued,
    CallTransferred,
    ControllerStarted,
    OfferAnswered,
    OfferMade,
    OwnCallStarted,
    PhoneLost,
    PhoneReachable,
    RecordingFinished,
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TalkEnded,
    TalkStopped,
    WrapUpStarted,
)
from facts.live import SupervisorNow
from facts.requests import (
    AddParty,
    ChangeListening,
    EndTalk,
    LeaveTalk,
    ListenToTalk,
    Request,
    TakeTalk,
)
from facts.supervise import SupervisionEnd, SupervisionMode
from facts.terms import Party
from facts.times import SECOND
from softphone.phones import RATE, AgentPhone, Leg, Phones, Sound, loudness, seconds_of, tone_share
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk
from tests.live.deskphone import DeskPhone
from tests.live.test_parties import until_ready

GREETING = 10.0
LISTEN, WHISPER = SupervisionMode.LISTEN, SupervisionMode.WHISPER
STEP_IN, TAKE = SupervisionMode.STEP_IN, SupervisionMode.TAKE


@pytest.fixture(scope="module")
def running() -> Iterator[Centre]:
    with Centre(wrap_up_time=1, supervision_phones="1003") as centre:
        centre.add_agent("1001", "1002", "1003")
        centre.shorten_greeting()
        yield centre


async def ask(centre: Centre, asked: Request) -> str:
    """Ask the controller; gives what it said."""
    return (await centre.ask(asked)).said


async def talk(centre: Centre, phones: Phones, caller: str) -> tuple[Leg, AgentPhone, str]:
    """A citizen who talks to 1001, that agent's phone, and the call's id."""
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return leg, agent, await centre.call_id(caller)


async def until_shown(centre: Centre, *wanted: tuple[str, str, str]) -> list[SupervisorNow]:
    """Wait until the live state has these supervisors: their number, mode and state."""
    bus = Bus(f"unix://{centre.home}/run/redis.sock", "hotline")
    try:
        async with asyncio.timeout(10):
            while True:
                live = await bus.live()
                shown = live.get("supervision", []) if live else []
                if [(one["supervisor"], one["mode"], one["state"]) for one in shown] == [*wanted]:
                    return shown
                await asyncio.sleep(0.1)
    finally:
        await bus.close()


async def supervisor(centre: Centre, phones: Phones, **manners: Any) -> AgentPhone:
    """The supervisor's phone, 1003, which takes no calls of citizens."""
    before = len(centre.facts(PhoneReachable, agent="1003"))
    phone = await phones.agent("1003", PASSWORD, **{"answer_after": 0.1, **manners})
    await centre.fact(PhoneReachable, agent="1003", count=before + 1)
    return phone


def has(leg: Leg, tone: int, seconds: float = 0.6) -> float:
    """The share of this tone in what this side heard last; with others beside it, half of it and less."""
    return tone_share(leg.heard(seconds), tone)


async def until_has(centre: Centre, leg: Leg, *tones: int) -> None:
    """Wait until this side hears all of these together."""
    await centre.until(lambda: all(has(leg, tone) > 0.15 for tone in tones), 8, f"tones {tones}")


async def until_without(centre: Centre, tone: int, *legs: Leg) -> None:
    """Wait until these sides hear no more of the tone than a line's noise, and something else."""

    def gone() -> bool:
        return all(loudness(leg.heard(0.6)) > 300 and has(leg, tone) < 0.02 for leg in legs)

    await centre.until(gone, 5, f"sound without {tone}")


def heard_in(side: Sound, *tones: int) -> float:
    """Seconds in which this side of a recording has all of these tones."""
    step = RATE // 10
    parts = [side[at : at + step] for at in range(0, side.size - step, step)]
    return 0.1 * sum(
        loudness(part) > 300 and all(tone_share(part, tone) > 0.15 for tone in tones)
        for part in parts
    )


async def recording(centre: Centre, call: str, file: Path) -> tuple[Sound, Sound]:
    """The citizen's and the agent's side of the call's one recording."""
    await centre.fact(RecordingFinished, 20, call=call)
    await centre.cli("recordings", "export", call, "--out", str(file))
    return sounds.stereo(file)


def audited(centre: Centre, call: str) -> list[str]:
    """The rows of the audit log about supervisors in this call, oldest first."""
    database = sqlite3.connect(f"file:{centre.home / 'hotline.db'}?mode=ro", uri=True, timeout=5)
    with contextlib.closing(database):
        rows = database.execute(
            "SELECT who, action, target FROM audit WHERE action LIKE 'SUPERVISE%' ORDER BY id"
        ).fetchall()
    return [f"{who} {action}" for who, action, target in rows if call in target]


async def test_listen_whisper_step_in_and_listen_again(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000001")
    boss = await supervisor(centre, phones)
    assert await ask(centre, ListenToTalk("1001", "1003", "listen", "li", 1))
    started = await centre.fact(SupervisionStarted, call=call)
    assert (started.agent, started.supervisor) == ("1001", "1003")
    assert (started.mode, started.by) == (LISTEN, "li")
    ear, at_agent = await boss.until_rings(), agent.offers[-1]
    await until_has(centre, ear, leg.tone, agent.tone)
    await centre.fact(OwnCallStarted, agent="1003")
    await until_without(centre, boss.tone, leg, at_agent)
    await ask(centre, ChangeListening("1001", "1003", "whisper", "li"))
    await until_has(centre, at_agent, leg.tone, boss.tone)
    await until_has(centre, ear, leg.tone, agent.tone)
    await asyncio.sleep(1)
    await until_without(centre, boss.tone, leg)
    await ask(centre, ChangeListening("1001", "1003", "step_in", "li"))
    await until_has(centre, leg, agent.tone, boss.tone)
    await until_has(centre, at_agent, leg.tone, boss.tone)
    await until_has(centre, ear, leg.tone, agent.tone)
    await asyncio.sleep(2)
    back = await centre.fact(SupervisionChanged, call=call, mode=STEP_IN)
    await ask(centre, ChangeListening("1001", "1003", "listen", "li"))
    again = await centre.fact(SupervisionChanged, call=call, mode=LISTEN)
    await until_has(centre, ear, leg.tone, agent.tone)
    await leg.until_hears(agent.tone)
    await at_agent.until_hears(leg.tone)
    await until_without(centre, boss.tone, leg)
    await ask(centre, LeaveTalk("1001", "1003"))
    await ear.until_ended()
    await leg.until_hears(agent.tone)
    await asyncio.sleep(2)
    await leg.hang_up()
    await at_agent.until_ended()
    ended = await centre.fact(SupervisionEnded, call=call)
    assert (ended.why, ended.by) == (SupervisionEnd.LEFT, "li")
    assert ended.lasted == ended.at - started.at
    await centre.fact(CallEnded, call=call)
    assert len(centre.facts(CallEnded, call=call)) == len(centre.facts(TalkEnded, call=call)) == 1
    # Only while they had stepped in are they in the recording, with the agent.
    left, right = await recording(centre, call, tmp_path / "talk.wav")
    sounds.assert_hums(left, leg)
    assert heard_in(left, boss.tone) == 0
    assert seconds_of(right[-round(1.5 * RATE) :], agent.tone) > 1, "their agent to the end"
    stepped_in = (again.at - back.at) / SECOND
    assert stepped_in * 0.7 - 0.5 < heard_in(right, boss.tone, agent.tone) < stepped_in + 0.6
    rows = ["begin", "mode", "mode", "mode", "end"]
    await centre.until(
        lambda: audited(centre, call) == [f"li SUPERVISE {row}" for row in rows], 10, "audit rows"
    )
    assert (await centre.call("13900000001"))["agents"] == ["1001"]


async def test_from_the_phone_and_by_its_keys(centre: Centre, phones: Phones) -> None:
    leg, agent, call = await talk(centre, phones, "13900000002")
    boss = await supervisor(centre, phones)
    ear = await boss.dial("*81001")
    await until_has(centre, ear, leg.tone, agent.tone)
    started = await centre.fact(SupervisionStarted, call=call)
    assert (started.supervisor, started.mode, started.by) == ("1003", LISTEN, "")
    at_agent = agent.offers[-1]
    await ear.press("5")
    await until_has(centre, at_agent, leg.tone, boss.tone)
    await until_without(centre, boss.tone, leg)
    await ear.press("6")
    await until_has(centre, leg, agent.tone, boss.tone)
    await ear.press("4")
    await centre.fact(SupervisionChanged, call=call, mode=LISTEN)
    await leg.until_hears(agent.tone)
    await until_has(centre, ear, leg.tone, agent.tone)
    await until_without(centre, boss.tone, leg)
    # The agent hangs up: so the listening ends, and nothing holds the agent's phone up.
    began = asyncio.get_running_loop().time()
    await at_agent.hang_up()
    await ear.until_ended(5)
    await leg.until_ended(5)
    assert asyncio.get_running_loop().time() - began < 3
    assert (await centre.fact(SupervisionEnded, call=call)).why is SupervisionEnd.OVER
    assert (await centre.fact(TalkEnded, call=call)).hung_up_by is Party.AGENT


async def test_a_phone_that_may_not_hears_that_it_did_not_work(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000003")
    other = await phones.agent("1002", PASSWORD, answer_after=0.1)
    dialled = await other.dial("*81001")
    await dialled.until_hears_something()
    await dialled.until_ended(10)
    assert dialled.seconds_of(leg.tone) == dialled.seconds_of(agent.tone) == 0
    assert centre.facts(SupervisionStarted, call=call) == []
    await leg.hang_up()
    await agent.offers[-1].until_ended()


async def test_a_phone_that_is_not_there_rings_or_is_busy(centre: Centre, phones: Phones) -> None:
    leg, agent, call = await talk(centre, phones, "13900000004")
    with pytest.raises(Refused, match="not registered"):
        await ask(centre, ListenToTalk("1001", "1003"))
    with pytest.raises(Refused, match="1002 is not in a talk"):
        await ask(centre, ListenToTalk("1002", "1003"))
    boss = await supervisor(centre, phones, answer_after=None)
    assert "rings" in await ask(centre, ListenToTalk("1001", "1003", by="li"))
    await until_shown(centre, ("1003", "listen", "ringing"))
    with pytest.raises(Refused, match="not answered yet"):
        await ask(centre, ChangeListening("1001", "1003", "whisper"))
    rings = await boss.until_rings()
    await rings.refuse()
    missed = await centre.fact(SupervisionEnded, call=call)
    assert (missed.why, missed.lasted) == (SupervisionEnd.REFUSED, 0)
    await until_shown(centre)
    # On a call of their own they are not rung.
    await centre.agent(phones, "1002", answer_after=None)
    started = len(centre.facts(OwnCallStarted, agent="1003"))
    own = await boss.dial("1002")
    await centre.fact(OwnCallStarted, agent="1003", count=started + 1)
    with pytest.raises(Refused, match="on a call"):
        await ask(centre, ListenToTalk("1001", "1003"))
    await own.hang_up()
    await leg.hang_up()
    await agent.offers[-1].until_ended()


async def test_a_supervisor_takes_the_call_over(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000005")
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", by="li"))
    ear = await boss.until_rings()
    await until_has(centre, ear, leg.tone, agent.tone)
    await ask(centre, TakeTalk("1001", "1003", "li"))
    await agent.offers[-1].until_ended()
    await leg.until_hears(boss.tone)
    await ear.until_hears(leg.tone)
    await centre.presence("1001", "ready")
    await centre.presence("1003", "talking")
    # 1001 takes the next citizen while the supervisor talks on.
    other = await phones.citizen("13900000006").dial(NUMBER)
    await until_talk(other, agent.tone, GREETING)
    await other.hang_up()
    await asyncio.sleep(1)
    await ear.hang_up()
    await leg.until_ended()
    row = await centre.call("13900000005")
    assert (row["agents"], row["outcome"], row["hung_up_by"]) == (
        ["1001", "1003"],
        "human",
        "agent",
    )
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1003", True)
    assert [end.agent for end in centre.facts(TalkEnded, call=call)] == ["1001", "1003"]
    assert [end.why for end in centre.facts(SupervisionEnded, call=call)] == [SupervisionEnd.TOOK]
    left, right = await recording(centre, call, tmp_path / "taken.wav")
    sounds.assert_hums(left, leg)
    assert seconds_of(right, boss.tone) > 1
    await centre.verified()


async def hears_on(leg: Leg, tone: int, seconds: float) -> None:
    """This side hears the tone without a gap for so long from now on."""
    heard = leg.seconds_of(tone)
    await asyncio.sleep(seconds)
    assert leg.seconds_of(tone) - heard > seconds - 0.4


async def three(
    centre: Centre, phones: Phones, caller: str
) -> tuple[Leg, AgentPhone, AgentPhone, str]:
    """A citizen, 1001, and 1003 who has stepped in: the citizen's leg, both phones, and the call's id."""
    leg, agent, call = await talk(centre, phones, caller)
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", "step_in", "li", 1))
    await until_has(centre, leg, agent.tone, boss.tone)
    await centre.fact(SupervisionStarted, call=call)
    return leg, agent, boss, call


async def handed_on(centre: Centre, caller: str, call: str, ended_by: str = "agent") -> None:
    """The story has the call in 1001's hands, then in 1003's, and all figures agree."""
    row = await centre.call(caller)
    assert (row["agents"], row["outcome"], row["hung_up_by"]) == (
        ["1001", "1003"],
        "human",
        ended_by,
    )
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1003", True)
    assert [end.agent for end in centre.facts(TalkEnded, call=call)] == ["1001", "1003"]
    assert [end.why for end in centre.facts(SupervisionEnded, call=call)] == [SupervisionEnd.TOOK]
    await centre.verified()


async def put_away(centre: Centre, call: str) -> None:
    """The recorder has entered the call's recording, and said so if a part is missing."""
    told = [f'"recording.{event}","call_id":"{call}"' for event in ("entered", "incomplete")]
    await centre.until(
        lambda: any(part in line for line in centre.log_lines() for part in told), 30, "the row"
    )


async def until_killed(centre: Centre, asked: Request) -> None:
    """Ask a controller that may not live to answer."""
    with contextlib.suppress(NoAnswer, Refused):
        await ask(centre, asked)


@pytest.mark.parametrize("moment", ["ringing", "listening", "asked"])
async def test_a_controller_killed_in_a_take_over_loses_no_citizen(
    centre: Centre, phones: Phones, moment: str
) -> None:
    caller = f"1390000005{len(moment) - 5}"
    leg, agent, call = await talk(centre, phones, caller)
    boss = await supervisor(centre, phones, answer_after=2 if moment == "ringing" else 0.1)
    starts = len(centre.facts(ControllerStarted))
    # It may be killed when it has just stopped the recording, to start it again.
    centre.expected.append(f'"recording.incomplete","call_id":"{call}"')
    if moment == "ringing":
        # Their phone is picked up while there is no controller.
        await ask(centre, TakeTalk("1001", "1003", "li"))
        await boss.until_rings()
        centre.kill_controller()
    else:
        await ask(centre, ListenToTalk("1001", "1003", "listen", "li", 1))
        await centre.fact(SupervisionStarted, call=call)
        taking = spawn(until_killed(centre, TakeTalk("1001", "1003", "li")), "a take-over")
        await asyncio.sleep(0 if moment == "listening" else 0.02)
        centre.kill_controller()
        await taking
    await until_ready(centre, starts + 1)
    at_agent, ear = agent.offers[-1], boss.offers[-1]
    if moment == "ringing":
        await centre.fact(CallTransferred, 20, call=call, to="1003")
    with contextlib.suppress(AssertionError):
        await centre.fact(CallTransferred, 5, call=call)
    await centre.until(lambda: has(leg, agent.tone) + has(leg, boss.tone) > 0.8, 10, "a voice")
    if not centre.facts(CallTransferred, call=call):
        # It was killed before Asterisk was asked: nothing has changed, and it can be asked again.
        await until_has(centre, ear, leg.tone, agent.tone)
        assert "taken over" in await ask(centre, TakeTalk("1001", "1003", "li"))
    await at_agent.until_ended()
    await hears_on(leg, boss.tone, 2)
    await ear.until_hears(leg.tone)
    await ear.hang_up()
    await leg.until_ended()
    row = await centre.call(caller)
    assert (row["agents"], row["outcome"]) == (["1001", "1003"], "human")
    assert [end.agent for end in centre.facts(TalkEnded, call=call)] == ["1001", "1003"]
    ends = centre.facts(SupervisionEnded, call=call)
    assert len(ends) == len(centre.facts(SupervisionStarted, call=call))
    assert {end.why for end in ends} <= {SupervisionEnd.TOOK}
    await put_away(centre, call)
    await centre.verified()


async def test_an_agent_who_leaves_has_the_supervisor_talk_on(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    leg, agent, boss, call = await three(centre, phones, "13900000041")
    await agent.offers[-1].hang_up()
    await hears_on(leg, boss.tone, 3)
    assert has(leg, agent.tone) < 0.02
    assert has(boss.offers[-1], leg.tone) > 0.5
    await centre.presence("1001", "ready")
    await centre.presence("1003", "talking")
    await until_shown(centre)
    # They hand the citizen on as any agent, and the keys of a supervisor do nothing any more.
    await boss.offers[-1].press("4")
    await hears_on(leg, boss.tone, 2)
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await boss.offers[-1].transfer("1002")
    await until_talk(leg, second.tone)
    await asyncio.sleep(1)
    await leg.hang_up()
    row = await centre.call("13900000041")
    assert row["agents"] == ["1001", "1003", "1002"]
    left, right = await recording(centre, call, tmp_path / "talk.wav")
    sounds.assert_hums(left, leg)
    assert heard_in(right, boss.tone) > 4
    assert heard_in(left, boss.tone) == 0
    await centre.press(second, "*13")
    await centre.verified()


async def test_an_agent_who_leaves_while_the_controller_is_away_has_the_supervisor_talk_on(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, boss, call = await three(centre, phones, "13900000044")
    # Asterisk may lose a voice of two who are left of three until the next controller renews the recording.
    centre.expected.append(f'"recording.incomplete","call_id":"{call}"')
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller(for_good=True)
    await agent.offers[-1].hang_up()
    await hears_on(leg, boss.tone, 2)
    centre.revive()
    await centre.fact(ControllerStarted, 30, count=starts + 1)
    await centre.presence("1003", "talking", 20)
    await hears_on(leg, boss.tone, 1)
    await boss.offers[-1].hang_up()
    await leg.until_ended()
    await put_away(centre, call)
    await handed_on(centre, "13900000044", call)


async def test_an_agent_whose_phone_dies_has_the_supervisor_talk_on(
    centre: Centre, phones: Phones
) -> None:
    caller = "13900000045"
    async with DeskPhone(centre.sip, "1002", PASSWORD) as desk:
        before = len(centre.facts(PhoneReachable, agent="1002"))
        await desk.sign_in()
        await centre.fact(PhoneReachable, agent="1002", count=before + 1)
        await centre.cli("agent", "ready", "1002")
        leg = await phones.citizen(caller).dial(NUMBER)
        await until_talk(leg, desk.tone, GREETING)
        call = await centre.call_id(caller)
        boss = await supervisor(centre, phones)
        await ask(centre, ListenToTalk("1002", "1003", "step_in", "li", 1))
        await until_has(centre, leg, desk.tone, boss.tone)
        await asyncio.sleep(4.5)  # the watch knows its sound by then
        await desk.reload(same_port=True)
        await centre.fact(PhoneLost, 20, call=call, agent="1002")
        await centre.fact(CallTransferred, 20, call=call, to="1003")
        await hears_on(leg, boss.tone, 2)
        # The citizen does not wait again for the agent whose phone has died.
        await boss.offers[-1].hang_up()
        await leg.until_ended()
        await centre.cli("agent", "out", "1002")
    assert (await centre.call(caller))["agents"] == ["1002", "1003"]
    assert desk.invited == 1


@pytest.mark.parametrize("other", ["supervisor", "colleague"])
async def test_an_agent_with_a_dead_phone_is_not_rung_while_the_others_talk_on(
    centre: Centre, phones: Phones, other: str
) -> None:
    caller, waits = f"1390000048{len(other) - 8}", f"1390000048{len(other) - 5}"
    async with DeskPhone(centre.sip, "1002", PASSWORD) as desk:
        # It may take the place of a dead phone that nobody has missed yet: then it is no news that one is there.
        await desk.sign_in()
        await centre.cli("agent", "ready", "1002")
        await centre.presence("1002", "ready")
        leg = await phones.citizen(caller).dial(NUMBER)
        await until_talk(leg, desk.tone, GREETING)
        call = await centre.call_id(caller)
        third = await supervisor(centre, phones)
        if other == "supervisor":
            await ask(centre, ListenToTalk("1002", "1003", "step_in", "li", 1))
        else:
            await ask(centre, AddParty("1002", "1003"))
        await until_has(centre, leg, desk.tone, third.tone)
        await asyncio.sleep(4.5)  # the watch knows its sound by then
        desk.die()
        await centre.fact(PhoneLost, 20, call=call, agent="1002")
        await centre.fact(TalkEnded, call=call, agent="1002")
        await centre.presence("1002", "unreachable")
        await leg.until_hears(third.tone)
        assert centre.facts(WrapUpStarted, call=call, agent="1002") == []
        # The next citizen waits for somebody else.
        next_leg = await phones.citizen(waits).dial(NUMBER)
        await centre.fact(CallQueued, 20, call=await centre.call_id(waits))
        await hears_on(leg, third.tone, 3)
        assert centre.facts(OfferMade, call=await centre.call_id(waits)) == []
        await next_leg.hang_up()
        await leg.hang_up()
        await third.offers[-1].until_ended(5)
        await centre.cli("agent", "out", "1002")
    row = await centre.call(caller)
    assert row["hung_up_by"] == "caller"
    assert row["agents"] == (["1002", "1003"] if other == "supervisor" else ["1002"])


async def test_an_agent_cannot_hand_on_a_talk_of_three(centre: Centre, phones: Phones) -> None:
    leg, agent, boss, call = await three(centre, phones, "13900000046")
    second = await centre.agent(phones, "1002", answer_after=0.2)
    centre.expected.append("attempted blind transfer to '1002@nothing'")
    with pytest.raises(baresip.TransferFailed, match="404"):
        await agent.offers[-1].transfer("1002")
    await until_has(centre, leg, agent.tone, boss.tone)
    assert second.offers == []
    # When the supervisor listens again, it works.
    await ask(centre, ChangeListening("1001", "1003", "listen", "li"))
    await centre.fact(SupervisionChanged, call=call, mode=LISTEN)
    await agent.offers[-1].transfer("1002")
    await until_talk(leg, second.tone)
    await leg.hang_up()
    assert (await centre.call("13900000046"))["agents"] == ["1001", "1002"]
    await centre.press(second, "*13")


@pytest.mark.parametrize("away", [False, True], ids=["", "controller away"])
async def test_a_citizen_handed_on_after_a_talk_with_the_colleague_keeps_the_supervisor(
    centre: Centre, phones: Phones, away: bool
) -> None:
    caller = f"1390000047{away:d}"
    leg, agent, boss, call = await three(centre, phones, caller)
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await agent.offers[-1].hold()
    own = await agent.dial("1002")
    await own.until_hears(second.tone)
    starts = len(centre.facts(ControllerStarted))
    if away:
        # Asterisk may lose a voice of three until the next controller renews the recording.
        centre.expected.append(f'"recording.incomplete","call_id":"{call}"')
        centre.kill_controller(for_good=True)
    await agent.offers[-1].transfer_to(own)
    at_second = second.offers[-1]
    await until_has(centre, leg, second.tone, boss.tone)
    await until_has(centre, at_second, leg.tone, boss.tone)
    if away:
        centre.revive()
        await until_ready(centre, starts + 1)
    await centre.presence("1002", "talking")
    await centre.presence("1001", "ready")
    await until_shown(centre, ("1003", "step_in", "on"))
    await leg.hang_up()
    await at_second.until_ended(3)
    await boss.offers[-1].until_ended(3)
    row = await centre.call(caller)
    assert (row["agents"], row["outcome"], row["hung_up_by"]) == (
        ["1001", "1002"],
        "human",
        "caller",
    )
    (handed,) = centre.facts(CallTransferred, call=call)
    assert (handed.agent, handed.to, handed.attended) == ("1001", "1002", True)
    begun, ended = (
        [fact.agent for fact in facts]
        for facts in (
            centre.facts(SupervisionStarted, call=call),
            centre.facts(SupervisionEnded, call=call),
        )
    )
    assert begun == ended == ["1001", "1002"]
    await centre.press(second, "*13")
    await put_away(centre, call)
    await centre.verified()


async def test_a_citizen_who_leaves_ends_it_for_all(centre: Centre, phones: Phones) -> None:
    leg, agent, call = await talk(centre, phones, "13900000042")
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", "step_in", "li", 1))
    await until_has(centre, leg, agent.tone, boss.tone)
    await leg.hang_up()
    await agent.offers[-1].until_ended(3)
    await boss.offers[-1].until_ended(3)
    row = await centre.call("13900000042")
    assert (row["agents"], row["hung_up_by"]) == (["1001"], "caller")
    assert (await centre.fact(SupervisionEnded, call=call)).why is SupervisionEnd.OVER
    await centre.presence("1003", "out")


async def test_a_citizen_who_is_handed_on_leaves_the_supervisor_behind(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000043")
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", by="li"))
    await until_has(centre, await boss.until_rings(), leg.tone, agent.tone)
    second = await centre.agent(phones, "1002", answer_after=0.2)
    await agent.offers[-1].transfer("1002")
    await until_talk(leg, second.tone)
    await boss.offers[-1].until_ended(3)
    assert (await centre.fact(SupervisionEnded, call=call)).why is SupervisionEnd.OVER
    await leg.hang_up()
    assert (await centre.call("13900000043"))["agents"] == ["1001", "1002"]
    await centre.press(second, "*13")


async def test_a_supervisor_ends_the_talk(centre: Centre, phones: Phones) -> None:
    leg, agent, call = await talk(centre, phones, "13900000007")
    await ask(centre, EndTalk("1001", "li", "辱骂话务员"))
    await leg.until_ended(3)
    await agent.offers[-1].until_ended(3)
    stopped = await centre.fact(TalkStopped, call=call)
    assert (stopped.agent, stopped.by, stopped.reason) == ("1001", "li", "辱骂话务员")
    assert (await centre.call("13900000007"))["hung_up_by"] == "system"
    assert [end.hung_up_by for end in centre.facts(TalkEnded, call=call)] == [Party.SYSTEM]
    called_back = [fact for fact in centre.facts(CallbackAdded) if fact.origin == call]
    assert called_back == [], "nobody calls them back"


@pytest.mark.parametrize("mode", [LISTEN, WHISPER, STEP_IN])
async def test_listening_outlives_the_controller(
    centre: Centre, phones: Phones, mode: SupervisionMode
) -> None:
    caller = f"1390000001{list(SupervisionMode).index(mode)}"
    leg, agent, call = await talk(centre, phones, caller)
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", mode.value, "li", 1))
    ear = await boss.until_rings()
    started = await centre.fact(SupervisionStarted, call=call)
    await until_has(centre, ear, leg.tone, agent.tone)
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller()
    await until_has(centre, ear, leg.tone, agent.tone)
    await centre.fact(ControllerStarted, 30, count=starts + 1)
    await centre.presence("1001", "talking", 20)
    (found,) = await until_shown(centre, ("1003", mode.value, "on"))
    assert found["since"] == started.at
    # The new controller can end it, and its end is in the diary and in the audit log.
    await ask(centre, LeaveTalk("1001", "1003"))
    await ear.until_ended()
    await leg.until_hears(agent.tone)
    ended = await centre.fact(SupervisionEnded, call=call)
    assert (ended.why, ended.lasted) == (SupervisionEnd.LEFT, ended.at - started.at)
    await leg.hang_up()
    await agent.offers[-1].until_ended()
    assert (await centre.call(caller))["agents"] == ["1001"]
    assert len(centre.facts(SupervisionStarted, call=call)) == 1
    if mode is STEP_IN:
        await centre.verified()


async def test_an_end_without_a_controller_is_entered_by_the_next(
    centre: Centre, phones: Phones
) -> None:
    leg, agent, call = await talk(centre, phones, "13900000021")
    boss = await supervisor(centre, phones)
    await ask(centre, ListenToTalk("1001", "1003", by="li"))
    await until_has(centre, await boss.until_rings(), leg.tone, agent.tone)
    await centre.fact(SupervisionStarted, call=call)  # else nobody knows of it after the kill
    centre.kill_controller(for_good=True)
    await leg.hang_up()
    await boss.offers[-1].until_ended(5)
    await agent.offers[-1].until_ended(5)
    centre.revive()
    ended = await centre.fact(SupervisionEnded, 30, call=call)
    assert ended.why is SupervisionEnd.LOST
    assert (await centre.call("13900000021"))["hung_up_by"] == "caller"
    assert centre.facts(OfferAnswered, call=call, agent="1003") == []
    await centre.verified()


@pytest.mark.parametrize("silent", [False, True])
async def test_a_spy_does_not_hold_up_the_end(centre: Centre, phones: Phones, silent: bool) -> None:
    caller = f"1390000003{int(silent)}"
    # Another phone each time: one that is switched off counts as there for half a minute.
    number = "1002" if silent else "1003"
    leg, agent, call = await talk(centre, phones, caller)
    async with DeskPhone(centre.sip, number, PASSWORD) as boss:
        before = len(centre.facts(PhoneReachable, agent=number))
        await boss.sign_in()
        await centre.fact(PhoneReachable, agent=number, count=before + 1)
        boss.muted = silent
        boss.reports = not silent
        await ask(centre, ListenToTalk("1001", number, by="li"))
        await centre.fact(SupervisionStarted, call=call)
        await asyncio.sleep(1)
        began = time.monotonic()
        await leg.hang_up()
        await agent.offers[-1].until_ended(5)
        took = time.monotonic() - began
        print(f"silent={silent}: the agent's phone was free after {took:.3f} s")
        assert took < 1
        talked = await centre.fact(TalkEnded, call=call)
        ended = await centre.fact(CallEnded, call=call)
        assert talked.at - ended.at < SECOND
    assert (await centre.fact(SupervisionEnded, call=call)).why is SupervisionEnd.OVER
