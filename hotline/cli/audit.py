"""`hotline recordings audit`: is every answered second on record, and is what is not listed with its reason?"""

import json
import sys
from collections import defaultdict
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
    progress_bar,
    read_settings,
    with_database,
)

if TYPE_CHECKING:
    from metrics.completeness import Completeness
    from metrics.window import Metric
    from recorder.audit import AuditFinding

_SHOWN = 200
"""Findings in the text; JSON has all."""


def add_to(app: typer.Typer) -> None:
    """Add `audit` to the commands of `hotline recordings`."""
    app.command("audit")(audit)


def audit(
    day: Annotated[
        str, typer.Option("--day", help="only calls that arrived on this day in China")
    ] = "",
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Compare ledger, files, diary and CEL: every answered second is on record, or listed with the reason.

    Status 0: so it is; 1: something falls short; 2: it could not be looked at.
    """
    # numpy, and all that folds figures: other commands do without.
    from metrics import completeness

    form_of(form, "text", "json")
    words = _WORDS[lang]
    window = None
    if day:
        try:
            window = day_of(day, clock.now())
        except ValueError as error:
            fail(str(error), status=2)
    settings = read_settings()
    if not settings.recordings_dir.is_dir():
        fail(words["no_folder"].format(settings.recordings_dir), status=2)

    async def work(engine: AsyncEngine) -> "Completeness":
        with progress_bar(words["calls_done"]) as progress:
            return await completeness.audit(engine, settings, window, progress)

    found = with_database(work, completeness.AuditError, status=2)
    if form == "json":
        print(json.dumps(_as_json(found, day, words), ensure_ascii=False, indent=1))
    else:
        for line in _lines(found, words):
            print(line)
    sys.exit(found.status)


def _lines(found: "Completeness", words: dict[str, str]) -> Iterator[str]:
    yield words["looked_at"].format(
        calls=found.calls, files=found.files, length=_length(found.duration)
    )
    yield words["m23"].format(_share(found.m23))
    if found.reported != found.m23:
        yield words["reported"].format(_share(found.reported))
    for name in found.unchecked:
        yield words[name]
    if found.unrecorded:
        yield words["unrecorded"]
        lasted: dict[str, int] = defaultdict(int)
        for one in found.unrecorded:
            lasted[one.reason.value] += max(0, one.end - one.begin)
        for reason, count in found.reasons.most_common():
            yield words["reason"].format(
                what=words[reason.value], count=count, length=_length(lasted[reason.value])
            )
    if not found.findings:
        yield words["whole"]
        return
    yield words["falls_short"].format(len(found.findings))
    for finding in found.findings[:_SHOWN]:
        yield f"- {_sentence(finding, words)}"
    if len(found.findings) > _SHOWN:
        yield words["more"].format(len(found.findings) - _SHOWN)


def _sentence(finding: "AuditFinding", words: dict[str, str]) -> str:
    text = words.get(f"{finding.kind.value}_{finding.why}") or words[finding.kind.value]
    return text.format(
        call=finding.call or "-",
        agent=finding.agent or "-",
        at=_time(finding.at),
        seconds=f"{finding.lost / SECOND:.1f}",
        party=words.get(finding.party, ""),
        file=finding.file,
        why=finding.why or "-",
    )


def _as_json(found: "Completeness", day: str, words: dict[str, str]) -> dict[str, object]:
    return {
        "day": day or None,
        "calls": found.calls,
        "files": found.files,
        "seconds": found.duration / SECOND,
        "M23": found.m23.as_json(),
        "M23_reported": found.reported.as_json(),
        "findings": [
            {
                "kind": one.kind.value,
                "call": one.call,
                "agent": one.agent,
                "at": one.at,
                "seconds": one.lost / SECOND,
                "party": one.party,
                "file": one.file,
                "why": one.why,
                "text": _sentence(one, words),
            }
            for one in found.findings
        ],
        "unrecorded": [
            {
                "reason": one.reason.value,
                "call": one.call,
                "agent": one.agent,
                "from": one.begin,
                "until": one.end,
            }
            for one in found.unrecorded
        ],
        "not_checked": found.unchecked,
    }


def _share(metric: "Metric") -> str:
    if not metric.denominator:
        return "–"
    share = 100 * metric.numerator / metric.denominator
    return f"{share:.2f} % ({metric.numerator:g}/{metric.denominator:g})"


def _length(microseconds: int) -> str:
    minutes, seconds = divmod(round(microseconds / SECOND), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _time(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S}" if at else "-"


_WORDS = {
    "zh": {
        "no_folder": "录音目录 {} 不存在：检查磁盘是否已挂载",
        "calls_done": "核对录音",
        "looked_at": "核对通话 {calls} 通，文件 {files} 个，完好录音共 {length}",
        "m23": "录音完整率（M23，按文件核实）：{}",
        "reported": "录音完整率（M23，报表所示）：{}",
        "no_cel": "未核对 CEL：没有 CEL 文件",
        "old_cel": "CEL 只核对了一部分：更早的 CEL 文件已清除",
        "unrecorded": "未录部分，均有原因：",
        "reason": "  {what}：{count} 处，共 {length}",
        "hold": "保持期间的音乐（市民一侧照录）",
        "paused": "话务员暂停录音（录音中为静音）",
        "asked": "*0 的提示语（话务员听不到来电人）",
        "away": "调度程序未运行，或与 Asterisk 失去联系",
        "no_sound": "应答前即挂断，没有声音",
        "waits": "刚结束，录音尚在处理",
        "going_on": "通话尚未结束",
        "deleted": "曾录音，已按规则或注销删除，有删除凭证",
        "whole": "结论：每一秒应答通话均有录音，或已说明原因",
        "falls_short": "结论：不完整，{} 项：",
        "more": "另有 {} 项，见 --format json",
        "caller": "市民",
        "agent": "话务员",
        "missing_no_row": (
            "{call}：{at} 来电，台账没有记录，也没有录音文件（通话 {seconds} 秒）。检查 hotline recorder "
            "是否运行，并在其日志中查找此通话。"
        ),
        "missing_in_spool": (
            "{call}：{at} 来电，原始录音一直未处理。检查 hotline recorder 是否运行，并在其日志中查找此通话。"
        ),
        "missing_file_gone": "{call}：录音文件 {file} 不见了（{seconds} 秒）。检查磁盘是否已挂载，或从备份恢复。",
        "missing_no_sound": (
            "{call}：{at} 来电，话务员 {agent} 已应答，但没有录到声音（{seconds} 秒）。"
            "检查当时的告警与磁盘空间。"
        ),
        "missing": "{call}：没有录音。",
        "short": (
            "{call}：与话务员 {agent} 的通话缺 {seconds} 秒（自 {at}）。检查当时的告警、磁盘空间和 Asterisk "
            "的日志；若备份中的文件更长，请恢复。"
        ),
        "silent_side": (
            "{call}：{at} 起与话务员 {agent} 的通话 {seconds} 秒，{party}一侧始终无声，另一方有声。试听；"
            "若重复出现，检查该话机与 Asterisk 的录音。"
        ),
        "wrong_hash": "{call}：文件 {file} 与台账不符（{why}），已损坏或被改动。从备份恢复，并查明原因。",
        "damaged": "{call}：{at} 来电，录音已损坏：{why}。从备份恢复；没有备份时试听尚存部分。",
        "locked": "{call}：录音文件 {file} 是入账时的文件，但没有主密钥，无法收听：{why}。运行 hotline check。",
        "orphan_file": "文件 {file}（通话 {call}）不在台账中。查明来源：台账记录可能被删除，请从备份核对。",
        "orphan_row": "{call}：台账有记录（文件 {file}），但日志账没有这通来电。日志账可能被删除，请从备份核对。",
        "unexplained": (
            "{call}：录音比通话短 {seconds} 秒（自 {at}），没有已知原因。检查当时的告警和 Asterisk 的日志。"
        ),
        "unexplained_cel": (
            "{call}：Asterisk 的 CEL 显示话务员于 {at} 应答，但日志账没有记录。运行 hotline metrics verify "
            "核对当天。"
        ),
    },
    "en": {
        "no_folder": "the recordings' folder {} is not there: look whether the disk is mounted",
        "calls_done": "recordings",
        "looked_at": "{calls} calls and {files} files looked at; sound as it was entered: {length}",
        "m23": "recorded in full (M23, from the files): {}",
        "reported": "recorded in full (M23, as reports give it): {}",
        "no_cel": "CEL is not checked: there is no CEL file",
        "old_cel": "CEL is checked in part: older CEL files are gone",
        "unrecorded": "Not recorded, and why:",
        "reason": "  {what}: {count}, {length} in all",
        "hold": "the music of a hold (the citizen's side is recorded)",
        "paused": "agents paused the recording: silence in it",
        "asked": "the phrase of *0, when the agent heard nobody",
        "away": "no controller ran, or Asterisk was away from it",
        "no_sound": "hung up before there was any sound",
        "waits": "ended just now, the recording is being finished",
        "going_on": "the call goes on",
        "deleted": "was recorded, and deleted by certificate",
        "whole": "Every answered second is on record, or listed with its reason.",
        "falls_short": "{} things fall short:",
        "more": "{} more: see --format json",
        "caller": "citizen",
        "agent": "agent",
        "missing_no_row": (
            "{call}: arrived {at}, but the ledger has no row, and there is no file ({seconds} s of talk). "
            "Look whether `hotline recorder` runs, and what its log says of this call."
        ),
        "missing_in_spool": (
            "{call}: arrived {at}, and its raw file still waits. Look whether `hotline recorder` runs, and "
            "what its log says of this call."
        ),
        "missing_file_gone": (
            "{call}: the file {file} is gone ({seconds} s). Look whether the disk is mounted, or restore it "
            "from the backup."
        ),
        "missing_no_sound": (
            "{call}: arrived {at}, agent {agent} answered, but no sound was recorded ({seconds} s). Look at "
            "the alarms and the disk of that time."
        ),
        "missing": "{call}: there is no recording.",
        "short": (
            "{call}: {seconds} s of the talk with agent {agent} are missing (from {at}). Look at the "
            "alarms, the disk and Asterisk's log of that time; if the backup has a longer file, restore it."
        ),
        "silent_side": (
            "{call}: in {seconds} s of talk with agent {agent} from {at} the {party} is never heard, though "
            "the other party is. Listen to it; if it happens again, look at that telephone and at "
            "Asterisk's recording."
        ),
        "wrong_hash": (
            "{call}: {file} is not what was entered ({why}): it was damaged or changed. Restore it from the "
            "backup, and find out why."
        ),
        "damaged": (
            "{call}: arrived {at}, its recording is damaged: {why}. Restore it from the backup; without "
            "one, listen to what is left."
        ),
        "locked": (
            "{call}: {file} is the file that was entered, but its master key is away, so it cannot be heard: "
            "{why}. Run `hotline check`."
        ),
        "orphan_file": (
            "{file} (call {call}) is not in the ledger. Find out where it comes from: its row may have been "
            "removed, so look into the backup."
        ),
        "orphan_row": (
            "{call}: the ledger has a row (file {file}), but the diary has no such call. Facts may have "
            "been removed, so look into the backup."
        ),
        "unexplained": (
            "{call}: the recording is {seconds} s shorter than the call (from {at}), for no known reason. "
            "Look at the alarms and Asterisk's log of that time."
        ),
        "unexplained_cel": (
            "{call}: an agent answered at {at} as Asterisk's CEL tells, but the diary does not know of it. "
            "Check that day with `hotline metrics verify`."
        ),
    },
}
