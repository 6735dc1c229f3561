"""`hotline check`: what is wrong with the settings and with this machine, and what to do about it."""

import asyncio
import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis.exceptions import RedisError
from sqlalchemy import text

from acd.callbacks.book import policy
from acd.gate import Purpose, may_dial
from acd.rules import book as rulebook
from acd.rules.text import problems
from agents import roster
from alarms import watch as alarms
from base import bus, database, notify, privileges
from base.settings import Settings, SettingsError, unknown
from base.settings import load as load_settings
from base.trunks import Trunk, TrunkError
from diary.writer import unwritten
from facts.endpoints import watch, way_out
from facts.terms import CONTINUE, REFUSE
from facts.times import local
from hotline.machine import home, programs, render
from hotline.machine.programs import AsteriskBinary, ProgramError
from metrics import due
from quality import draws
from quality.sample import SampleError
from quality.scorecard import ScoreCardError
from recorder import deletion, evidence, press, seals, stamps
from recorder.evidence import EvidenceError
from recorder.forms import RecordingForm
from recorder.press import PressError
from recorder.retention import RetentionError
from recorder.vault import keys, objects
from recorder.vault.trouble import StoreError
from speech import model, night
from speech.model import SpeechError
from speech.phrases import PhraseListError
from telephony import certificates, oneshot

_OLDEST_ASTERISK = 20
_STORE_WITHIN = 30


def check() -> int:
    """Print one line for each thing that was looked at. Returns 1 when something has to be done, else 0."""
    bad = 0
    for name in unknown():
        print(f"?  {name}: there is no such setting (it is ignored): is it misspelt?")
    try:
        settings = load_settings()
        privileges.become(settings)
    except SettingsError as error:
        for line in str(error).splitlines():
            print(f"✗  {line}")
        return 1
    print(f"✓  settings: home {settings.root}, numbers {', '.join(settings.numbers)}")
    for fine, line in _findings(settings):
        print(f"{'✓' if fine else '✗'}  {line}")
        bad += not fine
    return 1 if bad else 0


def _findings(settings: Settings) -> Iterator[tuple[bool, str]]:
    if os.geteuid() == 0:
        yield (
            True,
            "this is root, and so is every process: HOTLINE_USER names a user without its rights",
        )
    yield _home(settings)
    yield privacy(settings)
    asterisk = None
    try:
        asterisk = programs.find_asterisk()
        fine = asterisk.release[0] >= _OLDEST_ASTERISK
        advice = "" if fine else f": {_OLDEST_ASTERISK} or newer is needed; run `make setup`"
        yield fine, f"Asterisk {asterisk.version}{advice}"
    except ProgramError as error:
        yield False, str(error)
    if settings.recording_format != RecordingForm.WAV:
        yield _ffmpeg(settings)
    if settings.tls_port:
        yield _certificate(settings)
    yield asyncio.run(_database(settings))
    yield seal_key(settings)
    if settings.seal_tsa:
        yield time_stamps(settings)
    yield recording_key(settings)
    yield asyncio.run(retention_rules(settings))
    yield quality(settings)
    if settings.recording_store:
        yield from asyncio.run(store(settings))
    if settings.speech:
        yield words(settings)
    yield asyncio.run(_redis(settings))
    yield from _passwords(settings)
    yield from _erasures(settings)
    yield from _dialling(settings)
    yield from _trunks(settings)
    yield from _alarms(settings)
    if asterisk is not None:
        yield from _running(settings, asterisk)
    if waiting := unwritten(settings.run_dir):
        yield (
            False,
            f"{waiting} facts wait for the database; they are written when the controller reaches it",
        )


def _home(settings: Settings) -> tuple[bool, str]:
    folder = settings.root
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return (
            False,
            f"{folder} cannot be written to: HOTLINE_HOME must belong to the user who runs this",
        )
    free = shutil.disk_usage(folder).free // 1_000_000
    if free < settings.min_free_mb:
        return False, (
            f"only {free} MB are free at {folder}: make room, or move HOTLINE_HOME "
            f"(HOTLINE_MIN_FREE_MB is {settings.min_free_mb})"
        )
    return True, f"{free} MB free at {folder}"


def privacy(settings: Settings) -> tuple[bool, str]:
    """Whether others can read the home, and what to do about it."""
    found = [path for path, _ in home.open_to_others(settings)]
    if not found:
        return True, f"only its owner can read {settings.root}"
    return False, (
        f"{len(found)} files and folders can be read by others, {found[0]} among them: "
        f"restart `hotline up`, which closes them, or run `chmod -R go= {settings.root}`"
    )


def words(settings: Settings) -> tuple[bool, str]:
    """Whether transcripts can be made: the extra, its model as pinned, the list of phrases."""
    try:
        night.read_list(settings)
        model.check(settings)
    except (SpeechError, PhraseListError) as error:
        return False, f"transcripts: {error}"
    if not model.is_installed():
        return False, f"transcripts: {model.NO_EXTRA}"
    return (
        True,
        f"transcripts: {settings.speech_hours}, the model in {model.folder(settings)} is the pinned one",
    )


def _certificate(settings: Settings) -> tuple[bool, str]:
    try:
        pair = certificates.read(settings)
    except certificates.CertificateError as error:
        return False, str(error)
    if said := certificates.problem(pair, datetime.now(UTC)):
        return False, f"HOTLINE_TLS_CERTIFICATE: {said}"
    return True, f"the certificate of SIP over TLS holds until {pair.ends:%Y-%m-%d}"


def seal_key(settings: Settings) -> tuple[bool, str]:
    """Where the key lies that signs the recordings' seals, and whether it can be used."""
    file = settings.secrets_dir / seals.KEY_FILE
    if settings.seal_sm3 and not evidence.available("sm3"):
        return False, "HOTLINE_SEAL_SM3: this machine's OpenSSL does not compute SM3"
    try:
        if not file.exists():
            return (
                True,
                f"the recorder makes the key of the recordings' seals at its first seal: {file}",
            )
        public = seals.public(seals.key(settings))
    except (EvidenceError, OSError) as error:
        return False, str(error)
    return True, (
        f"the recordings' seals are signed with {file} (public key {evidence.key_id(public)}): keep a copy of it "
        "apart from the backup of the recordings"
    )


def quality(settings: Settings) -> tuple[bool, str]:
    """Whether talks can be drawn and scored: the strata and the score card can be used."""
    try:
        plan, card = draws.plan_of(settings), draws.card_of(settings)
    except SampleError as error:
        return False, f"HOTLINE_QUALITY_STRATA: {error}"
    except ScoreCardError as error:
        return False, str(error)
    by_itself = "each Monday" if settings.quality_draw else "by hotline quality draw alone"
    return True, f"quality: {plan.count} talks an agent, drawn {by_itself}; card {card.digest[:12]}"


async def retention_rules(settings: Settings) -> tuple[bool, str]:
    """Whether the rules by which recordings are deleted can be used, and an operator has confirmed them."""
    try:
        policy = deletion.policy_of(settings)
    except RetentionError as error:
        return False, str(error)
    if settings.trial:
        return True, "retention: a trial (HOTLINE_TRIAL), nothing is to be confirmed"
    engine = None
    last = None
    try:
        if settings.database_url or (settings.root / "hotline.db").exists():
            engine = database.engine(settings.database)
            async with asyncio.timeout(5):
                last = await deletion.confirmed(engine)
    except database.FAILED as error:
        return (
            False,
            f"retention: it is not known whether the rules are confirmed: {database.why(error)}",
        )
    finally:
        if engine is not None:
            await engine.dispose()
    if last is None or last.digest != policy.digest:
        return False, due.UNCONFIRMED
    return True, f"retention: {policy.days} days, {len(policy.rules)} rules, confirmed by {last.by}"


def recording_key(settings: Settings) -> tuple[bool, str]:
    """Where the key lies without which no recording can be heard, its rights, and what to do about it."""
    if not settings.encrypt_recordings:
        return True, "HOTLINE_ENCRYPT_RECORDINGS is off: new recordings lie plain on the disk"
    file = keys.path(settings)
    try:
        ring = keys.read(settings)
    except keys.KeyAwayError as error:
        return _key_away(settings, file, str(error))
    where, rights = keys.SETTING, 0
    if file.exists():
        rights = stat.S_IMODE(file.stat().st_mode)
        where = f"{file} (rights {rights:o})" if ring.last_in_file else keys.SETTING
    if rights & 0o077:
        return (
            False,
            f"{file} has the recordings' master key, and the rights {rights:o}: `chmod 600` it",
        )
    return True, (
        f"the recordings' master key {ring.current.id} is in {where}: keep a copy of it apart from the backup "
        "of the recordings. Without it no recording can be heard"
    )


def _key_away(settings: Settings, file: Path, why: str) -> tuple[bool, str]:
    if file.exists():
        return False, f"recordings cannot be encrypted, and wait in the spool: {why}"
    if keys.has_encrypted(settings.recordings_dir):
        return False, (
            f"recordings are encrypted, but their master key is away: bring back {file} or set "
            f"{keys.SETTING}. Until then no recording can be heard, and new ones wait in the spool"
        )
    return True, f"the recorder makes the recordings' master key at its first start: {file}"


async def store(settings: Settings) -> list[tuple[bool, str]]:
    """Whether the recordings' store takes, gives back and deletes a small object, and what waits for it."""
    # A client of S3, which centres without a store do without.
    from recorder.vault.store import Store

    named = settings.recording_store
    found = []
    try:
        async with asyncio.timeout(_STORE_WITHIN):
            bucket = Store(settings, timedelta(seconds=10))
            notes = await bucket.probe()
            locked = settings.store_lock == "off" or await bucket.has_lock()
        found.append(
            (True, "; ".join([f"recordings go to {named}, which gives them back", *notes]))
        )
        if not locked:
            found.append(
                (False, f"HOTLINE_STORE_LOCK: {named} has no object lock; make a bucket with it")
            )
    except StoreError as error:
        found.append((False, str(error)))
    except TimeoutError:
        found.append((False, f"{named} did not answer within {_STORE_WITHIN} s"))
    with contextlib.suppress(*database.FAILED):  # another line says so
        if waits := await _waits_for_store(settings):
            found.append((True, f"{waits} recordings wait for the store, and lie here meanwhile"))
    return found


async def _waits_for_store(settings: Settings) -> int:
    if not settings.database_url and not (settings.root / "hotline.db").exists():
        return 0
    engine = database.engine(settings.database)
    try:
        async with asyncio.timeout(5), engine.connect() as connection:
            return (await objects.backlog(connection)).count
    finally:
        await engine.dispose()


def time_stamps(settings: Settings) -> tuple[bool, str]:
    """Whether the authority's stamps can be checked; it is not asked for one."""
    if not settings.seal_tsa.startswith(("http://", "https://")):
        return (
            False,
            f"HOTLINE_SEAL_TSA: {settings.seal_tsa[:80]!r} is no address: it begins with https:// or http://",
        )
    try:
        trusted = stamps.roots(settings)
    except EvidenceError as error:
        return False, str(error)
    ends = min(one.not_valid_after_utc for one in trusted)
    return (
        True,
        f"the recordings' seals are stamped by {settings.seal_tsa} (its root certificate holds until {ends:%Y-%m-%d})",
    )


async def _database(settings: Settings) -> tuple[bool, str]:
    if not settings.database_url:
        return True, f"database: SQLite, {settings.root / 'hotline.db'}"
    engine = None
    try:
        engine = database.engine(settings.database)
        async with asyncio.timeout(5), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        return True, f"database: {engine.url.render_as_string(hide_password=True)}"
    except database.FAILED as error:
        return False, f"HOTLINE_DATABASE_URL: the database cannot be reached: {database.why(error)}"
    finally:
        if engine is not None:
            await engine.dispose()


def _passwords(settings: Settings) -> Iterator[tuple[bool, str]]:
    """The agents whose password could be guessed. Nothing when the database cannot be read: another line says so."""

    if not settings.database_url and not (settings.root / "hotline.db").exists():
        return

    async def read() -> list[str]:
        engine = database.engine(settings.database)
        try:
            async with asyncio.timeout(5):
                return await roster.short_passwords(engine)
        finally:
            await engine.dispose()

    try:
        short = asyncio.run(read())
    except database.FAILED:
        return
    if short:
        yield (
            False,
            (
                f"the passwords of the softphones of {', '.join(short)} have fewer than "
                f"{roster.SHORTEST_PASSWORD} characters, or are from before their length was kept: "
                "give these agents new ones (PUT /api/agents/NUMBER/password)"
            ),
        )


def _erasures(settings: Settings) -> Iterator[tuple[bool, str]]:
    """The erasures that have begun and are not done. Nothing when the database cannot be read."""
    if not settings.database_url and not (settings.root / "hotline.db").exists():
        return

    async def read() -> list[tuple[str, int]]:
        engine = database.engine(settings.database)
        try:
            async with asyncio.timeout(5):
                return await deletion.begun_erasures(engine)
        finally:
            await engine.dispose()

    try:
        begun = asyncio.run(read())
    except database.FAILED:
        return
    for name, at in begun:
        yield (
            False,
            (
                f"the erasure {name} began {local(at):%Y-%m-%d %H:%M} and is not done: run `hotline privacy erase` "
                "with that number again"
            ),
        )


def _ffmpeg(settings: Settings) -> tuple[bool, str]:
    """What compresses the recordings, tried with a moment of silence. Without it the raw files wait."""
    waits = "until then new recordings wait in the spool"
    if not press.is_there():
        return False, f"{press.MISSING}; {waits}"
    try:
        press.try_out(RecordingForm(settings.recording_format))
    except (PressError, OSError) as error:
        return False, f"ffmpeg cannot compress recordings: {error}; {waits}"
    return True, "ffmpeg: recordings are compressed"


async def _redis(settings: Settings) -> tuple[bool, str]:
    if not settings.redis_url:
        found = shutil.which("redis-server")
        if found is None:
            return False, "redis-server is not installed: run `make setup`"
        return True, f"redis: a private {found}"
    client = bus.connect(settings.redis)
    try:
        await client.ping()
        return True, "redis: HOTLINE_REDIS_URL answers"
    except (RedisError, OSError) as error:
        return False, f"HOTLINE_REDIS_URL: Redis cannot be reached: {error}"
    finally:
        await client.aclose()


def _dialling(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Settings and rules by which the hotline would dial itself, or what it never dials."""
    for number in settings.transfer_to:
        refusal = may_dial(
            number, Purpose.TRANSFER, policy(settings), own=settings.numbers, agents=()
        )
        if refusal is not None:
            yield False, f"HOTLINE_TRANSFER_TO: {number}: {refusal.text()}"
    for name, number in settings.departments.items():
        refusal = may_dial(number, Purpose.PARTY, policy(settings), own=settings.numbers, agents=())
        if refusal is not None:
            yield False, f"HOTLINE_PARTY_DIRECTORY: {name}: {refusal.text()}"
    yield from _without_recording(settings)
    for number in settings.dial_allow:
        refusal = may_dial(
            number, Purpose.CALLBACK, policy(settings), own=settings.numbers, agents=()
        )
        if refusal is not None and not number.endswith("*"):
            yield False, f"HOTLINE_DIAL_ALLOW: {number}: {refusal.text()}"
    if not settings.database_url and not (settings.root / "hotline.db").exists():
        return
    for problem in asyncio.run(_rules(settings)):
        yield False, problem


def _without_recording(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether new callers can be sent where the setting says while no call can be recorded."""
    number = settings.without_recording
    if number in (CONTINUE, REFUSE):
        return
    named = f"HOTLINE_WITHOUT_RECORDING: {number}"
    refusal = may_dial(number, Purpose.OVERFLOW, policy(settings), own=settings.numbers, agents=())
    if refusal is not None:
        yield False, f"{named}: {refusal.text()}; callers are taken without a recording instead"
    elif not settings.calls_out:
        yield False, f"{named}: there is no way out (HOTLINE_OUTBOUND): callers are taken instead"
    else:
        yield True, f"{named} gets the callers who cannot be recorded"


def _trunks(settings: Settings) -> Iterator[tuple[bool, str]]:
    """The trunks of `trunks.toml`, and numbers that come in nowhere."""
    try:
        settings.read_trunks()
    except TrunkError as error:
        for line in str(error).splitlines():
            yield False, line
        yield False, "trunks.toml cannot be used: the trunks that follow are in force"
    for trunk in settings.named_trunks:
        by = f"registers as {trunk.user}" if trunk.registered else "known by its address"
        numbers = ", ".join(trunk.numbers) or "all numbers"
        yield True, f"trunk {trunk.name}: {trunk.uri}, {by}, {numbers}"
    listed = {number for trunk in settings.named_trunks for number in trunk.numbers}
    for number in sorted(listed - set(settings.numbers)):
        yield True, f"trunks.toml: {number} is not in HOTLINE_NUMBERS: it rings once it is added"
    if all(trunk.numbers for trunk in settings.named_trunks) and settings.named_trunks:
        for number in settings.numbers:
            if number not in listed:
                yield (
                    False,
                    (
                        f"trunks.toml: no trunk has {number}, so that it comes in from HOTLINE_TRUNKS only: "
                        "write it into the numbers of one"
                    ),
                )


def trunks_changed(settings: Settings) -> Iterator[tuple[bool, str]]:
    """Whether the running centre goes by other trunks than those that `trunks.toml` has now."""
    with contextlib.suppress(TrunkError):  # which was said
        if settings.trunks_in_force() != settings.read_trunks():
            yield False, TRUNKS_CHANGED


TRUNKS_CHANGED = (
    "trunks.toml has changed, and the trunks of before are in use: "
    "`hotline up` takes it up within seconds; if it does not, up.log says why"
)


def _trunk_states(settings: Settings, asterisk: AsteriskBinary) -> Iterator[tuple[bool, str]]:
    """What Asterisk knows of the trunks of `trunks.toml`."""
    if not settings.named_trunks:
        return

    async def ask(what: str) -> str:
        return await programs.asterisk_cli(settings, asterisk, f"pjsip show {what}")

    registrations, contacts = asyncio.run(ask("registrations")), asyncio.run(ask("contacts"))
    for trunk in settings.named_trunks:
        yield trunk_state(trunk, registrations, contacts)


def trunk_state(trunk: Trunk, registrations: str, contacts: str) -> tuple[bool, str]:
    """How a trunk is, by the answers to `pjsip show registrations` and `pjsip show contacts`."""
    asked = re.search(
        rf"^\s*Contact:\s+{watch(trunk.name)}/.*\b(\w+)\s+\S+\s*$", contacts, re.MULTILINE
    )
    held = re.search(
        rf"^\s*{way_out(trunk.name)}/\S*\s+(?:\S+\s+)?(Registered|Unregistered|Rejected|Stopped)\b",
        registrations,
        re.MULTILINE,
    )
    answers = asked[1] if asked else ""
    if answers == "Unavail":
        return False, (
            f"trunk {trunk.name}: it does not answer at {trunk.host}: look at the line and at host in trunks.toml"
        )
    if trunk.registered and (held is None or held[1] != "Registered"):
        if held is not None and held[1] == "Rejected" and answers == "Avail":
            return False, (
                f"trunk {trunk.name}: the operator refuses the registration: "
                "check user and password in trunks.toml, or ask the operator"
            )
        return False, f"trunk {trunk.name}: it is not registered (yet)"
    how = "registered" if trunk.registered else "it answers" if answers == "Avail" else "not asked"
    return True, f"trunk {trunk.name}: {how}"


async def _rules(settings: Settings) -> list[str]:
    """What cannot work in the rules; nothing if they cannot be read."""
    engine = database.engine(settings.database)
    try:
        async with asyncio.timeout(5):
            book = await rulebook.read(engine)
            agents = {agent.number for agent in await roster.list_all(engine)}
    except database.FAILED:
        return []  # a new database, or one that is away, which was said
    finally:
        await engine.dispose()
    return list(problems(book, agents, rulebook.defaults(settings), settings.numbers))


def _alarms(settings: Settings) -> Iterator[tuple[bool, str]]:
    try:
        alarms.rules(settings)
    except SettingsError as error:
        yield False, str(error)
    for name, urls in (
        ("ALARM", settings.alarm_urls),
        ("ESCALATION", settings.escalation_urls),
        ("REPORT", settings.report_urls),
    ):
        for position, url in enumerate(urls, 1):
            if not notify.usable(url.get_secret_value()):
                yield (
                    False,
                    (
                        f"HOTLINE_{name}_URLS, address {position}: it is none of the library apprise, "
                        "such as mailtos://user:password@host?to=a@b.cn or json://host/path"
                    ),
                )
    if not settings.alarm_urls:
        yield True, "alarms: on the screens only (HOTLINE_ALARM_URLS is empty)"


def _running(settings: Settings, asterisk: AsteriskBinary) -> Iterator[tuple[bool, str]]:
    """Ports when the centre is down; its programs and Asterisk's manager interface when it is up."""
    states = {state.name: state.pid for state in programs.status(settings, asterisk)}
    if not any(states.values()):
        for name in ("asterisk", *programs.own(settings)):
            for problem in programs.taken_ports(settings, name):
                yield False, problem
        yield True, "the centre is not running"
        return
    for name, pid in states.items():
        yield pid is not None, f"{name}: " + (f"process {pid}" if pid else "not running")
    if states.get("asterisk"):
        yield from _manager(settings)
        yield from trunks_changed(settings)
        yield from _trunk_states(settings, asterisk)


def _manager(settings: Settings) -> Iterator[tuple[bool, str]]:
    known = dict(_settings_of(settings.asterisk_dir / "manager.conf"))
    if known.get(("general", "port")) != str(settings.ami_port):
        yield (
            False,
            (
                f"{settings.asterisk_dir / 'manager.conf'} was rendered with another HOTLINE_AMI_PORT: "
                "restart `hotline up`"
            ),
        )
        return
    try:
        answer = oneshot.ask(
            settings.control_address,
            settings.ami_port,
            "hotline",
            render.ami_secret(settings),
            {"Action": "CoreStatus"},
        )
        calls = answer.get("CoreCurrentCalls", "?")
        yield True, f"Asterisk's manager interface answers; calls now: {calls}"
    except oneshot.OneshotError as error:
        yield False, f"{error}: restart `hotline up`"


def _settings_of(file: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Read an Asterisk configuration file: (section, name) → value.

    pyst2 reads the sections and items; it knows no includes, templates or escaped semicolons, so those lines are made
    plain for it first.
    """
    from asterisk.config import Config, ParseError

    plain = file.with_suffix(".check")
    try:
        lines = file.read_text().replace("\\;", "").splitlines()
        kept = [
            re.sub(r"^(\[[^]]+\])\(.*\)", r"\1", line) for line in lines if not line.startswith("#")
        ]
        plain.write_text("\n".join(kept) + "\n")
        for category in Config(str(plain)).categories:
            for item in category.items:
                if hasattr(item, "name"):
                    yield (category.name, item.name), item.value.strip()
    except (OSError, ParseError):
        return
    finally:
        plain.unlink(missing_ok=True)
