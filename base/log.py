"""Logs: one JSON line an event (people's lines on a terminal), no telephone number readable in it.

`configure` once, at the start of a process. Everywhere else `log = structlog.get_logger(__name__)`,
then `log.info("offer.made", call_id=..., agent=...)`: a static name, and fields. Python's own
logging (panoramisk, uvicorn, alembic) comes out of the same opening. Logging never raises: what
cannot be written is counted, and reported when writing works again.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import structlog

from facts.masking import STARS, mask, mask_numbers

HIDDEN = frozenset({"caller", "number_dialled", "name", "digits", "key"})
"""Fields that are masked even when the code that logs forgot to (R54)."""

_WHOLLY_HIDDEN = frozenset({"name", "digits", "key"})

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_TALKATIVE = (
    "panoramisk",
    "uvicorn.access",
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "asyncio",
    # The whole address of each request, and with it a webhook's key
    "httpx",
    "httpcore",
)
"""Libraries that write whole messages, addresses or statements below `warning`: those stay out."""

_Event = MutableMapping[str, Any]
_Render = Callable[[_Event], bytes]


def configure(level: str = "info", file: Path | None = None, console: bool = False) -> None:
    """Say where this process logs, and from which level on.

    `level`: debug, info, warning or error; `ValueError` for another. `file`: JSON lines are
    appended to it; its folder is made; `OSError` when it cannot be opened. Several processes may
    share one file; a rotation must copy and truncate it. `console`: lines for people on standard
    output, coloured on a terminal. Neither: JSON lines on standard output. May be called again,
    but a logger that was used before keeps its level.
    """
    if level not in _LEVELS:
        raise ValueError(f"{level!r} is no log level: use one of {', '.join(_LEVELS)}")
    _output.open(file, console)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _finish,
            _hand_over,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _output,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromLogging()]
    root.setLevel(_LEVELS[level])
    for talker in _TALKATIVE:
        logging.getLogger(talker).setLevel(max(_LEVELS[level], logging.WARNING))
    logging.captureWarnings(True)


class _Output:
    """What structlog calls a logger: writes each finished event, and survives a full disk."""

    def __init__(self) -> None:
        self.sinks: list[tuple[_Render, BinaryIO]] = []
        self.file: BinaryIO | None = None
        self.lost = 0

    def open(self, file: Path | None, console: bool) -> None:
        opened: BinaryIO | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered, appending: a line is one write, so lines of several processes never mix.
            opened = file.open("ab", buffering=0)
        if self.file is not None:
            self.file.close()
        self.file = opened
        self.sinks = [(_json, opened)] if opened is not None else []
        if console:
            self.sinks.append((_for_people(sys.stdout.isatty()), sys.stdout.buffer))
        elif opened is None:
            self.sinks.append((_json, sys.stdout.buffer))

    def write(self, event: _Event) -> None:
        for render, stream in self.sinks:
            try:
                if self.lost:
                    _put(stream, render({**event, **_LOST, "lines": self.lost}))
                    self.lost = 0
                _put(stream, render(event))
            except (OSError, ValueError):  # disk full, pipe closed, stream closed
                self.lost += 1

    debug = info = warning = warn = error = critical = exception = msg = write


_LOST = {"level": "error", "event": "log.lost"}
_output = _Output()


def _put(stream: BinaryIO, line: bytes) -> None:
    if stream.write(line) != len(line):
        raise OSError("the line was written in part only")
    stream.flush()


class _FromLogging(logging.Handler):
    """Brings the records of Python's own logging to the same output.

    Their words are not ours, so telephone numbers are searched in them.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # noqa: BLE001 a library's wrong format must not cost its message
            text = f"{record.msg} (arguments unreadable: {type(error).__name__})"
        event: _Event = {
            "level": record.levelname.lower(),
            "event": mask_numbers(text),
            "logger": record.name,
        }
        if record.exc_info:
            event["exc_info"] = record.exc_info
            event = structlog.processors.format_exc_info(None, "", event)
        _output.write(_finish(None, "", event))


def _finish(_logger: Any, _name: str, event: _Event) -> _Event:
    """Put time, level and event first, and mask what must not be readable."""
    done: _Event = {
        "at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "level": event.pop("level", "info"),
        "event": event.pop("event", ""),
    }
    for field, value in event.items():
        if field in HIDDEN:
            done[field] = _masked(field, value)
        elif field == "exception":
            done[field] = mask_numbers(str(value))
        elif isinstance(value, dict):
            done[field] = _masked_inside(value)
        else:
            done[field] = value
    return done


def _hand_over(_logger: Any, _name: str, event: _Event) -> tuple[tuple[_Event], dict[str, Any]]:
    return (event,), {}


def _masked(field: str, value: Any) -> str:
    try:
        text = "" if value is None else str(value)
    except Exception:  # noqa: BLE001 an odd value must not cost the line
        return STARS
    if field in _WHOLLY_HIDDEN:
        return STARS if text else ""
    return mask(text)


def _masked_inside(value: dict[Any, Any], depth: int = 4) -> dict[Any, Any]:
    done: dict[Any, Any] = {}
    for field, inner in value.items():
        if isinstance(field, str) and field in HIDDEN:
            done[field] = _masked(field, inner)
        elif isinstance(inner, dict):
            # Deeper than any record of ours: a cycle, most likely.
            done[field] = _masked_inside(inner, depth - 1) if depth else "..."
        else:
            done[field] = inner
    return done


def _json(event: _Event) -> bytes:
    try:
        return orjson.dumps(
            event, default=_shown, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        )
    except (TypeError, RecursionError):
        # Lone surrogates (bytes that were no UTF-8), whole numbers above 64 bits: rare, so slow.
        plain = {str(field): _plain(value) for field, value in event.items()}
        return json.dumps(plain).encode() + b"\n"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else _shown(value)


def _shown(value: Any) -> str:
    with contextlib.suppress(Exception):
        return repr(value)
    return f"<{type(value).__name__}>"


def _for_people(colours: bool) -> _Render:
    renderer = structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="at")

    def render(event: _Event) -> bytes:
        safe = {field: _printable(value) for field, value in event.items()}
        return (str(renderer(None, "", safe)) + "\n").encode(errors="backslashreplace")

    return render


def _printable(value: Any) -> Any:
    """Show control characters instead of obeying them: a name must not steer a terminal."""
    value = _plain(value)
    if isinstance(value, str) and not value.isprintable():
        return "".join(_escaped(character) for character in value)
    return value


def _escaped(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()
