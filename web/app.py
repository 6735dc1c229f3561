"""The web application: pages, API, and what holds for every request.

    browser ── cookie ──┐                       ┌─> acd, agents, metrics, recorder  (database)
    program ── token ───┼─ auth ─ routes ───────┤
    wall ── token in the address                └─> backend.ask ─ base.bus ─> the controller
    screens <── events ── feed <── base.bus <── the controller

Every answer that is an error is JSON with the field `error`, a sentence (`backend.Error`). Every request that changes
something, and every look at citizens' data, is in the audit log before its answer leaves; a stream also when it ends.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from base import clock, database
from base.background import spawn
from base.bus import Bus
from base.settings import Settings
from facts.times import DAY
from web.accounts import audit
from web.accounts.accounts import Who
from web.api import (
    admin,
    alerts,
    auth,
    callbacks,
    calls,
    control,
    exports,
    facts,
    hints,
    listening,
    live,
    messages,
    parties,
    people,
    quality,
    queues,
    recordings,
    supervise,
    surveys,
    waiting,
    webhooks,
    words,
)
from web.backend import Backend, Problem
from web.feed import Feed, Stream
from web.webhooks.seal import Seal
from web.webhooks.sender import Sender

log = structlog.get_logger(__name__)

_STATIC: Final = Path(__file__).parent / "static"
_QUALITY: Final = "quality.html"
_MOST_BYTES: Final = 1 << 20
"""Bytes of a request's body: no request here needs more."""
_STAY_WITH_TLS: Final = "max-age=31536000"
_KNOWN_FOR: Final = 30 * DAY

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(settings: Settings, engine: AsyncEngine, bus: Bus) -> FastAPI:
    """Make the application. Its lifespan reads Redis in the background, and closes `bus` and `engine`."""
    seal = Seal.of(settings.secrets_dir)
    sending = Sender(engine, seal, settings.webhook_internal)
    feed = Feed(bus, on_facts=sending.wake)
    behind = Backend(settings, engine, bus, feed, sending, seal)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        work = [
            spawn(feed.run(), "feed"),
            spawn(behind.recheck.run(), "streams"),
            spawn(sending.run(), "webhooks"),
            spawn(audit.keep(engine, settings.audit_days), "audit"),
            spawn(_know_addresses(behind), "addresses"),
        ]
        yield
        for task in work:
            task.cancel()
        await asyncio.wait([*work, *behind.last_words], timeout=2)
        await bus.close()
        await engine.dispose()

    app = FastAPI(
        title="Hotline",
        description="The live state of the hotline, its agents, queues, calls and figures.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.backend = behind
    of_recordings = (recordings, listening, exports, hints, words)
    of_calls = (calls, *of_recordings, quality)
    of_now = (live, waiting, messages, alerts)
    of_talks = (parties, supervise, control, surveys)
    for module in (
        *(auth, *of_now, *of_talks, facts, people, queues, callbacks, *of_calls),
        *(webhooks, admin),
    ):
        # As they are: `include_router` makes each route once more, while the first request waits.
        app.router.routes.extend(module.router.routes)
    _describe(app)
    _pages(app)
    _errors(app, behind)
    app.add_middleware(_Guard, backend=behind)
    return app


async def _know_addresses(behind: Backend) -> None:
    """Learn from the audit log who has signed in from where, so that a restart locks no one out."""
    try:
        found = await audit.signed_in_from(behind.engine, clock.now() - _KNOWN_FOR)
    except database.AWAY as error:
        log.warning("addresses.unknown", error=type(error).__name__)
    else:
        behind.limits.sign_ins.know(found)


def _describe(app: FastAPI) -> None:
    """Say in the OpenAPI document how to sign in."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document.setdefault("components", {})["securitySchemes"] = {
            "cookie": {"type": "apiKey", "in": "cookie", "name": auth.COOKIE},
            "token": {"type": "http", "scheme": "bearer"},
        }
        return document

    app.openapi = openapi  # type: ignore[method-assign]


# --- pages: files without any data; scripts fetch those


def _pages(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def wall(request: Request, token: str = "") -> Response:
        """The wallboard. `?token=…` signs a wall screen in, which has no keyboard, and takes it out of the address."""
        behind: Backend = request.app.state.backend
        if token:
            answer: Response = RedirectResponse("/", 303)
            if not await auth.enter_by_token(behind, request, token[:200], answer):
                return _to_sign_in(request)
            return answer
        return await _page(request, "wall.html", "live")

    @app.get("/supervisor", include_in_schema=False)
    async def supervisor(request: Request) -> Response:
        """Agents, queues, callbacks, calls."""
        return await _page(request, "supervisor.html", "agents.read")

    @app.get("/quality", include_in_schema=False)
    async def quality_page(request: Request) -> Response:
        """Tasks of an assessor, an agent's own scores, appeals."""
        rights = ("quality.assess", "quality.own", "quality.decide")
        return await _page(request, _QUALITY, *rights)

    @app.get("/sign-in", include_in_schema=False)
    async def sign_in() -> Response:
        """Name and password."""
        return _file("sign-in.html")


async def _page(request: Request, name: str, *rights: str) -> Response:
    """A page for whoever has one of these rights."""
    who = await auth.recognise(request.app.state.backend, request)
    if who is not None and name != _QUALITY and who.rights == {"quality.assess"}:
        return RedirectResponse("/quality", 303)  # the only page that an assessor has
    if who is None or who.rights.isdisjoint(rights):
        return _to_sign_in(request)
    return _file(name)


def _file(name: str) -> Response:
    if not (_STATIC / name).is_file():
        raise HTTPException(404)
    return FileResponse(_STATIC / name, headers={"Cache-Control": "no-cache"})


def _to_sign_in(request: Request) -> Response:
    return RedirectResponse(f"/sign-in?next={request.url.path}", 303)


# --- errors


def _errors(app: FastAPI, behind: Backend) -> None:
    @app.exception_handler(Problem)
    async def problem(_request: Request, error: Problem) -> Response:
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return JSONResponse(error.body(), status_code=error.status, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def unreadable(_request: Request, error: RequestValidationError) -> Response:
        said = []
        for one in error.errors():
            where = ".".join(str(part) for part in one["loc"] if part not in {"body", "query"})
            said.append(f"{where}: {one['msg']}" if where else str(one["msg"]))
        return _error(422, "; ".join(said)[:1000])

    @app.exception_handler(HTTPException)
    async def plain(_request: Request, error: HTTPException) -> Response:
        return _error(error.status_code, str(error.detail), error.headers)

    async def away(_request: Request, error: Exception) -> Response:
        behind.away.begin(**database.told(error))
        return _error(503, "the database does not answer: calls go on; try again later")

    for kind in database.AWAY:
        app.add_exception_handler(kind, away)


def _error(status: int, sentence: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status_code=status, headers=headers)


# --- what holds for every request


class _Guard:
    """Security headers on every answer; a row in the audit log before an answer that matters leaves."""

    def __init__(self, app: ASGIApp, backend: Backend) -> None:
        self._app = app
        self._backend = backend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            await _error(413, "the request is too large")(scope, receive, send)
            return
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _MOST_BYTES:
                raise Problem(413, "the request is too large")
            return message

        started = streamed = False

        async def guarded(message: Message) -> None:
            nonlocal started, streamed
            started = True
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                streamed = headers.get("content-type", "").startswith(Stream.media_type)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":  # as a trusted proxy says in X-Forwarded-Proto
                    headers.setdefault("Strict-Transport-Security", _STAY_WITH_TLS)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
                else:  # the scripts of a new version at once, by their ETag
                    headers.setdefault("Cache-Control", "no-cache")
                if scope["method"] not in auth.SAFE and message["status"] < 400:
                    # It may have changed who may see what: before whoever did it can rely on it.
                    await self._backend.recheck.look()
                if message["status"] < 500 and _who(scope) is not None:
                    self._backend.away.end()  # it has just said who this is
                if self._matters(scope, message["status"]):
                    await self._note(scope, message["status"])
            await send(message)

        began = clock.now()
        try:
            await self._app(scope, bounded, guarded)
        except Exception:
            log.exception("web.failed", method=scope["method"], path=_path(scope))
            if started:
                raise
            await _error(500, "this is a fault of the program: see its log")(
                scope, receive, guarded
            )
        finally:
            if streamed:
                seconds = (clock.now() - began) // 1_000_000
                action, values = f"END {_path(scope)}", {"": f"{seconds} s"}
                # In a task of its own: this one may have been cancelled, because the program stops.
                self._backend.say_last(self._write(action, scope, 200, values, {}, ""))

    def _matters(self, scope: Scope, status: int) -> bool:
        """Whether the audit log must have this: every change, and every look at citizens' data (R54)."""
        if scope["method"] not in auth.SAFE:
            return True
        audited = _of_route(scope, "x-audited")
        if audited == "hourly" and (who := _who(scope)) is not None:
            return not self._backend.limits.looks.take(f"{who.key} {status}", clock.now())
        return audited is not None

    async def _note(self, scope: Scope, status: int) -> None:
        query = dict(parse_qsl(scope["query_string"].decode("latin1")))
        await self._write(
            f"{scope['method']} {_path(scope)}",
            scope,
            status,
            {name: str(value) for name, value in scope.get("path_params", {}).items()},
            audit.searched(query),
            scope.get("state", {}).get("why", "") or query.get("why", ""),
        )

    async def _write(
        self,
        action: str,
        scope: Scope,
        status: int,
        values: Mapping[str, str],
        asked: Mapping[str, str],
        why: str,
    ) -> None:
        who = _who(scope)
        tried: str = scope.get("state", {}).get("tried", "")
        if who is None and not tried:
            return  # no account or token was recognised
        try:
            await audit.write(
                self._backend.engine,
                at=clock.now(),
                who=who.name if who is not None else tried,
                role=who.role.value if who is not None else "",
                address=(scope.get("client") or ("", 0))[0],
                action=action,
                values=values,
                asked=asked,
                status=status,
                why=why,
            )
        except database.FAILED as error:
            log.error("audit.not_written", action=action, **database.told(error))


def _who(scope: Scope) -> Who | None:
    found: Who | None = scope.get("state", {}).get("who")
    return found


def _path(scope: Scope) -> str:
    """The path without its values, as far as a route was found."""
    return getattr(scope.get("route"), "path_format", "") or "?"


def _of_route(scope: Scope, name: str) -> str | None:
    """What the OpenAPI document says of the route under this name."""
    more = getattr(scope.get("route"), "openapi_extra", None) or {}
    found: str | None = more.get(name)
    return found
