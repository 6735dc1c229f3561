"""`hotline metrics`: figures proven, and the incidents that M3 leaves out."""

import sys
from typing import Annotated, Any

import typer
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from hotline.cli.tools import (
    JsonOrText,
    fail,
    live_state,
    print_rows,
    progress_bar,
    read_settings,
    with_database,
)
from metrics import tables

app = typer.Typer(help="Figures, proven and explained.", no_args_is_help=True)
incident_app = typer.Typer(
    help="Approved incidents: M3 leaves their calls out.", no_args_is_help=True
)
app.add_typer(incident_app, name="incident")

_SHOWN = 200


@app.command()
def verify(
    day: Annotated[str, typer.Option("--day", help="a day in China; today by default")] = "",
) -> None:
    """Count a day again from the facts, and compare: roll-ups, callbacks, screens, CEL, recordings.

    Status 0: all agree; 1: there are differences; 2: something could not be checked.
    """
    from facts.times import local
    from hotline.cli.report import day_of
    from metrics.verify import Findings
    from metrics.verify import verify as compare

    settings = read_settings()
    now = clock.now()
    try:
        since, until = day_of(day or local(now).date().isoformat(), now)
    except ValueError as error:
        fail(str(error), status=2)
    live = live_state()
    say = f"{local(since):%Y-%m-%d}: minutes folded"

    async def work(engine: AsyncEngine) -> Findings:
        with progress_bar(say) as tell:
            return await compare(engine, settings, since, until, live, tell)

    found = with_database(work, OSError, status=2)
    for line in found.checked:
        print(f"agrees: {line}")
    for line in found.differences[:_SHOWN]:
        print(f"differs: {line}")
    if len(found.differences) > _SHOWN:
        print(f"differs: {len(found.differences) - _SHOWN} more")
    for line in found.unchecked:
        print(f"not checked: {line}")
    sys.exit(found.status)


@incident_app.command("add")
def incident_add(
    since: Annotated[str, typer.Option("--from", help="ISO 8601, in China")],
    until: Annotated[str, typer.Option("--to", help="ISO 8601, in China")],
    reason: Annotated[str, typer.Option("--reason", help="what happened")],
    by: Annotated[str, typer.Option("--approved-by", help="who approved it")],
) -> None:
    """Enter an approved incident."""
    from metrics.reports.sla import parse_time

    now = clock.now()
    try:
        begin, end = parse_time(since, now, "--from"), parse_time(until, now, "--to")
    except ValueError as error:
        fail(str(error))
    if begin >= end:
        fail("--from must be before --to")
    if not reason.strip() or not by.strip():
        fail("--reason and --approved-by must say something")
    row = {
        "begin": begin,
        "end": end,
        "reason": reason.strip()[:200],
        "approved_by": by.strip()[:80],
        "added_at": now,
    }

    async def work(engine: AsyncEngine) -> int:
        async with engine.begin() as connection:
            question = insert(tables.incident).values(row).returning(tables.incident.c.id)
            number: int = (await connection.execute(question)).scalar_one()
            return number

    print(f"incident {with_database(work)} entered")


@incident_app.command("list")
def incident_list(form: JsonOrText = "text") -> None:
    """List the incidents."""
    from facts.times import local

    async def work(engine: AsyncEngine) -> list[dict[str, Any]]:
        async with engine.connect() as connection:
            rows = await connection.execute(
                select(tables.incident).order_by(tables.incident.c.begin)
            )
            return [row._asdict() for row in rows]

    rows = with_database(work)
    for row in rows:
        for name in ("begin", "end", "added_at"):
            row[name] = local(row[name]).isoformat(timespec="seconds")
    print_rows(rows, form)


@incident_app.command("remove")
def incident_remove(number: int) -> None:
    """Remove an incident that was entered by mistake."""

    async def work(engine: AsyncEngine) -> int:
        async with engine.begin() as connection:
            done = await connection.execute(
                delete(tables.incident).where(tables.incident.c.id == number)
            )
            return done.rowcount

    if not with_database(work):
        fail(
            f"there is no incident {number}: `hotline metrics incident list` shows those there are"
        )
    print(f"incident {number} removed")
