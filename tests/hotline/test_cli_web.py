"""`hotline account …` and `hotline token …`: what is typed, what is said, what holds afterwards."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import argon2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from base import clock, database
from hotline.cli import main as cli
from web.accounts import accounts

PASSWORD = "a good password"
T = TypeVar("T")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_CONFIG", str(tmp_path / "none.toml"))
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64)
    monkeypatch.setattr(accounts, "_hasher", hasher)
    return tmp_path


def _run(*words: str, stdin: str = "", status: int = 0) -> str:
    done = CliRunner().invoke(cli.app, list(words), input=stdin)
    assert done.exit_code == status, done.output
    return done.output


def _ask(home: Path, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
    async def run() -> T:
        engine = database.engine(f"sqlite+aiosqlite:///{home / 'hotline.db'}")
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def test_an_account_from_its_first_day_to_its_last(home: Path) -> None:
    _run("account", "add", "wang", "--role", "supervisor", "--password-stdin", stdin=PASSWORD)
    assert _ask(home, lambda engine: accounts.check_password(engine, "wang", PASSWORD))
    assert "wang" in _run("account", "list")
    assert PASSWORD not in _run("account", "list", "--format", "json")
    _run("account", "password", "wang", "--password-stdin", stdin="another password\n")
    assert _ask(home, lambda engine: accounts.check_password(engine, "wang", "another password"))
    _run("account", "role", "wang", "agent", "--agent", "1001")
    (one,) = _ask(home, accounts.list_all)
    assert (one.role.value, one.agent) == ("agent", "1001")
    assert '"queues": "all queues"' in _run("account", "list", "--format", "json")
    _run("account", "remove", "wang")
    assert _ask(home, accounts.list_all) == []


def test_an_account_may_be_limited_to_queues(home: Path) -> None:
    for queue in ("tax", "police"):
        _run("queue", "set", queue, "priority=1")
    new = ("account", "add", "wang", "--role", "supervisor", "--password-stdin")
    _run(*new, "--queue", "tax", "--queue", "police", stdin=PASSWORD)
    assert '"queues": "police tax"' in _run("account", "list", "--format", "json")
    assert "talks of tax\n" in _run("account", "set", "wang", "--queue", "tax")
    _run("account", "role", "wang", "administrator")
    assert _ask(home, lambda engine: accounts.limit_of(engine, "wang")) == ("tax",)
    assert "talks of all queues\n" in _run("account", "set", "wang", "--all-queues")
    assert _ask(home, lambda engine: accounts.limit_of(engine, "wang")) == ()
    for words in ((), ("--queue", "tax", "--all-queues")):
        assert "--all-queues" in _run("account", "set", "wang", *words, status=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("account", "add", "wang", "--role", "king", "--password-stdin"), "no role king"),
        (("account", "add", "wang", "--role", "guest"), "--password-stdin"),
        (("account", "password", "li", "--password-stdin"), "no account li"),
        (("account", "remove", "li"), "no account li"),
        (("account", "set", "li", "--all-queues"), "no account li"),
        (("account", "set", "li", "--queue", "tax"), "no queue tax: there is default"),
        (
            ("account", "add", "li", "--role", "guest", "--queue", "tax", "--password-stdin"),
            "there is no queue tax: there is default",
        ),
        (("token", "revoke", "x1"), "no token x1"),
        (("token", "add", "x1", "--scope", "fly"), "no scope fly"),
        (("token", "add", "x1", "--scope", "agents.write"), "not for the role guest"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    home: Path, words: tuple[str, ...], said: str
) -> None:
    assert said in _run(*words, stdin=PASSWORD, status=1)


def test_the_last_administrator_stays(home: Path) -> None:
    words = ("--role", "administrator", "--password-stdin")
    _run("account", "add", "wang", *words, stdin=PASSWORD)
    assert "last administrator" in _run("account", "remove", "wang", status=1)
    assert "last administrator" in _run("account", "role", "wang", "guest", status=1)
    _run("account", "add", "li", *words, stdin=PASSWORD)
    _run("account", "remove", "wang")


def test_a_token_is_shown_once(home: Path) -> None:
    said = _run("token", "add", "hall", "--scope", "live", "--days", "7")
    secret = said.splitlines()[-1]  # after what the log says of a new database
    who = _ask(home, lambda engine: accounts.by_token(engine, secret, clock.now()))
    assert who is not None
    assert (who.name, who.rights, who.masked) == ("token:hall", frozenset({"live"}), True)
    week = clock.now() + 8 * 86_400_000_000
    assert _ask(home, lambda engine: accounts.by_token(engine, secret, week)) is None
    shown = _run("token", "list", "--format", "json")
    assert "hall" in shown
    assert secret not in shown
    _run("token", "revoke", "hall")
    assert _ask(home, lambda engine: accounts.by_token(engine, secret, clock.now())) is None
