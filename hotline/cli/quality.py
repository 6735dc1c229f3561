"""`hotline quality`: draw a week's sample, score talks, appeal, decide, and the monthly card of an agent."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import DAY, local
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    operator,
    print_rows,
    read_settings,
    with_database,
    write_file,
)
from quality import book, draws, scorecard, shown
from quality.book import Actor, Assessment, AssessmentError
from quality.draws import DrawError, Redrawn, WeekDraw
from quality.sample import Assessor, SampleError
from quality.scorecard import ScoreCardError, ScoreSheet
from quality.states import AssessmentState
from web.accounts.rights import OF_ROLE

app = typer.Typer(help="A sample of the talks is assessed by people.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(help="the assessment, as tasks lists it")]
By = Annotated[str, typer.Option("--by", help="the account of whoever does it; you type for them")]
Sheet = Annotated[
    str, typer.Option("--sheet", help="a file with the sheet as JSON; - reads standard input")
]
_EXPECTED: Final = (AssessmentError, ScoreCardError)


@app.command("draw")
def draw(
    week: Annotated[str, typer.Option("--week", help="2026-W47, or last-week")] = "last-week",
    seed: Annotated[
        str, typer.Option("--seed", help="from outside, such as a draw of lots; else one is made")
    ] = "",
    at_most: Annotated[
        int | None, typer.Option("--at-most", help="instead of HOTLINE_QUALITY_MOST", min=1)
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="draw it again and compare; nothing is changed")
    ] = False,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Draw a week's sample and give its talks to the assessors. Status 1, with --again: another sample came out."""
    form_of(form, "text", "json")
    settings = read_settings()

    async def work(engine: AsyncEngine) -> WeekDraw | Redrawn:
        now = clock.now()
        named = draws.week_of(week, now)
        await note_look(engine, "quality draw", named.name)
        if again:
            return await draws.redraw(engine, named)
        return await draws.draw_week(
            *(engine, settings, named, await _assessors(engine)),
            by=operator(),
            now=now,
            seed=seed,
            most=at_most,
        )

    done = with_database(work, DrawError, SampleError, ScoreCardError)
    say = _WORDS[lang]
    if form == "json":
        print(json.dumps(_draw_json(done), ensure_ascii=False, indent=1))
    elif isinstance(done, WeekDraw):
        print(say["drawn"].format(**asdict(done)))
    else:
        print(say["same" if done.same else "other"].format(week=done.draw.week))
        if not done.same_population:
            print(say["population"])
        for sign, pairs in (("-", done.missing), ("+", done.extra)):
            for call, agent in pairs:
                print(f"{sign} {call} {agent}")
    if isinstance(done, Redrawn) and not done.same:
        sys.exit(1)


def _draw_json(done: WeekDraw | Redrawn) -> dict[str, object]:
    if isinstance(done, WeekDraw):
        return asdict(done)
    return asdict(done) | {"same": done.same, "same_population": done.same_population}


@app.command("tasks")
def tasks(
    by: Annotated[str, typer.Option("--by", help="only this assessor's, and blind")] = "",
    week: Annotated[str, typer.Option("--week", help="only this week's, such as 2026-W47")] = "",
    form: JsonOrText = "text",
) -> None:
    """List what waits for a score. With --by only what that assessor may see: neither the agent nor the call."""

    async def work(engine: AsyncEngine) -> list[dict[str, object]]:
        await note_look(engine, "quality tasks", by)
        if by:
            found = await book.tasks(engine, by)
        elif week:
            found = await book.of_week(engine, week)
        else:
            waiting = (AssessmentState.ASSIGNED, AssessmentState.RETURNED)
            found = await book.in_state(engine, *waiting)
        return [_blind(one) if by else _open(one) for one in found]

    print_rows(with_database(work), form)


@app.command("appeals")
def appeals(form: JsonOrText = "text") -> None:
    """List the appeals that nobody has decided, the oldest first."""

    async def work(engine: AsyncEngine) -> list[dict[str, object]]:
        await note_look(engine, "quality appeals")
        found = await book.in_state(engine, AssessmentState.APPEALED)
        return [_open(one) for one in found]

    print_rows(with_database(work), form)


@app.command("show")
def show(number: Id) -> None:
    """Show one assessment as JSON: its card, its sheet, and everything that happened to it."""

    async def work(engine: AsyncEngine) -> dict[str, object]:
        await note_look(engine, "quality show", number)
        found = await book.find(engine, number)
        steps = await book.history(engine, number)
        return _open(found) | {
            "sheet": found.sheet.as_json() if found.sheet else None,
            "card": asdict(found.card),
            "history": [asdict(one) for one in steps],
        }

    print(json.dumps(with_database(work, *_EXPECTED), ensure_ascii=False, indent=1))


@app.command("score")
def score(number: Id, by: By, sheet: Sheet) -> None:
    """Enter the sheet of an assessor: {"deductions": [{"item", "points", "second", "note"}], "not_applicable": []}."""
    filled = _read_sheet(sheet)

    async def work(engine: AsyncEngine) -> Assessment:
        who = await _actor(engine, by, "quality.assess")
        await note_look(engine, "quality score", number)
        return await book.score(engine, number, who, filled, clock.now())

    print(f"{number}: {shown.points(with_database(work, *_EXPECTED).score)}")


@app.command("return")
def give_back(
    number: Id,
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="such as: I know this agent's voice")],
) -> None:
    """Return a task that cannot be assessed, or not by this assessor."""

    async def work(engine: AsyncEngine) -> None:
        who = await _actor(engine, by, "quality.assess")
        await note_look(engine, "quality return", number)
        await book.give_back(engine, number, who, reason, clock.now())

    with_database(work, *_EXPECTED)
    print(f"{number}: returned")


@app.command("assign")
def assign(
    number: Id,
    to: Annotated[str, typer.Option("--to", help="the account of another assessor")],
    reason: Annotated[str, typer.Option("--reason", help="such as: on leave")],
) -> None:
    """Give a task that has no score to another assessor."""

    async def work(engine: AsyncEngine) -> None:
        named = next((one for one in await _assessors(engine) if one.name == to), None)
        if named is None:
            raise AssessmentError(f"{to} is no assessor: hotline account add {to} --role assessor")
        await note_look(engine, "quality assign", number)
        who = Actor(operator())
        await book.assign(engine, number, named, who, reason, clock.now())

    with_database(work, *_EXPECTED)
    print(f"{number}: {to}")


@app.command("appeal")
def appeal(
    number: Id,
    agent: Annotated[str, typer.Option("--agent", help="the agent whose talk it is")],
    text: Annotated[str, typer.Option("--text", help="what is wrong with the score")],
) -> None:
    """Enter an agent's appeal. The recording is held until somebody else has decided."""
    days = read_settings().quality_appeal_days

    async def work(engine: AsyncEngine) -> None:
        await note_look(engine, "quality appeal", number)
        who = Actor(agent, agent, operator())
        await book.appeal(engine, number, who, text, clock.now(), days)

    with_database(work, *_EXPECTED)
    print(f"{number}: appealed")


@app.command("decide")
def decide(
    number: Id,
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="why: the agent reads it")],
    sheet: Annotated[
        str, typer.Option("--sheet", help="the new sheet; without it the score is upheld")
    ] = "",
) -> None:
    """Decide an appeal. Whoever gave the score cannot."""
    filled = _read_sheet(sheet) if sheet else None

    async def work(engine: AsyncEngine) -> Assessment:
        who = await _actor(engine, by, "quality.decide")
        await note_look(engine, "quality decide", number)
        return await book.decide(engine, number, who, reason, filled, clock.now())

    done = with_database(work, *_EXPECTED)
    print(f"{number}: {done.state.value}, {shown.points(done.score)}")


@app.command("card")
def card(
    agent: Annotated[str, typer.Argument(help="an agent's number; - is every agent, as JSON")],
    month: Annotated[
        str, typer.Option("--month", help="such as 2026-11; this one by default")
    ] = "",
    form: Annotated[str, typer.Option("--format", help="text, json, csv, xlsx or html")] = "text",
    out: Annotated[Path | None, typer.Option("--out", help="write into this file")] = None,
    lang: Language = "zh",
) -> None:
    """Show an agent's month: every figure with the calls that it is made of."""
    form_of(form, *shown.FORMS)
    wanted = shown.FORMS[form]
    month = month or f"{local(clock.now()):%Y-%m}"
    if wanted.binary and out is None and sys.stdout.isatty():
        fail(f"--format {form}: name a file with --out, it cannot be shown here", status=2)
    settings = read_settings()

    async def work(engine: AsyncEngine) -> bytes:
        await note_look(engine, "quality card", agent, month)
        now = draws.card_of(settings)
        if agent != "-":
            return wanted.make(await book.month(engine, agent, month), now, lang)
        agents = await book.agents_of(engine, month)
        found = [shown.as_json(await book.month(engine, one, month)) for one in agents]
        return (json.dumps(found, ensure_ascii=False, indent=1) + "\n").encode()

    made = with_database(work, *_EXPECTED)
    if out is not None:
        write_file(out, made)
    else:
        sys.stdout.buffer.write(made)


# --- small things


async def _assessors(engine: AsyncEngine) -> list[Assessor]:
    from web.accounts import accounts  # with argon2, which the other commands need not load

    return await accounts.assessors(engine)


async def _actor(engine: AsyncEngine, name: str, right: str) -> Actor:
    """The account for which the operator types. Raises `AssessmentError`."""
    from web.accounts import accounts

    found = next((one for one in await accounts.list_all(engine) if one.name == name), None)
    if found is None or right not in OF_ROLE[found.role]:
        raise AssessmentError(f"--by {name}: there is no such account with the right {right}")
    return Actor(found.name, found.agent, operator())


def _read_sheet(file: str) -> ScoreSheet:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return scorecard.sheet_of(json.loads(text))
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--sheet {file}: it cannot be read: {error}", status=2)
    except ValueError as error:
        fail(f"--sheet {file}: {error}", status=2)


def _blind(one: Assessment) -> dict[str, object]:
    return {
        "id": one.id,
        "week": one.week,
        "state": one.state.value,
        "seconds": round(one.seconds, 1),
        "waits_days": _days(one.since),
    }


def _open(one: Assessment) -> dict[str, Any]:
    about: Mapping[str, object] = {
        "agent": one.agent,
        "call": one.call,
        "stratum": one.stratum,
        "assessor": one.assessor,
        "score": shown.points(one.score),
    }
    return {**_blind(one), **about}


def _days(since: int) -> int:
    return max(0, clock.now() - since) // DAY


_WORDS: Final = {
    "zh": {
        "drawn": "{week}：可抽 {talks} 通，抽取 {drawn} 通，种子 {seed}",
        "same": "{week}：重新抽取的结果与当时相同",
        "other": "{week}：重新抽取的结果与当时不同",
        "population": "可抽的通话与当时不同：之后有事实补记入日志账，或缺少记录",
    },
    "en": {
        "drawn": "{week}: {drawn} of {talks} talks drawn, seed {seed}",
        "same": "{week}: drawn again, the same talks came out",
        "other": "{week}: drawn again, other talks came out",
        "population": "other talks could be drawn than then: facts were added to the diary since, or are missing",
    },
}
