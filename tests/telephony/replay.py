"""Recorded calls, told to the floor: the facts of the diary in the order in which Asterisk makes them come.

A recording (`tests/fixtures/ami`) has what the manager interface told. What the AGI session told in the same moments is
put in where the recording shows it: `CallQueued` before the first leg appears; after a blind transfer `CallTransferred`
once the agent's leg is gone, for it is the citizen's channel that comes back (in live runs 61 ms later, here 4 ms).
"""

from collections.abc import Iterable

from acd.commands import Record
from acd.floor import Floor
from acd.rules.model import DEFAULT, Member, Number, Queue, Rules
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    LinkRestored,
    PhoneReachable,
    TalkEnded,
)
from facts.endpoints import endpoint
from telephony.channels import Calls, Message, microseconds
from tests.telephony.test_calls import NUMBERS, recorded

BEFORE, AFTER = 1000, 4000
"""Microseconds between what the session tells and what Asterisk does next, or has done."""

RULES = Rules(
    queues={DEFAULT: Queue(wrap_up_time=0), "tax": Queue("tax", wrap_up_time=0)},
    numbers={"8890": Number("8890", "tax")},
    members=(Member("1001", DEFAULT), Member("1002", DEFAULT), Member("1002", "tax")),
)


class Diary:
    """The floor, and what it writes down."""

    def __init__(self, rules: Rules, at: int) -> None:
        self.facts: list[Fact] = []
        self._floor = Floor(rules, outside=("12333",))
        self._floor.handle(LinkRestored(at), at)

    def tell(self, fact: Fact) -> None:
        self.facts += [
            command.fact
            for command in self._floor.handle(fact, fact.at)
            if isinstance(command, Record)
        ]


def replay(shape: str, *, to: str = "1002", agents: Iterable[str] = ("1001", "1002")) -> list[Fact]:
    """The diary of a recorded call that comes to 1001. `to`: where a blind transfer sends the citizen."""
    messages = recorded(shape)
    begin = microseconds(messages[0]["Timestamp"])
    diary, calls = Diary(RULES, begin), Calls(NUMBERS)
    for n, agent in enumerate(agents):
        # 1001 is the longest idle.
        for kind in (AgentAdded, PhoneReachable, AgentReady):
            diary.tell(kind(begin + n - BEFORE, agent))
    call, talks = "", {"blind_transfer"} & {shape}
    for message in messages:
        at = microseconds(message["Timestamp"])
        if call and message["Event"] == "Newchannel" and _is_first_leg(message, call, diary.facts):
            diary.tell(CallQueued(at - BEFORE, call, DEFAULT))
        for fact in calls.read(message):
            if isinstance(fact, CallArrived):
                call = fact.call
            diary.tell(fact)
            if isinstance(fact, TalkEnded) and talks:
                talks.clear()
                diary.tell(CallTransferred(at + AFTER, call, fact.agent, to))
    assert isinstance(diary.facts[-1], CallEnded) or shape != "blind_transfer"
    return diary.facts


def _is_first_leg(message: Message, call: str, facts: list[Fact]) -> bool:
    return (
        message.get("Linkedid") == call
        and endpoint(message.get("Channel", "")) == "1001"
        and not any(isinstance(fact, CallQueued) for fact in facts)
    )
