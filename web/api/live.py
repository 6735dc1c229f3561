"""Routes about now: the live state and its stream."""

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from pydantic import BaseModel

from facts.live import LiveState
from facts.requests import AcknowledgeAlarm
from web.api.auth import Me, right
from web.backend import Behind, Problem, Said
from web.feed import Snapshot, Stream

router = APIRouter(prefix="/api", tags=["live"])


class Live(BaseModel):
    """The newest state, its number in the stream, and the server's time. All times in microseconds.

    `state.at`: when the controller made it. If that is more than five seconds ago, the state is stale.
    """

    seq: int
    now: int
    state: LiveState


@router.get("/live", **right("live", audited="hourly", response_model=Live))
async def live(me: Me, behind: Behind) -> Snapshot:
    """The live state: figures, callers by stage, agents by presence. 503 when none was ever seen."""
    shown = behind.feed.snapshot(me.masked)
    if shown is None:
        raise Problem(503, "no live figures: is the controller running?")
    return shown


@router.get(
    "/live/stream",
    **right(
        "live",
        audited="every",
        response_class=Response,
        responses={
            200: {
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
                "description": "Events `snapshot`, `change`, `beat`.",
            }
        },
    ),
)
async def stream(me: Me, behind: Behind) -> Stream:
    """The live state as server-sent events: once whole, then each change.

    `change` has `seq`, one higher than the message before (else ask for `/api/live`), `at`, `set` (top-level fields),
    `agents` (whole, by their number) and `gone` (numbers). `beat` comes when nothing else does, every two seconds.
    When the reader's role changes, the stream ends, or `snapshot` comes again as the reader may see it now.
    """
    return Stream(behind.feed.watch(me, "live"))


@router.post("/alarms/{id}/acknowledge", **right("alarms.write", response_model=Said))
async def acknowledge(
    id: Annotated[str, InPath(max_length=80)],  # noqa: A002 the path's word
    me: Me,
    behind: Behind,
) -> Said:
    """Acknowledge an open alarm. The live state has all open alarms in `alarms`."""
    return Said(said=(await behind.ask(AcknowledgeAlarm(id, me.name))).said)
