"""Third parties in a talk: who hears who, what is recorded, in every state and after every order of leaving."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from base import clock
from base.bus import NoAnswer, Refused
from facts import (
    CallEnded,
    ControllerStarted,
    OwnCallEnded,
    OwnCallStarted,
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    PartyMuted,
    PartyUnmuted,
    PhoneReachable,
    PhoneUnreachable,
    RecordingFinished,
    RecordingMissing,
    TalkEnded,
    TalkHeld,
    TalkResumed,
    WrapUpStarted,
)
from facts.parties import PartyEnd, PartyFailure, PartyKind
from facts.requests import (
    AddParty,
    DropParty,
    GetStatus,
    JoinParties,
    MuteParty,
    UnmuteParty,
)
from facts.terms import Party
from facts.times import SECOND
from softphone.phones import LOUD, RATE, AgentPhone, Leg, Phones, Sound, loudness, tone_share
from tests.live import sounds
from tests.live.centre import NUMBER, PASSWORD, Centre, until_talk
from tests.live.gateway import Gateway, Manners
from tests.live.test_transfer import hears_music

GREETING = 10.0
POWER, GRID = "供电", "95598"
"""A department of the directory, and its number."""
TONE_OF_POWER = 1700
DEPARTMENT = "8890"
WITHIN = 10.0


@pytest.fixture(scope="module")
def running(way_out: Gateway) -> Iterator[Centre]:
    with Centre(
        outbound=way_out.address,
        numbers=f"{NUMBER},{DEPARTMENT}",
        wrap_up_time=1,
        party_directory=f"{POWER}={GRID}",
        party_rings=5,
    ) as centre:
        centre.add_agent("1001", "1002", "1003")
        centre.shorten_greeting()
        rules = """
queue = { default = { call_back_lost = false }, tax = {} }
number.8890 = { queue = "tax" }
member = { default = { 1001 = 0, 1002 = 0 }, tax = { 1003 = 0 } }
"""
        centre.run("queue", "import", "-", stdin=rules)
        yield centre


@pytest.fixture
async def gateway(way_out: Gateway) -> AsyncIterator[Gateway]:
    async with way_out as made:
        made.manners[GRID] = Manners(answer_after=0.3, tone=TONE_OF_POWER)
        yield made


@dataclass
class Talk:
    """A citizen who talks to 1001, and whoever is brought in; `heard` are the tones of those in the talk."""

    centre: Centre
    citizen: Leg
    agent: AgentPhone
    call: str
    others: list[Leg] = field(default_factory=list)

    @property
    def at_agent(self) -> Leg:
        return self.agent.offers[-1]

    async def add(self, to: str, how: str = "now") -> str:
        return (await self.centre.ask(AddParty("1001", to, how, "wang"))).party

    async def joined(self, party: str) -> PartyJoined:
        return await self.centre.fact(PartyJoined, WITHIN, party=party)


async def talk(centre: Centre, phones: Phones, caller: str) -> Talk:
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    leg = await phones.citizen(caller).dial(NUMBER)
    await until_talk(leg, agent.tone, GREETING)
    return Talk(centre, leg, agent, await centre.call_id(caller))


async def colleague(centre: Centre, phones: Phones, number: str = "1002") -> AgentPhone:
    """A colleague who is signed in and not ready: nothing else is offered to them."""
    phone = await phones.agent(number, PASSWORD, answer_after=0.3)

    def registered() -> bool:
        told = centre.facts(PhoneReachable, PhoneUnreachable, agent=number)
        return bool(told) and isinstance(told[-1], PhoneReachable)

    await centre.until(registered, WITHIN, f"{number} to be registered")
    return phone


def share(sound: Sound, tone: int, among: int) -> bool:
    """Whether a sound holds this tone as one of so many that are equally loud."""
    return loudness(sound) > LOUD and tone_share(sound, tone) > 0.5 / among


class Ear(Protocol):
    """A telephone that hums a tone and keeps what it hears."""

    @property
    def tone(self) -> int: ...

    def heard(self, seconds: float, /) -> Sound: ...


async def until_hears(leg: Ear, *tones: int, but: Sequence[int] = ()) -> None:
    """Wait until this side hears all these tones at a time, and none of the others."""

    def true() -> bool:
        heard = leg.heard(0.5)
        return (
            heard.size > 0.3 * RATE
            and all(share(heard, tone, len(tones)) for tone in tones)
            and not any(tone_share(heard, tone) > 0.05 for tone in but)
        )

    deadline = asyncio.get_running_loop().time() + WITHIN
    while not true():
        heard = leg.heard(0.5)
        shares = {tone: round(tone_share(heard, tone), 2) for tone in (*tones, *but)}
        assert asyncio.get_running_loop().time() < deadline, f"{leg} hears {shares}"
        await asyncio.sleep(0.05)


async def all_hear_each_other(*legs: Ear) -> None:
    """Each of these telephones hears all the others, and not itself."""
    for leg in legs:
        await until_hears(leg, *(one.tone for one in legs if one is not leg), but=[leg.tone])


async def hears_for(leg: Ear, seconds: float, *tones: int) -> None:
    """This side hears these tones without a gap for so long."""
    await asyncio.sleep(seconds)
    heard = leg.heard(seconds - 0.3)
    step = RATE // 5
    parts = [heard[at : at + step] for at in range(0, heard.size - step, step)]
    deaf = [part for part in parts if not all(share(part, tone, len(tones)) for tone in tones)]
    assert len(deaf) <= 1, f"{len(deaf)} of {len(parts)} fifths of a second without {tones}"


async def recorded(centre: Centre, call: str, leg: Leg, file: Path) -> tuple[Sound, Sound]:
    """The one, whole recording: citizen left, all others right."""
    await centre.fact(RecordingFinished, 20, call=call)
    assert centre.facts(RecordingMissing, call=call) == []
    await centre.cli("recordings", "export", call, "--out", str(file))
    left, right = sounds.stereo(file)
    sounds.assert_whole(left.size / RATE, leg)
    return left, right


def seconds_with(side: Sound, *tones: int, among: int) -> float:
    """For how long this side holds all these tones at a time."""
    step = RATE // 10
    parts = (side[at : at + step] for at in range(0, side.size - step + 1, step))
    return 0.1 * sum(all(share(part, tone, among) for tone in tones) for part in parts)


def is_busy(centre: Centre, agent: str) -> bool:
    """Whether this agent is on a call of their own, by what was told last."""
    told = centre.facts(OwnCallStarted, OwnCallEnded, agent=agent)
    return bool(told) and isinstance(told[-1], OwnCallStarted)


async def until_free(centre: Centre, agent: str) -> None:
    await centre.until(lambda: not is_busy(centre, agent), WITHIN, f"{agent} to be free")


async def until_ready(centre: Centre, starts: int) -> None:
    """The next controller has been started, and answers."""
    await centre.fact(ControllerStarted, 30, count=starts)
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        with contextlib.suppress(NoAnswer):
            if (await centre.ask(GetStatus())).ready:
                return
        assert asyncio.get_running_loop().time() < deadline, "the controller does not answer"
        await asyncio.sleep(0.1)


async def until_end(centre: Centre, call: str) -> None:
    """Everything of this call is over: no channel is left of it, and both agents are free."""
    await centre.fact(CallEnded, call=call)
    await centre.until(
        lambda: "0 active channels" in centre.asterisk("core show channels count"),
        WITHIN,
        "no channel to be left",
    )


async def test_a_colleague_joins_at_once_and_whoever_leaves_the_others_talk_on(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    one = await talk(centre, phones, "13900000001")
    second = await colleague(centre, phones)
    party = await one.add("1002")
    joined = await one.joined(party)
    asked = await centre.fact(PartyAsked, party=party)
    assert (asked.call, asked.agent, asked.who, asked.number, asked.by) == (
        *(one.call, "1001", PartyKind.COLLEAGUE, "1002", "wang"),
    )
    at_second = second.offers[-1]
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    assert is_busy(centre, "1002")
    await hears_for(one.citizen, 1.5, one.agent.tone, second.tone)
    # The agent leaves: citizen and colleague hear each other on, and the citizen hears no gap.
    await one.at_agent.hang_up()
    await hears_for(one.citizen, 1.5, second.tone)
    await all_hear_each_other(one.citizen, at_second)
    left = await centre.fact(TalkEnded, call=one.call)
    assert left.hung_up_by is Party.AGENT
    await centre.fact(WrapUpStarted, call=one.call)
    await centre.presence("1001", "ready")
    assert centre.facts(CallEnded, call=one.call) == []
    # The colleague leaves: the call is over, and nobody waits again.
    await at_second.hang_up()
    await one.citizen.until_ended()
    gone = await centre.fact(PartyLeft, party=party)
    assert gone.why is PartyEnd.HUNG_UP
    row = await centre.call("13900000001")
    assert (row["outcome"], row["hung_up_by"], row["agents"]) == ("human", "agent", ["1001"])
    await until_free(centre, "1002")
    _, right = await recorded(centre, one.call, one.citizen, tmp_path / "a.wav")
    together = (left.at - joined.at) / 1e6
    alone = (gone.at - left.at) / 1e6
    assert seconds_with(right, one.agent.tone, second.tone, among=2) > together - 0.7
    assert seconds_with(right, second.tone, among=1) > alone - 0.5


async def test_consulted_first_then_joined_muted_heard_again_and_dropped(
    centre: Centre, phones: Phones, tmp_path: Path
) -> None:
    one = await talk(centre, phones, "13900000011")
    second = await colleague(centre, phones)
    party = await one.add("1002", "consult")
    held = await centre.fact(TalkHeld, call=one.call)
    await centre.fact(PartyAnswered, party=party)
    at_second = second.offers[-1]
    # The two hear each other and nobody else; the citizen hears music.
    await until_hears(one.at_agent, second.tone, but=[one.citizen.tone])
    await until_hears(at_second, one.agent.tone, but=[one.citizen.tone])
    await asyncio.sleep(0.7)
    assert hears_music(one.citizen)
    assert party not in {fact.party for fact in centre.facts(PartyJoined)}
    with pytest.raises(Refused, match="at once"):
        await one.add("供电", "consult")
    await centre.ask(JoinParties("1001", "wang"))
    resumed = await centre.fact(TalkResumed, call=one.call)
    joined = await one.joined(party)
    assert resumed.at == joined.at > held.at
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    with pytest.raises(Refused, match="consults nobody"):
        await centre.ask(JoinParties("1001"))
    # Muted: the others hear each other alone, and the colleague hears both.
    await centre.ask(MuteParty("1001", party, "wang"))
    muted = await centre.fact(PartyMuted, party=party)
    await until_hears(one.citizen, one.agent.tone, but=[second.tone])
    await until_hears(one.at_agent, one.citizen.tone, but=[second.tone])
    await until_hears(at_second, one.agent.tone, one.citizen.tone)
    await asyncio.sleep(1)
    await centre.ask(UnmuteParty("1001", party))
    unmuted = await centre.fact(PartyUnmuted, party=party)
    assert (muted.by, unmuted.by) == ("wang", "")
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    await centre.ask(DropParty("1001", party, "wang"))
    left = await centre.fact(PartyLeft, party=party)
    assert (left.why, left.by) == (PartyEnd.DROPPED, "wang")
    await at_second.until_ended()
    await all_hear_each_other(one.citizen, one.at_agent)
    with pytest.raises(Refused, match="no such party"):
        await centre.ask(MuteParty("1001", party))
    await one.citizen.hang_up()
    await until_end(centre, one.call)
    row = await centre.call("13900000011")
    assert (row["outcome"], row["hung_up_by"]) == ("human", "caller")
    _, right = await recorded(centre, one.call, one.citizen, tmp_path / "c.wav")
    # What was said in the consultation is not in it, nor the muted colleague.
    with_second = seconds_with(right, second.tone, among=2)
    heard = (muted.at - joined.at + left.at - unmuted.at) / SECOND
    assert heard - 0.8 < with_second < heard + 0.8


async def test_an_agent_who_leaves_a_consultation_connects_the_two_others(
    centre: Centre, phones: Phones
) -> None:
    one = await talk(centre, phones, "13900000012")
    second = await colleague(centre, phones)
    party = await one.add("1002", "consult")
    await centre.fact(PartyAnswered, party=party)
    await until_hears(one.at_agent, second.tone)
    await one.at_agent.hang_up()
    await one.joined(party)
    await all_hear_each_other(one.citizen, second.offers[-1])
    await one.citizen.hang_up()
    await second.offers[-1].until_ended()
    left = await centre.fact(PartyLeft, party=party)
    assert left.why is PartyEnd.TALK_OVER
    await until_end(centre, one.call)
    assert (await centre.call("13900000012"))["hung_up_by"] == "caller"


async def test_the_citizen_hangs_up_in_the_middle_of_each(centre: Centre, phones: Phones) -> None:
    """While somebody rings, in a consultation, and with all together: the agent is free at once."""
    second = await colleague(centre, phones)
    agent = await centre.agent(phones, "1001", answer_after=0.2)
    for n, (how, answer_after) in enumerate(
        (("now", None), ("consult", None), ("consult", 0.2), ("now", 0.2))
    ):
        second.answer_after = answer_after
        await centre.presence("1001", "ready")
        leg = await phones.citizen(f"1390000002{n}").dial(NUMBER)
        await until_talk(leg, agent.tone, GREETING)
        one = Talk(centre, leg, agent, await centre.call_id(f"1390000002{n}"))
        party = await one.add("1002", how)
        if answer_after is None:
            await second.until_rings(len(second.offers))
        elif how == "consult":
            await until_hears(one.at_agent, second.tone)
        else:
            await all_hear_each_other(leg, one.at_agent, second.offers[-1])
        await leg.hang_up()
        ended = await centre.fact(CallEnded, call=one.call)
        assert ended.hung_up_by is Party.CALLER
        await one.at_agent.until_ended()
        await second.offers[-1].until_ended()
        if answer_after is None:
            failed = await centre.fact(PartyFailed, party=party)
            assert failed.why is PartyFailure.WITHDRAWN
        else:
            left = await centre.fact(PartyLeft, party=party)
            assert left.why is PartyEnd.TALK_OVER
        assert len(centre.facts(TalkEnded, call=one.call)) == 1
        await until_end(centre, one.call)


async def test_four_parties_and_no_fifth(
    centre: Centre, phones: Phones, gateway: Gateway, tmp_path: Path
) -> None:
    one = await talk(centre, phones, "13900000031")
    expert = await centre.agent(phones, "1003", answer_after=0.2)
    # Another department: a queue by its number, of which somebody is free.
    first = await one.add(DEPARTMENT)
    await one.joined(first)
    second = await one.add(POWER)
    asked = await centre.fact(PartyAsked, party=second)
    assert (asked.who, asked.number) == (PartyKind.OUTSIDE, GRID)
    await one.joined(second)
    outside = await gateway.call(number=GRID)
    assert outside.caller == NUMBER
    at_expert = expert.offers[-1]
    tones = one.citizen.tone, one.agent.tone, expert.tone, TONE_OF_POWER
    for leg in (one.citizen, one.at_agent, at_expert):
        await until_hears(leg, *(tone for tone in tones if tone != leg.tone), but=[leg.tone])
    await asyncio.sleep(1)
    with pytest.raises(Refused, match="HOTLINE_PARTY_LIMIT"):
        await one.add("1002")
    await one.at_agent.hang_up()
    await until_hears(one.citizen, expert.tone, TONE_OF_POWER)
    await until_hears(at_expert, one.citizen.tone, TONE_OF_POWER)
    outside.hang_up()
    left = await centre.fact(PartyLeft, party=second)
    assert left.why is PartyEnd.HUNG_UP
    await all_hear_each_other(one.citizen, at_expert)
    await one.citizen.hang_up()
    await until_end(centre, one.call)
    _, right = await recorded(centre, one.call, one.citizen, tmp_path / "d.wav")
    assert seconds_with(right, one.agent.tone, expert.tone, TONE_OF_POWER, among=3) > 0.5


async def test_the_keys_of_the_phone_bring_in_and_drop(centre: Centre, phones: Phones) -> None:
    one = await talk(centre, phones, "13900000032")
    second = await colleague(centre, phones)
    before = len(centre.facts(PartyAsked))
    await one.at_agent.press("*3")
    await until_hears(one.at_agent, 425)
    await one.at_agent.press("1002#")
    asked = await centre.fact(PartyAsked, count=before + 1)
    assert (asked.number, asked.consult, asked.by) == ("1002", False, "")
    await one.joined(asked.party)
    at_second = second.offers[-1]
    await all_hear_each_other(one.citizen, one.at_agent, at_second)
    await one.at_agent.press("*6")
    left = await centre.fact(PartyLeft, party=asked.party)
    assert left.why is PartyEnd.DROPPED
    await all_hear_each_other(one.citizen, one.at_agent)
    await one.citizen.hang_up()
    await until_end(centre, one.call)


async def test_the_keys_consult_join_and_end_a_consultation(centre: Centre, phones: Phones) -> None:
    one = await talk(centre, phones, "13900000033")
    second = await colleague(centre, phones)
    before = len(centre.facts(PartyAsked))

    async def consult(number: str) -> None:
        await one.at_agent.press("*3")
        await until_hears(one.at_agent, 425)
        await one.at_agent.press(f"*{number}#")

    await consult("1002")
    asked = await centre.fact(PartyAsked, count=before + 1)
    assert (asked.number, asked.consult, asked.by) == ("1002", True, "")
    await centre.fact(PartyAnswered, party=asked.party)
    await until_hears(one.at_agent, second.tone, but=[one.citizen.tone])
    await centre.until(lambda: hears_music(one.citizen), WITHIN, "music")
    await one.at_agent.press("*3")
    await one.joined(asked.party)
    await all_hear_each_other(one.citizen, one.at_agent, second.offers[-1])
    await one.at_agent.press("*6")
    await centre.fact(PartyLeft, party=asked.party)
    # The other way out of a consultation: the colleague is taken out of it, and the two talk as before.
    await until_free(centre, "1002")
    await consult("1002")
    again = await centre.fact(PartyAsked, count=before + 2)
    await centre.fact(PartyAnswered, party=again.party)
    await one.at_agent.press("*6")
    assert (await centre.fact(PartyLeft, party=again.party)).why is PartyEnd.DROPPED
    await all_hear_each_other(one.citizen, one.at_agent)
    await one.citizen.hang_up()
    await until_end(centre, one.call)


async def test_who_is_busy_does_not_answer_or_is_away_leaves_the_talk_as_it_was(
    centre: Centre, phones: Phones, gateway: Gateway
) -> None:
    one = await talk(centre, phones, "13900000041")
    second = await colleague(centre, phones)

    async def fails(party: str, why: PartyFailure) -> None:
        assert (await centre.fact(PartyFailed, 15, party=party)).why is why
        await all_hear_each_other(one.citizen, one.at_agent)

    async def not_reached(to: str, why: PartyFailure) -> None:
        before = len(centre.facts(PartyAsked))
        with contextlib.suppress(Refused):  # their phone may say no within the second
            await one.add(to)
        await fails((await centre.fact(PartyAsked, count=before + 1)).party, why)

    with pytest.raises(Refused, match="not registered"):
        await one.add("1003")
    second.refuses = True
    await not_reached("1002", PartyFailure.BUSY)
    second.refuses, second.answer_after = False, None
    # Not answering: the citizen who heard music meanwhile is back by itself.
    await fails(await one.add("1002", "consult"), PartyFailure.NO_ANSWER)
    gateway.manners[GRID] = Manners(status=486)
    await not_reached(POWER, PartyFailure.BUSY)
    gateway.manners[GRID] = Manners(silent=True)
    await fails(await one.add(POWER), PartyFailure.UNREACHABLE)
    with pytest.raises(Refused, match="may not be brought in"):
        await one.add("13800000001")
    with pytest.raises(Refused, match="neither an agent, a queue"):
        await one.add("nobody")
    with pytest.raises(Refused, match="nobody in the queue tax is free"):
        await one.add("tax")
    with pytest.raises(Refused, match="not in a talk"):
        await centre.ask(AddParty("1002", "1003"))
    await one.citizen.hang_up()
    await until_end(centre, one.call)


@pytest.mark.parametrize("state", ["ringing", "consulted", "joined", "without the agent"])
async def test_a_killed_controller_costs_no_talk_and_the_next_one_knows_the_parties(
    centre: Centre, phones: Phones, state: str
) -> None:
    caller = f"139000005{len(state):02}"
    one = await talk(centre, phones, caller)
    second = await colleague(centre, phones)
    if state == "ringing":
        second.answer_after = 3.5
    party = await one.add("1002", "consult" if state == "consulted" else "now")
    at_second = await second.until_rings(len(second.offers) or 1)
    if state == "consulted":
        await until_hears(one.at_agent, second.tone)
    elif state != "ringing":
        await all_hear_each_other(one.citizen, one.at_agent, at_second)
    if state == "without the agent":
        await one.at_agent.hang_up()
        await all_hear_each_other(one.citizen, at_second)
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller()
    await until_ready(centre, starts + 1)
    if state == "consulted":
        await until_hears(one.at_agent, second.tone, but=[one.citizen.tone])
        await centre.presence("1001", "talking")
        await centre.ask(JoinParties("1001"))
    if state == "without the agent":
        await all_hear_each_other(one.citizen, at_second)
        await at_second.hang_up()
        await one.citizen.until_ended()
    else:
        await one.joined(party)
        await all_hear_each_other(one.citizen, one.at_agent, at_second)
        assert is_busy(centre, "1002")
        await centre.ask(MuteParty("1001", party))
        await until_hears(one.citizen, one.agent.tone, but=[second.tone])
        await centre.ask(DropParty("1001", party))
        await at_second.until_ended()
        await all_hear_each_other(one.citizen, one.at_agent)
        await one.citizen.hang_up()
    await until_end(centre, one.call)
    await centre.fact(PartyLeft, party=party)
    told = [fact for fact in centre.diary(one.call) if getattr(fact, "party", "") == party]
    kinds = [PartyAnswered] if state == "consulted" else []
    muted = [PartyMuted] if state != "without the agent" else []
    assert [type(fact) for fact in told] == [PartyAsked, *kinds, PartyJoined, *muted, PartyLeft]
    row = await centre.call(caller)
    assert (row["outcome"], row["agents"]) == ("human", ["1001"])
    await until_free(centre, "1002")
    await centre.presence("1001", "ready")


async def test_what_happens_while_the_controller_is_away_is_told_afterwards(
    centre: Centre, phones: Phones
) -> None:
    one = await talk(centre, phones, "13900000061")
    second = await colleague(centre, phones)
    party = await one.add("1002")
    await one.joined(party)
    at_second = second.offers[-1]
    starts = len(centre.facts(ControllerStarted))
    centre.kill_controller(for_good=True)
    await at_second.hang_up()
    await at_second.until_ended()
    gone_at = clock.now()
    await all_hear_each_other(one.citizen, one.at_agent)
    await asyncio.sleep(1.5)
    centre.revive()
    await centre.fact(ControllerStarted, 30, count=starts + 1)
    left = await centre.fact(PartyLeft, party=party)
    assert left.why is PartyEnd.HUNG_UP
    assert abs(left.at - gone_at) < SECOND
    await one.citizen.hang_up()
    await until_end(centre, one.call)


async def test_diary_and_asterisks_own_record_agree_after_all_of_it(centre: Centre) -> None:
    await centre.verified()
