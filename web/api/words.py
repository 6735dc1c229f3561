"""Routes about what was said: a call's transcript and hints, and a day's hints.

Every answer carries a sentence that says what a hint is: a place to listen to, and no score.
"""

from datetime import date, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel

from base import clock
from facts.times import DAY, SECOND, begin_of_day, local
from recorder.vault.crypt import VaultError
from recorder.vault.keys import KeyAwayError
from speech import shelf
from speech.hints import WordHint, WordHintKind
from speech.shelf import WordsState
from speech.transcript import Side, TalkWords, TranscriptError, lines
from web.api.auth import right
from web.api.calls import CallIdIn
from web.backend import Behind, Problem

router = APIRouter(prefix="/api", tags=["words"])

_MOST: Final = 1000
_NOTE_ZH: Final = "由机器识别，可能有误：仅提示人工复听的位置，不是评分，也不得据此扣分。"
_NOTE_EN: Final = "A machine heard this and may be wrong: it says where a person may want to listen. It is no score."


class Noted(BaseModel):
    """What stands beside every hint."""

    note_zh: str = _NOTE_ZH
    note_en: str = _NOTE_EN


class WordHintOut(BaseModel):
    """A place to listen to, in seconds of the recording. `rate`: characters a minute, in hints of speed; else 0."""

    kind: WordHintKind
    agent: str
    phrase: str
    begin: float
    end: float
    rate: float


class LineOut(BaseModel):
    """What one side said without a pause."""

    side: Side
    begin: float
    end: float
    text: str


class TalkOut(BaseModel):
    """One agent's talk with the citizen."""

    agent: str
    begin: float
    end: float
    lines: list[LineOut]


class Words(Noted):
    """A call's transcript. Rates in characters a minute, None when not known."""

    call: str
    state: WordsState
    at: str
    citizen_rate: float | None
    agent_rate: float | None
    hints: list[WordHintOut]
    talks: list[TalkOut]


class HintOfCall(WordHintOut):
    """A hint, and the call that it is in."""

    call: str


class DayHints(Noted):
    """A day's hints, by call and place; the first thousand."""

    hints: list[HintOfCall]


@router.get(
    "/calls/{call}/words",
    **right(
        "words.read",
        audited="every",
        response_model=Words,
        responses={503: {"description": "The recordings' master key is away."}},
    ),
)
async def words(call: CallIdIn, behind: Behind) -> Words:
    """What was heard in a call's recording, and where a person may want to listen. Who read it is in the audit log."""
    try:
        found = await shelf.read(behind.engine, behind.settings, call)
    except KeyAwayError as error:
        raise Problem(503, str(error)) from None
    except (VaultError, TranscriptError) as error:
        raise Problem(404, f"the transcript cannot be read: {error}") from None
    if found is None:
        raise Problem(404, "there is no transcript of this call")
    return Words(
        call=found.call,
        state=found.state,
        at=local(found.at).isoformat(),
        citizen_rate=found.citizen_rate or None,
        agent_rate=found.agent_rate or None,
        hints=[_hint(hint) for hint in found.hints],
        talks=[_talk(talk) for talk in found.talks],
    )


@router.get("/words/hints", **right("words.read", audited="every", response_model=DayHints))
async def hints(
    behind: Behind,
    day: Annotated[
        date | None,
        Query(description="when the recordings were finished, in China; else yesterday"),
    ] = None,
) -> DayHints:
    """Where a person may want to listen in a day's recordings."""
    wanted = day or local(clock.now() - DAY).date()
    if not date(1970, 1, 2) <= wanted < date(9999, 12, 31):
        raise Problem(422, "day: write a day such as 2025-11-20")
    begin, end = begin_of_day(wanted), begin_of_day(wanted + timedelta(days=1))
    found = await shelf.hints_of(behind.engine, begin, end, _MOST)
    return DayHints(
        hints=[HintOfCall(call=one.call, **_hint(one.hint).model_dump()) for one in found]
    )


def _hint(hint: WordHint) -> WordHintOut:
    return WordHintOut(
        kind=hint.kind,
        agent=hint.agent,
        phrase=hint.phrase,
        begin=hint.begin / SECOND,
        end=hint.end / SECOND,
        rate=hint.rate,
    )


def _talk(talk: TalkWords) -> TalkOut:
    shown = [
        LineOut(side=one.side, begin=one.begin / SECOND, end=one.end / SECOND, text=one.text)
        for one in lines(talk)
    ]
    return TalkOut(agent=talk.agent, begin=talk.begin / SECOND, end=talk.end / SECOND, lines=shown)
