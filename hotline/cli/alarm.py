"""`hotline alarm`: what is wrong now, what was, who has seen it, and whether messages arrive."""

import getpass
import sys
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from alarms import watch as alarms
from alarms.rules import Alarm
from base import clock, notify
from base.settings import Settings, SettingsError
from facts.requests import AcknowledgeAlarm
from facts.times import local
from hotline.cli.tools import (
    JsonOrText,
    Language,
    ask_controller,
    fail,
    form_of,
    print_rows,
    read_settings,
    run,
    with_database,
)

app = typer.Typer(help="What needs a person.", no_args_is_help=True)


@app.command("list")
def list_(
    hours: Annotated[
        float, typer.Option("--hours", help="also those of the last so many hours that are over")
    ] = 0,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """List the alarms that are raised, and when they were raised, seen and cleared."""
    form_of(form, "text", "json")
    if lang not in ("zh", "en"):
        fail(f"--lang {lang}: there is zh, en", status=2)

    async def work(engine: AsyncEngine) -> list[Alarm]:
        since = clock.now() - round(hours * 3_600_000_000) if hours else None
        return await alarms.read(engine, since)

    found = with_database(work)
    if form == "json":
        print_rows([_as_json(alarm) for alarm in found], form)
        return
    for alarm in found:
        print(_line(alarm, lang))
    if not found:
        print("没有告警" if lang == "zh" else "no alarms")


@app.command("ack")
def ack(
    alarm: Annotated[str, typer.Argument(help="its id, or the rule's name when one is raised")],
    by: Annotated[str, typer.Option("--by", help="who has seen it; you by default")] = "",
) -> None:
    """Acknowledge an open alarm."""
    ask_controller(AcknowledgeAlarm(alarm, by or getpass.getuser()))


@app.command("test")
def test() -> None:
    """Send a message to every address of the settings, now. Status 1 when one did not take it."""
    settings = read_settings()
    urls = _urls(settings)
    try:
        alarms.rules(settings)
    except SettingsError as error:
        fail(str(error))
    if not urls:
        fail("there is no address: set HOTLINE_ALARM_URLS (or alarm_urls in hotline.toml)")

    async def work() -> int:
        bad = 0
        for url in urls:
            error = await notify.send(
                url,
                "[测试 TEST] Hotline",
                "告警通道测试\nThis is a test of the alarms' way.",
                kind="info",
            )
            print(f"{'✗' if error else '✓'}  {notify.label(url)}{': ' if error else ''}{error}")
            bad += bool(error)
        return bad

    sys.exit(1 if run(work()) else 0)


def _urls(settings: Settings) -> list[str]:
    urls = (*settings.alarm_urls, *settings.escalation_urls)
    return list(dict.fromkeys(url.get_secret_value() for url in urls))


def _as_json(alarm: Alarm) -> dict[str, Any]:
    return {**alarm.as_json(), "cleared_at": alarm.cleared_at or None}


_WORDS = {"zh": ("已确认", "已恢复"), "en": ("seen by", "over")}


def _line(alarm: Alarm, lang: str) -> str:
    """`9e1a41  critical  11-22 08:21:22  <what>  (seen by 王芳 08:21:25, over 08:25:00)`."""
    seen, over = _WORDS[lang]
    more = []
    if alarm.acknowledged_at:
        more.append(f"{seen} {alarm.acknowledged_by} {_time(alarm.acknowledged_at)}")
    if alarm.cleared_at:
        more.append(f"{over} {_time(alarm.cleared_at)}")
    line = f"{alarm.id}  {alarm.severity.value:<8}  {_time(alarm.raised_at)}  {alarm.text(lang)}"
    return f"{line}  ({', '.join(more)})" if more else line


def _time(at: int) -> str:
    return local(at).strftime("%m-%d %H:%M:%S")
