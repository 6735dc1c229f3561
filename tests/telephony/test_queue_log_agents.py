"""queue_log line by line: agents, offers, ends of every kind, and calls whose end was lost."""

import pytest

from facts import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallEnded,
    CallMoved,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    ControllerStarted,
    ControllerStopped,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    TalkEnded,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from tests.telephony.test_queue_log import _lines

T = 1_763_731_200 * SECOND
DAY = 86_400 * SECOND


def test_an_agent_who_signs_in_with_a_pause_is_a_member_first() -> None:
    assert [line.split("|")[4] for line in _lines(AgentPaused(T, "1001", "meal"))] == [
        *("ADDMEMBER", "PAUSE", "PAUSEALL")
    ]
    again = _lines(AgentReady(T, "1001"), AgentPaused(T, "1001", "meal"))
    assert [line.split("|")[4] for line in again] == ["ADDMEMBER", "PAUSE", "PAUSEALL"]


def test_a_call_whose_end_is_lost_is_ended_after_a_day_and_not_before() -> None:
    """Nobody waits for ever in the log. The last that was heard of the call counts as its end."""
    facts = (CallArrived(T, "n-1.1", "12345", ""), CallQueued(T, "n-1.1", "tax"))
    rang = OfferMade(T + 40_000_000, "n-1.1", "1001")
    for later, waited in ((DAY, "86400"), (DAY + 1, "40")):
        lines = _lines(
            *facts,
            rang,
            CallArrived(T + later, "n-1.2", "12345", ""),
            CallEnded(T + later, "n-1.1", Party.CALLER),
        )
        assert [line.split("|")[4] for line in lines] == ["ENTERQUEUE", "ABANDON"]
        assert lines[-1].split("|")[-1] == waited


def test_a_call_that_is_in_no_queue_is_forgotten_too() -> None:
    """One never waited, one talks, and one waits behind another: none disturbs the log a day later."""
    lines = _lines(
        CallArrived(T, "n-1.1", "12345", ""),
        CallQueued(T, "n-1.2", "tax"),
        OfferAnswered(T + SECOND, "n-1.2", "1001"),
        CallQueued(T, "n-1.3", "tax"),
        CallQueued(T + DAY, "n-1.4", "tax"),
        CallQueued(T + 2 * DAY, "n-1.5", "tax"),
        CallEnded(T + 2 * DAY + SECOND, "n-1.2", Party.CALLER),
    )
    assert [line.split("|", 1)[1] for line in lines if "ENTERQUEUE" in line][-2:] == [
        "n-1.4|tax|NONE|ENTERQUEUE|||2",
        "n-1.5|tax|NONE|ENTERQUEUE|||2",
    ]


def test_lost_ends_are_looked_for_once_an_hour() -> None:
    looked = T + DAY
    facts = (
        CallArrived(T, "n-1.1", "12345", ""),
        CallQueued(T, "n-1.1", "tax"),
        AgentReady(looked, "1001"),
    )
    # Whoever is not looked for yet has waited until their end; of the other nothing was told since the beginning.
    for later, waited in ((3600 * SECOND - 1, "89999"), (3600 * SECOND, "0")):
        lines = _lines(*facts, CallEnded(looked + later, "n-1.1", Party.CALLER))
        assert lines[-1].split("|")[4:] == ["ABANDON", "1", "1", waited]


def test_the_controllers_start_has_a_line_and_its_stop_has_none() -> None:
    assert _lines(ControllerStarted(T, "1"), ControllerStopped(T + 1)) == [
        "1763731200|NONE|NONE|NONE|QUEUESTART"
    ]


def test_an_agent_who_is_removed_is_no_member_any_more() -> None:
    events = _lines(AgentReady(T, "1001"), AgentRemoved(T, "1001"), AgentReady(T, "1001"))
    assert [line.split("|")[4] for line in events] == ["ADDMEMBER", "REMOVEMEMBER", "ADDMEMBER"]
    assert _lines(AgentRemoved(T, "1001"), AgentOut(T, "1001")) == []


def test_an_agent_who_was_added_again_is_still_what_they_were() -> None:
    events = _lines(AgentPaused(T, "1001", "meal"), AgentAdded(T, "1001"), AgentReady(T, "1001"))
    assert [line.split("|")[4] for line in events[3:]] == ["UNPAUSE", "UNPAUSEALL"]


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        (OfferReason.NO_ANSWER, True),
        (OfferReason.REFUSED, True),
        (OfferReason.UNREACHABLE, True),
        (OfferReason.WITHDRAWN, False),
        (OfferReason.CALLER_GONE, False),
    ],
)
def test_which_end_of_an_offer_has_a_line(reason: OfferReason, written: bool) -> None:
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        OfferMade(T + SECOND, "n-1.1", "1001"),
        OfferRinging(T + 2 * SECOND, "n-1.1", "1001"),
        OfferEnded(T + 4_500_999, "n-1.1", "1001", reason),
    )
    line = "1763731204|n-1.1|tax|PJSIP/1001|RINGNOANSWER|2500"
    assert lines[1:] == ([line] if written else [])


def test_the_ring_begins_with_the_phones_word_or_with_the_offer() -> None:
    """A ring of an earlier offer does not count for the next one."""
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        OfferEnded(T + SECOND, "n-1.1", "1003", OfferReason.UNREACHABLE),
        OfferMade(T + 2 * SECOND, "n-1.1", "1001"),
        OfferRinging(T + 3 * SECOND, "n-1.1", "1001"),
        OfferEnded(T + 5 * SECOND, "n-1.1", "1001", OfferReason.NO_ANSWER),
        OfferMade(T + 6 * SECOND, "n-1.1", "1002"),
        OfferEnded(T + 7 * SECOND, "n-1.1", "1002", OfferReason.UNREACHABLE),
        OfferAnswered(T + 9 * SECOND, "n-1.1", "1004"),
        OfferEnded(T + 10 * SECOND, "n-1.1", "1005", OfferReason.NO_ANSWER),
    )
    assert [line.split("|")[4:] for line in lines[1:]] == [
        ["RINGNOANSWER", "0"],
        ["RINGNOANSWER", "2000"],
        ["RINGNOANSWER", "1000"],
        ["CONNECT", "9", "n-1.1", "3"],
    ]


def test_a_call_is_connected_once() -> None:
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        OfferAnswered(T + SECOND, "n-1.1", "1001"),
        OfferAnswered(T + 2 * SECOND, "n-1.1", "1002"),
        CallReleased(T + 3 * SECOND, "n-1.1", Release.TIMED_OUT),
        CallSentOutside(T + 3 * SECOND, "n-1.1", "12333"),
        TalkEnded(T + 4 * SECOND, "n-1.1", "1002", Party.CALLER),
        TalkEnded(T + 5 * SECOND, "n-1.1", "1001", Party.CALLER),
    )
    assert [line.split("|")[4] for line in lines] == ["ENTERQUEUE", "CONNECT", "COMPLETECALLER"]


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (Release.TIMED_OUT, "EXITWITHTIMEOUT"),
        (Release.QUEUE_FULL, "EXITEMPTY"),
        (Release.SYSTEM_FAILURE, "EXITEMPTY"),
    ],
)
def test_whoever_is_released_has_left_the_queue(reason: Release, event: str) -> None:
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        CallQueued(T, "n-1.2", "tax"),
        CallReleased(T + 9 * SECOND, "n-1.1", reason),
        CallEnded(T + 10 * SECOND, "n-1.1", Party.SYSTEM),
        CallEnded(T + 11 * SECOND, "n-1.2", Party.SYSTEM),
    )
    assert [line.split("|", 1)[1] for line in lines[2:]] == [
        f"n-1.1|tax|NONE|{event}|1|1|9",
        "n-1.2|tax|NONE|ABANDON|1|2|11",
    ]


def test_whoever_is_sent_outside_has_left_the_queue() -> None:
    lines = _lines(
        CallArrived(T, "n-1.1", "12345", "13800000001"),
        CallSentOutside(T, "n-1.1", "12333"),
        CallQueued(T, "n-1.1", "tax"),
        CallSentOutside(T + 9 * SECOND, "n-1.1", "12333"),
        CallEnded(T + 10 * SECOND, "n-1.1", Party.SYSTEM),
    )
    assert [line.split("|", 1)[1] for line in lines] == [
        "n-1.1|tax|NONE|ENTERQUEUE||13800000001|1",
        "n-1.1|tax|NONE|EXITWITHTIMEOUT|1|1|9",
    ]


def test_a_call_that_returns_waits_since_the_old_moment() -> None:
    lines = _lines(
        CallReturned(T + 9 * SECOND, "n-1.1", "tax", T),
        CallEnded(T + 10 * SECOND, "n-1.1", Party.CALLER),
    )
    assert [line.split("|", 1)[1] for line in lines] == [
        "n-1.1|tax|NONE|ENTERQUEUE|||1",
        "n-1.1|tax|NONE|ABANDON|1|1|10",
    ]


def test_the_end_of_a_call_is_the_end_of_its_talk() -> None:
    """`TalkEnded` was lost; or it was told, and its own moment and party count."""
    talk = (CallQueued(T, "n-1.1", "tax"), OfferAnswered(T + SECOND, "n-1.1", "1001"))
    end = CallEnded(T + 5 * SECOND, "n-1.1", Party.CALLER)
    told = TalkEnded(T + 4 * SECOND, "n-1.1", "1001", Party.AGENT)
    assert _lines(*talk, end)[-1] == "1763731205|n-1.1|tax|PJSIP/1001|COMPLETECALLER|1|4|1"
    assert _lines(*talk, told, end)[-1] == "1763731204|n-1.1|tax|PJSIP/1001|COMPLETEAGENT|1|3|1"
    assert len(_lines(*talk, told, end, ControllerStopped(T + DAY))) == 3


def test_talks_that_are_over_are_written_in_the_order_of_their_ends() -> None:
    facts = [
        fact
        for n in (1, 2)
        for fact in (
            CallQueued(T, f"n-1.{n}", "tax"),
            OfferAnswered(T + SECOND, f"n-1.{n}", f"100{n}"),
            TalkEnded(T + (1 + n) * SECOND, f"n-1.{n}", f"100{n}", Party.AGENT),
        )
    ]
    facts.sort(key=lambda fact: fact.at)
    assert len(_lines(*facts)) == 4
    assert len(_lines(*facts, AgentOut(T + 4 * SECOND, "1009"))) == 5
    lines = _lines(*facts, AgentOut(T + 5 * SECOND, "1009"))
    assert [line.split("|")[:2] for line in lines[4:]] == [
        ["1763731202", "n-1.1"],
        ["1763731203", "n-1.2"],
    ]


def test_a_transfer_of_another_agents_talk_is_none_of_this_one() -> None:
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        OfferAnswered(T + SECOND, "n-1.1", "1001"),
        CallTransferred(T + 2 * SECOND, "n-1.1", "1002", "1003"),
        CallTransferred(T + 2 * SECOND, "n-1.1", "", "1003"),
        TalkEnded(T + 3 * SECOND, "n-1.1", "1001", Party.CALLER),
    )
    assert [line.split("|")[4] for line in lines] == ["ENTERQUEUE", "CONNECT", "COMPLETECALLER"]


def test_whoever_moves_while_they_talk_has_not_left_a_queue() -> None:
    lines = _lines(
        CallQueued(T, "n-1.1", "tax"),
        OfferAnswered(T + SECOND, "n-1.1", "1001"),
        CallTransferred(T + 2 * SECOND, "n-1.1", "1001", "8890"),
        CallMoved(T + 3 * SECOND, "n-1.1", "other"),
        CallEnded(T + 9 * SECOND, "n-1.1", Party.CALLER),
    )
    assert [line.split("|", 1)[1] for line in lines[2:]] == [
        "n-1.1|tax|PJSIP/1001|BLINDTRANSFER|8890||1|1|1",
        "n-1.1|other|NONE|ENTERQUEUE|||1",
        "n-1.1|other|NONE|ABANDON|1|1|6",
    ]


@pytest.mark.parametrize("reason", ["a|b", "a\nb", "a\u2028b", "a\tb"])
def test_a_reason_makes_no_other_column_and_no_other_line(reason: str) -> None:
    *_, paused, everywhere = _lines(AgentPaused(T, "1001", reason))
    assert paused.endswith("|PAUSE|a b")
    assert everywhere.endswith("|PAUSEALL|a b")


def test_whoever_moved_has_a_place_in_the_other_queue() -> None:
    lines = _lines(
        *(CallQueued(T, f"n-1.{n}", "tax") for n in (1, 2, 3)),
        CallMoved(T + SECOND, "n-1.2", "other"),
        CallMoved(T + 2 * SECOND, "n-1.3", "other"),
        CallEnded(T + 3 * SECOND, "n-1.2", Party.CALLER),
        CallEnded(T + 4 * SECOND, "n-1.3", Party.CALLER),
    )
    assert [line.split("|", 1)[1] for line in lines[3:]] == [
        "n-1.2|tax|NONE|EXITWITHTIMEOUT|2|2|1",
        "n-1.2|other|NONE|ENTERQUEUE|||1",
        "n-1.3|tax|NONE|EXITWITHTIMEOUT|2|3|2",
        "n-1.3|other|NONE|ENTERQUEUE|||2",
        "n-1.2|other|NONE|ABANDON|1|1|3",
        "n-1.3|other|NONE|ABANDON|1|2|4",
    ]
