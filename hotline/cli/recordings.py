"""`hotline recordings`: give a call's sound or its proof away, and see whether all of it is as it was entered."""

import json
import re
import sys
from contextlib import aclosing, suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, files
from facts.times import SECOND, local
from hotline.cli import audit, backlog, exports, hints, listening, retention, words
from hotline.cli.tools import (
    JsonOrText,
    fail,
    form_of,
    note_look,
    read_settings,
    with_database,
    write_file,
)
from recorder import copying, evidence, proofs, seals, stamps
from recorder.evidence import EvidenceError
from recorder.vault import keys, old, rotation
from recorder.vault.crypt import VaultError
from recorder.vault.trouble import StoreError

app = typer.Typer(help="The recordings of calls.", no_args_is_help=True)
listening.add_to(app)
exports.add_to(app)
audit.add_to(app)
hints.add_to(app)
retention.add_to(app)
backlog.add_to(app)
words.add_to(app)


@app.command("prove")
def prove(
    call_id: str,
    out: Annotated[
        Path | None, typer.Option("--out", help="the file to write; standard output by default")
    ] = None,
    until: Annotated[
        str, typer.Option("--until", help="the last day of the seals, such as 2025-11-20")
    ] = "",
) -> None:
    """Write a proof that a call's rows were sealed, for docs/verify_recording.py: JSON, no sound, no number."""
    last = _day(until, "--until") if until else "9999-12-31"

    async def work(engine: AsyncEngine) -> evidence.ProofJson:
        await note_look(engine, "recordings prove", call_id)
        return await proofs.prove(engine, call_id, last)

    made = json.dumps(with_database(work, EvidenceError), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        sys.stdout.write(made)
    else:
        write_file(out, made.encode())
        print(out)


@app.command("rotate-key")
def rotate_key() -> None:
    """Take a new master key: each recording's key is wrapped again, no sound is rewritten. Repeat it if it was cut."""
    settings = read_settings()

    async def work(engine: AsyncEngine) -> bool:
        await note_look(engine, "recordings rotate-key")
        try:
            ring = await rotation.begin(engine, settings)
        except OSError as error:
            fail(files.why(keys.path(settings), error))
        failed = 0
        async for step in rotation.rotate(engine, settings, ring):
            failed += len(step.failed)
            for what in step.failed:
                print(what, file=sys.stderr)
            print(f"{step.done} of {step.total} recordings", file=sys.stderr)
        waiting = sum((await rotation.waiting(engine, ring)).values())
        if waiting:
            print(
                f"{waiting} recordings still need an older master key: keep it, and run this again"
            )
        else:
            print(
                f"all recordings are under the master key {ring.current.id}: keep a copy of it apart from the backup"
            )
        for master in await rotation.unused(engine, ring):
            print(f"{master} is needed by no recording here; older backups still need it")
            if settings.recording_store:
                print(
                    f"keep {master}: without the database, it opens what the store has had before"
                )
        return not failed

    sys.exit(0 if with_database(work, VaultError) else 1)


@app.command("encrypt")
def encrypt() -> None:
    """Encrypt the recordings that lie plain from before. Repeat it if it was cut off."""
    settings = read_settings()
    if not settings.encrypt_recordings:
        fail("HOTLINE_ENCRYPT_RECORDINGS is off")

    async def work(engine: AsyncEngine) -> bool:
        await note_look(engine, "recordings encrypt")
        done = failed = 0
        try:
            async for step in old.encrypt(engine, settings):
                done = step.done
                if step.failed:
                    failed += 1
                    print(step.failed, file=sys.stderr)
                elif done % _TELL == 0:
                    print(f"{done} of {step.total} recordings", file=sys.stderr)
        except StoreError as error:
            fail(str(error))
        except OSError as error:
            fail(files.why(error.filename or settings.recordings_dir, error))
        print(f"{done} recordings are encrypted now; {failed} could not be")
        return not failed

    sys.exit(0 if with_database(work, VaultError) else 1)


_TELL = 500


_Seen = tuple[list[evidence.DaySeal], dict[str, stamps.TimeStamp], list[proofs.Finding]]


@app.command("seals")
def show_seals(
    check: Annotated[
        bool, typer.Option("--check", help="compute all of it again; status 1 if it does not agree")
    ] = False,
    printed: Annotated[
        list[str] | None,
        typer.Option("--printed", help="2025-11-20=HEAD from a report, for --check; repeatable"),
    ] = None,
    make_up: Annotated[
        bool, typer.Option("--make-up", help="seal the days of a long gap, if the clock is right")
    ] = False,
    form: JsonOrText = "text",
) -> None:
    """List each day's seal of the recordings, or check that ledger, evidence and seals agree."""
    form_of(form, "text", "json")
    settings = read_settings()
    heads = dict(_head(one) for one in printed or ())
    if heads and not check:
        fail("--printed goes with --check", status=2)

    async def work(engine: AsyncEngine) -> _Seen:
        if make_up:
            await seals.seal(engine, settings, clock.now(), at_most=_MOST_DAYS)
        trusted = stamps.trusted(settings)
        found = [one async for one in proofs.check(engine, heads, trusted)] if check else []
        if check:
            with suppress(*database.FAILED):  # a backup that can only be read
                await proofs.note(engine, found)
        return await seals.since(engine), await stamps.stamps(engine), found

    known, stamped, found = with_database(work, EvidenceError)
    if form == "json":
        shown: dict[str, object] = {
            "seals": [evidence.seal_json(one) for one in known],
            "stamps": [stamps.stamp_json(one) for one in stamped.values()],
        }
        differ = [asdict(one) for one in found]
        print(json.dumps(shown | ({"differ": differ} if check else {}), ensure_ascii=False))
    elif check:
        for finding in found:
            print(finding.what)
        print(
            f"{len(known)} days checked, {sum(one.rows for one in known)} rows sealed; {len(found)} differ"
        )
    else:
        for one in known:
            at = stamped[one.day].at if one.day in stamped else 0
            when = f" stamped {local(at).isoformat(timespec='seconds')}" if at else ""
            print(f"{one.day} {one.rows:>7} {one.sha256.head}{when}")
        first = {one.public_key: one.day for one in reversed(known)}
        for key, day in sorted(first.items(), key=lambda each: each[1]):
            print(f"signed from {day} on with public key {key}")
    sys.exit(1 if found else 0)


_MOST_DAYS = 36_600


def _day(text: str, option: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        fail(f"{option} {text!r}: write a day, such as 2025-11-20", status=2)


def _head(text: str) -> tuple[str, str]:
    """A head as it stands in a report: the day, and its letters without the spaces between them."""
    day, _, head = text.partition("=")
    head = "".join(head.split()).lower()
    if not re.fullmatch(rf"[0-9a-f]{{{proofs.LEAST_PRINTED},64}}", head):
        fail(
            f"--printed {text!r}: write DAY=HEAD, with {proofs.LEAST_PRINTED} to 64 characters of the head",
            status=2,
        )
    return _day(day, "--printed"), head


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
        checked = without = deleted = 0
        differ = []
        async with aclosing(copying.verify_all(engine, settings, since)) as rows:
            async for entry, difference in rows:
                deleted += bool(entry.certificate)
                checked += bool(entry.path) and not entry.certificate
                without += not entry.path
                if difference:
                    differ.append({"call": entry.call, "path": entry.path, "what": difference})
        counts = {"checked": checked, "without_recording": without, "differ": differ}
        return counts | ({"deleted": deleted} if deleted else {})

    found = with_database(work)
    if form == "json":
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        for one in found["differ"]:
            print(one["what"])
        print(
            f"{found['checked']} recordings checked, {len(found['differ'])} differ; "
            f"{found['without_recording']} calls have none, as the ledger says"
            + (f"; {found['deleted']} were deleted by certificate" if "deleted" in found else "")
        )
    sys.exit(1 if found["differ"] else 0)
