"""queue_log of recorded calls, in the order in which Asterisk makes the facts come; and of whatever else may happen."""

import random
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from acd.commands import Command, Record
from facts import CallArrived, CallEnded, CallTransferred, ControllerStopped, Fact, TalkEnded
from facts.terms import CallId
from facts.times import SECOND
from metrics.fold import record_of
from telephony.queue_log import QueueLog
from telephony.queue_log_file import QueueLogFile
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


def holds(found: list[dict[str, str]]) -> "Reader":
    """Whoever enters a queue leaves it, once and before they enter another, and talks to one agent in between."""
    reader = Reader()
    for row in found:
        reader.take(row)
    assert not reader.waiting, f"they wait for ever: {sorted(reader.waiting)}"
    assert not reader.talking, f"they talk for ever: {sorted(reader.talking)}"
    return reader


class Reader:
    """Reads queue_log as a program does that knows the documented format and nothing of ours.

    It counts what such programs show: who waits, who talks, who was answered or gave up in which queue, and whether
    each agent is signed in and paused. Whatever does not follow from the lines before is an AssertionError.
    """

    def __init__(self) -> None:
        self.waiting: dict[str, dict[str, str]] = {}
        self.talking: dict[str, dict[str, str]] = {}
        self.answered: dict[str, list[str]] = defaultdict(list)
        self.gave_up: dict[str, int] = defaultdict(int)
        self.members: dict[str, set[str]] = defaultdict(set)
        self.paused: set[str] = set()

    def take(self, row: dict[str, str]) -> None:
        event, call, agent = row["event"], row["call"], row["agent"]
        if event == "ENTERQUEUE":
            assert call not in self.waiting, f"{row}: waits already"
            assert call not in self.talking, f"{row}: talks"
            assert int(row["position"]) >= 1, row
            self.waiting[call] = row
        elif event == "CONNECT":
            entered = self.waiting.pop(call, None)
            assert entered is not None, f"{row}: did not wait"
            assert entered["queue"] == row["queue"], row
            # The time before an overflow into this queue counts, too.
            assert int(row["holdtime"]) >= seconds(entered, row) - 1, row
            assert int(row["ringtime"]) >= 0, row
            self.talking[call] = row
            self.answered[call].append(agent)
        elif event in {"ABANDON", "EXITWITHTIMEOUT", "EXITEMPTY"}:
            entered = self.waiting.pop(call, None)
            assert entered is not None, f"{row}: did not wait"
            assert (entered["queue"], agent) == (row["queue"], "NONE"), row
            assert row["origposition"] == entered["position"], row
            assert 1 <= int(row["position"]) <= int(row["origposition"]), row
            assert int(row["waittime"]) >= seconds(entered, row) - 1, row
            self.gave_up[call] += event == "ABANDON"
        elif event in _ENDS:
            connected = self.talking.pop(call, None)
            assert connected is not None, f"{row}: did not talk"
            assert (connected["queue"], connected["agent"]) == (row["queue"], agent), row
            assert row["holdtime"] == connected["holdtime"], row
            assert abs(int(row["calltime"]) - seconds(connected, row)) <= 1, row
        elif event == "RINGNOANSWER":
            assert call in self.waiting, f"{row}: nobody waits"
        else:
            self._of_agent(row)

    def _of_agent(self, row: dict[str, str]) -> None:
        event, queue, agent = row["event"], row["queue"], row["agent"]
        there = self.members[queue]
        if event == "ADDMEMBER":
            assert agent not in there, f"{row}: a member already"
            there.add(agent)
        elif event == "REMOVEMEMBER":
            assert agent in there, f"{row}: no member"
            there.remove(agent)
            self.paused.discard(agent)
        elif event == "PAUSE":
            assert agent in there, f"{row}: no member"
            self.paused.add(agent)
        elif event == "UNPAUSE":
            assert agent in self.paused, f"{row}: not paused"
            self.paused.remove(agent)
        else:
            assert event in {"PAUSEALL", "UNPAUSEALL", "QUEUESTART"}, row


def seconds(begin: dict[str, str], end: dict[str, str]) -> int:
    return int(end["time"]) - int(begin["time"])


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


def history(seed: int) -> tuple[list[Fact], dict[CallId, list[Fact]]]:
    """What happens in one world, and the facts of each call."""
    world: Any = Told(seed)
    world.run(steps=60)
    stories: dict[CallId, list[Fact]] = defaultdict(list)
    for fact in world.written:
        if call := getattr(fact, "call", ""):
            stories[call].append(fact)
    return world.written, stories


@pytest.mark.parametrize("part", range(4))
def test_whoever_enters_a_queue_leaves_it_once(part: int) -> None:
    """And its reader names the agent who answered first, as the diary does.

    A CONNECT stands even if the talk then ends within a second and is no talk for M1: app_queue writes it too.
    """
    answers = 0
    for seed in range(part, 400, 4):
        facts, stories = history(seed)
        try:
            reader = holds(rows(facts))
            for call, story in stories.items():
                record = record_of(story)
                if record is None or record.origin or not record.talk:
                    continue
                first = next(offer.agent for offer in record.offers if offer.answered)
                answers += 1
                assert reader.answered[call][:1] == [f"PJSIP/{first}"], (call, story)
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
    assert answers > 100


@pytest.mark.parametrize("part", range(4))
def test_a_controller_that_is_killed_leaves_nobody_in_a_queue(part: int, tmp_path: Path) -> None:
    """It is killed three times, each time before the last lines were written; the next one writes them."""
    lost = 0
    for seed in range(part, 200, 4):
        rng = random.Random(seed)
        facts, _ = history(seed)
        file = tmp_path / f"queue_log.{seed}"
        cuts = [0, *sorted(rng.sample(range(1, len(facts)), 3)), len(facts)]
        for begin, end in pairwise(cuts):
            log = start_again(file, facts[:begin])
            # Whatever goes wrong in between is not told to the last controller.
            unwritten = rng.randrange(6) if end < len(facts) else 0
            lost += unwritten
            log.write(facts[begin : max(begin, end - unwritten)])
        try:
            reader = Reader()
            found = [_read(line) for line in file.read_text().splitlines()]
            for row in found:
                if row["call"] != "NONE":
                    reader.take(row)
            assert {*reader.waiting, *reader.talking} == set()
        except AssertionError as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
    assert lost > 100


def start_again(file: Path, diary: list[Fact]) -> QueueLogFile:
    """A new controller, which reads as `hotline.controller.recovery` does what the one before left."""
    log = QueueLogFile(file, "whole")
    told = log.read_back()
    stories: dict[str, list[Fact]] = defaultdict(list)
    for fact in diary:
        stories[getattr(fact, "call", "")].append(fact)
    stories.pop("", None)
    ended = {
        call for call, facts in stories.items() if any(isinstance(f, CallEnded) for f in facts)
    }
    unfinished = told.unfinished
    for call in stories:
        if call not in ended and isinstance(stories[call][0], CallArrived):
            log.seed(stories[call], told)
    for call in sorted(unfinished & ended):
        log.seed(stories[call], told)
    return log


def test_without_its_own_file_a_start_writes_nothing_again(tmp_path: Path) -> None:
    """It was rotated a moment ago: what an earlier file has is not told twice."""
    file = tmp_path / "queue_log"
    facts = replay("no_answer_then_next")
    for before in ("", "1000000000000|NONE|NONE|NONE|QUEUESTART\n"):
        file.write_text(before)
        start_again(file, facts[:-2])
        assert file.read_text() == before


def test_lines_that_are_no_lines_are_passed_over(tmp_path: Path) -> None:
    """A disk that was full may have cut a line."""
    file = tmp_path / "queue_log"
    file.write_bytes(b"17|n-1.9\n|||\n\xff\n\n12|n-1.1|tax|NONE|ENTERQUEUE||1|1\n12|n-1.2|tax|NO")
    told = QueueLogFile(file, "whole").read_back()
    assert (told.unfinished, told.since) == ({"n-1.1"}, 17)
