"""Accounts, sessions and tokens in the database. Passwords as argon2id, cookies and tokens as SHA-256 only.

All times are microseconds UTC.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import argon2
import structlog
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules.edit import no_queue
from base import clock, files
from base.settings import Settings
from facts.numbers import AGENT_NUMBER
from quality.sample import Assessor
from web.accounts import tables
from web.accounts.rights import OF_ROLE, RIGHTS, SEES_EVERYTHING, Role, granted

log = structlog.get_logger(__name__)
T = TypeVar("T")

SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 200
IDLE: Final = 12 * 3600 * 1_000_000
"""A session ends after this long without a request."""
LONGEST_SESSION: Final = 7 * 86_400 * 1_000_000
"""A person signs in again after this long; a wall screen never needs to."""
LONGEST_UNSEEN: Final = 60 * 86_400 * 1_000_000
"""A wall screen that was off for this long needs its address with the token again."""

FIRST_ACCOUNT: Final = "admin"
WALL_TOKEN: Final = "wall"  # noqa: S105 - its name

OF_WALL: Final = frozenset({"live"})
"""All that a wall screen may see, even if its token may do more. It sees it as a guest."""

_NAME = re.compile(r"[\w.@-]{2,32}")
_SEEN_EVERY = 60 * 1_000_000


class AccountError(Exception):
    """An account or token cannot be made or changed. The message says why, and can be shown as it is."""


@dataclass(frozen=True, slots=True)
class Who:
    """A person, a program or a wall screen that was recognised.

    `name`: the account's, or `token:NAME`. `agent`: an agent's number, or empty. `key`: names the session or token in
    rate limits. `csrf`: what unsafe requests must send back; empty for a token in a header, which no page can forge.
    `queues`: whose talks they may supervise; empty: all.
    """

    name: str
    role: Role
    rights: frozenset[str]
    agent: str = ""
    key: str = ""
    csrf: str = ""
    queues: tuple[str, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether names and numbers are hidden from them."""
        return self.role not in SEES_EVERYTHING

    def acts_for(self, agent: str) -> bool:
        """Whether they may do something in this agent's name: it is they, or they speak for all."""
        return "agents.write" in self.rights or self.agent == agent


@dataclass(frozen=True, slots=True)
class Account:
    """One account, without its password. `queues`: whose talks it may supervise; empty: all."""

    name: str
    role: Role
    agent: str
    added_at: int
    signed_in_at: int
    queues: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """One token, without its secret. `until`: 0 is for ever."""

    name: str
    role: Role
    scopes: tuple[str, ...]
    added_by: str
    added_at: int
    until: int


# --- accounts


async def add(
    engine: AsyncEngine,
    name: str,
    role: str,
    password: str,
    at: int,
    agent: str = "",
    queues: Collection[str] = (),
) -> None:
    """Add an account, limited to `queues` if there are any. Raises `AccountError`."""
    row = {
        "name": _checked_name(name, "an account"),
        "role": checked_role(role).value,
        "agent": _checked_agent(agent),
        "password": await _hash(_checked_password(password)),
        "added_at": at,
        "signed_in_at": 0,
        "queues": await _checked_queues(engine, queues),
    }
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(tables.account).values(row))
    except IntegrityError:
        raise AccountError(f"there is an account {name} already") from None


async def list_all(engine: AsyncEngine) -> list[Account]:
    """Every account, by name."""
    columns = [column for column in tables.account.c if column.name != "password"]
    question = select(*columns).order_by(tables.account.c.name)
    async with engine.connect() as connection:
        rows = (await connection.execute(question)).all()
    return [
        Account(**{**row._asdict(), "role": Role(row.role), "queues": tuple(row.queues)})
        for row in rows
    ]


async def limit_of(engine: AsyncEngine, name: str) -> tuple[str, ...]:
    """The queues whose talks this account may supervise; empty: all, as for a token, which has no limit."""
    question = select(tables.account.c.queues).where(tables.account.c.name == name)
    async with engine.connect() as connection:
        return tuple((await connection.execute(question)).scalar() or ())


async def assessors(engine: AsyncEngine) -> list[Assessor]:
    """The accounts whose role is to assess talks, for a draw."""
    found = await list_all(engine)
    return [Assessor(one.name, one.agent) for one in found if one.role is Role.ASSESSOR]


async def set_password(
    engine: AsyncEngine, settings: Settings, name: str, password: str, keep: str = ""
) -> None:
    """Give an account a new password, and end its sessions but the one named `keep`. Raises `AccountError`."""
    hashed = await _hash(_checked_password(password))
    await _change(engine, name, password=hashed)
    async with engine.begin() as connection:
        await connection.execute(
            delete(tables.session).where(
                tables.session.c.account == name, tables.session.c.hash != keep
            )
        )
    if name == FIRST_ACCOUNT:
        password_file(settings).unlink(missing_ok=True)


async def set_role(
    engine: AsyncEngine,
    name: str,
    role: str,
    agent: str | None = None,
    queues: Collection[str] | None = None,
) -> None:
    """Change an account's role, and agent and queues if given. It holds from the next request on.

    Raises `AccountError`; then nothing is changed.
    """
    kept = checked_role(role)
    values: dict[str, str | list[str]] = {"role": kept.value}
    if agent is not None:
        values["agent"] = _checked_agent(agent)
    if queues is not None:
        values["queues"] = await _checked_queues(engine, queues)
    if kept is not Role.ADMINISTRATOR:
        await _refuse_last_administrator(engine, name)
    await _change(engine, name, **values)


async def set_queues(engine: AsyncEngine, name: str, queues: Collection[str]) -> None:
    """Limit an account to the talks of these queues; without any, it has no limit. Raises `AccountError`."""
    await _change(engine, name, queues=await _checked_queues(engine, queues))


async def remove(engine: AsyncEngine, name: str) -> None:
    """Remove an account; its sessions end. Raises `AccountError`."""
    await _refuse_last_administrator(engine, name)
    async with engine.begin() as connection:
        done = await connection.execute(delete(tables.account).where(tables.account.c.name == name))
    if not done.rowcount:
        raise AccountError(_no_account(name))


async def check_password(engine: AsyncEngine, name: str, password: str) -> bool:
    """Whether this is the account's password. Takes as long for an account that does not exist."""
    question = select(tables.account.c.password).where(tables.account.c.name == name[:32])
    async with engine.connect() as connection:
        hashed = (await connection.execute(question)).scalar()
    right = await _verify(hashed, password[: LONGEST_PASSWORD + 1])
    return right and hashed is not None


async def _change(engine: AsyncEngine, name: str, **values: str | list[str]) -> None:
    async with engine.begin() as connection:
        done = await connection.execute(
            update(tables.account).where(tables.account.c.name == name).values(**values)
        )
    if not done.rowcount:
        raise AccountError(_no_account(name))


async def _refuse_last_administrator(engine: AsyncEngine, name: str) -> None:
    administrators = [one.name for one in await list_all(engine) if one.role is Role.ADMINISTRATOR]
    if administrators == [name]:
        raise AccountError(f"{name} is the last administrator: make somebody else one first")


def _no_account(name: str) -> str:
    return f"there is no account {name[:32]}: `hotline account list` shows those there are"


# --- sessions


async def begin(engine: AsyncEngine, account: str, at: int) -> str:
    """Begin an account's session, and give its cookie."""
    cookie = await _begin(engine, at, account=account)
    async with engine.begin() as connection:
        await connection.execute(
            update(tables.account).where(tables.account.c.name == account).values(signed_in_at=at)
        )
        # Sessions that have run out are deleted whenever somebody signs in: that bounds the table.
        await connection.execute(
            delete(tables.session).where(
                tables.session.c.account.is_not(None),
                or_(
                    tables.session.c.seen_at < at - IDLE,
                    tables.session.c.began_at < at - LONGEST_SESSION,
                ),
            )
        )
    return cookie


async def begin_for_token(engine: AsyncEngine, token: str, at: int) -> str:
    """Begin a wall screen's session, which lasts as long as its token, and give its cookie."""
    return await _begin(engine, at, token=token)


async def _begin(engine: AsyncEngine, at: int, **whose: str) -> str:
    cookie = secrets.token_urlsafe(32)
    forgotten = delete(tables.session).where(tables.session.c.seen_at < at - LONGEST_UNSEEN)
    row = {"hash": digest(cookie), "csrf": secrets.token_urlsafe(32), "began_at": at, "seen_at": at}
    async with engine.begin() as connection:
        await connection.execute(forgotten)
        await connection.execute(insert(tables.session).values(**row, **whose))
    return cookie


async def end(engine: AsyncEngine, cookie_digest: str) -> None:
    """End a session."""
    async with engine.begin() as connection:
        await connection.execute(
            delete(tables.session).where(tables.session.c.hash == cookie_digest)
        )


async def by_cookie(engine: AsyncEngine, cookie: str, now: int) -> Who | None:
    """Who has this session, or None when there is no such session or it is over."""
    hashed = digest(cookie)
    async with engine.connect() as connection:
        row = (await connection.execute(_SESSIONS.where(tables.session.c.hash == hashed))).first()
    if row is None:
        return None
    who = _of_session(row, now)
    if who is None and row.token is None:
        await end(engine, hashed)
    elif row.seen_at < now - _SEEN_EVERY:
        await _seen(engine, [hashed], now)
    return who


async def by_keys(engine: AsyncEngine, keys: Collection[str], now: int) -> dict[str, Who]:
    """Who has these sessions and tokens now, by `Who.key`; without those that are over.

    Two questions for hundreds of keys. It reads only, so a database that is locked for writing does not matter.
    """
    found: dict[str, Who] = {}
    for some in _batched(keys):
        of_tokens = select(tables.token).where(tables.token.c.hash.in_(some))
        async with engine.connect() as connection:
            sessions = (
                await connection.execute(_SESSIONS.where(tables.session.c.hash.in_(some)))
            ).all()
            tokens = (await connection.execute(of_tokens)).all()
        of_some = {row.hash: _of_session(row, now) for row in sessions} | {
            row.hash: _of_token(row.name, row.role, row.scopes, row.until, now, row.hash)
            for row in tokens
        }
        found |= {key: who for key, who in of_some.items() if who is not None}
    return found


async def stay(engine: AsyncEngine, keys: Collection[str], now: int) -> None:
    """Count as a request of these sessions, once a minute: a reader with an open stream is there."""
    for some in _batched(keys):
        await _seen(engine, some, now)


_SESSIONS: Final = (
    select(
        tables.session.c.hash,
        tables.session.c.began_at,
        tables.session.c.seen_at,
        tables.session.c.csrf,
        tables.account.c.name,
        tables.account.c.role,
        tables.account.c.agent,
        tables.account.c.queues,
        tables.token.c.name.label("token"),
        tables.token.c.role.label("token_role"),
        tables.token.c.scopes,
        tables.token.c.until,
    )
    .select_from(tables.session)
    .outerjoin(tables.account, tables.session.c.account == tables.account.c.name)
    .outerjoin(tables.token, tables.session.c.token == tables.token.c.name)
)
_KEYS_AT_ONCE: Final = 500


def _of_session(row: Any, now: int) -> Who | None:
    if row.token is not None:
        who = _of_token(row.token, row.token_role, row.scopes, row.until, now, row.hash)
        if who is None:
            return None
        # Whoever reads a wall's address has its token, so its session is a guest's.
        return replace(who, role=Role.GUEST, rights=who.rights & OF_WALL, csrf=row.csrf)
    if row.seen_at < now - IDLE or row.began_at < now - LONGEST_SESSION:
        return None
    role = Role(row.role)
    rights, queues = OF_ROLE[role], tuple(row.queues)
    return Who(row.name, role, rights, row.agent, row.hash, row.csrf, queues)


def _batched(keys: Collection[str]) -> Iterator[list[str]]:
    every = list(keys)
    return (every[start : start + _KEYS_AT_ONCE] for start in range(0, len(every), _KEYS_AT_ONCE))


async def _seen(engine: AsyncEngine, sessions: Collection[str], now: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            update(tables.session)
            .where(
                tables.session.c.hash.in_(sessions), tables.session.c.seen_at < now - _SEEN_EVERY
            )
            .values(seen_at=now)
        )


# --- tokens


async def add_token(
    engine: AsyncEngine,
    name: str,
    role: str,
    scopes: Collection[str],
    added_by: str,
    at: int,
    until: int = 0,
) -> str:
    """Add a token and give its secret, which is known only now. Raises `AccountError`."""
    of_role = OF_ROLE[checked_role(role)]
    for scope in scopes:
        if scope not in RIGHTS:
            raise AccountError(f"there is no scope {scope[:40]}: there is {', '.join(RIGHTS)}")
        if scope not in of_role:
            raise AccountError(f"{scope} is not for the role {role}")
    if not scopes:
        raise AccountError(f"a token needs a scope: {', '.join(sorted(of_role))}")
    if until and until <= at:
        raise AccountError("the end of the token has passed already")
    secret = "hl_" + secrets.token_urlsafe(32)
    row = {
        "name": _checked_name(name, "a token"),
        "hash": digest(secret),
        "role": role,
        "scopes": sorted(set(scopes)),
        "added_by": added_by,
        "added_at": at,
        "until": until,
    }
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(tables.token).values(row))
    except IntegrityError:
        raise AccountError(f"there is a token {name} already") from None
    return secret


async def list_tokens(engine: AsyncEngine) -> list[Token]:
    """Every token, by name."""
    columns = [column for column in tables.token.c if column.name != "hash"]
    async with engine.connect() as connection:
        rows = (await connection.execute(select(*columns).order_by(tables.token.c.name))).all()
    return [
        Token(**{**row._asdict(), "role": Role(row.role), "scopes": tuple(row.scopes)})
        for row in rows
    ]


async def revoke_token(engine: AsyncEngine, name: str) -> None:
    """Remove a token; wall screens that came in by it are signed out. Raises `AccountError`."""
    async with engine.begin() as connection:
        done = await connection.execute(delete(tables.token).where(tables.token.c.name == name))
    if not done.rowcount:
        raise AccountError(
            f"there is no token {name[:32]}: `hotline token list` shows those there are"
        )


async def by_token(engine: AsyncEngine, secret: str, now: int) -> Who | None:
    """Who has this token, or None when there is no such token or it has run out."""
    hashed = digest(secret)
    async with engine.connect() as connection:
        row = (
            await connection.execute(select(tables.token).where(tables.token.c.hash == hashed))
        ).first()
    if row is None:
        return None
    return _of_token(row.name, row.role, row.scopes, row.until, now, hashed)


def _of_token(
    name: str, role: str, scopes: Sequence[str], until: int, now: int, key: str
) -> Who | None:
    if until and until <= now:
        return None
    return Who(f"token:{name}", Role(role), granted(Role(role), scopes), key=key)


# --- the first start


async def first_start(engine: AsyncEngine, settings: Settings) -> None:
    """Make sure that sign-in is possible: add an administrator and a wall screen's token, with secrets in files.

    Does nothing when there is an account, or a token, already.
    """
    now = clock.now()
    if not await list_all(engine):
        password = secrets.token_urlsafe(12)
        try:
            await add(engine, FIRST_ACCOUNT, Role.ADMINISTRATOR, password, now)
        except AccountError:
            return  # another process has just done it
        _keep(password_file(settings), password)
        log.info("account.first", account=FIRST_ACCOUNT, password_in=str(password_file(settings)))
    if WALL_TOKEN not in {one.name for one in await list_tokens(engine)}:
        try:
            made = await add_token(engine, WALL_TOKEN, Role.GUEST, ["live"], FIRST_ACCOUNT, now)
        except AccountError:
            return
        _keep(token_file(settings), made)


def password_file(settings: Settings) -> Path:
    """Where the first administrator's password lies until it is changed, mode 0600."""
    return settings.secrets_dir / "web-admin-password"


def token_file(settings: Settings) -> Path:
    """Where the first wall screen's token lies, mode 0600."""
    return settings.secrets_dir / "web-wall-token"


def _keep(file: Path, secret: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.put(file, f"{secret}\n".encode(), 0o600)


# --- what is typed, and hashes


def checked_role(role: str) -> Role:
    """The role of that name. Raises `AccountError`."""
    try:
        return Role(role)
    except ValueError:
        raise AccountError(f"there is no role {role[:20]}: there is {', '.join(Role)}") from None


def digest(secret: str) -> str:
    """The digest that is stored of a random secret. SHA-256 is enough: a random number cannot be guessed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _checked_name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise AccountError(
            f"{name[:40]!r} cannot be the name of {what}: write 2 to 32 letters, digits, . _ @ or -"
        )
    return name


def _checked_agent(agent: str) -> str:
    if agent and not AGENT_NUMBER.fullmatch(agent):
        raise AccountError(f"{agent[:20]!r} is no agent's number: write 2 to 8 digits, or nothing")
    return agent


async def _checked_queues(engine: AsyncEngine, queues: Collection[str]) -> list[str]:
    if not queues:
        return []
    book = await rulebook.read(engine)
    for name in queues:
        if name not in book.queues:
            raise AccountError(no_queue(name[:32], book))
    return sorted(set(queues))


def _checked_password(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise AccountError(
            f"the password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
        )
    return password


_hasher = argon2.PasswordHasher()
_pool = ThreadPoolExecutor(2, "argon2")
"""Two checks at a time: each takes 64 MiB and a tenth of a second of CPU."""


@cache
def _nobody() -> str:
    """The hash with which a password is compared when there is no such account, so that it takes as long."""
    return _hasher.hash(secrets.token_urlsafe(12))


async def _hash(password: str) -> str:
    return await _in_pool(_hasher.hash, password.encode("utf-8", "replace"))


async def _verify(hashed: str | None, password: str) -> bool:
    def verify() -> bool:
        try:
            return _hasher.verify(hashed or _nobody(), password.encode("utf-8", "replace"))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHash):
            return False

    return await _in_pool(verify)


async def _in_pool(work: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_pool, work, *args)
