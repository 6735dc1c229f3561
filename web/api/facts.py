"""Routes about facts: the stream of all that happens, for other programs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from facts import KINDS, Fact, as_json
from web.accounts.rights import masked_fact
from web.api.auth import Me, right
from web.backend import Behind, Problem
from web.feed import Stream

router = APIRouter(prefix="/api", tags=["facts"])


class FactOut(BaseModel):
    """A fact: when (microseconds), its kind, the call and the agent it is about, and its own fields."""

    model_config = ConfigDict(extra="allow")

    at: int
    kind: str
    call: str
    agent: str


@router.get(
    "/facts/stream",
    **right(
        "facts.read",
        audited="every",
        response_class=Response,
        responses={
            200: {
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
                "description": "Events `fact`, and a `beat` when nothing happens.",
            }
        },
    ),
)
async def stream(
    me: Me,
    behind: Behind,
    kinds: Annotated[str, Query(max_length=1000, description="names with commas; none: all")] = "",
) -> Stream:
    """Every fact from now on, as server-sent events. A program that must not miss any uses a webhook."""
    wanted = kinds_of(kinds.split(",") if kinds else [])
    return Stream(behind.feed.listen(me, wanted, "facts.read"))


@router.get("/facts/kinds", **right("facts.read", response_model=list[str]))
async def kinds() -> list[str]:
    """Every kind of fact; `facts/` says what each means."""
    return sorted(KINDS)


def kinds_of(names: list[str]) -> frozenset[str]:
    """Kinds of facts by name. Raises `Problem` for one that does not exist."""
    for name in names:
        if name not in KINDS:
            raise Problem(422, f"there is no kind of fact {name[:40]!r}: GET /api/facts/kinds")
    return frozenset(names)


def shown(fact: Fact, masked: bool) -> FactOut:
    """A fact of the diary as it is shown."""
    plain = as_json(fact)
    return FactOut.model_validate(masked_fact(plain) if masked else plain)
