"""`hotline callback`: the book of callbacks by hand, from a file, and on the screen (回访, 漏接回拨)."""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple, NotRequired

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import TypedDict

from acd.callbacks import book as callback_book
from acd.callbacks.entry import ATTEMPTS, SPACING, Entry, TaskError, Wanted, checked
from acd.callbacks.task import State
from acd.rules import book as rulebook
from acd.rules.model import Rules
from agents import roster
from base import clock
from base.bus import Bus, NoAnswer, Refused
from base.settings import Settings
from facts import CallbackCancelled, CallbackEnded, CallbackMerged, CallbackYielded, Fact, details
from facts.live import Json
from facts.masking import mask
from facts.requests import AddCallback, CancelCallback, GetStatus, Reply, Request
from facts.times import CHINA, SECOND, local, microseconds
from hotline.cli.tools import JsonOrText, fail, form_of, note_look, read_settings, with_database

app = typer.Typer(help="Citizens who are to be called back.", no_args_is_help=True)

COLUMNS = ("number", "queue", "after", "before", "agent", "reason")
"""The header of a file for `import`; only the number is needed."""

MOST_ROWS = 100_000
"""Rows of one file: weeks of work for a hotline."""

_MINUTE = 60 * SECOND
_TIMES = "18:00, +2h, +1d, 2025-11-21 or 2025-11-21T18:00 (in China)"

After = Annotated[str, typer.Option("--after", help=f"not earlier: {_TIMES}")]
Before = Annotated[str, typer.Option("--before", help=f"in time for: {_TIMES}")]


@app.command("add")
def add(
    number: Annotated[str, typer.Argument(help="number to call")],
    queue: Annotated[str, typer.Option("--queue", help="whose agents may do it")] = "",
    after: After = "",
    before: Before = "",
    agent: Annotated[str, typer.Option("--agent", help="the agent who should do it")] = "",
    reason: Annotated[str, typer.Option("--reason", help="what the agent reads")] = "",
    matter: Annotated[str, typer.Option("--matter", help="the work order it belongs to")] = "",
    attempts: Annotated[int, typer.Option("--attempts", help="how often at most")] = ATTEMPTS,
    spacing: Annotated[
        int, typer.Option("--spacing", help="minutes between two attempts")
    ] = SPACING // _MINUTE,
) -> None:
    """Have a citizen called back."""
    settings = read_settings()

    async def work(engine: AsyncEngine) -> int:
        now = clock.now()
        asked = Wanted(
            number=number,
            queue=queue,
            earliest=_moment(after, now, "--after"),
            latest=_moment(before, now, "--before", end=True),
            prefers=agent,
            reason=reason,
            matter=matter,
            attempts=attempts,
            spacing=spacing * _MINUTE,
        )
        book = await _Book.open(engine, settings)
        try:
            return await book.enter(asked, now)
        finally:
            await book.close()

    print(f"callback {with_database(work, TaskError, _SilentError)} added")
    _say_when_there_is_no_way_out(settings)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with the header " + ",".join(COLUMNS))],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what is wrong")] = False,
) -> None:
    """Enter the callbacks of a file. Bad rows are named and left out; then the status is 1."""
    settings = read_settings()
    try:
        text = decode(file.read_bytes())
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    except TaskError as error:
        fail(f"{file}: {error}")

    async def work(engine: AsyncEngine) -> tuple[int, int]:
        now = clock.now()
        book = await _Book.open(engine, settings)
        good = bad = 0
        try:
            for row in read_rows(text, now):
                try:
                    if isinstance(row.wanted, TaskError):
                        raise row.wanted
                    if dry_run:
                        await book.check_alone(row, now)
                    else:
                        await book.enter(row.wanted, now)
                    good += 1
                except TaskError as error:
                    bad += 1
                    print(f"line {row.line}: {error}", file=sys.stderr)
        except _SilentError as silent:
            raise _SilentError(f"{silent}; {good} rows were entered before that") from None
        finally:
            await book.close()
        return good, bad

    good, bad = with_database(work, TaskError, _SilentError)
    print(f"{'good rows' if dry_run else 'entered'}: {good}, bad rows: {bad}")
    _say_when_there_is_no_way_out(settings)
    sys.exit(1 if bad else 0)


@app.command("list")
def list_(
    form: JsonOrText = "text",
    state: Annotated[
        str, typer.Option("--state", help=f"one of {', '.join(State)}, or several: due,missed")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", help="the newest, at most this many")] = 10_000,
) -> None:
    """List the callbacks with what has become of them."""
    form_of(form, "text", "json")
    names = [name.strip() for name in state.split(",") if name.strip()]
    for name in names:
        if name not in set(State):
            fail(f"--state {name}: there is {', '.join(State)}", status=2)
    settings = read_settings()
    states = [State(name) for name in names] or list(State)

    async def work(engine: AsyncEngine) -> list[Entry]:
        await note_look(engine, "callback list", state=",".join(names), limit=limit)
        return await callback_book.find_all(engine, states, max(1, limit))

    rows = [as_json(entry) for entry in with_database(work)]
    if form == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print(_as_table(rows), end="")
    _say_when_there_is_no_way_out(settings)


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="the callback's number in the list")],
    form: JsonOrText = "text",
) -> None:
    """Show one callback with its history."""
    form_of(form, "text", "json")

    async def work(engine: AsyncEngine) -> tuple[Entry, list[Fact]]:
        await note_look(engine, "callback show", number)
        entry = await callback_book.find(engine, number)
        if entry is None:
            raise TaskError(f"there is no callback {number}: `hotline callback list` shows them")
        return entry, await callback_book.history(engine, entry)

    entry, facts = with_database(work, TaskError)
    shown = as_json(entry)
    if form == "json":
        shown["history"] = [_fact_as_json(fact) for fact in facts]
        print(json.dumps(shown, ensure_ascii=False, indent=1))
        return
    shown["number"] = mask(entry.number)
    for name, value in shown.items():
        print(f"{name + ':':15}{'' if value is None else value}".rstrip())
    print()
    for fact in facts:
        print(f"{_second(fact.at)}  {_in_words(fact)}")


@app.command("cancel")
def cancel(
    number: Annotated[int, typer.Argument(metavar="ID", help="the callback's number in the list")],
) -> None:
    """Take a callback back. A citizen who has answered already is not cut off."""
    settings = read_settings()

    async def work(engine: AsyncEngine) -> str:
        book = await _Book.open(engine, settings)
        try:
            return await book.cancel(number)
        finally:
            await book.close()

    print(with_database(work, TaskError, _SilentError))


# --- the book, through the controller or without one


class _SilentError(Exception):
    """The controller does not answer, though it runs. The message is fit to be shown as it is."""


class _Book:
    """Where callbacks are entered: the running controller, else the database. The first request finds out which."""

    def __init__(
        self, engine: AsyncEngine, settings: Settings, bus: Bus, rules: Rules, agents: set[str]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._bus = bus
        self._rules = rules
        self._agents = agents
        self._controller: bool | None = None
        self._seen: dict[tuple[str, str], int] = {}

    @classmethod
    async def open(cls, engine: AsyncEngine, settings: Settings) -> "_Book":
        defaults = rulebook.defaults(settings)
        rules = await rulebook.load(engine, defaults, settings.numbers)
        agents = {agent.number for agent in await roster.list_all(engine)}
        return cls(engine, settings, Bus(settings.redis, settings.node), rules, agents)

    async def _has_controller(self) -> bool:
        if self._controller is not None:
            return self._controller
        try:
            await self._bus.ask(GetStatus())
            self._controller = True
        except NoAnswer:
            if await self._alive():
                raise _SilentError("the controller runs, but does not answer: try again") from None
            self._controller = False
            print(
                "no controller can be reached: this is written down; one that runs takes it up within some "
                "seconds, another at its start",
                file=sys.stderr,
            )
        return self._controller

    async def _alive(self) -> bool:
        try:
            state = await self._bus.live()
        except (RedisError, OSError):
            return False
        return state is not None and clock.now() - int(state["at"]) < 5 * SECOND

    async def check_alone(self, row: "Row", now: int) -> None:
        """Whether a row of a file could be entered after those before it. Raises `TaskError`."""
        if isinstance(row.wanted, TaskError):
            raise row.wanted
        wanted = self.check(row.wanted, now)
        await callback_book.check_alone(self._engine, wanted)
        line = self._seen.setdefault((wanted.number, wanted.matter), row.line)
        if line != row.line:
            raise TaskError(f"the same number as line {line}")

    def check(self, asked: Wanted, now: int) -> Wanted:
        return checked(asked, self._rules, self._agents, now, callback_book.policy(self._settings))

    async def enter(self, asked: Wanted, now: int) -> int:
        wanted = self.check(asked, now)
        if not await self._has_controller():
            return await callback_book.enter_directly(self._engine, self._settings.run_dir, wanted)
        # What was not said is left to the controller, whose clock has gone on.
        request = AddCallback(
            number=asked.number,
            queue=asked.queue,
            earliest=asked.earliest,
            latest=asked.latest,
            prefers=asked.prefers,
            reason=asked.reason,
            matter=asked.matter,
            attempts=asked.attempts,
            spacing=asked.spacing,
        )
        return (await self._ask(request)).id

    async def cancel(self, number: int) -> str:
        if await self._has_controller():
            return (await self._ask(CancelCallback(number))).said
        await callback_book.cancel_directly(self._engine, self._settings.run_dir, number)
        return f"callback {number} cancelled"

    async def _ask(self, asked: Request) -> Reply:
        try:
            return await self._bus.ask(asked, wait=5.0)
        except Refused as refused:
            raise TaskError(str(refused)) from None
        except NoAnswer:
            raise _SilentError(
                "the controller stopped answering: look at `hotline callback list` before you try again"
            ) from None

    async def close(self) -> None:
        await self._bus.close()


def _say_when_there_is_no_way_out(settings: Settings) -> None:
    if not settings.calls_out:
        print(
            "no way out is configured: callbacks stay due until HOTLINE_OUTBOUND names one, "
            "such as sip:127.0.0.1:5090, or trunks.toml in the home has a trunk",
            file=sys.stderr,
        )


# --- what is typed


_AHEAD = re.compile(r"\+(?=[0-9])(?:([0-9]{1,3})d)?(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?")


def _moment(text: str, now: int, name: str, *, end: bool = False) -> int:
    """A time as people write it, as microseconds UTC; 0 for none. A day alone begins, or with `end` ends, a time."""
    text = text.strip()
    if not text:
        return 0
    if found := _AHEAD.fullmatch(text):
        days, hours, minutes = (int(part or 0) for part in found.groups())
        return (
            now + round(timedelta(days=days, hours=hours, minutes=minutes).total_seconds()) * SECOND
        )
    try:
        if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}", text):
            hour, minute = map(int, text.split(":"))
            moment = local(now).replace(hour=hour, minute=minute, second=0, microsecond=0)
        else:
            moment = datetime.fromisoformat(text)
            if end and re.fullmatch(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}", text):
                moment += timedelta(days=1)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=CHINA)
        at = microseconds(moment)
    except (ValueError, OverflowError):
        at = -1
    if not 0 < at < 2**53:
        raise TaskError(f"{name} {text[:40]!r}: write a time such as {_TIMES}")
    return at


class Row(NamedTuple):
    """One row of a file: the line it begins on, and what it wants, or why it cannot be read."""

    line: int
    wanted: Wanted | TaskError


def decode(data: bytes) -> str:
    """The text of a file that Excel or anything else has written: UTF-8, UTF-16 with its mark, or GB18030 (GBK)."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TaskError("this is neither UTF-8 nor GB18030: save it as CSV UTF-8")


def read_rows(text: str, now: int) -> Iterator[Row]:
    """The rows of a CSV file with the header `COLUMNS`, in any order; empty rows are left out.

    Raises `TaskError` when the header cannot be used, or there are too many rows.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    seen: dict[tuple[str, ...], int] = {}
    end = 0
    while True:
        line = end + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            # What follows an open quotation mark cannot be told apart any more.
            yield Row(line, TaskError(f"this is not CSV ({error}); what follows was not read"))
            return
        end = reader.line_num
        if not any(cells):
            continue
        if header is None:
            header = _header(cells)
            continue
        if len(seen) >= MOST_ROWS:
            raise TaskError(f"more than {MOST_ROWS} rows: split the file")
        key = tuple(cells)
        if key in seen:
            yield Row(line, TaskError(f"the same as line {seen[key]}"))
            continue
        seen[key] = line
        yield Row(line, _wanted(header, cells, now))
    if header is None:
        raise TaskError(f"the file is empty: its first line must be {','.join(COLUMNS)}")


def _header(cells: list[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    for name in names:
        if name not in COLUMNS:
            raise TaskError(
                f"the first line has the unknown column {name[:40]!r}: it must be {','.join(COLUMNS)}"
            )
    if "number" not in names or len(set(names)) < len(names):
        raise TaskError(f"the first line must be {','.join(COLUMNS)}, with each column once")
    return names


def _wanted(header: list[str], cells: list[str], now: int) -> Wanted | TaskError:
    if len(cells) > len(header):
        return TaskError(f"{len(cells)} cells where {len(header)} columns are: quote the commas")
    row = dict(zip(header, cells, strict=False))
    try:
        return Wanted(
            number=row["number"] if row.get("number") else "",
            queue=row.get("queue", ""),
            earliest=_moment(row.get("after", ""), now, "after"),
            latest=_moment(row.get("before", ""), now, "before", end=True),
            prefers=row.get("agent", ""),
            reason=row.get("reason", ""),
        )
    except TaskError as error:
        return error


# --- what is shown


class CallbackRow(TypedDict):
    """One callback as it is shown. Times are ISO 8601 with their offset.

    `next`: the next attempt, None unless due. `agent`: the preferred one. `worked_by`: who had it last. `origin`: the
    lost call that it is for. `history`: with `callback show` only, its facts, oldest first.
    """

    id: int
    number: str
    queue: str
    state: str
    attempts: int
    attempts_left: int
    yields: int
    after: str
    before: str
    next: str | None
    agent: str | None
    worked_by: str | None
    reason: str
    matter: str
    origin: str | None
    first: bool
    last_failure: str | None
    added: str
    updated: str
    history: NotRequired[list[dict[str, Json]]]


def as_json(entry: Entry) -> CallbackRow:
    """One callback as it is shown, without its history."""
    return {
        "id": entry.id,
        "number": entry.number,
        "queue": entry.queue,
        "state": entry.state.value,
        "attempts": entry.attempts,
        "attempts_left": entry.attempts_left,
        "yields": entry.yields,
        "after": _iso(entry.earliest),
        "before": _iso(entry.latest),
        "next": _iso(entry.not_before) if entry.state is State.DUE else None,
        "agent": entry.prefers or None,
        "worked_by": entry.agent or None,
        "reason": entry.reason,
        "matter": entry.matter,
        "origin": entry.origin or None,
        "first": entry.first,
        "last_failure": entry.last_failure or None,
        "added": _iso(entry.added_at),
        "updated": _iso(entry.updated_at),
    }


def _as_table(rows: Sequence[CallbackRow]) -> str:
    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("id", "number", "queue", "state", "attempts", "yields", "after", "before"):
        right = name in {"id", "attempts", "yields"}
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("agent", no_wrap=True)
    table.add_column("reason", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row["id"]),
            mask(row["number"]),
            row["queue"],
            row["state"],
            str(row["attempts"]),
            str(row["yields"]),
            row["after"][:16].replace("T", " "),
            row["before"][:16].replace("T", " "),
            row["worked_by"] or row["agent"] or "",
            row["reason"],
        )
    out = io.StringIO()
    Console(file=out, width=120, highlight=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _fact_as_json(fact: Fact) -> dict[str, Json]:
    return {
        "at": local(fact.at).isoformat(timespec="microseconds"),
        "kind": fact.kind,
        "call": getattr(fact, "call", "") or None,
        "agent": getattr(fact, "agent", "") or None,
        **{name: value for name, value in details(fact).items() if name not in _KNOWN},
    }


_KNOWN = {"callback", "number", "earliest", "latest"}
"""What the callback itself says already."""


def _in_words(fact: Fact) -> str:
    words = fact.kind.removeprefix("Callback").lower()
    if agent := getattr(fact, "agent", ""):
        words += f", agent {agent}"
    match fact:
        case CallbackEnded(failure=failure, hung_up_by=party):
            return f"{words}: {failure or f'talked, {party} hung up'}"
        case CallbackYielded(inbound=inbound):
            return f"{words} to {inbound}"
        case CallbackMerged(call=call):
            return f"{words}: gave up again in {call}"
        case CallbackCancelled(why=why):
            return f"{words}: {why}"
    return words


def _iso(at: int) -> str:
    return local(at).isoformat(timespec="seconds")


def _second(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M:%S}"
