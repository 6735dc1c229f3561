"""Click to call: an agent's phone rings, then a number is dialled as their own outbound call.

It is a callback task of that agent alone (`CallbackAdded.own`), so all that holds for callbacks holds here: the gate,
the caps, inbound first, the recording under the attempt's id, the book. It is placed at once or not at all.
"""

import structlog

from acd.callbacks.book import TaskBook
from acd.callbacks.entry import TaskError, Wanted, checked
from acd.desk import Desk
from base import clock, database
from facts import CallbackCancelled
from facts.control import DialForAgent
from facts.requests import Reply
from facts.times import SECOND
from hotline.controller.control import refused

log = structlog.get_logger(__name__)

IN_TIME = 300 * SECOND
"""Microseconds after which such a task would be late: it has been placed, or cancelled, long before."""
MATTER = "点击拨号"
"""What these tasks are about. A citizen has one open task of a matter, so no two agents dial one citizen at once."""


async def dial(book: TaskBook, desk: Desk, asked: DialForAgent) -> Reply:
    """Have the agent's phone rung for this number. Returns when it was asked to. Raises `Refused` with a code."""
    floor, agent = desk.floor, asked.number
    if floor.hall.stopping:
        raise refused("stopping")
    if why := floor.may_dial(agent, asked.queue):
        raise refused(why, agent=agent)
    now = clock.now()
    wanted = Wanted(
        number=asked.to,
        queue=asked.queue,
        latest=now + IN_TIME,
        prefers=agent,
        reason=f"API: {asked.by}"[:80],
        matter=MATTER,
        attempts=1,
        own=True,
    )
    try:
        agents = {number for number, seat in floor.seats.items() if not seat.removed}
        fact = await book.enter(checked(wanted, floor.rules, agents, now, floor.policy))
    except TaskError as error:
        raise refused("not_entered", why=str(error), why_zh=f"没有拨号：{error}") from None
    except Exception as error:
        log.error("dial.not_entered", **database.told(error))
        said = "the database is away: nothing was dialled"
        raise refused("not_entered", why=said, why_zh="数据库不可用，没有拨号") from error
    desk.report(fact)
    task = floor.tasks.get(fact.callback)
    if task is None or not task.attempt:
        if task is not None:  # offers are not allowed in this moment
            desk.report(CallbackCancelled(clock.now(), fact.callback, "not dialled"))
        raise refused("not_placed")
    return Reply(f"agent {agent}: their phone is rung", task.id, call=task.attempt)
