"""`hotline up`: the whole centre on one machine, started in order, kept running, stopped in order.

Order of the start: settings and machine, database, Redis, Asterisk, then our own programs. Of the stop: first the
controller (it makes no more offers and waits for talks), then the recorder (which finishes what has ended), the
screens, Asterisk, Redis. Talks that are still running are left to Asterisk, which ends after the last of them.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog

from base import database, lease, log, migrations, trunks
from base.background import spawn
from base.bus import Bus, NoAnswer, Refused
from base.settings import Settings
from base.trunks import Trunk, TrunkError
from facts.requests import GetStatus, TrunksChanged
from hotline.machine import home, logs, programs, render
from hotline.machine.programs import AsteriskBinary, ProgramError
from metrics import due
from recorder import deletion
from telephony import certificates, phones
from web.accounts import accounts

logger = structlog.get_logger(__name__)

_READY_WITHIN = 60.0
_RECORDER_MAY_TAKE = 60.0
_CERTIFICATE_EVERY = 5.0
_TRUNKS_EVERY = 5.0


async def up(settings: Settings, say: Callable[[str], None] | None = None) -> None:
    """Run the centre until SIGTERM or SIGINT. `say` is given the line `ready` when calls can be taken.

    Before it come lines that say where the screens are.

    Raises `ProgramError` or `DatabaseError` with a sentence for the operator.
    """
    stop = stop_event()
    with _alone(settings):
        log.configure(settings.log_level, settings.log_dir / "up.log")
        if os.geteuid() == 0:
            logger.warning("up.as_root", hint="HOTLINE_USER names a user without root's rights")
        home.close(settings)
        try:
            settings.take_trunks(settings.read_trunks())
        except TrunkError as error:
            raise ProgramError(str(error)) from None
        asterisk = programs.find_asterisk()
        keepers: list[asyncio.Task[None]] = []
        try:
            await start(settings, asterisk, keepers)
            say = say or _print
            for line in (*screens(settings), *await unconfirmed(settings)):
                say(line)
            say("ready")
            await stop.wait()
        finally:
            for task in keepers:
                task.cancel()
            await shut(settings, asterisk)


async def start(
    settings: Settings, asterisk: AsteriskBinary, keepers: list[asyncio.Task[None]]
) -> None:
    """Start everything; `keepers` receives the tasks that keep the programs running."""
    for name in (*programs.OWN, programs.AT_NIGHT):
        # What an earlier `hotline up` that was killed has left: replaced, for it may be another version.
        await programs.stop(programs.own_program(settings, name))
        if problems := programs.taken_ports(settings, name):
            raise ProgramError("\n".join(problems))
    try:
        certificates.take_at_start(settings)
    except certificates.CertificateError as error:
        raise ProgramError(str(error)) from None
    render.render(settings, asterisk)
    keepers.append(spawn(logs.keep_small(settings), "log files"))
    engine = database.engine(settings.database)
    try:
        await migrations.upgrade(engine)
        # The controller is in the same place and takes the lease over from here.
        await lease.Lease(engine, settings).take()
        await accounts.first_start(engine, settings)
        await phones.PhoneMirror(engine, settings).look()
    finally:
        await engine.dispose()
    if not settings.redis_url:
        await programs.start_redis(settings)
        keepers.append(spawn(programs.keep(programs.redis_program(settings)), "keep redis"))
    await programs.start_asterisk(settings, asterisk)
    keepers.append(spawn(watch_trunks(settings, take_trunks(settings, asterisk)), "trunks.toml"))
    if settings.tls_port:
        keepers.append(spawn(_keep_certificate(settings, asterisk), "certificate"))
    keepers.append(
        spawn(programs.keep(programs.asterisk_program(settings, asterisk)), "keep asterisk")
    )

    async def controller_answers() -> bool:
        return await programs.answers(settings.control_address, settings.agi_port)

    for name in programs.own(settings):
        program = programs.own_program(settings, name)
        programs.start(program)
        alive = controller_answers if name == "serve" else None
        keepers.append(spawn(programs.keep(program, alive), f"keep {name}"))
    await _until_ready(settings)


def screens(settings: Settings) -> list[str]:
    """Where the screens are, and how to sign in."""
    address = settings.web_address
    url = f"http://{f'[{address}]' if ':' in address else address}:{settings.web_port}/"
    password, token = accounts.password_file(settings), accounts.token_file(settings)
    lines = [f"screens: {url}"]
    if password.exists():
        lines.append(f"sign in as {accounts.FIRST_ACCOUNT}; the password is in {password}")
    if token.exists():
        lines.append(f"a wall screen needs no keyboard: {url}?token=… with the token in {token}")
    return lines


async def unconfirmed(settings: Settings) -> list[str]:
    """What is said at every start while the rules of retention are not confirmed; nothing in a trial."""
    if settings.trial:
        return []
    engine = database.engine(settings.database)
    try:
        if await deletion.is_confirmed(engine, settings):
            return []
    finally:
        await engine.dispose()
    logger.warning("retention.not_confirmed", why=due.UNCONFIRMED)
    return [due.UNCONFIRMED]


async def shut(settings: Settings, asterisk: AsteriskBinary) -> None:
    """Stop everything in order. Running talks are not cut."""
    own = {name: programs.own_program(settings, name) for name in programs.own(settings)}
    await programs.stop(own["serve"], within=settings.stop_wait + 10)
    talks = await _channels(settings, asterisk)
    await programs.stop(own["recorder"], within=_RECORDER_MAY_TAKE)
    for name in own.keys() - {"serve", "recorder"}:
        await programs.stop(own[name])
    await programs.stop_asterisk(settings, asterisk, leave_calls=talks > 0)
    if talks:
        logger.warning("asterisk.left_running", channels=talks, until="the last call has ended")
    if not settings.redis_url:
        await programs.stop_redis(settings)


def stop_event() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _until_ready(settings: Settings) -> None:
    """Wait until the controller says that it takes calls."""
    bus = Bus(settings.redis, settings.node)
    program = programs.own_program(settings, "serve")

    async def ready() -> bool:
        try:
            return (await bus.ask(GetStatus())).ready
        except NoAnswer:
            return False

    try:
        await programs.until(program, ready, _READY_WITHIN)
    finally:
        await bus.close()


async def _keep_certificate(settings: Settings, asterisk: AsteriskBinary) -> None:
    """Give Asterisk each renewed certificate, for ever."""
    said = ""
    while True:
        await asyncio.sleep(_CERTIFICATE_EVERY)
        try:
            if await asyncio.to_thread(certificates.take, settings):
                command = f"module reload {certificates.RELOADED_BY}"
                await programs.asterisk_cli(settings, asterisk, command)
                logger.info("certificate.renewed")
            said = ""
        except (certificates.CertificateError, OSError) as error:
            if str(error) != said:
                logger.error("certificate.not_taken", why=str(error), instead="the one of before")
            said = str(error)


async def watch_trunks(
    settings: Settings, take: Callable[[str], Awaitable[None]], every: float = _TRUNKS_EVERY
) -> None:
    """Have each change of `trunks.toml` taken up, for ever; look `every` seconds.

    A file that cannot be used is named once, and the trunks of before hold. What could not be told to Asterisk or the
    controller is told again. `take` is given the file's text once `settings` have its trunks.
    """
    said, untold = "", False
    while True:
        await asyncio.sleep(every)
        before = settings.named_trunks
        try:
            text, found = await asyncio.to_thread(_trunks_now, settings)
            if not untold and found == before:
                said = ""
                continue
            settings.take_trunks(found)
            untold = True
            await take(text)
            untold, said = False, ""
            logger.warning("trunks.taken", trunks=[trunk.name for trunk in found])
        except (TrunkError, ProgramError, OSError) as error:
            if str(error) != said:
                logger.error("trunks.not_usable", why=str(error), instead="those of before")
            said = str(error)
        except (NoAnswer, Refused) as error:
            if str(error) != said:
                logger.error("trunks.not_told", why=str(error), again=every)
            said = str(error)


def take_trunks(settings: Settings, asterisk: AsteriskBinary) -> Callable[[str], Awaitable[None]]:
    """What gives the trunks of `settings` to Asterisk and then to the controller. No call is touched."""

    async def take(text: str) -> None:
        render.render_trunks(settings, asterisk, text)
        for module in render.TRUNK_MODULES:
            said = await programs.asterisk_cli(settings, asterisk, f"module reload {module}")
            if "successfully" not in said:
                raise ProgramError(
                    f"Asterisk did not take the trunks: {said.strip() or 'no answer'}"
                )
        bus = Bus(settings.redis, settings.node)
        try:
            await bus.ask(TrunksChanged(), wait=_TRUNKS_EVERY)
        finally:
            await bus.close()

    return take


def _trunks_now(settings: Settings) -> tuple[str, tuple[Trunk, ...]]:
    """The text of `trunks.toml`, and its trunks."""
    file = settings.root / trunks.FILE
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found = settings.read_trunks()
    again = file.read_text(encoding="utf-8") if file.exists() else ""
    if again != text:
        raise TrunkError(f"{file} is being written")
    return text, found


async def _channels(settings: Settings, asterisk: AsteriskBinary) -> int:
    answer = await programs.asterisk_cli(settings, asterisk, "core show channels count")
    first = answer.split(" ", 1)[0]
    return int(first) if first.isdigit() else 0


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the home's lock, so that two centres never share one."""
    try:
        settings.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(settings.run_dir / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProgramError(f"{settings.root} cannot be used: {programs.explained(error)}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ProgramError(
            f"a centre with HOTLINE_HOME={settings.root} is running: stop it, or choose another home"
        ) from None
    finally:
        os.close(lock)


def _print(line: str) -> None:
    print(line, flush=True)
