"""Programs are started, adopted, kept and stopped, and never mistaken for others."""

import asyncio
import errno
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from base import bus
from base.retry import Schedule
from base.settings import Settings
from hotline.machine import programs
from hotline.machine.programs import Program, ProgramError


def a_program(folder: Path, code: str, name: str = "thing") -> Program:
    """A Python program; `code` may use os, signal, sys and time."""
    command = (sys.executable, "-c", f"import os, signal, sys, time\n{code}")
    return Program(name, command, folder / "run" / f"{name}.pid", folder / "log" / f"{name}.out")


SLEEP = "print('up', flush=True)\ntime.sleep(60)"
STUBBORN = f"signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{SLEEP}"


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[Callable[[str], Program]]:
    """Start programs that are gone at the end of the test."""
    made: list[Program] = []

    def start(code: str) -> Program:
        program = a_program(tmp_path, code, name=f"thing{len(made)}")
        made.append(program)
        programs.start(program)
        return program

    yield start
    for program in made:
        await programs.stop(program, within=0)


async def said(program: Program, text: str, times: int = 1) -> None:
    async with asyncio.timeout(10):
        while program.log_file.read_text().count(text) < times:
            await asyncio.sleep(0.02)


async def test_a_process_is_known_by_the_kernels_own_words(
    started: Callable[[str], Program],
) -> None:
    """So that programs which an earlier version of us started are adopted."""
    pid, *began = started(SLEEP).pid_file.read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert began == [fields[19], Path("/proc/sys/kernel/random/boot_id").read_text().strip()]


async def test_a_program_is_started_in_a_session_of_its_own_and_stopped(
    started: Callable[[str], Program],
) -> None:
    program = started(SLEEP)
    await said(program, "up")
    pid = programs.running(program)
    assert pid is not None
    assert os.getsid(pid) == pid
    assert program.log_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ProgramError, match=f"runs already, as process {pid}"):
        programs.start(program)
    await programs.stop(program)
    assert programs.running(program) is None
    assert not program.pid_file.exists()
    assert not Path(f"/proc/{pid}").exists(), "no zombie is left"


async def test_one_who_ignores_the_request_is_killed_with_its_children(
    started: Callable[[str], Program],
) -> None:
    program = started(f"print(os.fork(), flush=True)\n{STUBBORN}")
    await said(program, "up", times=2)
    child = max(int(word) for word in program.log_file.read_text().split() if word.isdigit())
    await programs.stop(program, within=0.3)
    assert programs.running(program) is None
    async with asyncio.timeout(20):
        while Path(f"/proc/{child}").exists() and " Z " not in stat(child):
            await asyncio.sleep(0.02)


def stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return " Z "


async def test_stopping_what_does_not_run_is_nothing(tmp_path: Path) -> None:
    await programs.stop(a_program(tmp_path, SLEEP))


@pytest.mark.parametrize("content", ["", "garbage", "1", "-5 1 2", "99999999", "99999999 1 2"])
async def test_a_pid_file_of_something_else_is_not_believed(tmp_path: Path, content: str) -> None:
    program = a_program(tmp_path, SLEEP)
    program.pid_file.parent.mkdir()
    program.pid_file.write_text(content)
    assert programs.running(program) is None


async def test_an_id_that_was_given_away_again_is_not_ours(
    started: Callable[[str], Program],
) -> None:
    """The process lives, but began at another moment, or before the machine was started again."""
    program = started(SLEEP)
    pid, began, boot = program.pid_file.read_text().split()
    for other in (f"{pid} {int(began) - 1} {boot}", f"{pid} {began} another-boot", pid):
        program.pid_file.write_text(other)
        assert programs.running(program) is None
        await programs.stop(program)
        os.kill(int(pid), 0)  # it was left alone
    program.pid_file.write_text(f"{pid} {began} {boot}")
    assert programs.running(program) == int(pid)


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    program = Program("thing", ("no-such-program",), tmp_path / "pid", tmp_path / "out")
    with pytest.raises(ProgramError, match=r"thing cannot be started: .*run `make setup`"):
        programs.start(program)
    assert programs.running(program) is None


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EACCES, "must belong"), (errno.EIO, "put-put")],
)
def test_the_systems_errors_come_with_a_remedy(number: int, remedy: str) -> None:
    assert remedy in programs.explained(OSError(number, "error", "/put-put"))


def test_a_full_disk_is_said_and_leaves_no_process_that_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = a_program(tmp_path, SLEEP)
    spawned = []
    spawn = os.posix_spawnp

    def spy(*arguments: Any, **options: Any) -> int:
        spawned.append(spawn(*arguments, **options))
        return spawned[-1]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "the pid file")

    monkeypatch.setattr(os, "posix_spawnp", spy)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ProgramError, match=r"the disk is full \(the pid file\): make room"):
        programs.start(program)
    (pid,) = spawned
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def test_waiting_for_one_who_dies_says_its_last_words(
    started: Callable[[str], Program],
) -> None:
    program = started("print('first', flush=True); sys.exit('the port is taken')")

    async def never() -> bool:
        return False

    with pytest.raises(ProgramError, match=r"thing0 ended at once: the port is taken \(more in /"):
        await programs.until(program, never, 10)
    program = started(SLEEP)
    await said(program, "up")
    with pytest.raises(ProgramError, match=r"not ready after 0\.2 s: up"):
        await programs.until(program, never, 0.2)


# --- kept running


async def test_one_who_dies_is_started_again_with_growing_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_RETRY", Schedule(0.01, 0.03))
    monkeypatch.setattr(programs, "POLL", 0.01)
    program = a_program(tmp_path, "sys.exit('no settings')")
    with capture_logs() as logs:
        task = asyncio.ensure_future(programs.keep(program))  # noqa: TID251
        async with asyncio.timeout(20):
            while len([entry for entry in logs if entry["event"] == "program.died"]) < 4:
                await asyncio.sleep(0.01)
        task.cancel()
    died = [entry for entry in logs if entry["event"] == "program.died"][:4]
    assert [entry["restart_in"] for entry in died] == [0.01, 0.02, 0.03, 0.03]
    assert "it ended with status 1; its last words: no settings" in died[0]["why"]
    await programs.stop(program)


async def test_the_end_of_a_program_that_dies_while_it_is_looked_at_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_RETRY", Schedule(9.0, 9.0))
    fetch, looks = os.waitpid, 0

    def dies_after_the_first_look(pid: int, options: int) -> tuple[int, int]:
        nonlocal looks
        looks += 1
        if looks > 1:
            return fetch(pid, options)
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        return 0, 0

    monkeypatch.setattr(os, "waitpid", dies_after_the_first_look)
    program = a_program(tmp_path, "sys.exit('no settings')")
    with capture_logs() as logs:
        task = asyncio.ensure_future(programs.keep(program))  # noqa: TID251
        async with asyncio.timeout(20):
            while not (died := [entry for entry in logs if entry["event"] == "program.died"]):
                await asyncio.sleep(0.01)
        task.cancel()
    assert "it ended with status 1; its last words: no settings" in died[0]["why"]


async def test_the_signal_that_ended_a_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_RETRY", Schedule(9.0, 9.0))
    program = a_program(tmp_path, "print('up', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)")
    with capture_logs() as logs:
        task = asyncio.ensure_future(programs.keep(program))  # noqa: TID251
        async with asyncio.timeout(20):
            while not [entry for entry in logs if entry["event"] == "program.died"]:
                await asyncio.sleep(0.01)
        task.cancel()
    (died,) = [entry for entry in logs if entry["event"] == "program.died"]
    assert "signal 9 (Killed) ended it; its last words: up" in died["why"]


async def test_keep_adopts_one_that_runs_and_leaves_it_when_cancelled(
    started: Callable[[str], Program],
) -> None:
    program = started(SLEEP)
    pid = programs.running(program)
    task = asyncio.ensure_future(programs.keep(program))  # noqa: TID251
    await asyncio.sleep(0.3)
    task.cancel()
    assert programs.running(program) == pid


async def test_one_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_RETRY", Schedule(0.01, 0.01))
    program = Program("thing", ("no-such-program",), tmp_path / "pid", tmp_path / "out")
    with capture_logs() as logs:
        task = asyncio.ensure_future(programs.keep(program))  # noqa: TID251
        async with asyncio.timeout(20):
            while len(logs) < 3:
                await asyncio.sleep(0.01)
        task.cancel()
    assert {entry["event"] for entry in logs} == {"program.died"}


async def test_a_stuck_one_is_killed_but_not_one_that_is_still_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_RETRY", Schedule(0.01, 0.01))
    monkeypatch.setattr(programs, "_CHECK_EVERY", 0.05)
    monkeypatch.setattr(programs, "POLL", 0.01)
    program = a_program(tmp_path, STUBBORN)
    lives = [False, False, False, False, False, True, False, False, True, False, False, False]
    asked = 0

    async def alive() -> bool:
        nonlocal asked
        asked += 1
        return lives[asked - 1] if asked <= len(lives) else True

    with capture_logs() as logs:
        task = asyncio.ensure_future(programs.keep(program, alive))  # noqa: TID251
        async with asyncio.timeout(20):
            while not any(entry["event"] == "program.stuck" for entry in logs):
                await asyncio.sleep(0.01)
            assert asked == len(lives)
            while len([entry for entry in logs if entry["event"] == "program.started"]) < 2:
                await asyncio.sleep(0.01)
        task.cancel()
    await programs.stop(program, within=0)


async def test_a_server_whose_loop_is_stuck_does_not_answer(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await programs.answers("127.0.0.1", port)
    server.close()
    await server.wait_closed()
    assert not await programs.answers("127.0.0.1", port)
    with socket.socket() as accepts_only:
        accepts_only.bind(("127.0.0.1", 0))
        accepts_only.listen()
        port = accepts_only.getsockname()[1]
        assert not await programs.answers("127.0.0.1", port, within=0.3)


# --- ports


@pytest.mark.parametrize(
    ("name", "setting", "protocol"),
    [
        ("asterisk", "sip_port", "udp"),
        ("asterisk", "sip_port", "tcp"),
        ("asterisk", "ami_port", "tcp"),
        ("serve", "agi_port", "tcp"),
        ("web", "web_port", "tcp"),
    ],
)
def test_a_taken_port_is_named_with_its_setting_and_its_holder(
    tmp_path: Path, free_ports: range, name: str, setting: str, protocol: str
) -> None:
    free = dict(zip(("sip_port", "ami_port", "agi_port", "web_port"), free_ports, strict=False))
    settings = Settings(home=tmp_path, **free)  # type: ignore[arg-type]
    assert programs.taken_ports(settings, name) == []
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", free[setting]))
        if protocol == "tcp":
            holder.listen()
        held = programs.taken_ports(settings, name)
    (problem,) = held
    assert f"port {free[setting]}/{protocol}" in problem
    assert f"HOTLINE_{setting.upper()}" in problem
    assert f"(process {os.getpid()})" in problem


def test_an_address_that_this_machine_does_not_have(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sip_address="192.0.2.1", sip_port=1)
    problems = programs.taken_ports(settings, "asterisk")
    assert any("192.0.2.1 cannot be opened" in problem for problem in problems)


# --- Asterisk, wherever it is


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def test_what_set_up_wrote_down_is_found(cache: Path) -> None:
    record = {
        "binary": [sys.executable, "--library-path", "/x"],
        "version": "22.10.1",
        "modules": str(cache),
        "data": "/data",
        "source": "test",
    }
    (cache / "asterisk.json").write_text(json.dumps(record))
    found = programs.find_asterisk()
    assert found.command == (sys.executable, "--library-path", "/x")
    assert (found.modules, found.data) == (cache, Path("/data"))
    assert found.release == (22, 10, 1)
    assert programs.AsteriskBinary((), "20.18-cert1", cache, cache).release > (20, 8)


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "Asterisk was not found: run `make setup`"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"binary": 3}', "cannot be read"),
        (
            '{"binary": ["/gone"], "version": "22", "modules": "/", "data": "/"}',
            "is gone: run `make setup`",
        ),
        ('{"binary": [], "version": "22", "modules": "/", "data": "/"}', "is gone"),
    ],
)
def test_no_asterisk_is_said_with_the_remedy(cache: Path, content: str | None, remedy: str) -> None:
    if content is not None:
        (cache / "asterisk.json").write_text(content)
    with pytest.raises(ProgramError, match=remedy):
        programs.find_asterisk()


# --- redis-server


async def test_redis_runs_on_a_socket_alone_and_is_adopted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ("deep-" * 30))
    try:
        assert await programs.start_redis(settings) is True
        assert await programs.start_redis(settings) is False
        pid = programs.running(programs.redis_program(settings))
        assert len(str(settings.redis_socket)) <= 107
        assert settings.redis_socket.parent.stat().st_mode & 0o077 == 0
        client = bus.connect(settings.redis)
        await client.set("key", "value")
        await client.aclose()
        listening = Path(f"/proc/{pid}/net/tcp").read_text()
        assert f"{6379:04X} 00000000:0000 0A" not in listening
    finally:
        await programs.stop_redis(settings)
    # What was stored is there again after a restart.
    try:
        await programs.start_redis(settings)
        client = bus.connect(settings.redis)
        assert await client.get("key") == b"value"
        await client.aclose()
        os.kill(programs.running(programs.redis_program(settings)) or 0, signal.SIGKILL)
        assert await programs.ended(programs.redis_program(settings), 5)
        # Its socket lies there still, and is in nobody's way.
        assert await programs.start_redis(settings) is True
    finally:
        await programs.stop_redis(settings)


def test_a_socket_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path / ("deep-" * 30))
    folder = programs.make_socket_dir(settings)
    try:
        folder.chmod(0o755)
        assert programs.make_socket_dir(settings).stat().st_mode & 0o777 == 0o700
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        with pytest.raises(ProgramError, match="belongs to somebody else"):
            programs.make_socket_dir(settings)
    finally:
        folder.rmdir()


def test_status_names_every_program(tmp_path: Path) -> None:
    asterisk = programs.AsteriskBinary(("asterisk",), "22.10.1", tmp_path, tmp_path)
    found = programs.status(Settings(home=tmp_path), asterisk)
    assert [each.name for each in found] == ["asterisk", "redis", "serve", "recorder", "web"]
    assert {each.pid for each in found} == {None}
    shared = programs.status(Settings(home=tmp_path, redis_url="redis://there"), asterisk)
    assert [each.name for each in shared] == ["asterisk", "serve", "recorder", "web"]
