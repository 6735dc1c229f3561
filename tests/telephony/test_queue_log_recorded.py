"""queue_log of recorded calls, in the order in which Asterisk makes the facts come; and of whatever else may happen."""

from collections import defaultdict
from typing import Any

import pytest

from acd.commands import Command, Record
from facts import CallTransferred, ControllerStopped, Fact, TalkEnded
from facts.times import SECOND
from telephony.queue_log import QueueLog
from tests.acd.world import World
from tests.telephony.replay import replay
from tests.telephony.test_callbacks import attempt_of
from tests.telephony.test_callbacks import recorded as recorded_callback
from tests.telephony.test_calls import folded
from tests.telephony.test_queue_log import _read

_ENDS = {
    *("ABANDON", "EXITWITHTIMEOUT", "EXITEMPTY"),
    *("COMPLETEAGENT", "COMPLETECALLER", "BLINDTRANSFER", "ATTENDEDTRANSFER"),
}


def rows(facts: list[Fact]) -> list[dict[str, str]]:
    log = QueueLog()
    return [_read(line) for fact in facts for line in log.lines(fact)]


def short(facts: list[Fact]) -> list[str]:
    """Queue, agent and event of each line about a call."""
    return [
        " ".join([row["queue"], row["agent"].removeprefix("PJSIP/"), row["event"]])
        for row in rows(facts)
        if row["call"] != "NONE"
    ]


def holds(found: list[dict[str, str]]) -> None:
    """Whoever enters a queue leaves it, once and before they enter another, and talks to one agent in between."""
    open_: dict[str, list[str]] = defaultdict(list)
    for row in found:
        event, told = row["event"], open_[row["call"]]
        if event == "ENTERQUEUE":
            assert told == [], f"{row}: still in a queue"
            told.append(event)
        elif event == "CONNECT":
            assert told == ["ENTERQUEUE"], f"{row}: {told}"
            told.append(event)
        elif event in {"ABANDON", "EXITWITHTIMEOUT", "EXITEMPTY"}:
            assert told == ["ENTERQUEUE"], f"{row}: {told}"
            told.clear()
        elif event in _ENDS:
            assert told == ["ENTERQUEUE", "CONNECT"], f"{row}: {told}"
            told.clear()
    left = {call for call, told in open_.items() if told}
    assert not left, f"entered, and never left: {left}"


def test_in_a_recorded_blind_transfer_the_talk_ends_before_the_transfer_is_told() -> None:
    facts = replay("blind_transfer")
    kinds = [type(fact) for fact in facts]
    assert kinds.index(TalkEnded) < kinds.index(CallTransferred)


def test_a_blind_transfer_to_a_colleague() -> None:
    facts = replay("blind_transfer")
    assert short(facts) == [
        "default NONE ENTERQUEUE",
        "default 1001 CONNECT",
        "default 1001 BLINDTRANSFER",
    ]
    (line,) = [row for row in rows(facts) if row["event"] == "BLINDTRANSFER"]
    assert (line["extension"], line["context"]) == ("1002", "")
    # Asked at 13.3 s, answered at 13.6 s, handed on at 15.3 s of that minute
    assert (line["holdtime"], line["calltime"], line["origposition"]) == ("0", "1", "1")


def test_a_blind_transfer_to_another_queue() -> None:
    facts = replay("blind_transfer", to="8890")
    assert short(facts) == [
        "default NONE ENTERQUEUE",
        "default 1001 CONNECT",
        "default 1001 BLINDTRANSFER",
        "tax NONE ENTERQUEUE",
        "tax 1002 CONNECT",
        "tax 1002 COMPLETECALLER",
    ]
    *_, connected, completed = rows(facts)
    # The wait in the other queue begins with the transfer.
    assert (connected["holdtime"], connected["ringtime"]) == ("0", "0")
    assert (completed["holdtime"], completed["calltime"]) == ("0", "0")


def test_a_blind_transfer_to_the_outside() -> None:
    assert short(replay("blind_transfer", to="12333")) == [
        "default NONE ENTERQUEUE",
        "default 1001 CONNECT",
        "default 1001 BLINDTRANSFER",
    ]


@pytest.mark.parametrize("shape", ["attended_transfer", "attended_transfer_other_way"])
def test_an_attended_transfer(shape: str) -> None:
    facts = replay(shape)
    assert short(facts) == [
        "default NONE ENTERQUEUE",
        "default 1001 CONNECT",
        "default 1001 ATTENDEDTRANSFER",
    ]
    (line,) = [row for row in rows(facts) if row["event"] == "ATTENDEDTRANSFER"]
    assert (line["method"], line["method-data"]) == ("BRIDGE", "1002")


@pytest.mark.parametrize(
    ("shape", "end"),
    [
        ("answered_agent_hangs_up", "1001 COMPLETEAGENT"),
        ("answered_caller_hangs_up", "1001 COMPLETECALLER"),
        ("talk_cut", "1001 COMPLETECALLER"),
        ("gives_up_ringing", "NONE ABANDON"),
    ],
)
def test_other_ends(shape: str, end: str) -> None:
    *_, last = short(replay(shape))
    assert last == f"default {end}"


def test_an_offer_without_an_answer() -> None:
    assert short(replay("no_answer_then_next")) == [
        "default NONE ENTERQUEUE",
        "default 1001 RINGNOANSWER",
        "default 1002 CONNECT",
        "default 1002 COMPLETECALLER",
    ]


@pytest.mark.parametrize("shape", ["blind", "attended", "other", "outside"])
def test_one_who_was_transferred_from_a_callback_is_not_in_it(shape: str) -> None:
    facts = folded(recorded_callback(f"handed_on_{shape}"))
    assert any(getattr(fact, "origin", "") == attempt_of(f"handed_on_{shape}") for fact in facts)
    assert short(facts) == []


# --- when the line is written


def told(facts: list[Fact]) -> list[tuple[str, list[str]]]:
    log = QueueLog()
    return [
        (fact.kind, [_read(line)["event"] for line in lines])
        for fact in facts
        if (lines := log.lines(fact))
    ]


def until_talk_ended() -> list[Fact]:
    facts = replay("blind_transfer")
    return facts[: [type(fact) for fact in facts].index(TalkEnded) + 1]


@pytest.mark.parametrize(
    ("after", "event"), [(2.0, "COMPLETECALLER"), (1.999, "BLINDTRANSFER"), (0, "BLINDTRANSFER")]
)
def test_a_transfer_is_waited_for_two_seconds(after: float, event: str) -> None:
    facts = until_talk_ended()
    at = facts[-1].at + round(after * SECOND)
    call = getattr(facts[-1], "call", "")
    assert told([*facts, CallTransferred(at, call, "1001", "1002")])[-1] == (
        "CallTransferred",
        [event],
    )


def test_the_line_has_the_time_of_the_talks_end() -> None:
    facts = until_talk_ended()
    *_, line = rows([*facts, ControllerStopped(facts[-1].at + 60 * SECOND)])
    assert (line["event"], line["time"]) == ("COMPLETECALLER", str(facts[-1].at // SECOND))
    assert line["calltime"] == "1"


def test_a_controller_that_stops_leaves_no_line_unwritten() -> None:
    facts = until_talk_ended()
    assert told([*facts, ControllerStopped(facts[-1].at)])[-1] == (
        "ControllerStopped",
        ["COMPLETECALLER"],
    )


def test_a_talk_that_the_citizen_ended_is_written_at_once() -> None:
    kinds = dict(told(replay("answered_caller_hangs_up")))
    assert kinds["TalkEnded"] == ["COMPLETECALLER"]


# --- whatever happens


class Told(World):
    """A world that keeps its diary in the order of writing."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.written: list[Fact] = []

    def obey(self, commands: list[Command]) -> None:
        self.written += [command.fact for command in commands if isinstance(command, Record)]
        super().obey(commands)


@pytest.mark.parametrize("part", range(4))
def test_whoever_enters_a_queue_leaves_it_once(part: int) -> None:
    for seed in range(part, 400, 4):
        world: Any = Told(seed)
        world.run(steps=60)
        try:
            holds(rows(world.written))
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
