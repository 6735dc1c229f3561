"""`hotline recordings retention | hold | release | holds`: how long recordings are kept, and what keeps one longer."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import SECOND, local
from hotline.cli.tools import (
    JsonOrText,
    Language,
    fail,
    form_of,
    note_look,
    operator,
    read_settings,
    with_database,
)
from recorder import deletion
from recorder.deletion import HoldError, RetentionConfirmation
from recorder.retention import RetentionError, RetentionPolicy

if TYPE_CHECKING:
    from metrics.due import Kept, Survey
    from recorder.deletion import Deleted

_SHOWN = 20
"""Recordings that were not deleted, in the text; the log has all."""


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of `hotline recordings`."""
    app.command("retention")(retention)
    app.command("hold")(hold)
    app.command("release")(release)
    app.command("holds")(list_holds)


def retention(
    confirm: Annotated[
        bool,
        typer.Option("--confirm", help="confirm the rules: from then on they are applied daily"),
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="delete now what is due; without it nothing is deleted")
    ] = False,
    at_most: Annotated[
        int | None,
        typer.Option("--at-most", help="with --delete: so many recordings at most", min=1),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only show what is due (the default)")
    ] = False,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """Show which rule keeps how many recordings and what is due; confirm the rules; delete what is due.

    Status 1: something that is due was not deleted.
    """
    # All that folds calls: other commands do without.
    from metrics import due

    form_of(form, "text", "json")
    if dry_run and delete:
        fail("--dry-run deletes nothing: give one of --dry-run and --delete", status=2)
    if at_most is not None and not delete:
        fail("--at-most goes with --delete", status=2)
    settings = read_settings()
    words = _WORDS[lang]

    async def work(
        engine: AsyncEngine,
    ) -> tuple["Survey", RetentionPolicy, RetentionConfirmation | None, "Deleted | None"]:
        policy = deletion.policy_of(settings)
        if confirm:
            await note_look(engine, "recordings retention --confirm", policy.digest[:16])
            await deletion.confirm(engine, policy, operator(), clock.now())
        done = None
        if delete:
            await note_look(engine, "recordings retention --delete")
            now = clock.now()
            await deletion.resume(engine, settings)
            _, done = await due.delete_due(engine, settings, now, by=operator(), most=at_most)
        found = await due.survey(engine, policy, clock.now())
        return found, policy, await deletion.confirmed(engine), done

    found, policy, last, done = with_database(work, RetentionError)
    if form == "json":
        print(json.dumps(_as_json(found, policy, last, done), ensure_ascii=False, indent=1))
    else:
        for line in _lines(found, policy, last, done, words):
            print(line)
    raise typer.Exit(1 if done is not None and done.kept else 0)


def hold(
    call_id: str,
    reason: Annotated[str, typer.Option("--reason", help="why it must be kept")],
    reference: Annotated[
        str,
        typer.Option("--reference", help="the matter, such as the number of a case or work order"),
    ] = "",
    until: Annotated[
        str,
        typer.Option("--until", help="its last day, such as 2027-06-30; default: until released"),
    ] = "",
) -> None:
    """Keep a call's recording, whatever the rules say and whoever asks to erase it."""
    try:
        until = date.fromisoformat(until).isoformat() if until else ""
    except ValueError:
        fail(f"--until {until!r}: write a day, such as 2027-06-30", status=2)

    async def work(engine: AsyncEngine) -> None:
        await deletion.hold(
            engine,
            call_id,
            reason=reason,
            reference=reference,
            until=until,
            by=operator(),
            now=clock.now(),
        )
        await note_look(engine, "recordings hold", call_id)

    with_database(work, HoldError)
    print(f"held: {call_id}" + (f" until {until}" if until else ""))


def release(
    call_id: str, reason: Annotated[str, typer.Option("--reason", help="why it need not be kept")]
) -> None:
    """Release the holds of a call's recording: from now on the rules decide again."""

    async def work(engine: AsyncEngine) -> int:
        count = await deletion.release(engine, call_id, why=reason, by=operator(), now=clock.now())
        await note_look(engine, "recordings release", call_id)
        return count

    count = with_database(work, HoldError)
    print(f"released: {call_id} ({count})")


def list_holds(form: JsonOrText = "text") -> None:
    """List the holds that are in force."""
    form_of(form, "text", "json")

    async def work(engine: AsyncEngine) -> list[dict[str, object]]:
        found = await deletion.holds(engine, clock.now())
        return [asdict(one) for one in found.values()]

    rows = with_database(work)
    if form == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for row in rows:
        until = row["until"] or "-"
        print(f"{row['call']}  {until}  {row['reference'] or '-'}  {row['reason']}  ({row['by']})")


# --- what is shown


def _lines(
    found: "Survey",
    policy: RetentionPolicy,
    last: RetentionConfirmation | None,
    done: "Deleted | None",
    words: dict[str, str],
) -> Iterator[str]:
    for kept in found.rules.values():
        yield words["rule"].format(name=kept.rule, days=kept.days)
        yield words["kept"].format(
            calls=kept.calls,
            hours=kept.duration / SECOND / 3600,
            megabytes=kept.size / 1e6,
            oldest=_day(kept.oldest),
            newest=_day(kept.newest),
        )
        yield words["due"].format(
            due=kept.due - kept.held,
            megabytes=kept.due_size / 1e6,
            held=kept.held,
            next=_day(kept.next_at),
        )
    if done is not None:
        yield words["deleted"].format(done=len(done.done), kept=len(done.kept))
        for call, why in done.kept[:_SHOWN]:
            yield f"- {call}: {why}"
    else:
        yield words["nothing"]
    if last is not None and last.digest == policy.digest:
        yield words["confirmed"].format(by=last.by, at=f"{local(last.at):%Y-%m-%d %H:%M}")
    else:
        yield words["unconfirmed" if last is None else "changed"]


def _as_json(
    found: "Survey",
    policy: RetentionPolicy,
    last: RetentionConfirmation | None,
    done: "Deleted | None",
) -> dict[str, object]:
    return {
        "rules": [_rule_json(kept, policy) for kept in found.rules.values()],
        "recordings": found.recordings,
        "due": len(found.doomed),
        "digest": policy.digest,
        "confirmed": last is not None and last.digest == policy.digest,
        "confirmed_by": last.by if last is not None else None,
        "deleted": None if done is None else len(done.done),
        "not_deleted": []
        if done is None
        else [{"call": call, "why": why} for call, why in done.kept],
    }


def _rule_json(kept: "Kept", policy: RetentionPolicy) -> dict[str, object]:
    rule = next((one for one in policy.rules if one.name == kept.rule), None)
    about = {"queues": rule.queues, "outcomes": rule.outcomes} if rule else {}
    return asdict(kept) | {"duration": kept.duration / SECOND} | about


def _day(at: int) -> str:
    return f"{local(at):%Y-%m-%d}" if at else "-"


_WORDS = {
    "zh": {
        "rule": "规则 {name}：保存 {days} 天",
        "kept": "  录音 {calls} 个，{hours:.1f} 小时，{megabytes:.1f} MB，最早 {oldest}，最晚 {newest}",
        "due": "  到期 {due} 个（{megabytes:.1f} MB），另有 {held} 个被保全；下一批到期日 {next}",
        "nothing": "以上为试算，没有删除任何录音。",
        "deleted": "已删除 {done} 个，每个都有删除凭证；未删除 {kept} 个。",
        "confirmed": "规则已由 {by} 于 {at} 确认，每天 02:00 后自动执行。",
        "unconfirmed": "规则尚未确认，不会删除任何录音：核对无误后运行 hotline recordings retention --confirm",
        "changed": "规则在确认之后有改动，不会删除任何录音：核对无误后再运行 hotline recordings retention --confirm",
    },
    "en": {
        "rule": "rule {name}: kept for {days} days",
        "kept": (
            "  {calls} recordings, {hours:.1f} hours, {megabytes:.1f} MB, the oldest of {oldest}, the newest of "
            "{newest}"
        ),
        "due": "  due: {due} ({megabytes:.1f} MB), and {held} under a hold; the next ones on {next}",
        "nothing": "This was a dry run: nothing was deleted.",
        "deleted": "{done} deleted, each with its certificate; {kept} not deleted.",
        "confirmed": "The rules were confirmed by {by} on {at}. They are applied each day after 02:00.",
        "unconfirmed": (
            "The rules are not confirmed, so nothing is deleted. If they are right: hotline recordings retention "
            "--confirm"
        ),
        "changed": (
            "The rules have changed since they were confirmed, so nothing is deleted. If they are right: hotline "
            "recordings retention --confirm"
        ),
    },
}
