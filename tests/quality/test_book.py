"""Assessments in the database: blind tasks, one score, one appeal, one decision by somebody else; all of it stays."""

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from facts.times import DAY, HOUR, midnight
from quality import book, draws, scorecard
from quality.book import Actor, Assessment, AssessmentError, NoAssessmentError
from quality.monthly import AVERAGE
from quality.sample import Assessor
from quality.scorecard import Deduction, ScoreCardError, ScoreSheet
from quality.states import AssessmentEvent, AssessmentState, state_after
from quality.tables import event
from recorder import deletion, tables
from recorder.tables import recording
from tests.quality.conftest import NOW, PEOPLE, WEEK, Fill

ZHAO, WANG, CHIEF = Actor("zhao"), Actor("wang", "1002"), Actor("chief")
SHEET = ScoreSheet((Deduction("greeting", 6, 2.5, note="no greeting"), Deduction("speech", 2)))
KNOCKED = ScoreSheet((Deduction("forbidden-words", 0, 31.0, phrase="不知道"),))
DAYS = 5


@pytest.fixture
async def task(engine: AsyncEngine, settings: Settings, fill: Fill) -> Assessment:
    """A task of zhao about agent 1002."""
    await fill()
    await draws.draw_week(engine, settings, WEEK, PEOPLE, by="test", now=NOW, seed="lots-of-2025")
    return next(one for one in await book.tasks(engine, "zhao") if one.agent == "1002")


async def test_a_talk_is_scored_once(engine: AsyncEngine, task: Assessment) -> None:
    done = await book.score(engine, task.id, ZHAO, SHEET, NOW + HOUR)
    expected = scorecard.score(task.card, SHEET).total
    assert (done.state, done.score, done.sheet) == (AssessmentState.SCORED, expected, SHEET)
    with pytest.raises(AssessmentError, match="only once"):
        await book.score(engine, task.id, ZHAO, ScoreSheet(), NOW + HOUR)
    assert task.id not in [one.id for one in await book.tasks(engine, "zhao")]
    assert task.id in [one.id for one in await book.tasks(engine, "zhao", everything=True)]


async def test_of_two_scores_at_once_one_counts(engine: AsyncEngine, task: Assessment) -> None:
    done = await asyncio.gather(
        *(book.score(engine, task.id, ZHAO, sheet, NOW) for sheet in (SHEET, KNOCKED)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["Assessment", "AssessmentError"]
    assert len(await book.history(engine, task.id)) == 2


async def test_only_the_assessor_sees_a_task(engine: AsyncEngine, task: Assessment) -> None:
    for name in ("wang", "chief", ""):
        with pytest.raises(NoAssessmentError):
            await book.task(engine, task.id, name)
        with pytest.raises(NoAssessmentError):
            await book.score(engine, task.id, Actor(name), SHEET, NOW)
    for number in (0, -1, 10**6, 2**70):
        with pytest.raises(NoAssessmentError):
            await book.find(engine, number)


async def test_an_account_that_became_the_agent_does_not_score(
    engine: AsyncEngine, task: Assessment
) -> None:
    with pytest.raises(AssessmentError, match="took part"):
        await book.score(engine, task.id, Actor("zhao", "1002"), SHEET, NOW)


async def test_a_second_beyond_the_recording_is_refused(
    engine: AsyncEngine, task: Assessment
) -> None:
    with pytest.raises(AssessmentError, match="the recording has 420"):
        await book.score(engine, task.id, ZHAO, ScoreSheet((Deduction("speech", 1, 421.0),)), NOW)
    with pytest.raises(ScoreCardError, match="no item"):
        await book.score(engine, task.id, ZHAO, ScoreSheet((Deduction("x", 1),)), NOW)


async def test_a_task_is_returned_and_given_to_somebody_else(
    engine: AsyncEngine, task: Assessment
) -> None:
    with pytest.raises(AssessmentError, match="say why"):
        await book.give_back(engine, task.id, ZHAO, " ", NOW)
    back = await book.give_back(engine, task.id, ZHAO, "I know this voice", NOW)
    assert back.state is AssessmentState.RETURNED
    with pytest.raises(NoAssessmentError):
        await book.task(engine, task.id, "zhao")
    with pytest.raises(AssessmentError, match="took part"):
        await book.assign(engine, task.id, Assessor("wang", "1002"), CHIEF, "leave", NOW)
    await book.assign(engine, task.id, Assessor("li"), CHIEF, "leave", NOW)
    done = await book.score(engine, task.id, Actor("li"), SHEET, NOW)
    assert done.assessor == "li"
    with pytest.raises(AssessmentError, match="only one that is assigned or returned"):
        await book.assign(engine, task.id, Assessor("zhao"), CHIEF, "again", NOW)


async def test_a_task_is_not_given_to_who_has_it(engine: AsyncEngine, task: Assessment) -> None:
    with pytest.raises(AssessmentError, match="has it already"):
        await book.assign(engine, task.id, Assessor("zhao"), CHIEF, "leave", NOW)


async def appealed(engine: AsyncEngine, task: Assessment) -> Assessment:
    await book.score(engine, task.id, ZHAO, SHEET, NOW)
    return await book.appeal(engine, task.id, Actor("gao", "1002"), "I did greet", NOW + DAY, DAYS)


async def test_an_appeal_holds_the_recording_until_it_is_decided(
    engine: AsyncEngine, task: Assessment
) -> None:
    await deletion.hold(engine, task.call, reason="court", reference="case 1", by="law", now=NOW)
    assert (await appealed(engine, task)).state is AssessmentState.APPEALED
    async with engine.connect() as connection:
        holds = select(tables.hold.c.reference, tables.hold.c.released_at)
        before = (await connection.execute(holds)).all()
    assert [tuple(one) for one in before] == [("case 1", 0), (book.reference(task.id), 0)]
    done = await book.decide(engine, task.id, CHIEF, "the greeting is there", ScoreSheet(), NOW + 2 * DAY)  # fmt: skip
    assert (done.state, done.score) == (AssessmentState.CHANGED, scorecard.FULL)
    # The court's hold stays.
    held = await deletion.holds(engine, NOW + 2 * DAY)
    assert [(call, one.reference) for call, one in held.items()] == [(task.call, "case 1")]


async def test_an_appeal_goes_on_without_the_recording(
    engine: AsyncEngine, task: Assessment
) -> None:
    async with engine.begin() as connection:
        await connection.execute(recording.update().values(certificate=3))
    assert (await appealed(engine, task)).state is AssessmentState.APPEALED
    assert await deletion.holds(engine, NOW) == {}
    assert (await book.find(engine, task.id)).seconds == 0


async def test_an_agent_appeals_once_and_in_time(engine: AsyncEngine, task: Assessment) -> None:
    agent = Actor("gao", "1002")
    with pytest.raises(NoAssessmentError):
        await book.appeal(engine, task.id, agent, "early", NOW, DAYS)
    await book.score(engine, task.id, ZHAO, SHEET, NOW)
    with pytest.raises(NoAssessmentError):
        await book.appeal(engine, task.id, Actor("hu", "1001"), "not mine", NOW, DAYS)
    with pytest.raises(AssessmentError, match="say what is wrong"):
        await book.appeal(engine, task.id, agent, "", NOW, DAYS)
    with pytest.raises(AssessmentError, match="2000 at most"):
        await book.appeal(engine, task.id, agent, "x" * 2001, NOW, DAYS)
    last = midnight(NOW) + (DAYS + 1) * DAY
    with pytest.raises(AssessmentError, match="is over"):
        await book.appeal(engine, task.id, agent, "late", last, DAYS)
    assert await deletion.holds(engine, NOW) == {}
    await book.appeal(engine, task.id, agent, "in time", last - 1, DAYS)
    with pytest.raises(AssessmentError, match="appeals once"):
        await book.appeal(engine, task.id, agent, "again", last - 1, DAYS)


async def test_somebody_else_decides(engine: AsyncEngine, task: Assessment) -> None:
    await appealed(engine, task)
    for who, said in ((ZHAO, "somebody else"), (Actor("gao", "1002"), "took part")):
        with pytest.raises(AssessmentError, match=said):
            await book.decide(engine, task.id, who, "no", None, NOW)
    with pytest.raises(AssessmentError, match="reason"):
        await book.decide(engine, task.id, CHIEF, "", None, NOW)
    with pytest.raises(AssessmentError, match="uphold"):
        await book.decide(engine, task.id, CHIEF, "the same", SHEET, NOW)
    done = await book.decide(engine, task.id, CHIEF, "there is none", None, NOW)
    assert (done.state, done.score) == (
        AssessmentState.UPHELD,
        scorecard.score(task.card, SHEET).total,
    )
    with pytest.raises(AssessmentError, match="only once"):
        await book.decide(engine, task.id, CHIEF, "once more", ScoreSheet(), NOW)


async def test_who_returned_a_task_does_not_decide_about_it(
    engine: AsyncEngine, task: Assessment
) -> None:
    await book.give_back(engine, task.id, ZHAO, "a friend", NOW)
    await book.assign(engine, task.id, Assessor("li"), CHIEF, "a friend", NOW)
    await book.score(engine, task.id, Actor("li"), SHEET, NOW)
    await book.appeal(engine, task.id, Actor("gao", "1002"), "no", NOW, DAYS)
    with pytest.raises(AssessmentError, match="somebody else"):
        await book.decide(engine, task.id, ZHAO, "yes", None, NOW)


async def test_the_history_has_everything_and_leads_to_the_row(
    engine: AsyncEngine, task: Assessment
) -> None:
    await appealed(engine, task)
    typed = Actor("chief", typed_by="cli:root")
    done = await book.decide(engine, task.id, typed, "heard again", KNOCKED, NOW + 2 * DAY)
    steps = await book.history(engine, task.id)
    assert [(one.event, one.by, one.text, one.score) for one in steps] == [
        (AssessmentEvent.DRAW, "test", "", None),
        (AssessmentEvent.SCORE, "zhao", "", scorecard.score(task.card, SHEET).total),
        (AssessmentEvent.APPEAL, "gao", "I did greet", None),
        (AssessmentEvent.CHANGE, "chief (cli:root)", "heard again", 0),
    ]
    assert [one.sheet for one in steps] == [None, SHEET, None, KNOCKED]
    assert state_after(one.event for one in steps) is done.state
    assert (steps[-1].score, steps[-1].sheet) == (done.score, done.sheet)


async def test_an_agent_sees_what_is_scored_and_only_their_own(
    engine: AsyncEngine, task: Assessment
) -> None:
    assert await book.of_agent(engine, "1002") == []
    await book.score(engine, task.id, ZHAO, SHEET, NOW)
    assert [one.id for one in await book.of_agent(engine, "1002")] == [task.id]
    assert await book.of_agent(engine, "1001") == []
    assert await book.of_agent(engine, "") == []
    for agent in ("1001", ""):
        with pytest.raises(NoAssessmentError):
            await book.one_of_agent(engine, task.id, agent)


async def test_the_months_sums_are_those_of_its_calls(
    engine: AsyncEngine, task: Assessment
) -> None:
    await appealed(engine, task)
    await book.decide(engine, task.id, CHIEF, "there", ScoreSheet((Deduction("speech", 2),)), NOW)
    month = await book.month(engine, "1002", "2025-11")
    assert await book.agents_of(engine, "2025-11") == ["1001", "1002"]
    drawn = [one for one in await book.of_week(engine, WEEK.name) if one.agent == "1002"]
    assert sorted(month.figure("drawn").calls) == sorted(one.call for one in drawn)
    assert month.figure("changed").calls == [task.call]
    assert month.figure(AVERAGE).value == (await book.find(engine, task.id)).score
    [row] = [one for one in month.rows if one.id == task.id]
    assert row.first == scorecard.score(task.card, SHEET).total
    assert [one.item for one in month.lost] == ["speech"]
    assert (await book.month(engine, "1002", "2025-12")).rows == ()
    for text in ("2025-13", "2025", "2025-11-01", "x"):
        with pytest.raises(AssessmentError, match="no month"):
            await book.month(engine, "1002", text)


async def test_no_step_changes_an_event(engine: AsyncEngine, task: Assessment) -> None:
    async with engine.connect() as connection:
        before = (await connection.execute(select(event).order_by(event.c.id))).all()
    await appealed(engine, task)
    await book.decide(engine, task.id, CHIEF, "no", None, NOW)
    async with engine.connect() as connection:
        after = (await connection.execute(select(event).order_by(event.c.id))).all()
    assert after[: len(before)] == before
    assert len(after) == len(before) + 3
