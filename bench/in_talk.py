"""What others in a talk cost: a supervisor who listens, and a third party.

`measure_round`: three kinds of talks go on at the same moment, so what else the machine does burdens all alike: plain
ones, ones that a supervisor listens to, and three-way ones. All are recorded, everybody sends sound, and each kind pays
for the threads that it started. A supervisor's first sound counts from their request to the first loud packet at their
phone, which answers 50 ms after its first ring.

`measure_many`: as many plain talks as possible three-way ones, and the same talks with a third party each.
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from base.background import comes_true
from base.bus import Bus, NoAnswer, Refused
from bench.figures import TableRow, milliseconds, percentile, ratios, spread
from bench.phone import BenchPhones
from bench.side import AGENTS, HOTLINE, NUMBER, TALKS, Centre
from bench.talks import ANSWERED_WITHIN, begin, spent
from facts.requests import AddParty, ListenToTalk
from hotline.machine.programs import ProgramError

PLAIN: Final = "plain"
LISTENED: Final = "listened to"
THREE_WAY: Final = "three-way"
KINDS: Final = (PLAIN, LISTENED, THREE_WAY)
MANY: Final = 100
"""Talks at once that become three-way ones."""
_OTHERS: Final = AGENTS[MANY:]
"""Whose phones ring for supervisors and third parties: they take no calls."""
_SOUND_WITHIN: Final = 0.3
"""Seconds that are wanted from a supervisor's request to the first sound."""


@dataclass(frozen=True, slots=True)
class InTalk:
    """One round. `cost`: seconds of Asterisk's CPU for a second of one talk, by kind. `first_sound`: seconds."""

    cost: Mapping[str, float]
    first_sound: Sequence[float]


async def measure_round(centre: Centre, phones: BenchPhones, seconds: float, turn: int) -> InTalk:
    """Let all kinds talk for so many seconds; with each `turn` another kind begins. Raises `ProgramError`."""
    first, others = turn % len(KINDS), iter(_OTHERS)
    phones.talk, phones.speak = (lambda _agent, _caller: math.inf), True
    bus = Bus(centre.settings.redis, centre.settings.node)
    heard: list[float] = []
    try:
        async with centre.side(HOTLINE, ready=len(KINDS) * TALKS):
            own = {}
            for kind in (*KINDS[first:], *KINDS[:first]):
                known = set(centre.threads())
                for agent in await begin(phones, NUMBER, TALKS):
                    if kind == LISTENED:
                        heard.append(await _listen(bus, phones, agent, next(others)))
                    elif kind == THREE_WAY:
                        await _bring_in(bus, phones, agent, next(others))
                await asyncio.sleep(2)
                own[kind] = set(centre.threads()) - known
            cost = await spent(centre, own, seconds)
            phones.hang_up_all()
            await comes_true(lambda: phones.in_talk == 0, ANSWERED_WITHIN)
    finally:
        phones.speak = False
        await bus.close()
    return InTalk(cost, heard)


async def measure_many(centre: Centre, phones: BenchPhones, seconds: float) -> dict[str, float]:
    """Give the processors that Asterisk keeps busy in `MANY` plain talks, and when all are three-way.

    Raises `ProgramError` if a talk or a third party is missing.
    """
    phones.talk, phones.speak = (lambda _agent, _caller: math.inf), True
    bus = Bus(centre.settings.redis, centre.settings.node)
    try:
        async with centre.side(HOTLINE, ready=MANY):
            agents = await begin(phones, NUMBER, MANY)
            busy = {PLAIN: await _busy(centre, seconds)}
            for agent, other in zip(agents, _OTHERS, strict=True):
                await _bring_in(bus, phones, agent, other)
            busy[THREE_WAY] = await _busy(centre, seconds)
            if phones.in_talk < 3 * MANY:
                raise ProgramError(f"of {3 * MANY} phones only {phones.in_talk} were in a talk")
            phones.hang_up_all()
            await comes_true(lambda: phones.in_talk == 0, ANSWERED_WITHIN)
    finally:
        phones.speak = False
        await bus.close()
    return busy


async def _listen(bus: Bus, phones: BenchPhones, agent: str, supervisor: str) -> float:
    phones.hear(supervisor)
    asked = time.perf_counter()
    await _ask(bus, ListenToTalk(agent, supervisor, "listen", "bench"))
    if not await comes_true(lambda: phones.first_sound > 0, ANSWERED_WITHIN):
        raise ProgramError(f"supervisor {supervisor} hears nothing of agent {agent}")
    return phones.first_sound - asked


async def _bring_in(bus: Bus, phones: BenchPhones, agent: str, other: str) -> None:
    wanted = len(phones.times("answered")) + 1
    await _ask(bus, AddParty(agent, other))
    if not await comes_true(lambda: len(phones.times("answered")) >= wanted, ANSWERED_WITHIN):
        raise ProgramError(f"{other} was not brought into the talk of agent {agent}")


async def _ask(bus: Bus, asked: ListenToTalk | AddParty) -> None:
    try:
        await bus.ask(asked)
    except (NoAnswer, Refused) as error:
        raise ProgramError(f"{asked.name} for agent {asked.number}: {error}") from None


async def _busy(centre: Centre, seconds: float) -> float:
    await asyncio.sleep(2)
    before, since = centre.cpu()["asterisk"], time.monotonic()
    await asyncio.sleep(seconds)
    return (centre.cpu()["asterisk"] - before) / (time.monotonic() - since)


def rows(rounds: Sequence[InTalk], many: Mapping[str, Sequence[float]]) -> list[TableRow]:
    """Lay the rounds out; `many`: processors kept busy, by kind, round by round."""
    heard = [moment for one in rounds for moment in one.first_sound]
    plain = [one.cost[PLAIN] for one in rounds]
    found = [
        TableRow(
            f"a supervisor's request → first sound ({len(heard)} times), median, p95",
            "",
            f"{milliseconds(median(heard))}, {milliseconds(percentile(heard, 95))}",
            "",
            f"≤ {milliseconds(_SOUND_WITHIN)}",
            percentile(heard, 95) <= _SOUND_WITHIN,
        )
    ]
    for kind in KINDS:
        cost = [one.cost[kind] for one in rounds]
        beside = "" if kind == PLAIN else f"{spread(ratios(cost, plain))} × a plain one"
        found.append(
            TableRow(
                f"a second of a recorded talk, {kind}: Asterisk's CPU",
                "",
                milliseconds(median(cost)),
                beside,
            )
        )
    for kind, busy in many.items():
        name = f"{MANY} recorded talks at once, {kind}: processors that Asterisk keeps busy"
        found.append(TableRow(name, "", f"{median(busy):.2f}"))
    return found
