"""`hotline calls`: what became of each call."""

import io
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime

from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict

from diary import reader
from facts.masking import mask
from facts.terms import CallId
from facts.times import SECOND, local
from metrics.fold import KINDS, AttemptRecord, CallRecord, record_of
from recorder.tables import recording


class CallRow(TypedDict):
    """What became of one call, ready for JSON. Times are ISO 8601 with microseconds and offset, or None.

    `outcome`: None while pending. `disposition`: `harassing` when an agent marked the call so (R18), `silent` when the
    caller said nothing (R20), else None. `agents`: who answered, in order. `recording_seconds`: None when there is no
    recording. `origin`: the callback attempt from which an agent transferred the citizen, or None when the citizen
    called.
    """

    id: CallId
    number: str
    caller: str
    arrived: str
    queued: str | None
    answered: str | None
    ended: str | None
    outcome: str | None
    disposition: str | None
    hung_up_by: str | None
    agents: list[str]
    recording_seconds: float | None
    origin: str | None


async def list_calls(engine: AsyncEngine, since: int, until: int, limit: int) -> list[CallRow]:
    """The newest `limit` calls with `since` < arrived ≤ `until` (microseconds), newest first."""
    records: list[CallRecord] = []
    source = reader.read_calls(engine, since, until, kinds=KINDS, newest_first=True)
    async with aclosing(source) as calls:
        async for facts in calls:
            if len(records) >= limit:
                break
            record = record_of(facts)
            if record is not None:
                records.append(record)
    lengths = await recordings(engine, [record.id for record in records])
    return [as_json(record, lengths.get(record.id)) for record in records]


def render_text(rows: Sequence[CallRow]) -> str:
    """The calls of `list_calls` as a table with masked numbers (R54), at most 100 columns wide."""
    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("arrived", "number", "caller", "outcome"):
        table.add_column(name, no_wrap=True)
    table.add_column("wait", justify="right")
    table.add_column("talk", justify="right")
    table.add_column("recorded", justify="right")
    table.add_column("agents")
    for row in rows:
        table.add_row(
            row["arrived"][:19].replace("T", " "),
            row["number"] or "callback",
            mask(row["caller"]),
            " ".join(filter(None, (row["outcome"] or "pending", row["disposition"]))),
            _between(row["queued"], row["answered"] or row["ended"]),
            _between(row["answered"], row["ended"]),
            "" if row["recording_seconds"] is None else f"{row['recording_seconds']:.1f}",
            " ".join(row["agents"]),
        )
    out = io.StringIO()
    Console(file=out, width=100, highlight=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _between(begin: str | None, end: str | None) -> str:
    if begin is None or end is None:
        return ""
    length = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return f"{length.total_seconds():.1f}"


async def recordings(engine: AsyncEngine, calls: list[CallId]) -> dict[CallId, float]:
    """Seconds of recording by call; a call without a file is not in it."""
    found: dict[CallId, float] = {}
    async with engine.connect() as connection:
        for start in range(0, len(calls), reader.PAGE):
            question = select(recording.c.call, recording.c.duration).where(
                recording.c.call.in_(calls[start : start + reader.PAGE]), recording.c.path != ""
            )
            for row in await connection.execute(question):
                found[row.call] = row.duration / SECOND
    return found


def as_json(record: CallRecord, recorded: float | None) -> CallRow:
    """One call as `list_calls` gives it; `recorded`: seconds of its recording, or None."""
    return {
        "id": record.id,
        "number": record.number,
        "caller": record.caller,
        "arrived": _iso(record.arrived),
        "queued": _iso_or_none(record.queued),
        "answered": _iso_or_none(record.answered),
        "ended": _iso_or_none(record.ended),
        "outcome": record.outcome and record.outcome.value,
        "disposition": _disposition(record),
        "hung_up_by": record.hung_up_by and record.hung_up_by.value,
        "agents": list(record.agents),
        "recording_seconds": recorded,
        "origin": record.origin or None,
    }


def _disposition(record: CallRecord) -> str | None:
    if record.harassing:
        return "harassing"
    return "silent" if record.silent else None


def attempt_json(record: AttemptRecord, citizen: str, recorded: float | None) -> CallRow:
    """An attempt of a callback in the same form. `citizen`: the number that was called; no hotline's number was."""
    return {
        "id": record.id,
        "number": "",
        "caller": citizen,
        "arrived": _iso(record.arrived),
        "queued": None,
        "answered": _iso_or_none(record.answered),
        "ended": _iso_or_none(record.ended),
        "outcome": None,
        "disposition": None,
        "hung_up_by": None,
        "agents": [record.agent],
        "recording_seconds": recorded,
        "origin": None,
    }


def _iso(at: int) -> str:
    return local(at).isoformat(timespec="microseconds")


def _iso_or_none(at: int | None) -> str | None:
    return None if at is None else _iso(at)
