"""Asterisk's queue_log, line by line, checked with a reader made from Asterisk's own description of the format.

No maintained package reads queue_log (searched in PyPI and npm), so `_DOCUMENTED` is the table of
docs.asterisk.org, Operation, Logging, Queue Logs: each event with the names of its data.
"""

from hypothesis import given
from hypothesis import strategies as st

from facts import (
    AgentAdded,
    AgentOut,
    AgentPaused,
    AgentReady,
    CallArrived,
    CallEnded,
    CallMoved,
    CallQueued,
    CallRefused,
    CallReleased,
    CallReturned,
    CallTransferred,
    ControllerStarted,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    TalkEnded,
)
from facts.terms import OfferReason, Party, Release
from facts.times import SECOND
from telephony.queue_log import QueueLog

_DOCUMENTED = {
    "ABANDON": ("position", "origposition", "waittime"),
    "ADDMEMBER": (),
    "ATTENDEDTRANSFER": ("method", "method-data", "holdtime", "calltime", "origposition"),
    "BLINDTRANSFER": ("extension", "context", "holdtime", "calltime", "origposition"),
    "COMPLETEAGENT": ("holdtime", "calltime", "origposition"),
    "COMPLETECALLER": ("holdtime", "calltime", "origposition"),
    "CONNECT": ("holdtime", "bridgedchanneluniqueid", "ringtime"),
    "ENTERQUEUE": ("url", "callerid", "position"),
    "EXITEMPTY": ("position", "origposition", "waittime"),
    "EXITWITHTIMEOUT": ("position", "origposition", "waittime"),
    "PAUSE": ("reason",),
    "PAUSEALL": ("reason",),
    "QUEUESTART": (),
    "REMOVEMEMBER": (),
    "RINGNOANSWER": ("ringtime",),
    "UNPAUSE": (),
    "UNPAUSEALL": (),
}
_WHOLE = {"position", "origposition", "waittime", "holdtime", "calltime", "ringtime"}
T = 1_763_731_200 * SECOND


def _read(line: str) -> dict[str, str]:
    time, call, queue, agent, event, *data = line.split("|")
    names = _DOCUMENTED[event]
    assert len(data) == len(names), line
    assert time.isdecimal()
    row = dict(zip(names, data, strict=True))
    assert all(row[name].isdecimal() for name in row.keys() & _WHOLE), line
    return {"time": time, "call": call, "queue": queue, "agent": agent, "event": event, **row}


def _lines(*facts: Fact) -> list[str]:
    log = QueueLog()
    found = [line for fact in facts for line in log.lines(fact)]
    for line in found:
        _read(line)
    return found


def _at(seconds: float) -> int:
    return T + round(seconds * SECOND)


def test_a_call_that_is_answered() -> None:
    assert _lines(
        CallArrived(T, "n-1.1", "12345", "13800000001"),
        CallQueued(_at(5), "n-1.1", "tax"),
        OfferMade(_at(6), "n-1.1", "1001"),
        OfferRinging(_at(6.1), "n-1.1", "1001"),
        OfferEnded(_at(21.1), "n-1.1", "1001", OfferReason.NO_ANSWER),
        OfferMade(_at(21.2), "n-1.1", "1002"),
        OfferRinging(_at(21.3), "n-1.1", "1002"),
        OfferAnswered(_at(25.3), "n-1.1", "1002"),
        TalkEnded(_at(85.4), "n-1.1", "1002", Party.CALLER),
        CallEnded(_at(85.4), "n-1.1", Party.CALLER),
    ) == [
        "1763731205|n-1.1|tax|NONE|ENTERQUEUE||13800000001|1",
        "1763731221|n-1.1|tax|PJSIP/1001|RINGNOANSWER|15000",
        "1763731225|n-1.1|tax|PJSIP/1002|CONNECT|20|n-1.1|4",
        "1763731285|n-1.1|tax|PJSIP/1002|COMPLETECALLER|20|60|1",
    ]


def test_positions_of_those_who_give_up() -> None:
    lines = _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        CallQueued(_at(1), "n-1.2", "tax"),
        CallQueued(_at(2), "n-1.3", "tax"),
        CallQueued(_at(2), "n-1.4", "other"),
        CallEnded(_at(3), "n-1.1", Party.CALLER),
        CallEnded(_at(4), "n-1.3", Party.CALLER),
    )
    assert lines[-2:] == [
        "1763731203|n-1.1|tax|NONE|ABANDON|1|1|3",
        "1763731204|n-1.3|tax|NONE|ABANDON|2|3|2",
    ]
    assert "1763731202|n-1.4|other|NONE|ENTERQUEUE|||1" in lines


def test_a_call_that_waits_too_long_or_moves() -> None:
    assert _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        CallMoved(_at(60), "n-1.1", "default"),
        CallReleased(_at(900), "n-1.1", Release.TIMED_OUT),
        CallEnded(_at(905), "n-1.1", Party.SYSTEM),
    ) == [
        "1763731200|n-1.1|tax|NONE|ENTERQUEUE|||1",
        "1763731260|n-1.1|tax|NONE|EXITWITHTIMEOUT|1|1|60",
        "1763731260|n-1.1|default|NONE|ENTERQUEUE|||1",
        "1763732100|n-1.1|default|NONE|EXITWITHTIMEOUT|1|1|900",
    ]


def test_a_call_that_never_waits_is_not_in_it() -> None:
    assert not _lines(
        CallArrived(T, "n-1.1", "12345", ""),
        CallReleased(_at(1), "n-1.1", Release.CLOSED_HOURS),
        CallEnded(_at(5), "n-1.1", Party.SYSTEM),
    )


def test_who_comes_back_to_their_place_never_left_it() -> None:
    lines = _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        ControllerStarted(_at(10), "1"),
        CallReturned(_at(11), "n-1.1", "tax", _at(0)),
        OfferAnswered(_at(12), "n-1.1", "1001"),
        TalkEnded(_at(20), "n-1.1", "1001", Party.AGENT),
        CallEnded(_at(20), "n-1.1", Party.AGENT),
    )
    assert [_read(line)["event"] for line in lines] == [
        "ENTERQUEUE",
        "QUEUESTART",
        "CONNECT",
        "COMPLETEAGENT",
    ]


def test_a_transfer_that_is_told_before_the_talks_end() -> None:
    """As after a time without AMI. `test_queue_log_recorded.py` has the order of every other day."""
    assert _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        OfferMade(_at(1), "n-1.1", "1001"),
        OfferAnswered(_at(3), "n-1.1", "1001"),
        CallTransferred(_at(23), "n-1.1", "1001", "12346"),
        TalkEnded(_at(23), "n-1.1", "1001", Party.AGENT),
        CallQueued(_at(24), "n-1.1", "other"),
        OfferAnswered(_at(26), "n-1.1", "1002"),
        CallTransferred(_at(30), "n-1.1", "1002", "1001", attended=True),
        CallEnded(_at(60), "n-1.1", Party.CALLER),
    ) == [
        "1763731200|n-1.1|tax|NONE|ENTERQUEUE|||1",
        "1763731203|n-1.1|tax|PJSIP/1001|CONNECT|3|n-1.1|2",
        "1763731223|n-1.1|tax|PJSIP/1001|BLINDTRANSFER|12346||3|20|1",
        "1763731224|n-1.1|other|NONE|ENTERQUEUE|||1",
        "1763731226|n-1.1|other|PJSIP/1002|CONNECT|2|n-1.1|0",
        "1763731230|n-1.1|other|PJSIP/1002|ATTENDEDTRANSFER|BRIDGE|1001|2|4|1",
    ]


def test_a_talk_whose_transfer_will_not_be_told_any_more() -> None:
    """The talk's end waits for a transfer. A controller that has just started says what an earlier one left unsaid."""
    log = QueueLog()
    for fact in (
        CallQueued(_at(0), "n-1.1", "tax"),
        OfferMade(_at(1), "n-1.1", "1001"),
        OfferAnswered(_at(3), "n-1.1", "1001"),
    ):
        log.lines(fact)
    assert log.settled("n-1.1") == []
    assert log.lines(TalkEnded(_at(23), "n-1.1", "1001", Party.AGENT)) == []
    assert log.settled("n-1.1") == ["1763731223|n-1.1|tax|PJSIP/1001|COMPLETEAGENT|3|20|1"]
    assert log.settled("n-1.1") == []


def test_one_who_was_handed_on_from_a_callback_is_not_in_it() -> None:
    """Nor does this citizen move those who wait."""
    assert _lines(
        CallArrived(_at(0), "n-1.1", "", "+8613800000001", "n-c7.1", "tax"),
        CallTransferred(_at(0), "n-1.1", "1001", "12346"),
        CallMoved(_at(0), "n-1.1", "other"),
        CallReturned(_at(5), "n-1.1", "other", _at(0)),
        CallQueued(_at(6), "n-1.2", "other"),
        OfferAnswered(_at(7), "n-1.1", "1002"),
        TalkEnded(_at(9), "n-1.1", "1002", Party.AGENT),
        CallEnded(_at(9), "n-1.1", Party.AGENT),
    ) == ["1763731206|n-1.2|other|NONE|ENTERQUEUE|||1"]


def test_one_whose_origin_is_told_late_is_followed_to_the_end() -> None:
    """What stands in the log cannot be taken back: its readers would have the citizen waiting for ever."""
    assert _lines(
        CallQueued(_at(5), "n-1.1", "other"),
        CallArrived(_at(0), "n-1.1", "", "+8613800000001", "n-c7.1", "other"),
        OfferAnswered(_at(7), "n-1.1", "1002"),
        CallEnded(_at(9), "n-1.1", Party.AGENT),
    ) == [
        "1763731205|n-1.1|other|NONE|ENTERQUEUE|||1",
        "1763731207|n-1.1|other|PJSIP/1002|CONNECT|2|n-1.1|0",
        "1763731209|n-1.1|other|PJSIP/1002|COMPLETEAGENT|2|2|1",
    ]


def test_what_is_told_of_a_call_after_its_end_is_no_news() -> None:
    """A session that says `queued` while the hang-up is on its way, or comes back too late."""
    assert _lines(
        CallArrived(_at(0), "n-1.1", "12345", ""),
        CallEnded(_at(5), "n-1.1", Party.CALLER),
        CallQueued(_at(5), "n-1.1", "tax"),
        CallReturned(_at(6), "n-1.1", "tax", _at(5)),
        CallMoved(_at(7), "n-1.1", "other"),
        CallQueued(_at(8), "n-1.2", "tax"),
        CallEnded(_at(9), "n-1.2", Party.CALLER),
        CallArrived(_at(0), "n-1.2", "12345", ""),
        CallQueued(_at(4), "n-1.2", "tax"),
    ) == ["1763731208|n-1.2|tax|NONE|ENTERQUEUE|||1", "1763731209|n-1.2|tax|NONE|ABANDON|1|1|1"]


def test_who_was_transferred_unseen_and_returns_waits_again() -> None:
    """The controller was away when the talk ended: the first that it hears is that the caller waits."""
    assert _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        OfferAnswered(_at(3), "n-1.1", "1001"),
        ControllerStarted(_at(30), "1"),
        CallReturned(_at(33), "n-1.1", "tax", _at(0)),
        TalkEnded(_at(33), "n-1.1", "1001", Party.AGENT),
        OfferAnswered(_at(40), "n-1.1", "1002"),
        TalkEnded(_at(50), "n-1.1", "1002", Party.CALLER),
        CallEnded(_at(50), "n-1.1", Party.CALLER),
    ) == [
        "1763731200|n-1.1|tax|NONE|ENTERQUEUE|||1",
        "1763731203|n-1.1|tax|PJSIP/1001|CONNECT|3|n-1.1|0",
        "1763731230|NONE|NONE|NONE|QUEUESTART",
        "1763731233|n-1.1|tax|PJSIP/1001|COMPLETEAGENT|3|30|1",
        "1763731233|n-1.1|tax|NONE|ENTERQUEUE|||1",
        "1763731240|n-1.1|tax|PJSIP/1002|CONNECT|7|n-1.1|0",
        "1763731250|n-1.1|tax|PJSIP/1002|COMPLETECALLER|7|10|1",
    ]


def test_a_caller_left_silent_by_the_agent_was_completed_by_that_agent() -> None:
    assert _lines(
        CallQueued(_at(0), "n-1.1", "tax"),
        OfferAnswered(_at(3), "n-1.1", "1001"),
        TalkEnded(_at(23), "n-1.1", "1001", Party.AGENT),
        CallTransferred(_at(30), "n-1.1", "", ""),
        OfferAnswered(_at(36), "n-1.1", "1002"),
        TalkEnded(_at(50), "n-1.1", "1002", Party.CALLER),
        CallEnded(_at(50), "n-1.1", Party.CALLER),
    ) == [
        "1763731200|n-1.1|tax|NONE|ENTERQUEUE|||1",
        "1763731203|n-1.1|tax|PJSIP/1001|CONNECT|3|n-1.1|0",
        "1763731223|n-1.1|tax|PJSIP/1001|COMPLETEAGENT|3|20|1",
    ]


def test_an_agents_day() -> None:
    lines = _lines(
        AgentAdded(T, "1001"),
        AgentOut(T, "1001"),
        AgentReady(_at(1), "1001"),
        AgentReady(_at(2), "1001"),
        AgentPaused(_at(3), "1001", "用餐|x\n1|2"),
        AgentReady(_at(4), "1001"),
        AgentOut(_at(5), "1001"),
    )
    assert lines == [
        "1763731201|NONE|default|PJSIP/1001|ADDMEMBER",
        "1763731203|NONE|default|PJSIP/1001|PAUSE|用餐 x 1 2",
        "1763731203|NONE|NONE|PJSIP/1001|PAUSEALL|用餐 x 1 2",
        "1763731204|NONE|default|PJSIP/1001|UNPAUSE",
        "1763731204|NONE|NONE|PJSIP/1001|UNPAUSEALL",
        "1763731205|NONE|default|PJSIP/1001|REMOVEMEMBER",
    ]


_CALLS = st.sampled_from(["n-1.1", "n-1.2", "n-1.3"])
_AGENTS = st.sampled_from(["1001", "1002"])
_FACTS = st.one_of(
    st.builds(CallArrived, st.just(0), _CALLS, st.just("12345"), st.text(max_size=5)),
    st.builds(CallQueued, st.just(0), _CALLS, st.sampled_from(["tax", "default"])),
    st.builds(OfferMade, st.just(0), _CALLS, _AGENTS),
    st.builds(OfferRinging, st.just(0), _CALLS, _AGENTS),
    st.builds(OfferAnswered, st.just(0), _CALLS, _AGENTS),
    st.builds(OfferEnded, st.just(0), _CALLS, _AGENTS, st.sampled_from(OfferReason)),
    st.builds(TalkEnded, st.just(0), _CALLS, _AGENTS, st.sampled_from(Party)),
    st.builds(CallMoved, st.just(0), _CALLS, st.sampled_from(["tax", "default"])),
    st.builds(CallReleased, st.just(0), _CALLS, st.sampled_from(Release)),
    st.builds(CallEnded, st.just(0), _CALLS, st.sampled_from(Party)),
    st.builds(AgentPaused, st.just(0), _AGENTS, st.text(max_size=5)),
    st.builds(AgentReady, st.just(0), _AGENTS),
    st.builds(AgentOut, st.just(0), _AGENTS),
)


@given(st.lists(_FACTS, max_size=40))
def test_whatever_happens_each_line_can_be_read(facts: list[Fact]) -> None:
    for line in _lines(*facts):
        assert "\n" not in line


def test_a_day_after_the_last_call_nothing_is_remembered() -> None:
    """Calls that ended, one that was refused, one whose transfer is told, and two whose ends were lost."""
    log = QueueLog()
    hour = 3600 * SECOND
    for fact in (
        CallArrived(T, "n-1.1", "12345", ""),
        CallRefused(_at(1), "n-1.1", 488),
        CallQueued(_at(2), "n-1.2", "tax"),
        OfferAnswered(_at(3), "n-1.2", "1001"),
        TalkEnded(_at(4), "n-1.2", "1001", Party.AGENT),
        CallTransferred(_at(4), "n-1.2", "1001", "1002"),
        CallEnded(_at(9), "n-1.2", Party.CALLER),
        CallQueued(_at(10), "n-1.3", "tax"),
        CallQueued(T + hour, "n-1.4", "tax"),
    ):
        log.lines(fact)
    lost = [line for n in range(24, 30) for line in log.lines(AgentReady(T + n * hour, "1001"))]
    assert [line.split("|")[1] for line in lost if "ABANDON" in line] == ["n-1.3", "n-1.4"]
    left = (log._calls, log._over, log._gone, *log._waiting.values())
    assert all(not one for one in left)
