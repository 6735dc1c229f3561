"""The wallboard: one page, one snapshot, one stream of snapshots.

The controller shows its live state in Redis (`hotline.bus`); this program reads it, so either may restart at any
time. A screen that hears nothing for five seconds says since when its figures are stale.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from redis.exceptions import RedisError

_PAGE = Path(__file__).parent / "static" / "wall.html"
_EVERY = 0.25

Snapshot = dict[str, Any]


def create_app(
    live: Callable[[], Awaitable[Snapshot | None]], close: Callable[[], Awaitable[None]]
) -> FastAPI:
    """Make the web application. `live` answers the newest snapshot, or None; it may raise `RedisError`."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await close()

    app = FastAPI(title="Hotline", docs_url=None, redoc_url=None, lifespan=lifespan)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE, headers={"Cache-Control": "no-cache"})

    @app.get("/api/live")
    async def snapshot() -> Response:
        """The live state: figures, callers by stage (numbers masked), agents by presence; 503 when there is none."""
        state = await _newest(live)
        if state is None:
            body = orjson.dumps({"error": "no live figures: is the controller running?"})
            return Response(body, status_code=503, media_type="application/json")
        return Response(orjson.dumps(state), media_type="application/json")

    @app.get("/api/live/stream")
    async def stream(request: Request) -> StreamingResponse:
        """The same as server-sent events, one for each change."""
        return StreamingResponse(
            _changes(live, request.is_disconnected),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return app


async def _newest(live: Callable[[], Awaitable[Snapshot | None]]) -> Snapshot | None:
    try:
        return await live()
    except (RedisError, OSError):
        return None


async def _changes(
    live: Callable[[], Awaitable[Snapshot | None]], gone: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    shown = None
    while not await gone():
        state = await _newest(live)
        if state is not None and state["at"] != shown:
            shown = state["at"]
            yield b"data: " + orjson.dumps(state) + b"\n\n"
        await asyncio.sleep(_EVERY)
