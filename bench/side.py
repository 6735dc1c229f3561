"""One centre for the bench, in a folder of its own, and its sides on the same Asterisk.

`app_queue`: the dialplan alone, no controller. `hotline`: the controller beside it, as `hotline up` would run it.
All have the same agents' phones, the same trunk, greeting, recording, music and CEL. On the side of app_queue no
program listens to Asterisk's manager interface, so Asterisk makes no events: the comparison is the hardest for us.

The limits are no queues: `bare loop` is the smallest program that does a queue's work (`bench.bare_loop`). `dialplan`
is what the call costs Asterisk when nobody decides anything: each caller's own agent is in the dialplan, and whoever
waits hears music for ever; `dialplan, not recorded` is the same without MixMonitor.
"""

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import psutil
from sqlalchemy import delete

from acd.callbacks import tables as callbacks_tables
from acd.rules import book, edit
from acd.rules.model import DEFAULT, SurveyWhen
from agents import roster
from agents.model import Intent
from base import clock, database, log, migrations, settings
from base.bus import Bus
from bench import bare_loop
from bench.figures import SippCalls, sipp_calls
from bench.phone import GREETING_SOUND
from diary import tables as diary_tables
from facts.requests import AddCallback
from hotline.machine import programs, render
from hotline.machine.programs import AsteriskBinary, Program, ProgramError

HOTLINE = "hotline"
SURVEYED = "hotline, survey on"
APP_QUEUE = "app_queue"
SIDES = (APP_QUEUE, HOTLINE)
BARE_LOOP = "bare loop"
DIALPLAN = "dialplan"
NOT_RECORDED = "dialplan, not recorded"
LIMITS = (BARE_LOOP, DIALPLAN, NOT_RECORDED)

NUMBER = "12345"
AGENTS = tuple(str(number) for number in range(1001, 1201))
PASSWORD = "of-no-use-elsewhere"  # noqa: S105 of simulated phones on this machine

ANSWER_PAUSE = 0.2
PROMPT = 0.5
"""Seconds of each of the two prompts before the queue: the whole ones would fill this machine with callers who hear a
greeting."""
GREETING = ANSWER_PAUSE + 2 * PROMPT
"""Seconds from the answer until the caller wants a person, at least."""
QUEUES = {4: "20004", 200: "20200", 0: "20000"}
"""Agents in one of app_queue's queues → the number that leads there."""
_LOOP_NUMBER = "20401"
_TALKS = {DIALPLAN: "20501", NOT_RECORDED: "20502"}
"""Numbers that dial an agent by the dialplan alone."""
MUSIC = {DIALPLAN: "20503", NOT_RECORDED: "20504"}
"""Numbers that play music by the dialplan alone, until the caller hangs up."""

TALKS = 12
"""Talks of each kind at the same moment, where it is measured what recording adds (`talks`)."""
UNRECORDED = "12346"
"""Hotline's number whose calls are not recorded."""
RECORDED = " recorded"
"""What the name of a side has behind it, for its talks that are recorded."""
TALK_NUMBERS = {
    APP_QUEUE: "20301",
    APP_QUEUE + RECORDED: "20302",
    HOTLINE: UNRECORDED,
    HOTLINE + RECORDED: NUMBER,
}
"""Each kind of talks → the number that leads there."""
_TALK_QUEUES = {"20301": ("plain", 100), "20302": ("monitored", 150)}
"""app_queue's two of them: the queue, and the place of its first agent in `AGENTS`. The first 100 are Hotline's."""

_RTP_PORTS = (61_000, 65_499)  # above those that the kernel hands out by itself
_SCENARIOS = Path(__file__).parent


class Centre:
    """Asterisk and Redis of one bench, and the controller whenever its side is measured.

    Its folder is removed at the end, unless `BENCH_KEEP` is in the environment. Without `asterisk` none
    is started: then something else must be where the settings say that it is.
    """

    def __init__(self, agents: Sequence[str] = AGENTS, *, asterisk: bool = True) -> None:
        self._agents = tuple(agents)
        self._with_asterisk = asterisk
        self.home = Path(tempfile.mkdtemp(prefix="hotline-bench-"))
        sip, ami, agi, web, self.way_out, self.loop_port = free_ports(6)
        chosen = {
            "HOME": self.home,
            "CONFIG": self.home / "none.toml",
            "NUMBERS": f"{NUMBER},{UNRECORDED}",
            "SIP_PORT": sip,
            "AMI_PORT": ami,
            "AGI_PORT": agi,
            "WEB_PORT": web,
            "RTP_PORTS": f"{_RTP_PORTS[0]}-{_RTP_PORTS[1]}",
            "ANSWER_PAUSE": ANSWER_PAUSE,
            "WRAP_UP_TIME": 0,
            # app_queue announces nothing either.
            "ANNOUNCE_EVERY": 3600,
            "LONGEST_WAIT": 3600,
            "STOP_WAIT": 1,
            "OUTBOUND": f"sip:127.0.0.1:{self.way_out}",
            "CALLBACK_RINGS": 120,
            "DIAL_PER_HOUR": 0,
            "DIAL_PER_NUMBER_DAY": 0,
            "DIAL_BUDGET_DAY": 0,
            "MIN_FREE_MB": 0,
        }
        # The programs are started with this process's environment.
        for name in [name for name in os.environ if name.startswith("HOTLINE_")]:
            if name != "HOTLINE_CACHE":
                del os.environ[name]
        os.environ.update({f"HOTLINE_{name}": str(value) for name, value in chosen.items()})
        self.settings = settings.load()
        self.asterisk: AsteriskBinary = programs.find_asterisk()
        self._serve = programs.own_program(self.settings, "serve")
        self._recorder = programs.own_program(self.settings, "recorder")
        self._loop_secret = secrets.token_hex(32)

    @property
    def exchange(self) -> tuple[str, int]:
        """Where Asterisk listens for SIP."""
        return self.settings.sip_address, self.settings.sip_port

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stop()

    async def _start(self) -> None:
        log.configure("info", self.settings.log_dir / "bench.log")
        render.render(self.settings, self.asterisk)
        self._write_comparison()
        self._write_unrecorded()
        self._admit_loop()
        self._shorten_greeting()
        engine = database.engine(self.settings.database)
        try:
            await migrations.upgrade(engine)
            for number in self._agents:
                await roster.add(engine, number, f"Agent {number}", PASSWORD, clock.now())
        finally:
            await engine.dispose()
        await programs.start_redis(self.settings)
        if self._with_asterisk:
            await programs.start_asterisk(self.settings, self.asterisk)

    async def _stop(self) -> None:
        await programs.stop(self._serve)
        await programs.stop(self._recorder)
        await programs.stop(self._loop(0))
        await programs.stop_asterisk(self.settings, self.asterisk, leave_calls=False)
        await programs.stop_redis(self.settings)
        if "BENCH_KEEP" not in os.environ:
            shutil.rmtree(self.home, ignore_errors=True)

    # --- the sides

    @contextlib.asynccontextmanager
    async def side(self, name: str, ready: int) -> AsyncIterator[str]:
        """Make one side take calls; gives the number to call. `ready` agents want calls: 0, 4 or 200."""
        await self._forget()
        if name in _TALKS:
            yield _TALKS[name]
            return
        if name == APP_QUEUE:
            yield QUEUES[ready]
            return
        if name == BARE_LOOP:
            async with self.bare_loop(ready):
                yield _LOOP_NUMBER
            return
        if name == SURVEYED:
            async with self._survey(), self.controller(ready):
                yield NUMBER
            return
        async with self.controller(ready):
            yield NUMBER

    @contextlib.asynccontextmanager
    async def _survey(self) -> AsyncIterator[None]:
        """Have every talk's end asked for a survey."""
        engine = database.engine(self.settings.database)
        try:
            await book.change(engine, edit.set_queue(DEFAULT, {"survey": SurveyWhen.HANG_UP}))
            yield
            await book.change(engine, edit.set_queue(DEFAULT, {}, ["survey"]))
        finally:
            await engine.dispose()

    @contextlib.asynccontextmanager
    async def controller(self, ready: int, command: Sequence[str] = ()) -> AsyncIterator[None]:
        """Run the controller with so many agents who want calls; `command`: by this, in place of `hotline serve`."""
        await self._want_calls(self._agents[:ready])
        program = replace(self._serve, command=tuple(command) or self._serve.command)
        programs.start(program)
        try:
            await self._until_ready(ready)
            yield
        finally:
            await programs.stop(program)

    @contextlib.asynccontextmanager
    async def bare_loop(self, ready: int) -> AsyncIterator[None]:
        """Run the bare loop with so many idle agents; callers reach it at `loop_port`."""
        program = self._loop(ready)
        programs.start(program)
        try:
            await programs.until(program, self._loop_answers, 30)
            yield
        finally:
            await programs.stop(program)

    def _loop(self, ready: int) -> Program:
        ports = str(self.settings.ami_port), str(self.loop_port)
        return Program(
            "bare-loop",
            (
                sys.executable,
                "-m",
                "bench.bare_loop",
                *ports,
                self._loop_secret,
                *self._agents[:ready],
            ),
            self.settings.run_dir / "bench-bare-loop.pid",
            self.settings.log_dir / "bare-loop.out",
        )

    async def _loop_answers(self) -> bool:
        # It opens this port when it has signed in to Asterisk.
        return await programs.answers("127.0.0.1", self.loop_port)

    async def call_back(self, citizens: Collection[str]) -> None:
        """Have these citizens called back, again and again."""
        bus = Bus(self.settings.redis, self.settings.node)
        try:
            for number in citizens:
                await bus.ask(AddCallback(number, attempts=20, spacing=0))
        finally:
            await bus.close()

    async def _want_calls(self, ready: Collection[str]) -> None:
        engine = database.engine(self.settings.database)
        try:
            for number in self._agents:
                # Paused, not signed out: in a centre without any agents, callers hear that nobody is there.
                intent = Intent.READY if number in ready else Intent.PAUSED
                await roster.set_intent(engine, number, intent, "", clock.now())
        finally:
            await engine.dispose()

    async def _until_ready(self, ready: int) -> None:
        bus = Bus(self.settings.redis, self.settings.node)
        since = clock.now()

        async def all_there() -> bool:
            live = await bus.live()
            if live is None or live["at"] < since or len(live["agents"]) < len(self._agents):
                return False
            return [agent["presence"] for agent in live["agents"]].count("ready") == ready

        try:
            await programs.until(self._serve, all_there, 60)
        finally:
            await bus.close()

    # --- what is measured

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time so far: of each program with its children, and of the whole machine as `all`."""
        known = {
            "asterisk": programs.asterisk_program(self.settings, self.asterisk),
            "redis": programs.redis_program(self.settings),
            "controller": self._serve,
            "recorder": self._recorder,
            BARE_LOOP: self._loop(0),
        }
        # Every program runs in a session of its own.
        sessions = {programs.running(program): name for name, program in known.items()}
        spent = dict.fromkeys(known, 0.0)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if (name := sessions.get(os.getsid(process.pid))) is not None:
                    used = process.cpu_times()
                    spent[name] += used.user + used.system
                    spent[name] += used.children_user + used.children_system
        own = os.times()
        spent["bench"] = own.user + own.system + own.children_user + own.children_system
        machine = psutil.cpu_times()
        spent["all"] = machine.user + machine.nice + machine.system
        return spent

    def threads(self) -> dict[str, float]:
        """Seconds of processor time so far of each of Asterisk's threads, by the thread's number."""
        asterisk = programs.running(programs.asterisk_program(self.settings, self.asterisk))
        spent = {}
        # In nanoseconds: psutil has ticks of 10 ms, more than most of these threads use in a whole run.
        for file in Path(f"/proc/{asterisk}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                spent[file.parent.name] = int(file.read_text().split()[0]) / 1e9
        return spent

    def recordings(self) -> dict[str, int]:
        """How many files each side has into which sound was written."""
        folders = {
            APP_QUEUE: self.settings.asterisk_dir / "lib" / "spool" / "monitor",
            HOTLINE: self.settings.spool_dir,
        }
        return {
            side: sum(file.stat().st_size > 0 for file in folder.glob("*"))
            for side, folder in folders.items()
        }

    async def channels(self) -> int:
        """How many channels Asterisk has."""
        answer = await programs.asterisk_cli(
            self.settings, self.asterisk, "core show channels count"
        )
        first = answer.split(" ", 1)[0]
        return int(first) if first.isdigit() else 0

    async def sipp(
        self, scenario: str, number: str, *, calls: int, rate: float, sink: int, hold: float = 0.0
    ) -> SippCalls:
        """Let SIPp make `calls` calls to `number`, `rate` new ones a second. Their sound goes to port `sink`.

        Raises `ProgramError` when SIPp has counted nothing.
        """
        counted = self.home / f"sipp-{secrets.token_hex(4)}.csv"
        host, port = self.exchange
        options = {
            "-sf": _SCENARIOS / f"{scenario}.xml",
            "-s": number,
            "-i": host,
            "-m": calls,
            "-r": rate,
            "-l": calls,
            "-d": round(hold * 1000),
            "-stf": counted,
            "-fd": 1,
            "-recv_timeout": 120_000,
            "-timeout": round(calls / rate + hold + 180),
        }
        words = [str(word) for option in options.items() for word in option]
        sipp = await asyncio.create_subprocess_exec(
            "sipp",
            f"{host}:{port}",
            *words,
            *("-key", "sink", str(sink), "-trace_stat", "-nostdin"),
            cwd=self.home,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await sipp.communicate()
        finally:
            if sipp.returncode is None:
                sipp.kill()
                await sipp.wait()
        try:
            return sipp_calls(counted.read_text())
        except (OSError, ValueError) as error:
            why = said.decode(errors="replace").strip().splitlines()
            raise ProgramError(f"SIPp failed: {why[-1] if why else error}") from None

    async def record_all(self, within: float = 120.0) -> float:
        """Run the recorder until nothing is left to do. Gives the seconds of processor time it took.

        Raises `ProgramError` when it is not ready in time.
        """
        programs.start(self._recorder)
        try:

            async def done() -> bool:
                return not any(self.settings.spool_dir.glob("*.raw"))

            # It looks for work once a second.
            await asyncio.sleep(3)
            await programs.until(self._recorder, done, within)
            return self.cpu()["recorder"]
        finally:
            await programs.stop(self._recorder, within=30)

    # --- files

    async def _forget(self) -> None:
        """Forget all earlier calls: no recordings that wait, no callbacks, an empty diary."""
        for file in self.settings.spool_dir.glob("*.raw"):
            file.unlink()
        engine = database.engine(self.settings.database)
        try:
            async with engine.begin() as connection:
                await connection.execute(delete(diary_tables.diary))
                await connection.execute(delete(callbacks_tables.callback))
        finally:
            await engine.dispose()

    def _shorten_greeting(self) -> None:
        """Give this centre a greeting and a notice of `PROMPT` seconds each, and a sound that phones can tell."""
        whole = render.TEMPLATES / "prompts" / "zh"
        folder = self.home / "prompts"
        shutil.copytree(whole, folder)
        for key in ("greeting_12345", "recording_notice"):
            (folder / f"{key}.alaw").write_bytes(GREETING_SOUND * round(PROMPT * 8000))
        link = self.settings.asterisk_dir / "data" / "sounds" / "zh" / "hotline"
        link.unlink()
        link.symlink_to(folder)

    def _write_comparison(self) -> None:
        """Put app_queue beside the hotline: the same trunk, greeting and phones, and a queue for the controller."""
        folder = self.settings.asterisk_dir
        limits = [_LOOP_NUMBER, *_TALKS.values(), *MUSIC.values()]
        numbers = "|".join([*QUEUES.values(), *_TALK_QUEUES, *limits])
        (folder / "pjsip_extra.conf").write_text(
            "[trunk-bench]\ntype = identify\nendpoint = trunk\nmatch = 127.0.0.1\n"
            f"match_request_uri = /^(sips?|tel):({numbers})([@\\;]|$)/\n"
        )
        extensions = ["[inbound](+)"]
        later: list[str] = []
        queues = []
        for size, number in QUEUES.items():
            extensions += [
                f"exten = {number},1,Set(BENCH_QUEUE=bench-{size})",
                " same = n,Goto(bench,s,1)",
            ]
            queues += [
                f"[bench-{size}]",
                *_QUEUE,
                *(f"member => PJSIP/{one}" for one in AGENTS[:size]),
            ]
        for number, (name, first) in _TALK_QUEUES.items():
            extensions += [
                f"exten = {number},1,Set(BENCH_QUEUE=bench-{name})",
                " same = n,Answer()",
                " same = n,Goto(bench,s,greeting)",
            ]
            queues += [
                f"[bench-{name}]",
                *_QUEUE,
                *(f"member => PJSIP/{one}" for one in AGENTS[first : first + TALKS]),
            ]
        # What is written is what `wav` writes, without a header; format_wav is not loaded.
        queues.append("monitor-format = sln")
        # Whoever calls: SIPp's callers are 1391, 1392, …, so that no two talk to one agent in a short time.
        agent = f"$[${{CALLERID(num):3}} % {len(AGENTS)} + {AGENTS[0]}]"
        for number, context, step in (
            (_LOOP_NUMBER, "bench-loop", f"AGI(agi://127.0.0.1:{self.loop_port})"),
            (_TALKS[DIALPLAN], "bench-dial", f"Dial(PJSIP/{agent},15,miI)"),
            (_TALKS[NOT_RECORDED], "bench-dial-plain", f"Dial(PJSIP/{agent},15,miI)"),
            (MUSIC[DIALPLAN], "bench-music", "MusicOnHold()"),
            (MUSIC[NOT_RECORDED], "bench-music-plain", "MusicOnHold()"),
        ):
            extensions += [f"exten = {number},1,Goto({context},s,1)"]
            later += self._greeted(context, step, recorded=not context.endswith("plain"))
        extensions += self._greeted("bench", "Queue(${BENCH_QUEUE},iI)")
        extensions += later
        (folder / "extensions_extra.conf").write_text("\n".join([*extensions, ""]))
        (folder / "queues_extra.conf").write_text("\n".join([*queues, ""]))

    def _greeted(self, context: str, step: str, *, recorded: bool = True) -> list[str]:
        """A context that answers, records, greets, and takes one step."""
        monitor = f" same = n,MixMonitor({self.settings.spool_dir}/${{UNIQUEID}}.raw,D)"
        return [
            f"[{context}]",
            "exten = s,1,Answer()",
            *([monitor] if recorded else []),
            f" same = n(greeting),Wait({ANSWER_PAUSE})",
            " same = n,Playback(hotline/greeting_12345&hotline/recording_notice)",
            f" same = n,{step}",
            " same = n,Hangup()",
        ]

    def _admit_loop(self) -> None:
        """Let the bare loop hear of hang-ups, by the filter that Hotline has for them, and of nothing else."""
        manager = self.settings.asterisk_dir / "manager.conf"
        written = manager.read_text()
        filters = re.findall(r"^eventfilter.*\bHangup\b.*$", written, re.MULTILINE)
        if len(filters) != 1:
            raise ProgramError(
                f"{manager} has {len(filters)} filters for Hangup: correct bench/side.py"
            )
        own = [f"[{bare_loop.USER}]", f"secret = {self._loop_secret}", "read = call", *filters]
        manager.write_text("\n".join([written, *own, ""]))

    def _write_unrecorded(self) -> None:
        """Lead `UNRECORDED` past the place where Hotline's dialplan begins to record."""
        recorded, way = (
            f"exten = {UNRECORDED},1,Set(HL_NUMBER={UNRECORDED})\n same = n,Goto(",
            "s,1)",
        )
        dialplan = self.settings.asterisk_dir / "extensions.conf"
        written = dialplan.read_text()
        if (begin := f"{recorded}hotline-call,{way}") not in written:
            raise ProgramError(f"{dialplan} has no {begin!r} any more: correct bench/side.py")
        dialplan.write_text(written.replace(begin, f"{recorded}bench-unrecorded,{way}"))
        steps = [
            "Set(HL_ARRIVED=${STRFTIME(,UTC,%s%6q)})",
            "Set(QUEUE_PRIO=$[2147483647 - ${EPOCH}])",
            "Set(HL_TRIES=0)",
            "Set(__TRANSFER_CONTEXT=transfer)",
            "Answer()",
            f"Wait({ANSWER_PAUSE})",
            "Goto(hotline-call,s,controller)",
        ]
        lines = [f" same = n,{step}" for step in steps]
        with (self.settings.asterisk_dir / "extensions_extra.conf").open("a") as file:
            file.write("\n".join(["[bench-unrecorded]", "exten = s,1,NoOp()", *lines, ""]))


_QUEUE = (
    "strategy = leastrecent",
    "musicclass = default",
    "timeout = 15",
    # The least that app_queue takes: 0 would mean its default, 5.
    "retry = 1",
    "wrapuptime = 0",
    "ringinuse = no",
    "joinempty = yes",
    "leavewhenempty = no",
    "announce-frequency = 0",
    "announce-holdtime = no",
    "announce-position = no",
)


def stop_on_sigterm() -> None:
    """From now on SIGTERM is as Ctrl-C: what was started is stopped, and a second signal does not interrupt that."""

    def interrupt(_number: int, _frame: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def free_ports(count: int) -> list[int]:
    """Ports that no process uses, TCP or UDP."""
    found: list[int] = []
    deadline = time.monotonic() + 5
    while len(found) < count and time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError), socket.socket() as tcp:
                tcp.bind(("127.0.0.1", port))
                found.append(port)
    return found
