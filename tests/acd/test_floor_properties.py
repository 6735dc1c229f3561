"""Whatever happens, in whatever order: the floor's promises hold after every single fact."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acd.commands import Command, ReleaseCall, Ring, StopRinging
from acd.events import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallDetached,
    CallEnded,
    CallQueued,
    CallReturned,
    Fact,
    LinkLost,
    LinkRestored,
    OfferAnswered,
    OfferEnded,
    OfferRinging,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    TalkEnded,
)
from acd.floor import Floor, Stage
from acd.model import SECOND, OfferReason, Party
from acd.rules import DEFAULT, Queue, Rules
from agents.model import Presence

AGENTS = st.sampled_from(["1001", "1002", "1003"])
CALLS = st.sampled_from([f"hotline-1.{n}" for n in range(8)])


class Centre(RuleBasedStateMachine):
    """A world that does to the floor whatever Asterisk, agents and citizens may do."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = Floor(Rules(queues={DEFAULT: Queue(longest_wait=120)}))
        self.now = 1_000 * SECOND
        self.linked = False
        self.ringing: dict[str, str] = {}  # agent -> call, as the phones see it
        self.queued_at: dict[str, int] = {}
        self.gone: set[str] = set()

    def tell(self, fact: Fact) -> None:
        self.obey(self.floor.handle(fact, self.now))

    def obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Ring(call, (agent,), _):
                    assert self.linked, "an offer without a link"
                    assert agent not in self.ringing, "an agent rings for two calls"
                    assert call not in self.ringing.values(), "a call rings at two agents"
                    assert call not in self.gone, "an offer of a call that has ended"
                    earlier = [
                        other
                        for other, caller in self.floor.callers.items()
                        if caller.stage is Stage.WAITING
                        and caller.attached
                        and caller.queued_at < self.floor.callers[call].queued_at
                    ]
                    assert not earlier, "a caller was passed over"
                    self.ringing[agent] = call
                case StopRinging(call, agent):
                    assert self.ringing.get(agent) == call
                case ReleaseCall(call, _):
                    assert self.now >= self.queued_at[call] + 120 * SECOND

    @rule(seconds=st.sampled_from([0, 1, 5, 15, 130]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.obey(self.floor.tick(self.now))

    @rule()
    def link_restored(self) -> None:
        self.linked = True
        self.tell(LinkRestored(self.now))

    @rule()
    def link_lost(self) -> None:
        self.linked = False
        self.tell(LinkLost(self.now))

    @rule(agent=AGENTS)
    def agent_comes(self, agent: str) -> None:
        self.tell(AgentAdded(self.now, agent))
        self.tell(PhoneReachable(self.now, agent))
        self.tell(AgentReady(self.now, agent))

    @rule(
        agent=AGENTS,
        kind=st.sampled_from(
            [
                AgentOut,
                AgentReady,
                AgentRemoved,
                PhoneReachable,
                PhoneUnreachable,
                OwnCallStarted,
                OwnCallEnded,
            ]
        ),
    )
    def something_at_the_agent(self, agent: str, kind: type) -> None:
        self.tell(kind(self.now, agent))

    @rule(agent=AGENTS)
    def agent_pauses(self, agent: str) -> None:
        self.tell(AgentPaused(self.now, agent, "用餐"))

    @rule(call=CALLS)
    def citizen_waits(self, call: str) -> None:
        self.tell(CallArrived(self.now, call, "12345", ""))
        if call not in self.gone:
            self.queued_at.setdefault(call, self.now)
        self.tell(CallQueued(self.now, call, "default"))

    @rule(call=CALLS)
    def session_breaks(self, call: str) -> None:
        self.tell(CallDetached(self.now, call))

    @rule(call=CALLS)
    def session_returns(self, call: str) -> None:
        if call in self.queued_at:
            self.tell(CallReturned(self.now, call, "default", self.queued_at[call]))

    @rule(call=CALLS)
    def citizen_hangs_up(self, call: str) -> None:
        for agent, held in list(self.ringing.items()):
            if held == call:
                del self.ringing[agent]
        self.gone.add(call)
        self.tell(CallEnded(self.now, call, Party.CALLER))

    @precondition(lambda self: self.ringing)
    @rule(data=st.data())
    def phone_rings(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(sorted(self.ringing)))
        self.tell(OfferRinging(self.now, self.ringing[agent], agent))

    @precondition(lambda self: self.ringing)
    @rule(data=st.data())
    def agent_answers_and_talks(self, data: st.DataObject) -> None:
        agent = data.draw(st.sampled_from(sorted(self.ringing)))
        self.tell(OfferAnswered(self.now, self.ringing[agent], agent))

    @precondition(lambda self: self.ringing)
    @rule(data=st.data(), reason=st.sampled_from(list(OfferReason)), twice=st.booleans())
    def leg_ends(self, data: st.DataObject, reason: OfferReason, twice: bool) -> None:
        agent = data.draw(st.sampled_from(sorted(self.ringing)))
        call = self.ringing.pop(agent)
        seat = self.floor.seats.get(agent)
        answered = seat is not None and seat.answered
        for _ in range(1 + twice):
            if answered:
                self.tell(TalkEnded(self.now, call, agent, Party.AGENT))
            else:
                self.tell(OfferEnded(self.now, call, agent, reason))
            if agent in self.ringing:
                break  # the floor has offered again: the next end would be another offer's

    @invariant()
    def an_agent_holds_one_call_at_most_and_it_is_his(self) -> None:
        held = [seat.call for seat in self.floor.seats.values() if seat.call]
        assert len(held) == len(set(held))
        for seat in self.floor.seats.values():
            assert (self.ringing.get(seat.agent, "") == seat.call) or not seat.call

    @invariant()
    def nobody_waits_while_somebody_idles(self) -> None:
        if not self.linked:
            return
        waiting = any(c.stage is Stage.WAITING and c.attached for c in self.floor.callers.values())
        idle = any(seat.presence() is Presence.READY for seat in self.floor.seats.values())
        assert not (waiting and idle)

    @invariant()
    def ended_calls_are_forgotten(self) -> None:
        assert not self.gone & set(self.floor.callers)


TestCentre = Centre.TestCase
TestCentre.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
