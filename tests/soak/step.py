"""Two A-law files of MixMonitor beside the stereo raw file of today: in step, in CPU, in a crash.

    python -m tests.soak.step record FOLDER [--minutes 60] [--only CASE ...]     calls that chirp, then `judge`
    python -m tests.soak.step judge FOLDER                                      the table once more
    python -m tests.soak.step cost FOLDER                                       CPU and bytes of a recorded talk
    python -m tests.soak.step crash FOLDER                                      what a `kill -9` of Asterisk takes

Each call is recorded in both ways at once, so both have heard the same. There is no controller; the dialplan and
`renew` do to a recording what the hotline does at a transfer. As root everything that carries sound goes before other
programs of the machine (nice), so that they are measured as little as may be. `record` says first how late they left.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from base.background import spawn
from bench.side import Centre
from hotline.machine import programs
from softphone.phones import RATE
from tests.soak.chirps import ALAW, Apart, Chirps, Habit, apart
from tests.soak.telephones import Leg, Line

RAW, ALAWS, LOOSE = "raw", "A-law", "A-law without S"
_FILES: Final = {
    RAW: "{at}.raw,{more}D",
    ALAWS: ",{more}Sr({at}-r.alaw)t({at}-t.alaw)",
    LOOSE: ",{more}nr({at}-loose-r.alaw)t({at}-loose-t.alaw)",
}
"""MixMonitor's arguments. `S` puts silence in for what one side lacks, the default of Asterisk 22; `n` does not."""

PARTED: Final = 0.06
"""Seconds after which a channel has forgotten its MixMonitor, as in the hotline's dialplan."""
STEP: Final = 20.0
"""Milliseconds by which both sides may be apart."""

_WITHIN = 20.0
_HELD = 10.0
_ASKED = 5.0


@dataclass(frozen=True)
class Case:
    """A call. `event` (hold, blind, attended) happens each `every` seconds; `music`: nobody answers, it plays."""

    name: str
    citizen: Habit = field(default_factory=Habit)
    agent: Habit = field(default_factory=Habit)
    event: str = ""
    every: float = 60.0


PLAIN: Final = Case("nothing happens")
MUSIC: Final = Case("the citizen hears music", event="music")
_POOR = Habit(loss=0.02, jitter=0.03)
CASES: Final = (
    PLAIN,
    Case("a hold each minute", event="hold"),
    Case("a blind transfer each minute", event="blind"),
    Case("an attended transfer each minute", event="attended"),
    Case("the agent's side loses 2 %", agent=Habit(loss=0.02)),
    Case("the agent's side loses 10 %", agent=Habit(loss=0.10)),
    Case("the citizen's side loses 2 %", citizen=Habit(loss=0.02)),
    Case("the citizen's side loses 10 %", citizen=Habit(loss=0.10)),
    Case("the agent's side loses up to 1 s at once", agent=Habit(burst=1.0)),
    Case("the agent's phone is muted for minutes", agent=Habit(muted=True)),
    Case("the citizen's phone is muted for minutes", citizen=Habit(muted=True)),
    Case("the agent's phone sends no silence (DTX)", agent=Habit(pauses=True)),
    Case("the agent's side has 60 ms of jitter", agent=Habit(jitter=0.06)),
    Case("the agent's clock is 100 ppm fast", agent=Habit(skew=100)),
    Case("the agent's clock is 100 ppm slow", agent=Habit(skew=-100)),
    Case("a hold each minute, both sides 2 % and 30 ms", _POOR, _POOR, event="hold"),
)


class Call:
    """One call, and its three agents' telephones."""

    def __init__(self, case: Case, number: str, ways: Sequence[str] = tuple(_FILES)) -> None:
        self.case, self.number, self.ways = case, number, ways
        self.agents: list[Line] = []
        self.events: list[tuple[float, str]] = []
        """What happened at which second of `time.monotonic`."""
        self._arrived: asyncio.Queue[Leg] = asyncio.Queue()

    async def open(self, centre: Centre, sound: Chirps) -> None:
        """Open the telephones."""
        sound.habits[self.number] = self.case.citizen
        for place in "123":
            number = self.number + place
            sound.habits[number] = self.case.agent
            line = Line(centre.exchange, sound, number=number, incoming=self._answer)
            self.agents.append(await line.open())

    async def _answer(self, leg: Leg) -> None:
        await leg.answer()
        self._arrived.put_nowait(leg)

    async def run(self, studio: "Studio", seconds: float) -> None:
        """Talk for so long, and let happen what the case says. Raises `TimeoutError` without a telephone."""
        until = time.monotonic() + seconds
        citizen = studio.trunk.dial(self.number, self.number)
        try:
            if self.case is MUSIC:
                await asyncio.sleep(seconds)
                return
            leg = await self._next()
            self._say("begins")
            while (left := until - time.monotonic()) > 0:
                await asyncio.sleep(min(left, self.case.every))
                if citizen.ended_at:
                    self._say(f"over: {citizen.how}")
                    return
                if until - time.monotonic() > 2 * _HELD:
                    leg = await self._happen(studio, leg)
            self._say("ends")
        finally:
            await citizen.hang_up()

    async def _happen(self, studio: "Studio", leg: Leg) -> Leg:
        match self.case.event:
            case "hold":
                await leg.hold()
                studio.sound.hush(leg)
                await asyncio.sleep(_HELD)
                studio.sound.hush(leg, False)
                await leg.hold(False)
            case "blind":
                await leg.refer(self._other(leg).number)
                leg, old = await self._next(), leg
                await old.hang_up()
            case "attended":
                leg = await self._hand_over(studio, leg)
        self._say(self.case.event)
        return leg

    async def _hand_over(self, studio: "Studio", leg: Leg) -> Leg:
        await leg.hold()
        studio.sound.hush(leg)
        asked = leg.line.dial(self._other(leg).number)
        new = await self._next()
        await asyncio.sleep(_ASKED)
        await leg.refer(new.line.number, replaces=asked)
        await studio.renew(self)
        await leg.hang_up()
        await asked.hang_up()
        return new

    async def _next(self) -> Leg:
        async with asyncio.timeout(_WITHIN):
            return await self._arrived.get()

    def _other(self, leg: Leg) -> Line:
        return self.agents[(self.agents.index(leg.line) + 1) % len(self.agents)]

    def _say(self, what: str) -> None:
        if what:
            self.events.append((time.monotonic(), what))


class Studio:
    """A centre whose dialplan records calls in both ways."""

    def __init__(self, centre: Centre, folder: Path, calls: Sequence[Call]) -> None:
        self.centre, self.folder, self.calls = centre, folder, calls
        self.sound = Chirps(centre.exchange[0])
        self.trunk = Line(centre.exchange, self.sound)

    async def open(self) -> None:
        """Open all telephones, and let Asterisk know them."""
        await self.trunk.open()
        for call in self.calls:
            await call.open(self.centre, self.sound)
        configuration = self.centre.settings.asterisk_dir
        (configuration / "pjsip_extra.conf").write_text(_PHONES)
        (configuration / "extensions_extra.conf").write_text("\n".join(self._dialplan()))
        for what in ("dialplan", "module"):
            modules = (
                ("res_pjsip", "res_pjsip_endpoint_identifier_ip") if what == "module" else ("",)
            )
            for module in modules:
                await self.cli(f"{what} reload {module}".strip())
        await asyncio.sleep(1)
        self.sound.start()
        _hurry(os.getpid(), self.asterisk)

    @property
    def asterisk(self) -> int:
        """Asterisk's process id."""
        program = programs.asterisk_program(self.centre.settings, self.centre.asterisk)
        return programs.running(program) or 0

    async def cli(self, command: str) -> str:
        """What Asterisk's command line answers."""
        return await programs.asterisk_cli(self.centre.settings, self.centre.asterisk, command)

    async def renew(self, call: Call) -> None:
        """Record with new MixMonitors, at the end of the same files, as `Switch.renew_recording` does."""
        rows = [
            row.split("!") for row in (await self.cli("core show channels concise")).splitlines()
        ]
        # The citizen's channel is in Dial, with the citizen's number.
        (channel,) = (row[0] for row in rows if row[5:8:2] == ["Dial", call.number])
        for _ in call.ways:  # each stops one
            await self.cli(f"mixmonitor stop {channel}")
        await asyncio.sleep(PARTED)
        for way in call.ways:
            await self.cli(f"mixmonitor start {channel} {self._files(way, call.number, 'a')}")

    def _files(self, way: str, number: str, more: str = "") -> str:
        return _FILES[way].format(at=f"{self.folder}/{number}", more=more)

    def _dialplan(self) -> list[str]:
        calls, agents, transfers = ["[step]"], ["[step-agents]"], ["[step-transfer]"]
        for call in self.calls:
            first = call.agents[0].number
            calls += [
                f"exten = {call.number},1,Answer()",
                *(f" same = n,MixMonitor({self._files(way, call.number)})" for way in call.ways),
                " same = n,MusicOnHold()"
                if call.case is MUSIC
                else f" same = n,Goto(step-agents,{first},1)",
            ]
            for agent in call.agents:
                agents += [
                    f"exten = {agent.number},1,Set(__TRANSFER_CONTEXT=step-transfer)",
                    f" same = n,Dial(PJSIP/step/{agent.address})",
                    " same = n,Hangup()",
                ]
                transfers += [
                    f"exten = {agent.number},1,NoOp()",
                    *(" same = n,StopMixMonitor()" for _ in call.ways),
                    f" same = n,Wait({PARTED})",
                    *(
                        f" same = n,MixMonitor({self._files(way, call.number, 'a')})"
                        for way in call.ways
                    ),
                    f" same = n,Goto(step-agents,{agent.number},1)",
                ]
        return [*calls, "include => step-agents", *agents, *transfers, ""]

    async def talk(self, seconds: float) -> list[str]:
        """Make all calls, one soon after the other. What went wrong, by call."""
        tasks = []
        for call in self.calls:
            tasks.append(spawn(call.run(self, seconds), call.case.name))
            # No multiple of a packet: their telephones do not send in one moment.
            await asyncio.sleep(0.137)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return ["" if error is None else repr(error) for error in done]


_PHONES = r"""
[step]
type = endpoint
context = step
identify_by = request_uri
disallow = all
allow = alaw
direct_media = no
rtp_symmetric = yes
allow_transfer = yes
[step]
type = identify
endpoint = step
match_request_uri = /^sips?:9[0-9]{3,4}@/
"""


def _hurry(*processes: int) -> None:
    # Not in real time: Asterisk then got no processor at all for a minute, twice in an hour.
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), -15)


# --- in step


async def record(folder: Path, minutes: float, only: Sequence[str]) -> None:
    """Make the calls, and write beside their recordings what happened in them."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = [case for case in CASES if not only or case.name in only]
    calls = [Call(case, f"9{number:03}") for number, case in enumerate(cases, 1)]
    async with Centre() as centre:
        studio = Studio(centre, folder, calls)
        await studio.open()
        wrong = await studio.talk(minutes * 60)
        await asyncio.sleep(1)
        studio.sound.close()
    told = [
        {"case": call.case.name, "number": call.number, "events": call.events, "wrong": error}
        for call, error in zip(calls, wrong, strict=True)
    ]
    late = [float(one) for one in np.percentile(np.array(studio.sound.late) * 1000, (50, 99, 100))]
    (folder / "calls.json").write_text(json.dumps({"calls": told, "late": late}, indent=1))


@dataclass(frozen=True)
class Verdict:
    """Both sides of one recording. Milliseconds; `far`: the share of chirps further apart than `STEP`."""

    chirps: int
    middle: float
    worst: float
    far: float
    changes: int
    """How often a chirp was apart by 10 ms more or less than the one before it."""


def judge(found: Sequence[Apart]) -> Verdict:
    """What there is to say about one recording. There must be one chirp at least."""
    ms = np.array([one.ms for one in found])
    return Verdict(
        chirps=len(ms),
        middle=float(np.median(ms)),
        worst=float(max(ms, key=abs)),
        far=float((np.abs(ms) > STEP).mean()),
        changes=int((np.abs(np.diff(ms)) > 10).sum()),
    )


def unlike(one: Sequence[Apart], other: Sequence[Apart]) -> float:
    """The share of chirps that two recordings of one call have apart differently, by 1 ms or more."""
    differs = []
    for here in one:
        same = [
            there.ms for there in other if there.kind == here.kind and abs(there.at - here.at) < 5
        ]
        differs.append(not same or abs(same[0] - here.ms) >= 1)
    return mean(differs)


def sides(folder: Path, number: str, way: str) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The citizen's side and the other, 16-bit."""
    if way == RAW:
        whole = np.fromfile(folder / f"{number}.raw", dtype="<i2")
        both = whole[: len(whole) // 2 * 2].reshape(-1, 2)
        return both[:, 0], both[:, 1]
    at = f"{number}-loose" if way == LOOSE else number
    citizen, other = (
        ALAW[np.fromfile(folder / f"{at}-{side}.alaw", dtype=np.uint8)] for side in "rt"
    )
    return citizen, other


def table(folder: Path) -> None:
    """Print how far apart both sides are, by case and way (Markdown)."""
    told = json.loads((folder / "calls.json").read_text())
    print("packets sent late, ms (median, 99 %, most):", [round(one, 2) for one in told["late"]])
    print("| Call | Way | Chirps | Median | Worst | > 20 ms | Changes | Lengths | Unlike raw |")
    print("|---|---|---|---|---|---|---|---|---|")
    for call in told["calls"]:
        of_raw: list[Apart] = []
        for way in _FILES:
            try:
                citizen, other = sides(folder, call["number"], way)
            except FileNotFoundError as error:
                print(f"| {call['case']} | {way} | {error.filename}: no such file |", call["wrong"])
                continue
            found = apart(citizen, other)
            if way == RAW:
                of_raw = found
            if not found:
                print(f"| {call['case']} | {way} | none |", call["wrong"])
                continue
            one = judge(found)
            print(
                f"| {call['case']} | {way} | {one.chirps} | {one.middle:.0f} ms | {one.worst:.0f} ms "
                f"| {one.far:.0%} | {one.changes} | {(len(citizen) - len(other)) / RATE:+.2f} s "
                f"| {unlike(found, of_raw):.1%} |",
                call["wrong"],
                flush=True,
            )


# --- what it costs


_KINDS: Final[tuple[tuple[str, ...], ...]] = ((), (RAW,), (ALAWS,))


async def cost(folder: Path, calls: int = 20, rounds: int = 8, seconds: float = 15.0) -> None:
    """Print the processor time that Asterisk takes for a call, by way, in turn, and the bytes of its files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        (case, kind): [Call(case, f"9{place}{one:02}", kind) for one in range(calls)]
        for place, (case, kind) in enumerate(product((PLAIN, MUSIC), _KINDS))
    }
    spent: dict[tuple[Case, tuple[str, ...]], list[float]] = {key: [] for key in made}
    async with Centre() as centre:
        studio = Studio(centre, folder, [call for some in made.values() for call in some])
        await studio.open()
        for one in range(rounds):
            print(f"round {one + 1} of {rounds}", flush=True)
            for key, some in made.items():
                talks = [spawn(call.run(studio, seconds + 7), call.number) for call in some]
                await asyncio.sleep(4)
                before, began = centre.cpu()["asterisk"], time.monotonic()
                await asyncio.sleep(seconds)
                took = time.monotonic() - began
                spent[key].append((centre.cpu()["asterisk"] - before) / took / calls)
                await asyncio.gather(*talks)
        studio.sound.close()
    for (case, kind), values in spent.items():
        more = [here - alone for here, alone in zip(values, spent[case, ()], strict=True)]
        print(
            f"{case.name}, {' '.join(kind) or 'not recorded'}: {median(values):.3%} of a core "
            f"({min(values):.3%} to {max(values):.3%}); recording {median(more):.3%}"
        )
    for pattern in ("*.raw", "*.alaw"):
        print(pattern, sum(file.stat().st_size for file in folder.glob(pattern)), "bytes")


# --- what a crash takes


async def crash(folder: Path, calls: int = 12, seconds: float = 40.0) -> None:
    """Kill Asterisk in the middle of calls, and print how many seconds of each are not in its files."""
    folder.mkdir(parents=True, exist_ok=True)
    # Each begins at another moment, so that their buffers are not equally full.
    made = [Call(PLAIN, f"9{one:03}", (RAW, ALAWS)) for one in range(calls)]
    async with Centre() as centre:
        studio = Studio(centre, folder, made)
        await studio.open()
        talks = []
        for call in made:
            talks.append(spawn(call.run(studio, seconds * 2), call.number))
            await asyncio.sleep(0.731)
        await asyncio.sleep(seconds)
        os.kill(studio.asterisk, signal.SIGKILL)
        died = time.monotonic()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        studio.sound.close()
    for way in (RAW, ALAWS):
        lost, uneven = [], 0
        for call in made:
            citizen, other = sides(folder, call.number, way)
            lost.append(died - call.events[0][0] - min(len(citizen), len(other)) / RATE)
            uneven += len(citizen) != len(other)
        print(
            f"{way}: lost {mean(lost):.2f} s of each call ({min(lost):.2f} to {max(lost):.2f}); "
            f"{uneven} of {calls} with sides of different length"
        )


def main() -> int:
    """Measure one thing."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.step", description=__doc__)
    parser.add_argument("what", choices=("record", "judge", "cost", "crash"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", default=(), choices=[case.name for case in CASES])
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    work: dict[str, Any] = {"cost": cost, "crash": crash}
    if asked.what == "record":
        asyncio.run(record(folder, asked.minutes, asked.only))
    if asked.what in ("record", "judge"):
        table(folder)
    else:
        asyncio.run(work[asked.what](folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
