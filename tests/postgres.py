"""A PostgreSQL of our own: the machine's programs, a folder of ours, a socket in it and no TCP port."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import pytest

_names = count(1)


class PostgresServer:
    """A running server. It refuses to run as root, so as root it is run by `postgres`, or else by `nobody`."""

    def __init__(self, programs: Path) -> None:
        # Not below pytest's own folder: that one is for its owner alone, and a socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._programs = programs
        self._as = (
            [] if os.geteuid() else ["setpriv", f"--reuid={_other()}", "--clear-groups", "--"]
        )
        if self._as:
            shutil.chown(self.folder, _other())
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-A", "trust", "-U", "hotline", "-E", "UTF8", "--no-sync")
        self._options = f"-h '' -k {self.folder} -N 40 -F"
        self.start()

    def start(self) -> None:
        self._control("start", "-l", str(self.folder / "log"), "-o", self._options)

    def stop(self, mode: str = "immediate") -> None:
        """`immediate`: as if it had crashed."""
        self._control("stop", "-m", mode)

    @contextmanager
    def away(self, how: str = "crash") -> Iterator[None]:
        """Not there meanwhile: after a `crash`, or a `stop` as an operator orders it."""
        self.stop("immediate" if how == "crash" else "fast")
        try:
            yield
        finally:
            self.start()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It takes connections meanwhile, for the kernel does, and answers nothing."""
        pid = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        parent = psutil.Process(int(pid))
        stopped = [parent, *parent.children()]
        for one in stopped:
            one.suspend()
        try:
            yield
        finally:
            for one in stopped:
                one.resume()

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://hotline@/{database}?host={self.folder}"

    def create(self, database: str) -> None:
        self._run("createdb", "-h", str(self.folder), "-U", "hotline", database)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        # Not a pipe: the server would inherit it, and keep it open.
        with (self.folder / f"{program}.out").open("w+") as out:
            done = subprocess.run(command, cwd="/", stdout=out, stderr=out, check=False, timeout=60)
            out.seek(0)
            assert done.returncode == 0, f"{program}: {out.read()}"


def _other() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def programs() -> Path | None:
    """Where the newest installed server's programs lie: Debian keeps them off PATH."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")]
    if found:
        return max(found, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    on_path = shutil.which("pg_ctl")
    return Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for the whole session."""
    installed = programs()
    if installed is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(installed)
    yield server
    server.remove()


@pytest.fixture
def postgresql_url(postgres_server: PostgresServer) -> str:
    """The address of a new, empty database."""
    name = f"test{next(_names)}"
    postgres_server.create(name)
    return postgres_server.url(name)
