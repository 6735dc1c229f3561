"""What the tests of the controller's parts share: a clock, and a database that goes away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock as machine
from facts.times import SECOND


class Clock:
    """Stands still until a test moves it. `at`: microseconds; it begins on a Friday in November 2025."""

    def __init__(self) -> None:
        self.at = 1_763_731_200 * SECOND


class Database:
    """While `away`, every statement fails, as if the server were gone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.away = False
        event.listen(engine.sync_engine, "before_cursor_execute", self._refuse)

    def _refuse(self, *_: Any) -> None:
        if self.away:
            raise OperationalError("refused", None, Exception("away"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the program takes for the time."""
    made = Clock()
    monkeypatch.setattr(machine, "now", lambda: made.at)
    return made


@pytest.fixture
def database(engine: AsyncEngine) -> Database:
    """The server behind `engine`, which is there at first."""
    return Database(engine)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait for a condition, three seconds at most."""

    async def wait(true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 3
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            await asyncio.sleep(0.001)

    return wait
