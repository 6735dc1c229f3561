"""Routes about webhooks: which facts are sent where, and which could not be delivered."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx
import structlog
from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import BaseModel, Field
from sqlalchemy import func, select

from base import clock
from web.api.auth import Me, right
from web.api.facts import kinds_of
from web.backend import Behind, Problem, Said
from web.webhooks import outside, sender, tables
from web.webhooks.seal import Seal, SealError

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api", tags=["webhooks"])

Id = Annotated[int, InPath(ge=1, le=2**31 - 1)]


class Webhook(BaseModel):
    """A webhook. No kinds: every fact. `whole`: numbers are not masked. How many deliveries are `due` and `dead`.

    `url` is empty if it was encrypted with a key that is gone: nothing is sent then.
    """

    id: int
    url: str
    kinds: list[str]
    whole: bool
    added_by: str
    added_at: int
    due: int
    dead: int


class NewWebhook(BaseModel):
    """Where facts are sent, and which."""

    url: str = Field(max_length=500)
    kinds: list[str] = Field([], max_length=100)
    whole: bool = False


class Made(BaseModel):
    """A new webhook. Its secret signs what is sent (standardwebhooks.com); it is shown this once."""

    id: int
    secret: str


class Delivery(BaseModel):
    """One fact on its way. Times in microseconds; `error` is that of the last attempt."""

    fact: int
    state: str
    attempts: int
    next_at: int
    error: str
    at: int


@router.get("/webhooks", **right("webhooks", response_model=list[Webhook]))
async def webhooks(behind: Behind) -> list[Webhook]:
    """Every webhook, without its secret."""
    delivery = tables.webhook_delivery.c
    counted = select(delivery.webhook, delivery.state, func.count()).group_by(
        delivery.webhook, delivery.state
    )
    async with behind.engine.connect() as connection:
        hooks = (
            await connection.execute(select(tables.webhook).order_by(tables.webhook.c.id))
        ).all()
        counts = {(hook, state): n for hook, state, n in await connection.execute(counted)}
    return [
        Webhook(
            id=hook.id,
            url=_shown(behind.seal, hook),
            kinds=hook.kinds,
            whole=hook.whole,
            added_by=hook.added_by,
            added_at=hook.added_at,
            due=counts.get((hook.id, "due"), 0),
            dead=counts.get((hook.id, "dead"), 0),
        )
        for hook in hooks
    ]


@router.post("/webhooks", **right("webhooks", status_code=201, response_model=Made))
async def add(given: NewWebhook, me: Me, behind: Behind) -> Made:
    """Send the facts from now on to an address, signed; numbers masked unless `whole`."""
    kinds, url = sorted(kinds_of(given.kinds)), _url(given.url)
    try:
        await outside.address_of(httpx.URL(url), behind.sender.allowed)
    except outside.InwardError as error:
        raise Problem(422, f"url: {error}") from None
    except OSError:
        log.info("webhook.unknown_name")  # it may be known later
    number, secret = await sender.add(
        behind.engine,
        behind.seal,
        url,
        kinds,
        whole=given.whole,
        by=me.name,
        at=clock.now(),
    )
    return Made(id=number, secret=secret)


@router.delete("/webhooks/{id}", **right("webhooks", status_code=204))
async def remove(id: Id, behind: Behind) -> None:  # noqa: A002 the path's word
    """Remove a webhook. Facts that it has not got yet are no longer sent."""
    if not await sender.remove(behind.engine, id):
        raise Problem(404, "there is no such webhook")


@router.get("/webhooks/{id}/deliveries", **right("webhooks", response_model=list[Delivery]))
async def deliveries(
    id: Id,  # noqa: A002 the path's word
    behind: Behind,
    state: Literal["due", "sent", "dead"] = "dead",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[Delivery]:
    """Deliveries that are due, were sent in the last two days, or are dead: the newest first."""
    delivery = tables.webhook_delivery.c
    question = (
        select(*(column for column in delivery if column.name != "webhook"))
        .where(delivery.webhook == id, delivery.state == state)
        .order_by(delivery.fact.desc())
        .limit(limit)
    )
    async with behind.engine.connect() as connection:
        return [Delivery(**row) for row in (await connection.execute(question)).mappings()]


@router.post("/webhooks/{id}/retry", **right("webhooks", response_model=Said))
async def retry(id: Id, behind: Behind) -> Said:  # noqa: A002 the path's word
    """Try dead deliveries again."""
    count = await sender.retry(behind.engine, id, clock.now())
    return Said(said=f"{count} deliveries are tried again")


def _shown(seal: Seal, hook: Any) -> str:
    try:
        return seal.read(hook)[0]
    except SealError:
        return ""


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        fits = fits and bool(httpx.URL(text).host)
    except (ValueError, httpx.InvalidURL):
        fits = False
    if not fits or not text.isascii() or not text.isprintable() or " " in text:
        raise Problem(422, "url: write an address such as https://crm.example/hotline")
    return text
