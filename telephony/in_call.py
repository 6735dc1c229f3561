"""Whether a phone answers when it is asked within its call (re-INVITE). Pure: copies of SIP messages in.

If the phone does not know the call (481), Asterisk ends it. Of other answers it tells nothing, and that none comes only
after 32 s (RFC 3261, timer B). The copies (`telephony.hep`) show both. A copy may be lost, so silence alone proves
nothing: the request must have left once more. By UDP Asterisk repeats what nobody has answered, 3.5 s later for
the third time (timer A). By TCP and TLS it repeats nothing: there the phone is asked again, and has a second to answer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from facts.times import SECOND
from telephony.refused import Copy, parsed

REPEATED_AFTER = 3 * SECOND
"""A request that leaves once more so long after it first did has not been answered in between."""
SOON = SECOND // 2
"""By then a living phone has answered: it need not ask anybody."""
ANSWERS_WITHIN = SECOND
"""How long a phone has for the second question."""


class InCallAnswer(Enum):
    """What came of a question."""

    NONE_DUE = "none due"
    """Nothing was asked, or it was answered."""
    AWAITED = "awaited"
    LATE = "late"
    """The phone has not answered within `SOON`."""
    UNHEARD = "unheard"
    """No copies come, so nobody knows."""
    MISSING = "missing"
    """The phone was asked twice, and has not answered."""


@dataclass(slots=True)
class _Question:
    """`left_at`: when the request was first seen to leave, with this `sequence` (CSeq); 0: not yet."""

    leg: str
    left_at: int = 0
    sequence: str = ""
    missing_at: int = 0


class Questions:
    """The questions that are open. `ports`: from which Asterisk speaks SIP. Times in microseconds."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = ports
        self._open: dict[str, _Question] = {}

    def ask(self, sip_call: str, leg: str) -> None:
        """The phone at this leg is asked, in the dialogue with this Call-ID; again, if it was before."""
        self._open.setdefault(sip_call, _Question(leg))

    def keep(self, legs: Collection[str]) -> None:
        """Forget the questions of all other legs."""
        if self._open:
            self._open = {call: one for call, one in self._open.items() if one.leg in legs}

    def take(self, copy: Copy) -> None:
        """Take a SIP message that Asterisk has received or sent."""
        if not self._open:
            return
        headers = parsed(copy.text)[1]
        sip_call = headers.get("call-id", "")
        question = self._open.get(sip_call)
        if question is None:
            return
        if not copy.text.startswith(b"INVITE ") or copy.destination[1] in self._ports:
            del self._open[sip_call]  # an answer, or a request of the phone's: it knows the call
        elif not question.left_at:
            question.left_at, question.sequence = copy.at, headers.get("cseq", "")
        elif copy.at - question.left_at >= REPEATED_AFTER and not question.missing_at:
            repeated = headers.get("cseq", "") == question.sequence
            question.missing_at = copy.at + (0 if repeated else ANSWERS_WITHIN)

    def answer(self, leg: str, now: int) -> InCallAnswer:
        """What is known of the answer to the last question at this leg."""
        for question in self._open.values():
            if question.leg == leg and question.left_at:
                if 0 < question.missing_at <= now:
                    return InCallAnswer.MISSING
                late = now - question.left_at >= SOON
                return InCallAnswer.LATE if late else InCallAnswer.AWAITED
        return InCallAnswer.NONE_DUE
