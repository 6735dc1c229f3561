"""One caller's session: walks `ivr.script` over one AGI connection, and does what the floor decides.

A normal call costs Asterisk and us five commands: two prompts, `MSet`, music, `Dial` (four when an agent is idle).

`Dial` runs on the caller's own channel, so that a talk lives inside Asterisk and outlives this program. Its options:
`m` music until the agent answers, so that a caller whose offers come to nothing hears one unbroken wait; `i` no
forwarding by the agent's phone, for the floor decides where a call goes; `I` nothing about the agent reaches the
citizen's display (R58). Without `g`, a `Dial` returns -1 when a talk is over or the caller is gone: both times there is
nothing left to do but to close, and the dialplan hangs up. 0 means that nobody answered.
"""

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
    CallSilent,
    CallTransferred,
    Fact,
    OfferEnded,
)
from facts.causes import WITHDRAWN
from facts.endpoints import OUTBOUND
from facts.ids import is_attempt
from facts.numbers import AGENT_NUMBER, normalise
from facts.terms import CallId, OfferReason, Release
from facts.times import SECOND
from ivr import script
from ivr.connection import GoneError, Line
from ivr.phrase_file import seconds
from ivr.phrases import in_language
from ivr.reception import Receive
from ivr.silence import hears, speaks

log = structlog.get_logger(__name__)

LEFT = "queue"
"""`HL_TARGET` of a caller who spoke after his agent had gone: he waits in his queue again (extensions.conf)."""

_SOONER = 0.004
"""Seconds before a sound's end at which it is over for us: Asterisk has sent the last 20 ms of it by then, a timer is
late by up to one millisecond, and on an idle machine two programs take a few more to wake up."""

DIALLED = "dialled"
"""How the session of a call ends that went the usual way: `Dial` was left to Asterisk."""

_OUTSIDE_RINGS = 60.0
"""Seconds that an outside number is rung."""


class Desk(Protocol):
    """What a session needs of `acd.desk.Desk`."""

    def post(self, *facts: Fact) -> None:
        """Take facts of one moment; what follows from them is commanded before this returns."""

    def attach(self, call: CallId, session: "CallSession") -> None:
        """From now on the session carries out what is decided for the call."""

    def detach(self, call: CallId, session: "CallSession") -> None:
        """The session ends."""

    def ahead(self, call: CallId) -> int:
        """How many callers will be offered before this one."""

    def staffed(self, call: CallId) -> bool:
        """Whether anybody is signed in who may answer this call."""

    def call_colleague(self, agent: str, colleague: str) -> str:
        """For `ivr.colleague`: why he cannot be rung now; when empty, he counts as busy from now on."""


class InboundFirst(Protocol):
    """What a session needs of `telephony.outbound.Outbound`: how a citizen gets an agent whose callback yielded."""

    def line_for(self, call: CallId, agent: str) -> str:
        """The channel of an agent who stays on the line for this citizen, else empty."""

    def goes_first(self, call: CallId) -> bool:
        """Whether this citizen's next ring is one for which a callback has yielded. Asked once for each."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The settings of a session, in seconds. `first_word`: how long a caller has, where silence is detected."""

    announce_every: float = 30.0
    first_word: float = 5.0


@dataclass(frozen=True, slots=True)
class _CallBack:
    """He pressed the key."""


@dataclass(frozen=True, slots=True)
class _Outside:
    number: str


@dataclass(frozen=True, slots=True)
class _Ring:
    agents: tuple[str, ...]
    ring_for: float


class CallSession:
    """Speaks for one caller. The desk calls `ring` and `release` at any time; all such calls return at once."""

    def __init__(
        self,
        line: Line,
        environment: Mapping[str, str],
        *,
        desk: Desk,
        clock: Callable[[], int],
        loop_time: Callable[[], float],
        pace: Pace,
        broken_prompt: Callable[[str], None],
        receive: Receive,
        callbacks: InboundFirst | None = None,
        sounds: Path | None = None,
    ) -> None:
        self.call: CallId = environment.get("agi_uniqueid", "")
        self._line = line
        self._desk = desk
        self._clock = clock
        self._loop_time = loop_time
        self._pace = pace
        self._broken_prompt = broken_prompt
        self._callbacks = callbacks
        self._sounds = sounds
        self._order: _Ring | _Outside | _CallBack | Release | None = None
        self._waiting = False
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
        """Ring the agents' phones for at most `ring_for` seconds; a prompt that plays is cut short.

        While an earlier `Dial` has not come back yet, it follows that one. The end is posted as a fact, unless the
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
            self._line.interrupt()

    def send_outside(self, number: str) -> None:
        """Connect the caller to an outside number: his queue overflows."""
        self._drop_ring()
        self._order = _Outside(number)
        self._line.interrupt()

    def release(self, reason: Release) -> None:
        """Say the farewell that fits and hang up."""
        self._drop_ring()
        self._order = reason
        self._line.interrupt()

    # --- what the server calls

    def press(self, key: str) -> None:
        """The caller pressed a key: the one of his queue means that he wants to be called back, others nothing."""
        wanted = self._reception.callback_key
        if self._waiting and self._order is None and wanted and key == wanted:
            self._order = _CallBack()
            self._line.interrupt()

    # --- the session itself

    async def run(self) -> None:
        """Live through the call. Returns when there is nothing left to do here: then close the line."""
        began = self._loop_time()
        try:
            how = await self._live()
        except GoneError as gone:
            how = str(gone)
        finally:
            self._leave()
        # What a call usually comes to is in the diary; the log is for the rest.
        tell = log.debug if how == DIALLED else log.info
        tell(
            "session.ended", call_id=self.call, how=how, seconds=round(self._loop_time() - began, 3)
        )

    async def _live(self) -> str:
        self._desk.post(self._arrival())
        if self._target:
            await self._handed_over()
        elif self._queued_at:
            await self._line.ask("EXEC MSet", "HL_TRIES=0")
            self._join(CallReturned(self._clock(), self.call, self._queue, self._queued_at))
        else:
            if (refusal := self._reception.refusal) is not None:
                self._desk.post(CallReleased(self._clock(), self.call, refusal))
                await self._say_farewell(refusal)
                return str(refusal)
            *opening, last = script.opening(self._number)
            await self._say(opening)
            lasts = 0.0 if self._reception.detect_silence else self._lasts(last) - _SOONER
            if lasts > 0:
                # Between the last word and the agent's phone stands nothing then but the decision.
                at = await self._keep_place(self._clock() + round(lasts * SECOND))
                await self._play(last, lasts)
            else:
                await self._say([last])
                if self._reception.detect_silence and not await self._spoke():
                    return "silent"
                at = await self._keep_place(self._clock())
            self._join(CallQueued(min(at, self._clock()), self.call, self._queue))

        # A new caller whom nobody is there to answer is told so at once, not after half a minute.
        new = not (self._queued_at or self._target)
        tell_at_once = new and not self._desk.staffed(self.call)
        announce_at = self._loop_time() + (0 if tell_at_once else self._pace.announce_every)
        music = False
        while True:
            match self._order:
                case _Ring() as ring:
                    self._order = None
                    if not await self._dial(ring):
                        return DIALLED
                    music = False
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
                    await self._line.ask("SET MUSIC ON")
                    music = True
                case None:
                    await self._line.idle(announce_at - self._loop_time())

    def _arrival(self) -> CallArrived:
        if not self._origin:
            return CallArrived(self._arrived_at, self.call, self._number, self._caller)
        return CallArrived(self._arrived_at, self.call, "", self._caller, self._origin, self._queue)

    async def _handed_over(self) -> None:
        """His agent has transferred him: `HL_TARGET` says to whom, and Asterisk itself who did it.

        Or the agent hung up while he was silent (R20), and now he has spoken: who that was, `TalkEnded` tells.
        """
        by, to = "", ""
        if self._target != LEFT:
            told = await self._line.ask("GET VARIABLE", "BLINDTRANSFER")
            found = _AGENTS_CHANNEL.fullmatch(told.data)
            by, to = found[1] if found is not None else "", self._target
        self._join(CallTransferred(self._clock(), self.call, by, to))
        # Only now: whatever ends this program before, the next one knows where he was sent. One without a place, who
        # comes from a callback, has one from now on.
        place = "" if self._queued_at else f"{self._places(self._arrived_at)},"
        await self._line.ask("EXEC MSet", f"{place}HL_TRIES=0,HL_TARGET=")

    async def _announce(self) -> None:
        staffed = self._desk.staffed(self.call)
        # Nobody is offered what cannot be done: without his number he cannot be called. One who comes from a callback
        # has just been called, and the keys of his line are not read.
        key = self._reception.callback_key if self._caller and not self._origin else ""
        ahead = self._desk.ahead(self.call)
        await self._say(script.announcement(ahead, staffed=staffed, callback_key=key))

    async def _keep_place(self, at: int) -> int:
        """Keep his place on the channel: a caller who outlives this program gets it back from the next one."""
        await self._line.ask("EXEC MSet", f"{self._places(at)},HL_TRIES=0")
        return at

    def _places(self, at: int) -> str:
        return f"HL_ARRIVED={self._arrived_at},HL_QUEUED={at},HL_QUEUE={self._queue}"

    async def _spoke(self) -> bool:
        """Whether the caller says anything (R20); if not, he has heard the farewell."""
        if await hears(self._line, self._pace.first_word):
            return True
        if await speaks(self._line, self._reception.language):
            return True
        self._desk.post(CallSilent(self._clock(), self.call))
        await self._line.ask("SET VARIABLE", "HL_DONE", "1")
        for sound in script.SILENT_FAREWELL:
            await self._play(sound)
        return False

    async def _call_back(self) -> bool:
        """He wants to be called back, and keeps his place. Returns whether that ends the call."""
        self._order = None
        if not self._caller:
            await self._say(script.CALLBACK_WITHHELD)
            return False
        now = self._clock()
        # In one: between the two he would wait twice, and might be served twice.
        self._desk.post(CallbackAsked(now, self.call), CallDetached(now, self.call))
        self._waiting = False
        await self._line.ask("SET VARIABLE", "HL_DONE", "1")
        for sound in script.CALLBACK_CONFIRMED:
            await self._play(sound)
        return True

    def _join(self, fact: CallQueued | CallReturned | CallTransferred) -> None:
        if self._line.gone:
            raise GoneError(
                self._line.gone
            )  # he left with the last answer: nobody is to be rung for him
        # Attached before the fact is posted: an idle agent is offered within that very call.
        self._waiting = True
        self._desk.attach(self.call, self)
        self._desk.post(fact)

    async def _dial(self, ring: _Ring) -> bool:
        """Ring the agents. Returns whether the caller still waits; False when he talked or is gone."""
        if self._callbacks is not None:
            if line := self._callbacks.line_for(self.call, ring.agents[0]):
                return await self._fetch(line)
            if self._callbacks.goes_first(self.call):
                # On the agent's display: this is why his callback was cut short.
                await self._line.ask("EXEC MSet", f"CALLERID(name)={INBOUND_FIRST}")
        # A time-out of 0 would mean "for ever".
        seconds = max(ring.ring_for, 0.1)
        phones = "&".join(f"PJSIP/{agent}" for agent in ring.agents)
        reply = await self._line.ask("EXEC Dial", f"{phones},{seconds:.3f},miI", limit=None)
        if reply.result == "-1":
            self._waiting = False
            return False
        if reply.result != "0":
            # No such application, or a dead channel: let the dialplan and its fallback queue have the call.
            log.error(
                "dial.failed",
                call_id=self.call,
                agents=ring.agents,
                code=reply.code,
                result=reply.result,
            )
            self._end_offers(ring.agents, OfferReason.UNREACHABLE)
            raise GoneError("dial failed")
        why = await self._line.ask("GET FULL VARIABLE", "${DIALSTATUS} ${HANGUPCAUSE}")
        status, _, cause = why.data.partition(" ")
        if status == "ANSWER":
            self._waiting = False
            return False
        reason = (
            OfferReason.WITHDRAWN
            if cause == str(WITHDRAWN)
            else _REASONS.get(status, OfferReason.UNREACHABLE)
        )
        self._end_offers(ring.agents, reason)
        return True

    async def _fetch(self, line: str) -> bool:
        """Talk to an agent who has stayed on his line. Returns as `_dial` does; facts come from AMI alone."""
        # For a dialplan that outlives this program: a talk took place.
        await self._line.ask("SET VARIABLE", "DIALSTATUS", "ANSWER")
        # Bridge, unlike Dial, would let the music go on. x: the agent's line ends with the talk.
        await self._line.ask("SET MUSIC OFF")
        await self._line.ask("EXEC Bridge", f"{line},x", limit=None)
        result = await self._line.ask("GET VARIABLE", "BRIDGERESULT")
        if result.data == "SUCCESS":
            self._waiting = False
            return False
        log.warning("line.lost", call_id=self.call, result=result.data)
        await self._line.ask("SET VARIABLE", "DIALSTATUS", "")
        return True

    async def _dial_outside(self, number: str) -> str:
        """Connect him to the outside number.

        When nobody answers there, he hears that and the call ends; one whom an agent has sent there waits again.
        """
        self._order = None
        reply = await self._line.ask(
            "EXEC Dial", f"PJSIP/{number}@{OUTBOUND},{_OUTSIDE_RINGS:g},mI", limit=None
        )
        if reply.result == "0" and number == self._target:
            now = self._clock()
            self._desk.post(CallReturned(now, self.call, self._queue, self._queued_at or now))
            return ""
        if reply.result == "0":
            self._desk.post(CallReleased(self._clock(), self.call, Release.TIMED_OUT))
            await self._say_farewell(Release.TIMED_OUT)
            return "nobody outside"
        self._waiting = False
        return "outside"

    async def _say(self, sounds: list[str]) -> None:
        """Play the sounds one after the other, until an order comes."""
        for sound in sounds:
            if self._order is not None:
                return
            await self._play(sound)

    async def _say_farewell(self, reason: Release) -> None:
        # First, so that he does not come back from the dialplan; it also ends a prompt that plays.
        await self._line.ask("SET VARIABLE", "HL_DONE", "1")
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
            reply = await self._line.play(said, seconds)
            if reply is None or reply.result != "-1" or reply.endpos:
                return
            # The file is missing, or the caller left at this very moment; then the next command finds nobody.
            await self._line.ask("NOOP")
            self._broken_prompt(said)

    def _leave(self) -> None:
        self._over = True
        self._drop_ring()
        self._desk.detach(self.call, self)
        if self._waiting:
            self._desk.post(CallDetached(self._clock(), self.call))

    def _drop_ring(self) -> None:
        """Give back agents whose phones were to ring and never did."""
        ring, self._order = self._order, None
        if isinstance(ring, _Ring):
            self._end_offers(ring.agents, OfferReason.CALLER_GONE)

    def _end_offers(self, agents: tuple[str, ...], reason: OfferReason) -> None:
        now = self._clock()
        for agent in agents:
            self._desk.post(OfferEnded(now, self.call, agent, reason))


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
    """Whether the caller, or his exchange, does not want his number to be shown (Q.931, octet 3a: bits 6 and 7)."""
    return bool(int(_digits(presentation, 4) or 0) & 0x60)


def _moment(text: str, now: int) -> int:
    """A time that the channel has kept for us; 0 when it has none, or none of the last day."""
    at = int(_digits(text, 20) or 0)
    return at if now - _LONGEST <= at <= now else 0
