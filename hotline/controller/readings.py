"""What the controller measures for its alarms: the figures, the link, the database, Redis, callbacks, recordings."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from acd.callbacks.task import State, Task
from alarms.rules import Key, of_live_state
from alarms.watch import recordings
from base.settings import Settings
from facts.live import LiveState
from facts.masking import mask_numbers
from facts.times import SECOND
from telephony import certificates
from telephony.link import LinkError
from telephony.trunks import TrunkState

SOON = 600 * SECOND
"""How near a callback's deadline must be to be reported."""
LAG_HOLDS = 10 * SECOND
"""How long a measured delay of Asterisk's events counts while no other comes."""
OF_BACKLOGS = ("recording_backlog", "recording_late", "store_backlog")
"""The readings that Prometheus gets, too."""


class Parts(Protocol):
    """The parts of the controller that are measured."""

    def newest(self, now: int) -> LiveState:
        """The newest live state."""

    def link_lost_for(self, now: int) -> int:
        """For how long the AMI link has been down (microseconds); 0 while it is up."""

    def event_lag(self) -> tuple[int, int]:
        """When the last event came, and how late it was (microseconds)."""

    def pauses_too_long(self, now: int) -> int:
        """How many pauses of recordings have lately reached their limit, or cannot be ended."""

    def clock_jump(self, now: int) -> float:
        """By how many seconds the clock jumped lately; 0 if it did not."""

    def not_recordable(self) -> str:
        """Why no call can be recorded now; empty if one can."""

    def refusals(self, now: int) -> int:
        """How many AGI connections were refused within the last minute."""

    def guesses(self, now: int) -> int:
        """How many SIP sign-ins were refused within the last minute."""

    def unknown_numbers(self, now: int) -> Mapping[str, int]:
        """Numbers that are not ours and that the trunk has dialled within the last hour → how often."""

    def unwritten(self) -> int:
        """Facts that wait for an absent database, at least 1 while it is away."""

    def redis_away_for(self, now: int) -> int:
        """For how long Redis has been away (microseconds)."""

    def open_tasks(self) -> Iterable[Task]:
        """The open callback tasks."""

    def held_back(self, now: int) -> int:
        """Due callbacks that a cap on dialling holds back, and outside numbers that one kept out of a talk."""

    def emergencies(self, now: int) -> tuple[int, int]:
        """How many emergency services were lately called into talks, and how many calls there failed."""

    def failing_phones(self) -> int:
        """Registered phones at which each of the last offers failed by itself."""

    def missing_years(self, now: int) -> list[int]:
        """Years that opening hours need and no calendar has."""

    def red_button(self) -> Mapping[Key, float]:
        """The alerts that nobody has acknowledged."""

    async def look_at_trunks(self) -> None:
        """Ask Asterisk for the state of the trunks."""

    def trunk_states(self) -> Mapping[str, TrunkState]:
        """What is known of each trunk of `trunks.toml`."""

    async def outbound_answers(self) -> bool | None:
        """Whether the way out answers; None when that is not known. Raises `LinkError`."""


def quick(parts: Parts, now: int) -> dict[Key, float | None]:
    """The readings that need no waiting."""
    heard, lag = parts.event_lag()
    years = parts.missing_years(now)
    called, failed = parts.emergencies(now)
    due = sum(task.state is State.DUE and task.latest - now < SOON for task in parts.open_tasks())
    return {
        **of_live_state(parts.newest(now), now),
        ("link_lost", ""): parts.link_lost_for(now) / SECOND,
        ("event_lag", ""): lag / SECOND if now - heard < LAG_HOLDS else 0,
        ("clock_jumped", ""): parts.clock_jump(now),
        ("recording_blocked", ""): bool(parts.not_recordable()),
        ("recording_paused", ""): parts.pauses_too_long(now),
        ("agi_refused", ""): parts.refusals(now),
        ("sip_guesses", ""): parts.guesses(now),
        ("database_away", ""): parts.unwritten(),
        ("screens_stale", ""): parts.redis_away_for(now) / SECOND,
        ("callbacks_due", ""): due,
        ("dial_budget", ""): parts.held_back(now),
        ("emergency", ""): called,
        ("emergency_failed", ""): failed,
        ("phones_failing", ""): parts.failing_phones(),
        ("calendar_missing", ""): years[0] if years else 0,
        **{
            ("unknown_number", mask_numbers(number)): times
            for number, times in parts.unknown_numbers(now).items()
        },
        **_trunks(parts, now),
        **parts.red_button(),
    }


async def slow(
    parts: Parts, engine: AsyncEngine, settings: Settings, now: int
) -> dict[Key, float | None]:
    """Those that need the disk, the database or Asterisk."""
    found = await recordings(engine, settings, now)
    if settings.tls_port:
        found |= await asyncio.to_thread(_certificate, settings, now)
    found["trunk_gone", ""] = None
    if settings.outbound and not parts.link_lost_for(now):
        with contextlib.suppress(LinkError):  # that is another alarm
            answers = await parts.outbound_answers()
            found["trunk_gone", ""] = None if answers is None else not answers
    if settings.named_trunks and not parts.link_lost_for(now):
        await parts.look_at_trunks()
    return found


def _trunks(parts: Parts, now: int) -> dict[Key, float | None]:
    """Nothing is known of a trunk while the link is down: that is another alarm."""
    found: dict[Key, float | None] = {}
    for name, state in parts.trunk_states().items():
        known = not parts.link_lost_for(now) and state is not TrunkState.UNKNOWN
        away = state in (TrunkState.AWAY, TrunkState.UNREGISTERED)
        found["trunk_away", name] = away if known else None
        found["trunk_refused", name] = state is TrunkState.REFUSED if known else None
    return found


def there(state: TrunkState) -> bool | None:
    """Whether calls can leave by a trunk in this state; None when that is not known."""
    return None if state is TrunkState.UNKNOWN else state is TrunkState.UP


def _certificate(settings: Settings, now: int) -> dict[Key, float | None]:
    """How many days the certificate holds that Asterisk shows, and whether it and the files can be used."""
    held = certificates.held(settings)
    left = (held.ends.timestamp() - now / SECOND) / 86_400 if held else None
    unusable = left is None or left <= 0
    try:
        certificates.read(settings)
    except certificates.CertificateError:
        unusable = True
    return {
        ("certificate_expires", ""): None if left is None else max(0.0, left),
        ("certificate_unusable", ""): unusable,
    }
