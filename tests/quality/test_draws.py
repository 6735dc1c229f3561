"""A week is drawn once, the same talks come out whoever draws it again, and nobody gets what is theirs."""

import asyncio
from pathlib import Path

import pytest
import structlog
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary.tables import diary
from facts.times import DAY, HOUR, SECOND
from quality import book, draws, tables, weekly
from quality.draws import DrawError
from quality.sample import Assessor, SampleError
from quality.scorecard import ScoreCardError
from quality.tables import assessment, draw_hint, event
from recorder.tables import recording
from tests.quality.conftest import MONDAY, NOW, PEOPLE, WEEK, Fill


async def draw(engine: AsyncEngine, settings: Settings, **more: object) -> draws.WeekDraw:
    wanted = {"by": "cli:test", "now": NOW, **more}
    return await draws.draw_week(engine, settings, WEEK, PEOPLE, **wanted)  # type: ignore[arg-type]


async def test_a_week_is_drawn_and_given_out(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    calls = await fill()
    made = await draw(engine, settings)
    assert (made.talks, made.drawn, made.strata, made.by) == (
        12,
        4,
        ("queue", "length"),
        "cli:test",
    )
    assert [await draws.find(engine, made.week)] == await draws.list_all(engine) == [made]
    found = await book.of_week(engine, made.week)
    assert len(found) == 4
    assert {one.call for one in found} <= {*calls}
    assert sorted(one.agent for one in found) == ["1001", "1001", "1002", "1002"]
    # Wang is agent 1002 herself.
    assert {one.assessor for one in found if one.agent == "1002"} == {"zhao"}
    assert sorted(one.assessor for one in found) == ["wang", "wang", "zhao", "zhao"]
    steps = await book.history(engine, found[0].id)
    assert [(one.event.value, one.by, one.assessor) for one in steps] == [
        ("draw", "cli:test", found[0].assessor)
    ]


async def test_talks_with_a_hint_are_drawn_apart_and_again_though_the_rules_have_changed(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    """Of each agent's six talks, the two of 30 s are short by the centre's rule."""
    await fill()
    plain = await draws.draw_week(
        engine, settings, WEEK, PEOPLE, by="x", now=NOW, seed="a-public-lot"
    )
    wanted = {"quality_strata": ("hints",), "hint_too_short": 60.0}
    by_hints = settings.model_copy(update=wanted)
    async with engine.begin() as connection:
        for table in (event, assessment, tables.draw):
            await connection.execute(delete(table))
    made = await draw(engine, by_hints, seed="a-public-lot")
    assert made.population != plain.population
    found = await book.of_week(engine, made.week)
    assert sorted((one.agent, one.stratum) for one in found) == [
        ("1001", "hinted"),
        ("1001", "none"),
        ("1002", "hinted"),
        ("1002", "none"),
    ]
    assert all((one.length <= 30 * SECOND) is (one.stratum == "hinted") for one in found)
    async with engine.begin() as connection:
        await connection.execute(update(recording).values(certificate=1))
    again = await draws.redraw(engine, WEEK)
    assert again.same
    async with engine.begin() as connection:
        await connection.execute(delete(draw_hint))
    assert not (await draws.redraw(engine, WEEK)).same_population


async def test_anybody_can_draw_it_again(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    await draw(engine, settings, seed="lots-of-2025-11-24")
    again = await draws.redraw(engine, WEEK)
    assert again.same
    # A recording that goes by the rules changes nothing: the row of the ledger stays.
    async with engine.begin() as connection:
        await connection.execute(update(recording).values(certificate=7))
    assert (await draws.redraw(engine, WEEK)).same
    # A talk that was not there then is seen.
    await fill(1, first=20)
    later = await draws.redraw(engine, WEEK)
    assert not later.same_population
    assert not later.same


async def test_a_diary_that_was_changed_is_seen(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    await draw(engine, settings)
    drawn = (await book.of_week(engine, WEEK.name))[0]
    async with engine.begin() as connection:
        await connection.execute(diary.delete().where(diary.c.call == drawn.call))
    again = await draws.redraw(engine, WEEK)
    assert (drawn.call, drawn.agent) in again.missing
    assert len(again.extra) == 1
    assert not again.same


async def test_the_seed_decides(engine: AsyncEngine, settings: Settings, fill: Fill) -> None:
    await fill(24)
    made = await draw(engine, settings, seed="lots-of-2025-11-24")
    assert made.seed == "lots-of-2025-11-24"
    with pytest.raises(DrawError, match="8 to 64"):
        await draw(engine, settings, seed="x")


async def test_a_week_is_drawn_once(engine: AsyncEngine, settings: Settings, fill: Fill) -> None:
    await fill()
    done = await asyncio.gather(*(draw(engine, settings) for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["DrawError", "WeekDraw"]
    with pytest.raises(DrawError, match="drawn once"):
        await draw(engine, settings)
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(assessment)) == 4
        assert await connection.scalar(select(func.count()).select_from(event)) == 4


async def test_what_cannot_be_heard_or_is_too_short_is_not_drawn(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill(4, recorded=False)
    assert (await draw(engine, settings)).talks == 0


async def test_short_talks_are_left_out(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    longer = settings.model_copy(update={"quality_shortest": 60.0})
    assert (await draw(engine, longer)).talks == 8


async def test_too_many_are_not_drawn(engine: AsyncEngine, settings: Settings, fill: Fill) -> None:
    await fill()
    few = settings.model_copy(update={"quality_most": 3})
    with pytest.raises(DrawError, match="4 talks would be drawn, more than 3"):
        await draw(engine, few)
    assert (await draw(engine, few, most=4)).drawn == 4


async def test_without_anybody_to_assess_nothing_is_stored(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    with pytest.raises(SampleError, match="nobody to assess"):
        await draws.draw_week(engine, settings, WEEK, [], by="x", now=NOW)
    assert await draws.list_all(engine) == []


@pytest.mark.parametrize(
    ("week", "said"),
    [("2025-10", "write a week"), ("2025-W48", "ask afterwards"), ("rubbish", "--week 'rubbish'")],
)
def test_a_week_that_is_none_is_refused(week: str, said: str) -> None:
    with pytest.raises(DrawError, match=said):
        draws.week_of(week, NOW)


async def test_a_week_of_long_ago_is_not_drawn(engine: AsyncEngine, settings: Settings) -> None:
    with pytest.raises(DrawError, match="too long ago"):
        await draw(engine, settings, now=NOW + 91 * DAY)


async def test_a_card_in_the_home_is_used(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    own = draws.card_of(settings)
    text = (Path(draws.__file__).parent / "scorecard.toml").read_text(encoding="utf-8")
    file = settings.root / "scorecard.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("passing = 80", "passing = 90"), encoding="utf-8")
    await fill()
    made = await draw(engine, settings)
    assert made.card == draws.card_of(settings).digest != own.digest
    file.unlink()
    assert (await book.of_week(engine, made.week))[0].card.passing == 9000
    file.write_bytes(b"\xff")
    with pytest.raises(ScoreCardError, match="cannot be read"):
        draws.card_of(settings)


# --- by the program


async def test_the_program_draws_from_monday_on(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    people: list[Assessor] = []

    async def who() -> list[Assessor]:
        return people

    drawing = weekly.WeeklyDraw(engine, settings, who)
    early, late = MONDAY + weekly.FROM, MONDAY + weekly.LATE
    with structlog.testing.capture_logs() as logs:
        await drawing.look(early - 1)
        assert logs == []
        await drawing.look(early)
        await drawing.look(early + HOUR)
    assert [(one["event"], one["week"]) for one in logs] == [("quality.not_drawn", "2025-W47")]
    assert "nobody to assess" in logs[0]["why"]
    assert (await weekly.readings(engine, settings, late - 1))["quality_not_drawn"] == 0
    assert (await weekly.readings(engine, settings, late))["quality_not_drawn"] == 1
    people.append(Assessor("zhao"))
    await drawing.look(late)
    await drawing.look(late + HOUR)
    assert (await weekly.readings(engine, settings, late))["quality_not_drawn"] == 0
    [made] = await draws.list_all(engine)
    assert (made.by, made.drawn) == ("hotline recorder", 4)


async def test_without_the_setting_the_program_draws_nothing(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    off = settings.model_copy(update={"quality_draw": False})

    async def who() -> list[Assessor]:
        return [*PEOPLE]

    await weekly.WeeklyDraw(engine, off, who).look(NOW)
    assert await draws.list_all(engine) == []
    assert (await weekly.readings(engine, off, NOW))["quality_not_drawn"] == 0


async def test_a_database_that_is_away_does_not_end_the_loop(
    engine: AsyncEngine, settings: Settings
) -> None:
    async def who() -> list[Assessor]:
        raise OSError("away")

    with structlog.testing.capture_logs() as logs:
        await weekly.WeeklyDraw(engine, settings, who).look(NOW)
    assert logs[0]["event"] == "quality.not_drawn"


async def test_tasks_that_wait_raise_an_alarm(
    engine: AsyncEngine, settings: Settings, fill: Fill
) -> None:
    await fill()
    await draw(engine, settings)
    found = await weekly.readings(engine, settings, NOW + 15 * DAY + SECOND)
    assert 15 < found["quality_late"] < 15.1
    assert found["appeal_late"] == 0
