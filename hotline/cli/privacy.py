"""`hotline privacy`: what is stored about one citizen's number, and its erasure."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules.text import RulesError
from base.settings import Settings
from facts.masking import mask
from facts.requests import RulesChanged
from facts.times import local
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
from hotline.privacy import erase as erasing
from hotline.privacy import find
from hotline.privacy.erase import Erased
from hotline.privacy.find import PrivacyError, Traces

app = typer.Typer(help="What is stored about one citizen, and its erasure.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="the citizen's number; - reads it from standard input")]
_SHOWN = 50
"""Calls and looks in the text; JSON has all."""


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
        print(json.dumps(_as_json(found, why), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(found, why, _WORDS[lang])))


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

    Status 1: something forbids it, or not all of it was done. The same command goes on with what was begun.
    """
    form_of(form, "text", "json")
    settings = read_settings()
    wanted = _number(number)
    words = _WORDS[lang]
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
        print(json.dumps(_as_json(found, why, made), ensure_ascii=False, indent=1))
    elif made is None:
        print("\n".join(_lines(found, why, words)))
        print(words["refused"] if why else words["dry"])
    else:
        print("\n".join(_done(made, words)))
    sys.exit(1 if why else 0)


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


# --- what is shown


def _lines(found: Traces, why: list[str], words: dict[str, str]) -> list[str]:
    kept = len(found.kept)
    lines = [
        words["number"].format(mask(found.number)),
        words["calls"].format(len(found.calls)),
        *(f"  {local(at):%Y-%m-%d %H:%M:%S}  {call}" for call, at in found.calls[-_SHOWN:]),
        words["recordings"].format(
            kept=kept, deleted=len([r for r in found.recordings if r.certificate])
        ),
        words["callbacks"].format(len(found.callbacks)),
        *(f"  {task}  {state}" for task, state in found.callbacks[-_SHOWN:]),
        words["facts"].format(found.facts),
        words["rules"].format(flags=found.flags, blocks=found.blocks),
        words["texts"].format(sum(found.texts.values())),
        *(f"  {file}: {times}" for file, times in found.texts.items()),
    ]
    if found.packed:
        lines.append(words["packed"].format(", ".join(found.packed)))
    lines.append(words["looks"].format(len(found.looks)))
    lines += [
        f"  {local(at):%Y-%m-%d %H:%M:%S}  {who}  {action}"
        for at, who, action in found.looks[:_SHOWN]
    ]
    if why:
        lines += [words["forbidden"], *(f"- {one}" for one in why)]
    return lines


def _done(made: Erased, words: dict[str, str]) -> list[str]:
    counts = ", ".join(f"{name} {times}" for name, times in sorted(made.counts.items()))
    lines = [
        words["erased"].format(token=made.token, counts=counts),
        words["certificate"].format(number=made.certificate, salt=made.salt),
    ]
    if made.remnants:
        lines.append(words["remnants"].format(made.remnants))
    return lines


def _as_json(found: Traces, why: list[str], made: Erased | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "number": mask(found.number),
        "calls": [{"call": call, "at": at} for call, at in found.calls],
        "recordings": [
            {"call": one.call, "seconds": one.duration / 1e6, "deleted": bool(one.certificate)}
            for one in found.recordings
        ],
        "callbacks": [{"id": task, "state": state} for task, state in found.callbacks],
        "facts": found.facts,
        "flags": found.flags,
        "blocks": found.blocks,
        "texts": found.texts,
        "not_looked_into": found.packed,
        "looks": [{"at": at, "who": who, "action": action} for at, who, action in found.looks],
        "forbidden": why,
    }
    if made is not None:
        shown["erased"] = asdict(made) | {"token": made.token}
    return shown


_WORDS = {
    "zh": {
        "number": "号码 {}",
        "calls": "来电与回访呼叫：{} 通",
        "recordings": "录音：{kept} 个，另有 {deleted} 个已删除",
        "callbacks": "回访任务：{} 个",
        "facts": "日志账：{} 条",
        "rules": "来电标记 {flags} 个，黑名单 {blocks} 条",
        "texts": "日志与 CEL 文件：{} 处",
        "packed": "未查看压缩文件：{}",
        "looks": "查看过这些通话和回访的人：{} 次",
        "forbidden": "目前不能注销：",
        "refused": "没有改动任何内容。",
        "dry": "没有改动任何内容：确认注销请加 --yes --reason 原因",
        "erased": "已注销，以 {token} 代替：{counts}",
        "certificate": "注销凭证为存证第 {number} 号。交给市民的凭据（本机不再保存）：{salt}",
        "remnants": "数据库文件的空闲空间中还残留 {} 处：请在业务量小时运行 hotline privacy clean",
    },
    "en": {
        "number": "number {}",
        "calls": "calls and attempts of callbacks: {}",
        "recordings": "recordings: {kept}, and {deleted} that were deleted",
        "callbacks": "callbacks: {}",
        "facts": "rows of the diary: {}",
        "rules": "flags {flags}, blocks {blocks}",
        "texts": "in logs and CEL: {}",
        "packed": "compressed files that nobody looked into: {}",
        "looks": "looks at these calls and callbacks: {}",
        "forbidden": "It cannot be erased now:",
        "refused": "Nothing was changed.",
        "dry": "Nothing was changed: to erase it add --yes --reason WHY",
        "erased": "Erased, {token} stands for it: {counts}",
        "certificate": (
            "The certificate is number {number} of the evidence. The citizen's receipt, kept nowhere else: {salt}"
        ),
        "remnants": (
            "It still lies in free space of the database's file, {} times: hotline privacy clean, at a quiet hour"
        ),
    },
}
