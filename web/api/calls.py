"""Routes about calls: search among them or their recordings, one call's story; and the report."""

import json
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict

from base import clock
from facts.ids import LONGEST
from facts.masking import mask
from facts.terms import Outcome
from facts.times import DAY, SECOND, moment_of
from metrics import hints, search
from metrics.calls import CallRow
from metrics.reports import sla as reports
from metrics.sums import Only
from web.accounts.accounts import Who
from web.api.auth import Me, right
from web.api.facts import FactOut
from web.api.facts import shown as shown_fact
from web.api.hints import HintOut, may_read_words
from web.api.hints import shown as shown_hint
from web.api.reasons import Why
from web.backend import Backend, Behind, Problem

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
Seconds = Annotated[float, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str, Query(max_length=50)]


def _wanted(
    me: Me,
    since: Moment = "",
    until: Moment = "",
    caller: Annotated[str, Query(max_length=40, description="a number, or its end")] = "",
    number: Annotated[str, Query(max_length=15)] = "",
    agent: Annotated[str, Query(max_length=8)] = "",
    queue: Annotated[str, Query(max_length=32)] = "",
    outcome: Outcome | None = None,
    disposition: Annotated[str, Query(pattern="^(silent|harassing)?$")] = "",
) -> search.CallSearch:
    if me.masked and caller:
        raise Problem(403, "who sees no numbers cannot search by them")
    now = clock.now()
    return search.CallSearch(
        since=_moment(since, "since", now - DAY),
        until=_moment(until, "until", now + DAY),
        caller=text_of(caller, "caller"),
        number=text_of(number, "number"),
        agent=text_of(agent, "agent"),
        queue=text_of(queue, "queue"),
        outcome=outcome,
        disposition=disposition,
    )


Wanted = Annotated[search.CallSearch, Depends(_wanted)]


@router.get("/calls", **right("calls.read", audited="every", response_model=Calls))
async def calls(
    wanted: Wanted, me: Me, behind: Behind, _why: Why, limit: Limit = 50, cursor: Cursor = ""
) -> Calls:
    """Search among calls by the time of their arrival; the last day by default."""
    return await _found(wanted, me, behind, limit, cursor)


@router.get("/recordings", **right("calls.read", audited="every", response_model=Calls))
async def recordings(
    wanted: Wanted,
    me: Me,
    behind: Behind,
    _why: Why,
    shortest: Seconds = 0,
    longest: Seconds = 10_000_000,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Calls:
    """The same among calls and attempts of callbacks that have a recording, also by its length in seconds."""
    length = search.RecordedFor(round(shortest * SECOND), round(longest * SECOND))
    return await _found(replace(wanted, recorded=length), me, behind, limit, cursor)


async def _found(
    wanted: search.CallSearch, me: Who, behind: Backend, limit: int, cursor: str
) -> Calls:
    page = await search.search(behind.engine, wanted, limit, _cursor(cursor))
    following = None if page.after is None else "{}.{}".format(*page.after)
    return Calls(calls=[_call(row, me.masked) for row in page.calls], next=following)


@router.get("/calls/{call}", **right("calls.read", audited="every", response_model=Story))
async def story(call: CallIdIn, me: Me, behind: Behind, _why: Why) -> Story:
    """What happened in one call."""
    row, facts = await search.story(behind.engine, text_of(call, "call"))
    if row is None:
        raise Problem(404, "there is no such call")
    found = []
    if "recordings.read" in me.rights:
        wanted = hints.HintFilter(words=may_read_words(me))
        found = (
            await hints.of_call(behind.engine, behind.settings, row["id"], facts, wanted)
        ).hints
    return Story(
        call=_call(row, me.masked),
        facts=[shown_fact(fact, me.masked) for fact in facts],
        hints=[shown_hint(one, me.masked) for one in found],
    )


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
            only=Only(text_of(number, "number"), text_of(queue, "queue")),
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
        at = int(text) if text.isdecimal() else moment_of(text)
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


def text_of(text: str, name: str) -> str:
    """What was sent as `name`. Raises `Problem` if it holds a control character."""
    if "\0" in text or not text.isprintable():
        raise Problem(422, f"{name}: a control character")
    return text
