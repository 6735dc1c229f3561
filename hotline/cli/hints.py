"""`hotline recordings hints`: which calls a person should listen to, and from which second on."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.masking import mask
from facts.times import DAY
from hotline.cli.report import day_of
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    read_settings,
    with_database,
)

if TYPE_CHECKING:
    from metrics.hints import DayOfHints


def add_to(app: typer.Typer) -> None:
    """Add `hints` to the commands of `hotline recordings`."""
    app.command("hints")(hints)


def hints(
    day: Annotated[
        str,
        typer.Option("--day", help="calls of this day in China; the last 24 hours by default"),
    ] = "",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="only this kind; repeatable")
    ] = None,
    agent: Annotated[str, typer.Option("--agent", help="only this agent's talks")] = "",
    call: Annotated[str, typer.Option("--call", help="only this call")] = "",
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """List the calls that a person should listen to, by rule, and from where on. They are hints, never a score."""
    # numpy, and all that reads the diary: other commands do without.
    from metrics import hints as found_hints
    from recorder.hints import HintKind
    from speech.hints import WordHintKind

    form_of(form, "text", "json")
    there: dict[str, found_hints.AnyKind] = {one.value: one for one in (*HintKind, *WordHintKind)}
    for one in kind or ():
        if one not in there:
            fail(f"--kind {one}: there is {', '.join(there)}", status=2)
    if call and day:
        fail("--call names one call: leave out --day", status=2)
    kinds = frozenset(there[one] for one in kind or ())
    wanted = found_hints.HintFilter(kinds, agent, words=True)
    settings, now = read_settings(), clock.now()
    try:
        since, until = day_of(day, now) if day else (now - DAY, now)
    except ValueError as error:
        fail(str(error), status=2)

    async def work(engine: AsyncEngine) -> "DayOfHints":
        await note_look(engine, "recordings hints", *filter(None, [call]), day=day)
        if not call:
            return await found_hints.of_time(engine, settings, since, until, wanted)
        found = await found_hints.of_one(engine, settings, call, wanted)
        if found is None:
            fail(f"there is no call {call[:100]!r}: see all calls with `hotline calls`")
        return found

    found = with_database(work)
    if form == "json":
        json.dump(_as_json(found), sys.stdout, ensure_ascii=False, indent=1)
        print()
    else:
        _print(found, lang)


def _as_json(found: "DayOfHints") -> dict[str, object]:
    return {
        "hints": found.hints,
        "calls": found.calls,
        "waiting": found.waiting,
        "unheard": found.unheard,
    }


def _print(found: "DayOfHints", lang: str) -> None:
    words = _WORDS[lang]
    if found.hints:
        table = Table(box=None, pad_edge=False, header_style="")
        for name in ("call", "arrived", "caller", "agent"):
            table.add_column(words[name], no_wrap=True)
        table.add_column(words["at"], justify="right", no_wrap=True)
        table.add_column(words["hint"])
        for one in found.hints:
            table.add_row(
                one["call"],
                one["arrived"][11:19],
                mask(one["caller"]),
                one["agent"],
                _place(one["at"]),
                one["text_zh"] if lang == "zh" else one["text_en"],
            )
        Console(width=140, highlight=False, markup=False, emoji=False).print(table)
    print(words["counted"].format(hints=len(found.hints), calls=found.calls))
    for name, count in (("waiting", found.waiting), ("unheard", found.unheard)):
        if count:
            print(words[name].format(count))
    if found.hints:
        print(words["no_score"])


def _place(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


_WORDS = {
    "zh": {
        "call": "通话",
        "arrived": "来电时间",
        "caller": "来电人",
        "agent": "话务员",
        "at": "录音位置",
        "hint": "提示",
        "counted": "提示 {hints} 条，有通话的来电 {calls} 通",
        "waiting": "其中 {} 通尚未做语音检测：静默、同时说话和音量的提示稍后才有",
        "unheard": "其中 {} 通的录音无法做语音检测：原因见 recorder.log 中的 recording.unheard",
        "no_score": "提示只说明哪些通话值得人工复听、从何处听起，不是评分。",
    },
    "en": {
        "call": "call",
        "arrived": "arrived",
        "caller": "caller",
        "agent": "agent",
        "at": "at",
        "hint": "hint",
        "counted": "{hints} hints, from {calls} calls with a talk",
        "waiting": (
            "{} of these calls have not been listened to yet: hints about silence, talk-over and "
            "loudness come later"
        ),
        "unheard": (
            "{} of these recordings cannot be listened to: see recording.unheard in recorder.log"
        ),
        "no_score": "Hints say which calls a person should listen to, and from where on. They are no score.",
    },
}
