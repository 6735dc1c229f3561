"""`hotline web`, `hotline account …` and `hotline token …`: the screens, and who may use them."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock
from facts.times import local
from hotline.cli.tools import (
    JsonOrText,
    fail,
    print_rows,
    read_settings,
    run_forever,
    with_database,
)

app = typer.Typer()
account_app = typer.Typer(help="Who may sign in to the screens and the API.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens of programs and wall screens.", no_args_is_help=True)
app.add_typer(account_app, name="account")
app.add_typer(token_app, name="token")

Role = Annotated[
    str, typer.Option("--role", help="guest, agent, assessor, supervisor, auditor or administrator")
]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", help="supervise the talks of this queue only; repeatable"),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="read the password from standard input")
]


@app.command()
def web() -> None:
    """Run the screens and the API alone."""
    from hotline.machine import processes

    run_forever(processes.web(read_settings()))


# --- accounts


@account_app.command("add")
def account_add(
    name: str,
    role: Role,
    agent: Annotated[str, typer.Option("--agent", help="the agent who this is")] = "",
    queues: Queues = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Add an account."""
    from web.accounts import accounts

    password = _password(password_stdin, f"account add {name}")

    async def work(engine: AsyncEngine) -> None:
        await accounts.add(engine, name, role, password, clock.now(), agent, queues or ())

    with_database(work, accounts.AccountError)
    print(f"account {name} added, {role}")


@account_app.command("list")
def account_list(form: JsonOrText = "text") -> None:
    """List the accounts."""
    from web.accounts import accounts

    rows = [
        {
            "name": one.name,
            "role": one.role.value,
            "agent": one.agent,
            "queues": " ".join(one.queues) or "all queues",
            "added": _minute(one.added_at),
            "signed in": _minute(one.signed_in_at) if one.signed_in_at else "never",
        }
        for one in with_database(accounts.list_all)
    ]
    print_rows(rows, form)


@account_app.command("password")
def account_password(name: str, password_stdin: PasswordStdin = False) -> None:
    """Give an account a new password; its sessions end."""
    from web.accounts import accounts

    password = _password(password_stdin, f"account password {name}")
    settings = read_settings()

    async def work(engine: AsyncEngine) -> None:
        await accounts.set_password(engine, settings, name, password)

    with_database(work, accounts.AccountError)
    print(f"account {name} has a new password")


@account_app.command("role")
def account_role(
    name: str,
    role: Annotated[str, typer.Argument(help="what it is from now on")],
    agent: Annotated[str | None, typer.Option("--agent", help="the agent who this is")] = None,
) -> None:
    """Change what an account may do, at once."""
    from web.accounts import accounts

    async def work(engine: AsyncEngine) -> None:
        await accounts.set_role(engine, name, role, agent)

    with_database(work, accounts.AccountError)
    print(f"account {name} is {role}")


@account_app.command("set")
def account_set(
    name: str,
    queues: Queues = None,
    all_queues: Annotated[bool, typer.Option("--all-queues", help="lift the limit")] = False,
) -> None:
    """Limit whose talks an account may supervise, at once, or lift the limit."""
    from web.accounts import accounts

    if all_queues == bool(queues):
        fail("give --queue once or more, or --all-queues", status=2)

    async def work(engine: AsyncEngine) -> None:
        await accounts.set_queues(engine, name, queues or ())

    with_database(work, accounts.AccountError)
    print(f"account {name} may supervise talks of {', '.join(queues or ['all queues'])}")


@account_app.command("remove")
def account_remove(name: str) -> None:
    """Remove an account; its sessions end."""
    from web.accounts import accounts

    async def work(engine: AsyncEngine) -> None:
        await accounts.remove(engine, name)

    with_database(work, accounts.AccountError)
    print(f"account {name} removed")


# --- tokens


@token_app.command("add")
def token_add(
    name: str,
    scopes: Annotated[
        list[str], typer.Option("--scope", help="what it may do, such as live; repeatable")
    ],
    role: Annotated[str, typer.Option("--role", help="guest sees numbers masked")] = "guest",
    days: Annotated[float, typer.Option("--days", help="how long it holds; 0: for ever")] = 0,
) -> None:
    """Add a token and print it: it is not shown again.

    A wall screen shows http://ADDRESS/?token=TOKEN; a program sends the header `Authorization: Bearer TOKEN`.
    """
    from web.accounts import accounts

    if not 0 <= days <= 3660:
        fail("--days: give 0 to 3660", status=2)

    async def work(engine: AsyncEngine) -> str:
        now = clock.now()
        until = now + round(days * 86_400_000_000) if days else 0
        return await accounts.add_token(engine, name, role, scopes, "command line", now, until)

    print(with_database(work, accounts.AccountError))


@token_app.command("list")
def token_list(form: JsonOrText = "text") -> None:
    """List the tokens, without their secrets."""
    from web.accounts import accounts

    rows = [
        {
            **asdict(one),
            "role": one.role.value,
            "scopes": " ".join(one.scopes),
            "added_at": _minute(one.added_at),
            "until": _minute(one.until) if one.until else "for ever",
        }
        for one in with_database(accounts.list_tokens)
    ]
    print_rows(rows, form)


@token_app.command("revoke")
def token_revoke(name: str) -> None:
    """Revoke a token at once; wall screens that came in by it are signed out."""
    from web.accounts import accounts

    async def work(engine: AsyncEngine) -> None:
        await accounts.revoke_token(engine, name)

    with_database(work, accounts.AccountError)
    print(f"token {name} revoked")


def _password(from_stdin: bool, command: str) -> str:
    if not from_stdin:
        fail(
            f"pass the password on standard input: "
            f"printf %s SECRET | hotline {command} … --password-stdin"
        )
    return sys.stdin.readline().rstrip("\r\n")


def _minute(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M}"
