"""The centre's programs: how `hotline up` finds, starts, watches and stops them.

Every program runs in a session of its own and outlives us: talks go on when `hotline up` ends or is killed, and the
next `hotline up` adopts what still runs. A program is known by its process id and by the moment at which that process
began; both are in its pid file. So another process with the same id later is never taken for it.
"""

import asyncio
import contextlib
import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import structlog

from base.retry import Schedule
from base.settings import Settings

log = structlog.get_logger(__name__)

POLL = 0.1
"""Seconds between two looks at a process."""

_RETRY = Schedule(first=0.5, longest=10.0)
_STEADY_AFTER = 60.0
_CHECK_EVERY = 2.0
_CHECKS_MISSED = 3
_BOOT_ID = Path(
    "/proc/sys/kernel/random/boot_id"
)  # psutil knows when the machine started, but not this


class ProgramError(Exception):
    """A program cannot be found, started or stopped. The message says which, why and what to do."""


# --- one program


@dataclass(frozen=True, slots=True)
class Program:
    """How one program is run, and where it leaves its process id and its output."""

    name: str
    command: tuple[str, ...]
    pid_file: Path
    log_file: Path


def running(program: Program) -> int | None:
    """The id of the program's process, or None when it does not run."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        pid, *began = program.pid_file.read_text().split()
        if began and _began(int(pid)) == began:
            return int(pid)
    return None


def start(program: Program) -> int:
    """Start the program in a session of its own, with its output appended to its log file.

    Returns its process id, at once. Raises `ProgramError` when it runs already or cannot be started.
    """
    if (pid := running(program)) is not None:
        raise ProgramError(f"{program.name} runs already, as process {pid}")
    output = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = 0
    try:
        for file in (program.pid_file, program.log_file):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pid = os.posix_spawnp(
            program.command[0],
            program.command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(program.log_file), output, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            # Python ignores it, and a program would inherit that.
            setsigdef=[signal.SIGPIPE],
        )
        program.pid_file.write_text(" ".join([str(pid), *_began(pid)]) + "\n")
    except OSError as error:
        if pid:  # it runs, but nobody would know it
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        raise ProgramError(f"{program.name} cannot be started: {explained(error)}") from None
    log.info("program.started", program=program.name, pid=pid)
    return pid


async def until(program: Program, ready: Callable[[], Awaitable[bool]], within: float) -> None:
    """Wait until `ready()` says yes. Raises `ProgramError` when the program dies or takes longer."""
    deadline = time.monotonic() + within
    while not await ready():
        if running(program) is None:
            raise ProgramError(f"{program.name} ended at once: {_last_words(program)}")
        if time.monotonic() > deadline:
            raise ProgramError(
                f"{program.name} is not ready after {within:g} s: {_last_words(program)}"
            )
        await asyncio.sleep(POLL)


async def stop(program: Program, within: float = 10.0) -> None:
    """End the program: SIGTERM, and SIGKILL for its whole session when it takes longer than `within`."""
    pid = running(program)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not await ended(program, within):
            log.error("program.killed", program=program.name, pid=pid, waited=within)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            await ended(program, within)
    program.pid_file.unlink(missing_ok=True)


async def ended(program: Program, within: float) -> bool:
    """Wait until the program does not run any more; False when it still does after `within` seconds."""
    deadline = time.monotonic() + within
    while running(program) is not None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL)
    return True


async def keep(program: Program, alive: Callable[[], Awaitable[bool]] | None = None) -> None:
    """Keep the program running until cancelled; the cancelled task leaves it as it is (then: `stop`).

    One that dies is started again, at once or with growing pauses. With `alive`, one that runs but
    answers three questions in a row with no is killed first: the calls that a stuck controller holds
    go back to the dialplan only when its sockets close.
    """
    deaths = 0
    while True:
        try:
            pid = running(program) or start(program)
            since = time.monotonic()
            await _dead_or_stuck(program, alive)
            if time.monotonic() - since > _STEADY_AFTER:
                deaths = 0
            why = f"{_end_of(pid)}; its last words: {_last_words(program)}"
        except ProgramError as error:
            why = str(error)
        deaths += 1
        pause = _RETRY.pause(deaths)
        log.error("program.died", program=program.name, restart_in=pause, why=why)
        await asyncio.sleep(pause)


async def _dead_or_stuck(program: Program, alive: Callable[[], Awaitable[bool]] | None) -> None:
    missed, answered = 0, False
    next_check = time.monotonic() + _CHECK_EVERY
    while (pid := running(program)) is not None:
        await asyncio.sleep(POLL)
        if alive is None or time.monotonic() < next_check:
            continue
        if await alive():
            missed, answered = 0, True
        elif answered:
            # One that has never answered is still starting.
            missed += 1
        if missed >= _CHECKS_MISSED:
            log.error("program.stuck", program=program.name, pid=pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            await ended(program, 5.0)
        next_check = time.monotonic() + _CHECK_EVERY


_ends: dict[int, int] = {}
"""How children of ours ended, by process id, until `_end_of` asks: a status, or a signal below zero."""


def _began(pid: int) -> list[str]:
    """What tells this process from a later one with the same id; empty when it is dead."""
    _fetch(pid)
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        if process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
            # In ticks since the machine's start: a change of the clock changes both times alike.
            since_boot = process.create_time() - psutil.boot_time()
            return [str(round(since_boot * os.sysconf("SC_CLK_TCK"))), _BOOT_ID.read_text().strip()]
    return []


def _fetch(pid: int) -> None:
    """Take the end of our own dead child, so that no zombie stays."""
    with contextlib.suppress(OSError):
        dead, status = os.waitpid(pid, os.WNOHANG)
        if dead:
            _ends[pid] = os.waitstatus_to_exitcode(status)


def _end_of(pid: int) -> str:
    """How a process ended, in words. Only a parent learns it: for an adopted process it is unknown."""
    _fetch(pid)  # again, for one that died between its being fetched and looked at
    code = _ends.pop(pid, None)
    if code is None:
        return "it ended, and as another process had started it, how is not known"
    if code >= 0:
        return f"it ended with status {code}"
    return f"signal {-code} ({signal.strsignal(-code)}) ended it"


def _last_words(program: Program) -> str:
    with contextlib.suppress(OSError):
        lines = program.log_file.read_text(errors="replace")[-4000:].split("\n")
        said = [line.strip() for line in lines if line.strip()]
        if said:
            return f"{said[-1][-300:]} (more in {program.log_file})"
    return f"it said nothing ({program.log_file})"


def explained(error: OSError) -> str:
    """An error of the operating system as a sentence with its remedy."""
    where = f" ({error.filename})" if error.filename else ""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"the disk is full{where}: make room, or move HOTLINE_HOME to a larger disk"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{error.strerror}{where}: HOTLINE_HOME must belong to the user who runs this"
        case errno.ENOENT:
            return f"there is no such program{where}: run `make setup`"
    return f"{error.strerror or error}{where}"


# --- Asterisk


@dataclass(frozen=True, slots=True)
class AsteriskBinary:
    """An Asterisk that can be run: the start of its command line, and its own folders."""

    command: tuple[str, ...]
    version: str
    modules: Path
    data: Path

    @property
    def release(self) -> tuple[int, ...]:
        """The version to compare with: `22.10.1` as `(22, 10, 1)`."""
        return tuple(int(part) for part in re.findall(r"[0-9]+", self.version)[:3])


def find_asterisk() -> AsteriskBinary:
    """Read what `make setup` wrote down in `HOTLINE_CACHE`, else look for `asterisk` on the PATH.

    Raises `ProgramError` when there is none.
    """
    record = Path(os.environ.get("HOTLINE_CACHE") or "/var/cache/hotline") / "asterisk.json"
    if record.exists():
        return _recorded(record)
    if (found := shutil.which("asterisk")) is not None:
        for modules in _module_folders():
            for data in (Path("/usr/share/asterisk"), Path("/var/lib/asterisk")):
                if (modules / "chan_pjsip.so").exists() and (data / "documentation").is_dir():
                    return AsteriskBinary((found,), _version(found), modules, data)
    raise ProgramError("Asterisk was not found: run `make setup`, which gets it")


def _recorded(record: Path) -> AsteriskBinary:
    try:
        known = json.loads(record.read_text())
        command = tuple(str(part) for part in known["binary"])
        modules, data = Path(known["modules"]), Path(known["data"])
        version = str(known["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProgramError(f"{record} cannot be read ({error!r}): run `make setup`") from None
    if not command or not Path(command[0]).exists() or not modules.is_dir():
        raise ProgramError(
            f"the Asterisk of {record} is gone: run `make setup`, which gets it again"
        )
    return AsteriskBinary(command, version, modules, data)


def _module_folders() -> Iterator[Path]:
    for top in (Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/local/lib")):
        yield from sorted(top.glob("*/asterisk/modules"))
        yield top / "asterisk" / "modules"


def _version(asterisk: str) -> str:
    answer = subprocess.run([asterisk, "-V"], capture_output=True, text=True, check=False)
    found = re.search(r"[0-9]+(\.[0-9]+)*", answer.stdout)
    if found is None:
        raise ProgramError(f"{asterisk} does not run: run `make setup`, which gets one that does")
    return found[0]


def asterisk_program(settings: Settings, asterisk: AsteriskBinary) -> Program:
    """Asterisk with the configuration that `hotline.machine.render` writes."""
    configuration = str(settings.asterisk_dir / "asterisk.conf")
    return _program(settings, "asterisk", (*asterisk.command, "-f", "-C", configuration))


async def start_asterisk(
    settings: Settings, asterisk: AsteriskBinary, within: float = 60.0
) -> bool:
    """Start Asterisk and wait until it has booted completely; call `hotline.machine.render.render` before.

    Returns False when one of this home ran already: it is adopted. A stop that was waiting for its
    last call is called off, and the configuration is read again; ports and the node's name stay as
    they were until Asterisk ends. Raises `ProgramError`.
    """
    program = asterisk_program(settings, asterisk)
    adopted = running(program) is not None
    if adopted:
        await asterisk_cli(settings, asterisk, "core abort shutdown")
        await asterisk_cli(settings, asterisk, "core reload")
    else:
        _refuse_taken_ports(settings, "asterisk")
        make_socket_dir(settings)
        start(program)

    async def booted() -> bool:
        answer = await asterisk_cli(settings, asterisk, "core waitfullybooted", within=within)
        return "fully booted" in answer

    await until(program, booted, within)
    log.info("asterisk.ready", adopted=adopted, version=asterisk.version)
    return not adopted


async def stop_asterisk(
    settings: Settings, asterisk: AsteriskBinary, *, leave_calls: bool, within: float = 10.0
) -> None:
    """End Asterisk. With `leave_calls` it takes no new call and ends by itself after the last one."""
    program = asterisk_program(settings, asterisk)
    if running(program) is None:
        return
    if leave_calls:
        # The console would wait for the last call too.
        await asterisk_cli(settings, asterisk, "core stop gracefully", within=1.0)
        return
    await asterisk_cli(settings, asterisk, "core stop now")
    await ended(program, within)
    await stop(program)


async def asterisk_cli(
    settings: Settings, asterisk: AsteriskBinary, command: str, within: float = 10.0
) -> str:
    """Give a command to the running Asterisk's console and return its answer, empty when there is none."""
    configuration = str(settings.asterisk_dir / "asterisk.conf")
    console = await asyncio.create_subprocess_exec(
        *asterisk.command,
        *("-C", configuration, "-rx", command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(within):
            answer, _ = await console.communicate()
    except TimeoutError:
        return ""
    finally:
        if console.returncode is None:
            console.kill()
            await console.wait()
    return answer.decode(errors="replace")


# --- redis-server


def redis_program(settings: Settings) -> Program:
    """A redis-server of our own, on a socket in `settings.run_dir` and on no port."""
    options = {
        "port": "0",
        "unixsocket": str(settings.redis_socket),
        "unixsocketperm": "600",
        "dir": str(settings.root / "redis"),
        "appendonly": "no",
        "save": "900 1",
        "loglevel": "warning",
        "daemonize": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return _program(settings, "redis", ("redis-server", *words))


async def start_redis(settings: Settings, within: float = 20.0) -> bool:
    """Start the private redis-server and wait until it answers.

    Returns False when it ran already. Raises `ProgramError`.
    """
    program = redis_program(settings)
    adopted = running(program) is not None
    if not adopted:
        make_socket_dir(settings)
        _make_folder(settings.root / "redis")
        settings.redis_socket.unlink(missing_ok=True)
        start(program)
    await until(program, lambda: _redis_answers(settings.redis_socket), within)
    return not adopted


async def stop_redis(settings: Settings) -> None:
    """End the private redis-server; it writes its state to `home/redis` first."""
    await stop(redis_program(settings))


async def _redis_answers(path: Path) -> bool:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    return False


def make_socket_dir(settings: Settings) -> Path:
    """Make the folder of the sockets (`settings.redis_socket`'s, Asterisk's control socket too).

    Its path is short, as the kernel demands: `settings.run_dir`, or a folder in the temporary one when the home lies
    too deep. Raises `ProgramError` when another user owns a folder there.
    """
    folder = settings.redis_socket.parent
    _make_folder(folder)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ProgramError(
            f"{folder} belongs to somebody else: remove it, or choose a shorter HOTLINE_HOME"
        )
    if folder.is_relative_to(tempfile.gettempdir()) and found.st_mode & 0o077:
        folder.chmod(0o700)
    return folder


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ProgramError(f"{folder} cannot be made: {explained(error)}") from None


# --- our own programs


OWN = ("serve", "recorder", "web")
"""The command line's own programs that `hotline up` keeps running (`keep`)."""
AT_NIGHT = "transcribe"
"""The one that runs only if `HOTLINE_SPEECH` is on."""


def own(settings: Settings) -> tuple[str, ...]:
    """Those that these settings want."""
    return (*OWN, AT_NIGHT) if settings.speech else OWN


def own_program(settings: Settings, name: str) -> Program:
    """`hotline serve`, `recorder`, `web` or `transcribe`, with the settings of this process."""
    return _program(settings, name, (sys.executable, "-m", "hotline", name))


async def answers(address: str, port: int, within: float = 2.0) -> bool:
    """Whether the server at this address closes a connection that we have closed on our side.

    For `keep`: a controller whose loop is stuck still accepts connections (the kernel does that), and
    Asterisk, which has no time-out for AGI, would let callers wait for it for ever.
    """
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write_eof()
                await reader.read()
                return True
            finally:
                writer.close()
    return False


# --- all of them


@dataclass(frozen=True, slots=True)
class Status:
    """One program of the centre: its process id, None when it does not run, and its log."""

    name: str
    pid: int | None
    log_file: Path


def status(settings: Settings, asterisk: AsteriskBinary) -> list[Status]:
    """What runs of this centre."""
    programs = [asterisk_program(settings, asterisk)]
    if not settings.redis_url:
        programs.append(redis_program(settings))
    programs += [own_program(settings, name) for name in own(settings)]
    return [Status(program.name, running(program), program.log_file) for program in programs]


def _program(settings: Settings, name: str, command: tuple[str, ...]) -> Program:
    # Asterisk itself writes run_dir/asterisk.pid.
    pid_file = settings.run_dir / f"hotline-{name}.pid"
    return Program(name, command, pid_file, settings.log_dir / f"{name}.out")


# --- ports


def taken_ports(settings: Settings, name: str) -> list[str]:
    """One sentence for each port that `asterisk`, `serve` or `web` needs and another process holds.

    Each names the port, its setting and, if that can be known, who holds it.
    """
    sip, control = settings.sip_address, settings.control_address
    wanted = {
        "asterisk": [
            *(
                []
                if settings.speaks_only_tls
                else [
                    ("udp", sip, settings.sip_port, "HOTLINE_SIP_PORT"),
                    ("tcp", sip, settings.sip_port, "HOTLINE_SIP_PORT"),
                ]
            ),
            *([("tcp", sip, settings.tls_port, "HOTLINE_TLS_PORT")] if settings.tls_port else []),
            ("tcp", control, settings.ami_port, "HOTLINE_AMI_PORT"),
        ],
        "serve": [
            ("tcp", control, settings.agi_port, "HOTLINE_AGI_PORT"),
            ("udp", control, settings.agi_port, "HOTLINE_AGI_PORT"),
            *(
                [("tcp", control, settings.metrics_port, "HOTLINE_METRICS_PORT")]
                if settings.metrics_port
                else []
            ),
        ],
        "web": [("tcp", settings.web_address, settings.web_port, "HOTLINE_WEB_PORT")],
    }.get(name, [])
    problems = []
    for protocol, address, port, setting in wanted:
        if (error := _bind_error(protocol, address, port)) is None:
            continue
        if error.errno == errno.EADDRINUSE:
            holder = _holder(protocol, port)
            by = f" by {holder}" if holder else ""
            problems.append(
                f"port {port}/{protocol} on {address} is in use{by}: "
                f"stop that program, or set {setting} to a free port"
            )
        else:
            problems.append(
                f"port {port}/{protocol} on {address} cannot be opened: {error.strerror}; "
                f"set {setting} or its address to what this machine has"
            )
    return problems


def _refuse_taken_ports(settings: Settings, name: str) -> None:
    if problems := taken_ports(settings, name):
        raise ProgramError("\n".join(problems))


def _bind_error(protocol: str, address: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as trial:
        if protocol == "tcp":
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            return error
    return None


def _holder(protocol: str, port: int) -> str:
    """The program that listens on this port, as far as we may see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections(protocol):
            listens = one.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}
            if listens and one.laddr and one.laddr.port == port and one.pid:
                return f"{psutil.Process(one.pid).name()} (process {one.pid})"
    return ""
