"""The HTTP server of the screens, with a time limit for requests that do not come whole, and a short way to a screen.

uvicorn ends a connection only when nothing at all comes after an answer. A request that comes byte by byte, or never,
is held for ever (Kludex/uvicorn#157). A proxy in front may have such a limit, but a proxy is not required.

The short way is for answers that never end: two hundred screens get the same bytes a dozen times a second. ASGI would
wake a task for each of them and have each piece framed again, which costs several times what the sending itself does.
"""

import asyncio
from typing import Any, Final

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from web.feed import WIRE

REQUEST_WITHIN: Final = 20.0
"""Seconds in which a request must be there, headers and body, from the connection or the answer before it."""
MOST_WAITING: Final = 256
"""Connections that may wait for a request to become whole. Beyond that the oldest is closed: real ones are quick."""


def config(app: FastAPI, **options: Any) -> uvicorn.Config:
    """How uvicorn serves `app`. `options`: more of its own."""
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        **options,
    )


class LimitedProtocol(H11Protocol):
    """One connection. It waits from its beginning, or from an answer's end, until a request has come whole.

    It is also the `web.feed.Wire` of a request whose answer can come in pieces.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._serves = self.app
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["http_version"] == "1.1":
            scope.setdefault("extensions", {})[WIRE] = self
        await self._serves(scope, receive, send)

    def write(self, pieces: bytes) -> None:
        """Send pieces of the body of the answer under way, framed by `web.feed.piece`. Returns at once."""
        if not self.transport.is_closing():
            self.transport.write(pieces)

    def unsent(self) -> int:
        """How many bytes of what was written the other side has not taken yet."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connects."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Some of a request comes."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """An answer has been given."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._stop_waiting()
        elif self not in _waiting and not self.transport.is_closing():
            _waiting[self] = self.loop.call_later(REQUEST_WITHIN, self._cut_off)
            if len(_waiting) > MOST_WAITING:
                next(iter(_waiting))._cut_off()

    def _stop_waiting(self) -> None:
        if (timer := _waiting.pop(self, None)) is not None:
            timer.cancel()

    def _cut_off(self) -> None:
        self._stop_waiting()
        self.transport.close()
        # Who does not read the rest of an earlier answer is not waited for either.
        self.loop.call_later(REQUEST_WITHIN, self.transport.abort)


_waiting: dict[LimitedProtocol, asyncio.TimerHandle] = {}
"""Who is waited for, the longest first, and the timer that ends it."""
