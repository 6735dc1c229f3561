"""`hotline recordings backlog`: what waits for the recorder and for the store, and until when."""

import asyncio
import json
import sys
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from base.settings import Settings
from facts.times import SECOND
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    progress_bar,
    read_settings,
    with_database,
)
from recorder import backlog
from recorder.backlog import WaitingWork, Work, WorkPace

_EVERY = 1.0
"""Seconds between two looks with --follow."""
_LINE_EVERY = 10
"""Looks between two lines, when standard output is no terminal."""


def add_to(app: typer.Typer) -> None:
    """Add `backlog` to the commands of `hotline recordings`."""
    app.command("backlog")(show)


def show(
    follow: Annotated[
        bool, typer.Option("--follow", help="go on until nothing waits, with a progress bar")
    ] = False,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Show how many recordings wait to be finished, for how long, how fast it goes and how long it takes.

    The same for the recordings' store, if there is one.
    """
    form_of(form, "text", "json")
    settings = read_settings()
    words = _WORDS[lang]

    async def work(engine: AsyncEngine) -> None:
        try:
            if follow:
                await _follow(engine, settings, form, words)
            else:
                _print(await backlog.read(engine, settings, clock.now()), form, words)
        except OSError as error:
            fail(words["unreadable"].format(settings.spool_dir, error.strerror or error))

    with_database(work)


async def _follow(
    engine: AsyncEngine, settings: Settings, form: str, words: dict[str, str]
) -> None:
    most = looks = 0
    with progress_bar(words["bar"]) as progress:
        while True:
            found = await backlog.read(engine, settings, clock.now())
            left = sum(waits.files for waits, _ in filter(None, found))
            most = max(most, left)
            progress(most - left, most)
            if not sys.stderr.isatty() and looks % _LINE_EVERY == 0 and left:
                _print(found, form, words)
            if not left:
                _print(found, form, words)
                return
            looks += 1
            await asyncio.sleep(_EVERY)


def _print(found: tuple[Work, Work | None], form: str, words: dict[str, str]) -> None:
    now = clock.now()
    finished, stored = found
    if form == "json":
        store = None
        if stored:
            # What waits for the store is counted, its sound is not measured.
            of_store = _as_json(*stored, now).items()
            store = {name: value for name, value in of_store if "sound" not in name}
        shown = {"at": now, **_as_json(*finished, now), "store": store}
        print(json.dumps(shown), flush=True)
        return
    print(_sentence(*finished, now, "recordings", words), flush=True)
    if stored:
        print(_sentence(*stored, now, "store", words), flush=True)


def _as_json(waits: WaitingWork, pace: WorkPace, now: int) -> dict[str, float | None]:
    left = pace.left(waits)
    return {
        "files": waits.files,
        "sound_seconds": round(waits.sound / SECOND, 1),
        "oldest_seconds": round(waits.age(now), 1),
        "files_per_second": round(pace.files_per_second, 2),
        "sound_per_second": round(pace.sound_per_second, 1),
        "left_seconds": None if left is None else round(left),
    }


def _sentence(
    waits: WaitingWork, pace: WorkPace, now: int, what: str, words: dict[str, str]
) -> str:
    if not waits.files:
        return words[f"{what}_none"]
    left = pace.left(waits)
    known = "going" if left is not None else "standing"
    said = words[what].format(
        files=waits.files, length=_length(waits.sound / SECOND), age=_length(waits.age(now))
    )
    rate = words[f"{what}_{known}"].format(
        files=pace.files_per_second, sound=pace.sound_per_second, left=_length(left or 0)
    )
    return said + rate


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


_WORDS = {
    "zh": {
        "bar": "处理录音",
        "unreadable": "无法读取 {}：{}。检查磁盘是否已挂载",
        "recordings_none": "没有录音等待处理",
        "recordings": "{files} 个录音等待处理，共 {length}，最早的已等待 {age}；",
        "recordings_going": "目前每秒处理 {files:.1f} 个（{sound:.0f} 秒录音），预计还需 {left}",
        "recordings_standing": "最近五分钟没有处理任何录音，请查看 recorder.log 并运行 hotline check",
        "store_none": "没有录音等待存入录音存储",
        "store": "{files} 个录音等待存入录音存储，最早的已等待 {age}；",
        "store_going": "目前每秒存入 {files:.1f} 个，预计还需 {left}",
        "store_standing": "最近五分钟没有存入任何录音，请查看 recorder.log 并运行 hotline check",
    },
    "en": {
        "bar": "recordings",
        "unreadable": "{} cannot be read: {}. Look whether the disk is mounted",
        "recordings_none": "no recording waits to be finished",
        "recordings": "{files} raw files wait to be finished, {length} of sound, the oldest for {age}; ",
        "recordings_going": "{files:.1f} a second are finished ({sound:.0f} s of sound), {left} left",
        "recordings_standing": "none was finished in the last five minutes: see recorder.log, and run `hotline check`",
        "store_none": "no recording waits for its store",
        "store": "{files} recordings wait for their store, the oldest for {age}; ",
        "store_going": "{files:.1f} a second are stored, {left} left",
        "store_standing": "none was stored in the last five minutes: see recorder.log, and run `hotline check`",
    },
}
