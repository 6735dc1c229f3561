"""What the commands of `hotline` share: settings, database, controller, failing with a sentence, printing.

A command's own module (`hotline/cli/`) exposes a typer `app`, which `hotline.cli.main` adds with one line.
"""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, database, files, migrations, privileges
from base.settings import Settings, SettingsError
from base.settings import load as load_settings
from facts.live import LiveState
from facts.requests import Request
from hotline.cli.reading import opened

if TYPE_CHECKING:
    from base.bus import Bus

T = TypeVar("T")
JsonOrText = Annotated[str, typer.Option("--format", help="text or json")]
LANGUAGES = ("zh", "en")


def _language_of(value: str) -> str:
    if value not in LANGUAGES:
        fail(f"--lang {value}: there is {', '.join(LANGUAGES)}", status=2)
    return value


Language = Annotated[
    str, typer.Option("--lang", help=" or ".join(LANGUAGES), callback=_language_of)
]


def read_settings() -> Settings:
    """The settings, or the end of the program with what is wrong about them. From then on this is `HOTLINE_USER`."""
    try:
        settings = load_settings()
        privileges.become(settings)
        return settings
    except SettingsError as error:
        fail(str(error))


def fail(message: str, status: int = 1) -> NoReturn:
    """End the program with a sentence on standard error."""
    print(f"hotline: {message}", file=sys.stderr)
    sys.exit(status)


def write_file(path: Path, content: bytes, status: int = 1) -> None:
    """Write a file that the operator named: the whole of it, or the end of the program with why not."""
    try:
        files.put(path, content)
    except OSError as error:
        kept = ". The file of before is as it was" if path.is_file() else ""
        fail(files.why(path, error) + kept, status)


def form_of(value: str, *known: str) -> str:
    """Check what was given as `--format`."""
    if value not in known:
        fail(f"--format {value}: there is {', '.join(known)}", status=2)
    return value


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; its known errors end the program with their sentence."""
    from hotline.machine.programs import ProgramError

    try:
        return asyncio.run(work)
    except (ProgramError, migrations.DatabaseError, SettingsError) as error:
        fail(str(error))


def run_forever(work: Coroutine[Any, Any, None]) -> None:
    """Run a program on uvloop: it halves the CPU of AGI sessions."""
    import uvloop

    from hotline.machine.programs import ProgramError

    try:
        uvloop.run(work)
    except (ProgramError, migrations.DatabaseError, SettingsError) as error:
        fail(str(error))


def with_database(
    work: Callable[[AsyncEngine], Coroutine[Any, Any, T]],
    *expected: type[Exception],
    status: int = 1,
) -> T:
    """Open the database, bring it up to date, do the work, close it."""
    settings = read_settings()
    # Standard output is the command's answer, which another program may read.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    async def run() -> T:
        async with opened(settings) as engine:
            return await work(engine)

    try:
        return asyncio.run(run())
    except expected as error:
        fail(str(error), status=status)
    except migrations.DatabaseError as error:
        fail(str(error), status=status)
    except database.FAILED as error:
        fail(f"the database cannot be used ({settings.root}): {database.why(error)}", status=status)
    except OSError as error:
        if not error.filename:
            raise  # the answer cannot be written, which `main` says
        fail(f"{error.filename}: {error.strerror or error}", status=status)


async def note_look(
    engine: AsyncEngine,
    command: str,
    *what: object,
    why: str = "",
    who: str = "",
    **asked: object,
) -> None:
    """Enter into the audit log who is about to see citizens' data. Without the log the operator sees them all the same.

    `what`: which call or callback; `asked`: what was searched; `why`: the reason that the operator gave.
    `who`: an account that signed in for the command, instead of the operator.
    """
    from web.accounts import audit

    try:
        async with asyncio.timeout(_LOG_WITHIN):
            await audit.write(
                engine,
                at=clock.now(),
                who=who or operator(),
                role="",
                address="",
                action=f"hotline {command}",
                values={str(number): str(one) for number, one in enumerate(what)},
                asked=audit.searched({name: str(value) for name, value in asked.items()}),
                status=audit.COMMAND,
                why=why,
            )
    except database.FAILED as error:
        print(
            f"hotline: this look is not in the audit log ({type(error).__name__}): tell whoever keeps it",
            file=sys.stderr,
        )


_LOG_WITHIN = 10.0
"""Seconds; SQLite alone waits five for another writer."""


def operator() -> str:
    """Who uses the command line, as `cli:NAME` of the system; their number if it has no name, as in a container."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"cli:{name}"


def with_bus(work: Callable[["Bus"], Coroutine[Any, Any, T]]) -> T:
    """Open the bus, do the work, close it."""
    from base.bus import Bus

    settings = read_settings()

    async def run() -> T:
        bus = Bus(settings.redis, settings.node)
        try:
            return await work(bus)
        finally:
            await bus.close()

    return asyncio.run(run())


def ask_controller(asked: Request) -> None:
    """Have the running controller do something, and print what it says."""
    from base.bus import NoAnswer, Refused

    try:
        reply = with_bus(lambda bus: bus.ask(asked))
    except (NoAnswer, Refused) as error:
        fail(str(error))
    print(reply.said)


def notify_controller(changed: Request) -> None:
    """Let a running controller know at once; one that starts later reads the database anyhow."""
    from base.bus import NoAnswer, Refused

    try:
        with_bus(lambda bus: bus.ask(changed))
    except NoAnswer:
        return
    except Refused as error:
        fail(str(error))


def live_state() -> LiveState | None:
    """What the running controller shows, at most five seconds old; None without one."""
    from redis.exceptions import RedisError

    try:
        live: LiveState | None = with_bus(lambda bus: bus.live())
    except (RedisError, OSError):
        return None
    if live is None or clock.now() - live["at"] > 5_000_000:
        return None
    return live


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, if that is a terminal: call what it gives with how much is done, and of how much."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def print_table(rows: Sequence[Mapping[str, object]], width: int | None = None) -> None:
    """Print rows of the same keys; the keys are the heading. `width`: in columns, where a terminal's is not enough."""
    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=width).print(table)


def print_rows(rows: Sequence[Mapping[str, object]], form: str) -> None:
    """Print rows as a table, or as JSON when `--format json` was given."""
    if form_of(form, "text", "json") == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print_table(rows)
