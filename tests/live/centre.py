"""A whole centre for tests: `hotline up` in a folder of its own, on ports of its own, and ways to look into it.

with Centre(ring_time=3) as centre:
    centre.add_agent("1001")
    ...
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from base.bus import Bus
from facts import CallArrived, CallEnded, Fact, restore
from facts.numbers import normalise
from facts.offers import NO_TALK
from facts.requests import Reply, Request
from facts.times import SECOND
from hotline.machine.programs import find_asterisk
from metrics.verify import SETTLED
from softphone.phones import AgentPhone, Leg, Phones
from tests import ports

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "asterisk-conf" / "prompts" / "zh"
NUMBER = "12345"
PASSWORD = "a-long-enough-password"

_PROGRAM = [sys.executable, "-c", "from hotline.__main__ import main; main()"]


F = TypeVar("F", bound=Fact)

A_TALK: Final = NO_TALK / SECOND + 0.1
"""Seconds after which an answer is one: a talk that is over sooner is none (M1)."""


async def until_talk(leg: Leg, tone: int, within: float = 10) -> None:
    """Wait until one side hears the other, and then until this is a talk (`A_TALK`)."""
    await leg.until_hears(tone, within)
    await asyncio.sleep(A_TALK)


class Centre:
    """One running centre. `settings` are those of `base.settings`, with short times as defaults."""

    def __init__(self, **settings: object) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="hl-"))
        self._block = ports.take()
        first = self._block.first
        self.sip = f"127.0.0.1:{first}"
        self.ami_port, self.agi_port, self.web_port = first + 1, first + 2, first + 3
        self.metrics_port = first + 4
        self.tls = f"127.0.0.1:{first + 5}"
        """Where TLS is spoken, if a `tls_certificate` is among the settings."""
        chosen: dict[str, object] = {
            "home": self.home,
            "numbers": NUMBER,
            "sip_port": first,
            "ami_port": self.ami_port,
            "agi_port": self.agi_port,
            "web_port": self.web_port,
            "metrics_port": self.metrics_port,
            "rtp_ports": f"{first + 10}-{first + ports.BLOCK - 1}",
            "ring_time": 3,
            "wrap_up_time": 0.5,
            "stop_wait": 1,
            "min_free_mb": 0,
            "trial": "true",
            "dial_per_number_day": 0,
            **({"tls_port": first + 5} if "tls_certificate" in settings else {}),
            **settings,
        }
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HOTLINE_")
        }
        if "HOTLINE_CACHE" in os.environ:
            self.environment["HOTLINE_CACHE"] = os.environ["HOTLINE_CACHE"]
        self.environment |= {
            f"HOTLINE_{name.upper()}": str(value) for name, value in chosen.items()
        }
        self.environment["PYTHONPATH"] = str(ROOT)
        self.expected: list[str] = []
        """Parts of log lines of level error that this test brings about on purpose."""
        self.ready_after = 0.0
        """Seconds that the last start took."""
        self._up: subprocess.Popen[bytes] | None = None
        self._output = self.home / "up.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.stop()
        finally:
            self._end()

    # --- the programs

    def start(self, within: float = 60) -> None:
        """Run `hotline up` and wait for its line `ready`. Raises `AssertionError` with the logs."""
        begun = time.monotonic()
        with self._output.open("ab") as output:
            self._up = subprocess.Popen(
                [*_PROGRAM, "up"],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        offset = self._output.stat().st_size

        def ready() -> bool:
            with self._output.open("rb") as text:
                text.seek(offset)
                said = text.read()
            if self._up is not None and self._up.poll() is not None:
                raise AssertionError(
                    f"hotline up ended: {said.decode(errors='replace')}{self.logs()}"
                )
            return any(line.strip() == b"ready" for line in said.splitlines())

        self.wait(ready, within, "hotline up to say `ready`")
        self.ready_after = time.monotonic() - begun

    def start_alone(self, program: str) -> subprocess.Popen[bytes]:
        """Run only one of the centre's programs, such as `serve`."""
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [*_PROGRAM, program],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def discard(self) -> None:
        """Kill what is left, and remove the folder."""
        self._end()

    def stop(self, within: float = 30) -> None:
        """SIGTERM to `hotline up`: it must end by itself, with status 0, and leave no process behind."""
        up = self._up
        if up is None:
            return
        up.terminate()
        self.revive()  # a test that failed may have left it halted
        try:
            status = up.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"hotline up did not end on SIGTERM:\n{self.logs()}") from None
        self._up = None
        assert status == 0, f"hotline up ended with status {status}:\n{self.logs()}"
        self.wait(lambda: not self.processes(), 5, f"no process left of {self.processes()}")

    def processes(self, program: str = "") -> dict[int, str]:
        """Living processes of this centre: process id → command line, those with `program` in it."""
        mine = f"HOTLINE_HOME={self.home}".encode()
        redis = f"redis-server unixsocket:{self.home}/"  # it writes its title over its environment
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                ours = mine in (folder / "environ").read_bytes().split(b"\0")
                if (ours or redis in command) and command and program in command:
                    found[int(folder.name)] = command
        return found

    def pid(self, program: str) -> int:
        """The one process of this centre with `program` in its command line."""
        found = self.processes(program)
        assert len(found) == 1, f"not one process named {program}: {self.processes()}"
        return next(iter(found))

    def kill_controller(self, *, for_good: bool = False) -> None:
        """`kill -9` of `hotline serve`. `for_good`: what would start it again is halted; see `revive`."""
        if for_good and self._up is not None:
            self._up.send_signal(signal.SIGSTOP)
        pid = self.pid(" serve")
        self.expected.append('"event":"program.died","program":"serve"')
        os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not self._alive(pid), 5, "the controller to be dead")

    def halt_controller(self) -> None:
        """Let the controller stand still (SIGSTOP)."""
        os.kill(self.pid(" serve"), signal.SIGSTOP)

    def revive(self) -> None:
        """Let the controller be started again."""
        if self._up is not None:
            self._up.send_signal(signal.SIGCONT)

    def asterisk(self, command: str) -> str:
        """What Asterisk's own command line answers, as `asterisk -rx` would."""
        binary = find_asterisk()
        done = subprocess.run(
            [*binary.command, "-C", str(self.home / "asterisk" / "asterisk.conf"), "-rx", command],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout

    def cut_link(self) -> None:
        """Asterisk throws the controller out of its manager interface."""
        sessions = re.findall(
            r"^\s*hotline\s+\S+\s+\S+\s+\S+\s+(\d+)",
            self.asterisk("manager show connected"),
            re.MULTILINE,
        )
        assert sessions, self.asterisk("manager show connected")
        for descriptor in sessions:
            self.asterisk(f"manager kick session {descriptor}")

    def shut_link(self) -> None:
        """Asterisk's manager interface is away, and the controller thrown out, until `open_link`. Calls go on."""
        self._enable_link("no")
        self.cut_link()

    def open_link(self) -> None:
        """Let the controller in again."""
        self._enable_link("yes")

    def _enable_link(self, answer: str) -> None:
        file = self.home / "asterisk" / "manager.conf"
        text = re.sub(
            r"^enabled = \w+$", f"enabled = {answer}", file.read_text(), flags=re.MULTILINE
        )
        file.write_text(text)
        self.asterisk("manager reload")

    @staticmethod
    def _alive(pid: int) -> bool:
        with contextlib.suppress(OSError):
            # A zombie, not yet fetched by its parent, is dead too.
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    def _end(self) -> None:
        self.revive()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            self.wait(lambda: not self.processes(), 5, "everything killed")
        if self._up is not None:
            self._up.wait(5)
            self._up = None
        self._block.close()
        if "HOTLINE_KEEP_TEST_HOMES" not in os.environ:
            shutil.rmtree(self.home, ignore_errors=True)

    # --- what an operator types

    def run(self, *arguments: str, stdin: str = "", status: int | None = 0) -> str:
        """Run `hotline ARGUMENTS` and return what it printed; `status` None accepts any."""
        done = subprocess.run(
            [*_PROGRAM, *arguments],
            cwd=self.home,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert status is None or done.returncode == status, (
            f"hotline {' '.join(arguments)}: status {done.returncode}, not {status}\n"
            f"{done.stdout}{done.stderr}"
        )
        return done.stdout

    async def cli(self, *arguments: str, stdin: str = "", status: int | None = 0) -> str:
        """`run` beside the simulated telephones."""
        return await asyncio.to_thread(self.run, *arguments, stdin=stdin, status=status)

    def add_agent(self, *numbers: str) -> None:
        """Add agents with the password `PASSWORD`."""
        for number in numbers:
            self.run(
                "agent",
                "add",
                number,
                "--name",
                f"坐席{number}",
                "--password-stdin",
                stdin=PASSWORD,
            )

    def change_prompts(self, **changed: bytes | None) -> None:
        """Give this centre prompts of its own: A-law sound by key, None for a file that is missing."""
        folder = self.home / "prompts"
        shutil.copytree(PROMPTS, folder, dirs_exist_ok=True)
        for key, sound in changed.items():
            file = folder / f"{key}.alaw"
            file.unlink(missing_ok=True)
            if sound is not None:
                file.write_bytes(sound)
        link = self.home / "asterisk" / "data" / "sounds" / "zh" / "hotline"
        link.unlink()
        link.symlink_to(folder)

    def shorten_greeting(self, **changed: bytes | None) -> None:
        """Greeting and recording notice of half a second each, where a test is about what comes after them."""
        beginnings: dict[str, bytes | None] = {
            key: (PROMPTS / f"{key}.alaw").read_bytes()[:4000]
            for key in ("greeting_12345", "recording_notice")
        }
        self.change_prompts(**{**beginnings, **changed})

    async def agent(self, phones: Phones, number: str, **manners: Any) -> AgentPhone:
        """Sign the agent's phone in and dial *11: ready for calls."""
        phone = await phones.agent(number, PASSWORD, **manners)
        await self.press(phone, "*11")
        return phone

    async def press(self, phone: AgentPhone, code: str) -> None:
        """Dial a feature code and hear its answer to the end."""
        leg = await phone.dial(code)
        await leg.until_hears_something()
        await leg.until_ended(10)

    async def presences(self) -> dict[str, str]:
        """Every agent's presence by number, from the live state that `hotline agent list` shows."""
        bus = Bus(f"unix://{self.home}/run/redis.sock", "hotline")
        try:
            shown = await bus.live()
        finally:
            await bus.close()
        return {agent["number"]: agent["presence"] for agent in shown["agents"]} if shown else {}

    async def presence(self, number: str, presence: str | None, within: float = 10) -> None:
        """Wait until this agent's presence is this one; None: until there is no such agent. Raises `AssertionError`."""
        deadline = time.monotonic() + within
        while (found := (await self.presences()).get(number)) != presence:
            assert time.monotonic() < deadline, f"{number} is {found}, not {presence}"
            await asyncio.sleep(0.1)

    async def without_phone(self, number: str, within: float = 10) -> None:
        """Wait until nothing can be offered to this agent: no phone, or not asked for. Raises `AssertionError`."""
        deadline = time.monotonic() + within
        while (found := (await self.presences()).get(number)) not in ("out", "unreachable"):
            assert time.monotonic() < deadline, f"{number} is {found}"
            await asyncio.sleep(0.1)

    async def calls(self) -> list[dict[str, Any]]:
        """`hotline calls`."""
        rows: list[dict[str, Any]] = json.loads(await self.cli("calls", "--format", "json"))
        return rows

    async def call(self, caller: str, within: float = 30) -> dict[str, Any]:
        """The ended call of this caller as `hotline calls` shows it."""
        await self.fact(CallEnded, within, call=await self.call_id(caller))
        row = [row for row in await self.calls() if row["caller"] == normalise(caller)][-1]
        assert row["ended"], row
        return row

    async def call_id(self, caller: str, within: float = 15) -> str:
        """The id of this caller's newest call."""
        return (await self.fact(CallArrived, within, caller=normalise(caller))).call

    async def verified(self) -> None:
        """Roll-ups, screens, CEL and the ledger agree with the diary. The last two follow a call after a while."""
        await asyncio.sleep(SETTLED / SECOND + 1)
        await self.cli("metrics", "verify")

    async def report(self, *options: str) -> dict[str, Any]:
        """`hotline report sla`, whatever its verdict."""
        report: dict[str, Any] = json.loads(
            await self.cli("report", "sla", "--format", "json", *options, status=None)
        )
        return report

    # --- a look inside

    def facts(self, *kinds: type[F], call: str = "", agent: str = "") -> list[F]:
        """The diary's rows of these kinds, in order. SQLite only."""
        names = {kind.kind for kind in kinds}
        found = [restore(*row) for row in self._rows(call, agent) if row[0] in names]
        return [fact for fact in found if isinstance(fact, kinds)]

    def diary(self, call: str = "") -> list[Fact]:
        """The diary's rows of all kinds, in order. SQLite only."""
        return [restore(*row) for row in self._rows(call)]

    def _rows(self, of_call: str, of_agent: str = "") -> list[tuple[str, int, str, str, Any]]:
        database = sqlite3.connect(f"file:{self.home / 'hotline.db'}?mode=ro", uri=True, timeout=5)
        try:
            rows = database.execute(
                "SELECT kind, at, call, agent, more FROM diary ORDER BY id"
            ).fetchall()
        finally:
            database.close()
        return [
            (kind, at, call, agent, json.loads(more))
            for kind, at, call, agent, more in rows
            if (not of_call or call == of_call) and (not of_agent or agent == of_agent)
        ]

    async def fact(self, kind: type[F], within: float = 15, count: int = 1, **values: object) -> F:
        """Wait for the `count`-th fact of a kind whose fields have these values."""
        found: list[F] = []

        def there() -> bool:
            found[:] = [
                fact
                for fact in self.facts(kind)
                if all(getattr(fact, name) == value for name, value in values.items())
            ]
            return len(found) >= count

        await self.until(there, within, f"{count} {kind.kind} with {values}")
        return found[count - 1]

    async def ask(self, asked: Request) -> Reply:
        """Ask the controller as the screens do, but patiently: this machine's clock is no promise of the hotline's."""
        bus = Bus(f"unix://{self.home}/run/redis.sock", "hotline", patience=15)
        try:
            return await bus.ask(asked, wait=10)
        finally:
            await bus.close()

    def wait(self, true: Callable[[], bool], within: float, what: str) -> None:
        """Wait for a condition. Raises `AssertionError` with the logs."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {within} s for {what}\n{self.logs()}")
            time.sleep(0.05)

    async def until(self, true: Callable[[], bool], within: float, what: str) -> None:
        """Wait for a condition beside the simulated telephones. Raises `AssertionError`."""
        deadline = time.monotonic() + within
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {within} s for {what}")
            await asyncio.sleep(0.05)

    def log_lines(self) -> Iterator[str]:
        """All lines of all logs."""
        for file in [self._output, *sorted((self.home / "log").rglob("*"))]:
            if file.is_file() and file.suffix != ".csv":
                with file.open(errors="replace") as text:
                    for line in text:
                        yield f"{file.name}: {line.rstrip()[:500]}"

    def logs(self, last: int = 80) -> str:
        """The end of all logs."""
        return "\n".join(list(self.log_lines())[-last:])

    def complaints(self) -> list[str]:
        """Log lines of level error that no test announced in `expected`."""
        return [
            line
            for line in self.log_lines()
            if ('"level":"error"' in line or "[error" in line or " ERROR[" in line)
            and not any(part in line for part in self.expected)
        ]
