"""Tells an agent's phone that died in a talk from one that is silent. Pure: what was read in, what to do out.

A phone that sends no sound (RTP) is muted, suppresses silence, holds the talk, or is dead. Silence alone never ends a
talk. What tells them apart:

  - sound: how many packets have come (`CHANNEL(rtcp,all)` in Asterisk), and at what rate;
  - RTCP (RFC 3550): a muted phone still reports every few seconds on what it hears;
  - OPTIONS: whether a phone that is silent answers at all (AMI PJSIPQualify);
  - the address: a phone that was reloaded registers with another one;
  - a request within the call (re-INVITE): a phone that was started again does not know the call, and says 481, or does
    not hear it. It is sent after a registration, and once in each silence in which no report comes either;
  - the registration's Call-ID: a phone that only has another address keeps it (RFC 3261, 10.2.4). It is not asked
    within the call, for Asterisk knows its old address, and ends a call in which nobody answers.

So a phone has died when

  - its sound was steady, and stopped, and within seconds the agent has registered with a new address, or has no
    address any more. It does not answer within the call either: `STOPPED` after the last packet;
  - nothing at all has come for `after` seconds, and no phone of the agent answers OPTIONS, asked twice;
  - nothing has come since the address is a new one, nor an answer within the call (`telephony.in_call`).

If nothing decides, the session timers do (RFC 4028, `telephony.realtime`): Asterisk asks within the call by itself.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from facts.times import SECOND
from telephony.channels import Talk
from telephony.in_call import InCallAnswer

READ_FIRST = 2 * SECOND
READ_AGAIN = SECOND
READ_EVERY = 3 * SECOND
"""When a talk's sound is read: after its beginning, once more, and from then on."""
ALERT_EVERY = SECOND // 4
SUSPECT_EVERY = SECOND // 2
SILENT_EVERY = 2 * SECOND
"""The same just after a registration, and while the sound is away: of a steady phone, and of one that pauses."""
ALERT_FOR = 3 * SECOND
"""After the agent's phone has registered, its sound is read as if it were away."""
STOPPED = SECOND
"""After so long without a packet, steady sound has stopped."""
RELOAD_WITHIN = 5 * SECOND
"""So soon after its last sound, a phone that was reloaded registers."""
ASK_EVERY = 4 * SECOND
ASK_TWICE = 2 * SECOND
"""How long a phone that did not answer OPTIONS has for a second one."""
SETTLED = SECOND // 5
"""After so long, what Asterisk tells of a registration is complete: that it came, and from where."""
_NEAR = SECOND
"""By how much the last sound, whose moment is estimated, may be later than a new address."""
_SHORTFALL = 0.8

_NO_ANSWER = frozenset({InCallAnswer.LATE, InCallAnswer.MISSING, InCallAnswer.UNHEARD})

_NUMBERS = re.compile(r"(\w+)=([0-9.]+)")
_REPORTED = ("rxjitter", "rlp", "rtt")
"""What is in the phone's reports. Asterisk calls the jitter that it measures itself `txjitter`."""


class Step(Enum):
    """What to do about a talk."""

    ASK = "ask"
    """Ask the agent's phone by OPTIONS."""
    ASK_IN_CALL = "ask in call"
    """Send a request within the call: a phone that does not know it says so, and Asterisk ends the leg."""
    END = "end"
    """The phone is dead: end the leg."""


@dataclass(slots=True)
class _Pulse:
    """One talk. Times in microseconds. `sound_at`: the last packet, estimated from their rate.

    `heard_at`: the last packet or report.

    `rate`: packets a second of steady sound, 0 until it is known. `pauses`: the sound has stopped before and came back.

    `registration`: the Call-ID of the one with which the talk began; empty while that is not known.
    """

    talk: Talk
    due: int
    read_at: int
    heard_at: int
    sound_at: int = 0
    packets: int = 0
    reports: str = ""
    rate: float = 0.0
    pauses: bool = False
    suspect: bool = False
    registration: str = ""
    moved_at: int = 0
    signed_in_at: int = 0
    gone_at: int = 0
    asked_at: int = 0
    asked_in_call_at: int = 0


class Pulses:
    """All talks. `after`: seconds of silence after which a phone that does not answer is dead."""

    def __init__(self, after: float) -> None:
        self._after = round(after * SECOND)
        self._pulses: dict[str, _Pulse] = {}

    def due(self, talks: Iterable[Talk], now: int) -> list[Talk]:
        """The talks whose sound is to be read now. `talks` are all that exist."""
        seen = {}
        found = []
        for talk in talks:
            pulse = self._pulses.get(talk.leg)
            if pulse is None:
                pulse = _Pulse(talk, now + READ_FIRST, now, now)
            seen[talk.leg] = pulse
            pulse.talk = talk
            pulse.pauses = pulse.pauses or talk.held
            if talk.there:
                pulse.gone_at = 0
            elif not pulse.gone_at:
                pulse.gone_at = now
            if pulse.due <= now:
                pulse.due = now + READ_EVERY
                found.append(talk)
        self._pulses = seen
        return found

    def next_due(self) -> int | None:
        """When the next of these talks is to be read, if there is one."""
        return min((pulse.due for pulse in self._pulses.values()), default=None)

    def moved(self, agent: str, now: int) -> None:
        """The agent's phone has registered with a new address, or has taken its registration back."""
        for pulse in self._of(agent):
            pulse.moved_at = pulse.due = now

    def signed_in(self, agent: str, now: int) -> None:
        """A phone of the agent has registered, perhaps with the address that it had."""
        for pulse in self._of(agent):
            pulse.signed_in_at = pulse.due = now

    def identify(self, leg: str) -> bool:
        """Whether the registration with which this talk began is still to be asked for, and can be."""
        pulse = self._pulses.get(leg)
        return pulse is not None and not (pulse.registration or pulse.moved_at)

    def registered(self, leg: str, registration: str) -> None:
        """The Call-ID of the registration of that talk's phone, if no other has come meanwhile."""
        if self.identify(leg):
            self._pulses[leg].registration = registration

    def only_moved(self, leg: str, registration: str) -> bool:
        """Whether the phone has another address than at the talk's beginning, and was not started again."""
        pulse = self._pulses.get(leg)
        return pulse is not None and pulse.moved_at > 0 and pulse.registration == registration != ""

    def heard(
        self, leg: str, told: str, now: int, answer: InCallAnswer = InCallAnswer.NONE_DUE
    ) -> list[Step]:
        """What to do after the sound of this leg was read: `told` is what `CHANNEL(rtcp,all)` was at `now`.

        `answer`: what came of the last question within the call.
        """
        pulse = self._pulses.get(leg)
        if pulse is None:
            return []
        numbers = dict(_NUMBERS.findall(told))
        if not numbers.get("rxcount", "").isdigit():
            return []  # the leg has just ended
        _take(pulse, int(numbers["rxcount"]), "".join(numbers.get(n, "") for n in _REPORTED), now)
        steps = self._judge(pulse, now, answer)
        pulse.due = now + _wait(pulse, now)
        return steps

    def _judge(self, pulse: _Pulse, now: int, answer: InCallAnswer) -> list[Step]:
        silent = now - pulse.heard_at
        if silent < SETTLED:
            return []
        stopped = silent >= STOPPED
        since = pulse.heard_at - _NEAR
        moved = pulse.moved_at > since
        gone = pulse.gone_at and now - pulse.gone_at >= ASK_TWICE
        quiet = silent >= self._after
        # Muted for long before that, it may be another phone that registers, or the registration has run out.
        reloaded = moved and pulse.moved_at - pulse.sound_at < RELOAD_WITHIN
        if stopped and reloaded and pulse.rate and not pulse.pauses and answer in _NO_ANSWER:
            return [Step.END]
        if (quiet and gone) or (stopped and moved and answer is InCallAnswer.MISSING):
            return [Step.END]
        steps = []
        back_at = max(pulse.moved_at, pulse.signed_in_at)
        back = since < back_at <= now - SETTLED and pulse.asked_in_call_at < back_at
        # A phone that sends neither sound nor reports: once in each silence.
        mute = quiet and pulse.asked_in_call_at < pulse.heard_at
        waited = 0 < pulse.asked_in_call_at <= now - ASK_EVERY
        once_more = moved and waited and answer is InCallAnswer.LATE
        if back or mute or once_more:
            pulse.asked_in_call_at = now
            steps.append(Step.ASK_IN_CALL)
        asked_long_ago = now - pulse.asked_at >= ASK_EVERY
        again = pulse.gone_at and pulse.asked_at < pulse.gone_at
        if stopped and (asked_long_ago or again):
            pulse.asked_at = now
            steps.append(Step.ASK)
        return steps

    def _of(self, agent: str) -> list[_Pulse]:
        return [pulse for pulse in self._pulses.values() if pulse.talk.agent == agent]


def _wait(pulse: _Pulse, now: int) -> int:
    if now - max(pulse.moved_at, pulse.signed_in_at) < ALERT_FOR:
        # The citizen waits for this answer: read at the very moment when the silence has lasted long enough.
        left = pulse.heard_at + STOPPED - now
        return min(ALERT_EVERY, left) if left > 0 else ALERT_EVERY
    if pulse.suspect:
        return SUSPECT_EVERY if pulse.rate and not pulse.pauses else SILENT_EVERY
    return READ_EVERY if pulse.rate else READ_AGAIN


def _take(pulse: _Pulse, packets: int, reports: str, now: int) -> None:
    """Take in how much has come since the last reading."""
    came, lasted = packets - pulse.packets, (now - pulse.read_at) / SECOND
    rate = came / lasted if lasted > 0 else 0.0
    short = not pulse.rate or rate < pulse.rate * _SHORTFALL
    if came > 0:
        if pulse.suspect and now - pulse.heard_at > STOPPED:
            pulse.pauses = True
        lost = round((lasted - came / pulse.rate) * SECOND) if pulse.rate else 0
        pulse.sound_at = pulse.heard_at = now - max(0, lost)
    pulse.suspect = came <= 0 or (short and pulse.rate > 0)
    if came > 0 and pulse.packets and lasted * SECOND >= SUSPECT_EVERY // 2:
        # Packets may be late and come all at once: the rate follows slowly, and never one burst.
        usual = pulse.rate or rate
        pulse.rate = (usual + rate) / 2 if short else min(rate, usual * 1.2)
    if reports != pulse.reports and pulse.reports and came <= 0:
        pulse.heard_at = now
    pulse.packets, pulse.reports, pulse.read_at = packets, reports, now
