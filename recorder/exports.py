"""Exports that a second person approves: somebody asks, another one decides, and the approval is used once.

While `HOTLINE_EXPORT_APPROVAL` is off nobody need ask. Listening is no export. Whether somebody may decide at all is
the caller's to know (`web.accounts.rights`); that it is another person is known here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from base import clock
from base.settings import Settings
from facts.masking import reason_of
from facts.terms import CallId
from facts.times import HOUR
from recorder import ledger
from recorder.tables import export

MOST_OPEN: Final = 50
"""Requests of one person that are neither used nor over."""
MOST_LISTED: Final = 500


class ExportError(Exception):
    """A request cannot be made, decided or used. The message says why and what to do, and can be shown as it is."""


class ExportState(StrEnum):
    """What has become of a request."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Who asks to take which recording away, and what was decided. Times in microseconds, 0: it has not happened.

    `by`: an account, or `cli:NAME` of the system. `until`: when it ends, decided or not.
    """

    id: int
    call: CallId
    by: str
    why: str
    at: int
    until: int
    approved: bool
    decided_by: str
    decided_why: str
    decided_at: int
    used_at: int

    def state(self, now: int) -> ExportState:
        """What it is at `now`."""
        if self.used_at:
            return ExportState.USED
        if self.decided_at and not self.approved:
            return ExportState.REFUSED
        if self.until <= now:
            return ExportState.EXPIRED
        return ExportState.APPROVED if self.approved else ExportState.OPEN


async def ask(
    engine: AsyncEngine, settings: Settings, call: CallId, *, by: str, why: str, now: int
) -> ExportRequest:
    """Ask for the export of a call's recording. Raises `ExportError`."""
    if not settings.export_approval:
        raise ExportError("no approval is needed here: export it")
    said = reason_of(why)
    if not said:
        raise ExportError("say why: whoever decides must know")
    entry = (await ledger.look_up(engine, [call])).get(call)
    if entry is None or not entry.path or entry.certificate:
        raise ExportError("there is no recording of this call, or it is not finished yet")
    mine = await living(engine, by, now)
    for request in mine:
        if request.call == call:
            raise ExportError(f"you have asked already: request {request.id}")
    if len(mine) >= MOST_OPEN:
        raise ExportError(f"{len(mine)} of your requests are not used yet: use those first")
    row: dict[str, Any] = {
        "call": call,
        "by": by,
        "why": said,
        "at": now,
        "until": now + round(settings.export_hours * HOUR),
        "approved": False,
        "decided_by": "",
        "decided_why": "",
        "decided_at": 0,
        "used_at": 0,
    }
    async with engine.begin() as connection:
        number = await connection.scalar(insert(export).values(row).returning(export.c.id))
    return ExportRequest(id=number or 0, **row)


async def decide(
    engine: AsyncEngine,
    settings: Settings,
    number: int,
    *,
    by: str,
    approve: bool,
    why: str,
    now: int,
) -> ExportRequest:
    """Approve or refuse an open request, once. `by`: an account. Raises `ExportError`, also for who asked."""
    request = await find(engine, number)
    if request is None:
        raise ExportError(f"there is no request {number}")
    if is_own(request, by):
        raise ExportError("who asks does not decide: another person must")
    said = reason_of(why)
    if not approve and not said:
        raise ExportError("say why it is refused: whoever asked must know")
    values: dict[str, Any] = {
        "approved": approve,
        "decided_by": by,
        "decided_why": said,
        "decided_at": now,
        "until": now + round(settings.export_hours * HOUR) if approve else request.until,
    }
    columns = export.c
    still_open = (columns.decided_at == 0, columns.used_at == 0, columns.until > now)
    async with engine.begin() as connection:
        done = await connection.execute(
            update(export).where(columns.id == number, *still_open).values(values)
        )
    if not done.rowcount:
        request = await find(engine, number) or request
        raise ExportError(
            f"request {number} is {request.state(now)}: it cannot be decided any more"
        )
    return await find(engine, number) or request


@asynccontextmanager
async def allowed(
    engine: AsyncEngine, settings: Settings, call: CallId, *, by: str
) -> AsyncIterator[ExportRequest | None]:
    """Within it, `by` may take the recording away, by the request that it gives: None where none is needed.

    The approval is used up as it begins, so two at a time cannot share it. If the work within fails, nothing was taken
    away, and the approval can be used again. Raises `ExportError` if nothing is approved.
    """
    if not settings.export_approval:
        yield None
        return
    request = await _take(engine, call, by, clock.now())
    try:
        yield request
    except BaseException:
        columns = export.c
        mine = (columns.id == request.id, columns.used_at == request.used_at)
        async with engine.begin() as connection:
            await connection.execute(update(export).where(*mine).values(used_at=0))
        raise


async def _take(engine: AsyncEngine, call: CallId, by: str, now: int) -> ExportRequest:
    columns = export.c
    for request in await living(engine, by, now):
        if request.call != call or not request.approved:
            continue
        free = (columns.id == request.id, columns.used_at == 0, columns.until > now)
        async with engine.begin() as connection:
            done = await connection.execute(update(export).where(*free).values(used_at=now))
        if done.rowcount:
            return await find(engine, request.id) or request
    raise ExportError(
        "an export needs a second person's approval, which is used once: ask for it, and say why"
    )


async def find(engine: AsyncEngine, number: int) -> ExportRequest | None:
    """One request."""
    async with engine.connect() as connection:
        row = (await connection.execute(select(export).where(export.c.id == number))).one_or_none()
    return None if row is None else ExportRequest(**row._asdict())


async def requests(
    engine: AsyncEngine, now: int, *, by: str = "", every: bool = False
) -> list[ExportRequest]:
    """The open requests, the oldest first; with `every` the newest of all, newest first. `by`: only that person's."""
    columns = export.c
    question = select(export).limit(MOST_LISTED)
    if every:
        question = question.order_by(columns.id.desc())
    else:
        still_open = (columns.until > now, columns.used_at == 0, columns.decided_at == 0)
        question = question.where(*still_open).order_by(columns.id)
    if by:
        question = question.where(columns.by == by)
    async with engine.connect() as connection:
        return [ExportRequest(**row._asdict()) for row in await connection.execute(question)]


async def living(engine: AsyncEngine, by: str, now: int) -> list[ExportRequest]:
    """Somebody's requests that are open, or approved and not used yet, the oldest first."""
    columns = export.c
    question = select(export).where(columns.by == by, columns.until > now, columns.used_at == 0)
    async with engine.connect() as connection:
        rows = await connection.execute(question.order_by(columns.id))
        found = [ExportRequest(**row._asdict()) for row in rows]
    return [one for one in found if one.approved or not one.decided_at]


async def oldest(connection: AsyncConnection, now: int) -> int:
    """When the request was made that has waited longest for a decision (microseconds); 0: none waits."""
    columns = export.c
    waits = (columns.until > now, columns.used_at == 0, columns.decided_at == 0)
    return await connection.scalar(select(func.min(columns.at)).where(*waits)) or 0


def is_own(request: ExportRequest, name: str) -> bool:
    """Whether this person has asked, who therefore does not decide. `name`: an account, or `cli:NAME`."""
    return _person(name) == _person(request.by)


def _person(name: str) -> str:
    """`cli:wang` of the system and the account `wang` are one person."""
    return name.removeprefix("cli:").casefold()
