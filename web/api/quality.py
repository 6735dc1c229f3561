"""Routes about quality: an assessor's tasks, an agent's own scores, appeals, draws, the monthly card.

An assessor's routes name neither the agent nor the call, and an agent's name no assessor. Every one of them is audited.
"""

from collections.abc import Coroutine
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from base import clock
from facts.numbers import AGENT_NUMBER
from quality import book, draws, scorecard, shown
from quality.book import Actor, AssessmentError, AssessmentStep, NoAssessmentError
from quality.book import Assessment as Known
from quality.draws import DrawError
from quality.sample import SampleError
from quality.scorecard import ScoreCardError, ScoreSheet
from quality.states import AssessmentState
from web.accounts import accounts
from web.accounts.accounts import Who
from web.api import recordings
from web.api.auth import Me, right
from web.api.listening import Peaks, blind_peaks
from web.backend import Backend, Behind, Problem

router = APIRouter(prefix="/api/quality", tags=["quality"])

Number = Annotated[int, InPath(ge=1, lt=2**63, description="an assessment's id")]
Agent = Annotated[str, InPath(pattern=f"^{AGENT_NUMBER.pattern}$", description="an agent's number")]
Month = Annotated[str, Query(pattern=r"^\d{4}-\d{2}$", description="such as 2026-11")]
_LONGEST: Final = book.LONGEST


class DeductionIn(BaseModel):
    """Points taken off for one item; `second`: where in the recording."""

    item: str = Field(max_length=32)
    points: int = Field(0, ge=0, le=100)
    second: float | None = Field(None, ge=0, lt=86_400)
    phrase: str = Field("", max_length=scorecard.LONGEST_NOTE)
    note: str = Field("", max_length=scorecard.LONGEST_NOTE)


class Sheet(BaseModel):
    """A filled-in score card. Items that are not named have full points."""

    deductions: list[DeductionIn] = Field([], max_length=scorecard.MOST_DEDUCTIONS)
    not_applicable: list[str] = Field([], max_length=scorecard.MOST_ITEMS)


class Reason(BaseModel):
    """Why, in the person's own words."""

    reason: str = Field(max_length=_LONGEST)


class NewAssessor(Reason):
    """Who gets the task, and why."""

    to: str = Field(max_length=32)


class Decision(Reason):
    """The reason of a decision; with a sheet the score changes, without one it is upheld."""

    sheet: Sheet | None = None


class Task(BaseModel):
    """A talk to be scored, or scored by this assessor. `seconds`: its recording. `since`: microseconds."""

    id: int
    week: str
    state: AssessmentState
    seconds: float
    since: int


class Item(BaseModel):
    """An item of the score card."""

    key: str
    zh: str
    en: str
    points: int
    group: str
    source: str
    quote: str
    knock_out: bool
    phrases: list[str]


class Group(BaseModel):
    """A group of items; `weight` in percent."""

    key: str
    zh: str
    en: str
    weight: int


class Card(BaseModel):
    """A score card. `passing`: hundredths of a point."""

    zh: str
    en: str
    passing: int
    groups: list[Group]
    items: list[Item]


class OpenTask(BaseModel):
    """A task with the card to fill in."""

    task: Task
    card: Card


class Own(BaseModel):
    """An agent's own score, in hundredths. `appeal_until`: microseconds, None when no appeal is possible any more."""

    id: int
    call: str
    arrived: int
    state: AssessmentState
    score: int | None
    appeal_until: int | None


class OwnEvent(BaseModel):
    """What happened to a score, without who did it."""

    at: int
    event: str
    text: str
    score: int | None


class OpenOwn(BaseModel):
    """An agent's own score with its card, its sheet and what happened to it."""

    assessment: Own
    card: Card
    sheet: Sheet | None
    events: list[OwnEvent]


class Assessment(BaseModel):
    """An assessment as a supervisor sees it."""

    id: int
    week: str
    call: str
    agent: str
    assessor: str
    stratum: str
    arrived: int
    state: AssessmentState
    since: int
    score: int | None


class Event(OwnEvent):
    """What happened to a score, and who did it."""

    by: str
    assessor: str
    sheet: Sheet | None


class OpenAssessment(BaseModel):
    """An assessment with its card, its sheet and its history."""

    assessment: Assessment
    card: Card
    sheet: Sheet | None
    events: list[Event]


class Draw(BaseModel):
    """A week's draw. `shortest` in seconds, `at` in microseconds."""

    week: str
    seed: str
    count: int
    strata: list[str]
    shortest: float
    card: str
    population: str
    talks: int
    drawn: int
    by: str
    at: int


class NewDraw(BaseModel):
    """Which week to draw; a seed from outside, or empty."""

    week: str = Field("last-week", max_length=20)
    seed: str = Field("", max_length=64)


# --- the assessor


@router.get("/tasks", **right("quality.assess", audited="every", response_model=list[Task]))
async def tasks(me: Me, behind: Behind, everything: bool = False) -> list[Task]:
    """One's tasks; with `everything` also those that are scored."""
    found = await book.tasks(behind.engine, me.name, everything=everything)
    return [_task(one) for one in found if one.state is not AssessmentState.RETURNED]


@router.get("/tasks/{id}", **right("quality.assess", audited="every", response_model=OpenTask))
async def task(id: Number, me: Me, behind: Behind) -> OpenTask:  # noqa: A002 the path's word
    """One task, with the card to fill in."""
    found = await _found(book.task(behind.engine, id, me.name))
    return OpenTask(task=_task(found), card=_card(found))


_HEARD: Final[dict[str, Any]] = {
    "response_class": FileResponse,
    "responses": {
        200: {"description": "Stereo: citizen left, agent right."},
        206: {"description": "The part that was asked for."},
        400: {"description": "The header Range cannot be read."},
        416: {"description": "The recording is shorter."},
    },
}


@router.get("/tasks/{id}/recording", **right("quality.assess", audited="every", **_HEARD))
async def task_recording(
    id: Number,  # noqa: A002 the path's word
    me: Me,
    request: Request,
    behind: Behind,
) -> FileResponse:
    """The talk to be scored, whole or in parts (Range)."""
    found = await _found(book.task(behind.engine, id, me.name))
    return await recordings.listen(behind, found.call, request)


@router.get("/tasks/{id}/peaks", **right("quality.assess", audited="every", response_model=Peaks))
async def task_peaks(id: Number, me: Me, behind: Behind) -> Peaks:  # noqa: A002 the path's word
    """The waveform of the talk to be scored, which names neither call nor agent."""
    found = await _found(book.task(behind.engine, id, me.name))
    return await blind_peaks(behind, found.call)


@router.post("/tasks/{id}/score", **right("quality.assess", response_model=Task))
async def score(
    id: Number,  # noqa: A002 the path's word
    given: Sheet,
    me: Me,
    behind: Behind,
) -> Task:
    """Score a talk. It cannot be taken back: the agent sees it and may appeal."""
    who = _person(me)
    return _task(await _found(book.score(behind.engine, id, who, _filled(given), clock.now())))


@router.post("/tasks/{id}/return", status_code=204, **right("quality.assess"))
async def give_back(
    id: Number,  # noqa: A002 the path's word
    given: Reason,
    me: Me,
    behind: Behind,
) -> None:
    """Return a task that cannot be scored, or not by this assessor."""
    await _found(book.give_back(behind.engine, id, _person(me), given.reason, clock.now()))


# --- the agent


@router.get("/own", **right("quality.own", audited="every", response_model=list[Own]))
async def own(me: Me, behind: Behind) -> list[Own]:
    """The scores of one's own talks, the newest first."""
    days = behind.settings.quality_appeal_days
    return [_own(one, days) for one in await book.of_agent(behind.engine, me.agent)]


@router.get("/own/card", **right("quality.own", audited="every"))
async def own_card(me: Me, behind: Behind, month: Month, form: str = "json") -> Response:
    """One's own month: what has a score."""
    return await _month(behind, me.agent, month, form, scored=True)


@router.get("/own/{id}", **right("quality.own", audited="every", response_model=OpenOwn))
async def one_own(id: Number, me: Me, behind: Behind) -> OpenOwn:  # noqa: A002 the path's word
    """One score, with what was taken off and why."""
    found = await _found(book.one_of_agent(behind.engine, id, me.agent))
    return OpenOwn(
        assessment=_own(found, behind.settings.quality_appeal_days),
        card=_card(found),
        sheet=_sheet(found.sheet),
        events=[
            OwnEvent(at=one.at, event=one.event.value, text=one.text, score=one.score)
            for one in await book.history(behind.engine, id)
            if one.event.value in _FOR_AGENTS
        ],
    )


_FOR_AGENTS: Final = frozenset({"score", "appeal", "uphold", "change"})
"""The events that an agent sees: who had the task before is not among them."""


@router.get("/own/{id}/recording", **right("quality.own", audited="every", **_HEARD))
async def own_recording(
    id: Number,  # noqa: A002 the path's word
    me: Me,
    request: Request,
    behind: Behind,
) -> FileResponse:
    """One's own talk that was scored, whole or in parts (Range)."""
    found = await _found(book.one_of_agent(behind.engine, id, me.agent))
    return await recordings.listen(behind, found.call, request)


@router.get("/own/{id}/peaks", **right("quality.own", audited="every", response_model=Peaks))
async def own_peaks(id: Number, me: Me, behind: Behind) -> Peaks:  # noqa: A002 the path's word
    """The waveform of one's own talk that was scored."""
    found = await _found(book.one_of_agent(behind.engine, id, me.agent))
    return await blind_peaks(behind, found.call)


@router.post("/own/{id}/appeal", **right("quality.own", response_model=Own))
async def appeal(
    id: Number,  # noqa: A002 the path's word
    given: Reason,
    me: Me,
    behind: Behind,
) -> Own:
    """Appeal against a score. The recording is held until somebody else has decided."""
    days = behind.settings.quality_appeal_days
    who = _person(me)
    done = book.appeal(behind.engine, id, who, given.reason, clock.now(), days)
    return _own(await _found(done), days)


# --- the supervisor


@router.get("/appeals", **right("quality.decide", audited="every", response_model=list[Assessment]))
async def appeals(behind: Behind) -> list[Assessment]:
    """The appeals that nobody has decided, the oldest first."""
    found = await book.in_state(behind.engine, AssessmentState.APPEALED)
    return [_assessment(one) for one in found]


@router.post("/assessments/{id}/decide", **right("quality.decide", response_model=Assessment))
async def decide(
    id: Number,  # noqa: A002 the path's word
    given: Decision,
    me: Me,
    behind: Behind,
) -> Assessment:
    """Decide an appeal. Whoever had the task, or took part in the call, cannot."""
    who = _person(me)
    sheet = None if given.sheet is None else _filled(given.sheet)
    done = book.decide(behind.engine, id, who, given.reason, sheet, clock.now())
    return _assessment(await _found(done))


@router.post("/assessments/{id}/assign", **right("quality.draw", response_model=Assessment))
async def assign(
    id: Number,  # noqa: A002 the path's word
    given: NewAssessor,
    me: Me,
    behind: Behind,
) -> Assessment:
    """Give a task that has no score to another assessor."""
    there = {one.name: one for one in await accounts.assessors(behind.engine)}
    if given.to not in there:
        raise Problem(409, f"{given.to} is no assessor")
    who = _person(me)
    done = book.assign(behind.engine, id, there[given.to], who, given.reason, clock.now())
    return _assessment(await _found(done))


@router.get(
    "/assessments/{id}", **right("quality.read", audited="every", response_model=OpenAssessment)
)
async def assessment(id: Number, behind: Behind) -> OpenAssessment:  # noqa: A002 the path's word
    """One assessment with its whole history."""
    found = await _found(book.find(behind.engine, id))
    return OpenAssessment(
        assessment=_assessment(found),
        card=_card(found),
        sheet=_sheet(found.sheet),
        events=[_event(one) for one in await book.history(behind.engine, id)],
    )


@router.get(
    "/assessments", **right("quality.read", audited="every", response_model=list[Assessment])
)
async def assessments(
    behind: Behind, week: Annotated[str, Query(max_length=8, pattern=r"^\d{4}-W\d{2}$")]
) -> list[Assessment]:
    """What was drawn for a week."""
    return [_assessment(one) for one in await book.of_week(behind.engine, week)]


@router.get("/cards/{number}", **right("quality.read", audited="every"))
async def card(number: Agent, behind: Behind, month: Month, form: str = "json") -> Response:
    """An agent's month: each figure with its calls. `form`: json, csv, xlsx, html or text."""
    return await _month(behind, number, month, form)


@router.get("/draws", **right("quality.read", response_model=list[Draw]))
async def all_draws(behind: Behind) -> list[Draw]:
    """Every draw, the newest week first."""
    return [Draw.model_validate(asdict(one)) for one in await draws.list_all(behind.engine)]


@router.post("/draws", **right("quality.draw", status_code=201, response_model=Draw))
async def new_draw(given: NewDraw, me: Me, behind: Behind) -> Draw:
    """Draw a week's sample, and give its talks to the assessors."""
    try:
        now = clock.now()
        made = await draws.draw_week(
            behind.engine,
            behind.settings,
            draws.week_of(given.week, now),
            await accounts.assessors(behind.engine),
            by=me.name,
            now=now,
            seed=given.seed,
        )
    except (DrawError, SampleError, ScoreCardError) as error:
        raise Problem(409, str(error)) from None
    return Draw.model_validate(asdict(made))


# --- small things


async def _found(work: Coroutine[Any, Any, Known]) -> Known:
    """What the book gives; its errors as answers."""
    try:
        found = await work
    except NoAssessmentError as error:
        raise Problem(404, str(error)) from None
    except (AssessmentError, ScoreCardError) as error:
        raise Problem(409, str(error)) from None
    return found


async def _month(
    behind: Backend, agent: str, month: str, form: str, *, scored: bool = False
) -> Response:
    if form not in shown.FORMS:
        raise Problem(422, f"form: there is {', '.join(shown.FORMS)}")
    try:
        made = await book.month(behind.engine, agent, month, scored=scored)
        now = draws.card_of(behind.settings)
    except AssessmentError as error:
        raise Problem(422, str(error)) from None
    except ScoreCardError as error:
        raise Problem(409, str(error)) from None
    wanted = shown.FORMS[form]
    name = f"quality-{agent}-{month}.{wanted.suffix}"
    attached = {} if form == "json" else {"Content-Disposition": f'attachment; filename="{name}"'}
    content = wanted.make(made, now, "zh")
    return Response(content, media_type=wanted.media_type, headers=attached)


def _person(me: Who) -> Actor:
    """A person who acts. A program's token is nobody who could be asked afterwards."""
    if me.name.startswith("token:"):
        raise Problem(409, "a person does this, signed in by name: a token cannot")
    return Actor(me.name, me.agent)


def _filled(given: Sheet) -> ScoreSheet:
    try:
        return scorecard.sheet_of(given.model_dump())
    except ScoreCardError as error:
        raise Problem(409, str(error)) from None


def _sheet(sheet: ScoreSheet | None) -> Sheet | None:
    return None if sheet is None else Sheet.model_validate(sheet.as_json())


def _card(one: Known) -> Card:
    return Card.model_validate(asdict(one.card))


def _task(one: Known) -> Task:
    return Task(
        id=one.id,
        week=one.week,
        # An appeal and its decision are not the assessor's: what they scored, they scored.
        state=one.state if one.score is None else AssessmentState.SCORED,
        seconds=round(one.seconds, 1),
        since=one.since,
    )


def _own(one: Known, days: int) -> Own:
    until = one.appeal_until(days)
    open_ = one.state is AssessmentState.SCORED and clock.now() < until
    return Own(
        id=one.id,
        call=one.call,
        arrived=one.arrived,
        state=one.state,
        score=one.score,
        appeal_until=until if open_ else None,
    )


def _assessment(one: Known) -> Assessment:
    return Assessment(
        id=one.id,
        week=one.week,
        call=one.call,
        agent=one.agent,
        assessor=one.assessor,
        stratum=one.stratum,
        arrived=one.arrived,
        state=one.state,
        since=one.since,
        score=one.score,
    )


def _event(one: AssessmentStep) -> Event:
    return Event(
        at=one.at,
        event=one.event.value,
        text=one.text,
        score=one.score,
        by=one.by,
        assessor=one.assessor,
        sheet=_sheet(one.sheet),
    )
