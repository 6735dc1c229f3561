"""Surveys beside plain fakes: hand-overs that are refused, links, and what follows a bad rating."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from acd.commands import CreateCallback
from acd.gate import Purpose, Refusal, Why
from acd.rules.model import Queue, Rules, SurveyWhen
from base.bus import Refused
from facts import (
    CallArrived,
    CallEnded,
    CallQueued,
    DialRefused,
    Fact,
    HangUpExplained,
    OfferAnswered,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
    TalkEnded,
)
from facts.calendar import make_calendar
from facts.requests import EnterRating, ExplainHangUp, HandToSurvey
from facts.terms import Grade, HandOver, Party, RatedBy
from facts.times import DAY, HOUR, SECOND, local
from hotline.controller.hang_ups import HangUps
from hotline.controller.surveys import MATTER, Around, SurveyOptions, Surveys, within_a_working_day
from ivr.survey import Invitation
from telephony.channels import Talk
from telephony.link import LinkDown

T = 1_763_731_200 * SECOND  # Friday, 21 November 2025, in China
CALL = "hotline-1763731200.17"
CALENDAR = make_calendar({"2025": {"holidays": [], "makeup_workdays": []}})


class World:
    """A call with 1001 in it, Asterisk that does what it is told, and everything reported."""

    def __init__(self, when: SurveyWhen = SurveyWhen.HAND_OVER, **options: Any) -> None:
        self.now = T
        self.facts: list[Fact] = []
        self.created: list[CreateCallback] = []
        self.done: list[str] = []
        self.away = self.stuck = False
        self.refused: Refusal | None = None
        self.when = when
        self.talking = True
        around = Around(
            report=self.report,
            rules=lambda: Rules(
                {name: Queue(name, survey=self.when) for name in ("default", "tax")}
            ),
            clock=lambda: self.now,
            story=self.story,
            refusal=lambda number, purpose: self.refused,
            create=self.created.append,
            calendar=lambda: CALENDAR,
        )
        self.surveys = Surveys(self, self, around, SurveyOptions(**options))
        self.surveys._loaded = True

    def report(self, *facts: Fact) -> None:
        for fact in facts:
            self.facts.append(fact)
            self.surveys.add(fact)

    async def story(self, call: str) -> Sequence[Fact]:
        return [fact for fact in self.facts if getattr(fact, "call", "") == call]

    def talks(self) -> list[Talk]:
        leg = Talk("leg", "PJSIP/1001-00000001", CALL, "1001", held=False, there=True)
        return [leg] if self.talking else []

    def hands_over(self, call: str, agent: str) -> None:
        self.done.append(f"{agent} hands over")

    async def hand_to_survey(self, call: str) -> None:
        if self.away:
            raise LinkDown("away")
        self.done.append("survey follows")

    async def leave_talk(self, call: str, agent: str) -> None:
        if self.stuck:
            raise LinkDown("away")
        self.done.append(f"hang up {agent}")
        self.end(Party.AGENT)

    def begin(self, caller: str = "13900000001") -> None:
        self.report(CallArrived(T, CALL, "12345", caller), OfferAnswered(T, CALL, "1001"))
        self.now = T + 60 * SECOND

    def end(self, by: Party) -> None:
        self.talking = False
        self.report(TalkEnded(self.now, CALL, "1001", by))

    def of(self, kind: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if type(fact) is kind]


async def test_a_hand_over_is_told_before_the_agent_is_hung_up() -> None:
    world = World()
    world.begin()
    reply = await world.surveys.asked(HandToSurvey("1001", "li"))
    assert reply.said == "agent 1001: the citizen is asked to rate the talk"
    assert world.done == ["survey follows", "1001 hands over", "hang up 1001"]
    (handed,) = world.of(SurveyHandedOver)
    assert handed == SurveyHandedOver(world.now, CALL, "1001", HandOver.API, "li")
    assert await world.surveys.invite(CALL) == Invitation("1001", asks=True)


async def test_what_cannot_be_handed_over_is_refused_and_nothing_is_done() -> None:
    world = World(least_talk=20)
    with pytest.raises(Refused, match="nothing is known"):
        await world.surveys.hand_over("1001", HandOver.KEY)
    world.begin()
    with pytest.raises(Refused, match="1002 is not in a talk"):
        await world.surveys.hand_over("1002", HandOver.KEY)
    world.now = T + 19 * SECOND
    with pytest.raises(Refused, match="shorter than 20 seconds"):
        await world.surveys.hand_over("1001", HandOver.KEY)
    world.now, world.when = T + 60 * SECOND, SurveyWhen.OFF
    with pytest.raises(Refused, match="the survey is off"):
        await world.surveys.hand_over("1001", HandOver.KEY)
    world.when, world.away = SurveyWhen.HAND_OVER, True
    with pytest.raises(Refused, match="the talk goes on"):
        await world.surveys.hand_over("1001", HandOver.KEY)
    assert await world.surveys.hand_over_by_key("1001")
    assert world.done == []
    assert world.of(SurveyHandedOver) == []


async def test_an_agent_who_cannot_be_hung_up_by_us_hangs_up_and_the_survey_follows() -> None:
    world = World()
    world.begin()
    world.stuck = True
    with pytest.raises(Refused, match="hang up yourself"):
        await world.surveys.hand_over("1001", HandOver.KEY)
    world.end(Party.AGENT)
    assert await world.surveys.invite(CALL) == Invitation("1001", asks=True)


async def test_a_hang_up_is_a_hand_over_only_where_the_queue_says_so() -> None:
    for when, asks in ((SurveyWhen.HAND_OVER, False), (SurveyWhen.HANG_UP, True)):
        world = World(when)
        world.begin()
        world.end(Party.AGENT)
        assert (await world.surveys.invite(CALL) is not None) is asks
        assert len(world.of(SurveyHandedOver)) == asks
    short = World(SurveyWhen.HANG_UP)
    short.begin()
    short.now = T + 10 * SECOND
    short.end(Party.AGENT)
    assert await short.surveys.invite(CALL) is None


async def test_until_the_diary_is_read_nobody_is_asked() -> None:
    world = World(SurveyWhen.HANG_UP)
    world.surveys._loaded = False
    world.begin()
    world.end(Party.AGENT)
    assert await world.surveys.invite(CALL) == Invitation("1001", asks=False)


@pytest.mark.parametrize("grade", Grade)
async def test_a_bad_rating_becomes_one_callback(grade: Grade) -> None:
    world = World()
    world.begin()
    await world.surveys.hand_over("1001", HandOver.KEY)
    world.surveys.report(SurveyRated(world.now, CALL, "1001", grade))
    if grade in (Grade.DISSATISFIED, Grade.VERY_DISSATISFIED):
        monday = world.now + 3 * DAY
        assert world.created == [
            CreateCallback("13900000001", "default", monday, "dissatisfied", CALL, matter=MATTER)
        ]
    else:
        assert world.created == []


async def test_no_callback_to_a_number_that_may_not_be_dialled() -> None:
    world = World()
    world.begin()
    world.refused = Refusal(next(iter(Why)))
    world.surveys.report(SurveyRated(world.now, CALL, "1001", Grade.VERY_DISSATISFIED))
    assert world.created == []
    (told,) = world.of(DialRefused)
    assert isinstance(told, DialRefused)
    assert (told.number, told.purpose) == ("13900000001", Purpose.CALLBACK)


async def test_a_link_is_for_one_rating_and_gets_too_old() -> None:
    world = World(link_hours=1)
    world.begin()
    world.report(CallQueued(T + 1, CALL, "tax"))
    world.end(Party.CALLER)
    world.report(CallEnded(world.now, CALL, Party.CALLER))
    (link,) = world.of(SurveyLinked)
    assert isinstance(link, SurveyLinked)
    assert (link.caller, link.agent, link.until) == ("13900000001", "1001", world.now + HOUR)
    assert len(link.token) >= 20
    with pytest.raises(Refused, match="no such grade"):
        await world.surveys.enter(EnterRating(link.token, "fine"))
    assert (await world.surveys.enter(EnterRating(link.token, "dissatisfied"))).said
    rated = SurveyRated(world.now, CALL, "1001", Grade.DISSATISFIED, RatedBy.LINK)
    assert world.of(SurveyRated) == [rated]
    assert [one.queue for one in world.created] == ["tax"]
    for token in (link.token, "x" * 22):
        with pytest.raises(Refused, match="no open invitation"):
            await world.surveys.enter(EnterRating(token, "satisfied"))
    late = World(link_hours=1)
    late.begin()
    late.end(Party.CALLER)
    late.report(CallEnded(late.now, CALL, Party.CALLER))
    (link,) = late.of(SurveyLinked)
    late.now += HOUR + 1
    with pytest.raises(Refused, match="too old"):
        await late.surveys.enter(EnterRating(link.token, "satisfied"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "what", ["asked", "system", "short", "off", "withheld", "no links", "nobody talked"]
)
async def test_who_gets_no_link(what: str) -> None:
    world = World(link_hours=0 if what == "no links" else 1)
    if what == "nobody talked":
        world.report(CallArrived(T, CALL, "12345", "13900000001"))
    else:
        world.begin("" if what == "withheld" else "13900000001")
    if what == "short":
        world.now = T + 5 * SECOND
    if what == "off":
        world.when = SurveyWhen.OFF
    if what == "asked":
        world.report(SurveyOffered(world.now, CALL, "1001"))
    if what != "nobody talked":
        world.end(Party.SYSTEM if what == "system" else Party.CALLER)
    world.report(CallEnded(world.now, CALL, Party.CALLER))
    assert world.of(SurveyLinked) == []


def test_within_a_working_day() -> None:
    days = {"2026": {"holidays": ["2026-10-01", "2026-10-02"], "makeup_workdays": ["2026-09-26"]}}
    calendar = make_calendar(days)

    def at(month: int, day: int) -> int:
        return round(datetime(2026, month, day, 3, tzinfo=UTC).timestamp()) * SECOND

    def after(month: int, day: int) -> str:
        return f"{local(within_a_working_day(at(month, day), calendar)):%m-%d %H}"

    assert after(9, 25) == "09-26 11"  # a Saturday that is worked
    assert after(9, 30) == "10-05 11"  # over holidays and a weekend
    assert after(9, 28) == "09-29 11"


def hang_ups() -> tuple[HangUps, list[Fact]]:
    facts: list[Fact] = []
    made = HangUps(facts.append, lambda: T + 100 * SECOND)
    made.add(OfferAnswered(T, CALL, "1001"))
    return made, facts


def test_an_agents_own_hang_up_wants_one_reason() -> None:
    made, facts = hang_ups()
    assert made.dialled("1001", "3") != "ok"
    made.add(TalkEnded(T + 60 * SECOND, CALL, "1001", Party.AGENT))
    with pytest.raises(Refused, match="no such reason: there is 1 caller_away"):
        made.explain(ExplainHangUp("1001", "9"))
    assert made.dialled("1002", "3") != "ok"
    assert made.dialled("1001", "3") == "ok"
    explained = HangUpExplained(T + 100 * SECOND, CALL, "1001", "abuse")
    assert facts == [explained]
    made.add(explained)
    assert made.dialled("1001", "3") != "ok"


@pytest.mark.parametrize(
    "facts",
    [
        [TalkEnded(T + 60 * SECOND, CALL, "1001", Party.CALLER)],
        [TalkEnded(T + SECOND // 2, CALL, "1001", Party.AGENT)],
        [
            SurveyHandedOver(T + 50 * SECOND, CALL, "1001", HandOver.KEY),
            TalkEnded(T + 60 * SECOND, CALL, "1001", Party.AGENT),
        ],
    ],
    ids=["caller", "dropped at once", "handed over"],
)
def test_other_ends_want_none(facts: list[Fact]) -> None:
    made, _ = hang_ups()
    for fact in facts:
        made.add(fact)
    assert made.unexplained("1001") == []
