"""Simulated citizens and agents: real SIP, real sound, one process.

    async with Phones("127.0.0.1:5060") as phones:
        agent = await phones.agent("1001", password, answer_after=1.0)
        await (await agent.dial("*11")).until_ended()
        leg = await phones.citizen("13900000001").dial("12345")
        await leg.until_hears(agent.tone)
        await leg.hang_up()

Everybody hums a tone of their own, so a leg can say who is heard, and a recording who spoke on which side. The SIP
stack is baresip; it allows one `Phones` at a time in a process. `hotline demo` and the live tests are made of these.
"""

import asyncio
import contextlib
import itertools
import threading
import time
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias

import baresip
import numpy as np
import numpy.typing as npt

from base.background import spawn

Sound: TypeAlias = npt.NDArray[np.int16]
"""Samples at `RATE`, one channel."""

Transport: TypeAlias = Literal["udp", "tcp", "tls"]

RATE = 8000
"""Samples a second: what A-law telephony carries."""
LOUD = 200.0
"""Root mean square above which a sound is no silence (music on hold and prompts lie above 1000)."""

_LOUDNESS_OF_TONES = 6000
_CITIZENS_TONES = range(400, 1600, 30)
_AGENTS_TONES = range(1800, 3300, 50)
_STEP = 0.05
"""Seconds between two rounds of the sound thread."""
_AHEAD = RATE * 2 * 4 // 10
"""Bytes of sound kept queued for sending: 0.4 s, so that a busy machine makes no gaps."""


def tone_share(sound: Sound, tone: float) -> float:
    """Say how much of the sound's energy lies at `tone` hertz, from 0 to 1 (one bin of a Fourier transform)."""
    if sound.size == 0:
        return 0.0
    samples = sound.astype(np.float64)
    energy = float(np.dot(samples, samples)) * samples.size / 2
    if energy == 0:
        return 0.0
    turn = np.exp(-2j * np.pi * tone / RATE * np.arange(samples.size))
    return float(abs(np.dot(samples, turn)) ** 2 / energy)


def seconds_of(sound: Sound, tone: float) -> float:
    """Say for how long the sound is mostly `tone`, to 0.1 s."""
    step = RATE // 10
    windows = (sound[at : at + step] for at in range(0, sound.size - step + 1, step))
    return 0.1 * sum(loudness(part) > LOUD and tone_share(part, tone) > 0.6 for part in windows)


def loudness(sound: Sound) -> float:
    """Root mean square of the samples; 0 for no sound at all."""
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) if sound.size else 0.0


def likeness(sound: Sound, part: Sound) -> float:
    """Say how well `part` is found anywhere in `sound`: 1 is letter by letter, below 0.3 is chance."""
    if part.size == 0 or sound.size < part.size:
        return 0.0
    whole, wanted = sound.astype(np.float64), part.astype(np.float64)
    size = 1 << (whole.size + wanted.size).bit_length()
    match = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(wanted, size)), size)
    match = match[: whole.size - wanted.size + 1]
    running = np.concatenate(([0.0], np.cumsum(whole**2)))
    energy = running[wanted.size :] - running[: -wanted.size]
    scale = np.sqrt(np.maximum(energy, 1.0) * max(float(np.dot(wanted, wanted)), 1.0))
    return float(np.max(match / scale))


class Phones:
    """All telephones of this process, at the exchange `address:port`. An asynchronous context manager.

    `ca`: whoever signed the exchange's certificate, for phones that use TLS (a PEM file). Raises `baresip.BaresipError`
    on entry when another `Phones` is open in this process.
    """

    def __init__(self, exchange: str, ca: Path | None = None) -> None:
        self.exchange = exchange
        self._ca = ca
        self.legs: list[Leg] = []
        """Every leg so far, in order."""
        self.softphones: list[AgentPhone] = []
        """Every agent's phone so far."""
        self._runtime: Any = None
        self._by_handle: dict[int, Leg] = {}
        self._early: dict[int, list[Any]] = defaultdict(list)
        self._user_agents: dict[tuple[str, str], Any] = {}
        self._tones = itertools.cycle(_CITIZENS_TONES)
        self._agents_tones = itertools.cycle(_AGENTS_TONES)
        self._closing = threading.Event()
        self._sound = threading.Thread(target=self._carry_sound, name="phones-sound", daemon=True)

    async def __aenter__(self) -> Self:
        self._runtime = baresip.Runtime()
        address = self.exchange.rpartition(":")[0]
        more = f"sip_cafile {self._ca}\nsip_verify_server yes\n" if self._ca else ""
        await self._runtime.start(
            baresip.Config(
                # Without a named interface the stack never looks at loopback; port 0 lets the kernel choose.
                net_interface=address if address.startswith("127.") else None,
                max_concurrent_calls=None,
                extra_config_text=f"sip_listen {address if address.startswith('127.') else '0.0.0.0'}:0\n{more}",
            )
        )
        self._runtime.subscribe(self._happened)
        self._sound.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(leg.hang_up() for leg in self.legs))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.gather(*(leg.until_ended(None) for leg in self.legs))
        with contextlib.suppress(baresip.BaresipError):
            await asyncio.gather(*(phone.sign_out() for phone in self.softphones))
        self._closing.set()
        await asyncio.to_thread(self._sound.join)
        await self._runtime.close()

    def citizen(self, caller: str, tone: int | None = None) -> "Citizen":
        """Someone with the number `caller`; empty or "anonymous" withholds it (RFC 3323)."""
        return Citizen(self, caller or "anonymous", tone or next(self._tones))

    async def agent(
        self,
        number: str,
        password: str,
        *,
        tone: int | None = None,
        sign_in: bool = True,
        exchange: str = "",
        transport: Transport = "udp",
        srtp: bool = False,
        **manners: Any,
    ) -> "AgentPhone":
        """A softphone of the agent `number`, signed in unless told otherwise; `manners` are `AgentPhone`'s.

        `exchange`: where this phone signs in, if elsewhere. `srtp`: no call without encrypted sound (RFC 3711).
        Raises `baresip.RegistrationError` when the exchange refuses the password.
        """
        account = baresip.Account(
            user=number,
            domain=exchange or self.exchange,
            password=password,
            reg_interval=120,
            transport=transport,
            audio_codecs=("pcma",),
            extra_params=("mediaenc=srtp-mand",) if srtp else (),
        )
        user_agent: Any = await baresip.UserAgent.create(self._runtime, account)
        at = f"{exchange};transport={transport}" if exchange else ""
        tone = tone or next(self._agents_tones)
        phone = AgentPhone(self, number, tone, user_agent, at, **manners)
        user_agent.on_incoming(phone.incoming)
        self.softphones.append(phone)
        if sign_in:
            await phone.sign_in()
        return phone

    def move(self, exchange: str) -> None:
        """Citizens and agents from now on belong to another exchange; calls that are going on stay."""
        self.exchange = exchange

    async def dial(self, user_agent: Any, number: str, tone: int, at: str = "") -> "Leg":
        """Place a call from a user agent of the SIP stack. For `Citizen` and `AgentPhone`."""
        call = await user_agent.dial(f"sip:{number}@{at or self.exchange}")
        return self.adopt(call, tone)

    def adopt(self, call: Any, tone: int) -> "Leg":
        """Follow a call of the SIP stack. For `Citizen` and `AgentPhone`."""
        leg = Leg(call, tone)
        self.legs.append(leg)
        self._by_handle[call.handle] = leg
        # On a busy loop the answer can be delivered before `dial` returns: before the stack's own object of the
        # call listens, too. That one would believe for ever that the call is not established, and refuse a transfer.
        for event in self._early.pop(call.handle, []):
            call._on_stack_event(event)
            leg.happened(event)
        return leg

    async def user_agent(self, caller: str) -> Any:
        """The SIP stack's user agent of a caller. It lives as long as the stack, so it is kept and used again."""
        domain = "anonymous.invalid" if caller == "anonymous" else self.exchange
        key = (caller, domain)
        if key not in self._user_agents:
            account = baresip.Account(
                user=caller, domain=domain, password="", reg_interval=0, audio_codecs=("pcma",)
            )
            self._user_agents[key] = await baresip.UserAgent.create(self._runtime, account)
        return self._user_agents[key]

    def _happened(self, event: Any) -> None:
        if not event.call:
            return
        leg = self._by_handle.get(event.call)
        if leg is not None:
            leg.happened(event)
        elif event.event is not baresip.Event.CALL_INCOMING:
            self._early[event.call].append(event)

    def _carry_sound(self) -> None:
        # A thread, not a task: a test that blocks the loop must not make a hole in a recording.
        while not self._closing.wait(_STEP):
            for leg in self.legs:
                leg.carry_sound()


class Hums(Protocol):
    """Who hums a tone of their own: a telephone, or its side of a call."""

    tone: int


class Leg:
    """One telephone's side of one call. Times are seconds of `time.monotonic()`, None until it happens."""

    def __init__(self, call: Any, tone: int) -> None:
        self.tone = tone
        self.started_at = time.monotonic()
        self.rings_there = False
        """True when the far end's phone rings (180), or has rung."""
        self.answered_at: float | None = None
        self.ended_at: float | None = None
        self.hung_up_here = False
        """True when this side ended the call first."""
        self.reason = ""
        """The far end's reason, such as `404 Not Found`; empty after an ordinary hang-up."""
        self.pressed = ""
        """Keys that the far end pressed (DTMF)."""
        self._call = call
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._received: list[tuple[float, bytes]] = []
        self._hum = _hum(tone)
        self._hum_at = 0
        self.silent = False
        """Set it to stop humming."""
        self._said = b""

    @property
    def peer(self) -> str:
        """The other side's user part: for an agent, the caller's number as the phone shows it."""
        return str(self._call.peer or "").removeprefix("sip:").partition("@")[0]

    @property
    def talking(self) -> bool:
        """Answered and not over."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def sent(self) -> float:
        """Seconds of sound that this telephone sent, as its stack has counted them (A-law); 0 until the call is over.

        When this process stands still, a telephone sends nothing: this is the length that can have been recorded.
        """
        counted = self._call.final_stats
        return counted.tx_bytes / RATE if counted is not None else 0.0

    async def until_answered(self, within: float | None = 10.0) -> None:
        """Wait for the answer. Raises `TimeoutError`, also when the call ends instead."""
        await self._until(self._answered.is_set, within, "answered")

    async def until_ended(self, within: float | None = 10.0) -> None:
        """Wait until the call is over. Raises `TimeoutError`."""
        try:
            async with asyncio.timeout(within):
                await self._ended.wait()
        except TimeoutError:
            raise TimeoutError(f"{self} was not over within {within} s") from None

    async def until_hears(self, tone: int, within: float = 10.0) -> float:
        """Wait until this side hears `tone`, and return the moment. Raises `TimeoutError`."""
        return await self._until(lambda: self.hears(tone), within, f"hearing {tone} Hz")

    async def until_hears_one_of(self, others: Sequence[Hums], within: float = 10.0) -> int:
        """Wait until this side hears one of these, and return which one. Raises `TimeoutError`."""
        heard: list[int] = []

        def true() -> bool:
            heard.extend(n for n, other in enumerate(others) if self.hears(other.tone))
            return bool(heard)

        await self._until(true, within, f"hearing one of {[other.tone for other in others]} Hz")
        return heard[0]

    async def until_hears_something(self, within: float = 10.0) -> float:
        """Wait for any sound: a prompt, music, a voice. Raises `TimeoutError`."""
        return await self._until(
            lambda: loudness(self.heard(0.2)) > LOUD, within, "hearing something"
        )

    def hears(self, tone: int, seconds: float = 0.5) -> bool:
        """Say whether the last `seconds` were mostly this tone."""
        sound = self.heard(seconds)
        return (
            sound.size >= seconds * RATE * 0.6
            and loudness(sound) > LOUD
            and tone_share(sound, tone) > 0.6
        )

    def heard(self, seconds: float | None = None) -> Sound:
        """What this side received in the last `seconds` (all of it by default)."""
        now = time.monotonic()
        return self.heard_between(now - seconds if seconds is not None else 0.0, now)

    def heard_between(self, first: float, last: float) -> Sound:
        """What this side received between two moments of `time.monotonic()`, to about 50 ms."""
        begin = bisect_left(self._received, first, key=itemgetter(0))
        end = bisect_right(self._received, last, key=itemgetter(0))
        parts = [sound for _, sound in self._received[begin:end]]
        return np.frombuffer(b"".join(parts), dtype=np.int16)

    def seconds_of(self, tone: int) -> float:
        """Say for how long this side heard `tone` in all, to about 0.1 s."""
        return seconds_of(self.heard(), tone)

    def say(self, sound: Sound) -> None:
        """Send this sound, once, and then be silent."""
        self._said = sound.astype(np.int16).tobytes()
        self.silent = True

    def repeat(self, sound: Sound) -> None:
        """Send this sound instead of the tone, again and again."""
        self._hum_at = 0
        self._hum = sound.astype("<i2").tobytes()

    async def press(self, keys: str) -> None:
        """Press telephone keys (RFC 4733 events)."""
        await self._call.send_dtmf(keys)

    async def answer(self) -> None:
        """Take the call. Nothing happens when it is already gone."""
        with contextlib.suppress(baresip.BaresipError):
            await self._call.answer()

    async def refuse(self) -> None:
        """Answer 486 Busy Here. Nothing happens when the call is already gone."""
        await self._end(self._call.reject)

    async def hang_up(self) -> None:
        """End the call, ringing or talking. Nothing happens when it is already gone."""
        await self._end(self._call.hangup)

    async def hold(self) -> None:
        """Put the far end on hold (re-INVITE, sendonly)."""
        await self._call.hold()

    async def resume(self) -> None:
        """Come back from a hold."""
        await self._call.resume()

    async def transfer(self, number: str) -> None:
        """Hand the far end over to `number` (REFER), and return when that is accepted.

        Raises `baresip.TransferFailed` when it is refused; the talk goes on.
        """
        await self._call.transfer(number)

    async def transfer_to(self, other: "Leg") -> None:
        """Connect the far end with that of another call of this phone (REFER with Replaces), and leave both.

        Raises `baresip.TransferFailed` when it is refused.
        """
        await self._call.attended_transfer(other._call)

    def happened(self, event: Any) -> None:
        """Take in an event of the SIP stack. For `Phones`."""
        if event.event is baresip.Event.CALL_RINGING:
            self.rings_there = True
        elif event.event is baresip.Event.CALL_ESTABLISHED:
            self.answered_at = time.monotonic()
            self._answered.set()
        elif event.event is baresip.Event.CALL_DTMF_START:
            self.pressed += event.text or ""
        elif event.event is baresip.Event.CALL_CLOSED and self.ended_at is None:
            self.ended_at = time.monotonic()
            # After an ordinary BYE the stack says "Connection reset by peer"; only a status says more.
            if not self.hung_up_here and (event.text or "")[:3].isdigit():
                self.reason = event.text
            self._ended.set()

    def carry_sound(self) -> None:
        """Send what is due and take what has come. For the sound thread of `Phones`."""
        if not self.talking:
            return
        try:
            info = self._call.audio.info()
            wanted = _AHEAD - info.tx_buffered
            if info.tx_ready and wanted > 0 and self._said:
                self._said = self._said[self._call.audio.write(self._said[:wanted]) :]
            elif info.tx_ready and wanted > 0 and not self.silent:
                hum = self._hum[self._hum_at :] + self._hum
                self._hum_at = (self._hum_at + self._call.audio.write(hum[:wanted])) % len(
                    self._hum
                )
            if info.rx_buffered and (sound := self._call.audio.read(info.rx_buffered)):
                self._received.append((time.monotonic(), sound))
        except (baresip.AudioNotActive, baresip.AudioRestarted):
            return

    async def _end(self, command: Callable[[], Awaitable[None]]) -> None:
        if self.ended_at is not None:
            return
        self.hung_up_here = True
        with contextlib.suppress(baresip.BaresipError):
            await command()

    async def _until(self, true: Callable[[], bool], within: float | None, what: str) -> float:
        deadline = None if within is None else time.monotonic() + within
        while not true():
            if self.ended_at is not None:
                raise TimeoutError(f"{self} was over ({self.reason or 'hung up'}) before {what}")
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{self} was not {what} within {within} s")
            await asyncio.sleep(0.02)
        return time.monotonic()

    def __str__(self) -> str:
        return f"the call with {self.peer or 'the hotline'} ({self.tone} Hz)"


@dataclass
class Citizen:
    """Someone who calls the hotline. Made by `Phones.citizen`."""

    phones: Phones
    caller: str
    tone: int

    async def dial(self, number: str) -> Leg:
        """Call `number`; returns at once, before the answer."""
        return await self.phones.dial(await self.phones.user_agent(self.caller), number, self.tone)


@dataclass
class AgentPhone:
    """An agent's softphone and its owner's manners, which may be changed at any time. Made by `Phones.agent`."""

    phones: Phones
    number: str
    tone: int
    user_agent: Any
    at: str = ""
    """Where this phone dials, if not at the exchange of all."""
    answer_after: float | None = 0.5
    """Seconds of ringing before the agent picks up; None: never."""
    refuses: bool = False
    """The agent presses the red button instead (486)."""
    hang_up_after: float | None = None
    """Seconds of talk after which the agent hangs up; None: the caller hangs up (R6)."""
    offers: list[Leg] = field(default_factory=list)
    """Every call that rang here, in order."""
    own_calls: list[Leg] = field(default_factory=list)
    """Every call that the agent dialled."""
    rang_twice: bool = False
    """True when a call rang here while another one rang or talked."""

    async def sign_in(self) -> None:
        """Register. Raises `baresip.RegistrationError` when refused."""
        await self.user_agent.register()

    async def sign_out(self) -> None:
        """Take the registration back: calls no longer reach this phone."""
        await self.user_agent.unregister()

    async def dial(self, number: str) -> Leg:
        """Call a number or a feature code such as `*11`."""
        leg = await self.phones.dial(self.user_agent, number, self.tone, self.at)
        self.own_calls.append(leg)
        return leg

    async def until_rings(self, times: int = 1, within: float = 10.0) -> Leg:
        """Wait until this phone has rung `times` times in all; returns that leg. Raises `TimeoutError`."""
        deadline = time.monotonic() + within
        while len(self.offers) < times:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the phone of {self.number} rang {len(self.offers)} times, not {times}, within {within} s"
                )
            await asyncio.sleep(0.02)
        return self.offers[times - 1]

    def incoming(self, call: Any) -> None:
        """Take in a call of the SIP stack. For `Phones`."""
        if any(leg.ended_at is None for leg in self.offers):
            self.rang_twice = True
        leg = self.phones.adopt(call, self.tone)
        self.offers.append(leg)
        spawn(self._serve(leg), f"phone {self.number}")

    async def _serve(self, leg: Leg) -> None:
        if self.refuses:
            await leg.refuse()
            return
        while self.answer_after is None or time.monotonic() < leg.started_at + self.answer_after:
            if leg.ended_at is not None:
                return
            await asyncio.sleep(0.02)
        await leg.answer()
        while not (
            leg.talking
            and self.hang_up_after is not None
            and time.monotonic() >= (leg.answered_at or 0) + self.hang_up_after
        ):
            if leg.ended_at is not None:
                return
            await asyncio.sleep(0.02)
        await leg.hang_up()


def _hum(tone: int) -> bytes:
    """One second of a tone of a whole number of hertz, so that it can be repeated without a click."""
    turns = 2 * np.pi * tone * np.arange(RATE) / RATE
    return bytes((np.sin(turns) * _LOUDNESS_OF_TONES).astype(np.int16).tobytes())
