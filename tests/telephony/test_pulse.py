"""Which phone has died in a talk, and which is only silent: the histories of one talk, told second by second."""

from dataclasses import replace

import pytest

from facts.times import SECOND
from telephony.channels import Talk
from telephony.pulse import READ_FIRST, Pulses, Step

TALK = Talk("a.1", "PJSIP/1001-00000001", "a.0", "1001", held=False, there=True)
START = 1_000 * SECOND
STEP = SECOND // 10


class Line:
    """One talk of an agent, read whenever it is due. `pps`: packets a second; `reports`: RTCP every five seconds."""

    def __init__(self, after: float = 8.0) -> None:
        self.pulses = Pulses(after)
        self.now = START
        self.talk = TALK
        self.pps = 50.0
        self.reports = True
        self.packets = 0.0
        self.told: list[tuple[float, Step]] = []
        self.reads = 0

    def go_on(self, seconds: float) -> None:
        """Let time pass, until the leg is ended."""
        for _ in range(round(seconds * 10)):
            if Step.END in self.steps():
                return
            self.now += STEP
            self.packets += self.pps / 10
            for talk in self.pulses.due([self.talk], self.now):
                self.reads += 1
                jitter = (self.now - START) // (5 * SECOND) if self.reports else 0
                told = f"ssrc=1;rxcount={int(self.packets)};txjitter=0.{jitter:03};rlp=0;rtt=0.1"
                for step in self.pulses.heard(talk.leg, told, self.now):
                    self.told.append(((self.now - START) / SECOND, step))

    def steps(self) -> list[Step]:
        return [step for _, step in self.told]

    def ended_after(self) -> float:
        """Seconds from the beginning to the end."""
        return next(at for at, step in self.told if step is Step.END)

    def die(self) -> None:
        self.pps, self.reports = 0.0, False

    def gone(self) -> None:
        """Asterisk has found out that no phone of the agent answers."""
        self.talk = replace(self.talk, there=False)


def test_a_living_phone_is_only_read_and_seldom() -> None:
    line = Line()
    line.go_on(62)
    assert line.told == []
    assert line.reads <= 23


def test_whoever_watches_knows_when_the_next_talk_is_due() -> None:
    pulses = Pulses(8.0)
    assert pulses.next_due() is None
    pulses.due([TALK], START)
    assert pulses.next_due() == START + READ_FIRST
    other = replace(TALK, leg="b.1", agent="1002")
    pulses.due([TALK, other], START + SECOND)
    pulses.signed_in("1002", START + SECOND + 1)
    assert pulses.next_due() == START + SECOND + 1
    pulses.due([], START + 2 * SECOND)
    assert pulses.next_due() is None


def test_a_short_talk_is_not_read_at_all() -> None:
    line = Line()
    line.go_on(1.9)
    assert line.reads == 0


@pytest.mark.parametrize("died_before", [0.1, 1.0, 4.0])
def test_a_phone_that_was_reloaded_is_ended_within_two_seconds(died_before: float) -> None:
    line = Line()
    line.go_on(20)
    line.die()
    line.go_on(died_before)
    line.pulses.signed_in("1001", line.now)
    line.pulses.moved("1001", line.now)
    moved = (line.now - START) / SECOND
    line.go_on(10)
    assert line.ended_after() - moved <= 1.1


@pytest.mark.parametrize("died_before", [0.1, 0.2, 0.6])
def test_a_phone_that_signs_in_again_at_its_address_is_asked_when_a_second_is_over(
    died_before: float,
) -> None:
    line = Line()
    line.go_on(20)
    line.die()
    line.go_on(died_before)
    line.pulses.signed_in("1001", line.now)
    died = (line.now - START) / SECOND - died_before
    line.go_on(3)
    asked = next(at for at, step in line.told if step is Step.ASK_IN_CALL)
    assert asked - died <= 1.2


def test_a_phone_that_dies_without_a_word_is_ended_within_ten_seconds() -> None:
    line = Line()
    line.go_on(21)
    line.die()
    line.go_on(3.5)
    assert Step.ASK in line.steps()
    asked = line.told[-1][0]
    line.go_on(3.0 - ((line.now - START) / SECOND - asked))
    line.gone()
    line.go_on(20)
    assert line.ended_after() <= 21 + 10
    assert line.ended_after() >= 21 + 8


def test_a_silent_phone_that_answers_is_never_ended() -> None:
    line = Line()
    line.go_on(10)
    line.pps = 0
    line.go_on(1200)
    assert set(line.steps()) == {Step.ASK}
    # It is asked again and again, since it may die meanwhile.
    assert 100 < len(line.told) < 320


@pytest.mark.parametrize("reports", [True, False])
def test_a_muted_phone_that_registers_again_is_never_ended(reports: bool) -> None:
    line = Line()
    line.go_on(10)
    line.pps, line.reports = 0, reports
    for _ in range(10):
        line.go_on(60)
        line.pulses.signed_in("1001", line.now)
    assert Step.END not in line.steps()


def test_a_muted_phone_that_dies_is_ended_when_it_does_not_answer() -> None:
    line = Line()
    line.go_on(10)
    line.pps = 0
    line.go_on(30)
    line.die()
    line.go_on(4 + 3)
    line.gone()
    line.go_on(20)
    assert line.ended_after() <= 40 + 10


def test_a_second_phone_that_registers_ends_no_talk() -> None:
    line = Line()
    line.go_on(10)
    line.pulses.moved("1001", line.now)
    line.go_on(60)
    assert line.told == []


def test_a_second_phone_ends_no_talk_of_a_muted_one_that_reports() -> None:
    line = Line()
    line.go_on(10)
    line.pps = 0
    line.go_on(15)
    line.pulses.moved("1001", line.now)
    line.go_on(120)
    assert Step.END not in line.steps()


def test_a_muted_phone_that_is_reloaded_reports_no_more() -> None:
    line = Line()
    line.go_on(10)
    line.pps = 0
    line.go_on(20)
    line.die()
    line.pulses.moved("1001", line.now)
    line.go_on(20)
    assert line.ended_after() <= 30 + 10


def test_silence_suppression_is_no_reload() -> None:
    """Sound that comes and goes, while another phone of the agent registers."""
    line = Line()
    line.reports = False
    for _ in range(6):
        line.pps = 50
        line.go_on(4)
        line.pps = 0
        line.go_on(3)
    line.pulses.moved("1001", line.now)
    line.go_on(4)
    line.pps = 50
    line.go_on(10)
    assert Step.END not in line.steps()


def test_a_phone_that_was_started_again_is_asked_within_the_call_once() -> None:
    line = Line()
    line.go_on(10)
    line.die()
    line.go_on(0.3)
    line.pulses.signed_in("1001", line.now)
    line.go_on(2)
    assert line.steps().count(Step.ASK_IN_CALL) == 1
    assert line.told[0][0] <= 10 + 2


def test_a_held_talk_is_silent_and_is_not_asked_within_the_call() -> None:
    line = Line()
    line.go_on(10)
    line.talk = replace(line.talk, held=True)
    line.pps = 0
    line.go_on(3)
    line.pulses.signed_in("1001", line.now)
    line.pulses.moved("1001", line.now)
    line.go_on(3)
    assert set(line.steps()) <= {Step.ASK}


def test_packets_that_were_late_and_come_at_once_are_a_living_phone() -> None:
    line = Line()
    line.go_on(20)
    line.pps = 0
    line.go_on(2)
    line.packets += 100
    line.pps = 50
    line.go_on(5)
    line.pulses.moved("1001", line.now)
    line.go_on(30)
    assert Step.END not in line.steps()


def test_a_leg_that_is_gone_says_nothing() -> None:
    pulses = Pulses(8.0)
    assert pulses.heard("a.1", "", START) == []
    assert pulses.due([TALK], START) == []
    assert pulses.heard("a.1", "", START + 2 * SECOND) == []
    assert pulses.due([], START) == []
    assert pulses.heard("a.1", "rxcount=7", START + 3 * SECOND) == []
