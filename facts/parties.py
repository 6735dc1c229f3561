"""Facts about third parties in a talk: colleagues, other departments, outside numbers, emergency services. Pure.

`agent` is whose talk it is, `party` the party's id (`facts.ids.party_id`). The first fact of a party is `PartyAsked`,
the last `PartyFailed` or `PartyLeft`.
"""

from enum import StrEnum
from typing import ClassVar

from facts.terms import CallId
from facts.values import value, words


@words
class PartyKind(StrEnum):
    """Who is brought in.

    colleague   an agent, by their phone
    outside     an outside number
    emergency   an emergency service (R16)
    citizen     the citizen, who was dropped and is called back
    supervisor  a supervisor who steps in
    """

    COLLEAGUE = "colleague"
    OUTSIDE = "outside"
    EMERGENCY = "emergency"
    CITIZEN = "citizen"
    SUPERVISOR = "supervisor"


@words
class PartyFailure(StrEnum):
    """Why a party is not in the talk.

    withdrawn: whoever asked took it back, or the talk was over. lost: nobody told; the exchange or the way out failed.
    """

    BUSY = "busy"
    REFUSED = "refused"
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"
    WITHDRAWN = "withdrawn"
    LOST = "lost"


@words
class PartyEnd(StrEnum):
    """Why a party is in the talk no more: they hung up, were dropped, the talk was over, or their phone was lost.

    handed_over: the agent has left the citizen to them, and the talk is their own from now on (`CallTransferred`).
    """

    HUNG_UP = "hung_up"
    DROPPED = "dropped"
    TALK_OVER = "talk_over"
    LOST = "lost"
    HANDED_OVER = "handed_over"


@value
class PartyAsked:
    """Somebody is to be brought in: their phone is called now.

    `number`: an agent's number, or an outside number in normal form. `consult`: the agent talks to them first, while
    the citizen hears music. `by`: the account that asked for it, empty for the agent's phone.
    """

    kind: ClassVar[str] = "PartyAsked"
    at: int
    call: CallId
    agent: str
    party: str
    who: PartyKind
    number: str
    consult: bool = False
    by: str = ""


@value
class PartyAnswered:
    """The party has picked up and talks to the agent, while the citizen hears music."""

    kind: ClassVar[str] = "PartyAnswered"
    at: int
    call: CallId
    agent: str
    party: str


@value
class PartyJoined:
    """The party is in the talk: citizen, agent and party hear each other."""

    kind: ClassVar[str] = "PartyJoined"
    at: int
    call: CallId
    agent: str
    party: str


@value
class PartyMuted:
    """The others hear the party no more; the party hears them. `by`: as in `PartyAsked`."""

    kind: ClassVar[str] = "PartyMuted"
    at: int
    call: CallId
    agent: str
    party: str
    by: str = ""


@value
class PartyUnmuted:
    """The others hear the party again."""

    kind: ClassVar[str] = "PartyUnmuted"
    at: int
    call: CallId
    agent: str
    party: str
    by: str = ""


@value
class PartyFailed:
    """The party did not get into the talk."""

    kind: ClassVar[str] = "PartyFailed"
    at: int
    call: CallId
    agent: str
    party: str
    why: PartyFailure


@value
class PartyLeft:
    """The party's leg is gone, after it was in the talk. `by`: the account that dropped them, if one did."""

    kind: ClassVar[str] = "PartyLeft"
    at: int
    call: CallId
    agent: str
    party: str
    why: PartyEnd
    by: str = ""
