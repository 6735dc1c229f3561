"""What `hotline privacy` shows, in both languages and as JSON; numbers masked."""

from dataclasses import asdict
from typing import Final

from facts.masking import mask
from facts.times import SECOND, local
from privacy.erase import Erased
from privacy.find import Traces

_SHOWN: Final = 50
"""Calls and looks in the text; JSON has all."""


def lines(found: Traces, why: list[str], words: dict[str, str]) -> list[str]:
    """What is stored about a number, and `why` it cannot be erased; `words` are of `WORDS`."""
    kept = len(found.kept)
    said = [
        words["number"].format(mask(found.number)),
        words["calls"].format(len(found.calls)),
        *(f"  {local(at):%Y-%m-%d %H:%M:%S}  {call}" for call, at in found.calls[-_SHOWN:]),
        words["recordings"].format(
            kept=kept, deleted=len([r for r in found.recordings if r.certificate])
        ),
        words["marks"].format(found.marks),
        words["callbacks"].format(len(found.callbacks)),
        *(f"  {task}  {state}" for task, state in found.callbacks[-_SHOWN:]),
        words["assessments"].format(len(found.assessments), found.notes),
        *(f"  {number}  {state}" for number, state in found.assessments[-_SHOWN:]),
        words["facts"].format(found.facts),
        words["rules"].format(flags=found.flags, blocks=found.blocks),
        words["texts"].format(sum(found.texts.values())),
        *(f"  {file}: {times}" for file, times in found.texts.items()),
    ]
    if found.packed:
        said.append(words["packed"].format(", ".join(found.packed)))
    said.append(words["looks"].format(len(found.looks)))
    said += [
        f"  {local(at):%Y-%m-%d %H:%M:%S}  {who}  {action}"
        for at, who, action in found.looks[:_SHOWN]
    ]
    if why:
        said += [words["forbidden"], *(f"- {one}" for one in why)]
    return said


def done(made: Erased, words: dict[str, str]) -> list[str]:
    """What an erasure did."""
    counts = ", ".join(f"{name} {times}" for name, times in sorted(made.counts.items()))
    said = [
        words["erased"].format(token=made.token, counts=counts),
        words["certificate"].format(number=made.certificate, salt=made.salt),
    ]
    if made.remnants:
        said.append(words["remnants"].format(made.remnants))
    return said


def as_json(found: Traces, why: list[str], made: Erased | None = None) -> dict[str, object]:
    """The same as JSON: the number masked, times in microseconds."""
    shown: dict[str, object] = {
        "number": mask(found.number),
        "calls": [{"call": call, "at": at} for call, at in found.calls],
        "recordings": [
            {"call": one.call, "seconds": one.duration / SECOND, "deleted": bool(one.certificate)}
            for one in found.recordings
        ],
        "marks": found.marks,
        "callbacks": [{"id": task, "state": state} for task, state in found.callbacks],
        "assessments": [{"id": number, "state": state} for number, state in found.assessments],
        "notes": found.notes,
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


WORDS: Final = {
    "zh": {
        "number": "号码 {}",
        "calls": "来电与回访呼叫：{} 通",
        "recordings": "录音：{kept} 个，另有 {deleted} 个已删除",
        "marks": "录音标记：{} 条",
        "callbacks": "回访任务：{} 个",
        "assessments": "质检：{} 通，另有 {} 处说明提到该号码",
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
        "marks": "marks in the recordings: {}",
        "callbacks": "callbacks: {}",
        "assessments": "assessments of its calls: {}, and {} notes that name it",
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
"""What is said, by language."""
