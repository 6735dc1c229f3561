"""Routes beside a recording's sound: its waveform, and the marks that listeners set in it.

Each look is a row of the audit log: whoever opened the player is known, also when they then heard nothing. The sound
has rows of its own. The screens ask for waveform and marks once each time a player is opened.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from base import clock
from base.settings import Settings
from diary import reader
from facts import Fact
from facts.ids import LONGEST
from facts.masking import hide_digits
from facts.terms import CallId
from facts.times import SECOND
from metrics import hints
from recorder import audit, forms, marks, parts, policy, waveform
from recorder.copying import form_by_path
from recorder.entry import LedgerEntry
from recorder.forms import FormError
from recorder.marks import MarkedPlace, MarkError, NoMarkError, OthersMarkError
from recorder.parts import PartKind, RecordingPart
from recorder.vault import reading
from recorder.waveform import Waveform, WaveformError
from web.accounts.accounts import Who
from web.api import recordings
from web.api.auth import Me, right
from web.api.hints import may_read_words
from web.backend import Backend, Behind, Problem

router = APIRouter(prefix="/api/calls/{call}", tags=["listening"])

CallIdIn = Annotated[
    str, InPath(max_length=LONGEST, description="a call's id, as the search gives it")
]
WhyIn = Annotated[str, Query(max_length=200, description="why somebody looks")]
MarkIdIn = Annotated[int, InPath(ge=1, le=2**31 - 1)]
_LONGEST_CALL: Final = 7 * 86_400
"""Seconds: no recording is that long."""


class Talk(BaseModel):
    """A stretch of one agent's, in seconds from the recording's beginning."""

    agent: str
    begin: float
    end: float


class Part(BaseModel):
    """A part that is not in the recording as it was spoken, in seconds from its beginning, and why.

    `kind` `lost`: what is missing would begin here. It names no agent where the reader may not know whose talk it is.
    """

    kind: PartKind
    agent: str
    begin: float
    end: float
    text_zh: str
    text_en: str


class Reason(BaseModel):
    """Where the citizen says why they gave a bad grade to the talk with `agent`, in seconds from the beginning."""

    agent: str
    begin: float
    end: float


class HintPlace(BaseModel):
    """Where a person should listen, in seconds from the recording's beginning, and why. It is no score."""

    at: float
    text_zh: str
    text_en: str


class Peaks(BaseModel):
    """A waveform. `left` (the citizen) and `right` (the agent): evenly over `seconds`, at most 4000 values, 0 to 1.

    `silences`: [begin, end] in seconds where both sides are below -36 dB for two seconds and longer. `talks`: who
    talked when; `parts`: holds, pauses, and what is lost; both as the diary has it, to some tenths of a second.
    `hints`: by rule (`GET /api/hints`). `reasons`: spoken reasons of bad grades. `missing`: why there is no waveform,
    or empty.
    """

    call: str
    seconds: float
    left: list[float]
    right: list[float]
    silences: list[tuple[float, float]]
    talks: list[Talk]
    parts: list[Part]
    hints: list[HintPlace]
    reasons: list[Reason]
    missing: str


class RecordingMark(BaseModel):
    """A place in a recording, in seconds from its beginning, with a note. `end` None: a moment.

    `by`: the account that set it; `mine`: it is the reader's own, who may change it. Times in microseconds.
    """

    id: int
    begin: float
    end: float | None
    text: str
    by: str
    mine: bool
    added: int
    changed: int
    version: int


class NewMark(BaseModel):
    """A mark to be set. Seconds from the recording's beginning; without an end it is a moment."""

    begin: float = Field(ge=0, le=_LONGEST_CALL)
    end: float | None = Field(None, gt=0, le=_LONGEST_CALL)
    text: str = Field(min_length=1, max_length=marks.LONGEST)


class ChangedMark(NewMark):
    """What a mark is to be. `version`: the one that its author saw."""

    version: int = Field(ge=1, le=2**31 - 1)


@router.get("/peaks", **right("recordings.read", audited="every", response_model=Peaks))
async def peaks(
    call: CallIdIn,
    me: Me,
    behind: Behind,
    why: WhyIn = "",
) -> Peaks:
    """The waveform of a call's recording, as wavesurfer.js takes it, and what is known about its parts."""
    made, facts = await _drawn(behind, _known(call))
    wanted = hints.HintFilter(words=may_read_words(me))
    hinted = await hints.of_call(behind.engine, behind.settings, call, facts, wanted)
    said = parts.reasons_of(facts, round(made.seconds * SECOND))
    return made.model_copy(
        update={
            "hints": [HintPlace.model_validate(one) for one in hinted.hints],
            "reasons": [
                Reason(agent=one.agent, begin=one.begin / SECOND, end=one.end / SECOND)
                for one in said
            ],
        }
    )


async def blind_peaks(behind: Backend, call: CallId) -> Peaks:
    """The waveform for somebody who may not know whose talk it is. No hint or citizen's reason may steer a score.

    Raises `Problem`.
    """
    made, _ = await _drawn(behind, call)
    nobody = {"agent": ""}
    return made.model_copy(
        update={
            "call": "",
            "talks": [one.model_copy(update=nobody) for one in made.talks],
            "parts": [one.model_copy(update=nobody) for one in made.parts],
        }
    )


async def _drawn(behind: Backend, call: CallId) -> tuple[Peaks, Sequence[Fact]]:
    """The waveform without hints and reasons, and the call's facts."""
    with _told():
        entry = await recordings.entry_of(behind, call)
        drawn, missing = await asyncio.to_thread(_waveform, behind.settings, entry)
    facts = (await reader.read_stories(behind.engine, [call])).get(call, ())
    made = Peaks(
        call=call,
        seconds=entry.duration / SECOND,
        left=drawn.left,
        right=drawn.right,
        silences=drawn.silences,
        talks=_talks(facts, entry.duration),
        parts=[_part(one) for one in parts.parts_of(facts, entry.duration, entry.state)],
        hints=[],
        reasons=[],
        missing=missing,
    )
    return made, facts


@router.get(
    "/marks", **right("recordings.read", audited="every", response_model=list[RecordingMark])
)
async def list_marks(
    call: CallIdIn, me: Me, behind: Behind, why: WhyIn = ""
) -> list[RecordingMark]:
    """The marks of a call's recording, in the order of their places: at most 200."""
    return [_shown(one, me) for one in await marks.find_all(behind.engine, _known(call))]


@router.post("/marks", **right("recordings.mark", status_code=201, response_model=RecordingMark))
async def add_mark(call: CallIdIn, given: NewMark, me: Me, behind: Behind) -> RecordingMark:
    """Mark a place."""
    with _told():
        made = await marks.add(behind.engine, _known(call), _note(given), me.name, clock.now())
    return _shown(made, me)


@router.put("/marks/{id}", **right("recordings.mark", response_model=RecordingMark))
async def change_mark(
    call: CallIdIn,
    id: MarkIdIn,  # noqa: A002 the path's word
    given: ChangedMark,
    me: Me,
    behind: Behind,
) -> RecordingMark:
    """Change one's own mark."""
    with _told():
        made = await marks.change(
            behind.engine,
            _known(call),
            id,
            _note(given),
            by=me.name,
            version=given.version,
            now=clock.now(),
        )
    return _shown(made, me)


@router.delete("/marks/{id}", **right("recordings.mark", status_code=204))
async def remove_mark(call: CallIdIn, id: MarkIdIn, me: Me, behind: Behind) -> None:  # noqa: A002 the path's word
    """Remove one's own mark."""
    with _told():
        await marks.remove(behind.engine, _known(call), id, me.name)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with a recording or its marks, as an answer."""
    try:
        with recordings.problems():
            yield
    except NoMarkError as error:
        raise Problem(404, str(error)) from None
    except OthersMarkError as error:
        raise Problem(403, str(error)) from None
    except MarkError as error:
        raise Problem(409, str(error)) from None


def _waveform(settings: Settings, entry: LedgerEntry) -> tuple[Waveform, str]:
    """The waveform in the recording's file, or why there is none. Raises as `open_recording`."""
    form = form_by_path(entry.path)
    if form is not forms.RecordingForm.MP4:
        return _NONE, f"a recording in {form.value.upper()} has no waveform"
    try:
        with reading.open_recording(settings, entry) as sound:
            box = forms.read_header(sound, form).peaks
        return (waveform.draw(box), "") if box else (_NONE, "this recording has no waveform")
    except (FormError, WaveformError) as error:
        return _NONE, f"the waveform in this recording is damaged: {error}"


_NONE: Final = Waveform([], [], [])


def _talks(facts: Sequence[Fact], duration: int) -> list[Talk]:
    """Who talked when, as places in the recording."""
    known = policy.times(facts)
    if known.arrived is None:
        return []
    talks = policy.talks(facts, known.ended)
    began = audit.file_begins(known, duration)
    return [
        Talk(agent=talk.agent, begin=begin / SECOND, end=end / SECOND)
        for talk, begin, end in parts.placed(talks, began, duration)
    ]


def _part(one: RecordingPart) -> Part:
    return Part(
        kind=one.kind,
        agent=one.agent,
        begin=one.begin / SECOND,
        end=one.end / SECOND,
        text_zh=one.text("zh"),
        text_en=one.text("en"),
    )


def _note(given: NewMark) -> MarkedPlace:
    until = None if given.end is None else round(given.end * SECOND)
    return MarkedPlace(round(given.begin * SECOND), until, given.text)


def _shown(one: marks.RecordingMark, me: Who) -> RecordingMark:
    return RecordingMark(
        id=one.id,
        begin=one.begin / SECOND,
        end=None if one.until is None else one.until / SECOND,
        text=hide_digits(one.text) if me.masked else one.text,
        by="" if me.masked else one.by,
        mine=one.by == me.name and "recordings.mark" in me.rights,
        added=one.added_at,
        changed=one.changed_at,
        version=one.version,
    )


def _known(call: str) -> str:
    if "\0" in call or not call.isprintable():
        raise Problem(422, "call: a control character")
    return call
