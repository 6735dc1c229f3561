"""`hotline staff`: how many agents each hour needs so that the targets hold."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, files
from hotline.cli.simulate import percentage, read_rules, seconds
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    print_table,
    progress_bar,
    with_database,
)
from planning import staffing

app = typer.Typer()

_HOURS = {"zh": "模拟时段", "en": "hours simulated"}


@app.command()
def staff(
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="M1=95% (answered of all), M5=80% (answered in time); repeatable; these by default",
        ),
    ] = None,
    rings: Annotated[
        int, typer.Option("--rings", help="in time: within so many rings (5 s) of queueing")
    ] = 3,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="arrivals: columns hour,calls or a column arrived")
    ] = None,
    from_history: Annotated[
        int | None, typer.Option("--from-history", help="or: from the diary's last so many days")
    ] = None,
    weekly: Annotated[
        bool, typer.Option("--weekly", help="each weekday for itself: 168 hours instead of 24")
    ] = False,
    talk: Annotated[float | None, typer.Option("--talk", help="mean talk, seconds")] = None,
    patience: Annotated[
        str | None, typer.Option("--patience", help="mean patience, seconds, or endless")
    ] = None,
    ring: Annotated[
        float | None, typer.Option("--ring", help="seconds until an agent picks up")
    ] = None,
    wrap_up: Annotated[
        float | None, typer.Option("--wrap-up", help="seconds; default: the settings")
    ] = None,
    calls: Annotated[
        int, typer.Option("--calls", help="calls in each round of simulation")
    ] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="the same seed gives the same calls")] = 1,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="also draw it: a .png or .svg file")
    ] = None,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Say how many agents each hour needs: Erlang A for a start, the production floor to be sure."""
    form_of(form, "text", "json")
    if plot is not None and plot.suffix.lower() not in {".png", ".svg"}:
        fail(f"--plot {plot}: the name must end in .png or .svg", status=2)
    if not 1000 <= calls <= 10_000_000:
        fail(f"--calls {calls}: give 1000 to 10000000", status=2)
    wanted = _target(targets or [], rings)
    demand = _demand(csv_file, from_history, weekly=weekly)
    if talk is not None:
        if not 0 < talk <= 86_400:
            fail(f"--talk {talk:g}: give more than 0 seconds", status=2)
        demand = replace(demand, talk=talk)
    if patience is not None:
        demand = replace(demand, patience=seconds("--patience", patience))
    if ring is not None:
        demand = replace(demand, answer_after=ring)
    rules = read_rules(None, wrap_up)
    try:
        with progress_bar(_HOURS[lang]) as progress:
            hours = staffing.staff(demand, wanted, rules, seed=seed, calls=calls, progress=progress)
        drawn = staffing.plot(hours, wanted, plot, lang) if plot is not None else lang
    except ValueError as error:
        fail(str(error), status=2)
    except OSError as error:
        fail(f"--plot: {files.why(plot or '', error)}", status=2)
    if form == "json":
        print(staffing.as_json(hours, demand, wanted, seed))
    else:
        for said in staffing.notes(demand, wanted, lang):
            print(said)
        print_table(staffing.as_rows(hours, lang))
        print(staffing.total(hours, lang))
    if plot is not None:
        print(f"drawn: {plot}", file=sys.stderr)
        if drawn != lang:
            print("no font with Chinese was found, so its labels are English", file=sys.stderr)


def _target(targets: list[str], rings: int) -> staffing.Target:
    found = staffing.Target(rings=rings)
    for text in targets:
        match = re.fullmatch(r"(M1|M5)=(.+)", text.strip())
        if match is None:
            fail(f"--target {text}: write M1=95% or M5=80%", status=2)
        share = percentage("--target", match[2])
        found = replace(found, m1=share) if match[1] == "M1" else replace(found, within=share)
    return found


def _demand(csv_file: Path | None, days: int | None, *, weekly: bool) -> staffing.Demand:
    if (csv_file is None) == (days is None):
        fail("say where the arrivals come from: --csv FILE or --from-history DAYS", status=2)
    if csv_file is not None:
        try:
            return staffing.from_csv(csv_file, weekly=weekly)
        except (OSError, UnicodeDecodeError) as error:
            fail(f"--csv {csv_file}: {error}", status=2)
        except ValueError as error:
            fail(str(error), status=2)
    count = days or 0

    async def work(engine: AsyncEngine) -> staffing.Demand:
        return await staffing.from_history(engine, clock.now(), count, weekly=weekly)

    return with_database(work, ValueError, status=2)
