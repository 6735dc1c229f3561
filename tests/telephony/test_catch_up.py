"""The link is lost in the middle of a recorded call and comes back while it goes on: the diary has the whole story.

Each call of `tests/fixtures` is told to the floor as it was recorded by AMI, except for what a lost link takes away;
what Asterisk lists when the link is back is made of the same messages, and CEL is the one of the same call.
"""

from collections.abc import Iterable

import pytest

from acd.rules.model import DEFAULT
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallbackAnswered,
    CallbackEnded,
    CallEnded,
    CallQueued,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    PhoneReachable,
    TalkEnded,
)
from facts.endpoints import endpoint
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony import cel
from telephony.catch_up import Held, put_together
from telephony.cel import CelEvent
from telephony.cel_file import read_since
from telephony.channels import Calls, Message, microseconds
from tests.telephony import test_callbacks
from tests.telephony.replay import AFTER, RULES, Diary
from tests.telephony.test_calls import NUMBERS, recorded
from tests.telephony.test_cel import events

CALLS = (
    "answered_agent_hangs_up",
    "answered_caller_hangs_up",
    "answered_after_183",
    "attended_transfer",
    "attended_transfer_other_way",
    "blind_transfer",
    "no_answer",
    "no_answer_then_next",
    "gives_up_ringing",
    "gives_up_waiting",
    "released",
    "talk_cut",
    "withdrawn",
)


def time_of(message: Message) -> int:
    return microseconds(message["Timestamp"])


def listed(messages: Iterable[Message]) -> list[Message]:
    """What `Status` answers after these events."""
    found: dict[str, Message] = {}
    for message in messages:
        uniqueid = message.get("Uniqueid", "")
        if message["Event"] == "Hangup":
            found.pop(uniqueid, None)
        elif uniqueid and message["Event"] in ("Newchannel", "Newstate"):
            begun = found.get(uniqueid, message)
            told = {"DNID": begun.get("DNID", "") or begun["Exten"]}
            found[uniqueid] = {**message, "Variable": begun.get("Variable", ""), **told}
        elif uniqueid in found and message["Event"] == "HangupRequest":
            how = f"HANGUPCAUSE={message.get('Cause', '')}\nCHANNEL(hangupsource)={message['Channel']}"
            found[uniqueid] = {**found[uniqueid], "Variable": how}
        elif message["Event"] == "AttendedTransfer":
            ends = [message["TransfereeUniqueid"], message["TransferTargetUniqueid"]]
            linked = min(found[end]["Linkedid"] for end in ends)  # the older one
            found |= {end: {**found[end], "Linkedid": linked} for end in ends}
    return list(found.values())


class Run:
    """AMI, CEL, the floor, and a link that is cut."""

    def __init__(
        self, messages: list[Message], record: Iterable[CelEvent], *, blind: bool = False
    ) -> None:
        self.messages = messages
        self.record = sorted(record, key=lambda event: event.at)
        self.calls = Calls(NUMBERS)
        # In a blind transfer the agent's leg ends, and the citizen's channel comes to the session again.
        call = next(one["Uniqueid"] for one in messages if one["Event"] == "Newchannel")
        legs = (one for one in messages if one["Event"] == "Hangup" and one["Linkedid"] == call)
        self.transfer = next(legs) if blind else None
        begin = time_of(messages[0])
        self.diary = Diary(RULES, begin)
        for n, agent in enumerate(("1001", "1002")):
            for kind in (AgentAdded, PhoneReachable, AgentReady):
                self.diary.tell(kind(begin + n - 10, agent))

    def read(self, messages: Iterable[Message], *, lost: bool = False) -> list[Fact]:
        """The facts of these messages. What the voice session tells in between is told, the link lost or not."""
        facts: list[Fact] = []
        for message in messages:
            call = message.get("Linkedid", "")
            queued = [f.call for f in self.diary.facts if isinstance(f, CallQueued)]
            first_leg = message.get("Uniqueid") != call and message.get("Context") == "agents"
            if first_leg and message["Event"] == "Newchannel" and not queued:
                begun = next(one for one in self.messages if one.get("Uniqueid") == call)
                number = f"+86{begun['CallerIDNum']}"
                self.diary.tell(CallArrived(time_of(begun), call, begun["Exten"], number))
                self.diary.tell(CallQueued(time_of(message) - 1, call, DEFAULT))
            facts += [] if lost else self.calls.read(message)
            if message is self.transfer:
                ends, call, agent = time_of(message), message["Linkedid"], "1001"
                self.diary.tell(CallTransferred(ends + AFTER, call, agent, "1002"))
        return facts

    def tell(self, messages: Iterable[Message]) -> None:
        for message in messages:
            for fact in self.read([message]):
                self.diary.tell(fact)

    def whole(self) -> list[Fact]:
        """No link is lost."""
        self.tell(self.messages)
        return self.diary.facts

    def cut(
        self, lost: int, back: int, asked: int, read: int, *, killed: bool = False
    ) -> list[Fact]:
        """Messages from `lost` to `back` are lost, and until `read`, when CEL is in, they are held back.

        Asterisk was asked what exists at `asked`.
        """
        self.tell(self.messages[:lost])
        if killed:
            self.calls = Calls(NUMBERS)
        self.calls.link_lost()
        self.read(self.messages[lost:back], lost=True)
        before = self.read(self.messages[back:asked])
        now = time_of(self.messages[asked - 1]) + 50
        state = self.calls.snapshot(listed(self.messages[:asked]), self.contacts(asked), now)
        after = self.read(self.messages[asked:read])
        until = time_of(self.messages[read - 1]) + 50
        story = put_together(
            [event for event in self.record if event.at <= until],
            list(self.diary.facts),
            Held(before, state.facts, after),
            numbers=NUMBERS,
            alive=state.alive,
            asked=now,
            now=now,
        )
        for fact in story.facts:
            self.diary.tell(fact)
            if isinstance(fact, TalkEnded):
                self.calls.learn(fact)
        self.tell(self.messages[read:])
        return self.diary.facts

    def contacts(self, asked: int) -> list[Message]:
        """What `PJSIPShowContacts` answers."""
        told = [message for message in self.messages[:asked] if message["Event"] == "ContactStatus"]
        return [{"Endpoint": one["EndpointName"], "Uri": one["URI"]} for one in told]


def counted(run: Run, facts: Iterable[Fact]) -> list[str]:
    """What the reports count of each call: who answered, whose phone rang, who hung up, in order."""
    words = []
    phones = {endpoint(message.get("Channel", "")) for message in run.messages}
    for fact in facts:
        match fact:
            case CallArrived(call=call):
                words.append(f"{call} arrived")
            case OfferAnswered(call=call, agent=agent):
                words.append(f"{call} {agent} answered")
            case TalkEnded(call=call, agent=agent, hung_up_by=by):
                words.append(f"{call} {agent} talked, {by.value}")
            case OfferEnded(call=call, agent=agent) if agent in phones:
                words.append(f"{call} {agent} not answered")
            case CallTransferred(call=call, to=to):
                words.append(f"{call} to {to}")
            case CallEnded(call=call, hung_up_by=by):
                words.append(f"{call} ended, {by.value}")
    if run.transfer is not None:
        # The floor makes its next offer by what it knows of the colleague's phone, which may be less.
        words = [word for word in words if not word.endswith("not answered")]
    # The floor makes another offer, which the recording does not have: how often is of no account.
    offers = {word for word in words if word.endswith("not answered")}
    return sorted([word for word in words if word not in offers] + list(offers))


def cuts(length: int) -> list[tuple[int, int, int, int]]:
    return [
        (lost, back, asked, read)
        for lost in range(1, length)
        for back in range(lost + 1, length + 1)
        for asked in range(back, min(back + 3, length + 1))
        for read in range(asked, min(asked + 4, length + 1))
    ]


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("shape", CALLS)
def test_a_call_that_ends_while_cel_is_being_read_loses_nothing(shape: str, killed: bool) -> None:
    """`killed`: it is the controller that was away, so nothing is known of the channels."""
    messages, record = recorded(shape), events(shape)
    blind = shape == "blind_transfer"
    run = Run(messages, record, blind=blind)
    wanted = counted(run, run.whole())
    for cut in cuts(len(messages)):
        run = Run(messages, record, blind=blind)
        assert counted(run, run.cut(*cut, killed=killed)) == wanted, cut


def test_an_answer_of_a_callback_that_ends_meanwhile_is_known() -> None:
    """AMI did not tell of the answer, so its end of the attempt says that nobody was reached."""
    messages, calls = test_callbacks.recorded("reached_agent_hangs_up"), Calls(NUMBERS)
    known = [fact for one in messages[:5] for fact in calls.read(one)]
    after = [fact for one in messages[7:] for fact in calls.read(one)]
    (guess,) = after
    assert isinstance(guess, CallbackEnded)
    assert guess.failure
    record = read_since(test_callbacks.RECORDED / "reached_agent_hangs_up.csv", 0).events
    now = time_of(messages[-1])
    story = put_together(
        record, known, Held([], [], after), numbers=NUMBERS, alive=(), asked=now, now=now
    )
    assert [type(fact) for fact in story.facts] == [CallbackAnswered, CallbackEnded]
    ended = story.facts[-1]
    assert isinstance(ended, CallbackEnded)
    assert (ended.failure, ended.hung_up_by) == ("", Party.AGENT)
    # What AMI saw for itself is not told twice.
    calls = Calls(NUMBERS)
    seen = [fact for one in messages for fact in calls.read(one)]
    story = put_together(
        record, [], Held([], [], seen), numbers=NUMBERS, alive=(), asked=now, now=now
    )
    assert story.facts == seen


def put(
    monkeypatch: pytest.MonkeyPatch, missed: list[Fact], held: Held, asked: int = 0
) -> list[Fact]:
    monkeypatch.setattr(cel, "complete", lambda *_, **__: missed)
    return put_together((), (), held, numbers=(), alive=(), asked=asked, now=asked).facts


def test_cels_facts_come_before_later_ones_and_before_the_end_of_their_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CEL's clock and AMI's differ a little; and AMI may tell of an arrival when the call is over."""
    arrived = CallArrived(1, "a", "12345", "")
    other = CallArrived(6, "b", "12345", "")
    ended = CallEnded(7, "a", Party.CALLER)
    missed: list[Fact] = [OfferAnswered(5, "a", "1001"), TalkEnded(9, "a", "1001", Party.CALLER)]
    story = put(monkeypatch, missed, Held([PhoneReachable(3, "1001"), other], [], [ended, arrived]))
    end = CallEnded(9, "a", Party.CALLER)
    assert story == [PhoneReachable(3, "1001"), missed[0], other, arrived, missed[1], end]


def test_a_phone_that_has_stopped_ringing_since_does_not_ring_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = OfferEnded(SECOND + 5, "a", "1001", OfferReason.NO_ANSWER)
    rings = OfferRinging(SECOND, "a", "1001", estimated=True)
    assert put(monkeypatch, [over], Held([], [rings], []), asked=SECOND) == [over]
    # It rang twice, and the second time it still does.
    earlier = OfferEnded(5, "a", "1001", OfferReason.NO_ANSWER)
    told = put(monkeypatch, [earlier], Held([], [rings], []), asked=SECOND)
    assert told == [earlier, rings]


def test_why_a_phone_stopped_ringing_is_known_to_cel_when_its_end_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    true = OfferEnded(5, "a", "1001", OfferReason.WITHDRAWN)
    guess = OfferEnded(9, "a", "1001", OfferReason.CALLER_GONE)
    assert put(monkeypatch, [true], Held([guess], [], [])) == [true]
    assert put(monkeypatch, [], Held([guess], [], [])) == [guess]
