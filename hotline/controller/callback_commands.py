"""Commands about callbacks from the bus: `callback.add` and `callback.cancel`, checked and carried out."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import structlog

from acd.callbacks.book import BY_HAND, TaskBook, still_open
from acd.callbacks.entry import Entry, TaskError, Wanted, checked
from acd.callbacks.task import State
from acd.desk import Desk
from base import clock
from base.bus import Refused
from facts import CallbackCancelled

log = structlog.get_logger(__name__)


async def add(book: TaskBook, desk: Desk, args: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out `callback.add`. `args` are the fields of `Wanted`. Raises `Refused`.

    Gives `id`, the task's number, and `said`, a sentence.
    """
    agents = {number for number, seat in desk.floor.seats.items() if not seat.removed}
    try:
        wanted = checked(wanted_of(args), desk.floor.rules, agents, clock.now())
    except TaskError as error:
        raise Refused(str(error)) from None
    try:
        fact = await book.enter(wanted)
    except Exception as error:
        log.exception("callback.not_entered")
        raise Refused("the database is away: nothing was entered, try again later") from error
    desk.post(fact)
    return {"id": fact.callback, "said": f"callback {fact.callback} added"}


async def cancel(book: TaskBook, desk: Desk, args: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out `callback.cancel`; `args` has `id`. Raises `Refused`. An answered callback is never cut."""
    try:
        number = int(args["id"])
    except (KeyError, TypeError, ValueError):
        raise Refused("callback.cancel: id must be a whole number") from None
    if number not in desk.floor.tasks:
        desk.take_up([book.adopt(await _still_open(book, number))])
    task = desk.floor.tasks.get(number)
    if task is None:
        raise Refused(f"callback {number} is over already: its latest time is past")
    if task.state is State.TALKING:
        raise Refused(f"callback {number}: the citizen has answered, and that talk is not cut")
    dialling = task.state is State.DIALLING
    desk.post(CallbackCancelled(clock.now(), number, BY_HAND))
    more = "; the attempt that was under way is hung up" if dialling else ""
    return {"id": number, "said": f"callback {number} cancelled{more}"}


def wanted_of(args: Mapping[str, Any]) -> Wanted:
    """A request from JSON. Raises `Refused` for a field that is unknown or of another type."""
    known = {field.name: field.type for field in fields(Wanted)}
    for name, value in args.items():
        if name not in known or name in {"origin", "place"}:
            raise Refused(f"callback.add has no {name}")
        if not isinstance(value, str if known[name] is str else int) or isinstance(value, bool):
            raise Refused(f"callback.add: {name} is of the wrong type")
    if "number" not in args:
        raise Refused("callback.add needs a number")
    return Wanted(**args)


async def _still_open(book: TaskBook, number: int) -> Entry:
    try:
        entry = await book.find(number)
    except Exception as error:
        log.exception("callback.not_found")
        raise Refused("the database is away: nothing was done, try again later") from error
    try:
        return still_open(entry, number)
    except TaskError as error:
        raise Refused(str(error)) from None
