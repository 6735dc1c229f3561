"""Routes about hints: which calls a person should listen to, and where."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from base import clock
from facts.masking import mask
from facts.times import DAY, begin_of_day
from metrics import hints
from recorder.hints import HintKind
from web.api.auth import Me, right
from web.backend import Behind, Problem

router = APIRouter(prefix="/api", tags=["calls"])


class HintOut(BaseModel):
    """A reason to listen to a call; no score. `at`: where, in seconds from the recording's beginning.

    `value` and `limit` in `unit` (`s` or `dB`), None if the rule has none. `party`: who is too quiet or too loud.
    """

    call: str
    arrived: str
    caller: str
    agent: str
    kind: HintKind
    value: float | None
    limit: float | None
    unit: str
    at: float
    party: str | None
    text_zh: str
    text_en: str


class HintsOut(BaseModel):
    """The hints of a time. Of its `calls` with a talk, `waiting` have not been heard yet, and `unheard` cannot be."""

    hints: list[HintOut]
    calls: int
    waiting: int
    unheard: int


def shown(row: hints.HintRow, masked: bool) -> HintOut:
    """A hint as this reader may see it."""
    return HintOut.model_validate(row | ({"caller": mask(row["caller"])} if masked else {}))


@router.get("/hints", **right("recordings.read", audited="every", response_model=HintsOut))
async def day_of_hints(
    me: Me,
    behind: Behind,
    day: Annotated[
        str, Query(max_length=10, description="in China; the last 24 hours by default")
    ] = "",
    kind: Annotated[list[HintKind] | None, Query(max_length=len(HintKind))] = None,
) -> HintsOut:
    """Which calls of a day a person should listen to, by rule. They are hints, never a score."""
    now = clock.now()
    try:
        begin, end = _day(day) if day else (now - DAY, now)
    except (ValueError, OverflowError):
        raise Problem(422, "day: write a day such as 2026-11-22") from None
    found = await hints.of_time(behind.engine, behind.settings, begin, min(end, now), kind or ())
    return HintsOut(
        hints=[shown(row, me.masked) for row in found.hints],
        calls=found.calls,
        waiting=found.waiting,
        unheard=found.unheard,
    )


def _day(text: str) -> tuple[int, int]:
    first = date.fromisoformat(text)
    begin, end = begin_of_day(first), begin_of_day(first + timedelta(days=1))
    if begin < 0:
        raise ValueError(text)
    return begin, end
