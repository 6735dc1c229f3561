"""Each request once: the header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

A program that got no answer asks again with the same key. If the first request was answered, it gets that answer, and
nothing is done twice. The keys are in the database for a day, so a restart of this program changes nothing. What was
under way when it stopped stays unanswered: nobody knows whether it was done, and the answer says so. A request that the
controller did not answer is asked again under its old name, so that it is carried out once, or its late answer found.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import structlog
from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database
from base.bus import ASKED_AGAIN
from facts.requests import Request as ControllerRequest
from facts.times import DAY, SECOND
from web.accounts.tables import asked_once
from web.backend import NO_ANSWER, Backend, Problem, Said, request_name

log = structlog.get_logger(__name__)

KEPT: Final = DAY
"""Microseconds for which a key holds."""
MOST: Final = 1000
"""Keys of one account or token within `KEPT`."""
LONGEST: Final = 200
"""Characters of a key."""
UNDER_WAY: Final = 10 * SECOND
"""Microseconds in which a request is answered or its answer is lost: all answers come within a second or so."""

_Answer = TypeVar("_Answer", bound=BaseModel)


class OneRequest:
    """The request at hand. Without a key `answer` only does the work."""

    def __init__(self, engine: AsyncEngine, who: str, key: str, asked: str) -> None:
        self._engine = engine
        self._who = who
        self._key = key
        self._asked = asked
        self._name = ""

    async def answer(self, kind: type[_Answer], work: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Do the work, or give the answer that it got before. A refusal is an answer, too.

        Raises `Problem`: 409 while the first request is under way or if its answer is lost, 422 if this key was for
        another request, 429 beyond `MOST` keys.
        """
        if not self._key:
            return await work()
        before = await self._begin()
        if before is not None and not self._to_ask_again(before):
            return self._given(kind, before)
        token = request_name.set(self._name)
        try:
            answered = await work()
        except Problem as problem:
            await self._keep(problem.status, problem.body())
            raise
        finally:
            request_name.reset(token)
        await self._keep(200, answered.model_dump(mode="json"))
        return answered

    async def said(self, behind: Backend, asked: ControllerRequest) -> Said:
        """Ask the controller once, and give what it said. Raises `Problem`, as `answer` does."""

        async def work() -> Said:
            return Said(said=(await behind.ask(asked)).said)

        return await self.answer(Said, work)

    async def _begin(self) -> Any:
        """Enter the key, and name the request. Gives the row that is there already, else None."""
        now, own = clock.now(), asked_once.c.who == self._who
        async with self._engine.begin() as connection:
            await connection.execute(delete(asked_once).where(asked_once.c.at < now - KEPT))
            count = select(func.count()).select_from(asked_once).where(own)
            if (await connection.scalar(count) or 0) >= MOST and not await self._row(connection):
                raise Problem(
                    429,
                    f"more than {MOST} different keys in a day: ask without Idempotency-Key",
                    code="too_many_keys",
                    zh=f"一天内使用的幂等键超过 {MOST} 个",
                )
        row = {"who": self._who, "key": self._key, "asked": self._asked, "at": now, "status": 0}
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(asked_once).values(**row, answer={}))
        except IntegrityError:
            async with self._engine.connect() as connection:
                before = await self._row(connection)
            now = before.at if before else now
        else:
            before = None
        named = "\n".join((self._who, self._key, self._asked, str(now)))
        self._name = hashlib.sha256(named.encode()).hexdigest()
        return before

    async def _row(self, connection: Any) -> Any:
        mine = (asked_once.c.who == self._who) & (asked_once.c.key == self._key)
        return (await connection.execute(select(asked_once).where(mine))).first()

    def _to_ask_again(self, row: Any) -> bool:
        recent = clock.now() - row.at < ASKED_AGAIN * SECOND
        return bool(row.asked == self._asked) and _unanswered(row) and recent

    def _given(self, kind: type[_Answer], row: Any) -> _Answer:
        if row.asked != self._asked:
            raise Problem(
                422,
                "this Idempotency-Key was used for another request: take a new one",
                code="key_reused",
                zh="该幂等键已用于另一个请求，请换一个",
            )
        if not row.status and clock.now() - row.at < UNDER_WAY:
            raise Problem(
                409,
                "the first request with this Idempotency-Key is under way: ask again in a second",
                code="under_way",
                zh="使用该幂等键的首个请求仍在处理，请稍后再试",
            )
        if not row.status or _unanswered(row):
            raise Problem(
                409,
                "the answer to this Idempotency-Key was lost, and it may have been done: look, then take a new key",
                code="answer_lost",
                zh="该幂等键的结果已丢失，可能已经生效：请先查看，再用新的键",
            )
        if row.status >= 400:
            told = dict(row.answer)
            raise Problem(
                row.status, told["error"], code=told.get("code", ""), zh=told.get("zh", "")
            )
        return kind.model_validate(row.answer)

    async def _keep(self, status: int, answer: dict[str, Any]) -> None:
        mine = (asked_once.c.who == self._who) & (asked_once.c.key == self._key)
        if answer.get("code") == NO_ANSWER:  # another asking may have heard the answer meanwhile
            mine &= asked_once.c.status.in_((0, status))
        try:
            async with self._engine.begin() as connection:
                change = update(asked_once).where(mine).values(status=status, answer=answer)
                await connection.execute(change)
        except database.FAILED as error:
            # The work is done: who asked must hear it now. Asked again, they hear that the answer is lost.
            log.error("once.not_kept", **database.told(error))


def _unanswered(row: Any) -> bool:
    """Whether the controller gave no answer to this key so far."""
    return bool(row.answer.get("code") == NO_ANSWER)


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str,
        Header(
            max_length=LONGEST,
            description="with the same key, the same request is done once and gets the same answer, for a day",
        ),
    ] = "",
) -> OneRequest:
    behind: Backend = request.app.state.backend
    key = idempotency_key.strip().strip('"')
    if idempotency_key and not (key and key.isascii() and key.isprintable()):
        raise Problem(422, "Idempotency-Key: give 1 to 200 printable characters, such as a UUID")
    digest = hashlib.sha256()
    digest.update(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    return OneRequest(behind.engine, request.state.who.name, key, digest.hexdigest())


Once = Annotated[OneRequest, Depends(_once)]
"""The request at hand, of a route that needs a right."""
