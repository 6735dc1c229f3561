"""A week is drawn once: seed, plan, card and the population's hash are stored with what was drawn (R47).

Anybody who has the diary can draw it again (`redraw`) and see the same talks. The seed is made when the week is drawn,
or comes from outside, such as a public draw of lots.
"""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base.settings import Settings
from facts.terms import CallId
from facts.times import DAY, SECOND
from metrics.reports import period as periods
from metrics.reports.period import Period
from quality import population, sample, scorecard
from quality.sample import Assessor, Drawn, SamplePlan
from quality.scorecard import ScoreCard
from quality.states import AssessmentEvent, AssessmentState
from quality.tables import assessment, draw, draw_hint, event, score_card

OLDEST: Final = 90 * DAY
"""A week that ended longer ago is not drawn: its recordings may be gone soon."""
_BATCH: Final = 500
_SEED = re.compile(r"[0-9A-Za-z_.:-]{8,64}")


class DrawError(ValueError):
    """A week cannot be drawn, or not drawn again. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class WeekDraw:
    """A draw as it is stored. `talks`: how many could have been drawn; `shortest` in seconds; `at` in microseconds."""

    week: str
    seed: str
    count: int
    strata: tuple[str, ...]
    shortest: float
    card: str
    population: str
    talks: int
    drawn: int
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Redrawn:
    """A draw that was made again. `same_population`: the diary tells of the same talks as then.

    `missing`: drawn then and not now; `extra`: the other way round; both as (call, agent).
    """

    draw: WeekDraw
    population: str
    missing: tuple[tuple[str, str], ...]
    extra: tuple[tuple[str, str], ...]

    @property
    def same_population(self) -> bool:
        """Whether the same talks could be drawn."""
        return self.population == self.draw.population

    @property
    def same(self) -> bool:
        """Whether the same sample came out."""
        return self.same_population and not self.missing and not self.extra


def card_of(settings: Settings) -> ScoreCard:
    """The score card in force: `scorecard.toml` of the home, or the program's own. Raises `ScoreCardError`."""
    file = settings.root / scorecard.FILE
    if not file.exists():
        file = Path(__file__).parent / scorecard.FILE
    try:
        return scorecard.read(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise scorecard.ScoreCardError(f"{file}: it cannot be read: {error}") from None


def plan_of(settings: Settings) -> SamplePlan:
    """How the settings want a week drawn. Raises `SampleError`."""
    return SamplePlan(settings.quality_per_agent, tuple(settings.quality_strata))


def week_of(text: str, now: int) -> Period:
    """A week that is over, by `2026-W47` or `last-week`. Raises `DrawError`."""
    try:
        found = periods.read(text, now)
    except ValueError as error:
        raise DrawError(str(error).replace("--period", "--week")) from None
    if "W" not in found.name:
        raise DrawError(f"--week {text}: write a week, such as 2026-W47, or last-week")
    return found


async def draw_week(
    engine: AsyncEngine,
    settings: Settings,
    week: Period,
    assessors: Collection[Assessor],
    *,
    by: str,
    now: int,
    seed: str = "",
    most: int | None = None,
) -> WeekDraw:
    """Draw a week, give the talks to the assessors, and store all of it in one transaction.

    `most`: talks at most, else `HOTLINE_QUALITY_MOST`; if more would be drawn, none is. Raises `DrawError`,
    `SampleError` or `ScoreCardError`, and then nothing is stored.
    """
    if seed and not _SEED.fullmatch(seed):
        raise DrawError("--seed: write 8 to 64 letters, digits and . _ : -")
    if now - week.until > OLDEST:
        raise DrawError(f"{week.name} is too long ago: recordings of that time may be gone")
    if await find(engine, week.name) is not None:
        raise DrawError(f"{week.name} was drawn already: a week is drawn once")
    plan, card = plan_of(settings), card_of(settings)
    seed = seed or secrets.token_hex(16)
    shortest = round(settings.quality_shortest * SECOND)
    talks = await population.read(engine, week.since, week.until, shortest)
    hinted = await population.hinted(engine, settings, talks) if plan.wants_hints else set()
    talks = sample.with_hints(talks, hinted)
    drawn = sample.draw(talks, plan, seed, week.name)
    limit = settings.quality_most if most is None else most
    if len(drawn) > limit:
        raise DrawError(
            f"{len(drawn)} talks would be drawn, more than {limit}: raise HOTLINE_QUALITY_MOST, or draw with --at-most "
            f"{len(drawn)}"
        )
    given = sample.assign(drawn, await _with_loads(engine, assessors), seed)
    made = WeekDraw(
        week=week.name,
        seed=seed,
        count=plan.count,
        strata=plan.by,
        shortest=settings.quality_shortest,
        card=card.digest,
        population=sample.population_hash(talks, plan.by),
        talks=len(talks),
        drawn=len(drawn),
        by=by[:80],
        at=now,
    )
    try:
        async with engine.begin() as connection:
            await _keep_card(connection, card, now)
            await connection.execute(insert(draw).values(_row(made)))
            hints = [{"week": week.name, "call": one, "agent": who} for one, who in sorted(hinted)]
            for start in range(0, len(hints), _BATCH):
                await connection.execute(insert(draw_hint), hints[start : start + _BATCH])
            for start in range(0, len(given), _BATCH):
                await _enter(connection, made, given[start : start + _BATCH])
    except IntegrityError:
        raise DrawError(f"{week.name} was drawn by somebody else at this moment") from None
    return made


async def _with_loads(engine: AsyncEngine, assessors: Collection[Assessor]) -> list[Assessor]:
    columns = assessment.c
    question = (
        select(columns.assessor, func.count())
        .where(columns.state == AssessmentState.ASSIGNED.value)
        .group_by(columns.assessor)
    )
    async with engine.connect() as connection:
        loads = {row[0]: row[1] for row in await connection.execute(question)}
    return [Assessor(one.name, one.agent, loads.get(one.name, 0)) for one in assessors]


async def _keep_card(connection: AsyncConnection, card: ScoreCard, now: int) -> None:
    known = select(func.count()).where(score_card.c.digest == card.digest)
    if not await connection.scalar(known):
        text = json.dumps(asdict(card), ensure_ascii=False)
        row = {"digest": card.digest, "card": text, "since": now}
        await connection.execute(insert(score_card).values(row))


def _row(made: WeekDraw) -> dict[str, object]:
    row = asdict(made)
    plan = {name: row.pop(name) for name in ("count", "strata", "shortest")}
    return row | {"plan": json.dumps(plan)}


async def _enter(
    connection: AsyncConnection, made: WeekDraw, given: Sequence[tuple[Drawn, str]]
) -> None:
    rows = [
        {
            "week": made.week,
            "call": one.talk.call,
            "agent": one.talk.agent,
            "others": " ".join(one.talk.others),
            "stratum": one.stratum[:200],
            "chance": one.chance,
            "arrived": one.talk.at,
            "length": one.talk.length,
            "card": made.card,
            "assessor": name,
            "state": AssessmentState.ASSIGNED.value,
            "since": made.at,
            "score": None,
            "sheet": "",
        }
        for one, name in given
    ]
    ids = await connection.execute(
        insert(assessment).returning(assessment.c.id, sort_by_parameter_order=True), rows
    )
    events = [
        {
            "assessment": number,
            "at": made.at,
            "event": AssessmentEvent.DRAW.value,
            "by": made.by,
            "assessor": row["assessor"],
            "text": "",
            "score": None,
            "sheet": "",
        }
        for number, row in zip(ids.scalars(), rows, strict=True)
    ]
    await connection.execute(insert(event), events)


async def find(engine: AsyncEngine, week: str) -> WeekDraw | None:
    """The draw of a week, or None."""
    found = await _read(engine, week)
    return found[0] if found else None


async def list_all(engine: AsyncEngine) -> list[WeekDraw]:
    """Every draw, the newest week first."""
    return await _read(engine)


async def _read(engine: AsyncEngine, week: str = "") -> list[WeekDraw]:
    question = select(draw).order_by(draw.c.week.desc())
    if week:
        question = question.where(draw.c.week == week)
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).mappings().all()
    found = []
    for row in rows:
        values = {name: value for name, value in row.items() if name != "plan"}
        plan = json.loads(row["plan"])
        found.append(WeekDraw(**values, **plan | {"strata": tuple(plan["strata"])}))
    return found


async def redraw(engine: AsyncEngine, week: Period) -> Redrawn:
    """Draw a week again from the diary, with the seed and plan of then, and compare. Raises `DrawError`."""
    known = await find(engine, week.name)
    if known is None:
        raise DrawError(f"{week.name} was not drawn yet: hotline quality draw --week {week.name}")
    talks = await population.read(engine, week.since, week.until, round(known.shortest * SECOND))
    plan = SamplePlan(known.count, known.strata)
    talks = sample.with_hints(talks, await _hinted_then(engine, known.week))
    now = {
        (one.talk.call, one.talk.agent) for one in sample.draw(talks, plan, known.seed, known.week)
    }
    question = select(assessment.c.call, assessment.c.agent).where(assessment.c.week == known.week)
    async with engine.connect() as connection:
        then = {(row.call, row.agent) for row in await connection.execute(question)}
    return Redrawn(
        known,
        sample.population_hash(talks, plan.by),
        tuple(sorted(then - now)),
        tuple(sorted(now - then)),
    )


async def _hinted_then(engine: AsyncEngine, week: str) -> set[tuple[CallId, str]]:
    """The talks, as (call, agent), that had a hint when the week was drawn."""
    question = select(draw_hint.c.call, draw_hint.c.agent).where(draw_hint.c.week == week)
    async with engine.connect() as connection:
        return {(row.call, row.agent) for row in await connection.execute(question)}
