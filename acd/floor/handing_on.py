"""Whether an agent's citizen may be handed on now, before anybody is told to do it. Pure."""

from acd.floor.hall import Hall
from acd.gate import Purpose, Refusal
from agents.model import Presence


def why_not(hall: Hall, agent: str, to: str) -> str | Refusal:
    """Why this agent cannot hand their citizen on to `to`: a code of `facts.control.REFUSALS`, or what the gate says.

    Empty when they can. `to`: a colleague, one of the hotline's numbers (its queue), an outside number that an operator
    has allowed. The rules are those of a phone's transfer. But a colleague who is not ready is refused here: nobody
    would ring them, and whoever asked would take the transfer for done.
    """
    if to == agent:
        return "to_self"
    if to in hall.rules.numbers:
        return ""
    if (seat := hall.seats.get(to)) is not None and not seat.removed:
        if seat.call or seat.own_call:
            return "colleague_busy"
        return "" if seat.presence() is Presence.READY else "colleague_not_ready"
    if to not in hall.outside:
        return "target_unknown"
    return hall.refusal(to, Purpose.TRANSFER) or ""


def way_into(hall: Hall, queue: str) -> str:
    """The hotline's number that leads into this queue; empty without one."""
    lines = hall.rules.numbers
    return next((number for number in sorted(lines) if lines[number].queue == queue), "")
