"""Routes about hints: which calls a person should listen to, and where."""

from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel

from base import clock
from facts.masking import mask
from facts.times import DAY, begin_of_day
from metrics import hints
from recorder.hints import HintKind
from speech.hints import WordHintKind
from web.accounts.accounts import Who
from web.api.auth import Me, right
from web.api.reasons import Why
from web.backend import Behind, Problem

router = APIRouter(prefix="/api", tags=["calls"])

NOTE_ZH: Final = "按规则或由机器提示哪里值得人工复听，可能有误；不是评分，也不得据此扣分。"
NOTE_EN: Final = (
    "By rule or by a machine, which may be wrong: where a person should listen. They are no score."
)
_KINDS: Final = len(HintKind) + len(WordHintKind)


class HintOut(BaseModel):
    """A reason to listen to a call; no score. `at`: where, in seconds of the recording; `recorded`: there is one.

    `value` and `limit` in `unit` (`s`, `dB`, or `/min`: characters a minute), None if the rule has none. `party`: who
    is too quiet or too loud.
    """

    call: str
    arrived: str
    caller: str
    agent: str
    kind: HintKind | WordHintKind
    value: float | None
    limit: float | None
    unit: str
    at: float
    recorded: bool
    party: str | None
    text_zh: str
    text_en: str


class HintsOut(BaseModel):
    """Some of a day's hints, by arrival. They say where a person should listen, and are no score.

    Of the `calls` with a talk that were looked at for them, `waiting` have not been heard yet, and `unheard` cannot be.
    `next`: the cursor of the next part, None when this is the last. A part may be short, or empty, and another follow.
    """

    hints: list[HintOut]
    calls: int
    waiting: int
    unheard: int
    next: str | None
    note_zh: str = NOTE_ZH
    note_en: str = NOTE_EN


def shown(row: hints.HintRow, masked: bool) -> HintOut:
    """A hint as this reader may see it."""
    return HintOut.model_validate(row | ({"caller": mask(row["caller"])} if masked else {}))


@router.get("/hints", **right("recordings.read", audited="every", response_model=HintsOut))
async def day_of_hints(
    me: Me,
    behind: Behind,
    _why: Why,
    day: Annotated[
        str, Query(max_length=10, description="in China; the last 24 hours by default")
    ] = "",
    kind: Annotated[list[HintKind | WordHintKind] | None, Query(max_length=_KINDS)] = None,
    agent: Annotated[str, Query(pattern=r"^\d{0,8}$")] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="about so many hints")] = 200,
    cursor: Annotated[str, Query(max_length=20)] = "",
) -> HintsOut:
    """Which calls of a day a person should listen to, by rule. They are hints, never a score.

    Whoever may read words also has the hints of transcripts.
    """
    now = clock.now()
    try:
        begin, end = _day(day) if day else (now - DAY, now)
    except (ValueError, OverflowError):
        raise Problem(422, "day: write a day such as 2026-11-22") from None
    if cursor:
        if not cursor.isdecimal() or not begin <= int(cursor) <= end:
            raise Problem(422, "cursor: give the `next` of the part before, with the same day")
        begin = int(cursor)
    wanted = hints.HintFilter(frozenset(kind or ()), agent, may_read_words(me))
    found = await hints.of_time(behind.engine, behind.settings, begin, min(end, now), wanted, limit)
    return HintsOut(
        hints=[shown(row, me.masked) for row in found.hints],
        calls=found.calls,
        waiting=found.waiting,
        unheard=found.unheard,
        next=None if found.after is None else str(found.after),
    )


def may_read_words(me: Who) -> bool:
    """Whether this reader also has the hints of transcripts."""
    return "words.read" in me.rights


def _day(text: str) -> tuple[int, int]:
    first = date.fromisoformat(text)
    begin, end = begin_of_day(first), begin_of_day(first + timedelta(days=1))
    if begin < 0:
        raise ValueError(text)
    return begin, end
