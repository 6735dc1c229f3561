"""A real S3 server for the tests: SeaweedFS on loopback, and a proxy before it that cuts, slows, or talks nonsense.

One server serves all tests of a process. It dies with the process that started it, and leaves no file behind.
"""

import asyncio
import contextlib
import ctypes
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from base.settings import Settings
from recorder.vault import signed
from recorder.vault.signed import AccessKey
from tests import ports
from tests.authority import Authority

KEY: Final = AccessKey("hotline", "secret-of-the-store", "us-east-1")
READER: Final = AccessKey("reader", "secret-of-the-reader", "us-east-1")
"""It may not write."""
_DEATH_SIGNAL: Final = 1
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Seaweed:
    """The running server: `http://127.0.0.1:port`, and `https://127.0.0.1:tls`, whose certificate `ca` has signed."""

    port: int
    tls: int = 0
    ca: Path | None = None

    def settings(self, home: Path, bucket: str, **more: object) -> Settings:
        """Settings of a centre with this store."""
        given: dict[str, object] = {
            "home": home,
            "min_free_mb": 0,
            "recording_store": f"s3://{bucket}/centre",
            "store_endpoint": f"http://127.0.0.1:{self.port}",
            "store_key_id": KEY.id,
            "store_secret": KEY.secret,
        }
        return Settings.model_validate(given | more)

    def environment(self, bucket: str) -> dict[str, str]:
        """The same for a program that is started."""
        return {
            "HOTLINE_RECORDING_STORE": f"s3://{bucket}/centre",
            "HOTLINE_STORE_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "HOTLINE_STORE_KEY_ID": KEY.id,
            "HOTLINE_STORE_SECRET": KEY.secret,
        }

    def make(self, bucket: str, *, lock: bool = False) -> None:
        """Make a bucket."""
        self._put(bucket)
        if lock:
            self._put(
                bucket,
                "versioning",
                "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
            )
            enabled = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
            self._put(
                bucket,
                "object-lock",
                f"<ObjectLockConfiguration>{enabled}</ObjectLockConfiguration>",
            )

    def make_one(self, begin: str, *, lock: bool = False) -> str:
        """Make a bucket that no other test has, and give its name."""
        name = f"{begin}-{next(_numbers)}"
        self.make(name, lock=lock)
        return name

    def _put(self, bucket: str, what: str = "", body: str = "") -> None:
        url = f"http://127.0.0.1:{self.port}/{bucket}"
        query = signed.canonical_query({what: ""} if what else {})
        content = body.encode()
        head = signed.headers(KEY, "PUT", url, now=datetime.now(UTC), query=query, body=content)
        httpx.put(f"{url}?{query}", headers=head, content=content).raise_for_status()


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """The server, up in three to five seconds."""
    # Unix sockets lie in the temporary folder, whose name must be short.
    with (
        tempfile.TemporaryDirectory(prefix="sw", dir="/tmp") as folder,
        contextlib.closing(ports.take()) as block,
        _running(Path(folder), block.first) as made,
    ):
        yield made


@contextlib.contextmanager
def _running(folder: Path, first: int) -> Iterator[Seaweed]:
    identities = [
        {
            "name": access.id,
            "credentials": [{"accessKey": access.id, "secretKey": access.secret}],
            "actions": actions,
        }
        for access, actions in (
            (KEY, ["Admin", "Read", "Write", "List"]),
            (READER, ["Read", "List"]),
        )
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    servers = ("master", "volume", "filer", "s3")
    listens = dict(zip(servers, itertools.count(first)))
    tls = first + len(servers)
    authority = Authority(folder / "authority", "authority of the store")
    certificate, key = authority.sign("store")
    command = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        *(f"-{name}.port={port}" for name, port in listens.items()),
        *(f"-{name}.port.grpc={port + ports.SERVERS // 2}" for name, port in listens.items()),
        f"-s3.port.https={tls}",
        f"-s3.cert.file={certificate}",
        f"-s3.key.file={key}",
        f"-s3.config={folder / 's3.json'}",
        # These would open by themselves, and the last two say where the server runs or let anybody delete.
        "-s3.port.lance=0",
        "-s3.port.iceberg=0",
        "-master.telemetry=false",
        "-filer.disableHttp",
        # A bucket takes several volumes, and a misspelt one must not be made.
        "-volume.max=1000",
        "-master.volumeSizeLimitMB=64",
        "-s3.autoCreateBucket=false",
    ]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"HOME": str(folder), "TMPDIR": str(folder)},
            preexec_fn=_die_with_parent,  # noqa: PLW1509 only a system call
        )
        try:
            _wait(server, listens["s3"], folder / "log")
            yield Seaweed(listens["s3"], tls, authority.ca)
        finally:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=1).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)


class Proxy:
    """Between a program and the server. Its attributes may change at any time.

    `up`: connections are taken. `cut_after`: bytes from the program after which a connection is reset. `answer`: what
    is answered instead of asking the server. `silent`: nothing is answered. `seen`: the lines of the requests.
    `sent`, `received`: bytes, as the program sees them.
    """

    def __init__(self, port: int) -> None:
        self.up = True
        self.cut_after: int | None = None
        self.answer: bytes | None = None
        self.silent = False
        self.seen: list[str] = []
        self.sent = 0
        self.received = 0
        self._behind = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    def _cuts(self, passed: int) -> bool:
        return not self.up or (self.cut_after is not None and passed > self.cut_after)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.up:
            return
        if self.silent:
            await reader.read()
            return
        if self.answer is not None:
            await reader.read(65_536)
            writer.write(self.answer)
            await writer.drain()
            return
        behind, ahead = await asyncio.open_connection("127.0.0.1", self._behind)
        back = asyncio.get_running_loop().create_task(self._pump(behind, writer))
        passed = 0
        try:
            while block := await reader.read(65_536):
                passed += len(block)
                self.sent += len(block)
                self._note(block)
                if self._cuts(passed):
                    return
                ahead.write(block)
                await ahead.drain()
        finally:
            back.cancel()
            ahead.transport.abort()

    def _note(self, block: bytes) -> None:
        line = block.split(b"\r\n", 1)[0]
        if line.endswith(b"HTTP/1.1"):
            head = block.split(b"\r\n\r\n", 1)[0].decode(errors="replace")
            asked = [one for one in head.split("\r\n") if one.lower().startswith("range:")]
            self.seen.append(" ".join([line.decode(), *asked]))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while block := await reader.read(65_536):
                self.received += len(block)
                writer.write(block)
                await writer.drain()
            writer.transport.abort()


@contextlib.asynccontextmanager
async def proxied(seaweed: Seaweed) -> AsyncIterator[tuple[Proxy, Seaweed]]:
    """A proxy, and the server as it is seen through it."""
    proxy = Proxy(seaweed.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, Seaweed(server.sockets[0].getsockname()[1])
    finally:
        server.close()
