"""Routes about calls: search, one call's story, its recording; and the report."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict

from base import clock
from base.settings import Settings
from facts.ids import LONGEST
from facts.masking import mask
from facts.terms import Outcome
from facts.times import CHINA, DAY, SECOND, microseconds
from metrics import hints, search
from metrics.calls import CallRow
from metrics.reports import sla as reports
from metrics.sums import Only
from recorder import ledger
from recorder.entry import LedgerEntry
from recorder.forms import RecordingForm
from recorder.ledger import LedgerAwayError, LedgerError, form_by_path
from recorder.vault import reading
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from recorder.vault.trouble import StoreError, StoreGoneError
from web.api.auth import Me, right
from web.api.facts import FactOut
from web.api.facts import shown as shown_fact
from web.api.hints import HintOut
from web.api.hints import shown as shown_hint
from web.backend import Behind, Problem

router = APIRouter(prefix="/api", tags=["calls"])

CallIdIn = Annotated[
    str, InPath(max_length=LONGEST, description="a call's id, as the search gives it")
]
_LARGEST: Final = 2**63 - 1


class Call(BaseModel):
    """A call. Times in ISO 8601 with microseconds, None for what did not happen; `outcome` None while it goes on.

    `origin`: the callback attempt from which the citizen was transferred. Its recording is the beginning of this one.
    """

    id: str
    number: str
    caller: str
    arrived: str
    queued: str | None
    answered: str | None
    ended: str | None
    outcome: Outcome | None
    disposition: str | None
    hung_up_by: str | None
    agents: list[str]
    recording_seconds: float | None
    origin: str | None


class Calls(BaseModel):
    """A page of calls, newest first. `next`: the cursor of the next page, None when this is the last."""

    calls: list[Call]
    next: str | None


class Story(BaseModel):
    """One call, and every fact about it, oldest first. `hints`: for whoever may listen to it, why they should."""

    call: Call
    facts: list[FactOut]
    hints: list[HintOut]


class Report(BaseModel):
    """The SLA report, as `hotline report sla --format json` prints it."""

    model_config = ConfigDict(extra="allow")


Moment = Annotated[
    str, Query(max_length=40, description="ISO 8601, in China when without an offset")
]


@router.get("/calls", **right("calls.read", audited="every", response_model=Calls))
async def calls(
    me: Me,
    behind: Behind,
    since: Moment = "",
    until: Moment = "",
    caller: Annotated[str, Query(max_length=40, description="a number, or its end")] = "",
    number: Annotated[str, Query(max_length=15)] = "",
    agent: Annotated[str, Query(max_length=8)] = "",
    queue: Annotated[str, Query(max_length=32)] = "",
    outcome: Outcome | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str, Query(max_length=50)] = "",
) -> Calls:
    """Search among calls by the time of their arrival; the last day by default."""
    if me.masked and caller:
        raise Problem(403, "who sees no numbers cannot search by them")
    now = clock.now()
    wanted = search.CallSearch(
        since=_moment(since, "since", now - DAY),
        until=_moment(until, "until", now + DAY),
        caller=_text(caller, "caller"),
        number=_text(number, "number"),
        agent=_text(agent, "agent"),
        queue=_text(queue, "queue"),
        outcome=outcome,
    )
    page = await search.search(behind.engine, wanted, limit, _cursor(cursor))
    following = None if page.after is None else "{}.{}".format(*page.after)
    return Calls(calls=[_call(row, me.masked) for row in page.calls], next=following)


@router.get("/calls/{call}", **right("calls.read", audited="every", response_model=Story))
async def story(call: CallIdIn, me: Me, behind: Behind) -> Story:
    """What happened in one call."""
    row, facts = await search.story(behind.engine, _text(call, "call"))
    if row is None:
        raise Problem(404, "there is no such call")
    found = []
    if "recordings.read" in me.rights:
        found = (await hints.of_call(behind.engine, behind.settings, row["id"], facts)).hints
    return Story(
        call=_call(row, me.masked),
        facts=[shown_fact(fact, me.masked) for fact in facts],
        hints=[shown_hint(one, me.masked) for one in found],
    )


_SOUND: Final[dict[str, Any]] = {form.media_type: {} for form in RecordingForm}


@router.get(
    "/calls/{call}/recording",
    **right(
        "recordings.read",
        audited="every",
        response_class=FileResponse,
        responses={
            200: {
                "content": _SOUND,
                "description": "Stereo: citizen left, agent right.",
            },
            206: {"content": _SOUND, "description": "The part that was asked for."},
            400: {"description": "The header Range cannot be read."},
            416: {"description": "The recording is shorter."},
            503: {
                "description": "It is encrypted and its master key is away, or its store does not answer."
            },
        },
    ),
)
async def recording(
    call: CallIdIn, request: Request, behind: Behind, download: bool = False
) -> FileResponse:
    """A call's recording, whole or in parts (Range). Who listened is in the audit log."""
    try:
        entry = (await ledger.look_up(behind.engine, [_text(call, "call")])).get(call)
        if entry is None or not entry.path:
            raise Problem(404, "there is no recording of this call, or it is not finished yet")
        if entry.certificate:
            await ledger.verify(behind.engine, behind.settings, call)
        told = await asyncio.to_thread(_stat, behind.settings, entry)
        if request.headers.get("range", "bytes=0-") == "bytes=0-":
            await ledger.verify(behind.engine, behind.settings, call)
    except (LedgerAwayError, StoreError) as error:
        gone = isinstance(error, StoreGoneError)
        raise Problem(404 if gone else 503, str(error)) from None
    except LedgerError as error:
        raise Problem(404, str(error)) from None
    except KeyAwayError as error:
        raise Problem(503, str(error)) from None
    except (VaultError, OSError) as error:
        raise Problem(404, f"the recording cannot be read: {error}") from None
    name = PurePosixPath(entry.path.removesuffix(reading.SUFFIX)).name
    return _SoundResponse(
        behind.settings,
        entry,
        stat_result=told,
        media_type=form_by_path(entry.path).media_type,
        filename=name if download else None,
        headers={"Cache-Control": "private, no-store"},
    )


class _SoundResponse(FileResponse):
    """A recording's plain bytes, whole or in parts, as a `FileResponse` gives a file's."""

    def __init__(self, settings: Settings, entry: LedgerEntry, **more: Any) -> None:
        super().__init__(settings.recordings_dir / entry.path, **more)
        self._recording = settings, entry

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        sound = await asyncio.to_thread(reading.open_recording, *self._recording)
        file: anyio.AsyncFile[bytes] = anyio.wrap_file(sound)
        try:
            yield file
        finally:
            with anyio.CancelScope(shield=True):
                await file.aclose()


def _stat(settings: Settings, entry: LedgerEntry) -> os.stat_result:
    """The file's, with the size of the plain sound. Raises as `open_recording`."""
    try:
        found = list((settings.recordings_dir / entry.path).stat())
    except FileNotFoundError:  # it is in the store, or nowhere
        found = [0] * 10
        found[8] = entry.finished_at // SECOND
    with reading.open_recording(settings, entry) as sound:
        found[6] = sound.seek(0, os.SEEK_END)
    return os.stat_result(found)


@router.get("/reports/sla", **right("reports.read", response_model=Report))
async def report(
    behind: Behind,
    hours: Annotated[float, Query(gt=0, le=reports.MOST_HOURS)] = 24,
    at: Annotated[str, Query(max_length=40, description="end of the window, or now")] = "now",
    number: Annotated[str, Query(max_length=15)] = "",
    queue: Annotated[str, Query(max_length=32)] = "",
    fail_under: Annotated[float, Query(ge=0, le=100)] = 95,
) -> Any:
    """The figures of one window of time."""
    try:
        made = await reports.sla(
            behind.engine,
            at=reports.parse_time(at, clock.now()),
            hours=hours,
            fail_under=fail_under,
            journal=behind.settings.run_dir,
            only=Only(_text(number, "number"), _text(queue, "queue")),
            short_abandon=behind.settings.short_abandon,
        )
    except (ValueError, OverflowError) as error:
        raise Problem(422, str(error)) from None
    return json.loads(reports.render_json(made))


def _call(row: CallRow, masked: bool) -> Call:
    return Call.model_validate({**row, "caller": mask(row["caller"])} if masked else row)


def _moment(text: str, name: str, otherwise: int) -> int:
    if not text:
        return otherwise
    try:
        if text.isdecimal():
            at = int(text)
        else:
            moment = datetime.fromisoformat(text)
            at = microseconds(moment if moment.tzinfo else moment.replace(tzinfo=CHINA))
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at <= _LARGEST:
        raise Problem(422, f"{name}: write a time such as 2026-11-22T18:00")
    return at


def _cursor(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    at, _, row = text.partition(".")
    if at.isdecimal() and row.isdecimal() and max(int(at), int(row)) <= _LARGEST:
        return int(at), int(row)
    raise Problem(422, "cursor: give the `next` of the page before")


def _text(text: str, name: str) -> str:
    if "\0" in text or not text.isprintable():
        raise Problem(422, f"{name}: a control character")
    return text
