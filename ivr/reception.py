"""How a caller is received: his queue, his language, whether he is turned away at once (R8, R9, R12, R18). Pure.

`receive` is asked once for each call, as it is answered; the call keeps what it was told. What is changed meanwhile
holds from the next call on. A flagged caller (R10) needs nothing here: there is no menu that he could be spared, the
recording notice is for everybody, and his priority is the floor's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from acd.rules.model import DEFAULT, MANDARIN, Rules
from facts.calendar import Calendar
from facts.terms import Release
from ivr.hours import Hours, is_open


@dataclass(frozen=True, slots=True)
class Reception:
    """What holds for one call. `refusal`: he hears why, and the call ends.

    `callback_key`: by which he asks to be called back while he waits; empty: he cannot. `detect_silence`: he must have
    said something before he is queued (R20).
    """

    queue: str = DEFAULT
    language: str = MANDARIN
    refusal: Release | None = None
    callback_key: str = ""
    detect_silence: bool = False


Receive: TypeAlias = Callable[[str, str, int], Reception]
"""`receive(number, caller, at)`: the number that was dialled, the normalised caller, microseconds."""


def receive(
    rules: Rules,
    hours: Mapping[str, Hours],
    calendar: Calendar,
    number: str,
    caller: str,
    at: int,
    *,
    blocked: Callable[[str], bool] = lambda _: False,
    calls_back: bool = True,
) -> Reception:
    """Decide by the rules that are in force. `calls_back`: there is a way out for calls, so a callback can be offered.

    Hours that do not exist are no reason to turn anybody away.
    """
    line = rules.numbers.get(number)
    queue = rules.queue(line.queue if line is not None else DEFAULT)
    refusal = None
    if caller and blocked(caller):
        refusal = Release.BLOCKED
    elif queue.hours in hours and not is_open(hours[queue.hours], at, calendar):
        refusal = Release.CLOSED_HOURS
    return Reception(
        queue=queue.name,
        language=line.language if line is not None else MANDARIN,
        refusal=refusal,
        callback_key=queue.callback_key if calls_back else "",
        detect_silence=queue.detect_silence,
    )
