"""`hotline report sla`: the figures of a window of time, in several forms."""

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from hotline.cli.tools import Language, fail, form_of, read_settings, with_database, write_file


def add_to(report_app: typer.Typer) -> None:
    """Add `sla` to the commands of `hotline report`."""
    report_app.command("sla")(sla)


def sla(
    hours: Annotated[
        float | None, typer.Option("--hours", help="length of the window; 24 by default")
    ] = None,
    at: Annotated[str, typer.Option("--at", help="end of the window, ISO 8601, or now")] = "now",
    since: Annotated[str, typer.Option("--from", help="beginning of the window")] = "",
    until: Annotated[str, typer.Option("--to", help="end of the window; now by default")] = "",
    day: Annotated[str, typer.Option("--day", help="a day in China, such as 2025-11-20")] = "",
    period: Annotated[
        str,
        typer.Option("--period", help="yesterday, last-week, last-month, 2025-11-20 or 2025-11"),
    ] = "",
    form: Annotated[
        str, typer.Option("--format", help="text, json, csv, xlsx, html or pdf")
    ] = "text",
    out: Annotated[Path | None, typer.Option("--out", help="write into this file")] = None,
    fail_under: Annotated[float, typer.Option("--fail-under", help="percent for M1")] = 95.0,
    number: Annotated[str, typer.Option("--number", help="only calls to this number")] = "",
    queue: Annotated[str, typer.Option("--queue", help="only calls of this queue")] = "",
    agent: Annotated[str, typer.Option("--agent", help="only what this agent did")] = "",
    lang: Language = "zh",
) -> None:
    """Print the SLA report. Status 0: holds; 1: falls short; 2: no verdict."""
    from metrics.reports import sla as reports
    from metrics.reports.formats import FORMATS
    from metrics.reports.page import PrintError
    from metrics.sums import Only

    form_of(form, *FORMATS)
    wanted = FORMATS[form]
    try:
        reports.words(lang)
        begin, end = window(hours, at, since, until, day, period, clock.now())
    except ValueError as error:
        fail(str(error), status=2)
    if agent and (number or queue):
        fail("--agent goes with neither --number nor --queue: ask for one after the other", 2)
    if wanted.binary and out is None and sys.stdout.isatty():
        fail(f"--format {form}: name a file with --out, it cannot be shown here", status=2)
    settings = read_settings()

    async def work(engine: AsyncEngine) -> reports.SlaReport:
        return await reports.sla(
            engine,
            at=end,
            hours=(end - begin) / 3_600_000_000,
            fail_under=fail_under,
            journal=settings.run_dir,
            only=Only(number, queue, agent),
            short_abandon=settings.short_abandon,
            details=wanted.details,
        )

    try:
        report = with_database(work, ValueError, status=2)
        made = wanted.make(report, lang)
    except (PrintError, OSError) as error:
        fail(str(error), status=2)
    if out is not None:
        write_file(out, made, status=2)
    else:
        sys.stdout.buffer.write(made)
    sys.exit(reports.status(report))


def window(
    hours: float | None, at: str, since: str, until: str, day: str, period: str, now: int
) -> tuple[int, int]:
    """The window that the options ask for, as microseconds. Raises `ValueError` with a sentence for the operator."""
    from metrics.reports import period as periods
    from metrics.reports.sla import parse_time

    ways = [
        name
        for name, given in (
            ("--period", bool(period)),
            ("--day", bool(day)),
            ("--from/--to", bool(since or until)),
            ("--hours/--at", hours is not None or at != "now"),
        )
        if given
    ]
    if len(ways) > 1:
        raise ValueError(f"{' and '.join(ways)}: give one of them, each names a window by itself")
    if period:
        found = periods.read(period, now)
        return found.since, found.until
    if day:
        return day_of(day, now)
    if since or until:
        if not since:
            raise ValueError("--to needs --from, the beginning of the window")
        begin = parse_time(since, now, "--from")
        end = parse_time(until or "now", now, "--to")
        if begin >= end:
            raise ValueError("--from must be before --to")
        return begin, end
    end = parse_time(at, now)
    length = 24.0 if hours is None else hours
    if not 0 < length <= 24 * 366:
        raise ValueError(f"--hours {length:g}: give more than 0 and at most {24 * 366}")
    return end - round(length * 3_600_000_000), end


def day_of(text: str, now: int) -> tuple[int, int]:
    """A day in China as microseconds, today up to now. Raises `ValueError` with a sentence for the operator."""
    from facts.times import begin_of_day

    try:
        first = date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--day {text!r}: write a day, such as 2025-11-20") from None
    begin, end = begin_of_day(first), begin_of_day(first + timedelta(days=1))
    if begin >= now:
        raise ValueError(f"--day {text}: that day has not begun")
    return begin, min(end, now)
