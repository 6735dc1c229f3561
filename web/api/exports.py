"""Routes about exports of recordings that a second person approves: ask, see what was asked, decide."""

from dataclasses import asdict
from typing import Annotated, Final

from fastapi import APIRouter, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from base import clock
from facts.masking import LONGEST_REASON
from recorder import exports
from recorder.exports import ExportError, ExportState
from web.accounts.accounts import Who
from web.api.auth import Me, right
from web.api.calls import CallIdIn, text_of
from web.backend import Backend, Behind, Problem

router = APIRouter(prefix="/api", tags=["calls"])

Number = Annotated[int, InPath(ge=1, le=2**31 - 1)]
_APPROVE: Final = "recordings.approve"


class ExportRequest(BaseModel):
    """A request to export a call's recording. Times in microseconds, 0: not yet; `until`: when it ends.

    `by`: an account, or `cli:NAME` of the system. `own`: the reader has asked, so another person decides.
    """

    id: int
    call: str
    by: str
    why: str
    at: int
    until: int
    state: ExportState
    decided_by: str
    decided_why: str
    decided_at: int
    used_at: int
    own: bool


class Reason(BaseModel):
    """Why."""

    why: str = Field("", max_length=LONGEST_REASON)


@router.post(
    "/calls/{call}/export-requests",
    **right("recordings.read", status_code=201, response_model=ExportRequest),
)
async def ask_for_export(
    call: CallIdIn, given: Reason, me: Me, request: Request, behind: Behind
) -> ExportRequest:
    """Ask to export a call's recording, and say why. Whoever asked then downloads it once, after an approval."""
    _refuse_programs(me)
    request.state.why = given.why
    try:
        made = await exports.ask(
            behind.engine,
            behind.settings,
            text_of(call, "call"),
            by=me.name,
            why=given.why,
            now=clock.now(),
        )
    except ExportError as error:
        raise Problem(409, str(error)) from None
    return _shown(made, me)


@router.get("/export-requests", **right("recordings.read", response_model=list[ExportRequest]))
async def list_export_requests(
    me: Me,
    behind: Behind,
    all: bool = False,  # noqa: A002 the word of other routes
    usable: bool = False,
) -> list[ExportRequest]:
    """The open requests, the oldest first; with `all`, the newest 500. Who may not decide sees their own.

    With `usable`: one's own that are open, or approved and not used yet.
    """
    now = clock.now()
    if usable:
        found = await exports.living(behind.engine, me.name, now)
    else:
        by = "" if _APPROVE in me.rights else me.name
        found = await exports.requests(behind.engine, now, by=by, every=all)
    return [_shown(one, me) for one in found]


@router.post("/export-requests/{id}/approve", **right(_APPROVE, response_model=ExportRequest))
async def approve_export(
    id: Number,  # noqa: A002 the path's word
    given: Reason,
    me: Me,
    request: Request,
    behind: Behind,
) -> ExportRequest:
    """Approve another person's request: they may download the recording once."""
    return await _decided(id, given, me, request, behind, approve=True)


@router.post("/export-requests/{id}/refuse", **right(_APPROVE, response_model=ExportRequest))
async def refuse_export(
    id: Number,  # noqa: A002 the path's word
    given: Reason,
    me: Me,
    request: Request,
    behind: Behind,
) -> ExportRequest:
    """Refuse another person's request, and say why."""
    return await _decided(id, given, me, request, behind, approve=False)


async def _decided(
    number: int, given: Reason, me: Who, request: Request, behind: Backend, *, approve: bool
) -> ExportRequest:
    _refuse_programs(me)
    request.state.why = given.why
    if await exports.find(behind.engine, number) is None:
        raise Problem(404, f"there is no request {number}")
    try:
        return _shown(
            await exports.decide(
                behind.engine,
                behind.settings,
                number,
                by=me.name,
                approve=approve,
                why=given.why,
                now=clock.now(),
            ),
            me,
        )
    except ExportError as error:
        raise Problem(409, str(error)) from None


def _refuse_programs(me: Who) -> None:
    """Whoever made a token could ask with it and decide themselves, or the other way round."""
    if me.name.startswith("token:"):
        raise Problem(
            403, "a person asks and another one decides: sign in instead of using a token"
        )


def _shown(request: exports.ExportRequest, me: Who) -> ExportRequest:
    more = {"state": request.state(clock.now()), "own": exports.is_own(request, me.name)}
    return ExportRequest.model_validate(asdict(request) | more)
