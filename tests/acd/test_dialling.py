"""What the floor dials by itself, and what it refuses: callbacks, transfers, and how often."""

import pytest

from acd.commands import CreateCallback, PlaceCallback, Record, SendOutside
from acd.floor import Floor
from acd.gate import Policy
from acd.rules.model import DEFAULT, Number, Queue, Rules
from facts import (
    AgentAdded,
    AgentReady,
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackAsked,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallEnded,
    CallQueued,
    Fact,
    LinkRestored,
    OfferAnswered,
    PhoneReachable,
)
from facts.terms import Party
from facts.times import DAY, HOUR, MINUTE, SECOND
from tests.acd.world import check_types

CITIZEN, OTHER = "+8613800000001", "+8613800000002"
BEGIN = 1_763_690_400 * SECOND
"""2025-11-21 10:00 in China."""


class Hall:
    """A floor, its clock and what it has commanded."""

    def __init__(
        self,
        *,
        agents: tuple[str, ...] = ("1001",),
        queue: Queue | None = None,
        policy: Policy | None = None,
    ) -> None:
        rules = Rules(
            queues={DEFAULT: queue or Queue(wrap_up_time=0)}, numbers={"12345": Number("12345")}
        )
        self.now = BEGIN
        self.floor = Floor(rules, outbound=True, outside=("12333", "110"), policy=policy)
        self.commands: list[object] = []
        self.calls = 0
        self.tell(LinkRestored(self.now))
        for agent in agents:
            for kind in (AgentAdded, PhoneReachable, AgentReady):
                self.tell(kind(self.now, agent))

    def tell(self, fact: Fact) -> None:
        commands = self.floor.handle(fact, self.now)
        check_types(self.floor, commands)
        self.commands += commands

    def wait(self, time: int) -> None:
        until = self.now + time
        while (due := self.floor.deadline()) is not None and due <= until:
            self.now = max(due, self.now)
            self.commands += self.floor.tick(self.now)
        self.now = until

    def caller(self, caller: str) -> str:
        """A caller who waits."""
        self.calls += 1
        call = f"hotline-1.{self.calls}"
        self.tell(CallArrived(self.now, call, "12345", caller))
        self.tell(CallQueued(self.now, call, DEFAULT))
        return call

    def lose(self, caller: str) -> str:
        """A caller gives up; what the book was asked for is entered."""
        call = self.caller(caller)
        before = len(self.of(CreateCallback))
        self.wait(SECOND)
        self.tell(CallEnded(self.now, call, Party.CALLER))
        for wanted in self.of(CreateCallback)[before:]:
            self.task(wanted.number, latest=wanted.latest, origin=wanted.origin)
        return call

    def task(self, number: str = CITIZEN, **more: object) -> int:
        """A task that is due now."""
        self.tasks = getattr(self, "tasks", 0) + 1
        values: dict[str, object] = {"latest": self.now + DAY, "spacing": 15 * MINUTE, **more}
        self.tell(
            CallbackAdded(self.now, self.tasks, number, DEFAULT, self.now, **values)  # type: ignore[arg-type]
        )
        return self.tasks

    def fail(self, placed: PlaceCallback, failure: str = "busy") -> None:
        """The citizen is dialled and not reached."""
        self.tell(CallbackDialling(self.now, placed.callback, placed.call, placed.agent))
        self.wait(SECOND)
        self.tell(CallbackEnded(self.now, placed.callback, placed.call, placed.agent, failure))

    def of(self, kind: type) -> list:  # type: ignore[type-arg]
        return [command for command in self.commands if isinstance(command, kind)]

    def facts(self, kind: str) -> list:  # type: ignore[type-arg]
        return [one.fact for one in self.of(Record) if one.fact.kind == kind]


# --- who is never called back


@pytest.mark.parametrize(
    ("caller", "why"),
    [
        ("12345", "own"),
        ("02412345", "own"),
        ("+862412345", "own"),
        ("1001", "agent"),
        ("110", "emergency"),
        ("122", "emergency"),
        ("024110", "emergency"),
        ("+882161234567", "premium"),
        ("+883510012345678", "premium"),
        ("+8613490000001", "premium"),
        ("16812345", "premium"),
        ("+85251234567", "abroad"),
        ("10086", "short"),
        ("4008001234", "service"),
    ],
)
def test_a_lost_caller_whose_number_may_not_be_dialled_is_refused_and_counted(
    caller: str, why: str
) -> None:
    hall = Hall(agents=())
    hall.tell(AgentAdded(hall.now, "1001"))
    call = hall.lose(caller)
    assert hall.of(CreateCallback) == []
    (refused,) = hall.facts("DialRefused")
    assert (refused.call, refused.number, refused.purpose, refused.why) == (
        call,
        caller,
        "lost",
        why,
    )


@pytest.mark.parametrize("caller", [CITIZEN, "+862423456789", "23456789", "+8614800000001"])
def test_a_lost_subscriber_is_called_back(caller: str) -> None:
    hall = Hall(agents=())
    hall.lose(caller)
    assert [wanted.number for wanted in hall.of(CreateCallback)] == [caller]


def test_a_kept_place_is_refused_if_the_number_may_not_be_dialled() -> None:
    hall = Hall(agents=())
    call = hall.caller("110")
    hall.tell(CallbackAsked(hall.now, call))
    assert hall.of(CreateCallback) == []
    assert [fact.purpose for fact in hall.facts("DialRefused")] == ["asked"]


def test_the_world_may_have_changed_before_an_attempt() -> None:
    hall = Hall(agents=())
    task = hall.task("2001")
    hall.tell(AgentAdded(hall.now, "2001"))
    for kind in (AgentAdded, PhoneReachable, AgentReady):
        hall.tell(kind(hall.now, "1001"))
    assert hall.of(PlaceCallback) == []
    assert hall.facts("CallbackCancelled") == [CallbackCancelled(hall.now, task, "refused: agent")]
    assert hall.floor.tasks == {}


# --- where callers are sent


def test_no_caller_is_sent_to_a_number_of_ours() -> None:
    hall = Hall(agents=(), queue=Queue(overflow_to="12345", overflow_after=10))
    call = hall.caller(CITIZEN)
    hall.wait(20 * SECOND)
    assert hall.of(SendOutside) == []
    assert [fact.why for fact in hall.facts("DialRefused")] == ["own"]
    assert hall.floor.ahead(call) == 0
    hall.tell(AgentAdded(hall.now, "1001"))
    hall.tell(PhoneReachable(hall.now, "1001"))
    hall.tell(AgentReady(hall.now, "1001"))
    assert hall.floor.callers[call].ringing == {"1001"}, "the caller went on waiting"


@pytest.mark.parametrize("target", ["12333", "4008001234", "+85251234567"])
def test_an_overflow_that_an_operator_has_set_goes_on(target: str) -> None:
    hall = Hall(agents=(), queue=Queue(overflow_to=target, overflow_after=10))
    hall.caller(CITIZEN)
    hall.wait(20 * SECOND)
    assert [command.number for command in hall.of(SendOutside)] == [target]


# --- loops


def test_a_call_that_came_of_our_own_dialling_is_not_called_back() -> None:
    """The citizen's phone is forwarded to the hotline: what we dial comes back to us."""
    hall = Hall(agents=("1001", "1002"))
    task = hall.task(attempts=1)
    (placed,) = hall.of(PlaceCallback)
    hall.tell(CallbackDialling(hall.now, task, placed.call, placed.agent))
    forwarded = hall.caller(CITIZEN)
    hall.tell(CallbackEnded(hall.now, task, placed.call, placed.agent, "no_answer"))
    assert hall.floor.tasks == {}
    hall.wait(2 * SECOND)
    hall.tell(CallEnded(hall.now, forwarded, Party.SYSTEM))
    assert hall.of(CreateCallback) == []
    assert [fact.why for fact in hall.facts("DialRefused")] == ["loop"]
    hall.wait(MINUTE)
    hall.lose(CITIZEN)
    assert len(hall.of(CreateCallback)) == 1, "a later call is the citizen's own"


def test_a_circle_of_callbacks_that_yield_to_themselves_ends() -> None:
    """The only agent's callback yields to the call that it has brought about, and is due again when that has ended."""
    hall = Hall(policy=Policy(per_number_day=4))
    hall.task(latest=hall.now + DAY)
    for turn in range(20):
        placed = hall.of(PlaceCallback)
        if len(placed) <= turn:
            break
        call = placed[-1]
        hall.tell(CallbackDialling(hall.now, call.callback, call.call, call.agent))
        forwarded = hall.caller(CITIZEN)
        hall.tell(CallbackEnded(hall.now, call.callback, call.call, call.agent, "withdrawn"))
        hall.wait(SECOND)
        hall.tell(CallEnded(hall.now, forwarded, Party.SYSTEM))
        hall.wait(SECOND)
    assert len(hall.of(PlaceCallback)) == 4
    assert hall.floor.held_back(hall.now) == 1
    hall.wait(15 * HOUR)
    assert len(hall.of(PlaceCallback)) == 5, "another day"


@pytest.mark.parametrize(
    "policy", [Policy(per_hour=2), Policy(budget_day=2), Policy(per_number_day=2)]
)
def test_what_is_beyond_a_cap_stays_due(policy: Policy) -> None:
    hall = Hall(policy=policy)
    task = hall.task(attempts=9, spacing=0)
    for _ in range(5):
        for placed in hall.of(PlaceCallback)[len(hall.facts("CallbackEnded")) :]:
            hall.fail(placed)
            hall.wait(SECOND)
            hall.tell(AgentReady(hall.now, "1001"))
    assert len(hall.of(PlaceCallback)) == 2
    assert set(hall.floor.tasks) == {task}
    assert hall.floor.held_back(hall.now) == 1
    hall.wait(HOUR if policy.per_hour else 15 * HOUR)
    assert len(hall.of(PlaceCallback)) == 3
    assert hall.floor.held_back(hall.now) == 0


def test_what_waits_for_an_agent_is_not_held_back() -> None:
    hall = Hall(agents=(), policy=Policy(per_hour=2))
    hall.task()
    assert hall.floor.held_back(hall.now) == 0


@pytest.mark.parametrize("times", [2, 11])
def test_a_caller_who_gives_up_again_and_again_has_one_open_task(times: int) -> None:
    hall = Hall(agents=())
    for _ in range(times):
        hall.lose(CITIZEN)
    assert len(hall.of(CreateCallback)) == 1
    assert len(hall.facts("CallbackMerged")) == times - 1


# --- one open task a citizen and matter


def test_a_lost_caller_joins_the_task_that_was_entered_by_hand() -> None:
    hall = Hall(agents=())
    task = hall.task(CITIZEN)
    call = hall.lose(CITIZEN)
    assert hall.of(CreateCallback) == []
    assert hall.facts("CallbackMerged") == [CallbackMerged(hall.now, task, call)]


def test_a_task_for_next_week_does_not_take_a_lost_caller() -> None:
    hall = Hall(agents=())
    hall.tell(
        CallbackAdded(
            *(hall.now, 7, CITIZEN, DEFAULT, hall.now + 7 * DAY, hall.now + 8 * DAY), matter="7"
        )
    )
    hall.lose(CITIZEN)
    assert len(hall.of(CreateCallback)) == 1


def test_an_answered_caller_settles_all_that_was_lost() -> None:
    hall = Hall(agents=())
    lost = hall.task(origin="hotline-9.1")
    kept = hall.task(origin="hotline-9.2", place=hall.now)
    asked = hall.task(matter="工单 7")
    other = hall.task(OTHER, origin="hotline-9.3")
    call = hall.caller(CITIZEN)
    hall.tell(OfferAnswered(hall.now, call, "1001"))
    assert [fact.callback for fact in hall.facts("CallbackCancelled")] == [lost, kept]
    assert set(hall.floor.tasks) == {asked, other}


def test_an_answered_callback_settles_the_rest() -> None:
    hall = Hall()
    task = hall.task(matter="工单 7")
    (placed,) = hall.of(PlaceCallback)
    twin = hall.task(matter="工单 7")
    lost = hall.task(origin="hotline-9.1")
    another = hall.task(matter="工单 8")
    hall.tell(CallbackAnswered(hall.now, task, placed.call, placed.agent))
    assert hall.facts("CallbackCancelled") == [
        CallbackCancelled(hall.now, twin, "reached"),
        CallbackCancelled(hall.now, lost, "reached"),
    ]
    assert set(hall.floor.tasks) == {task, another}
