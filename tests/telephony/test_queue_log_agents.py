"""queue_log about agents, and calls whose end was lost."""

from facts import AgentPaused, AgentReady, CallArrived, CallEnded, CallQueued
from facts.terms import Party
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


def test_a_call_is_forgotten_after_a_day_and_not_before() -> None:
    facts = (CallArrived(T, "n-1.1", "12345", ""), CallQueued(T, "n-1.1", "tax"))
    for later, event in ((DAY, ["ENTERQUEUE", "ABANDON"]), (DAY + 1, ["ENTERQUEUE"])):
        lines = _lines(
            *facts,
            CallArrived(T + later, "n-1.2", "12345", ""),
            CallEnded(T + later, "n-1.1", Party.CALLER),
        )
        assert [line.split("|")[4] for line in lines] == event
