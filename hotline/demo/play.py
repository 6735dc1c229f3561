"""`hotline demo`: a whole centre, simulated citizens and agents on real telephones, and what came of it.

Everything is real but the people: the centre is the one that `hotline up` starts, in the folder `demo` below
`HOTLINE_HOME`, on the usual ports where they are free; calls are SIP with sound. Afterwards what each citizen met with
is compared with the diary, and each recording is listened to. A call that was lost, recorded wrongly in the diary or
not recorded on both sides makes the exit status 1.
"""

import asyncio
import contextlib
import os
import random
import shlex
import shutil
import signal
import socket
import sys
import time
import wave
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from redis.exceptions import RedisError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from agents import roster
from base import clock, database, log, migrations
from base.background import spawn
from base.bus import Bus
from base.settings import Settings, load
from diary import reader
from facts import CallEnded, Fact, RecordingFinished, RecordingMissing
from facts.numbers import normalise
from facts.terms import Outcome
from facts.times import SECOND
from hotline.demo.screen import Say, summary, view, words
from hotline.machine import programs
from hotline.machine.programs import ProgramError
from metrics import calls as call_list
from metrics.reports import sla as reports
from recorder import copying, ledger
from softphone.phones import RATE, AgentPhone, Leg, Phones, Sound, seconds_of
from web.accounts import accounts

PEOPLE = {"1001": "王芳", "1002": "李娜", "1003": "张伟", "1004": "刘洋", "1005": "陈静"}
"""The agents. The last one does not answer at first."""
_RELUCTANT = "1005"
_PASSWORD = "hotline-demo-password"  # noqa: S105 - of simulated softphones on this machine
_CITIZENS = 24
_ARRIVE_EVERY = 1.2
_PATIENCE = 120.0
_TRICKLE = 10.0


class Behaviour(StrEnum):
    """What a citizen means to do."""

    TALK = "talk"
    TALK_SHORTLY = "talk-shortly"
    LEAVE_IN_GREETING = "leave-in-greeting"
    LEAVE_IN_QUEUE = "leave-in-queue"


@dataclass
class Visit:
    """One citizen's call as it went for the citizen. Times in seconds; `outcome`: None while it is open, or if lost."""

    name: str
    caller: str
    behaviour: Behaviour
    leg: Leg | None = None
    agent: str = ""
    waited: float = 0.0
    talked: float = 0.0
    on_phone: float = 0.0
    outcome: Outcome | None = None
    troubles: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the outcome is known, or something went wrong."""
        return self.outcome is not None or bool(self.troubles)


async def demo(*, keep: bool, lang: str) -> int:
    """Run it all. Returns the exit status: 0, or 1 when a call was lost. Raises `ProgramError`, `SettingsError`."""
    try:
        say = words(lang)
    except KeyError:
        raise ProgramError(f"--lang {lang}: there is zh and en") from None
    console = Console(highlight=False)
    settings = await _prepare(console, say)
    _stop_on_sigterm()
    engine = database.engine(settings.database)
    troubles: list[str] | None = None
    try:
        async with (
            _centre(settings, console, say),
            Phones(f"127.0.0.1:{settings.sip_port}") as phones,
        ):
            began = clock.now()
            stage = DemoStage(
                settings, engine, Bus(settings.redis, settings.node), phones, say, began
            )
            try:
                await _play(stage, console)
                troubles = await _reckon(stage, console)
                await _report(stage, console, lang)
                if keep:
                    await _trickle(stage, console)
            finally:
                await stage.bus.close()
    except asyncio.CancelledError:
        console.print(say("stopped"))
        if troubles is None:
            return 130
    finally:
        await engine.dispose()
    verdict = say("failed").format(n=len(troubles)) if troubles else say("passed")
    console.print(verdict, style="bold")
    return 1 if troubles else 0


@dataclass
class DemoStage:
    """Everything that takes part."""

    settings: Settings
    engine: AsyncEngine
    bus: Bus
    phones: Phones
    say: Say
    began: int
    agents: dict[str, AgentPhone] = field(default_factory=dict)
    visits: list[Visit] = field(default_factory=list)

    def agent_heard(self, leg: Leg) -> AgentPhone | None:
        """The agent that this citizen hears, or None."""
        return next((phone for phone in self.agents.values() if leg.hears(phone.tone, 0.3)), None)

    def offered(self, visit: Visit) -> list[Leg]:
        """Each time that an agent's phone rang for this citizen."""
        phones = self.agents.values()
        return [leg for phone in phones for leg in phone.offers if leg.peer == visit.caller]

    async def facts(self) -> list[Fact]:
        """The diary so far."""
        read = reader.read(self.engine, self.began, clock.now() + SECOND)
        async with contextlib.aclosing(read) as rows:
            return [fact async for fact in rows]


# --- the centre


async def _prepare(console: Console, say: Say) -> Settings:
    """Choose a fresh home and free ports, and put them into the environment, where `hotline up` reads them."""
    usual = load()
    programs.find_asterisk()  # says what to do before anything is changed
    home = usual.root / "demo"
    address = "127.0.0.1"
    changed = []

    def port(name: str, protocol: str) -> int:
        wanted: int = getattr(usual, name)
        chosen = wanted if _free(address, protocol, wanted) else _some_port(address, protocol)
        if chosen != wanted:
            changed.append(f"{name.removesuffix('_port').upper()} {wanted} → {chosen}")
        return chosen

    first, last = usual.rtp_ports
    while not all(
        _free(address, "udp", tried) for tried in range(first, min(first + 200, last + 1))
    ):
        first, last = first + 1000, last + 1000
        if last > 32_000:
            raise ProgramError(
                "no free RTP ports below 32000: set HOTLINE_RTP_PORTS to a free range"
            )
    if (first, last) != usual.rtp_ports:
        changed.append(f"RTP {usual.rtp_ports[0]} → {first}")
    chosen = {
        "home": str(home),
        "trial": "true",
        "user": "",
        "numbers": usual.numbers[0],
        "trunks": address,
        "sip_address": address,
        "control_address": address,
        "web_address": address,
        "database_url": "",
        "redis_url": "",
        "rtp_ports": f"{first}-{last}",
        "ring_time": "15",
        "wrap_up_time": "3",
        "announce_every": "20",
    }
    await _clear(load(**chosen))
    chosen |= {
        "sip_port": str(port("sip_port", "both")),
        "ami_port": str(port("ami_port", "tcp")),
        "agi_port": str(port("agi_port", "both")),
        "web_port": str(port("web_port", "tcp")),
    }
    os.environ.update({f"HOTLINE_{name.upper()}": value for name, value in chosen.items()})
    settings = load()
    log.configure(settings.log_level, settings.log_dir / "demo.log")
    console.print(say("home").format(home=home), soft_wrap=True)
    for line in changed:
        console.print(say("port taken").format(line=line), style="yellow")
    return settings


async def _clear(settings: Settings) -> None:
    """End what an earlier demo left running in this home, then remove the home."""
    if not settings.root.exists():
        return
    if programs.running(programs.own_program(settings, "up")) is not None:
        raise ProgramError(f"a demo is running in {settings.root}: stop it first (Ctrl-C there)")
    for name in programs.OWN:
        await programs.stop(programs.own_program(settings, name))
    await programs.stop_asterisk(settings, programs.find_asterisk(), leave_calls=False)
    await programs.stop_redis(settings)
    try:
        shutil.rmtree(settings.root)
    except OSError as error:
        raise ProgramError(
            f"{settings.root} cannot be removed: {programs.explained(error)}"
        ) from None


@contextlib.asynccontextmanager
async def _centre(settings: Settings, console: Console, say: Say) -> AsyncIterator[None]:
    """Run `hotline up`, with the agents in its roster, until the end of the block."""
    began = time.monotonic()
    settings.root.mkdir(parents=True, exist_ok=True)
    engine = database.engine(settings.database)
    try:
        await migrations.upgrade(engine)
        for number, name in PEOPLE.items():
            await roster.add(engine, number, name, _PASSWORD, clock.now())
    finally:
        await engine.dispose()
    up = programs.own_program(settings, "up")
    programs.start(up)
    try:
        with console.status(say("starting")) if console.is_terminal else contextlib.nullcontext():
            await programs.until(up, lambda: _said_ready(up.log_file), 90)
        console.print(say("centre ready").format(seconds=time.monotonic() - began))
        console.print(say("wallboard").format(url=_wallboard(settings)), soft_wrap=True)
        console.print(say("supervisor").format(**_supervisor(settings)), soft_wrap=True)
        yield
    finally:
        with console.status(say("stopping")) if console.is_terminal else contextlib.nullcontext():
            await programs.stop(up, settings.stop_wait + 30)


async def _said_ready(output: Path) -> bool:
    try:
        return "ready" in output.read_text(errors="replace").split("\n")
    except FileNotFoundError:
        return False


def _wallboard(settings: Settings) -> str:
    """The wall's address with its token, so that it opens without signing in."""
    token = accounts.token_file(settings).read_text().strip()
    return f"http://{settings.web_address}:{settings.web_port}/?token={token}"


def _supervisor(settings: Settings) -> dict[str, str]:
    """Where a supervisor signs in, and how."""
    return {
        "url": f"http://{settings.web_address}:{settings.web_port}/supervisor",
        "name": accounts.FIRST_ACCOUNT,
        "password": accounts.password_file(settings).read_text().strip(),
    }


def _free(address: str, protocol: str, port: int) -> bool:
    kinds = {"tcp": [socket.SOCK_STREAM], "udp": [socket.SOCK_DGRAM]}.get(
        protocol, [socket.SOCK_STREAM, socket.SOCK_DGRAM]
    )
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as tried:
            if kind == socket.SOCK_STREAM:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((address, port))
            except OSError:
                return False
    return True


def _some_port(address: str, protocol: str) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.bind((address, 0))
            port = int(tried.getsockname()[1])
        if _free(address, protocol, port):
            return port


def _stop_on_sigterm() -> None:
    """SIGTERM ends the demo as Ctrl-C does: the centre is stopped too."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


# --- the play


async def _play(stage: DemoStage, console: Console) -> None:
    """Agents sign in, citizens call; returns when the last call is over."""
    chance = random.Random(12345)  # the same play every time
    plans = [Behaviour.TALK_SHORTLY if n % 4 == 3 else Behaviour.TALK for n in range(_CITIZENS)]
    plans[4] = plans[11] = Behaviour.LEAVE_IN_GREETING
    plans[13] = plans[16] = plans[19] = Behaviour.LEAVE_IN_QUEUE
    for n, plan in enumerate(plans, 1):
        stage.visits.append(Visit(stage.say("citizen").format(n=n), f"1390000{n:04}", plan))
    async with _shown(stage, console):
        await asyncio.gather(*(_sign_in(stage, number, chance) for number in PEOPLE))
        story = spawn(_reluctance(stage, stage.agents[_RELUCTANT]), "reluctant agent")
        lives = []
        for visit in stage.visits:
            lives.append(spawn(_live(stage, visit, chance), visit.name))
            await asyncio.sleep(_ARRIVE_EVERY)
        await asyncio.wait(lives, timeout=_PATIENCE)
        story.cancel()
        for visit in stage.visits:
            if not visit.over:
                visit.troubles.append(stage.say("never served"))


async def _sign_in(stage: DemoStage, number: str, chance: random.Random) -> None:
    phone = await stage.phones.agent(number, _PASSWORD, answer_after=chance.uniform(0.6, 2.0))
    stage.agents[number] = phone
    if number == _RELUCTANT:
        phone.answer_after = None
    leg = await phone.dial("*11")
    await leg.until_ended(10)


async def _reluctance(stage: DemoStage, phone: AgentPhone) -> None:
    """The agent who lets it ring: first to the end; then the agent is back, and two callers give up at the phone."""
    missed = await phone.until_rings(1, _PATIENCE)
    await missed.until_ended(30)
    await asyncio.sleep(3)
    back = await phone.dial("*11")
    await back.until_ended(10)
    for times in (2, 3):
        rings = await phone.until_rings(times, _PATIENCE)
        await asyncio.sleep(2.5)
        visit = next(visit for visit in stage.visits if visit.caller == rings.peer)
        if visit.leg is not None:
            visit.outcome = Outcome.ABANDONED_RINGING
            visit.waited = time.monotonic() - (visit.leg.answered_at or visit.leg.started_at)
            await visit.leg.hang_up()
        await rings.until_ended(5)
    phone.answer_after = 1.0


async def _live(stage: DemoStage, visit: Visit, chance: random.Random) -> None:
    """One citizen's call from dialling to its end."""
    talk_for = chance.uniform(4.0, 8.0)
    try:
        leg = visit.leg = await stage.phones.citizen(visit.caller).dial(stage.settings.numbers[0])
        await leg.until_answered(10)
        greeting = (await _prompt_seconds(stage)) + stage.settings.answer_pause
        patience = {Behaviour.LEAVE_IN_GREETING: 3.0, Behaviour.LEAVE_IN_QUEUE: greeting + 4.0}.get(
            visit.behaviour, _PATIENCE
        )
        agent = await _wait_for_agent(stage, visit, leg, patience)
        if agent is not None:
            await _talk(visit, leg, agent, talk_for)
    except Exception as error:  # noqa: BLE001 - whatever it was, this citizen was not served
        visit.troubles.append(str(error))
    if visit.leg is not None:
        await visit.leg.hang_up()
        with contextlib.suppress(TimeoutError):
            await visit.leg.until_ended(5)
        visit.on_phone = (visit.leg.ended_at or 0) - (visit.leg.answered_at or visit.leg.started_at)


async def _wait_for_agent(
    stage: DemoStage, visit: Visit, leg: Leg, patience: float
) -> AgentPhone | None:
    """Listen until an agent speaks; hang up when patience is at its end and no phone rings yet."""
    answered = leg.answered_at or time.monotonic()
    while True:
        if (agent := stage.agent_heard(leg)) is not None:
            visit.agent = agent.number
            visit.waited = time.monotonic() - answered
            return agent
        if visit.outcome is not None:
            return None  # the citizen gave up at a ringing phone
        if leg.ended_at is not None:
            raise TimeoutError(stage.say("hung up on"))
        held = any(offer.ended_at is None for offer in stage.offered(visit))
        if time.monotonic() - answered > patience and not held:
            left = Outcome.ABANDONED_QUEUE
            if visit.behaviour is Behaviour.LEAVE_IN_GREETING:
                left = Outcome.ABANDONED_GREETING
            visit.waited = time.monotonic() - answered
            await leg.hang_up()
            visit.outcome = left
            return None
        await asyncio.sleep(0.1)


async def _talk(visit: Visit, leg: Leg, agent: AgentPhone, seconds: float) -> None:
    """Talk; then the citizen hangs up, who should do so first (R6), or the agent does."""
    offer = next(offer for offer in reversed(agent.offers) if offer.peer == visit.caller)
    await asyncio.sleep(seconds)
    await (offer if visit.behaviour is Behaviour.TALK_SHORTLY else leg).hang_up()
    await leg.until_ended(5)
    await offer.until_ended(5)
    visit.talked = (offer.ended_at or 0) - (offer.answered_at or 0)
    heard, heard_there = leg.seconds_of(agent.tone), offer.seconds_of(leg.tone)
    if min(heard, heard_there) < visit.talked - 1.5:
        visit.troubles.append(
            f"of {visit.talked:.1f} s of talk the citizen heard {heard:.1f} s and the agent {heard_there:.1f} s"
        )
    visit.outcome = Outcome.HUMAN


async def _prompt_seconds(stage: DemoStage) -> float:
    """How long greeting and recording notice take together."""
    folder = stage.settings.asterisk_dir / "data" / "sounds" / "zh" / "hotline"
    names = (f"greeting_{stage.settings.numbers[0]}.alaw", "recording_notice.alaw")
    return sum(file.stat().st_size / RATE for name in names if (file := folder / name).exists())


async def _trickle(stage: DemoStage, console: Console) -> None:
    """One call every ten seconds, until cancelled: the wallboard has something to show."""
    chance = random.Random()
    console.print(stage.say("trickle").format(url=_wallboard(stage.settings)), style="bold")
    async with _shown(stage, console):
        while True:
            n = len(stage.visits) + 1
            visit = Visit(stage.say("citizen").format(n=n), f"1390000{n:04}", Behaviour.TALK)
            stage.visits.append(visit)
            spawn(_live(stage, visit, chance), visit.name)
            await asyncio.sleep(_TRICKLE)


# --- the screen


@contextlib.asynccontextmanager
async def _shown(stage: DemoStage, console: Console) -> AsyncIterator[None]:
    """Show the centre while the block runs: a live table on a terminal, else a line every five seconds."""
    if not console.is_terminal:
        showing = spawn(_show_lines(stage, console), "screen")
        try:
            yield
        finally:
            showing.cancel()
        return
    with Live(console=console, auto_refresh=False) as live:
        showing = spawn(_show_live(stage, live), "screen")
        try:
            yield
        finally:
            showing.cancel()
            live.update(await _view(stage), refresh=True)


async def _show_live(stage: DemoStage, live: Live) -> None:
    while True:
        live.update(await _view(stage), refresh=True)
        await asyncio.sleep(0.4)


async def _show_lines(stage: DemoStage, console: Console) -> None:
    began = time.monotonic()
    while True:
        line = summary(stage.say, await stage.facts())
        console.print(f"[{time.monotonic() - began:3.0f} s] {line}", markup=False)
        await asyncio.sleep(5)


async def _view(stage: DemoStage) -> RenderableType:
    presences: dict[str, str] = {}
    # Only the screen waits for Redis here, so it may be away for a moment.
    with contextlib.suppress(RedisError, OSError):
        shown = await stage.bus.live()
        agents = shown["agents"] if shown is not None else []
        presences = {agent["number"]: agent["presence"] for agent in agents}
    citizens = {normalise(visit.caller): visit.name for visit in stage.visits}
    return view(stage.say, await stage.facts(), PEOPLE, presences, citizens)


# --- the reckoning


async def _reckon(stage: DemoStage, console: Console) -> list[str]:
    """Compare what citizens lived through with what the hotline wrote down; returns what is wrong."""
    await _recordings_done(stage)
    now = clock.now()
    rows = await call_list.list_calls(stage.engine, stage.began - SECOND, now + SECOND, 10_000)
    by_caller: dict[str, list[call_list.CallRow]] = {}
    for row in rows:
        by_caller.setdefault(row["caller"], []).append(row)
    table = Table(title=stage.say("lived"), title_justify="left", box=None)
    for column in ("citizen column", "outcome", "agent", "waited", "talked", "recording"):
        table.add_column(
            stage.say(column), justify="right" if column in {"waited", "talked"} else "left"
        )
    for visit in stage.visits:
        recording = await _compare(stage, visit, by_caller.pop(normalise(visit.caller), []))
        table.add_row(
            visit.name,
            stage.say(visit.outcome.value) if visit.outcome else stage.say("lost"),
            visit.agent,
            f"{visit.waited:.1f} s" if visit.waited else "",
            f"{visit.talked:.1f} s" if visit.talked else "",
            recording,
            style="red" if visit.troubles else "",
        )
    console.print(table)
    troubles = [f"{visit.name}: {trouble}" for visit in stage.visits for trouble in visit.troubles]
    troubles += [f"{caller}: a call that nobody made" for caller in by_caller]
    for trouble in troubles:
        console.print(f"✗ {trouble}", style="red", markup=False)
    if not troubles:
        console.print(stage.say("agrees").format(n=len(stage.visits)), style="green")
    return troubles


async def _recordings_done(stage: DemoStage) -> None:
    """Wait until every call has ended and its recording is in the ledger, or is known to be missing."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        facts = await stage.facts()
        ended = {fact.call for fact in facts if isinstance(fact, CallEnded)}
        kept = {f.call for f in facts if isinstance(f, RecordingFinished | RecordingMissing)}
        if len(ended) >= len(stage.visits) and ended <= kept:
            return
        await asyncio.sleep(0.3)


async def _compare(stage: DemoStage, visit: Visit, rows: list[call_list.CallRow]) -> str:
    """Note in `visit.troubles` what does not agree; returns a word about the recording."""
    if len(rows) != 1:
        visit.troubles.append(f"{len(rows)} calls in the list instead of one")
        return ""
    row = rows[0]
    crossed = visit.outcome is Outcome.ABANDONED_QUEUE and stage.offered(visit)
    if crossed and row["outcome"] == Outcome.ABANDONED_RINGING.value:
        visit.outcome = Outcome.ABANDONED_RINGING  # the citizen's BYE met our INVITE to an agent
    if visit.outcome is not None and row["outcome"] != visit.outcome.value:
        visit.troubles.append(
            f"lived through {visit.outcome.value}, written down as {row['outcome']}"
        )
    if visit.agent and row["agents"] != [visit.agent]:
        visit.troubles.append(f"talked to {visit.agent}, written down as {row['agents']}")
    if visit.outcome is not Outcome.HUMAN or visit.leg is None:
        return ""
    file = stage.settings.root / "heard.wav"
    try:
        await copying.export(stage.engine, stage.settings, row["id"], file)
        left, right = await asyncio.to_thread(_sides, file)
    except (ledger.LedgerError, OSError, wave.Error) as error:
        visit.troubles.append(f"recording: {error}")
        return ""
    finally:
        file.unlink(missing_ok=True)
    seconds = left.size / RATE
    citizen = seconds_of(left, visit.leg.tone)
    agent = seconds_of(right, stage.agents[visit.agent].tone)
    if seconds < visit.talked - 0.5 or citizen < visit.talked - 0.7 or agent < visit.talked - 0.7:
        visit.troubles.append(
            f"recording of {seconds:.1f} s holds {citizen:.1f} s of the citizen and {agent:.1f} s of "
            f"the agent, who talked for {visit.talked:.1f} s"
        )
    return stage.say("both sides").format(seconds=seconds)


def _sides(file: Path) -> tuple[Sound, Sound]:
    with wave.open(str(file)) as sound:
        samples = np.frombuffer(sound.readframes(sound.getnframes()), dtype=np.int16)
    return samples[0::2], samples[1::2]


async def _report(stage: DemoStage, console: Console, lang: str) -> None:
    """Print the SLA report, where the recordings lie, and the wallboard's address."""
    report = await reports.sla(
        stage.engine, at=clock.now(), hours=24, fail_under=95, journal=stage.settings.run_dir
    )
    console.print()
    console.print(reports.render_text(report, lang=lang), markup=False, end="")
    console.print(
        stage.say("given up").format(n=_left_early(stage.visits)), style="dim", soft_wrap=True
    )
    console.print()
    console.print(
        stage.say("recordings").format(folder=stage.settings.recordings_dir), soft_wrap=True
    )
    # As it was typed to start this: after `make setup` it is in no folder of PATH.
    command = shlex.quote(sys.argv[0])
    console.print(
        stage.say("again").format(home=shlex.quote(str(stage.settings.root)), command=command),
        soft_wrap=True,
    )
    console.print(stage.say("wallboard").format(url=_wallboard(stage.settings)), soft_wrap=True)


def _left_early(visits: Iterable[Visit]) -> int:
    return sum(1 for visit in visits if visit.outcome not in {None, Outcome.HUMAN})
