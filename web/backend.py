"""What the routes work with: database, controller, feed; and how their errors become answers."""

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import structlog
from fastapi import Depends, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from base.background import spawn
from base.bus import Bus, NoAnswer, Refused
from base.outage import Outage
from base.settings import Settings
from facts.control import STATUS
from facts.requests import Reply
from facts.requests import Request as Asked
from web.feed import Feed
from web.limit import Limits
from web.recheck import Recheck
from web.webhooks.seal import Seal
from web.webhooks.sender import Sender

log = structlog.get_logger(__name__)

ANSWER_WITHIN: Final = 0.9
"""Seconds in which the controller answers, or the screen hears that it does not."""
NO_ANSWER: Final = "no_answer"
"""The code of an error: whether it was done is not known yet."""
request_name: ContextVar[str] = ContextVar("request_name", default="")
"""Of a request that may be asked again (`web.once`); empty for any other."""
CONVERSIONS: Final = 2
"""Recordings that are turned into another form at a time, for whoever downloads them."""


class Problem(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """An answer that is an error: its HTTP status, and a sentence for the reader.

    `code` and `zh`: the refusal's code, and its sentence in Chinese, where it has them (`facts.control.REFUSALS`).
    """

    def __init__(
        self, status: int, sentence: str, retry_after: int = 0, *, code: str = "", zh: str = ""
    ) -> None:
        self.status = status
        self.sentence = sentence
        self.retry_after = retry_after
        self.code = code
        self.zh = zh
        super().__init__(sentence)

    def body(self) -> dict[str, str]:
        """The answer's JSON (`Error`)."""
        more = {"code": self.code, "zh": self.zh} if self.code else {}
        return {"error": self.sentence, **more}


class Error(BaseModel):
    """Every error of the API: a sentence. What is asked about a talk has a `code` and a sentence in Chinese as well."""

    error: str
    code: str = ""
    zh: str = ""


class Said(BaseModel):
    """What the controller says it has done."""

    said: str


@dataclass
class Backend:
    """One for the whole process, in `app.state.backend`."""

    settings: Settings
    engine: AsyncEngine
    bus: Bus
    feed: Feed
    sender: Sender
    seal: Seal
    limits: Limits = field(default_factory=Limits)
    recheck: Recheck = field(init=False)
    conversions: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONVERSIONS))
    """Of recordings into another form, each of which takes a processor."""
    away: Outage = field(default_factory=lambda: Outage(log, "web.database_away", settle=5.0))
    """The database: `settle`, for other requests may go well while it is locked."""
    last_words: set[asyncio.Task[None]] = field(default_factory=set)
    """What is written after an answer has ended. A stop waits for it."""

    def __post_init__(self) -> None:
        self.recheck = Recheck(self.engine, self.feed)

    def say_last(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside an answer that has ended."""
        task = spawn(work, "last words")
        self.last_words.add(task)
        task.add_done_callback(self.last_words.discard)

    async def ask(self, asked: Asked) -> Reply:
        """Have the controller do something. Raises `Problem`: 409 when it refuses, 503 without an answer in time."""
        name = request_name.get()
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                return await self.bus.ask(asked, wait=ANSWER_WITHIN - 0.1, name=name)
        except Refused as refused:
            status = STATUS.get(refused.code, 409)
            raise Problem(status, str(refused), code=refused.code, zh=refused.zh) from None
        except (NoAnswer, TimeoutError):
            raise Problem(
                503,
                "the controller does not answer: it was not told, or is restarting; look, then try again",
                code=NO_ANSWER,
                zh="控制程序没有应答：可能没有收到请求，或正在重启；请先查看，再重试",
            ) from None

    async def notify(self, changed: Asked) -> bool:
        """Tell the controller of a change in the database. False without an answer: it reads it at its start."""
        try:
            await self.ask(changed)
        except Problem:
            return False
        return True


def backend(request: Request) -> Backend:
    """The process's backend."""
    found: Backend = request.app.state.backend
    return found


Behind = Annotated[Backend, Depends(backend)]
