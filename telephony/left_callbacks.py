"""Goes on recording a callback whose agent has left, while the citizen talks to somebody who was brought in.

A callback is recorded at the agent's channel, which is gone then. From now on the leg of a third party is recorded:
what they say is on the agent's side, what they hear on the citizen's.
"""

from collections.abc import Callable, Sequence

from facts import CallbackEnded, Fact, PartyLeft
from facts.ids import is_attempt
from facts.parties import PartyKind
from facts.terms import CallId
from telephony.channels import Calls
from telephony.parties import Parties


class LeftCallbacks:
    """`record`: go on recording the call with this channel, instead of another one."""

    def __init__(
        self, calls: Calls, parties: Parties, *, record: Callable[[CallId, str, str], object]
    ) -> None:
        self._calls = calls
        self._parties = parties
        self._record = record

    def take(self, facts: Sequence[Fact]) -> None:
        """Take facts of `calls` and of `parties`: somebody has left."""
        for fact in facts:
            if isinstance(fact, CallbackEnded | PartyLeft) and is_attempt(fact.call):
                self._go_on(fact.call)

    def caught_up(self) -> None:
        """After a start or a lost link: agents may have left while nobody was told."""
        for call in {party.call for party in self._parties.all() if is_attempt(party.call)}:
            self._go_on(call)

    def _go_on(self, call: CallId) -> None:
        inside = [one for one in self._parties.of(call) if one.inside]
        citizens = [one for one in inside if one.who is PartyKind.CITIZEN]
        others = [one for one in inside if one.who is not PartyKind.CITIZEN]
        if self._calls.attempt(call) is not None or not others:
            return
        if citizens or not self._calls.caller_gone(call):
            self._record(call, others[0].channel, "")
