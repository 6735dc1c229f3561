"""A real SMTP server and a real HTTP server that keep what they are sent."""

import asyncio
import email
import email.policy
import json
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


def wait_for(true: Callable[[], Any], what: str, within: float = 10) -> None:
    """Wait for a condition. Raises `AssertionError`."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"waited {within} s for {what}"
        time.sleep(0.02)


class _OnAnyPort(Controller):
    """Learns which port it got before it knocks at it to see whether it is there."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class Mailbox:
    """An SMTP server on a port that the kernel chose, in a thread of its own."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self._controller = _OnAnyPort(self, hostname="127.0.0.1", port=0, ready_timeout=10)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    @property
    def url(self) -> str:
        """The address for apprise."""
        port = self._controller.port
        return f"mailto://127.0.0.1:{port}?from=hotline@example.org&to=duty@example.org"

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()


class Hook:
    """A webhook's receiver. `answers`: the status of each request; `pause`: seconds before it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.requests = 0
        self.held = threading.Event()
        self.held.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.requests += 1
                hook.held.wait(20)
                if hook.status == 200:
                    hook.got.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address for apprise, with patience for a busy machine: by default it takes 4 s for a failure."""
        address = f"127.0.0.1:{self._server.server_port}/hook/token-secret"
        return f"json://user:pass-secret@{address}?rto=30&cto=30"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
