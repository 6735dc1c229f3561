"""`hotline transcribe`, `hotline recordings words` and `phrases`: what was said in recordings, and where to listen."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import SECOND, local
from hotline.cli.report import day_of
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    read_settings,
    run_forever,
    with_database,
)

if TYPE_CHECKING:
    from recorder.entry import LedgerEntry
    from speech.hints import WordHint
    from speech.night import NightWork
    from speech.shelf import CallHint, CallWords, WordsState

app = typer.Typer()

_SHOWN = 1000
"""Hints of a day that are listed."""
_ALL_DAY = 86_400 * SECOND


def add_to(recordings: typer.Typer) -> None:
    """Add these commands to those of `hotline recordings`."""
    recordings.command("words")(words)
    recordings.command("phrases")(phrases)


@app.command("transcribe")
def transcribe(
    day: Annotated[
        str,
        typer.Option("--day", help="hear the recordings of this day in China now, and end"),
    ] = "",
    make_model: Annotated[
        bool, typer.Option("--make-model", help="make the model's folder from the extra, and end")
    ] = False,
) -> None:
    """Run the transcripts alone: every night, recordings are heard, and hints found for a person to listen."""
    from speech import model

    settings = read_settings()
    if make_model:
        try:
            print(model.make(settings))
        except model.SpeechError as error:
            fail(str(error))
    elif day:
        _hear_day(day)
    elif not settings.speech:
        fail("HOTLINE_SPEECH is off: switch it on, or name a --day to hear its recordings now")
    else:
        from hotline.machine import processes

        run_forever(processes.transcribe(settings))


def _hear_day(day: str) -> None:
    from speech import night, shelf

    settings = read_settings()
    begin, end = _window(day)

    def told(entry: "LedgerEntry", state: "WordsState") -> None:
        print(f"{entry.call}: {state.value}", file=sys.stderr)

    async def work(engine: AsyncEngine) -> "tuple[NightWork, int]":
        night.lowest_priority()
        did = await night.work(
            engine,
            settings,
            asyncio.Event(),
            since=begin,
            until=end,
            within=_ALL_DAY,
            again_before=clock.now(),
            told=told,
        )
        return did, await shelf.plain(engine, begin, end)

    did, plain = with_database(work)
    print(f"{did.done} recordings heard, {did.failed} failed, {did.left} left")
    if plain:
        print(f"{plain} lie plain and are left out: `hotline recordings encrypt` makes them ready")
    if did.why:
        fail(did.why)
    sys.exit(1 if did.failed or did.left else 0)


def words(call_id: str, form: JsonOrText = "text", lang: Language = "zh") -> None:
    """Show what was heard in one call, and where a person may want to listen. It is no score."""
    from recorder.vault.crypt import VaultError
    from speech import shelf
    from speech.transcript import TranscriptError

    form_of(form, "text", "json")
    settings = read_settings()

    async def work(engine: AsyncEngine) -> "CallWords | None":
        await note_look(engine, "recordings words", call_id)
        return await shelf.read(engine, settings, call_id)

    found = with_database(work, VaultError, TranscriptError)
    if found is None:
        fail(_SAY[lang]["none"].format(call_id[:100]))
    if form == "json":
        print(json.dumps(as_json(found), ensure_ascii=False, indent=1))
    else:
        for line in _lines(found, lang):
            print(line)


def phrases(
    day: Annotated[
        str, typer.Option("--day", help="finished on this day in China; default: yesterday")
    ] = "",
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """List the places of a day's recordings to which a person may want to listen. They are no score."""
    from speech import shelf

    form_of(form, "text", "json")
    day = day or f"{local(clock.now() - _ALL_DAY):%Y-%m-%d}"
    begin, end = _window(day)

    async def work(engine: AsyncEngine) -> "list[CallHint]":
        await note_look(engine, "recordings phrases", day)
        return await shelf.hints_of(engine, begin, end, _SHOWN)

    found = with_database(work)
    if form == "json":
        rows = [{"call": one.call, **hint_json(one.hint)} for one in found]
        print(json.dumps({"note": NOTE["en"], "hints": rows}, ensure_ascii=False, indent=1))
        return
    print(NOTE[lang])
    for one in found:
        print(f"{one.call}  {_hint(one.hint, lang)}")


def _window(day: str) -> tuple[int, int]:
    try:
        return day_of(day, clock.now())
    except ValueError as error:
        fail(str(error), status=2)


def as_json(found: "CallWords") -> dict[str, object]:
    """A call's words for a program; seconds of the recording."""
    from speech.transcript import lines

    return {
        "call": found.call,
        "note": NOTE["en"],
        "state": found.state.value,
        "why": found.why,
        "at": local(found.at).isoformat(),
        "citizen_rate": round(found.citizen_rate),
        "agent_rate": round(found.agent_rate),
        "hints": [hint_json(hint) for hint in found.hints],
        "talks": [
            {
                "agent": talk.agent,
                "begin": talk.begin / SECOND,
                "end": talk.end / SECOND,
                "lines": [
                    {
                        "side": line.side.value,
                        "begin": line.begin / SECOND,
                        "end": line.end / SECOND,
                        "text": line.text,
                    }
                    for line in lines(talk)
                ],
            }
            for talk in found.talks
        ],
    }


def hint_json(hint: "WordHint") -> dict[str, object]:
    """A hint for a program; seconds of the recording."""
    return {
        "kind": hint.kind.value,
        "agent": hint.agent,
        "phrase": hint.phrase,
        "begin": hint.begin / SECOND,
        "end": hint.end / SECOND,
        "rate": round(hint.rate),
    }


def _lines(found: "CallWords", lang: str) -> Iterator[str]:
    from speech.transcript import lines

    say = _SAY[lang]
    yield NOTE[lang]
    yield say[found.state.value] + (f": {found.why}" if found.why else "")
    if found.agent_rate or found.citizen_rate:
        yield say["rates"].format(_rate(found.agent_rate), _rate(found.citizen_rate))
    for hint in found.hints:
        yield f"▸ {_hint(hint, lang)}"
    for talk in found.talks:
        for line in lines(talk):
            yield f"{_clock(line.begin)} {say[line.side.value]}{line.text}"


def _hint(hint: "WordHint", lang: str) -> str:
    return f"{_clock(hint.begin)} {_SAY[lang]['of'].format(hint.text(lang), hint.agent)}"


def _rate(value: float) -> str:
    return f"{value:.0f}" if value else "-"


def _clock(at: int) -> str:
    minutes, seconds = divmod(at / SECOND, 60)
    return f"{int(minutes):02}:{seconds:04.1f}"


NOTE = {
    "zh": "以下由机器识别，可能有误：仅提示人工复听的位置，不是评分，也不得据此扣分。",
    "en": "A machine heard this and may be wrong: it says where a person may want to listen. It is no score.",
}
"""What stands beside every hint, wherever it is shown."""

_SAY = {
    "zh": {
        "none": "通话 {} 没有转写：录音尚未转写、未加密、已删除，或没有这通电话。",
        "done": "已转写",
        "empty": "没有人工通话",
        "too_long": "录音太长，未转写",
        "failed": "转写失败",
        "rates": "语速（字/分钟）：话务员 {}，市民 {}",
        "of": "{}（话务员 {}）",
        "citizen": "市民：",
        "agent": "话务员：",
    },
    "en": {
        "none": "There is no transcript of call {}: its recording waits, lies plain or was deleted.",
        "done": "transcribed",
        "empty": "nobody talked with an agent",
        "too_long": "the recording is too long and was left out",
        "failed": "it could not be transcribed",
        "rates": "characters a minute: agent {}, citizen {}",
        "of": "{} (agent {})",
        "citizen": "citizen: ",
        "agent": "agent: ",
    },
}
