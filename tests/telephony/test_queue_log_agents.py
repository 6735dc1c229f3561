"""queue_log about agents, and calls whose end was lost."""

from facts import AgentPaused, AgentReady, CallArrived, CallEnded, CallQueued, OfferMade
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
