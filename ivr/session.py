"""One caller's session: walks `ivr.script` over one AGI connection, and does what the floor decides.

A normal call costs Asterisk and us five commands: two prompts, `MSet`, music, `Dial` (four when an agent is idle).

`Dial` runs on the caller's own channel, so that a talk lives inside Asterisk and outlives this program. Its options:
`m` music until the agent answers, so that unanswered offers do not interrupt the caller's wait; `i` no forwarding by
the agent's phone, because the floor decides where a call goes; `I` nothing about the agent reaches the citizen's
display (R58). Without `g`, a `Dial` returns -1 when a talk is over or the caller is gone. In both cases the session
only has to close, and the dialplan hangs up. 0 means no answer.

With a queue's `offer_in_notice` a caller joins the queue when the recording notice begins. Asterisk then plays the
notice as music, so that it goes on during `Dial`: `m` names its class, `b` marks the agent's leg, and an agent who
picks up waits in `U` (context `notice`) until it is over. So all of this too goes on without this program.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from facts import (
    CallArrived,
    CallbackAsked,
    CallDetached,
    CallQueued,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallSilent,
    CallTransferred,
    Fact,
    OfferEnded,
)
from facts.causes import WITHDRAWN
from facts.ids import is_attempt
from facts.numbers import AGENT_NUMBER, normalise
from facts.offers import NO_TALK
from facts.terms import CallId, OfferReason, Release
from facts.times import SECOND
from ivr import script
from ivr.connection import Connection, GoneError
from ivr.notice import Notice
from ivr.phrase_file import seconds
from ivr.phrases import in_language, notice_music
from ivr.reception import Receive
from ivr.silence import hears, speaks
from ivr.way_out import WaysOut, dial_out

log = structlog.get_logger(__name__)

LEFT = "queue"
"""`HL_TARGET` of a caller who waits in the same queue again (extensions.conf): they spoke after the agent had gone, or
the agent's phone dropped them as soon as it had answered."""

_SOONER = 0.004
"""Seconds before a sound's end at which the session treats it as over. By then Asterisk has sent the last 20 ms of it.
A timer is late by up to one millisecond, and on an idle machine two programs take a few more to wake up."""

DIALLED = "dialled"
"""How the session of an ordinary call ends: Asterisk's `Dial` has connected the talk."""

_LOOK_EVERY, _LOOKS = 0.01, 50
"""Seconds between two looks at the facts of a talk's end: they may come later than the end of its Dial."""
_OUTSIDE_RINGS = 60.0
"""Seconds that an outside number is rung."""


class SessionDesk(Protocol):
    """What a session needs of `acd.desk.Desk`."""

    def report(self, *facts: Fact) -> None:
        """Report facts of one moment. The commands that follow from them are given before this returns."""

    def attach(self, call: CallId, session: "CallSession") -> None:
        """From now on the session carries out the floor's commands for the call."""

    def detach(self, call: CallId, session: "CallSession") -> None:
        """The session ends."""

    def ahead(self, call: CallId) -> int:
        """How many callers will be offered before this one."""

    def staffed(self, call: CallId) -> bool:
        """Whether an agent is signed in who may answer this call."""

    def dropped(self, call: CallId) -> bool | None:
        """Whether the caller has to wait on: the talk that is over now ended at once, or the agent's phone died.

        None: the facts of the next moment will tell, unless the link to Asterisk is away.
        """

    def call_colleague(self, agent: str, colleague: str) -> str:
        """For `ivr.colleague`: why the colleague cannot be rung now. If empty, the colleague is busy from now on."""


class YieldedAgents(Protocol):
    """What a session needs of `telephony.outbound.Outbound`: how a citizen gets an agent whose callback yielded."""

    def kept_channel(self, call: CallId, agent: str) -> str:
        """The channel of an agent who stays on the phone for this citizen, else empty."""

    def keep_longer(self, call: CallId, agent: str, wait: float) -> None:
        """This citizen can be connected to that agent only in `wait` seconds."""

    def goes_first(self, call: CallId) -> bool:
        """Whether this citizen's next ring is one for which a callback has yielded. Asked once for each."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings of a session, in seconds. `first_word`: how long a caller has to speak, with `detect_silence`.

    `survey_reason`: how long a citizen may speak after a bad rating; 0: they are not asked.
    """

    announce_every: float = 30.0
    first_word: float = 5.0
    survey_reason: float = 0.0


@dataclass(frozen=True, slots=True)
class _CallBack:
    """The caller pressed the key that asks for a callback."""


@dataclass(frozen=True, slots=True)
class _Outside:
    number: str


@dataclass(frozen=True, slots=True)
class _Ring:
    agents: tuple[str, ...]
    ring_for: float


class CallSession:
    """One caller's call. The desk calls `ring`, `send_outside` and `release` at any time; they return at once."""

    def __init__(
        self,
        connection: Connection,
        environment: Mapping[str, str],
        *,
        desk: SessionDesk,
        clock: Callable[[], int],
        loop_time: Callable[[], float],
        pace: Pace,
        broken_prompt: Callable[[str], None],
        receive: Receive,
        callbacks: YieldedAgents | None = None,
        ways: WaysOut | None = None,
        sounds: Path | None = None,
    ) -> None:
        self.call: CallId = environment.get("agi_uniqueid", "")
        self._connection = connection
        self._desk = desk
        self._clock = clock
        self._loop_time = loop_time
        self._pace = pace
        self._broken_prompt = broken_prompt
        self._callbacks = callbacks
        self._ways = ways
        self._sounds = sounds
        self._order: _Ring | _Outside | _CallBack | Release | None = None
        self._waiting = False
        self._notice: Notice | None = None
        self._over = False

        self._number = _digits(environment.get("agi_arg_1", ""), 15)
        withheld = _is_withheld(environment.get("agi_callingpres", ""))
        self._caller = "" if withheld else normalise(environment.get("agi_callerid", ""))
        now = clock()
        queued_at = _moment(environment.get("agi_arg_3", ""), now)
        self._queued_at = queued_at
        self._arrived_at = min(
            _moment(environment.get("agi_arg_2", ""), now) or queued_at or now, queued_at or now
        )
        queue = environment.get("agi_arg_4", "")
        self._reception = receive(self._number, self._caller, now)
        self._target = _target(environment.get("agi_arg_5", ""))
        origin = environment.get("agi_arg_6", "")
        self._origin = origin if is_attempt(origin) else ""
        self._queue = queue if _QUEUE.fullmatch(queue) else self._reception.queue

    # --- what the desk calls

    def ring(self, agents: tuple[str, ...], ring_for: float) -> None:
        """Ring the agents' phones for at most `ring_for` seconds. It interrupts a prompt that plays.

        If an earlier `Dial` has not come back yet, the new one follows it. The session reports `OfferEnded`, unless an
        agent answers.
        """
        if self._over or isinstance(self._order, Release):
            self._end_offers(agents, OfferReason.CALLER_GONE)
        elif not all(AGENT_NUMBER.fullmatch(agent) for agent in agents):
            log.error("ring.refused", call_id=self.call, hint="an agent's number has 2 to 8 digits")
            self._end_offers(agents, OfferReason.UNREACHABLE)
        else:
            self._drop_ring()
            self._order = _Ring(agents, ring_for)
            self._connection.interrupt()

    def send_outside(self, number: str) -> None:
        """Connect the caller to an outside number: the queue overflows."""
        self._drop_ring()
        self._order = _Outside(number)
        self._connection.interrupt()

    def release(self, reason: Release) -> None:
        """Say the farewell that fits and hang up."""
        self._drop_ring()
        self._order = reason
        self._connection.interrupt()

    # --- what the server calls

    def press(self, key: str) -> None:
        """The caller pressed a key. The queue's `callback_key` asks for a callback, others mean nothing."""
        wanted = self._reception.callback_key
        if not self._waiting or self._notice_left():
            return
        if self._order is None and wanted and key == wanted:
            self._order = _CallBack()
            self._connection.interrupt()

    # --- the session itself

    async def run(self) -> None:
        """Serve the call. Returns when there is nothing left to do here; the server then closes the connection."""
        began = self._loop_time()
        try:
            how = await self._live()
        except GoneError as gone:
            how = str(gone)
        finally:
            self._leave()
        # The diary has the ordinary end of a call; the log is for the others.
        tell = log.debug if how == DIALLED else log.info
        tell(
            "session.ended", call_id=self.call, how=how, seconds=round(self._loop_time() - began, 3)
        )

    async def _live(self) -> str:
        """Bring the call into its queue and wait there. Returns how the session ends, as its log line says it."""
        self._desk.report(self._arrival())
        if self._target:
            await self._handed_over()
        elif self._queued_at:
            await self._connection.ask("EXEC MSet", "HL_TRIES=0")
            self._join(CallReturned(self._clock(), self.call, self._queue, self._queued_at))
        elif how := await self._receive_caller():
            return how
        return await self._wait_in_queue()

    async def _receive_caller(self) -> str:
        """Greet a new caller and join the queue. Returns how the session ends, or empty when it goes on."""
        if (refusal := self._reception.refusal) is not None:
            self._desk.report(CallReleased(self._clock(), self.call, refusal))
            await self._say_farewell(refusal)
            return str(refusal)
        if self._reception.outside and self._sent_outside(self._reception.outside):
            return ""
        *opening, last = script.opening(self._number)
        await self._say(opening)
        lasts = 0.0 if self._reception.detect_silence else self._lasts(last) - _SOONER
        if lasts > 0 and self._reception.offer_in_notice:
            await self._join_in_notice(lasts)
            return ""
        if lasts > 0:
            # The place is written before the last prompt plays. So only the decision comes between its last word and
            # the agent's phone.
            at = await self._keep_place(self._clock() + round(lasts * SECOND))
            await self._play(last, lasts)
        else:
            await self._say([last])
            if self._reception.detect_silence and not await self._spoke():
                return "silent"
            at = await self._keep_place(self._clock())
        self._join(CallQueued(min(at, self._clock()), self.call, self._queue))
        return ""

    def _sent_outside(self, number: str) -> bool:
        """Ask the floor to send a new caller outside. Returns whether it does: the gate may be shut for the number."""
        self._desk.attach(self.call, self)
        self._desk.report(CallSentOutside(self._clock(), self.call, number))
        return isinstance(self._order, _Outside)

    async def _join_in_notice(self, lasts: float) -> None:
        """Join the queue while the caller hears the notice: as music, which no command interrupts."""
        at = await self._keep_place(self._clock())
        self._notice = Notice(notice_music(self._reception.language), lasts, self._loop_time)
        await self._play_notice(self._notice)
        self._join(CallQueued(at, self.call, self._queue))

    async def _play_notice(self, notice: Notice) -> None:
        await self._connection.ask("SET MUSIC ON", notice.music)
        notice.play()

    def _notice_left(self) -> float:
        return self._notice.left() if self._notice is not None else 0.0

    async def _wait_in_queue(self) -> str:
        """Carry out the desk's orders, with music and announcements in between, until the session ends."""
        # If no agent is on duty, tell a new caller immediately, not after half a minute.
        new = not (self._queued_at or self._target)
        tell_at_once = new and not self._desk.staffed(self.call)
        announce_at = self._loop_time() + (0 if tell_at_once else self._pace.announce_every)
        announce_at += self._notice_left()
        music = self._notice is not None
        while True:
            match self._order:
                case _Ring() as ring:
                    self._order = None
                    if not await self._dial(ring):
                        return DIALLED
                    music = False
                # The caller hears the notice to its end, whatever is to come then.
                case _ if self._notice is not None and self._notice.left() == 0:
                    self._notice, music = None, False
                case _ if self._notice is not None and not music:
                    await self._play_notice(self._notice)
                    music = True
                case _ if self._notice is not None:
                    await self._connection.idle(self._notice.left())
                case _Outside(number):
                    if how := await self._dial_outside(number):
                        return how
                    music = False
                case Release() as reason:
                    await self._say_farewell(reason)
                    return "released"
                case _CallBack():
                    if await self._call_back():
                        return "will be called back"
                    music = False
                case None if self._loop_time() >= announce_at:
                    await self._announce()
                    announce_at = self._loop_time() + self._pace.announce_every
                    music = False
                case None if not music:
                    await self._connection.ask("SET MUSIC ON")
                    music = True
                case None:
                    await self._connection.idle(announce_at - self._loop_time())

    def _arrival(self) -> CallArrived:
        if not self._origin:
            return CallArrived(self._arrived_at, self.call, self._number, self._caller)
        return CallArrived(self._arrived_at, self.call, "", self._caller, self._origin, self._queue)

    async def _handed_over(self) -> None:
        """The agent has transferred the caller: `HL_TARGET` says where to, and Asterisk itself who did it.

        Or the agent hung up on a silent caller (R20), who has spoken since, or the talk was none (`_talk_over`).
        `TalkEnded` tells which agent that was.
        """
        by, to = "", ""
        if self._target != LEFT:
            told = await self._connection.ask("GET VARIABLE", "BLINDTRANSFER")
            found = _AGENTS_CHANNEL.fullmatch(told.data)
            by, to = found[1] if found is not None else "", self._target
        self._join(CallTransferred(self._clock(), self.call, by, to))
        # HL_TARGET is cleared only now: if this program dies before, the next one still knows where the caller was
        # sent. A citizen who comes from a callback has no place yet, and gets one here.
        place = "" if self._queued_at else f"{self._places(self._arrived_at)},"
        await self._connection.ask("EXEC MSet", f"{place}HL_TRIES=0,HL_TARGET=")

    async def _announce(self) -> None:
        staffed = self._desk.staffed(self.call)
        # Offer a callback only if it is possible. It is not without a number, nor for a citizen who comes from a
        # callback: they were just called, and nobody reads the keys of their channel.
        key = self._reception.callback_key if self._caller and not self._origin else ""
        ahead = self._desk.ahead(self.call)
        await self._say(script.announcement(ahead, staffed=staffed, callback_key=key))

    async def _keep_place(self, at: int) -> int:
        """Write the caller's place to the channel. If this program dies, the next one reads it from there."""
        await self._connection.ask("EXEC MSet", f"{self._places(at)},HL_TRIES=0")
        return at

    def _places(self, at: int) -> str:
        survey = ",HL_SURVEY=1" if self._reception.survey else ""
        return f"HL_ARRIVED={self._arrived_at},HL_QUEUED={at},HL_QUEUE={self._queue}{survey}"

    async def _spoke(self) -> bool:
        """Whether the caller says anything (R20). If not, the farewell has been played."""
        if await hears(self._connection, self._pace.first_word):
            return True
        if await speaks(self._connection, self._reception.language):
            return True
        self._desk.report(CallSilent(self._clock(), self.call))
        await self._connection.ask("SET VARIABLE", "HL_DONE", "1")
        for sound in script.SILENT_FAREWELL:
            await self._play(sound)
        return False

    async def _call_back(self) -> bool:
        """Promise a callback at the caller's place in the queue. Returns whether that ends the call."""
        self._order = None
        if not self._caller:
            await self._say(script.CALLBACK_WITHHELD)
            return False
        now = self._clock()
        # Both in one report: in between the caller would wait as a call and as a callback, and might be served twice.
        self._desk.report(CallbackAsked(now, self.call), CallDetached(now, self.call))
        self._waiting = False
        await self._connection.ask("SET VARIABLE", "HL_DONE", "1")
        for sound in script.CALLBACK_CONFIRMED:
            await self._play(sound)
        return True

    def _join(self, fact: CallQueued | CallReturned | CallTransferred) -> None:
        if self._connection.gone:
            # The caller hung up while the last command was answered: no phone must ring for them.
            raise GoneError(self._connection.gone)
        # Attach first: the floor may command `ring` while the fact is being reported.
        self._waiting = True
        self._desk.attach(self.call, self)
        self._desk.report(fact)

    async def _dial(self, ring: _Ring) -> bool:
        """Ring the agents. Returns whether the caller still waits; False after a talk or a hang-up."""
        if self._callbacks is not None:
            if channel := self._callbacks.kept_channel(self.call, ring.agents[0]):
                if left := self._notice_left():
                    self._callbacks.keep_longer(self.call, ring.agents[0], left)
                return await self._fetch(channel)
            if self._callbacks.goes_first(self.call):
                # The agent's display says why the callback was cut short.
                await self._connection.ask("EXEC MSet", f"CALLERID(name)={INBOUND_FIRST}")
        # A time-out of 0 would mean "for ever".
        seconds = max(ring.ring_for, 0.1)
        phones = "&".join(f"PJSIP/{agent}" for agent in ring.agents)
        options = "miI"
        if (notice := self._notice) is not None and notice.left() > 0:
            until = self._clock() // 1000 + round(notice.left() * 1000)
            options = f"m({notice.music})iIb(notice^ringing^1)U(notice^{until})"
            notice.play()
        reply = await self._connection.ask(
            "EXEC Dial", f"{phones},{seconds:.3f},{options}", limit=None
        )
        if notice is not None:
            notice.stop()
        if reply.result == "-1":
            await self._talk_over()
            return False
        if reply.result != "0":
            # No such application, or a dead channel: leave the call to the dialplan and its fallback queue.
            log.error(
                "dial.failed",
                call_id=self.call,
                agents=ring.agents,
                code=reply.code,
                result=reply.result,
            )
            self._end_offers(ring.agents, OfferReason.UNREACHABLE)
            raise GoneError("dial failed")
        why = await self._connection.ask("GET FULL VARIABLE", "${DIALSTATUS} ${HANGUPCAUSE}")
        status, _, cause = why.data.partition(" ")
        if status == "ANSWER":
            await self._talk_over()
            return False
        reason = (
            OfferReason.WITHDRAWN
            if cause == str(WITHDRAWN)
            else _REASONS.get(status, OfferReason.UNREACHABLE)
        )
        self._end_offers(ring.agents, reason)
        return True

    async def _fetch(self, channel: str) -> bool:
        """Connect the caller to an agent who stayed on the phone. Returns as `_dial` does. AMI reports the facts."""
        while (left := self._notice_left()) > 0:
            if self._order is not None:
                return True  # this agent has hung up, and another one is to be rung
            await self._connection.idle(left)
        # If this program dies meanwhile, the dialplan must know that a talk took place.
        await self._connection.ask("SET VARIABLE", "DIALSTATUS", "ANSWER")
        # Bridge, unlike Dial, would let the music go on. x: the agent's channel ends with the talk.
        await self._connection.ask("SET MUSIC OFF")
        await self._connection.ask("EXEC Bridge", f"{channel},x", limit=None)
        result = await self._connection.ask("GET VARIABLE", "BRIDGERESULT")
        if result.data == "SUCCESS":
            await self._talk_over(dialled=False)
            return False
        log.warning("line.lost", call_id=self.call, result=result.data)
        await self._connection.ask("SET VARIABLE", "DIALSTATUS", "")
        return True

    async def _talk_over(self, *, dialled: bool = True) -> None:
        """The session ends with the talk. If the caller has to wait on, the dialplan brings them back."""
        self._waiting = False
        looks = 0
        while (dropped := self._desk.dropped(self.call)) is None and looks < _LOOKS:
            if self._connection.gone:
                return
            looks += 1
            await asyncio.sleep(_LOOK_EVERY)
        if dropped is None and dialled and not self._connection.gone:
            dropped = await self._was_short()
        if dropped and not self._connection.gone:
            await self._connection.ask("SET VARIABLE", "HL_AGAIN", "1")

    async def _was_short(self) -> bool:
        """Whether the talk was none by Asterisk's own measure, which a `Bridge` does not make."""
        told = await self._connection.ask("GET VARIABLE", "ANSWEREDTIME_MS")
        return told.data.isdecimal() and int(told.data) * 1000 <= NO_TALK

    async def _dial_outside(self, number: str) -> str:
        """Connect the caller to the outside number. Returns how the session ends, or empty when the wait goes on.

        Without an answer there, the caller hears so and the call ends. After a transfer by an agent the caller waits
        again instead.
        """
        self._order = None
        how = f"{_OUTSIDE_RINGS:g},mI"
        reply = await dial_out(
            self._connection, self.call, number, self._number, how, ways=self._ways
        )
        if reply.result == "0" and number == self._target:
            now = self._clock()
            self._desk.report(CallReturned(now, self.call, self._queue, self._queued_at or now))
            return ""
        if reply.result == "0":
            reason = Release.SYSTEM_FAILURE if self._reception.outside else Release.TIMED_OUT
            self._desk.report(CallReleased(self._clock(), self.call, reason))
            await self._say_farewell(reason)
            return "nobody outside"
        self._waiting = False
        return "outside"

    async def _say(self, sounds: list[str]) -> None:
        """Play the sounds one after the other, until the desk wants something else."""
        for sound in sounds:
            if self._order is not None:
                return
            await self._play(sound)

    async def _say_farewell(self, reason: Release) -> None:
        # HL_DONE first, so that the dialplan does not send the caller back here. It also ends a prompt that plays.
        await self._connection.ask("SET VARIABLE", "HL_DONE", "1")
        self._waiting = False
        for sound in script.farewell(reason):
            await self._play(sound)

    def _lasts(self, sound: str) -> float:
        """Seconds that a sound lasts in the caller's language; 0 when they are not known."""
        if self._sounds is None:
            return 0.0
        return seconds(self._sounds, in_language(sound, self._reception.language))

    async def _play(self, sound: str, seconds: float = 0.0) -> None:
        """Play a sound in the caller's language; in Mandarin when that recording is missing."""
        for said in dict.fromkeys([in_language(sound, self._reception.language), sound]):
            reply = await self._connection.play(said, seconds)
            if reply is None or reply.result != "-1" or reply.endpos:
                return
            # The file is missing, or the caller left at this moment. In that case NOOP raises `GoneError`.
            await self._connection.ask("NOOP")
            self._broken_prompt(said)

    def _leave(self) -> None:
        self._over = True
        self._drop_ring()
        self._desk.detach(self.call, self)
        if self._waiting:
            self._desk.report(CallDetached(self._clock(), self.call))

    def _drop_ring(self) -> None:
        """Report the end of an offer whose phones were never rung."""
        ring, self._order = self._order, None
        if isinstance(ring, _Ring):
            self._end_offers(ring.agents, OfferReason.CALLER_GONE)

    def _end_offers(self, agents: tuple[str, ...], reason: OfferReason) -> None:
        now = self._clock()
        for agent in agents:
            self._desk.report(OfferEnded(now, self.call, agent, reason))


INBOUND_FIRST = "呼入优先"
"""The name on the display of an agent whose callback has yielded to this citizen (R7)."""

_REASONS = {
    "NOANSWER": OfferReason.NO_ANSWER,
    "BUSY": OfferReason.REFUSED,
    "CONGESTION": OfferReason.UNREACHABLE,
    "CHANUNAVAIL": OfferReason.UNREACHABLE,
    "CANCEL": OfferReason.CALLER_GONE,
}
_AGENTS_CHANNEL = re.compile(rf"PJSIP/({AGENT_NUMBER.pattern})-[0-9a-f]{{8}}")
_QUEUE = re.compile(r"[a-z0-9_-]{1,32}")
_LONGEST = 86_400 * SECOND


def _digits(text: str, most: int) -> str:
    return text if text.isascii() and text.isdigit() and len(text) <= most else ""


def _target(text: str) -> str:
    return LEFT if text == LEFT else _digits(text, 15)


def _is_withheld(presentation: str) -> bool:
    """Whether the caller, or the caller's exchange, withholds the number (Q.931, octet 3a: bits 6 and 7)."""
    return bool(int(_digits(presentation, 4) or 0) & 0x60)


def _moment(text: str, now: int) -> int:
    """A time (microseconds) that was written to the channel; 0 when there is none, or none of the last day."""
    at = int(_digits(text, 20) or 0)
    return at if now - _LONGEST <= at <= now else 0
