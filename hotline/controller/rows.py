"""The agents as screens show them: a thousand rows, wanted twelve times a second, and few of them change in between."""

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from acd.floor import Seat
from acd.rules.text import Rulebook
from agents.model import Presence
from agents.pause import minutes
from facts.live import AgentNow, MoreOfAgent
from facts.times import SECOND

_ALL_THAT_SHOWS = attrgetter(
    *("since", "call", "answered", "intent", "pause_reason", "reachable"),
    *("not_responding", "own_call", "wrap_up_until", "rest_until"),
)
"""What a row is made from, of its seat."""


class AgentRows:
    """Makes a row for each agent, and keeps it as long as nothing changes that it shows."""

    def __init__(self) -> None:
        self._book: Rulebook | None = None
        self._made: dict[str, tuple[Any, str, int, AgentNow]] = {}

    def of(
        self,
        seats: Mapping[str, Seat],
        names: Mapping[str, str],
        book: Rulebook,
        paused: Mapping[str, int] | None = None,
        talk: Callable[[Seat], tuple[str, str]] = lambda _seat: ("", ""),
        more: Mapping[str, MoreOfAgent] | None = None,
    ) -> list[AgentNow]:
        """A row for each agent, by number. Not to be changed.

        `until`: when a pause ends that has an allowed length, in microseconds as `since` is; 0 without one. `paused`:
        the agents whose recordings are paused, and since when. `talk`: the citizen and the queue of what one holds.
        `more`: what else shows of a few agents.
        """
        if book is not self._book or len(self._made) > len(seats):
            self._book, self._made = book, {}
        rows, known, silences = [], self._made, paused or {}
        others = more or {}
        for number in sorted(seats):
            seat, name = seats[number], names.get(number, "")
            silent = silences.get(number, 0)
            shows = _ALL_THAT_SHOWS(seat)
            made = known.get(number)
            # One by one: a tuple of the three for each agent would take a quarter of the time.
            if made is None or made[0] != shows or made[1] != name or made[2] != silent:
                made = known[number] = (
                    *(shows, name, silent),
                    _row(seat, name, book, silent, *(talk(seat) if seat.call else ("", ""))),
                )
            rows.append({**made[3], **others[number]} if number in others else made[3])
        return rows


def _row(seat: Seat, name: str, book: Rulebook, silent: int, caller: str, queue: str) -> AgentNow:
    presence = seat.presence()
    allowed = minutes(seat.pause_reason, book.pauses) if presence is Presence.PAUSED else 0
    row: AgentNow = {
        "number": seat.agent,
        "name": name,
        "presence": presence.value,
        "reason": seat.pause_reason,
        "since": seat.since,
        "until": seat.since + allowed * 60 * SECOND if allowed else 0,
        "call": seat.call,
    }
    if silent:
        row["recording_paused"] = silent
    if queue:
        row["caller"], row["queue"] = caller, queue
    return row
