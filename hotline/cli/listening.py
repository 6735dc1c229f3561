"""`hotline recordings find | play | export`: who reads, which call and why is in the audit log before they do."""

import json
import os
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts.masking import mask, reason_of
from facts.terms import Outcome
from facts.times import DAY, SECOND, moment_of
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    operator,
    print_table,
    read_settings,
    with_database,
)
from recorder import copying, exports, playing
from recorder.entry import LedgerEntry
from recorder.exports import ExportError
from recorder.forms import RecordingForm
from recorder.ledger import LedgerError
from recorder.playing import PlayError
from recorder.press import PressError
from recorder.vault import reading
from recorder.vault.crypt import VaultError

if TYPE_CHECKING:
    from metrics.calls import CallRow

Why = Annotated[str, typer.Option("--why", help="the reason, which the audit log keeps")]


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of `hotline recordings`."""
    app.command("find")(find)
    app.command("play")(play)
    app.command("export")(export)


# --- find


def find(
    day: Annotated[
        str, typer.Option("--day", help="of this day in China, such as 2025-11-20")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", help="or from then on: 2025-11-20 or 2025-11-20T18:00")
    ] = "",
    until: Annotated[str, typer.Option("--until", help="and before then")] = "",
    caller: Annotated[str, typer.Option("--caller", help="the citizen's number, or its end")] = "",
    number: Annotated[str, typer.Option("--number", help="the hotline's number")] = "",
    agent: Annotated[str, typer.Option("--agent", help="who answered, or was called for it")] = "",
    queue: Annotated[str, typer.Option("--queue", help="where the citizen waited")] = "",
    outcome: Annotated[str, typer.Option("--outcome", help=f"one of {', '.join(Outcome)}")] = "",
    disposition: Annotated[
        str,
        typer.Option(
            "--disposition", help="silent: the caller said nothing; harassing: an agent said so"
        ),
    ] = "",
    shortest: Annotated[float, typer.Option("--shortest", help="seconds at least", min=0)] = 0,
    longest: Annotated[float, typer.Option("--longest", help="seconds at most", min=0)] = 1e7,
    limit: Annotated[
        int, typer.Option("--limit", help="the newest, at most this many", min=1)
    ] = 50,
    why: Why = "",
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Find recordings of calls and of callbacks; those of the last day by default."""
    # All that folds calls: other commands do without.
    from metrics import search

    form_of(form, "text", "json")
    if outcome and outcome not in set(Outcome):
        fail(f"--outcome {outcome}: there is {', '.join(Outcome)}", status=2)
    if disposition not in {"", "silent", "harassing"}:
        fail(f"--disposition {disposition}: there is silent, harassing", status=2)
    if day and (since or until):
        fail("give either --day or --since and --until", status=2)
    now = clock.now()
    begin = _moment(day or since, "--day" if day else "--since") or now - DAY
    end = begin + DAY if day else _moment(until, "--until") or now + DAY
    wanted = search.CallSearch(
        since=begin,
        until=end,
        caller=caller,
        number=number,
        agent=agent,
        queue=queue,
        outcome=Outcome(outcome) if outcome else None,
        disposition=disposition,
        recorded=search.RecordedFor(round(shortest * SECOND), round(longest * SECOND)),
    )
    asked = {
        "caller": caller,
        "number": number,
        "agent": agent,
        "queue": queue,
        "outcome": outcome,
        "disposition": disposition,
        "day": day,
        "since": since,
        "until": until,
        "shortest": f"{shortest:g}" if shortest else "",
        "longest": f"{longest:g}" if longest < 1e7 else "",
    }

    async def work(engine: AsyncEngine) -> tuple[list["CallRow"], bool]:
        await note_look(engine, "recordings find", why=why, **asked, limit=limit)
        return await search.search_all(engine, wanted, limit)

    rows, more = with_database(work)
    if form == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif rows:
        print_table([_shown(row, lang) for row in rows], _WIDTH)
    else:
        print(_WORDS[lang]["none"])
    if more:
        print(_WORDS[lang]["more"].format(limit=limit), file=sys.stderr)


_WIDTH = 140
"""Columns: an id must stay whole, for it is copied into the next command."""


def _shown(row: "CallRow", lang: str) -> dict[str, str]:
    """A row of the table, its number masked (R54)."""
    said = _WORDS[lang]
    return {
        said["call"]: row["id"],
        said["began"]: row["arrived"][:19].replace("T", " "),
        said["number"]: row["number"] or said["callback"],
        said["citizen"]: mask(row["caller"]),
        said["seconds"]: f"{row['recording_seconds'] or 0:.1f}",
        said["agents"]: " ".join(row["agents"]),
        said["outcome"]: " ".join(filter(None, (row["outcome"], row["disposition"]))),
    }


_WORDS = {
    "zh": {
        "call": "来电编号",
        "began": "开始时间",
        "number": "热线号码",
        "citizen": "市民号码",
        "seconds": "时长（秒）",
        "agents": "话务员",
        "outcome": "结果",
        "callback": "回访",
        "none": "没有符合条件的录音。",
        "more": "只显示最新的 {limit} 条：可缩小范围，或用 --limit 显示更多。",
    },
    "en": {
        "call": "call",
        "began": "began",
        "number": "number",
        "citizen": "citizen",
        "seconds": "seconds",
        "agents": "agents",
        "outcome": "outcome",
        "callback": "callback",
        "none": "No recording fits.",
        "more": "Only the newest {limit} are shown: ask for less, or show more with --limit.",
    },
}


def _moment(text: str, option: str) -> int:
    """A day or a moment in China as microseconds; 0 for none."""
    if not text:
        return 0
    try:
        return moment_of(text)
    except (ValueError, OverflowError):
        fail(f"{option} {text!r}: write 2025-11-20 or 2025-11-20T18:00", status=2)


# --- play


def play(
    call_id: str,
    begin: Annotated[str, typer.Option("--from", help="where to begin: seconds, or 1:20")] = "",
    end: Annotated[str, typer.Option("--to", help="where to end, in the same way")] = "",
    why: Why = "",
    out: Annotated[
        str, typer.Option("--out", help="-: a WAV on standard output, for another program")
    ] = "",
) -> None:
    """Play a call's recording on this machine: citizen left, agent right. No plain sound lies on the disk."""
    if out not in {"", "-"}:
        fail("--out: play writes no file, only - is known; hotline recordings export writes one", 2)
    if out and sys.stdout.isatty():
        fail("--out - writes sound: pipe it into another program, such as | aplay", status=2)
    first, last = _seconds(begin, "--from") or 0, _seconds(end, "--to")
    settings = read_settings()
    needs_reason(settings, why)
    try:
        player = None if out else playing.player()
    except PlayError as error:
        fail(str(error))

    async def work(engine: AsyncEngine) -> LedgerEntry:
        await note_look(
            engine,
            "recordings play",
            call_id,
            why=why,
            **{"from": begin, "to": end, "download": "1" if out else ""},
        )
        entry = await copying.verify(engine, settings, call_id)
        playing.frames_of(entry, first, last)
        if out:  # what goes to a pipe can be kept, so it is an export
            async with exports.allowed(engine, settings, call_id, by=operator()):
                pass
        return entry

    entry = with_database(work, LedgerError, ExportError, PlayError)
    _give(settings, entry, first, last, player)


def _give(
    settings: Settings,
    entry: LedgerEntry,
    begin: int,
    end: int | None,
    player: tuple[str, ...] | None,
) -> None:
    mine = copying.form_by_path(entry.path)
    try:
        with (
            reading.open_recording(settings, entry) as sound,
            closing(playing.part(sound, mine, entry, begin, end)) as pieces,
        ):
            if player is not None:
                playing.play(pieces, player)
            elif not playing.feed(pieces, sys.stdout.buffer):
                _say_nothing_more()
    except (PlayError, PressError, VaultError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"the recording cannot be read: {error.strerror or error}")


def _say_nothing_more() -> None:
    """Whoever read standard output has gone: Python would complain as it closes it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_TIME = re.compile(r"(?:(?:(\d{1,3}):)?(\d{1,2}):)?(\d{1,6}(?:\.\d{1,6})?)")


def _seconds(text: str, option: str) -> int | None:
    """`80`, `1:20` and `0:01:20` as microseconds; None for nothing."""
    if not text:
        return None
    if (found := _TIME.fullmatch(text)) is None:
        fail(f"{option} {text!r}: write seconds or minutes, such as 80 or 1:20", status=2)
    hours, minutes, seconds = (float(one or 0) for one in found.groups())
    return round((hours * 3600 + minutes * 60 + seconds) * SECOND)


# --- export


def export(
    call_id: str,
    out: Annotated[Path, typer.Option("--out", help="the file to write")],
    form: Annotated[
        str,
        typer.Option(
            "--format", help="wav, mp4 or mp3; by default what --out ends with, else as it lies"
        ),
    ] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a file that is there already")
    ] = False,
    despite_damage: Annotated[
        bool, typer.Option("--despite-damage", help="also when it is not what was entered")
    ] = False,
    why: Why = "",
) -> None:
    """Write one call as a stereo file: citizen left, agent right. It can be another form than the stored one."""
    if form:
        form_of(form, *RecordingForm)
    settings = read_settings()
    needs_reason(settings, why)

    async def work(engine: AsyncEngine) -> None:
        await note_look(engine, "recordings export", call_id, why=why)
        async with exports.allowed(engine, settings, call_id, by=operator()):
            await copying.export(
                engine,
                settings,
                call_id,
                out,
                overwrite=overwrite,
                despite_damage=despite_damage,
                form=RecordingForm(form) if form else None,
            )

    with_database(work, LedgerError, ExportError)
    print(out)


def needs_reason(settings: Settings, why: str) -> None:
    """End the program if HOTLINE_RECORDING_REASON demands a reason and there is none."""
    if settings.recording_reason and not reason_of(why):
        fail('HOTLINE_RECORDING_REASON is on: say why, such as --why "complaint 20251120-7"', 2)
