"""The FastAGI server: Asterisk connects once for each call, and a session lives on that connection.

The path of `agi://ADDRESS:PORT/…` says what a connection is for. `call` is a citizen (`ivr.session`), and `agent` an
agent's feature code (`ivr.feature`). `colleague` is an agent who calls another (`ivr.colleague`), and `callback` one
who has picked up for a callback (`ivr.callback`). `silent` is a caller who says nothing (`ivr.silence`), and
`harassing` one whose call is ended by its script (`ivr.harassing`). `survey` is a citizen whose agent has left
(`ivr.survey`).

The others are keys of a phone within a talk. `recording` pauses the recording (`ivr.recording`), and `party` brings
somebody in (`ivr.bring_in`). `hand_over` leads to the survey, and `alert` is the red button (`ivr.alert`). `supervise`
is a phone that wants to listen to a talk (`ivr.supervise`).

`ivr.door` says who may speak here: only Asterisk, by a secret that the dialplan knows, about channels that AMI knows.

No connection disturbs another: silence, half a line, megabytes, garbage or an error in a session end that connection
alone, with one line in the log. When a connection ends without `HL_DONE`, the caller goes back to the dialplan. It
plays music, tries again and at last takes its fallback queue: the caller still reaches a person.
"""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from base.background import spawn
from facts.ids import is_call_id
from facts.terms import CallId
from ivr.alert import Alert, serve_alert
from ivr.bring_in import ByKey, serve_bring_in
from ivr.callback import Callbacks, serve_callback
from ivr.colleague import serve_colleague
from ivr.connection import Connection, GoneError
from ivr.door import SCRIPTS, Door, Seen
from ivr.feature import Feature, serve_agent
from ivr.harassing import Marked, serve_harassing
from ivr.phrases import LANGUAGES
from ivr.reception import Receive, Reception
from ivr.recording import Record, serve_recording
from ivr.session import CallSession, Pace, SessionDesk
from ivr.silence import serve_silent
from ivr.supervise import Supervise, serve_supervise
from ivr.survey import Surveys, serve_hand_over, serve_survey
from ivr.way_out import WaysOut

log = structlog.get_logger(__name__)

BACKLOG = 1024
"""Connections that may wait to be accepted: a burst of calls while the loop is busy for a moment."""

KEEPALIVE = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
"""Seconds, seconds and probes: when the kernel asks whether the other end of a silent connection still exists."""


async def serve(
    address: str,
    port: int,
    *,
    secret: str,
    desk: SessionDesk,
    clock: Callable[[], int],
    feature: Feature,
    pace: Pace | None = None,
    record: Record | None = None,
    bring_in: ByKey | None = None,
    supervise: Supervise | None = None,
    alert: Alert | None = None,
    marked: Marked | None = None,
    call_of: Callable[[str], CallId] = lambda uniqueid: uniqueid,
    callbacks: Callbacks | None = None,
    ways: WaysOut | None = None,
    receive: Receive = lambda number, caller, at: Reception(),
    sounds: Path | None = None,
    surveys: Surveys | None = None,
    # Who is heard
    seen: Seen = lambda channel: None,
    refused: Callable[[str], object] = lambda why: None,
    # Time-outs
    silence_limit: float = 5.0,
    patience: float = 2.0,
    # Limits
    most_sessions: int = 4000,
    most_unknown: int = 256,
) -> "Server":
    """Listen for Asterisk. Raises `OSError` when the address cannot be used.

    `clock` gives microseconds UTC. `call_of`: the call of the citizen whose channel has this Uniqueid. `sounds` is the
    folder of Asterisk's sounds in Mandarin, where there is one.

    `secret` is what the dialplan gives as its last argument, `seen` says whether AMI knows a channel, `refused` is told
    of each connection that was not believed: one of `ivr.door.REASONS`. A connection has `silence_limit` seconds to say
    which call it is for, and AMI `patience` seconds to tell of it. Beyond `most_sessions` calls new connections are
    closed; of those that have not shown the secret there are `most_unknown` at most, and the oldest makes room.
    """
    door = Door(
        secret,
        address,
        seen=seen,
        refused=refused,
        silence_limit=silence_limit,
        patience=patience,
        most_unknown=most_unknown,
    )
    server = Server(
        door,
        desk,
        clock,
        feature,
        record,
        bring_in,
        supervise,
        alert,
        marked,
        call_of,
        pace or Pace(),
        callbacks,
        ways,
        receive,
        sounds,
        surveys,
        most_sessions,
    )
    await server.listen(address, port)
    return server


class Server:
    """A running server; made by `serve`."""

    def __init__(
        self,
        door: Door,
        desk: SessionDesk,
        clock: Callable[[], int],
        feature: Feature,
        record: Record | None,
        bring_in: ByKey | None,
        supervise: Supervise | None,
        alert: Alert | None,
        marked: Marked | None,
        call_of: Callable[[str], CallId],
        pace: Pace,
        callbacks: Callbacks | None,
        ways: WaysOut | None,
        receive: Receive,
        sounds: Path | None,
        surveys: Surveys | None,
        most_sessions: int,
    ) -> None:
        self._door = door
        self._desk = desk
        self._clock = clock
        self._feature = feature
        self._record = record
        self._bring_in = bring_in
        self._supervise = supervise
        self._alert = alert
        self._marked = marked
        self._call_of = call_of
        self._pace = pace
        self._callbacks = callbacks
        self._ways = ways
        self._receive = receive
        self._sounds = sounds
        self._surveys = surveys
        self._most_sessions = most_sessions
        self._listening: asyncio.Server | None = None
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._full = False
        self._stopping = False
        self._broken_prompts: set[str] = set()
        self._unspoken: set[str] = set()
        self._callers: dict[CallId, CallSession] = {}

    @property
    def port(self) -> int:
        """The port it listens on, also when it was asked for port 0."""
        assert self._listening is not None  # noqa: S101 for the type checker: `serve` has listened
        return int(self._listening.sockets[0].getsockname()[1])

    @property
    def sessions(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    async def listen(self, address: str, port: int) -> None:
        """Begin to take connections."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.create_server((address, port), family=family, backlog=BACKLOG)
        # A half-open connection says nothing during a wait or a talk: the kernel asks after 60 s, and gives it up 60 s
        # later. It is set on the listening socket because connections inherit it: that saves five system calls each.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # A command that cuts a sound short follows one without an answer: Nagle's algorithm would hold it back for
        # 40 ms. `ivr.connection` makes sure that Asterisk still reads them one by one.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in KEEPALIVE.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._opened, self._closed), sock=sock, backlog=BACKLOG
        )

    async def close(self, limit: float = 5.0) -> None:
        """Stop: no new connections, and every session leaves its caller to the dialplan, which tries again.

        Talks go on: `Dial` does not look at the connection. Returns when all sessions have ended, after `limit` seconds
        at the latest.
        """
        self._stopping = True
        if self._listening is not None:
            self._listening.close()
        tasks = list(self._connections.values())
        for connection in list(self._connections):
            connection.close("stopping")
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=limit)
            for task in late:
                log.warning("agi.stopped_late", task=task.get_name())
                task.cancel()

    def pressed(self, call: CallId, key: str) -> None:
        """A caller pressed a key of the telephone."""
        if (session := self._callers.get(call)) is not None:
            session.press(key)

    # --- what a connection calls

    def _opened(self, connection: Connection) -> None:
        if self._stopping:
            connection.abort("stopping")
            return
        if len(self._connections) - self._door.unknown >= self._most_sessions:
            if not self._full:
                self._full = True
                log.error(
                    "agi.full",
                    sessions=len(self._connections),
                    hint="callers go to the dialplan's fallback queue",
                )
            connection.abort("full")
            return
        self._full = False
        if not self._door.let_in(connection):
            return
        self._connections[connection] = spawn(self._serve(connection), f"agi {connection.peer}")

    def _closed(self, connection: Connection) -> None:
        # A session that still runs gets `GoneError` where it waits.
        self._connections.pop(connection, None)
        self._door.leave(connection)

    # --- one connection

    async def _serve(self, connection: Connection) -> None:
        try:
            environment = await self._door.admit(connection)
            if environment is None:
                return
            script = environment.get("agi_network_script", "")
            if script == "agent":
                await serve_agent(connection, environment, feature=self._feature)
            elif script == "callback" and self._callbacks is not None:
                await serve_callback(
                    connection, environment, callbacks=self._callbacks, ways=self._ways
                )
            elif script == "colleague":
                await serve_colleague(connection, environment, desk=self._desk, clock=self._clock)
            elif script == "recording" and self._record is not None:
                await serve_recording(connection, environment, record=self._record)
            elif script == "survey" and self._surveys is not None:
                await serve_survey(
                    connection,
                    environment,
                    surveys=self._surveys,
                    clock=self._clock,
                    receive=self._received,
                    reason_for=self._pace.survey_reason,
                )
            elif script == "hand_over" and self._surveys is not None:
                await serve_hand_over(
                    connection, environment, hand_over=self._surveys.hand_over_by_key
                )
            elif script == "party" and self._bring_in is not None:
                await serve_bring_in(connection, environment, by_key=self._bring_in)
            elif script == "supervise" and self._supervise is not None:
                await serve_supervise(connection, environment, supervise=self._supervise)
            elif script == "alert" and self._alert is not None:
                await serve_alert(connection, environment, alert=self._alert)
            elif script == "harassing" and self._marked is not None:
                await serve_harassing(connection, environment, marked=self._marked)
            elif script == "silent" and is_call_id(environment.get("agi_uniqueid", "")):
                await serve_silent(
                    connection,
                    environment,
                    desk=self._desk,
                    clock=self._clock,
                    receive=self._received,
                    call_of=self._call_of,
                )
            elif script == "call" and is_call_id(environment.get("agi_uniqueid", "")):
                session = CallSession(
                    connection,
                    environment,
                    desk=self._desk,
                    clock=self._clock,
                    loop_time=asyncio.get_running_loop().time,
                    pace=self._pace,
                    broken_prompt=self._broken_prompt,
                    receive=self._received,
                    callbacks=self._callbacks,
                    ways=self._ways,
                    sounds=self._sounds,
                )
                self._callers[session.call] = session
                try:
                    await session.run()
                finally:
                    if self._callers.get(session.call) is session:
                        del self._callers[session.call]
            else:
                log.warning(
                    "agi.not_ours",
                    peer=connection.peer,
                    script=script[:40],
                    hint=f"only {', '.join(sorted(SCRIPTS))} are served, with the id of a call",
                )
        except GoneError:
            pass  # logged already where it matters; a health check that only connects does not
        finally:
            connection.close("done")

    def _received(self, number: str, caller: str, at: int) -> Reception:
        try:
            found = self._receive(number, caller, at)
        except Exception:
            # Even with broken rules a caller must reach a person.
            log.exception(
                "reception.failed", effect="the caller is queued as if there were no rules"
            )
            return Reception()
        if found.language not in LANGUAGES and found.language not in self._unspoken:
            self._unspoken.add(found.language)
            log.warning("language.unspoken", language=found.language, effect="Mandarin is spoken")
        return found

    def _broken_prompt(self, sound: str) -> None:
        if sound not in self._broken_prompts:
            self._broken_prompts.add(sound)
            log.error(
                "prompt.missing",
                prompt=sound,
                hint="Asterisk cannot play it: render the prompts again",
            )
