"""Callbacks on the wire: places them, cancels them, and lets citizens go first (呼入优先, R7).

An attempt is a channel to the agent's phone that the controller originates under the attempt's own call id. When the
agent has picked up, the dialplan's context `callback` records the call and asks `ivr.callback`, which looks up the
citizen's number here and dials it on the agent's channel. What happens on the wire comes back as facts of
`telephony.channels`. This module reports facts only about attempts for which Asterisk never made a channel.

**A callback yields** in one step: the agent's channel is hung up, which cancels the citizen's ringing. As soon as
Asterisk says that the channel is gone (or after `GONE_WITHIN`), the waiting citizen is offered to that agent. A phone
that still holds a call would answer the new one with 486. With `stay_on_line`, an agent who has picked up already keeps
the channel: it is redirected, which ends the dialling, the agent hears a tone, and the citizen's session fetches it.

**An answered callback is never cut.** Just before the action is sent, this module checks once more whether it is
answered. Between this check and Asterisk's own, the action is on its way. If the citizen answers in that moment, both
facts are reported, the floor counts a race, and that citizen is called back first.

**An answer that crosses our CANCEL on the wire** is in no event: Asterisk answers that 200 with ACK and BYE. Here the
copies of SIP messages are the witness (`telephony.hep`, `telephony.answers`). The SIP Call-ID of each dialled leg is
asked for when the leg begins. A 2xx for a leg that was cut is reported as `CallbackAnswered`, like an answer that AMI
tells, once Asterisk has told of the leg's end. Without copies (the port is taken) such a race is not seen.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from acd.callbacks.task import State, Task
from acd.commands import PlaceCallback, Yield
from acd.gate import Refusal
from acd.rules.model import Rules
from base.background import comes_true, spawn
from base.bounded import remember
from facts import (
    CallbackAnswered,
    CallbackEnded,
    CallbackSpared,
    CallEnded,
    Fact,
    OfferRinging,
    OwnCallEnded,
)
from facts.causes import WITHDRAWN
from facts.masking import mask
from facts.numbers import dialable
from facts.terms import CallId
from telephony import actions
from telephony.answers import sign
from telephony.channels import Calls
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown
from telephony.switch import Actions

log = structlog.get_logger(__name__)

GONE_WITHIN = 0.5
"""Seconds that a yielding agent's old leg may take to vanish before the phone is rung anyway.

Usually it takes 3 ms, on a busy machine 50 and more, and longer while two channels are being connected. A phone that
takes one call at a time refuses a ring that comes too early, and its agent would seem not to respond.
"""

HEARD_WITHIN = 0.3
"""Seconds for which an attempt that is cut waits for the first sign of the agent's phone.

Before that there is no CANCEL (RFC 3261, 9.1). Asterisk's channel would be gone, but the phone would be rung for the
citizen while it still rings for the callback, and refuse.
"""

APPEARS_WITHIN = 2.0
"""Seconds within which Asterisk makes the channel of an attempt. It reports nothing when it cannot."""

KEPT_WITHIN = 2.0
"""Seconds after which an agent who stayed on the phone and was not connected is released."""

ANSWERED_WITHIN = 0.1
"""Seconds in which Asterisk reports an answer whose 200 it has received. Usually it takes 1 ms."""

PICK_UP = (
    "PJSIP_HEADER(add,Call-Info)=<sip:localhost>;answer-after=0,"
    "PJSIP_HEADER(add,Alert-Info)=<http://localhost>;info=alert-autoanswer;delay=0"
)
"""Variables of AMI: the INVITE tells a phone to pick up by itself. No RFC has it; desk phones know one or both."""

CUT_WITHIN = 2.0
"""Seconds in which Asterisk reports the end of a leg that was cut, before its late answer is taken for a race."""

FOLLOWED = 2000
"""Legs whose answers are listened for at most. The oldest are forgotten (memory)."""

_ASKED = 10
"""Times that a leg's SIP Call-ID is asked for at most."""

_LOOK_EVERY = 0.01


@dataclass(frozen=True, slots=True)
class AttemptOrder:
    """What to dial for an attempt: the citizen's number, the `caller` that they see, `rings` in seconds, the queue."""

    number: str
    caller: str
    rings: float
    queue: str


class Outbound:
    """The attempts of one node. Implements `acd.desk.Outbound`; everything public returns at once.

    `calls` reads the messages of `link`. `report` is the desk's, `rules` gives the rules that hold now. `numbers` are
    the hotline's own, `rings` the seconds for which a citizen's phone rings. Not `enabled`: outgoing calls are
    impossible, and nothing is placed. `refusal`: the gate, asked again before an agent and before a citizen is rung.
    `picks_up`: whether the agent's phone is told to pick up this task's call by itself.
    """

    def __init__(
        self,
        link: Actions,
        calls: Calls,
        *,
        report: Callable[..., None],
        rules: Callable[[], Rules],
        clock: Callable[[], int],
        numbers: Collection[str],
        rings: float,
        enabled: bool = True,
        refusal: Callable[[str], Refusal | None] = lambda _: None,
        picks_up: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._link = link
        self._calls = calls
        self._report = report
        self._rules = rules
        self._clock = clock
        self._numbers = tuple(numbers)
        self._rings = rings
        self._enabled = enabled
        self._refusal = refusal
        self._picks_up = picks_up
        self._placed: dict[CallId, PlaceCallback] = {}
        self._unwanted: set[CallId] = set()
        self._leaving: dict[CallId, asyncio.Event] = {}
        self._clearing: dict[str, set[asyncio.Task[None]]] = {}
        self._kept: dict[tuple[CallId, str], _Kept] = {}
        self._first: set[CallId] = set()
        self._spared: dict[CallId, str] = {}
        self._followed: OrderedDict[CallId, _Followed] = OrderedDict()
        self._sip_calls: OrderedDict[str, CallId] = OrderedDict()
        if not enabled:
            log.warning(
                "outbound.off",
                effect="callbacks stay due, and no call overflows to an outside number",
                remedy="set HOTLINE_OUTBOUND to the operator's SIP address, or write trunks.toml",
            )

    def enable(self, *, enabled: bool) -> None:
        """Whether there is a way out from now on."""
        self._enabled = enabled

    # --- what the desk commands

    def place(self, wanted: PlaceCallback) -> None:
        """Ring the agent's phone, then dial the citizen. `CallbackEnded` follows in any case."""
        self._placed[wanted.call] = wanted
        self.when_clear((wanted.agent,), lambda: self._begin(wanted))

    def cancel(self, call: CallId, agent: str) -> None:
        """Hang up an attempt that is not answered. `CallbackEnded` follows if it still existed."""
        self._clear(agent, self._cancel(call), "callback cancelled")

    def give_way(self, wanted: Yield, ring: Callable[[], None]) -> None:
        """Cancel the attempt, then at once `ring` the agent for the citizen, or keep the agent's channel (R7)."""
        self._clear(wanted.agent, self._give_way(wanted, ring), "inbound first")

    def when_clear(self, agents: Iterable[str], then: Callable[[], None]) -> None:
        """Ring these agents by `then`: at once, or when an attempt that is being cut is gone from their phones."""
        if pending := [one for agent in agents for one in self._clearing.get(agent, ())]:
            spawn(self._after(pending, then), "phone falls silent")
        else:
            then()

    # --- what the citizens' and the attempts' sessions ask

    def attempt(self, call: CallId) -> AttemptOrder | None:
        """What the session of this attempt must dial; None when it is not wanted (any more), or not ours."""
        wanted = self._placed.get(call)
        if wanted is None or call in self._unwanted or not self._enabled:
            return None
        if not dialable(wanted.number):
            log.error("callback.undiallable", call_id=call, number_dialled=mask(wanted.number))
            return None
        if self._refused(wanted):
            return None
        return AttemptOrder(wanted.number, self._number_of(wanted.queue), self._rings, wanted.queue)

    def kept_channel(self, call: CallId, agent: str) -> str:
        """The channel of an agent who stays on the phone for this citizen; empty when the phone must be rung."""
        kept = self._kept.get((call, agent))
        return kept.channel if kept is not None else ""

    def keep_longer(self, call: CallId, agent: str, wait: float) -> None:
        """This citizen can be connected only in `wait` seconds: the recording notice must be over."""
        if (kept := self._kept.get((call, agent))) is not None:
            kept.until += wait

    def goes_first(self, call: CallId) -> bool:
        """Whether this citizen's next ring is one for which a callback has yielded. Asked once for each."""
        first = call in self._first
        self._first.discard(call)
        return first

    # --- what the link tells

    def take(self, facts: Iterable[Fact]) -> None:
        """Take the facts that `calls` gave. The desk knows them too, or will once CEL has been read."""
        for fact in facts:
            if isinstance(fact, CallbackEnded):
                self._ended(fact)
            elif isinstance(fact, OfferRinging):
                kept = self._kept.get((fact.call, fact.agent))
                if kept is not None:
                    kept.ready = True
            elif isinstance(fact, CallEnded):
                self._first.discard(fact.call)
            elif isinstance(fact, CallbackAnswered):
                self._known(fact.call)
                if fact.call in self._leaving:
                    log.warning("callback.raced", call_id=fact.call, agent=fact.agent)

    def follow(self, call: CallId, channel: str) -> None:
        """A citizen begins to be dialled on this channel: learn by which SIP Call-ID its answer will be known."""
        attempt = self._calls.attempt(call)
        if attempt is None or attempt.answered:
            return
        if call not in self._followed:
            leg = _Followed(attempt.callback, attempt.agent)
            remember(self._followed, call, leg, FOLLOWED)
        spawn(self._learn(call, channel), "callback followed")

    def hear(self, at: int, text: bytes) -> None:
        """Take the copy of a SIP message that came or went `at`. An answer that crossed our CANCEL is reported (R7)."""
        if not self._sip_calls or (heard := sign(text)) is None:
            return
        call = self._sip_calls.get(heard.sip_call, "")
        leg = self._followed.get(call)
        if leg is None:
            return
        if not heard.answer:
            leg.cut = True
        elif not leg.answered_at:
            leg.answered_at = at
            if leg.cut or not self._calls.dialling(call):
                spawn(self._race(call, leg), "answer crossed")

    def look_after(self, tasks: Iterable[Task]) -> set[CallId]:
        """Tasks of before a start: an attempt that does not exist has ended. Gives the attempts of all of them."""
        held = {task.attempt: task for task in tasks if task.attempt}
        for call, task in held.items():
            if not self._exists(call):
                failure = "" if task.state is State.TALKING else "lost"
                self._finish(CallbackEnded(self._clock(), task.id, call, task.agent, failure))
        return set(held)

    def caught_up(self, tasks: Iterable[Task]) -> None:
        """After a start or a lost link: `calls` knows what exists again, `tasks` are what the floor holds.

        Attempts that are gone have ended. An attempt that the floor does not know may talk on, but not dial on.
        """
        held = self.look_after(tasks)
        for attempt in self._calls.attempts():
            if attempt.citizen:
                self.follow(attempt.call, attempt.citizen)
            if attempt.call in held:
                continue
            if attempt.answered:
                self._spared[attempt.call] = attempt.agent
                self._known(attempt.call)
                self._report(
                    CallbackSpared(self._clock(), attempt.callback, attempt.call, attempt.agent)
                )
            else:
                spawn(self._hang_up(attempt.call), "callback unknown")
        for call in set(self._placed) - held:
            del self._placed[call]

    # --- one call at a time

    def _clear(self, agent: str, work: Coroutine[Any, Any, None], name: str) -> None:
        """Whoever rings this agent waits for the end of `work`: the floor takes them for free meanwhile."""
        task = spawn(work, name)
        pending = self._clearing.setdefault(agent, set())
        pending.add(task)
        task.add_done_callback(pending.discard)

    async def _after(
        self, pending: Collection[asyncio.Task[None]], then: Callable[[], None]
    ) -> None:
        await asyncio.wait(pending, timeout=GONE_WITHIN)
        then()

    # --- placing

    def _begin(self, wanted: PlaceCallback) -> None:
        spawn(self._originate(wanted), "callback")

    async def _originate(self, wanted: PlaceCallback) -> None:
        if wanted.call in self._unwanted:
            self._fail(wanted, "withdrawn")
            return
        if not self._enabled:
            self._fail(wanted, "unreachable")
            return
        if self._refused(wanted):
            self._fail(wanted, "withdrawn")
            return
        try:
            await self._link.act(self._origination(wanted))
        except LinkDown:
            self._fail(wanted, "lost")
            return
        except ActionRefused as refusal:
            log.error("callback.refused", call_id=wanted.call, answer=str(refusal))
            self._fail(wanted, "agent_unreachable")
            return
        except Unknown as unknown:
            log.warning("callback.unknown", call_id=wanted.call, error=str(unknown))
        if not await comes_true(
            lambda: wanted.call not in self._placed or self._exists(wanted.call), APPEARS_WITHIN
        ):
            # No phone is registered for this agent, or it went away just now.
            withdrawn = wanted.call in self._unwanted
            self._fail(wanted, "withdrawn" if withdrawn else "agent_unreachable")
        if wanted.call in self._unwanted and self._exists(wanted.call):
            await self._hang_up(wanted.call)

    def _refused(self, wanted: PlaceCallback) -> bool:
        """Whether the gate is shut for this number now. The floor closes the task when it asks next."""
        refusal = self._refusal(wanted.number)
        if refusal is not None:
            log.warning("callback.not_dialled", call_id=wanted.call, why=refusal.why.value)
        return refusal is not None

    def _origination(self, wanted: PlaceCallback) -> Mapping[str, str]:
        ring_for = self._rules().queue(wanted.queue).ring_time
        return {
            "Action": "Originate",
            "Channel": f"PJSIP/{wanted.agent}",
            "ChannelId": wanted.call,
            "Context": "callback",
            "Exten": "s",
            "Priority": "1",
            "Timeout": str(round(ring_for * 1000)),
            # The agent's display shows it. The number is masked here; the screen shows it in full.
            "CallerID": f'"回访 {mask(wanted.number.removeprefix("+86"))}" <{self._number_of(wanted.queue)}>',
            "Async": "true",
            **({"Variable": PICK_UP} if self._picks_up(wanted.callback) else {}),
        }

    def _number_of(self, queue: str) -> str:
        """The hotline's number that a citizen of this queue sees."""
        known = self._rules().numbers
        own = (number for number in self._numbers if number in known)
        return next((one for one in own if known[one].queue == queue), self._numbers[0])

    def _fail(self, wanted: PlaceCallback, failure: str) -> None:
        """Report the end of this attempt here, because no channel exists that would."""
        if wanted.call in self._placed:
            now = self._clock()
            self._finish(CallbackEnded(now, wanted.callback, wanted.call, wanted.agent, failure))

    def _finish(self, ended: CallbackEnded) -> None:
        self._report(ended)
        self._ended(ended)

    # --- cancelling and yielding

    async def _cancel(self, call: CallId) -> None:
        await self._until_told(call)
        attempt = self._calls.attempt(call)
        if attempt is not None and attempt.answered:
            return
        await self._hang_up(call)
        await comes_true(lambda: call not in self._placed and not self._exists(call), GONE_WITHIN)

    async def _give_way(self, wanted: Yield, ring: Callable[[], None]) -> None:
        await self._until_told(wanted.cancel)
        attempt = self._calls.attempt(wanted.cancel)
        if attempt is not None and attempt.answered:
            self._spare(wanted)
            return
        if attempt is not None and attempt.picked_up and wanted.stay_on_line:
            await self._keep_channel(wanted, attempt.channel, ring)
            return
        self._first.add(wanted.call)
        if attempt is not None or wanted.cancel in self._placed:
            await self._vacate(wanted)
        ring()

    async def _vacate(self, wanted: Yield) -> None:
        """Hang the attempt up and wait until it is gone, for `GONE_WITHIN` at most."""
        leaving = self._leaving[wanted.cancel] = asyncio.Event()
        try:
            async with asyncio.timeout(GONE_WITHIN):
                await self._hang_up(wanted.cancel)
                await leaving.wait()
        except TimeoutError:
            log.warning("callback.lingers", call_id=wanted.cancel, agent=wanted.agent)
        finally:
            del self._leaving[wanted.cancel]

    def _spare(self, wanted: Yield) -> None:
        """The citizen has answered since the floor decided: do not cut the talk. The agent is busy until its end."""
        now = self._clock()
        log.warning("callback.spared", call_id=wanted.cancel, agent=wanted.agent)
        self._spared[wanted.cancel] = wanted.agent
        self._known(wanted.cancel)
        self._report(CallbackSpared(now, wanted.callback, wanted.cancel, wanted.agent))

    async def _keep_channel(self, wanted: Yield, channel: str, ring: Callable[[], None]) -> None:
        """Redirect the agent's channel to the tone, then tell the citizen's session to fetch it."""
        call, agent = wanted.call, wanted.agent
        loop_time = asyncio.get_running_loop().time
        kept = self._kept[call, agent] = _Kept(channel, loop_time() + KEPT_WITHIN)
        self._calls.keep_channel(wanted.cancel, call)
        self._placed.pop(wanted.cancel, None)
        self._cut(wanted.cancel)
        try:
            await self._link.act(actions.redirect(channel, "inbound-first"))
            while self._calls.leg_channel(call, agent, answered=True) != channel:
                if loop_time() > kept.until or self._calls.caller_gone(call):
                    await self._end(channel)
                    return
                if not self._calls.leg_channel(call, agent, answered=False):
                    return  # the agent has hung up
                if kept.ready and not kept.fetched:
                    kept.fetched = True
                    ring()
                await asyncio.sleep(_LOOK_EVERY)
        except LinkError as error:
            # The end of the offer will tell what became of the channel, now or when the link is back.
            log.warning("inbound_first.line_lost", call_id=call, agent=agent, error=str(error))
        finally:
            del self._kept[call, agent]

    async def _hang_up(self, call: CallId) -> None:
        """End an attempt. If its channel does not exist yet, it is ended as soon as it does."""
        attempt = self._calls.attempt(call)
        if attempt is None:
            if call in self._placed:
                self._unwanted.add(call)
            return
        if not attempt.heard_of:
            self._unwanted.add(call)  # nobody is dialled for it meanwhile
            await comes_true(lambda: self._heard_of(call), HEARD_WITHIN)
        self._cut(call)
        try:
            await self._end(attempt.channel)
        except LinkError as error:
            log.warning("callback.not_cancelled", call_id=call, error=str(error))

    async def _end(self, channel: str) -> None:
        with contextlib.suppress(ActionRefused):  # it is gone already
            await self._link.act(actions.hang_up(channel, WITHDRAWN))

    # --- answers that cross our cancel

    async def _learn(self, call: CallId, channel: str) -> None:
        sip_call = ""
        try:
            for _ in range(_ASKED):
                sip_call = await self._sip_call(channel)
                if sip_call:
                    break
                # Asterisk tells of a channel some microseconds before it is one of SIP, and then has no answer.
                await asyncio.sleep(_LOOK_EVERY)
        except LinkError as error:
            log.info("callback.not_followed", call_id=call, error=str(error))
            return
        if not sip_call:
            log.warning("callback.not_followed", call_id=call, error="no SIP Call-ID")
            return
        remember(self._sip_calls, sip_call, call, FOLLOWED)

    async def _sip_call(self, channel: str) -> str:
        wanted = {"Channel": channel, "Variable": "CHANNEL(pjsip,call-id)"}
        return (await self._link.act({"Action": "Getvar", **wanted})).get("Value", "")

    async def _until_told(self, call: CallId) -> None:
        """If this attempt's answer was seen on the wire, wait until AMI tells of it: what is answered is not cut."""
        leg = self._followed.get(call)
        if leg is not None and leg.answered_at and not leg.known:
            await comes_true(lambda: leg.known or not self._calls.dialling(call), ANSWERED_WITHIN)

    def _cut(self, call: CallId) -> None:
        leg = self._followed.get(call)
        if leg is not None:
            leg.cut = True
            if leg.answered_at:
                spawn(self._race(call, leg), "answer crossed")

    async def _race(self, call: CallId, leg: "_Followed") -> None:
        """Report the answer of a leg that was cut, once it is certain that AMI does not tell of it."""
        over = await comes_true(lambda: leg.known or not self._calls.dialling(call), CUT_WITHIN)
        if over and not leg.known:
            self._known(call)
            log.warning("callback.raced", call_id=call, agent=leg.agent)
            self._report(CallbackAnswered(leg.answered_at, leg.callback, call, leg.agent))

    def _known(self, call: CallId) -> None:
        """The floor knows of this attempt's answer."""
        if (leg := self._followed.get(call)) is not None:
            leg.known = True

    # --- ends

    def _ended(self, fact: CallbackEnded) -> None:
        self._placed.pop(fact.call, None)
        self._unwanted.discard(fact.call)
        if (leaving := self._leaving.get(fact.call)) is not None:
            leaving.set()
        if (agent := self._spared.pop(fact.call, "")) != "":
            self._report(OwnCallEnded(fact.at, agent))

    def _heard_of(self, call: CallId) -> bool:
        """Whether the agent's phone has rung for this attempt, or the attempt is over."""
        attempt = self._calls.attempt(call)
        return attempt is None or attempt.heard_of

    def _exists(self, call: CallId) -> bool:
        return self._calls.attempt(call) is not None


@dataclass(slots=True)
class _Kept:
    """The channel of an agent who stays on the phone, `until` when at most (loop time).

    `ready`: the tone is over; `fetched`: the session was told.
    """

    channel: str
    until: float
    ready: bool = False
    fetched: bool = False


@dataclass(slots=True)
class _Followed:
    """A dialled citizen. `cut`: by us, or by Asterisk's CANCEL. `answered_at`: a 200 was seen. `known`: it is told."""

    callback: int
    agent: str
    cut: bool = False
    answered_at: int = 0
    known: bool = False
