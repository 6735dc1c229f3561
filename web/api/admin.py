"""Routes for administrators and auditors: accounts, tokens, and who did what."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from base import clock
from web.accounts import accounts, audit
from web.accounts.accounts import AccountError
from web.accounts.rights import OF_ROLE, RIGHTS, Role
from web.api.auth import Me, right
from web.backend import Behind, Problem

router = APIRouter(prefix="/api", tags=["administration"])

Name = Annotated[str, InPath(max_length=32)]
Queues = Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=1000)]


class Account(BaseModel):
    """An account. `agent`: the agent who this is, or empty; times in microseconds, 0 is never.

    `queues`: whose talks it may supervise; empty: all.
    """

    model_config = ConfigDict(from_attributes=True)

    name: str
    role: Role
    agent: str
    added_at: int
    signed_in_at: int
    queues: list[str]


class NewAccount(BaseModel):
    """A new account. `queues`: whose talks it may supervise; empty: all."""

    name: str = Field(max_length=100)
    role: Role
    password: str = Field(max_length=1000)
    agent: str = Field("", max_length=20)
    queues: Queues = []


class Change(BaseModel):
    """The fields of an account to change. `queues`: empty lifts the limit."""

    role: Role | None = None
    agent: str | None = Field(None, max_length=20)
    password: str | None = Field(None, max_length=1000)
    queues: Queues | None = None


class Token(BaseModel):
    """A token. `until`: microseconds, 0 is for ever."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    role: Role
    scopes: list[str]
    added_by: str
    added_at: int
    until: int


class NewToken(BaseModel):
    """A new token: what it is for, what of its role it may do, and for how many days (0: for ever)."""

    name: str = Field(max_length=100)
    role: Role = Role.GUEST
    scopes: list[str] = Field(max_length=50)
    days: float = Field(0, ge=0, le=3660)


class Secret(BaseModel):
    """A new token's secret. It is shown this once."""

    token: str


class Entry(BaseModel):
    """One entry of the audit log: who did what, and `why`. `status`: HTTP's, of the answer. `at` in microseconds."""

    id: int
    at: int
    who: str
    role: str
    address: str
    action: str
    target: str
    status: int
    why: str


class Entries(BaseModel):
    """A page of the audit log, newest first. `next`: the cursor of the next page, or None."""

    entries: list[Entry]
    next: str | None


class Roles(BaseModel):
    """Every right and what it allows, and the rights of each role."""

    rights: dict[str, str]
    roles: dict[Role, list[str]]


# --- accounts


@router.get("/roles", **right("accounts", response_model=Roles))
async def roles() -> Roles:
    """What each role may do."""
    return Roles(rights=dict(RIGHTS), roles={role: sorted(has) for role, has in OF_ROLE.items()})


@router.get("/accounts", **right("accounts", response_model=list[Account]))
async def list_accounts(behind: Behind) -> list[Account]:
    """Every account."""
    return [Account.model_validate(one) for one in await accounts.list_all(behind.engine)]


@router.post("/accounts", **right("accounts", status_code=204))
async def add_account(given: NewAccount, behind: Behind) -> None:
    """Add an account."""
    try:
        await accounts.add(
            *(behind.engine, given.name, given.role, given.password, clock.now()),
            given.agent,
            given.queues,
        )
    except AccountError as error:
        raise Problem(409, str(error)) from None


@router.patch("/accounts/{name}", **right("accounts", status_code=204))
async def change_account(name: Name, given: Change, behind: Behind) -> None:
    """Change an account's role, agent, queues or password. A new password ends its sessions."""
    known = {one.name: one for one in await accounts.list_all(behind.engine)}
    if name not in known:
        raise Problem(404, "there is no such account")
    try:
        if any(one is not None for one in (given.role, given.agent, given.queues)):
            role = given.role or known[name].role
            await accounts.set_role(behind.engine, name, role, given.agent, given.queues)
        if given.password is not None:
            await accounts.set_password(behind.engine, behind.settings, name, given.password)
    except AccountError as error:
        raise Problem(409, str(error)) from None


@router.delete("/accounts/{name}", **right("accounts", status_code=204))
async def remove_account(name: Name, behind: Behind) -> None:
    """Remove an account; its sessions end."""
    if name not in {one.name for one in await accounts.list_all(behind.engine)}:
        raise Problem(404, "there is no such account")
    try:
        await accounts.remove(behind.engine, name)
    except AccountError as error:
        raise Problem(409, str(error)) from None


# --- tokens


@router.get("/tokens", **right("tokens", response_model=list[Token]))
async def list_tokens(behind: Behind) -> list[Token]:
    """Every token, without its secret."""
    return [Token.model_validate(one) for one in await accounts.list_tokens(behind.engine)]


@router.post("/tokens", **right("tokens", status_code=201, response_model=Secret))
async def add_token(given: NewToken, me: Me, behind: Behind) -> Secret:
    """Add a token for a program or a wall screen. Its secret is shown this once."""
    now = clock.now()
    until = now + round(given.days * 86_400_000_000) if given.days else 0
    try:
        secret = await accounts.add_token(
            behind.engine, given.name, given.role, given.scopes, me.name[:32], now, until
        )
    except AccountError as error:
        raise Problem(409, str(error)) from None
    return Secret(token=secret)


@router.delete("/tokens/{name}", **right("tokens", status_code=204))
async def revoke_token(name: Name, behind: Behind) -> None:
    """Revoke a token. Wall screens that signed in with it are signed out."""
    try:
        await accounts.revoke_token(behind.engine, name)
    except AccountError as error:
        raise Problem(404, str(error)) from None


# --- who did what


@router.get("/audit", **right("audit.read", response_model=Entries))
async def read_audit(
    behind: Behind,
    who: Annotated[str, Query(max_length=40)] = "",
    limit: Annotated[int, Query(ge=1, le=audit.MOST)] = 100,
    cursor: Annotated[str, Query(pattern=r"^([0-9]{1,18}\.[0-9]{1,18})?$")] = "",
) -> Entries:
    """Who did what, the newest first: every change, and every look at calls and recordings."""
    before = None
    if cursor:
        at, _, row = cursor.partition(".")
        before = (int(at), int(row))
    if "\0" in who:
        raise Problem(422, "who: a control character")
    rows = await audit.read(behind.engine, who=who, limit=limit, before=before)
    following = f"{rows[-1]['at']}.{rows[-1]['id']}" if len(rows) == limit else None
    return Entries(entries=[Entry(**row) for row in rows], next=following)
