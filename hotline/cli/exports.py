"""`hotline recordings request | requests | approve | refuse`: a second person decides what is exported.

Who asks is a user of the system; anybody at this machine can take another name there. So who decides signs in with an
account and its password.
"""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import local
from hotline.cli.tools import (
    JsonOrText,
    Language,
    form_of,
    note_look,
    operator,
    print_table,
    read_settings,
    with_database,
)
from recorder import exports
from recorder.exports import ExportError, ExportRequest, ExportState

_Number = Annotated[int, typer.Argument(metavar="ID", help="the request's number in the list")]
_Account = Annotated[str, typer.Option("--account", help="who decides: another person's account")]
_FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="read its password from standard input")
]
_RIGHT = "recordings.approve"
_WIDTH = 160


def add_to(app: typer.Typer) -> None:
    """Add these commands to those of `hotline recordings`."""
    app.command("request")(request)
    app.command("requests")(list_requests)
    app.command("approve")(approve)
    app.command("refuse")(refuse)


def request(
    call_id: str, why: Annotated[str, typer.Option("--why", help="what it is needed for")]
) -> None:
    """Ask for the export of a call's recording. Another person approves it; then export it once."""
    settings = read_settings()

    async def work(engine: AsyncEngine) -> ExportRequest:
        made = await exports.ask(engine, settings, call_id, by=operator(), why=why, now=clock.now())
        await note_look(engine, "recordings request", call_id, made.id, why=why)
        return made

    made = with_database(work, ExportError)
    print(f"request {made.id}: to be approved until {_minute(made.until)}")


def list_requests(
    every: Annotated[
        bool, typer.Option("--all", help="also those that are decided, used or expired")
    ] = False,
    form: JsonOrText = "text",
    lang: Language = "zh",
) -> None:
    """List the requests that wait for a decision."""
    form_of(form, "text", "json")
    now = clock.now()

    async def work(engine: AsyncEngine) -> list[ExportRequest]:
        return await exports.requests(engine, now, every=every)

    found = with_database(work)
    if form == "json":
        rows = [asdict(one) | {"state": one.state(now).value} for one in found]
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    elif found:
        print_table([_shown(one, now, lang) for one in found], _WIDTH)
    else:
        print(_WORDS[lang]["none"])


def approve(
    number: _Number,
    account: _Account,
    password_stdin: _FromStdin = False,
    why: Annotated[str, typer.Option("--why", help="a remark")] = "",
) -> None:
    """Approve another person's request: they may export the recording once."""
    made = _decide("approve", number, account, password_stdin, why)
    print(
        f"request {made.id} is approved: {made.by} may export it once until {_minute(made.until)}"
    )


def refuse(
    number: _Number,
    account: _Account,
    why: Annotated[str, typer.Option("--why", help="what whoever asked is told")],
    password_stdin: _FromStdin = False,
) -> None:
    """Refuse another person's request."""
    made = _decide("refuse", number, account, password_stdin, why)
    print(f"request {made.id} is refused")


def _decide(command: str, number: int, account: str, from_stdin: bool, why: str) -> ExportRequest:
    from web.accounts import accounts
    from web.accounts.rights import OF_ROLE

    settings = read_settings()
    password = (
        sys.stdin.readline().rstrip("\r\n")
        if from_stdin
        else typer.prompt(f"password of {account}", hide_input=True, err=True)
    )

    async def work(engine: AsyncEngine) -> ExportRequest:
        if not await accounts.check_password(engine, account, password):
            raise ExportError("the name or the password is wrong")
        role = next(one.role for one in await accounts.list_all(engine) if one.name == account)
        if _RIGHT not in OF_ROLE[role]:
            raise ExportError(f"{account} may not decide: it needs the right {_RIGHT}")
        await note_look(engine, f"recordings {command}", number, why=why, who=account)
        return await exports.decide(
            engine,
            settings,
            number,
            by=account,
            approve=command == "approve",
            why=why,
            now=clock.now(),
        )

    return with_database(work, ExportError)


def _shown(one: ExportRequest, now: int, lang: str) -> dict[str, str]:
    said = _WORDS[lang]
    return {
        said["id"]: str(one.id),
        said["call"]: one.call,
        said["by"]: one.by,
        said["why"]: one.why,
        said["at"]: _minute(one.at),
        said["until"]: _minute(one.until),
        said["state"]: said[one.state(now).value],
        said["decided"]: " ".join(filter(None, (one.decided_by, one.decided_why))),
    }


def _minute(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M}"


_WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "id": "编号",
        "call": "来电编号",
        "by": "申请人",
        "why": "理由",
        "at": "申请时间",
        "until": "有效期至",
        "state": "状态",
        "decided": "审批",
        "none": "没有待审批的导出申请。",
        ExportState.OPEN: "待审批",
        ExportState.APPROVED: "已批准",
        ExportState.REFUSED: "已拒绝",
        ExportState.USED: "已使用",
        ExportState.EXPIRED: "已过期",
    },
    "en": {
        "id": "id",
        "call": "call",
        "by": "who asks",
        "why": "why",
        "at": "at",
        "until": "until",
        "state": "state",
        "decided": "decided by",
        "none": "No request waits for a decision.",
        **{state: state.value for state in ExportState},
    },
}
