"""Facts about an offer of a call to an agent, and the talk that follows. Pure."""

from typing import ClassVar

from facts.terms import CallId, OfferReason, Party
from facts.times import SECOND
from facts.values import value

NO_TALK = SECOND
"""Microseconds: an answer whose talk is over by then is no answer (docs/metrics.md, the one-second rule)."""


@value
class OfferMade:
    """The floor chose this agent for this call; our INVITE leaves now."""

    kind: ClassVar[str] = "OfferMade"
    at: int
    call: CallId
    agent: str


@value
class OfferRinging:
    """The agent's phone rings: its 180, not our INVITE (M4). `estimated` when only CEL's INVITE time is known."""

    kind: ClassVar[str] = "OfferRinging"
    at: int
    call: CallId
    agent: str
    estimated: bool = False


@value
class OfferAnswered:
    """The agent picked up. During the recording notice (`offer_in_notice`): the talk begins, when that is over."""

    kind: ClassVar[str] = "OfferAnswered"
    at: int
    call: CallId
    agent: str


@value
class OfferEnded:
    """The offer ended without an answer."""

    kind: ClassVar[str] = "OfferEnded"
    at: int
    call: CallId
    agent: str
    reason: OfferReason


@value
class TalkEnded:
    """An answered agent's leg is gone."""

    kind: ClassVar[str] = "TalkEnded"
    at: int
    call: CallId
    agent: str
    hung_up_by: Party


@value
class PhoneLost:
    """The agent's phone has died in the talk, or has forgotten it. `TalkEnded` follows, and the citizen waits again."""

    kind: ClassVar[str] = "PhoneLost"
    at: int
    call: CallId
    agent: str


@value
class TalkHeld:
    """The agent put the talk on hold: the citizen hears music, until `TalkResumed` or the talk's end."""

    kind: ClassVar[str] = "TalkHeld"
    at: int
    call: CallId
    agent: str


@value
class TalkResumed:
    """The agent is back from a hold."""

    kind: ClassVar[str] = "TalkResumed"
    at: int
    call: CallId
    agent: str
