"""Which phone has died in a talk, and which is only silent: the histories of one talk, told second by second."""

from dataclasses import replace

import pytest

from facts.times import SECOND
from telephony.channels import Talk
from telephony.in_call import InCallAnswer
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
        self.answer = InCallAnswer.NONE_DUE
        self.dead = False

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
                told = f"ssrc=1;rxcount={int(self.packets)};rxjitter=0.{jitter:03};rlp=0;rtt=0.1"
                for step in self.pulses.heard(talk.leg, told, self.now, self.answer):
                    self.told.append(((self.now - START) / SECOND, step))
                    if step is Step.ASK_IN_CALL and self.dead:
                        self.answer = InCallAnswer.LATE

    def steps(self) -> list[Step]:
        return [step for _, step in self.told]

    def ended_after(self) -> float:
        """Seconds from the beginning to the end."""
        return next(at for at, step in self.told if step is Step.END)

    def die(self) -> None:
        """Whoever asks within the call gets no answer any more."""
        self.pps, self.reports, self.dead = 0.0, False, True

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


@pytest.mark.parametrize("reports", [True, False])
def test_a_muted_phone_that_is_reloaded_does_not_answer_within_the_call(reports: bool) -> None:
    line = Line()
    line.reports = reports
    line.go_on(10)
    line.pps = 0
    line.go_on(20)
    line.die()
    line.pulses.moved("1001", line.now)
    line.go_on(1.6)
    assert line.steps().count(Step.ASK_IN_CALL) == (1 if reports else 2)
    line.answer = InCallAnswer.AWAITED
    line.go_on(3.5)
    assert Step.END not in line.steps()
    line.answer = InCallAnswer.MISSING
    line.go_on(1)
    assert line.ended_after() <= 30 + 6


def test_a_phone_that_is_where_it_was_is_not_ended_for_an_answer_that_is_missing() -> None:
    line = Line()
    line.go_on(10)
    line.die()
    line.go_on(6)
    line.answer = InCallAnswer.MISSING
    line.pulses.signed_in("1001", line.now)
    line.go_on(60)
    assert Step.END not in line.steps()


def test_a_question_whose_answer_is_awaited_is_put_once_more_to_a_phone_that_moved() -> None:
    """By TCP, Asterisk does not repeat it."""
    line = Line()
    line.go_on(10)
    line.die()
    line.go_on(6)
    line.pulses.moved("1001", line.now)
    line.answer = InCallAnswer.AWAITED
    line.go_on(6)
    asked = [at for at, step in line.told if step is Step.ASK_IN_CALL]
    assert len(asked) == 2
    assert 4 <= asked[1] - asked[0] <= 5


def test_a_phone_that_only_has_another_address_is_known_by_its_registration() -> None:
    pulses = Pulses(8.0)
    assert not pulses.identify("a.1")
    assert not pulses.only_moved("a.1", "")
    pulses.due([TALK], START)
    assert pulses.identify("a.1")
    pulses.registered("a.1", "r1")
    assert not pulses.identify("a.1")
    assert not pulses.only_moved("a.1", "r1"), "it is where it was"
    pulses.moved("1001", START + SECOND)
    assert pulses.only_moved("a.1", "r1")
    assert not pulses.only_moved("a.1", "r2")


def test_a_registration_that_comes_after_the_address_is_not_that_of_the_beginning() -> None:
    pulses = Pulses(8.0)
    pulses.due([TALK], START)
    pulses.moved("1001", START + SECOND)
    assert not pulses.identify("a.1")
    pulses.registered("a.1", "r2")
    assert not pulses.only_moved("a.1", "r2")
    assert not pulses.only_moved("a.1", "")


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


def test_a_phone_that_was_muted_and_never_reports_is_asked_within_the_call() -> None:
    """It may have been started again unnoticed: the silence is its only sign, and OPTIONS are answered."""
    line = Line()
    line.reports = False
    line.go_on(20)
    line.pps = 0.0
    line.go_on(60)
    asked = [at for at, step in line.told if step is Step.ASK_IN_CALL]
    assert len(asked) == 1, "a phone that lives has said so"
    assert 8 <= asked[0] - 20 <= 10
    assert Step.END not in line.steps()
    line.pps = 50.0
    line.go_on(10)
    line.pps = 0.0
    line.go_on(20)
    assert line.steps().count(Step.ASK_IN_CALL) == 2, "the next silence is another question"


def test_a_muted_phone_that_reports_is_not_asked_within_the_call() -> None:
    line = Line()
    line.go_on(20)
    line.pps = 0.0
    line.go_on(60)
    assert Step.ASK_IN_CALL not in line.steps()


def test_a_held_talk_is_silent_and_is_asked_as_any_other() -> None:
    """Asterisk's request says that the phone holds (recvonly), and changes nothing."""
    line = Line()
    line.go_on(10)
    line.talk = replace(line.talk, held=True)
    line.pps = 0
    line.go_on(3)
    line.pulses.signed_in("1001", line.now)
    line.pulses.moved("1001", line.now)
    line.go_on(3)
    assert line.steps().count(Step.ASK_IN_CALL) == 1
    assert Step.END not in line.steps()


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


# --- to the moment: each reading is given, with its time in seconds


class Readings:
    """One talk from `START`. `read`: what is to be done when so many packets have come by then."""

    def __init__(self, after: float = 8.0) -> None:
        self.pulses = Pulses(after)
        self.show(0)

    def show(self, at: float, *, held: bool = False, there: bool = True) -> list[Talk]:
        """The talk as it is at that moment; gives it if it is to be read."""
        return self.pulses.due([replace(TALK, held=held, there=there)], moment(at))

    def read(
        self,
        at: float,
        packets: int,
        reports: str = "rxjitter=0.1;rlp=0;rtt=0.1",
        answer: InCallAnswer = InCallAnswer.LATE,
    ) -> set[Step]:
        told = f"ssrc=9;themssrc=8;rxcount={packets};{reports}"
        steps = self.pulses.heard("a.1", told, moment(at), answer)
        assert len(steps) == len(set(steps))
        return set(steps)

    def next(self) -> float:
        due = self.pulses.next_due()
        assert due is not None
        return round((due - START) / SECOND, 6)


def moment(at: float) -> int:
    return START + round(at * SECOND)


def steady(after: float = 8.0) -> Readings:
    """Fifty packets a second until 3."""
    talk = Readings(after)
    assert talk.read(2, 100) == set()
    assert talk.read(3, 150) == set()
    return talk


def test_when_a_talk_is_read() -> None:
    talk = Readings()
    assert talk.show(1.999) == []
    assert len(talk.show(2)) == 1
    assert talk.next() == 5
    talk.read(2, 100)
    assert talk.next() == 3  # its rate is not known yet
    talk.read(3, 150)
    assert talk.next() == 6
    talk.read(6, 300)
    assert talk.next() == 9
    talk.read(9, 300)
    assert talk.next() == 9.5
    talk.read(9.5, 325)
    assert talk.next() == 12.5
    talk.read(12.5, 325)
    talk.read(14, 400)  # the sound came back: it pauses
    talk.read(17, 400)
    assert talk.next() == 19


def test_a_phone_that_never_sent_is_read_every_two_seconds() -> None:
    talk = Readings()
    assert talk.read(2, 0) == {Step.ASK}
    assert talk.next() == 4


def test_after_an_address_the_sound_is_read_as_soon_as_a_second_is_over() -> None:
    talk = steady()
    talk.pulses.moved("1001", moment(3.3))
    assert talk.next() == 3.3
    assert talk.read(3.3, 150) == set()
    assert talk.next() == 3.55
    assert talk.read(3.55, 150) == {Step.ASK_IN_CALL}
    assert talk.next() == 3.8
    assert talk.read(3.8, 150) == set()
    assert talk.next() == 4
    assert talk.read(4, 150) == {Step.END}
    assert talk.next() == 4.25


@pytest.mark.parametrize("answer", [InCallAnswer.NONE_DUE, InCallAnswer.AWAITED])
def test_a_phone_that_has_just_been_muted_is_not_ended_before_it_could_answer(
    answer: InCallAnswer,
) -> None:
    """A second phone of the agent registers."""
    talk = steady()
    talk.pulses.moved("1001", moment(3.3))
    assert talk.read(3.55, 150) == {Step.ASK_IN_CALL}
    assert talk.read(4, 150, answer=answer) == {Step.ASK}
    unheard = talk.read(4.1, 150, answer=InCallAnswer.UNHEARD)
    assert unheard == {Step.END}, "without copies the address decides"


def test_three_seconds_after_an_address_the_alert_is_over() -> None:
    talk = steady()
    talk.pulses.signed_in("1001", moment(3))
    talk.read(5.999, 300)
    assert talk.next() == 6.249
    talk = steady()
    talk.pulses.signed_in("1001", moment(3))
    talk.read(6, 300)
    assert talk.next() == 9


@pytest.mark.parametrize(("moved_at", "end"), [(7.999999, True), (8, False)])
def test_an_address_within_five_seconds_is_a_reload(moved_at: float, *, end: bool) -> None:
    talk = steady(60)
    talk.pulses.moved("1001", moment(moved_at))
    assert (Step.END in talk.read(8.1, 150)) is end


@pytest.mark.parametrize(("moved_at", "end"), [(2.000001, True), (2, False)])
def test_an_address_shortly_before_the_last_sound_is_a_reload(
    moved_at: float, *, end: bool
) -> None:
    talk = steady()
    talk.pulses.moved("1001", moment(moved_at))
    assert (Step.END in talk.read(4, 150)) is end


def test_the_moment_of_the_last_packet_is_told_from_the_rate() -> None:
    talk = steady()
    talk.pulses.moved("1001", moment(5))
    assert talk.read(6, 150 + 101) == {Step.ASK_IN_CALL}  # 2.02 of 3 seconds: it stopped at 5.02
    talk = steady()
    talk.pulses.moved("1001", moment(5))
    assert talk.read(6, 150 + 100) == {Step.END}


def test_more_packets_than_usual_were_late_and_not_early() -> None:
    talk = steady()
    assert talk.read(6, 150 + 600) == set()
    talk.pulses.moved("1001", moment(6.5))
    assert talk.read(6.999, 750) == {Step.ASK_IN_CALL}
    assert talk.read(7, 750) == {Step.END}


def test_one_burst_makes_the_rate_a_fifth_higher() -> None:
    """At 60 packets a second, 120 of them in three seconds leave one out; at 50 they leave out 0.6."""
    talk = steady()
    talk.read(4, 150 + 200)
    talk.pulses.moved("1001", moment(6))
    assert talk.read(7, 350 + 120) == {Step.END}
    talk = steady()
    talk.read(4, 150 + 200)
    talk.pulses.moved("1001", moment(6))
    assert talk.read(7, 350 + 121) == {Step.ASK_IN_CALL}


def test_a_shortfall_brings_the_rate_down_by_half_of_it() -> None:
    """From 50 to 40: then 80 packets in three seconds leave one out."""
    for came, steps in ((80, {Step.END}), (81, {Step.ASK_IN_CALL})):
        talk = steady()
        talk.read(4, 150 + 30)
        talk.read(4.5, 180 + 20)
        talk.pulses.moved("1001", moment(6.5))
        assert talk.read(7.5, 200 + came) == steps


@pytest.mark.parametrize(("came", "again"), [(119, 6.5), (120, 9)])
def test_a_fifth_of_the_packets_may_be_lost(came: int, again: float) -> None:
    talk = steady()
    talk.read(6, 150 + came)
    assert talk.next() == again


def test_packets_of_a_quarter_second_tell_no_rate() -> None:
    talk = Readings()
    talk.read(2, 100)
    talk.read(2.249, 110)
    assert talk.next() == 3.249
    talk = Readings()
    talk.read(2, 100)
    talk.read(2.25, 110)
    assert talk.next() == 5.25


def test_two_readings_at_one_moment_do_no_harm() -> None:
    talk = steady()
    assert talk.read(3, 150) == set()
    assert talk.read(3, 160) == set()
    assert talk.read(6, 310) == set()
    assert talk.next() == 9


def test_silence_ends_a_talk_when_the_phone_has_been_away_for_two_seconds() -> None:
    talk = steady()
    talk.show(8, there=False)
    assert talk.read(10.9, 150) == {Step.ASK}
    assert Step.END not in talk.read(10.999999, 150)
    assert talk.read(11, 150) == {Step.END}
    talk = steady()
    talk.show(9.1, there=False)
    assert Step.END not in talk.read(11, 150)
    talk.show(11, there=False)  # told again, it is no later
    assert talk.read(11.1, 150) == {Step.END}


def test_a_phone_that_is_back_was_not_away() -> None:
    talk = steady()
    talk.show(5, there=False)
    talk.show(6)
    talk.show(10, there=False)
    assert Step.END not in talk.read(11.999, 150)
    assert talk.read(12, 150) == {Step.END}


@pytest.mark.parametrize("changed", ["rxjitter=0.2;rlp=0;rtt=0.1", "rxjitter=0.1;rlp=1;rtt=0.1"])
def test_a_report_is_a_sign_of_life_and_jitter_of_our_own_is_none(changed: str) -> None:
    talk = steady()
    assert talk.read(6, 150) == {Step.ASK}
    assert talk.read(9, 150, changed) == set()
    assert talk.read(16.9, 150, changed + ";txjitter=0.7") == {Step.ASK}
    assert talk.read(17, 150, changed + ";txjitter=0.8") == {Step.ASK_IN_CALL}


def test_a_report_of_the_round_trip_is_one_too() -> None:
    talk = steady()
    talk.read(6, 150)
    assert talk.read(9, 150, "rxjitter=0.1;rlp=0;rtt=0.2") == set()
    assert talk.next() == 9.5


def test_it_is_asked_every_four_seconds_and_at_once_when_it_is_away() -> None:
    talk = steady(60)
    assert talk.read(4, 150) == {Step.ASK}
    assert talk.read(7.999, 150) == set()
    assert talk.read(8, 150) == {Step.ASK}
    talk.show(8.5, there=False)
    assert talk.read(9, 150) == {Step.ASK}
    assert talk.read(9.5, 150) == set()
    assert talk.read(13, 150) == {Step.ASK}


def test_it_is_asked_within_the_call_once_for_each_time_that_it_signs_in() -> None:
    talk = steady(60)
    talk.read(4, 150)
    for at in (5, 7):
        talk.pulses.signed_in("1001", moment(at))
        assert talk.read(at + 0.199, 150) == set()
        assert talk.read(at + 0.2, 150) == {Step.ASK_IN_CALL}
        assert talk.read(at + 0.9, 150) - {Step.ASK} == set()


def test_a_sign_in_before_the_last_sound_is_no_reason_to_ask() -> None:
    for at, asked in ((2, False), (2.1, True)):
        talk = steady()
        talk.pulses.signed_in("1001", moment(at))
        assert (Step.ASK_IN_CALL in talk.read(4, 150)) is asked


def test_a_talk_that_was_held_pauses() -> None:
    talk = steady(60)
    talk.show(3.1, held=True)
    talk.show(3.2)
    talk.pulses.moved("1001", moment(4))
    assert Step.END not in talk.read(5, 150)


@pytest.mark.parametrize(("back_at", "pauses"), [(5, False), (5.1, True)])
def test_sound_that_was_away_for_more_than_a_second_pauses(back_at: float, *, pauses: bool) -> None:
    talk = steady(60)
    talk.read(4, 200)
    talk.read(4.5, 200)
    talk.read(back_at, 250)
    talk.pulses.moved("1001", moment(back_at + 1))
    assert (Step.END in talk.read(back_at + 2, 250)) is not pauses


def test_another_agents_phone_changes_nothing() -> None:
    talk = steady()
    talk.pulses.moved("1002", moment(3.5))
    talk.pulses.signed_in("1002", moment(3.5))
    assert talk.next() == 6
    assert talk.read(6, 150) == {Step.ASK}


def test_a_reading_without_a_number_is_none() -> None:
    talk = steady()
    assert talk.pulses.heard("a.1", "rxcount=1.5", moment(60)) == []
    assert talk.next() == 6


def test_one_packet_is_a_sign_of_life() -> None:
    talk = Readings()
    assert talk.read(2, 1) == set()
    assert talk.next() == 3
    assert talk.read(3, 2) == set()
    assert talk.next() == 6  # one packet a second


def test_silence_is_no_lower_rate() -> None:
    talk = steady()
    talk.read(3.5, 150)
    talk.read(4, 175)
    talk.pulses.moved("1001", moment(6))
    assert talk.read(7, 175 + 100) == {Step.END}


def test_it_is_not_asked_twice_for_what_happened_at_the_moment_of_a_question() -> None:
    talk = steady(60)
    talk.show(4, there=False)
    assert talk.read(4, 150) == {Step.ASK}
    assert talk.read(4.5, 150) == set()
    talk.pulses.signed_in("1001", moment(5))
    assert talk.read(5.2, 150) == {Step.ASK_IN_CALL}
    talk.pulses.signed_in("1001", moment(5.2))
    assert talk.read(5.5, 150) == set()
