"""Why a leg was hung up, in the numbers of Q.850 as Asterisk reports them (causes.h). Pure."""

from collections.abc import Mapping
from enum import IntEnum


class Cause(IntEnum):
    """The causes that decide something here. `str()` of one is the number, as an action wants it."""

    NORMAL = 16
    """Normal call clearing."""
    BUSY = 17
    """User busy: a SIP 486."""
    NO_USER = 18
    """No user responding."""
    NO_ANSWER = 19
    """No answer from the user: a SIP 480, also that of "do not disturb"."""
    REJECTED = 21
    """Call rejected: a SIP 603."""
    OUT_OF_ORDER = 27
    """Destination out of order: with it our own side hangs up a phone that has died in a talk."""
    INTERWORKING = 127
    """Interworking: a SIP 481, among others. The phone does not know the call."""
    ELSEWHERE = 26
    """Answered elsewhere: what we take back. Phones then show no missed call (RFC 3326)."""


WITHDRAWN = Cause.ELSEWHERE
"""The cause with which our own side hangs up a phone that still rings."""

REFUSED = frozenset({Cause.BUSY, Cause.REJECTED})
"""The causes of a phone that refuses the call, by its agent or by its settings."""

LOST = frozenset({Cause.NO_USER, Cause.OUT_OF_ORDER, Cause.INTERWORKING})
"""The causes of an answered leg that ended because its phone died, or has forgotten the call: nobody hung up."""

NOT_REACHED: Mapping[int, str] = {
    Cause.BUSY: "busy",
    Cause.REJECTED: "refused",
    Cause.NO_ANSWER: "no_answer",
    Cause.NO_USER: "no_answer",
}
"""What the far end says about a citizen who is not reached; any other cause is `unreachable`."""
