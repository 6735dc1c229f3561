"""Assessments in the database: tasks, scores, appeals, decisions, and the history of each (R47, R48).

Each step is one transaction: the row moves only if it is still in the state that was read, and an event beside it says
what happened. Of two people who act at once one gets an error. Nothing else writes these tables.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from facts.terms import CallId
from facts.times import DAY, SECOND, begin_of_day, midnight
from quality import monthly, scorecard
from quality.monthly import Assessed, MonthlyCard
from quality.sample import Assessor
from quality.scorecard import ScoreCard, ScoreSheet
from quality.states import AssessmentEvent, AssessmentState, StepError, step
from quality.tables import assessment, event, score_card
from recorder import deletion
from recorder.deletion import HoldError
from recorder.tables import recording

log = structlog.get_logger(__name__)

LONGEST: Final = 2000
"""Characters of a reason or an appeal."""
MOST: Final = 1000
"""Assessments in one list."""
_LARGEST: Final = 2**63 - 1


class AssessmentError(ValueError):
    """A step cannot be done. The message says why, and can be shown as it is."""


class NoAssessmentError(AssessmentError):
    """There is no such assessment, or none that whoever asks may see."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something. `agent`: the agent who they are themselves, or empty. `typed_by`: the operator who types."""

    name: str
    agent: str = ""
    typed_by: str = ""

    @property
    def label(self) -> str:
        """As the history names them."""
        return f"{self.name} ({self.typed_by})"[:80] if self.typed_by else self.name[:80]


@dataclass(frozen=True, slots=True)
class AssessmentStep:
    """One event of an assessment. `assessor`: who had it then. `at`: microseconds."""

    at: int
    event: AssessmentEvent
    by: str
    assessor: str
    text: str
    score: int | None
    sheet: ScoreSheet | None


@dataclass(frozen=True, slots=True)
class Assessment:
    """One assessment as it stands. `score` in hundredths; times and lengths in microseconds.

    `seconds`: the length of the recording, 0 if there is none any more.
    """

    id: int
    week: str
    call: CallId
    agent: str
    others: tuple[str, ...]
    stratum: str
    arrived: int
    length: int
    card: ScoreCard
    assessor: str
    state: AssessmentState
    since: int
    score: int | None
    sheet: ScoreSheet | None
    seconds: float = 0.0

    def appeal_until(self, days: int) -> int:
        """When the time to appeal is over (microseconds): after `days` whole days in China."""
        return midnight(self.since) + (days + 1) * DAY


# --- reading


async def find(engine: AsyncEngine, number: int) -> Assessment:
    """One assessment. Raises `NoAssessmentError`."""
    found = await _select(engine, assessment.c.id == number) if 0 < number <= _LARGEST else []
    if not found:
        raise NoAssessmentError(f"there is no assessment {number}")
    return found[0]


async def task(engine: AsyncEngine, number: int, assessor: str) -> Assessment:
    """One assessment that this assessor has or had. Raises `NoAssessmentError`, as if it were not there."""
    found = await find(engine, number)
    if found.assessor != assessor or found.state is AssessmentState.RETURNED:
        raise NoAssessmentError(f"{assessor} has no task {number}")
    return found


async def tasks(
    engine: AsyncEngine, assessor: str, *, everything: bool = False
) -> list[Assessment]:
    """An assessor's tasks, in the order of their numbers in the draw; with `everything` also those that are scored."""
    wanted = [assessment.c.assessor == assessor]
    if not everything:
        wanted.append(assessment.c.state == AssessmentState.ASSIGNED.value)
    return await _select(engine, *wanted)


async def of_agent(engine: AsyncEngine, agent: str) -> list[Assessment]:
    """The assessments of an agent that have a score, the newest calls first."""
    if not agent:
        return []
    return await _select(
        engine,
        assessment.c.agent == agent,
        assessment.c.score.is_not(None),
        order=assessment.c.arrived.desc(),
    )


async def one_of_agent(engine: AsyncEngine, number: int, agent: str) -> Assessment:
    """One of an agent's own that has a score. Raises `NoAssessmentError`, as if it were not there."""
    found = await find(engine, number)
    if not agent or found.agent != agent or found.score is None:
        raise NoAssessmentError(f"agent {agent or '-'} has no assessment {number}")
    return found


async def in_state(engine: AsyncEngine, *states: AssessmentState) -> list[Assessment]:
    """The assessments in these states, those that have been so for longest first."""
    wanted = assessment.c.state.in_([one.value for one in states])
    return await _select(engine, wanted, order=assessment.c.since)


async def of_week(engine: AsyncEngine, week: str) -> list[Assessment]:
    """What was drawn for a week."""
    return await _select(engine, assessment.c.week == week)


async def history(engine: AsyncEngine, number: int) -> list[AssessmentStep]:
    """What happened to an assessment, oldest first."""
    question = select(event).where(event.c.assessment == number).order_by(event.c.id)
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    return [
        AssessmentStep(
            *(row.at, AssessmentEvent(row.event), row.by, row.assessor, row.text, row.score),
            _sheet(row.sheet),
        )
        for row in rows
    ]


async def _select(
    engine: AsyncEngine, *wanted: Any, order: Any = assessment.c.chance
) -> list[Assessment]:
    question = (
        select(assessment, recording.c.duration, recording.c.certificate)
        .join(recording, recording.c.call == assessment.c.call, isouter=True)
        .where(*wanted)
        .order_by(order, assessment.c.id)
        .limit(MOST)
    )
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
        cards = await _cards(connection, {row.card for row in rows})
    return [_assessment(row, cards[row.card]) for row in rows]


async def _cards(connection: AsyncConnection, digests: Iterable[str]) -> dict[str, ScoreCard]:
    question = select(score_card).where(score_card.c.digest.in_(list(digests)))
    rows = await connection.execute(question)
    return {row.digest: scorecard.restored(row.card) for row in rows}


def _assessment(row: Any, card: ScoreCard) -> Assessment:
    there = row.duration is not None and not row.certificate
    return Assessment(
        *(row.id, row.week, row.call, row.agent, tuple(row.others.split())),
        *(row.stratum, row.arrived, row.length, card, row.assessor),
        *(AssessmentState(row.state), row.since, row.score, _sheet(row.sheet)),
        row.duration / SECOND if there else 0.0,
    )


def _sheet(text: str) -> ScoreSheet | None:
    return scorecard.sheet_of(json.loads(text)) if text else None


# --- steps


async def score(
    engine: AsyncEngine, number: int, who: Actor, sheet: ScoreSheet, now: int
) -> Assessment:
    """Enter an assessor's sheet; gives what it came to. Raises `AssessmentError` or `ScoreCardError`."""
    known = await task(engine, number, who.name)
    if _took_part(who.agent, known):
        raise AssessmentError("nobody assesses a call in which they took part: return the task")
    total = _total(known, sheet)
    await _move(engine, known, AssessmentEvent.SCORE, who, now, total=total, sheet=sheet)
    return await find(engine, number)


async def give_back(
    engine: AsyncEngine, number: int, who: Actor, reason: str, now: int
) -> Assessment:
    """Return a task that cannot be assessed, or not by this assessor. Raises `AssessmentError`."""
    known = await task(engine, number, who.name)
    text = _text(reason, "say why the task is returned")
    await _move(engine, known, AssessmentEvent.RETURN, who, now, text=text)
    return await find(engine, number)


async def assign(
    engine: AsyncEngine, number: int, to: Assessor, who: Actor, reason: str, now: int
) -> Assessment:
    """Give an assessment that has no score to another assessor. Raises `AssessmentError`."""
    known = await find(engine, number)
    if _took_part(to.agent, known):
        raise AssessmentError(f"{to.name} took part in this call: name another assessor")
    if known.state is AssessmentState.ASSIGNED and known.assessor == to.name:
        raise AssessmentError(f"{to.name} has it already")
    text = _text(reason, "say why it is given to somebody else")
    await _move(engine, known, AssessmentEvent.ASSIGN, who, now, text=text, to=to.name)
    return await find(engine, number)


async def appeal(
    engine: AsyncEngine, number: int, who: Actor, text: str, now: int, days: int
) -> Assessment:
    """An agent's appeal, within `days` days of the score. From now on the recording is held.

    Raises `AssessmentError`.
    """
    known = await one_of_agent(engine, number, who.agent)
    text = _text(text, "say what is wrong with the score")
    _check(known, AssessmentEvent.APPEAL)
    if now >= known.appeal_until(days):
        raise AssessmentError(f"the time to appeal is over: {days} days from the score")
    # Before the step: a recording that is held for nothing does no harm, one that goes meanwhile does.
    held = await _hold(engine, known, who, now)
    try:
        await _move(engine, known, AssessmentEvent.APPEAL, who, now, text=text)
    except AssessmentError:
        if held and (await find(engine, number)).state is not AssessmentState.APPEALED:
            await _release(engine, known, "the appeal was not entered", who, now)
        raise
    return await find(engine, number)


async def decide(
    engine: AsyncEngine,
    number: int,
    who: Actor,
    reason: str,
    sheet: ScoreSheet | None,
    now: int,
) -> Assessment:
    """Decide an appeal: without a sheet the score is upheld, else it is what the sheet comes to.

    Whoever scored it, and whoever took part in the call, cannot decide. Raises `AssessmentError` or `ScoreCardError`.
    """
    known = await find(engine, number)
    reason = _text(reason, "give the reason of the decision")
    what = AssessmentEvent.UPHOLD if sheet is None else AssessmentEvent.CHANGE
    _check(known, what)
    others = {known.assessor, *(one.assessor for one in await history(engine, number))}
    if who.name in others:
        raise AssessmentError("whoever had this task does not decide about it: somebody else must")
    if _took_part(who.agent, known):
        raise AssessmentError("nobody decides about a call in which they took part")
    total = None if sheet is None else _total(known, sheet)
    if sheet is not None and sheet == known.sheet:
        raise AssessmentError("this is the sheet of before: uphold the score instead")
    await _move(engine, known, what, who, now, text=reason, total=total, sheet=sheet)
    await _release(engine, known, f"decided: {what.value}", who, now)
    return await find(engine, number)


def _took_part(agent: str, known: Assessment) -> bool:
    return agent != "" and agent in (known.agent, *known.others)


def _check(known: Assessment, what: AssessmentEvent) -> AssessmentState:
    try:
        return step(known.state, what)
    except StepError as error:
        raise AssessmentError(str(error)) from None


def _total(known: Assessment, sheet: ScoreSheet) -> int:
    total = scorecard.score(known.card, sheet).total
    if known.seconds:
        for one in sheet.deductions:
            if one.second is not None and one.second > known.seconds:
                raise AssessmentError(
                    f"{one.item}: the recording has {known.seconds:.1f} seconds, and not {one.second:g}"
                )
    return total


def _text(text: str, missing: str) -> str:
    text = text.strip()
    if not text:
        raise AssessmentError(missing)
    if len(text) > LONGEST:
        raise AssessmentError(f"{len(text)} characters are too many: {LONGEST} at most")
    if "\0" in text:
        raise AssessmentError("the text has a control character")
    return text


async def _move(
    engine: AsyncEngine,
    known: Assessment,
    what: AssessmentEvent,
    who: Actor,
    now: int,
    *,
    text: str = "",
    to: str = "",
    total: int | None = None,
    sheet: ScoreSheet | None = None,
) -> None:
    """One step, in one transaction: the row, if it is as it was read, and the event."""
    state = _check(known, what)
    sheet_text = "" if sheet is None else json.dumps(sheet.as_json(), ensure_ascii=False)
    values: dict[str, object] = {"state": state.value, "since": now}
    if to:
        values["assessor"] = to
    if sheet is not None:
        values |= {"score": total, "sheet": sheet_text}
    columns = assessment.c
    unchanged = (
        columns.id == known.id,
        columns.state == known.state.value,
        columns.assessor == known.assessor,
    )
    row: dict[str, object] = {"assessment": known.id, "at": now, "event": what.value}
    row |= {"by": who.label, "assessor": to or known.assessor, "text": text}
    row |= {"score": total, "sheet": sheet_text}
    async with engine.begin() as connection:
        moved = await connection.execute(update(assessment).where(*unchanged).values(values))
        if moved.rowcount != 1:
            raise AssessmentError("somebody else has just changed this assessment: look again")
        await connection.execute(insert(event).values(row))
    log.info("quality.step", assessment=known.id, step=what.value, state=state.value)


# --- the recording of an appeal


def reference(number: int) -> str:
    """The reference of the hold of an assessment's recording."""
    return f"quality {number}"


async def _hold(engine: AsyncEngine, known: Assessment, who: Actor, now: int) -> bool:
    """Keep the recording until the appeal is decided. False if there is none any more: the appeal goes on."""
    try:
        await deletion.hold(
            engine,
            known.call,
            reason="质检申诉 appeal against a quality score",
            reference=reference(known.id),
            by=who.label,
            now=now,
        )
    except HoldError as error:
        log.warning("quality.not_held", assessment=known.id, why=str(error))
        return False
    return True


async def _release(engine: AsyncEngine, known: Assessment, why: str, who: Actor, now: int) -> None:
    try:
        await deletion.release(
            engine, known.call, why=why, by=who.label, now=now, reference=reference(known.id)
        )
    except HoldError as error:
        log.warning("quality.not_released", assessment=known.id, why=str(error))


# --- the monthly card


def month_of(text: str) -> tuple[int, int]:
    """A month in China by `2026-11`: from and to (microseconds). Raises `AssessmentError`."""
    try:
        first = date.fromisoformat(f"{text[:7]}-01")
        after = (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise AssessmentError(_NO_MONTH.format(text[:20])) from None
    if len(text) != 7:
        raise AssessmentError(_NO_MONTH.format(text[:20]))
    return begin_of_day(first), begin_of_day(after)


_NO_MONTH: Final = "{!r} is no month: write one such as 2026-11"


async def month(engine: AsyncEngine, agent: str, text: str, *, scored: bool = False) -> MonthlyCard:
    """An agent's card of a month such as `2026-11`, so far if it goes on. Raises `AssessmentError`.

    `scored`: only what has a score, as the agent may see it. Nobody should know that their talk is being assessed.
    """
    begin, end = month_of(text)
    found = await _select(
        engine,
        assessment.c.agent == agent,
        assessment.c.arrived >= begin,
        assessment.c.arrived < end,
        assessment.c.score.is_not(None) if scored else true(),
    )
    if len(found) == MOST:
        raise AssessmentError(f"agent {agent} has more than {MOST} assessments in {text}")
    return monthly.card(agent, text, await _assessed(engine, found))


async def agents_of(engine: AsyncEngine, text: str) -> list[str]:
    """The agents who have drawn talks in a month. Raises `AssessmentError`."""
    begin, end = month_of(text)
    columns = assessment.c
    question = select(columns.agent).where(columns.arrived >= begin, columns.arrived < end)
    async with engine.connect() as connection:
        return sorted((await connection.execute(question.distinct())).scalars())


async def _assessed(engine: AsyncEngine, found: Sequence[Assessment]) -> list[Assessed]:
    question = select(event.c.assessment, event.c.score).where(
        event.c.assessment.in_([one.id for one in found]),
        event.c.event == AssessmentEvent.SCORE.value,
    )
    async with engine.connect() as connection:
        first = {row.assessment: row.score for row in await connection.execute(question)}
    made = []
    for one in found:
        came_to = scorecard.score(one.card, one.sheet) if one.sheet is not None else None
        made.append(
            Assessed(
                *(one.id, one.call, one.agent, one.arrived, one.state, one.score),
                first=first.get(one.id),
                passing=one.card.passing,
                lost=came_to.lost if came_to is not None else {},
                knocked_out=came_to.knocked_out if came_to is not None else (),
            )
        )
    return made
