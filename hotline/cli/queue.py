"""`hotline queue …`: the rules of distribution. Each change is checked as a whole, and takes effect at once."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from acd.rules import book as rulebook
from acd.rules import edit as ruleedit
from acd.rules import text as ruletext
from acd.rules.model import DEFAULT, MANDARIN, Flag, Member, Number, Queue
from acd.rules.text import Rulebook, RulesError
from agents.pause import Pause
from base import clock
from facts.calendar import CalendarError, read_years
from facts.masking import mask
from facts.requests import RulesChanged
from facts.times import local, moment_of
from hotline.cli.tools import (
    JsonOrText,
    fail,
    form_of,
    note_look,
    notify_controller,
    print_rows,
    read_settings,
    with_database,
    write_file,
)

app = typer.Typer(help="Queues, numbers, skills: who gets which caller.", no_args_is_help=True)
number_app = typer.Typer(help="The hotline's numbers (R11, R12).", no_args_is_help=True)
member_app = typer.Typer(help="Who serves a queue.", no_args_is_help=True)
skill_app = typer.Typer(help="What agents can do, languages too (R9).", no_args_is_help=True)
flag_app = typer.Typer(help="Callers treated in a way of their own (R10).", no_args_is_help=True)
block_app = typer.Typer(help="Callers who are not let through (R18).", no_args_is_help=True)
hours_app = typer.Typer(help="Opening hours (R8).", no_args_is_help=True)
pause_app = typer.Typer(help="Reasons for a pause.", no_args_is_help=True)
app.add_typer(number_app, name="number")
app.add_typer(member_app, name="member")
app.add_typer(skill_app, name="skill")
app.add_typer(flag_app, name="flag")
app.add_typer(block_app, name="block")
app.add_typer(hours_app, name="hours")
app.add_typer(pause_app, name="pause")

By = Annotated[str, typer.Option("--by", help="who says so: a name or number")]


# --- queues


@app.command("list")
def list_(form: JsonOrText = "text") -> None:
    """List the queues."""
    book = _book()
    rules = book.rules(rulebook.defaults(read_settings()), read_settings().numbers)
    rows = [
        {
            "name": name,
            "strategy": queue.strategy.value,
            "priority": queue.priority,
            "numbers": sorted(n for n, one in rules.numbers.items() if one.queue == name),
            "members": [member.agent for member in rules.members if member.queue == name],
            "hours": queue.hours,
            "overflow_to": queue.overflow_to,
        }
        for name, queue in rules.queues.items()
    ]
    _print(rows, form, numbers=" ".join, members=lambda agents: " ".join(agents) or "everybody")


@app.command()
def show(name: str, form: JsonOrText = "text") -> None:
    """Show everything about one queue, and what of it was set."""
    book = _book()
    if name not in book.queues:
        fail(ruleedit.no_queue(name, book))
    queue = book.rules(rulebook.defaults(read_settings())).queues[name]
    rows = [
        {
            "setting": field,
            "value": getattr(queue, field),
            "set": field in book.queues[name],
            "meaning": known.meaning,
        }
        for field, known in ruletext.FIELDS.items()
    ]
    _print(rows, form, value=_plain, set=lambda own: "*" if own else "")


@app.command("set")
def set_(
    name: str,
    values: Annotated[
        list[str] | None, typer.Argument(help="such as ring_time=10; `ring_time=` takes it back")
    ] = None,
) -> None:
    """Change a queue, or add one. `hotline queue show default` lists what can be set."""
    _word("queue", ruletext.queue_name, name)
    given = [value.partition("=") for value in values or ()]
    if wrong := [key for key, equals, _ in given if not equals]:
        fail(f"{wrong[0]}: write setting=value, such as ring_time=10", status=2)
    try:
        read = {key: ruletext.read_setting(key, text) for key, _, text in given if text.strip()}
        dropped = {key for key, _, text in given if not text.strip()}
        for key in dropped:
            if key not in ruletext.FIELDS:
                ruletext.read_setting(key, "")
    except RulesError as error:
        fail(str(error), status=2)
    known = []

    def edit(book: Rulebook) -> Rulebook:
        known.append(name in book.queues)
        return ruleedit.set_queue(name, read, dropped)(book)

    _change(edit)
    print(f"queue {name} {'changed' if known[-1] else 'added'}")


@app.command()
def remove(name: str) -> None:
    """Remove a queue and its members. Callers who wait in it go on waiting in the queue `default`."""
    _change(ruleedit.remove_queue(name))
    print(f"queue {name} removed")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="TOML, as `export` writes it; - is standard input")],
) -> None:
    """Take rules from a file: all of it, or nothing when anything is wrong."""
    text = _read(file)
    _change(lambda book: ruletext.from_toml(text, book))
    print("the rules are in force")


@app.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="else standard output")] = None,
) -> None:
    """Write all rules as a file that people can change, and `import` reads. Blocked callers are not in it."""
    text = ruletext.to_toml(_book("queue export"))
    if file is None:
        print(text, end="")
        return
    write_file(file, text.encode())
    print(file)


@app.command()
def calendar(
    file: Annotated[
        Path, typer.Argument(help='JSON: {"2027": {"holidays": […], "makeup_workdays": […]}}')
    ],
) -> None:
    """Take years of the Chinese working calendar from a file (R8)."""
    text = _read(file)

    async def work(engine: AsyncEngine) -> list[str]:
        years = read_years(text)
        await rulebook.set_calendar(engine, years)
        return sorted(years)

    years = with_database(work, CalendarError)
    notify_controller(RulesChanged())
    print(f"the calendar knows {', '.join(years)}")


# --- numbers


@number_app.command("add")
def number_add(
    number: str,
    queue: Annotated[str, typer.Option("--queue")] = DEFAULT,
    language: Annotated[str, typer.Option("--language", help="a skill of agents")] = MANDARIN,
    label: Annotated[str, typer.Option("--label", help="its name in statistics")] = "",
) -> None:
    """Add a number, or lead it elsewhere. A running centre answers it at once."""
    _word("number", ruletext.number, number)
    _word("--language", ruletext.skill_name, language)
    added = Number(number, queue, language, _word("--label", ruletext.label, label))
    _change(lambda book: replace(book, numbers={**book.numbers, number: added}))
    print(f"number {number} leads to queue {queue}")


@number_app.command("remove")
def number_remove(number: str) -> None:
    """Forget a number. One of HOTLINE_NUMBERS then leads to the queue `default` again."""

    def edit(book: Rulebook) -> Rulebook:
        if number not in book.numbers:
            raise RulesError([f"number {number} was never added: see `hotline queue number list`"])
        return replace(book, numbers=_without(book.numbers, number))

    _change(edit)
    if number in read_settings().numbers:
        print(f"number {number} is in HOTLINE_NUMBERS: it leads to queue {DEFAULT} now")
    else:
        print(f"number {number} removed")


@number_app.command("list")
def number_list(form: JsonOrText = "text") -> None:
    """List the numbers and where they lead."""
    rules = _book().rules(Queue(), read_settings().numbers)
    _print(
        [
            {"number": n, "queue": one.queue, "language": one.language, "label": one.label}
            for n, one in sorted(rules.numbers.items())
        ],
        form,
    )


# --- members and skills


@member_app.command("add")
def member_add(
    agent: str,
    queue: str,
    penalty: Annotated[int, typer.Option("--penalty", help="smaller ones are offered first")] = 0,
) -> None:
    """Let an agent serve a queue. From its first member on, only members serve it."""
    member = Member(agent, queue, _word("--penalty", ruletext.penalty, penalty))
    _change(ruleedit.add_member(member))
    print(f"agent {agent} serves queue {queue}")


@member_app.command("remove")
def member_remove(agent: str, queue: str) -> None:
    """Let an agent no longer serve a queue."""
    book = _change(ruleedit.remove_member(agent, queue))
    print(f"agent {agent} is no member of queue {queue} any more")
    if not any(one.queue == queue for one in book.members):
        print(f"queue {queue} has no members left: everybody serves it now", file=sys.stderr)


@member_app.command("list")
def member_list(form: JsonOrText = "text") -> None:
    """List who serves which queue. A queue that is not here is served by all agents."""
    _print(
        [
            {"queue": one.queue, "agent": one.agent, "penalty": one.penalty}
            for one in _book().members
        ],
        form,
    )


@skill_app.command("set")
def skill_set(agent: str, skill: str, level: Annotated[int, typer.Argument()] = 5) -> None:
    """Say how well an agent can do something, from 1 to 9."""
    _word("skill", ruletext.skill_name, skill)
    _word("level", ruletext.level, level)

    def edit(book: Rulebook) -> Rulebook:
        own = {**book.skills.get(agent, {}), skill: level}
        return replace(book, skills={**book.skills, agent: own})

    _change(edit)
    print(f"agent {agent} has {skill} at level {level}")


@skill_app.command("remove")
def skill_remove(agent: str, skill: str) -> None:
    """Take a skill away from an agent."""

    def edit(book: Rulebook) -> Rulebook:
        own = book.skills.get(agent, {})
        if skill not in own:
            raise RulesError([f"agent {agent} has no skill {skill}"])
        left = _without(own, skill)
        others = _without(book.skills, agent)
        return replace(book, skills={**others, agent: left} if left else others)

    _change(edit)
    print(f"agent {agent} has {skill} no more")


@skill_app.command("list")
def skill_list(form: JsonOrText = "text") -> None:
    """List the agents' skills."""
    _print(
        [
            {"agent": agent, "skill": skill, "level": level}
            for agent, skills in sorted(_book().skills.items())
            for skill, level in sorted(skills.items())
        ],
        form,
    )


# --- flags


@flag_app.command("add")
def flag_add(
    caller: str,
    priority: Annotated[int, typer.Option("--priority", help="0 to 9, the highest")] = 0,
    note: Annotated[str, typer.Option("--note", help="shown to agents")] = "",
) -> None:
    """Flag a caller, who then goes straight to a person, with this priority (R10)."""
    who = _word("caller", ruletext.caller, caller)
    flag = Flag(
        who,
        _word("--priority", ruletext.flag_priority, priority),
        _word("--note", ruletext.note, note),
    )
    _change(lambda book: replace(book, flags={**book.flags, who: flag}))
    print(f"caller {mask(who)} is flagged")


@flag_app.command("remove")
def flag_remove(caller: str) -> None:
    """Take a caller's flag away."""
    who = _word("caller", ruletext.caller, caller)

    def edit(book: Rulebook) -> Rulebook:
        if who not in book.flags:
            raise RulesError([f"caller {mask(who)} has no flag"])
        return replace(book, flags=_without(book.flags, who))

    _change(edit)
    print(f"caller {mask(who)} is not flagged any more")


@flag_app.command("list")
def flag_list(form: JsonOrText = "text") -> None:
    """List the flagged callers; their whole numbers are in the JSON only."""
    _print(
        [
            {"caller": flag.caller, "priority": flag.priority, "note": flag.note}
            for flag in _book("queue flag list").flags.values()
        ],
        form,
        caller=mask,
    )


# --- blocked callers


@block_app.command("add")
def block_add(
    caller: str,
    reason: Annotated[str, typer.Option("--reason")],
    by: By,
    days: Annotated[float, typer.Option("--days", help="how long it holds")] = 30.0,
    until: Annotated[
        str, typer.Option("--until", help="or its end, such as 2026-03-01T00:00 in China")
    ] = "",
) -> None:
    """Ask for a block. It is in force once a second person has approved it."""
    who, now = _word("caller", ruletext.caller, caller), clock.now()
    wanted = rulebook.Block(
        caller=who,
        reason=_word("--reason", ruletext.note, reason),
        asked_by=_word("--by", ruletext.label, by),
        approved_by="",
        added_at=now,
        until=_until(until, days, now),
    )
    _blocks(lambda engine: rulebook.block(engine, wanted, now))
    print(f"caller {mask(who)}: the block until {_minute(wanted.until)} waits for approval")


@block_app.command("approve")
def block_approve(caller: str, by: By) -> None:
    """Put a block into force. The person who asked for it may not do so."""
    who, name = _word("caller", ruletext.caller, caller), _word("--by", ruletext.label, by)
    _blocks(lambda engine: rulebook.approve(engine, who, name, clock.now()))
    print(f"caller {mask(who)} is blocked")


@block_app.command("remove")
def block_remove(caller: str) -> None:
    """Let a caller through again."""
    who = _word("caller", ruletext.caller, caller)
    _blocks(lambda engine: rulebook.unblock(engine, who))
    print(f"caller {mask(who)} is let through")


@block_app.command("list")
def block_list(form: JsonOrText = "text") -> None:
    """List the blocks with how often each was applied; whole numbers are in the JSON only."""
    now = clock.now()

    async def work(engine: AsyncEngine) -> list[rulebook.Block]:
        await note_look(engine, "queue block list")
        return await rulebook.blocks(engine)

    rows = [
        {
            "caller": one.caller,
            "state": _state(one, now),
            "calls": one.calls,
            "reason": one.reason,
            "asked_by": one.asked_by,
            "approved_by": one.approved_by,
            "added": _minute(one.added_at),
            "until": _minute(one.until),
        }
        for one in with_database(work)
    ]
    _print(rows, form, caller=mask)


def _state(one: rulebook.Block, now: int) -> str:
    if one.in_force(now):
        return "in force"
    return "ended" if one.approved_by or one.until <= now else "to approve"


def _until(text: str, days: float, now: int) -> int:
    try:
        if not text:
            return now + round(timedelta(days=days) / timedelta(microseconds=1))
        return moment_of(text)
    except (ValueError, OverflowError):
        fail("--until: write a time such as 2026-03-01T00:00, or --days 30", status=2)


def _minute(at: int) -> str:
    return f"{local(at):%Y-%m-%d %H:%M}"


# --- opening hours and pauses


@hours_app.command("set")
def hours_set(
    name: str,
    times: Annotated[list[str], typer.Argument(help="such as mon-fri=08:00-18:00 holidays=closed")],
) -> None:
    """Set opening hours as a whole. A queue has them after `hotline queue set QUEUE hours=NAME`."""
    _word("hours", ruletext.queue_name, name)
    given = [one.partition("=") for one in times]
    read = {which: _word(which, partial(ruletext.opening, which), said) for which, _, said in given}
    _change(lambda book: replace(book, hours={**book.hours, name: read}))
    print(f"hours {name} set")


@hours_app.command("remove")
def hours_remove(name: str) -> None:
    """Remove opening hours that no queue names."""

    def edit(book: Rulebook) -> Rulebook:
        if name not in book.hours:
            raise RulesError([f"there are no hours {name}"])
        return replace(book, hours=_without(book.hours, name))

    _change(edit)
    print(f"hours {name} removed")


@hours_app.command("list")
def hours_list(form: JsonOrText = "text") -> None:
    """List the opening hours."""
    _print(
        [{"name": name, "times": dict(times)} for name, times in sorted(_book().hours.items())],
        form,
        times=lambda times: ", ".join(f"{which} {said}" for which, said in times.items()),
    )


@pause_app.command("set")
def pause_set(
    key: Annotated[str, typer.Argument(help="the digit after *12")],
    name: Annotated[str, typer.Option("--name", help="such as 用餐")],
    minutes: Annotated[int, typer.Option("--minutes", help="allowed length; 0: any")] = 0,
) -> None:
    """Give a key of `*12` a reason, and how long such a pause may last."""
    pause = Pause(
        _word("key", ruletext.pause_key, key),
        _word("--name", ruletext.label, name),
        _word("--minutes", ruletext.pause_minutes, minutes),
    )

    def edit(book: Rulebook) -> Rulebook:
        others = [one for one in book.pauses if one.key != key]
        return replace(book, pauses=tuple(sorted([*others, pause], key=lambda one: one.key)))

    _change(edit)
    print(f"*12{key} is {pause.name}")


@pause_app.command("remove")
def pause_remove(key: str) -> None:
    """Take the reason of a key away."""

    def edit(book: Rulebook) -> Rulebook:
        left = tuple(one for one in book.pauses if one.key != key)
        if left == book.pauses:
            raise RulesError([f"*12{key} has no reason"])
        return replace(book, pauses=left)

    _change(edit)
    print(f"*12{key} has no reason any more")


@pause_app.command("list")
def pause_list(form: JsonOrText = "text") -> None:
    """List the reasons for a pause."""
    _print(
        [{"key": one.key, "name": one.name, "minutes": one.minutes} for one in _book().pauses],
        form,
    )


# --- helpers


def _book(shows_callers_by: str = "") -> Rulebook:
    """The rules. A command that shows the flagged callers names itself, for the audit log."""

    async def work(engine: AsyncEngine) -> Rulebook:
        if shows_callers_by:
            await note_look(engine, shows_callers_by)
        return await rulebook.read(engine)

    return with_database(work)


def _change(edit: Callable[[Rulebook], Rulebook]) -> Rulebook:
    """Change the rules in the database, and in the running controller."""
    settings = read_settings()
    defaults, own = rulebook.defaults(settings), settings.numbers
    book = with_database(lambda engine: rulebook.change(engine, edit, defaults, own), RulesError)
    notify_controller(RulesChanged())
    return book


def _blocks(work: Callable[[AsyncEngine], Any]) -> None:
    with_database(work, RulesError)
    notify_controller(RulesChanged())


def _word(what: str, read: Callable[[Any], Any], value: Any) -> Any:
    """A word of the command line, or the end of the program with what it may be."""
    try:
        return read(value)
    except ValueError as error:
        fail(f"{what}: {error}", status=2)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}", status=2)
    except UnicodeDecodeError:
        fail(f"{file} is not UTF-8: save it as UTF-8, then again", status=2)


def _without(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}:{level}" for name, level in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print(rows: list[dict[str, Any]], form: str, **shown: Callable[[Any], str]) -> None:
    """Print rows; `shown` says how columns look in text."""
    if form_of(form, "text", "json") == "text":
        rows = [
            {name: shown[name](one) if name in shown else one for name, one in row.items()}
            for row in rows
        ]
    print_rows(rows, form)
