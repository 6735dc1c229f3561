"""How a caller is received: the queue, the language, whether the call is refused at once (R8, R9, R12, R18). Pure.

`receive` is called once for each call, when it is answered, and the call keeps the result. A change of the rules holds
from the next call on. A flagged caller (R10) needs nothing here: there is no menu to skip, everybody hears the
recording notice, and the floor takes care of the priority.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from acd.rules.model import DEFAULT, MANDARIN, Rules, SurveyWhen
from facts.calendar import Calendar
from facts.terms import CONTINUE, REFUSE, Release
from ivr.hours import Hours, is_open


@dataclass(frozen=True, slots=True)
class Reception:
    """What holds for one call. `refusal`: the caller hears why, and the call ends.

    `callback_key`: the key by which a waiting caller asks to be called back; empty if there is none. `detect_silence`:
    the call is queued only when the caller has said something (R20). `offer_in_notice`: otherwise it is queued when the
    recording notice begins. `outside`: the caller is sent to this outside number at once, if it may be dialled.
    `survey`: an agent who hangs up hands the citizen to the survey.
    """

    queue: str = DEFAULT
    language: str = MANDARIN
    refusal: Release | None = None
    callback_key: str = ""
    detect_silence: bool = False
    offer_in_notice: bool = False
    outside: str = ""
    survey: bool = False


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
    instead: str = CONTINUE,
) -> Reception:
    """Decide by the rules in force. `calls_back`: outgoing calls are possible, so a callback can be offered.

    `instead`: what becomes of callers because they cannot be recorded now (`HOTLINE_WITHOUT_RECORDING`).

    A queue with unknown opening hours refuses no caller.
    """
    known = rules.numbers.get(number)
    queue = rules.queue(known.queue if known is not None else DEFAULT)
    refusal = None
    if caller and blocked(caller):
        refusal = Release.BLOCKED
    elif queue.hours in hours and not is_open(hours[queue.hours], at, calendar):
        refusal = Release.CLOSED_HOURS
    elif instead == REFUSE:
        refusal = Release.SYSTEM_FAILURE
    return Reception(
        queue=queue.name,
        language=known.language if known is not None else MANDARIN,
        refusal=refusal,
        callback_key=queue.callback_key if calls_back else "",
        detect_silence=queue.detect_silence,
        offer_in_notice=queue.offer_in_notice,
        survey=queue.survey is SurveyWhen.HANG_UP,
        outside="" if refusal is not None or instead == CONTINUE else instead,
    )
