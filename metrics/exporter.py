"""The controller's figures for Prometheus: what happened as counters and histograms, what is now as gauges.

Labels are few and known beforehand (outcomes, states, reasons, trunks: never a number or a person's name), and each
labelled child is bound once, at the start. Counters begin at 0 with the process; the diary, not Prometheus, is the
record.
"""

import contextlib
import ipaddress
import math
import socket
import time
from collections.abc import Iterable, Mapping
from socketserver import ThreadingMixIn
from threading import Lock, Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    make_wsgi_app,
)

from agents.model import Presence
from base.stalls import Stall
from facts import (
    CallArrived,
    CallbackAdded,
    CallbackAnswered,
    CallbackDialling,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackUnreached,
    CallbackYielded,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
)
from facts.live import LiveState
from facts.terms import CallId, Grade, OfferReason, Outcome, Severity
from facts.times import SECOND
from ivr.door import REASONS
from metrics.fold import CallHistory, CallRecord, fold_call
from metrics.window import CONNECTED

_WAITS = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900)
_TALKS = (5, 15, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1800, 3600)
_RINGS = (1, 2, 3, 5, 7.5, 10, 15, 20, 30)
"""Three rings are 15 s (M4)."""
_STALLS = (0.03, 0.05, 0.1, 0.2, 0.5, 1, 2)
_LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)

_CALLBACKS = {
    CallbackAdded: "added",
    CallbackPlaced: "placed",
    CallbackDialling: "dialled",
    CallbackAnswered: "answered",
    CallbackRaced: "raced",
    CallbackUnreached: "unreached",
    CallbackReopened: "reopened",
    CallbackMissed: "missed",
}
_STAGES = ("greeting", "waiting", "ringing", "talking")
_RESULTS = ("answered", "abandoned", "other")
_ABANDONED = frozenset({Outcome.ABANDONED_QUEUE, Outcome.ABANDONED_RINGING})
_MOST_OPEN = 20_000
"""Open calls that are remembered at most. A centre never has that many: the oldest have lost their ends."""


REQUEST_WITHIN: Final = 10.0
"""Seconds for a connection, from its beginning to the end of the answer."""
MOST_CONNECTIONS: Final = 20
"""Connections at once, a thread each. Beyond that the oldest is closed."""


class Exporter:
    """What one process tells Prometheus. All methods return at once; `serve` answers from a thread of its own.

    `trunks`: the names of those in `trunks.toml`.
    """

    def __init__(self, version: str, trunks: Iterable[str] = ()) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self._open: dict[CallId, CallHistory] = {}
        self._server: tuple[WSGIServer, Thread] | None = None

        def counter(name: str, says: str, label: str = "", values: Iterable[str] = ()) -> Any:
            made = Counter(name, says, [label] if label else [], registry=registry)
            return {value: made.labels(value) for value in values} if label else made

        def gauge(name: str, says: str, label: str = "", values: Iterable[str] = ()) -> Any:
            made = Gauge(name, says, [label] if label else [], registry=registry)
            return {value: made.labels(value) for value in values} if label else made

        gauge("hotline_info", "1, with the program's version", "version", [version])[version].set(1)
        self._arrived = counter("hotline_calls_arrived", "citizens' calls that arrived")
        self._ended = counter(
            "hotline_calls_ended", "citizens' calls that ended, by outcome", "outcome", Outcome
        )
        waits = Histogram(
            *("hotline_wait_seconds", "from the queue to the answer or the end", ["result"]),
            buckets=_WAITS,
            registry=registry,
        )
        self._waits = {result: waits.labels(result) for result in _RESULTS}
        self._talk = Histogram(
            *("hotline_talk_seconds", "talk of answered calls"), buckets=_TALKS, registry=registry
        )
        self._ring = Histogram(
            *("hotline_ring_seconds", "how long the phone rang that was answered"),
            buckets=_RINGS,
            registry=registry,
        )
        self._offers_made = counter("hotline_offers_made", "calls offered to an agent")
        self._offers = counter(
            *("hotline_offers_ended", "offers by how they ended", "result"),
            ["answered", *OfferReason],
        )
        self._callbacks = counter(
            "hotline_callbacks", "what happened to callbacks", "event", _CALLBACKS.values()
        )
        self._cut = counter("hotline_talks_cut", "calls whose last talk the system ended (M24)")
        self._invited = counter(
            "hotline_survey_invitations", "citizens invited to rate a talk (M11)"
        )
        self._rated = counter("hotline_survey_ratings", "ratings by grade (M12)", "grade", Grade)
        self._yields = counter(
            "hotline_yields", "unanswered callbacks cancelled for a waiting citizen (R7)"
        )
        self._callers = gauge("hotline_callers", "callers by stage", "stage", _STAGES)
        self._longest = gauge("hotline_longest_wait_seconds", "the longest wait of who waits now")
        self._agents = gauge("hotline_agents", "agents by state", "state", Presence)
        self._m1r = gauge("hotline_connection_ratio", "M1r: connection rate of the last 24 hours")
        self._m1r_calls = gauge("hotline_connection_calls", "the calls that M1r is made from")
        self._due = gauge("hotline_callbacks_open", "callbacks that are not done")
        self._alarms = gauge("hotline_alarms", "alarms that are raised", "severity", Severity)
        self._ami_up = gauge("hotline_ami_up", "1 while Asterisk's manager interface is there")
        self._trunks = Gauge(
            *("hotline_trunk_up", "1 while calls can leave by it, 0 if not, NaN: not known"),
            ["trunk"],
            registry=registry,
        )
        self._trunk_names: set[str] = set()
        self.show_trunks(dict.fromkeys(trunks))
        self._redis_up = gauge("hotline_redis_up", "1 while Redis answers")
        self._stalls = Histogram(
            *("hotline_loop_stall_seconds", "how long the controller stood still, from 20 ms on"),
            buckets=_STALLS,
            registry=self.registry,
        )
        self._lag = Histogram(
            *("hotline_ami_event_lag_seconds", "from Asterisk's own time to our reading"),
            buckets=_LAGS,
            registry=registry,
        )
        self._agi_refused = counter(
            "hotline_agi_refused", "AGI connections that were not believed", "why", REASONS
        )
        self._guesses = counter("hotline_sip_guesses", "SIP sign-ins that Asterisk refused")
        self._unknown_numbers = counter(
            "hotline_unknown_numbers", "calls from the trunk to a number that is not ours (404)"
        )
        self._untold = counter(
            "hotline_refused_untold", "refused calls beyond what is told of a minute"
        )
        self._backlog = gauge("hotline_diary_backlog_facts", "facts not yet in the database")
        self._unheard = gauge(
            "hotline_recordings_unheard_seconds",
            "since the oldest recording was finished that waits to be listened to, 0: none; NaN: not known",
        )
        self._unheard.set(math.nan)
        self._lost = gauge("hotline_diary_lost_facts", "facts that no disk had room for")
        self._recordings = gauge("hotline_recordings_backlog", "raw files that wait to be finished")
        self._oldest = gauge("hotline_recordings_oldest_seconds", "for how long the oldest waits")
        self._store = gauge("hotline_store_backlog", "recordings that wait for their store")
        for unknown in (self._recordings, self._oldest, self._store):
            unknown.set(math.nan)

    def add(self, fact: Fact) -> None:
        """Count one fact."""
        kind = type(fact)
        if kind is OfferMade:
            self._offers_made.inc()
        elif kind is OfferAnswered:
            self._offers["answered"].inc()
        elif isinstance(fact, OfferEnded):
            self._offers[fact.reason].inc()
        elif kind is SurveyOffered or kind is SurveyLinked:
            self._invited.inc()
        elif isinstance(fact, SurveyRated):
            self._rated[fact.grade].inc()
        elif kind is CallbackYielded:
            self._yields.inc()
        elif kind in _CALLBACKS:
            self._callbacks[_CALLBACKS[kind]].inc()
        call: CallId = getattr(fact, "call", "")
        if isinstance(fact, CallArrived) and fact.origin:
            return  # handed on from a callback: no citizen has called, so the facts that follow do not count either
        if kind is CallArrived and call not in self._open:
            self._arrived.inc()
            if len(self._open) >= _MOST_OPEN:  # calls whose end was lost would pile up for ever
                del self._open[next(iter(self._open))]
        elif call not in self._open:
            return  # it has ended, or began before this process
        history = fold_call(self._open, fact)
        if history is not None and history.ended:
            record = self._open.pop(call).record()
            if isinstance(record, CallRecord):
                self._count(record)

    def lag(self, seconds: float) -> None:
        """How late an event of Asterisk was read."""
        self._lag.observe(max(0.0, seconds))

    def stalled(self, stall: Stall) -> None:
        """The controller stood still for so long."""
        self._stalls.observe(stall.seconds)

    def refused(self, why: str) -> None:
        """An AGI connection was not believed to be Asterisk's: one of `ivr.door.REASONS`."""
        self._agi_refused[why].inc()

    def guessed(self) -> None:
        """A SIP sign-in was refused."""
        self._guesses.inc()

    def unknown_number(self) -> None:
        """The trunk dialled a number that is not ours."""
        self._unknown_numbers.inc()

    def untold(self, calls: int) -> None:
        """So many refused calls were too many to be told."""
        self._untold.inc(calls)

    def unheard(self, seconds: float | None) -> None:
        """How long the oldest recording has waited to be listened to; None: not known."""
        self._unheard.set(math.nan if seconds is None else seconds)

    def show_trunks(self, up: Mapping[str, bool | None]) -> None:
        """Whether calls can leave by each trunk that there is; None: not known."""
        for gone in self._trunk_names - up.keys():
            self._trunks.remove(gone)
        self._trunk_names = set(up)
        for name, there in up.items():
            self._trunks.labels(name).set(math.nan if there is None else there)

    def show_backlogs(
        self, recordings: float | None, oldest: float | None, store: float | None
    ) -> None:
        """How many raw files wait, for how many seconds the oldest does, and what waits for the store."""
        for gauge, value in (
            (self._recordings, recordings),
            (self._oldest, oldest),
            (self._store, store),
        ):
            gauge.set(math.nan if value is None else value)

    def show(
        self,
        state: LiveState,
        now: int,
        *,
        ami_up: bool,
        redis_up: bool,
        backlog: int,
        lost: int,
        callbacks: int,
    ) -> None:
        """What is now: the live state that screens get, and the rest. `now` in microseconds."""
        for stage, child in self._callers.items():
            child.set(state["stages"][stage])
        since = state["waiting_since"]
        self._longest.set(0 if since is None else max(0, now - since) / SECOND)
        found = [agent["presence"] for agent in state["agents"]]
        for presence, child in self._agents.items():
            child.set(found.count(presence.value))
        m1r = state["figures"]["M1r"]
        self._m1r.set(math.nan if m1r["value"] is None else m1r["value"])
        self._m1r_calls.set(m1r["denominator"])
        grave = [alarm["severity"] for alarm in state["alarms"]]
        for severity, child in self._alarms.items():
            child.set(grave.count(severity.value))
        self._due.set(callbacks)
        self._ami_up.set(ami_up)
        self._redis_up.set(redis_up)
        self._backlog.set(backlog)
        self._lost.set(lost)

    def serve(self, address: str, port: int) -> int:
        """Answer `GET /metrics` there. Gives the port, which 0 lets the kernel choose. Raises `OSError`."""
        server = _Server(address, port)
        server.set_app(make_wsgi_app(self.registry))
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self._server = server, thread
        return server.server_port

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            server, thread = self._server
            self._server = None
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _count(self, record: CallRecord) -> None:
        if record.outcome is None or record.ended is None:
            return
        self._ended[record.outcome].inc()
        answered = record.answered if record.outcome in CONNECTED else None
        if record.queued is not None:
            result = "answered" if answered is not None else "other"
            if record.outcome in _ABANDONED:
                result = "abandoned"
            until = record.ended if answered is None else answered
            self._waits[result].observe(max(0, until - record.queued) / SECOND)
        if answered is None:
            return
        self._talk.observe(record.talk / SECOND)
        if record.cut:
            self._cut.inc()
        rang = next((one for one in record.offers if one.answered == answered), None)
        if rang is not None and rang.ringing is not None:
            self._ring.observe(max(0, answered - rang.ringing) / SECOND)


class _Server(ThreadingMixIn, WSGIServer):
    """prometheus_client's own server, which waits for ever for a request's end, with a limit of time and number."""

    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        self._began: dict[socket.socket, float] = {}
        self._lock = Lock()
        if ipaddress.ip_address(address).version == 6:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A client connects."""
        with self._lock:
            self._began[request] = time.monotonic()
            if len(self._began) > MOST_CONNECTIONS:
                self._cut_off(next(iter(self._began)))
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """It has its answer, or is cut off."""
        with self._lock:
            self._began.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Twice a second, from `serve_forever`."""
        with self._lock:
            latest = time.monotonic() - REQUEST_WITHIN
            for request in [one for one, began in self._began.items() if began < latest]:
                self._cut_off(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client who has left."""

    def _cut_off(self, request: socket.socket) -> None:
        self._began.pop(request, None)
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)  # which wakes its thread


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""
