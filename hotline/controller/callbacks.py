"""Requests about callback tasks: enter one, cancel one. The book keeps them, the floor works on them."""

import structlog

from acd.callbacks.book import BY_HAND, TaskBook, still_open
from acd.callbacks.entry import ATTEMPTS, SPACING, Entry, TaskError, Wanted, checked
from acd.callbacks.task import State
from acd.desk import Desk
from base import clock, database
from base.bus import Refused
from facts import CallbackCancelled
from facts.requests import AddCallback, Reply

log = structlog.get_logger(__name__)


async def add(book: TaskBook, desk: Desk, asked: AddCallback) -> Reply:
    """Enter a task and report it to the floor; `Reply.id` is its number. Raises `Refused`."""
    agents = {number for number, seat in desk.floor.seats.items() if not seat.removed}
    try:
        floor = desk.floor
        wanted = checked(wanted_of(asked), floor.rules, agents, clock.now(), floor.policy)
    except TaskError as error:
        raise Refused(str(error)) from None
    try:
        fact = await book.enter(wanted)
    except TaskError as error:
        raise Refused(str(error)) from None
    except Exception as error:
        log.error("callback.not_entered", **database.told(error))
        raise Refused("the database is away: nothing was entered, try again later") from error
    desk.report(fact)
    return Reply(f"callback {fact.callback} added", fact.callback)


async def cancel(book: TaskBook, desk: Desk, number: int) -> Reply:
    """Cancel a task. An answered callback is never cut. Raises `Refused`."""
    if number not in desk.floor.tasks:
        desk.take_up([book.adopt(await _still_open(book, number))])
    task = desk.floor.tasks.get(number)
    if task is None:
        raise Refused(f"callback {number} is over already: its latest time is past")
    if task.state is State.TALKING:
        raise Refused(f"callback {number}: the citizen has answered, and that talk is not cut")
    dialling = task.state is State.DIALLING
    desk.report(CallbackCancelled(clock.now(), number, BY_HAND))
    more = "; the attempt that was under way is hung up" if dialling else ""
    return Reply(f"callback {number} cancelled{more}", number)


def wanted_of(asked: AddCallback) -> Wanted:
    """The task that is asked for, with the book's own defaults for what was not said."""
    return Wanted(
        number=asked.number,
        queue=asked.queue,
        earliest=asked.earliest,
        latest=asked.latest,
        prefers=asked.prefers,
        reason=asked.reason,
        matter=asked.matter,
        attempts=ATTEMPTS if asked.attempts is None else asked.attempts,
        spacing=SPACING if asked.spacing is None else asked.spacing,
    )


async def _still_open(book: TaskBook, number: int) -> Entry:
    try:
        entry = await book.find(number)
    except Exception as error:
        log.error("callback.not_found", **database.told(error))
        raise Refused("the database is away: nothing was done, try again later") from error
    try:
        return still_open(entry, number)
    except TaskError as error:
        raise Refused(str(error)) from None
