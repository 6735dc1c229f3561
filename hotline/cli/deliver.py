"""`hotline report deliver`: made for cron. It may be started any number of times; each report arrives once."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import local
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    print_rows,
    read_settings,
    with_database,
)
from metrics.reports import delivery
from metrics.reports import period as report_period
from metrics.reports import sla as reports
from metrics.reports.delivery import Delivered
from metrics.reports.formats import FORMATS
from metrics.reports.page import PrintError
from metrics.reports.period import Period
from metrics.reports.sla import SlaReport

_MOST = 400
"""How many periods can be made up for."""


def add_to(app: typer.Typer) -> None:
    """Add the commands to `hotline report`."""
    app.command("deliver")(deliver)
    app.command("deliveries")(deliveries)


def deliver(
    period: Annotated[
        str,
        typer.Option(
            "--period", help="yesterday, last-week, last-month, 2025-11-20, 2025-W47 or 2025-11"
        ),
    ] = "yesterday",
    make_up: Annotated[
        int, typer.Option("--make-up", help="also so many periods before it, if they were missed")
    ] = 0,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="text, json, csv, xlsx, html or pdf; repeatable"),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="a folder, instead of HOTLINE_REPORT_DIR")
    ] = None,
    fail_under: Annotated[float, typer.Option("--fail-under", help="percent for M1")] = 95.0,
    again: Annotated[
        bool, typer.Option("--again", help="send it although it was delivered")
    ] = False,
    lang: Language = "zh",
) -> None:
    """Send a period's SLA report to the addresses and the folder of the settings, once.

    Status 0: every target has it, now or earlier; 1: some target did not take it, so run it again; 2: nothing to send.
    """
    chosen = formats or ["xlsx", "html", "json"]
    for form in chosen:
        form_of(form, *FORMATS)
    if lang not in ("zh", "en"):
        fail(f"--lang {lang}: there is zh, en", status=2)
    if not 0 <= make_up <= _MOST:
        fail(f"--make-up {make_up}: give 0 to {_MOST}", status=2)
    settings = read_settings()
    wanted = delivery.targets(settings, to)
    if not wanted:
        fail(
            "there is nowhere to deliver to: set HOTLINE_REPORT_URLS (mail, webhook) or "
            "HOTLINE_REPORT_DIR, or give --to FOLDER",
            status=2,
        )

    async def work(engine: AsyncEngine) -> list[Delivered]:
        async def make(of: Period) -> SlaReport:
            return await reports.sla(
                engine,
                at=of.until,
                hours=of.hours,
                fail_under=fail_under,
                journal=settings.run_dir,
                short_abandon=settings.short_abandon,
                details=any(FORMATS[name].details for name in chosen),
            )

        last = report_period.read(period, clock.now())
        first = await delivery.first_fact(engine)
        return await delivery.deliver(
            engine,
            report_period.with_those_before(last, make_up, first),
            wanted,
            make,
            formats=chosen,
            lang=lang,
            again=again,
        )

    outcome = with_database(work, ValueError, PrintError, status=2)
    bad = 0
    for one in outcome:
        if one.error:
            bad += 1
            print(f"{one.period} {one.target}: {one.error}", file=sys.stderr)
        elif one.done:
            print(f"{one.period} {one.target}: delivered")
    sys.exit(1 if bad else 0)


def deliveries(
    limit: Annotated[int, typer.Option("--limit", help="newest first")] = 50,
    form: JsonOrText = "text",
) -> None:
    """List which report went where, and what failed."""
    form_of(form, "text", "json")
    rows = with_database(lambda engine: delivery.log(engine, limit))
    if form == "text":
        times = [local(row["updated_at"]).strftime("%m-%d %H:%M:%S") for row in rows]
        print_rows([{**row, "updated_at": at} for row, at in zip(rows, times, strict=True)], form)
    else:
        print_rows(rows, form)
