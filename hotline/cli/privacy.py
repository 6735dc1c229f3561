"""`hotline privacy`: what is stored about one citizen's number, and its erasure."""

import json
import sys
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules.text import RulesError
from base.settings import Settings
from facts.requests import RulesChanged
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    notify_controller,
    operator,
    read_settings,
    with_database,
)
from privacy import erase as erasing
from privacy import find, shown
from privacy.erase import Erased
from privacy.find import PrivacyError, Traces

app = typer.Typer(help="What is stored about one citizen, and its erasure.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="the citizen's number; - reads it from standard input")]


@app.command("report")
def report(number: Number, form: JsonOrText = "text", lang: Language = "zh") -> None:
    """Show what is stored about a number, who looked at it, and what forbids its erasure."""
    form_of(form, "text", "json")
    settings = read_settings()
    wanted = _number(number)

    async def work(engine: AsyncEngine) -> tuple[Traces, list[str]]:
        return await _look(engine, settings, wanted, "privacy report")

    found, why = with_database(work, PrivacyError)
    if form == "json":
        print(json.dumps(shown.as_json(found, why), ensure_ascii=False, indent=1))
    else:
        print("\n".join(shown.lines(found, why, shown.WORDS[lang])))


@app.command("erase")
def erase(
    number: Number,
    reason: Annotated[
        str, typer.Option("--reason", help="such as the citizen's request and its day")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="erase; without it nothing is changed")
    ] = False,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Erase a number everywhere: recordings, diary, callbacks, rules, CEL and logs. Counts stay as they are.

    Status 1, with --yes: something forbids it, or not all of it was done. The same command goes on with what was begun.
    """
    form_of(form, "text", "json")
    settings = read_settings()
    wanted = _number(number)
    words = shown.WORDS[lang]
    if yes and not reason.strip():
        fail("say why: --reason", status=2)

    async def work(engine: AsyncEngine) -> tuple[Traces, list[str], Erased | None]:
        found, why = await _look(engine, settings, wanted, "privacy erase")
        if why or not yes:
            return found, why, None
        made = await erasing.erase(engine, settings, found, by=operator(), reason=reason.strip())
        return found, why, made

    found, why, made = with_database(work, PrivacyError, RulesError)
    if made is not None:
        notify_controller(RulesChanged())
    if form == "json":
        print(json.dumps(shown.as_json(found, why, made), ensure_ascii=False, indent=1))
    elif made is None:
        print("\n".join(shown.lines(found, why, words)))
        print(words["refused"] if why else words["dry"])
    else:
        print("\n".join(shown.done(made, words)))
    sys.exit(1 if why and yes else 0)


@app.command("clean")
def clean() -> None:
    """Rewrite SQLite's file, so that its free space holds nothing of before. At a quiet hour: nobody else can write."""

    async def work(engine: AsyncEngine) -> None:
        await note_look(engine, "privacy clean")
        await erasing.clean(engine)

    with_database(work)
    print("clean")


def _number(text: str) -> str:
    return sys.stdin.readline().strip() if text == "-" else text


async def _look(
    engine: AsyncEngine, settings: Settings, number: str, command: str
) -> tuple[Traces, list[str]]:
    normal = await find.wanted(engine, settings, number)
    await note_look(engine, command, caller=normal)
    try:
        found = await find.traces(engine, settings, normal)
        return found, await find.forbids(engine, settings, found)
    except OSError as error:
        raise PrivacyError(f"{error.filename} cannot be read: {error.strerror}") from None
