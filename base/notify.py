"""Sends a message to an address of the library apprise: mail, webhook, and a hundred services more.

The addresses hold passwords, so none is ever logged: `label` names one without its secrets. Apprise works with blocking
sockets, so each message has a thread of its own, and `send` waits for it `WITHIN` seconds at most.
"""

import asyncio
import contextlib
import hashlib
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from facts.masking import STARS

WITHIN = 30.0
"""Seconds that one message may take."""

_KINDS = {"critical": "failure", "warning": "warning", "info": "info", "good": "success"}


def label(url: str) -> str:
    """Name an address without its secrets: `mailtos:3f0c9a12`, the same for the same receivers.

    Of a mail address these are the mailboxes, of another one all but passwords and keys. So a new password is no new
    address, and nothing that was delivered is delivered again. A key in the path (a robot's) is a receiver of its own.
    """
    return _named(url, _receivers(url))


def former_label(url: str) -> str:
    """How `label` named this address before it left the password out; what was delivered bears that name."""
    return _named(url, url)


def _named(url: str, receivers: str) -> str:
    scheme = urlsplit(url).scheme[:20] or "?"
    return f"{scheme}:{hashlib.sha256(receivers.encode()).hexdigest()[:8]}"


def _receivers(url: str) -> str:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    if parts.scheme in ("mailto", "mailtos"):
        asked = parse_qs(parts.query)
        to = [one for name in ("to", "cc", "bcc") for one in asked.get(name, ())]
        to += unquote(parts.path).split("/")
        boxes = {box.strip().casefold() for one in to for box in one.split(",")} - {""}
        return ",".join(sorted(boxes)) or f"{unquote(user)}@{host}".casefold()
    open_ = [one for one in parts.query.split("&") if not _is_secret(one.partition("=")[0])]
    place = parts._replace(netloc=f"{user}@{host}" if user else host, query="&".join(open_))
    changed = (place.netloc, place.query) != (parts.netloc, parts.query)
    return place.geturl() if changed else url


def _is_secret(name: str) -> bool:
    return any(word in unquote(name).casefold() for word in _SECRETS)


_SECRETS = ("pass", "token", "secret", "key", "auth", "sign")


def usable(url: str) -> bool:
    """Whether apprise understands this address."""
    import apprise

    _quiet()
    return apprise.Apprise.instantiate(url) is not None


async def send(
    url: str,
    title: str,
    body: str,
    *,
    kind: str = "info",
    files: Sequence[Path] = (),
    within: float | None = None,
) -> str:
    """Send one message. Gives an empty string, or why it was not sent, without the address's secrets.

    `kind`: critical, warning, info or good. Raises only `CancelledError`, when it is cancelled. After `within` seconds
    (by default `WITHIN`) it counts as not sent, though it may still arrive.
    """
    limit = WITHIN if within is None else within
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def work() -> None:
        error = _send(url, title, body, kind, files)
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for the answer
            loop.call_soon_threadsafe(_give, answer, error)

    # Not one of the loop's own threads: a stop would wait for it.
    threading.Thread(target=work, name="notify", daemon=True).start()
    try:
        async with asyncio.timeout(limit):
            return await answer
    except TimeoutError:
        return f"no answer within {limit:g} s"


def _give(answer: "asyncio.Future[str]", error: str) -> None:
    if not answer.done():
        answer.set_result(error)


def _send(url: str, title: str, body: str, kind: str, files: Sequence[Path]) -> str:
    try:
        import apprise
        from apprise.conversion import convert_between

        _quiet()
        target = apprise.Apprise.instantiate(url)
        if target is None:
            return "apprise does not understand this address"
        text = apprise.NotifyFormat.TEXT
        if "format=" not in urlsplit(url).query and url.startswith("mailto"):
            target.notify_format = text  # columns of figures stay columns
        body = convert_between(text, target.notify_format, body)  # type: ignore[no-untyped-call]
        attached: Any = [str(file) for file in files] or None
        # Not through apprise's own pools of threads: the end of the program would wait for those.
        with _Heard() as heard:
            sent = target.notify(body=body, title=title, notify_type=_KINDS[kind], attach=attached)
        return "" if sent else _without_secrets(heard.last or "refused", url)
    except Exception as error:  # noqa: BLE001 a library's failure is an answer like another
        return _without_secrets(f"{type(error).__name__}: {error}", url)


def _without_secrets(text: str, url: str) -> str:
    parts = urlsplit(url)
    fragments = {url, parts.netloc.rpartition("@")[0], parts.password or "", parts.username or ""}
    fragments |= set(parts.path.split("/")) | set(parts.query.split("&")) | {parts.query}
    fragments |= {unquote(fragment) for fragment in fragments}
    for fragment in sorted((one for one in fragments if len(one) > 3), key=len, reverse=True):
        text = text.replace(fragment, STARS)
    return text[:200]


class _Heard(logging.Handler):
    """Apprise says why it failed in its log only: keeps the last line of this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.last = record.getMessage()

    def __enter__(self) -> "_Heard":
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_error: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def _quiet() -> None:
    """Keep the libraries' own words out of the logs: they quote addresses."""
    logging.getLogger("apprise").propagate = False
    for name in ("requests", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
