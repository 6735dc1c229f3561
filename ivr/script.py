"""What a caller hears, and in which order. Pure.

Greeting, recording notice, and straight to the queue: no menu, no advertising (GB/T 33358-2016). During the wait:
music, and from time to time the place in the queue with a sentence that is true. When the hotline has to end the call:
why.

Everything here is a list of sound names for Asterisk, such as `hotline/greeting_12345`, in Mandarin;
`asterisk-conf/prompts/` has the words, `ivr.phrases.in_language` the other languages.
"""

from facts.terms import Grade, Release
from ivr.phrases import SOUNDS, position

GREETINGS = {"8890": "greeting_8890", "12345": "greeting_12345"}
"""Hotline → the greeting that says its name (R23)."""

ANY_GREETING = "no_response"
""""您好,请问有什么可以帮您?": a greeting that is true for every number."""


NOTICE = SOUNDS + "recording_notice"
"""The last sound of the opening."""

ACTIONS = {
    "ready": "agent_ready",
    "pause": "agent_paused",
    "out": "agent_out",
    "explain": "agent_explained",
}
"""What an agent can ask for with a feature code → what the agent hears when it is done."""


REFUSED = SOUNDS + "agent_refused"
"""What an agent hears when a key did not work."""


def opening(number: str) -> list[str]:
    """What a caller who dialled `number` hears first: the greeting of that hotline and the recording notice.

    The number may carry an area code in front or an extension behind: 0248890 and 88901 are 8890.
    """
    keys = (key for hotline, key in GREETINGS.items() if _is(hotline, number))
    return [SOUNDS + next(keys, ANY_GREETING), NOTICE]


def announcement(ahead: int, *, staffed: bool, callback_key: str = "") -> list[str]:
    """What a waiting caller hears between two pieces of music: the place in the queue, and what to expect.

    `ahead` callers will be offered before this one. If no agent is signed in, the caller hears exactly that, and
    never "we will connect you soon". With a `callback_key` the caller is offered a callback in turn.
    """
    place = position(ahead)
    if not staffed:
        place = ([place[0]] if ahead else []) + [SOUNDS + "agents_away"]
    return place + ([SOUNDS + _OFFERS[callback_key]] if callback_key else [])


def farewell(reason: Release) -> list[str]:
    """What a caller hears when the hotline itself ends the call."""
    return [SOUNDS + _FAREWELLS[reason]]


def confirmation(action: str) -> str:
    """What an agent hears when the `action` of a feature code, one of `ACTIONS`, was carried out."""
    return SOUNDS + ACTIONS[action]


SILENT_PHRASE = [SOUNDS + "no_response"]
""""您好,请问有什么可以帮您?", for a caller who says nothing (R20, R40)."""

SILENT_FAREWELL = [SOUNDS + "no_response_farewell"]

HARASSING = [SOUNDS + "harassment"]
"""What a harassing caller hears before the hotline hangs up (R18, R42)."""

CALLBACK_CONFIRMED = [SOUNDS + "callback_confirmed"]
"""The caller pressed the key: the place is kept, and the caller may hang up."""

CALLBACK_WITHHELD = [SOUNDS + "callback_withheld"]
"""The caller pressed the key but withheld the number, so a callback is not possible."""

SURVEY_INVITATION = SOUNDS + "survey_invitation"
"""Asks for one of five keys, the best grade first."""
SURVEY_WRONG_KEY = SOUNDS + "survey_wrong_key"
SURVEY_REASON = SOUNDS + "survey_reason"
"""Asks for the reason of a bad grade."""
SURVEY_THANKS = SOUNDS + "survey_thanks"
SURVEY_FAREWELL = SOUNDS + "survey_farewell"
"""For a citizen who was handed to the survey and has not rated."""

GRADES = dict(zip("12345", Grade, strict=True))
"""The keys of the survey."""

_OFFERS = {key: f"callback_offer_{key}" for key in "123456789"} | {
    "0": "callback_offer_zero",
    "*": "callback_offer_star",
    "#": "callback_offer_pound",
}
"""The key → the sentence that offers it."""

_FAREWELLS = {
    Release.TIMED_OUT: "wait_limit",
    Release.QUEUE_FULL: "queue_full",
    Release.CLOSED_HOURS: "closed_hours",
    Release.BLOCKED: "blocked",
    Release.SYSTEM_FAILURE: "system_failure",
}


def _is(hotline: str, number: str) -> bool:
    return number.startswith(hotline) or number.endswith(hotline)
