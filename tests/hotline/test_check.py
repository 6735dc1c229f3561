"""`hotline check`: by which settings and rules the hotline would dial itself."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import update

from acd.rules import book as rulebook
from acd.rules.model import Number
from acd.rules.text import Rulebook
from agents import roster, tables
from base import database, files, migrations
from base.background import spawn
from base.bus import NoAnswer
from base.settings import Settings
from base.trunks import Trunk
from hotline.machine import render, up
from hotline.machine.check import (
    TRUNKS_CHANGED,
    _certificate,
    _dialling,
    _ffmpeg,
    _passwords,
    _trunks,
    quality,
    recording_key,
    seal_key,
    trunk_state,
    trunks_changed,
)
from recorder import seals
from recorder.vault import keys
from tests.authority import Authority

OWN_TARGET = Rulebook(
    queues={"default": {"overflow_to": "12345", "overflow_after": 9.0}},
    numbers={"8890": Number("8890")},
)


def test_what_dials_the_hotline_itself_is_said(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        transfer_to=("12333", "110", "12345"),
        dial_allow=("10086", "119", "+882*"),
        party_directory=("供电=95598", "总机=12345"),
    )
    assert list(_dialling(settings)) == [
        (False, "HOTLINE_TRANSFER_TO: 12345: this is one of the hotline's own numbers"),
        (False, "HOTLINE_PARTY_DIRECTORY: 总机: this is one of the hotline's own numbers"),
        (False, "HOTLINE_DIAL_ALLOW: 119: emergency numbers are never dialled by the hotline"),
    ]
    assert not (tmp_path / "hotline.db").exists(), "a look changed something"


def test_an_overflow_of_before_the_upgrade_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)

    async def fill() -> None:
        engine = database.engine(settings.database)
        await migrations.upgrade(engine)
        await rulebook.save(engine, OWN_TARGET)  # this program's own numbers were not told
        await engine.dispose()

    asyncio.run(fill())
    assert list(_dialling(settings)) == [
        (False, "queue default: overflow_to 12345: this is one of the hotline's own numbers")
    ]


def test_ffmpeg_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path)
    assert _ffmpeg(settings)[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    fine, said = _ffmpeg(settings)
    assert not fine
    assert "ffmpeg is not installed" in said
    assert "new recordings wait in the spool" in said
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho Unknown encoder libopus >&2; exit 1\n")
    program.chmod(0o755)
    fine, said = _ffmpeg(settings)
    assert not fine
    assert "Unknown encoder libopus" in said


@pytest.mark.parametrize(
    ("number", "outbound", "fine", "says"),
    [
        ("0411000", "sip:127.0.0.1:5090", True, "gets the callers"),
        ("0411000", "", False, "there is no way out"),
        ("110", "sip:127.0.0.1:5090", False, "emergency numbers are never dialled"),
    ],
)
def test_where_callers_go_who_cannot_be_recorded(
    tmp_path: Path, number: str, outbound: str, fine: bool, says: str
) -> None:
    settings = Settings(home=tmp_path, without_recording=number, outbound=outbound)
    ((found, said),) = _dialling(settings)
    assert found is fine
    assert says in said


def test_the_certificate_is_looked_at(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.sign("exchange", days=90)
    settings = Settings(home=tmp_path, tls_port=5061, tls_certificate=certificate, tls_key=key)
    fine, said = _certificate(settings)
    assert fine
    assert "holds until" in said
    for days in (20, -1):
        authority.sign("exchange", days=days)
        fine, said = _certificate(settings)
        assert not fine
        assert said.startswith("HOTLINE_TLS_CERTIFICATE: the certificate ")
    key.unlink()
    fine, said = _certificate(settings)
    assert not fine
    assert said.startswith("HOTLINE_TLS_KEY: there is no file")


def test_short_passwords_are_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert list(_passwords(settings)) == []
    assert not (tmp_path / "hotline.db").exists(), "a look changed something"

    async def fill() -> None:
        engine = database.engine(settings.database)
        await migrations.upgrade(engine)
        for number in ("1001", "1002"):
            await roster.add(engine, number, "王芳", roster.generate_password(), 1)
        async with engine.begin() as connection:
            change = update(tables.agent).where(tables.agent.c.number == "1002")
            await connection.execute(change.values(password_length=None))
        await engine.dispose()

    asyncio.run(fill())
    ((fine, line),) = _passwords(settings)
    assert not fine
    assert "softphones of 1002 have fewer than 12 characters" in line


REGISTRATIONS = """
 <Registration/ServerURI..............................>  <Auth....................>  <Status.......>
==========================================================================================

 outbound-telecom/sip:10.1.2.3:5080                      outbound-telecom            {status}        (exp. 290s)

Objects found: 1
"""
CONTACTS = """
  Contact:  <Aor/ContactUri..............................> <Hash....> <Status> <RTT(ms)..>
==========================================================================================

  Contact:  outbound-telecom/sip:10.1.2.3:5080             7e5d1ae7f5 NonQual         nan
  Contact:  watch-telecom/sip:10.1.2.3:5080                7e5d1ae7f5 {status}         0.512
"""


@pytest.mark.parametrize(
    ("registration", "contact", "fine", "said"),
    [
        ("Registered  ", "Avail  ", True, "registered"),
        ("Registered  ", "Unavail", False, "it does not answer at 10.1.2.3:5080"),
        ("Rejected    ", "Avail  ", False, "the operator refuses the registration: check user"),
        ("Rejected    ", "Unavail", False, "it does not answer at 10.1.2.3:5080"),
        ("Unregistered", "Avail  ", False, "it is not registered (yet)"),
        ("Rejected    ", "NonQual", False, "it is not registered (yet)"),
    ],
)
def test_how_a_trunk_is(registration: str, contact: str, fine: bool, said: str) -> None:
    trunk = Trunk(name="telecom", host="10.1.2.3:5080", user="u", password="p")  # type: ignore[arg-type]
    shown = REGISTRATIONS.format(status=registration), CONTACTS.format(status=contact)
    is_fine, line = trunk_state(trunk, *shown)
    assert (is_fine, line.startswith(f"trunk telecom: {said}")) == (fine, True), line


def test_a_number_that_comes_in_by_no_trunk_is_named(tmp_path: Path) -> None:
    (tmp_path / "trunks.toml").write_text(
        '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nnumbers = ["8890", "96110"]\n'
    )
    settings = Settings(home=tmp_path, numbers=("12345", "8890"))
    assert list(_trunks(settings)) == [
        (True, "trunk a: sip:10.0.0.1, known by its address, 8890, 96110"),
        (True, "trunks.toml: 96110 is not in HOTLINE_NUMBERS: it rings once it is added"),
        (
            False,
            (
                "trunks.toml: no trunk has 12345, so that it comes in from HOTLINE_TRUNKS only: "
                "write it into the numbers of one"
            ),
        ),
    ]


def test_a_change_of_the_trunks_that_is_not_taken_up_is_named(tmp_path: Path) -> None:
    file = tmp_path / "trunks.toml"
    file.write_text('[[trunk]]\nname = "a"\nhost = "10.0.0.1"\n')
    begun = Settings(home=tmp_path)
    begun.asterisk_dir.mkdir()
    render._keep_trunks(begun)
    file.write_text('# the first one\n[[trunk]]\nname = "a"\nhost = "10.0.0.1"\n')
    assert list(trunks_changed(Settings(home=tmp_path))) == []
    file.write_text('[[trunk]]\nname = "a"\nhost = "10.0.0.2"\n')
    assert list(trunks_changed(Settings(home=tmp_path))) == [(False, TRUNKS_CHANGED)]
    file.unlink()
    assert list(trunks_changed(Settings(home=tmp_path))) == [(False, TRUNKS_CHANGED)]
    render._keep_trunks(Settings(home=tmp_path))
    assert list(trunks_changed(Settings(home=tmp_path))) == []


GOOD = '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\n'


async def test_hotline_up_takes_up_a_change_of_the_trunks(tmp_path: Path) -> None:
    """A bad file is named once, and nothing of it holds; what was not told is told again."""
    file = tmp_path / "trunks.toml"
    file.write_text(GOOD)
    settings = Settings(home=tmp_path)
    taken: list[tuple[str, str]] = []
    away = True

    async def take(text: str) -> None:
        if away:
            raise NoAnswer("the controller does not answer")
        taken.append((text, settings.named_trunks[0].host))

    async def until(true: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.001)

    other, bad = GOOD.replace("10.0.0.1", "10.0.0.2"), GOOD.replace("host", "hots")
    with structlog.testing.capture_logs() as told:
        assert settings.named_trunks[0].host == "10.0.0.1"
        watch = spawn(up.watch_trunks(settings, take, every=0.001), "watch")
        files.put(file, bad.encode())
        await until(lambda: told)
        assert settings.named_trunks[0].host == "10.0.0.1"
        files.put(file, other.encode())
        await until(lambda: len(told) == 2)
        away = False
        await until(lambda: taken)
        files.put(file, GOOD.encode())
        await until(lambda: len(taken) == 2)
        watch.cancel()
    assert taken == [(other, "10.0.0.2"), (GOOD, "10.0.0.1")]
    assert [one["event"] for one in told] == [
        *("trunks.not_usable", "trunks.not_told"),
        *("trunks.taken", "trunks.taken"),
    ]
    assert "line 3" in told[0]["why"]


def test_a_bad_file_of_trunks_is_named_and_those_in_force_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "trunks.toml"
    file.write_text(GOOD)
    begun = Settings(home=tmp_path)
    begun.asterisk_dir.mkdir()
    render._keep_trunks(begun)
    file.write_text(GOOD.replace("host", "hots"))
    now = Settings(home=tmp_path)
    assert now.named_trunks == begun.named_trunks
    found = list(_trunks(now))
    assert [fine for fine, _ in found if not fine]
    assert any(not fine and "line 3" in line for fine, line in found)
    assert any("in force" in line for _, line in found)
    assert any(line.startswith("trunk a: sip:10.0.0.1") for _, line in found)
    assert list(trunks_changed(now)) == []


def test_the_key_of_the_seals_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    file = tmp_path / "secrets" / seals.KEY_FILE
    fine, said = seal_key(settings)
    assert (fine, str(file) in said) == (True, True)
    assert not file.exists(), "a look changed something"
    seals.key(settings)
    fine, said = seal_key(settings)
    assert (fine, "keep a copy of it apart from the backup" in said) == (True, True)
    file.write_text("no key")
    fine, said = seal_key(settings)
    assert (fine, "holds no Ed25519 key" in said) == (False, True)


def test_the_master_key_of_the_recordings_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    file = keys.path(settings)
    fine, said = recording_key(settings)
    assert (fine, str(file) in said) == (True, True)
    assert not file.exists(), "a look changed something"
    key = keys.add(settings)
    fine, said = recording_key(settings)
    assert (fine, f"{key.id} is in {file} (rights 600)" in said) == (True, True)
    assert "apart from the backup of the recordings" in said
    file.chmod(0o640)
    assert recording_key(settings) == (
        False,
        f"{file} has the recordings' master key, and the rights 640: `chmod 600` it",
    )
    file.write_text("no key")
    fine, said = recording_key(settings)
    assert (fine, "line 1: a master key has 64 hexadecimal characters" in said) == (False, True)
    file.unlink()
    (settings.recordings_dir / "2025").mkdir(parents=True)
    (settings.recordings_dir / "2025" / "a.wav.enc").write_bytes(b"")
    fine, said = recording_key(settings)
    assert (fine, f"bring back {file} or set HOTLINE_RECORDING_KEYS" in said) == (False, True)
    from_setting = settings.model_copy(update={"recording_keys": (SecretStr("ab" * 32),)})
    fine, said = recording_key(from_setting)
    assert (fine, "is in HOTLINE_RECORDING_KEYS" in said, "abab" in said) == (True, True, False)
    off = settings.model_copy(update={"encrypt_recordings": False})
    assert recording_key(off)[0]
    assert "plain" in recording_key(off)[1]


def test_strata_and_a_score_card_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    fine, said = quality(Settings(home=tmp_path))
    assert fine
    assert "by hotline quality draw alone" in said
    assert "each Monday" in quality(Settings(home=tmp_path, quality_draw=True))[1]
    fine, said = quality(Settings(home=tmp_path, quality_strata=("colour",)))
    assert not fine
    assert "HOTLINE_QUALITY_STRATA: strata: there is no colour" in said
    (tmp_path / "scorecard.toml").write_text("passing = 200", encoding="utf-8")
    fine, said = quality(Settings(home=tmp_path))
    assert not fine
    assert "scorecard.toml: passing: write 0 to 100" in said
