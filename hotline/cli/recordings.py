"""`hotline recordings`: give a call's sound away, and see whether all of it is as it was entered."""

import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import SECOND
from hotline.cli import audit
from hotline.cli.tools import JsonOrText, fail, form_of, note_look, read_settings, with_database
from recorder import ledger

app = typer.Typer(help="The recordings of calls.", no_args_is_help=True)
audit.add_to(app)


@app.command("export")
def export(
    call_id: str,
    out: Annotated[Path, typer.Option("--out", help="the WAV file to write")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that is there already")
    ] = False,
    despite_damage: Annotated[
        bool, typer.Option("--despite-damage", help="also when it is not what was entered")
    ] = False,
) -> None:
    """Write one call as a stereo WAV: citizen left, agent right."""
    settings = read_settings()

    async def work(engine: AsyncEngine) -> None:
        await note_look(engine, "recordings export", call_id)
        await ledger.export(
            engine, settings, call_id, out, overwrite=overwrite, despite_damage=despite_damage
        )

    with_database(work, ledger.LedgerError)
    print(out)


@app.command("verify")
def verify(
    hours: Annotated[
        float | None, typer.Option("--hours", help="only what was entered so lately; default: all")
    ] = None,
    form: JsonOrText = "text",
) -> None:
    """Compare every row of the ledger with its file: there, SHA-256, duration. Status 1 when one differs."""
    form_of(form, "text", "json")
    if hours is not None and not 0 < hours <= 1_000_000:
        fail(f"--hours {hours:g}: give more than 0", status=2)
    settings = read_settings()
    since = 0 if hours is None else clock.now() - round(hours * 3600 * SECOND)

    async def work(engine: AsyncEngine) -> dict[str, Any]:
        checked = without = 0
        differ = []
        async with aclosing(ledger.verify_all(engine, settings, since)) as rows:
            async for entry, difference in rows:
                checked += bool(entry.path)
                without += not entry.path
                if difference:
                    differ.append({"call": entry.call, "path": entry.path, "what": difference})
        return {"checked": checked, "without_recording": without, "differ": differ}

    found = with_database(work)
    if form == "json":
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for one in found["differ"]:
            print(one["what"])
        print(
            f"{found['checked']} recordings checked, {len(found['differ'])} differ; "
            f"{found['without_recording']} calls have none, as the ledger says"
        )
    sys.exit(1 if found["differ"] else 0)
