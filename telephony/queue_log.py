"""Facts → lines of Asterisk's `queue_log`, for the programs that read it (QueueMetrics, Asternic). Pure.

One line an event: `time|call|queue|agent|event|data…`, times in whole seconds, as app_queue writes it
(docs.asterisk.org, Operation, Logging, Queue Logs). Our agent 1001 is `PJSIP/1001`. What app_queue cannot say is not in
it: the greeting, callbacks, and what follows when a citizen is transferred from one.

Whoever enters a queue leaves it exactly once, whatever comes late, twice or never: a reader would else have them
waiting for ever.
"""

from dataclasses import dataclass
from typing import Final

from acd.rules.model import DEFAULT
from facts import (
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    CallArrived,
    CallEnded,
    CallMoved,
    CallQueued,
    CallRefused,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallTransferred,
    ControllerStarted,
    ControllerStopped,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    TalkEnded,
)
from facts.terms import CallId, OfferReason, Party, Release
from facts.times import SECOND

ALL: Final = "NONE"
"""What stands for the queue, the call or the agent where there is none."""

_LONGEST: Final = 86_400 * SECOND
"""How long a call may last: one that is older has lost its end."""

LEAVES: Final = frozenset(
    {
        *("ABANDON", "EXITWITHTIMEOUT", "EXITEMPTY"),
        *("COMPLETEAGENT", "COMPLETECALLER", "BLINDTRANSFER", "ATTENDEDTRANSFER"),
    }
)
"""The events by which a call leaves its queue."""
MILESTONES: Final = frozenset({"ENTERQUEUE", "CONNECT", *LEAVES})
"""The events by which a reader takes a call for waiting, talking or gone."""

_TRANSFER_TOLD_WITHIN: Final = 2 * SECOND
"""How long after the talk a blind transfer may still be told. The agent's leg ends first; the session tells of the
transfer when the citizen's channel is back, in live runs 61 ms later."""


@dataclass(slots=True)
class _QueuedCall:
    """What is known about a call that waits or talks. Times in microseconds; positions count from 1.

    `heard`: when something was last told of it. `left_out`: the citizen was transferred from a callback, and nothing is
    written about the call.
    """

    arrived: int
    heard: int = 0
    caller: str = ""
    left_out: bool = False
    queue: str = ""
    queued: int = 0
    position: int = 0
    ring: int = 0
    offered: int = 0
    agent: str = ""
    answered: int = 0
    waited: int = 0


class QueueLog:
    """Takes facts in the order of their times, and gives the lines for each."""

    def __init__(self) -> None:
        self._calls: dict[CallId, _QueuedCall] = {}
        # Calls that have ended, and when: what is told of them later is no news
        self._gone: dict[CallId, int] = {}
        self._waiting: dict[str, dict[CallId, None]] = {}
        self._agents: dict[str, str] = {}
        # Talks whose line is not written yet: when they ended, and who hung up
        self._over: dict[CallId, tuple[int, Party]] = {}
        self._last_swept = 0
        self.positions: dict[CallId, list[int]] = {}
        """The positions that an earlier controller wrote for a call's queues, oldest first."""

    def lines(self, fact: Fact) -> list[str]:
        """The lines for this fact, without line breaks: mostly one or none."""
        return self._completed(fact) + self._sweep(fact.at) + self._lines(fact)

    def settled(self, call: CallId) -> list[str]:
        """The line for a talk that has ended, if it waits for a transfer, which will not be told any more."""
        return self._talk_over(call, *self._over[call]) if call in self._over else []

    def _lines(self, fact: Fact) -> list[str]:
        call: CallId = getattr(fact, "call", "")
        if call in self._gone:
            return []
        known = self._calls.get(call)
        if isinstance(fact, CallEnded):
            self._gone[call] = fact.at
        if known is not None:
            known.heard = max(known.heard, fact.at)
            if known.left_out:
                return []
        match fact:
            case ControllerStarted(at):
                return [_line(at, ALL, ALL, ALL, "QUEUESTART")]
            case AgentReady(at, agent):
                return self._ready(at, agent)
            case AgentPaused(at, agent, reason):
                return self._paused(at, agent, reason)
            case AgentOut(at, agent) | AgentRemoved(at, agent):
                return self._out(at, agent)
            case CallArrived(at, call, _, caller, origin):
                # A call whose origin is told late is in the log already, and so is its end.
                if known is None or (origin and not known.queue):
                    self._calls[call] = _QueuedCall(at, at, caller, left_out=origin != "")
                return []
            case CallRefused(call=call):
                self._calls.pop(call, None)
                return []
            case CallQueued(at, call, queue):
                return self._queued(at, call, queue)
            case CallReturned(at, call, queue, queued_at):
                return self._queued(at, call, queue, queued_at)
        return [] if known is None else self._of_call(fact, call, known)

    def _of_call(self, fact: Fact, call: CallId, known: _QueuedCall) -> list[str]:
        match fact:
            case OfferMade(at) if known.queue:
                known.offered, known.ring = at, 0
            case OfferRinging(at) if known.queue:
                known.ring = at
            case OfferEnded(at, _, agent, reason) if known.queue and not known.answered:
                rang = at - (known.ring or known.offered or at)
                if reason in {OfferReason.NO_ANSWER, OfferReason.REFUSED, OfferReason.UNREACHABLE}:
                    data = str(max(0, rang) // 1000)
                    return [_line(at, call, known.queue, _phone(agent), "RINGNOANSWER", data)]
            case OfferAnswered(at, _, agent) if known.queue and not known.answered:
                return [self._connected(at, call, known, agent)]
            case TalkEnded(at, _, agent, by) if known.agent == agent:
                if by is Party.CALLER:
                    return [self._complete(at, call, known, by)]
                self._over.setdefault(call, (at, by))
            case CallTransferred(at, _, agent, to, attended) if agent and known.agent == agent:
                return [self._transferred(at, call, known, to, attended=attended)]
            case CallMoved(at, _, queue):
                return self._moved(at, call, known, queue)
            case CallReleased(at, _, reason) if known.queue and not known.answered:
                return self._released(at, call, known, reason)
            case CallSentOutside(at) if known.queue and not known.answered:
                return self._exit(at, call, known)
            case CallEnded(at, _, by):
                return self._ended(at, call, known, by)
        return []

    # --- agents

    def _ready(self, at: int, agent: str) -> list[str]:
        before, self._agents[agent] = self._agents.get(agent, "out"), "ready"
        if before == "out":
            return [_line(at, ALL, DEFAULT, _phone(agent), "ADDMEMBER")]
        if before == "paused":
            return [
                _line(at, ALL, DEFAULT, _phone(agent), "UNPAUSE"),
                _line(at, ALL, ALL, _phone(agent), "UNPAUSEALL"),
            ]
        return []

    def _paused(self, at: int, agent: str, reason: str) -> list[str]:
        before, self._agents[agent] = self._agents.get(agent, "out"), "paused"
        lines = [_line(at, ALL, DEFAULT, _phone(agent), "ADDMEMBER")] if before == "out" else []
        return [
            *lines,
            _line(at, ALL, DEFAULT, _phone(agent), "PAUSE", reason),
            _line(at, ALL, ALL, _phone(agent), "PAUSEALL", reason),
        ]

    def _out(self, at: int, agent: str) -> list[str]:
        before = self._agents.pop(agent, "out")
        if before == "out":
            return []
        return [_line(at, ALL, DEFAULT, _phone(agent), "REMOVEMEMBER")]

    # --- calls

    def _queued(self, at: int, call: CallId, queue: str, queued_at: int = 0) -> list[str]:
        known = self._calls.setdefault(call, _QueuedCall(at, at))
        if known.queue and not (known.answered and queued_at):
            return []  # the caller came back to the old place: for the log's readers nothing happened
        lines = []
        if known.answered:
            # No controller saw how the talk ended, and the caller waits once more.
            lines = self._talk_over(call, at, Party.AGENT)
            queued_at = at
        self._enter(call, known, queue, queued_at or at)
        return [
            *lines,
            _line(at, call, queue, ALL, "ENTERQUEUE", "", known.caller, str(known.position)),
        ]

    def _enter(self, call: CallId, known: _QueuedCall, queue: str, since: int) -> None:
        waiting = self._waiting.setdefault(queue, {})
        waiting[call] = None
        written = self.positions.get(call)
        known.position = written.pop(0) if written else len(waiting)
        known.queue, known.queued = queue, since
        known.offered = known.ring = known.answered = 0

    def _leave(self, call: CallId, known: _QueuedCall) -> int:
        """Take a call out of its queue; gives the position that it had."""
        waiting = self._waiting.get(known.queue, {})
        position = next((n for n, one in enumerate(waiting, 1) if one == call), known.position)
        waiting.pop(call, None)
        return min(position, known.position)

    def _connected(self, at: int, call: CallId, known: _QueuedCall, agent: str) -> str:
        self._leave(call, known)
        known.agent, known.answered, known.waited = agent, at, at - known.queued
        rang = at - (known.ring or known.offered or at)
        # The agent's own channel is not in the facts: the call's id stands for it.
        return _line(
            at, call, known.queue, _phone(agent), "CONNECT", _s(known.waited), call, _s(rang)
        )

    def _completed(self, fact: Fact) -> list[str]:
        """The lines for talks that ended a while ago, and have turned out not to be transferred."""
        lines = []
        for call, (at, by) in list(self._over.items()):
            if fact.at < at + _TRANSFER_TOLD_WITHIN and not isinstance(fact, ControllerStopped):
                break
            lines += self._talk_over(call, at, by)
        return lines

    def _talk_over(self, call: CallId, at: int, by: Party) -> list[str]:
        """The line for the call's talk, if there is one: it ended as was told, or else now, `at`."""
        at, by = self._over.pop(call, (at, by))
        known = self._calls.get(call)
        if known is None or not known.agent:
            return []
        return [self._complete(at, call, known, by)]

    def _complete(self, at: int, call: CallId, known: _QueuedCall, by: Party) -> str:
        agent, known.agent = known.agent, ""
        event = "COMPLETEAGENT" if by is Party.AGENT else "COMPLETECALLER"
        talked = at - known.answered
        return _line(
            at,
            call,
            known.queue,
            _phone(agent),
            event,
            _s(known.waited),
            _s(talked),
            str(known.position),
        )

    def _transferred(
        self, at: int, call: CallId, known: _QueuedCall, to: str, *, attended: bool
    ) -> str:
        """For the log's readers a transfer ends the call in the queue, as with app_queue. The rest is not logged."""
        agent, known.agent = known.agent, ""
        over, _ = self._over.pop(call, (at, Party.AGENT))
        waited, talked, position = _s(known.waited), _s(over - known.answered), str(known.position)
        event, *how = ("ATTENDEDTRANSFER", "BRIDGE", to) if attended else ("BLINDTRANSFER", to, "")
        line = _line(at, call, known.queue, _phone(agent), event, *how, waited, talked, position)
        known.queue, known.answered = "", 0
        return line

    def _moved(self, at: int, call: CallId, known: _QueuedCall, queue: str) -> list[str]:
        waits = known.queue != "" and not known.answered
        # If the end of a talk was not told, the move is the agent's doing.
        lines = self._exit(at, call, known) if waits else self._talk_over(call, at, Party.AGENT)
        # The wait begins again with the transfer.
        self._enter(call, known, queue, known.queued if waits else at)
        return [
            *lines,
            _line(at, call, queue, ALL, "ENTERQUEUE", "", known.caller, str(known.position)),
        ]

    def _released(self, at: int, call: CallId, known: _QueuedCall, reason: Release) -> list[str]:
        if reason is Release.TIMED_OUT:
            return self._exit(at, call, known)
        position = self._leave(call, known)
        queue, known.queue = known.queue, ""
        return [_line(at, call, queue, ALL, "EXITEMPTY", *_left(at, known, position))]

    def _exit(self, at: int, call: CallId, known: _QueuedCall) -> list[str]:
        position = self._leave(call, known)
        queue, known.queue = known.queue, ""
        return [_line(at, call, queue, ALL, "EXITWITHTIMEOUT", *_left(at, known, position))]

    def _ended(self, at: int, call: CallId, known: _QueuedCall, by: Party) -> list[str]:
        lines = self._talk_over(call, at, by)
        del self._calls[call]
        if lines or not known.queue or known.answered:
            return lines
        position = self._leave(call, known)
        return [_line(at, call, known.queue, ALL, "ABANDON", *_left(at, known, position))]

    def _sweep(self, now: int) -> list[str]:
        """End the calls whose own end was lost, and forget those that ended long ago."""
        if now - self._last_swept < _LONGEST // 24:
            return []
        self._last_swept = now
        self._gone = {call: at for call, at in self._gone.items() if at > now - _LONGEST // 24}
        lines = []
        for call in [one for one, known in self._calls.items() if known.arrived < now - _LONGEST]:
            known = self._calls[call]
            self._gone[call] = now
            if known.left_out:
                del self._calls[call]
            else:
                lines += self._ended(known.heard, call, known, Party.CALLER)
        return lines


def _left(at: int, known: _QueuedCall, position: int) -> tuple[str, str, str]:
    return str(position), str(known.position), _s(at - known.queued)


def _line(at: int, call: str, queue: str, agent: str, event: str, *data: str) -> str:
    fields = (str(at // SECOND), call, queue, agent, event, *data)
    return "|".join(_clean(field) for field in fields)


def _clean(text: str) -> str:
    """No bar and no line break: a reason in people's own words must not make another line."""
    if "|" not in text and text.isprintable():
        return text
    return "".join(one if one.isprintable() and one != "|" else " " for one in text)


def _phone(agent: str) -> str:
    return f"PJSIP/{agent}"


def _s(microseconds: int) -> str:
    return str(max(0, microseconds) // SECOND)
