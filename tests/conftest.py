"""What every test may use."""

import asyncio.format_helpers
import gc
import linecache
import logging
import re
import ssl
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from traceback import FrameSummary, StackSummary
from types import FrameType

import pytest
import redis
import structlog
import typer.main
import typer.testing
from hypothesis import HealthCheck, Phase, settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from base import log
from tests import ports

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For `make mutants`: the same few examples for each mutant, and none of an earlier run.
settings.register_profile(
    "mutants",
    settings.get_profile("untimed"),
    derandomize=True,
    database=None,
    max_examples=40,
    # The same tests run several times in one process.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("untimed")


def _innermost_frames(f: FrameType | None = None, limit: int | None = 4) -> StackSummary:
    """What `traceback.extract_stack` says, outermost first, without columns; a source line is read when it is shown."""
    frame: FrameType | None = f or sys._getframe(1)
    found = StackSummary()
    while frame is not None and (limit is None or len(found) < limit):
        code = frame.f_code
        found.append(
            FrameSummary(code.co_filename, frame.f_lineno, code.co_name, lookup_line=False)
        )
        frame = frame.f_back
    found.reverse()
    return found


# In asyncio's debug mode each future and callback remembers where it was made: the whole stack, half of it pytest.
# Four frames tell who made it, and are found in a third of the time. Futures hold the function of the library itself.
traceback.extract_stack.__code__ = _innermost_frames.__code__
traceback.extract_stack.__defaults__ = _innermost_frames.__defaults__
asyncio.format_helpers.extract_stack = _innermost_frames
# No source changes meanwhile: each frame of these stacks would ask the disk again.
linecache.checkcache = lambda filename=None: None

# An HTTP client reads the machine's certificates each time one is made, which takes longer than most tests do.
ssl.create_default_context = cache(ssl.create_default_context)  # type: ignore[assignment]

# The commands are the same each time they are called.
typer.testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]

# What collection makes lives until the end: the collector goes through all of it again and again for nothing.
gc.disable()

pytest_plugins = ["tests.database", "tests.postgres", "tests.seaweed"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without live tests nobody needs those folders: reading them loads a browser's library and a softphone's."""
    unit = "not live" in config.getoption("markexpr")
    return True if unit and collection_path in _LIVE_FOLDERS else None


_LIVE_FOLDERS = {Path(__file__).parent / name for name in ("browser", "live")}


def pytest_collection_finish() -> None:
    """From here on only what a test leaves is collected, and in larger portions than Python's."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those that need long come first, so that no process ends with one of them while the others have nothing to do.

    With a mutant they come last, for one failure is enough, and of the histories the first tenth must do.
    """
    mutants = config.getoption("--hypothesis-profile") == "mutants"
    items.sort(key=lambda item: (item.get_closest_marker("timeout") is None) != mutants)
    if mutants:
        items[:] = [item for item in items if not re.search(r"every_history\[[1-9]\]", item.name)]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server of our own, on a socket."""
    folder = tmp_path_factory.mktemp("redis")
    socket = folder / "r.sock"
    with start_redis(socket):
        yield f"unix://{socket}"


@pytest.fixture
def free_ports() -> Iterator[range]:
    """Ports that nobody listens on, nor gets before the test ends."""
    block = ports.take()
    yield range(block.first, block.first + ports.SERVERS)
    block.close()


def start_redis(socket: Path) -> "RedisServer":
    """Start a redis-server on `socket`; use it in a `with` block."""
    return RedisServer(socket)


class RedisServer:
    """A redis-server without a TCP port, stopped at the end of the block."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--save", ""],
            cwd=self.socket.parent,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while not self._answers():
            assert process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.01)
        return process

    def _answers(self) -> bool:
        # The socket is there a moment before anybody listens on it.
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            try:
                return client.ping() is True
            except redis.ConnectionError:
                return False

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.socket.unlink(missing_ok=True)

    def start_again(self) -> None:
        self.process = self._start()

    def __enter__(self) -> "RedisServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    """A test that configures logging leaves nothing behind."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    if log._output.file is not None:
        log._output.open(None, console=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
    structlog.reset_defaults()
