"""The words that facts are made of: ids, reasons, outcomes. Pure."""

from enum import StrEnum
from typing import TypeAlias

from facts.values import words

CallId: TypeAlias = str
"""Asterisk's unique id of the caller's channel, with the node's name in front: `hotline-1763731200.17`."""


@words
class Party(StrEnum):
    """Who ended a call first (R6)."""

    CALLER = "caller"
    AGENT = "agent"
    SYSTEM = "system"


@words
class OfferReason(StrEnum):
    """Why an offer ended without an answer."""

    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CALLER_GONE = "caller_gone"
    WITHDRAWN = "withdrawn"


CONTINUE, REFUSE = "continue", "refuse"
"""What may become of new callers who cannot be recorded, beside a number to which they are sent."""


@words
class Release(StrEnum):
    """Why the hotline itself ends a call that no agent has answered."""

    TIMED_OUT = "timed_out"
    QUEUE_FULL = "queue_full"
    CLOSED_HOURS = "closed_hours"
    BLOCKED = "blocked"
    SYSTEM_FAILURE = "system_failure"


@words
class Outcome(StrEnum):
    """Every call ends in exactly one of these (`docs/metrics.md`; `docs/glossary.md` has the words)."""

    HUMAN = "human"
    HUMAN_OVERFLOW = "human_overflow"
    ABANDONED_GREETING = "abandoned_greeting"
    ABANDONED_QUEUE = "abandoned_queue"
    ABANDONED_RINGING = "abandoned_ringing"
    SELF_SERVED = "self_served"
    VOICEMAIL = "voicemail"
    TIMED_OUT = "timed_out"
    QUEUE_FULL = "queue_full"
    NO_CAPACITY = "no_capacity"
    CLOSED_HOURS = "closed_hours"
    BLOCKED = "blocked"
    SYSTEM_FAILURE = "system_failure"
    TEST = "test"


class PauseWhy(StrEnum):
    """Why a recording is paused, or goes on again.

    key    the agent pressed a key of the telephone
    api    a screen, the API or the command line asked for it
    limit  the pause has lasted as long as the settings allow
    left   the agent who paused it is no longer in the talk
    """

    KEY = "key"
    API = "api"
    LIMIT = "limit"
    LEFT = "left"


@words
class Grade(StrEnum):
    """The five levels of 好差评, the best first: 非常满意, 满意, 基本满意, 不满意, 非常不满意."""

    VERY_SATISFIED = "very_satisfied"
    SATISFIED = "satisfied"
    FAIRLY_SATISFIED = "fairly_satisfied"
    DISSATISFIED = "dissatisfied"
    VERY_DISSATISFIED = "very_dissatisfied"


BAD_GRADES = frozenset({Grade.DISSATISFIED, Grade.VERY_DISSATISFIED})
"""The grades (差评) after which the citizen is called back."""


class RatedBy(StrEnum):
    """How a rating was entered: by a key in the call, or by the link that was sent."""

    KEY = "key"
    LINK = "link"


class HandOver(StrEnum):
    """How an agent hands a citizen to the survey.

    key      the agent pressed a key in the talk
    api      a screen or the API asked for it
    hang_up  the agent hung up, which is a hand-over in this queue
    """

    KEY = "key"
    API = "api"
    HANG_UP = "hang_up"


class SurveyEnd(StrEnum):
    """How a spoken survey ended. Only `rated` has a rating.

    rated      the citizen pressed one of the keys
    no_key     they pressed none in time
    wrong_key  they pressed a wrong key twice
    hung_up    they hung up first
    lost       the controller was stopped meanwhile
    """

    RATED = "rated"
    NO_KEY = "no_key"
    WRONG_KEY = "wrong_key"
    HUNG_UP = "hung_up"
    LOST = "lost"


class CallMark(StrEnum):
    """What an agent says of a call.

    harassing  it is abuse or a joke, and no matter (R18)
    silent     the caller says nothing (R20)
    """

    HARASSING = "harassing"
    SILENT = "silent"


class Severity(StrEnum):
    """How soon a person must act: now, today, or when there is time."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
