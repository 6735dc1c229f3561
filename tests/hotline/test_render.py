"""The rendered configuration: whole, private, the same each time, and never more than the settings say."""

import re
from pathlib import Path
from typing import Any

import pytest

from agents.signin import SIP_REALM
from base.settings import Settings, SettingsError, load
from base.trunks import TrunkError
from hotline.machine.programs import AsteriskBinary, ProgramError
from hotline.machine.render import (
    AMI_EVENTS,
    TEMPLATES,
    agi_secret,
    ami_secret,
    hep_secret,
    render,
    render_numbers,
)
from telephony.channels import WANTED
from telephony.realtime import VIEWS


def an_asterisk(folder: Path, version: str = "22.10.1", without: str = "") -> AsteriskBinary:
    """Something that looks like an installed Asterisk to `render`: it is never run."""
    modules, data = folder / f"modules-{version}", folder / "data"
    modules.mkdir(parents=True, exist_ok=True)
    names = re.findall(
        r"^load = (\S+\.so)$", (TEMPLATES / "modules.conf").read_text(), re.MULTILINE
    )
    names += ["cel_custom.so", "app_system.so", "res_srtp.so"]
    if not version.startswith("20."):
        names.append("res_cdrel_custom.so")
    for name in names:
        if name != without:
            (modules / name).touch()
    (data / "documentation").mkdir(parents=True, exist_ok=True)
    return AsteriskBinary(("asterisk",), version, modules, data)


@pytest.fixture
def asterisk(tmp_path: Path) -> AsteriskBinary:
    return an_asterisk(tmp_path / "installed")


def rendered(settings: Settings, asterisk: AsteriskBinary) -> dict[str, str]:
    """Every file's lines without comments."""
    render(settings, asterisk)
    return {
        file.name: "\n".join(
            line for line in file.read_text().splitlines() if not line.startswith(";")
        )
        for file in settings.asterisk_dir.glob("*.conf")
    }


def section(text: str, name: str) -> str:
    """The lines below this heading, up to the next one."""
    return text.partition(f"\n[{name}]\n")[2].partition("\n[")[0]


def option(text: str, name: str) -> str:
    (value,) = re.findall(rf"^{name} *=>? *(.*)$", text, re.MULTILINE)
    return str(value)


def test_every_template_is_filled_and_private(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(home=tmp_path / "home")
    files = rendered(settings, asterisk)
    assert files.keys() == {template.name for template in TEMPLATES.glob("*.conf")}
    assert "@{" not in "".join(files.values())
    for file in settings.asterisk_dir.glob("*.conf"):
        assert file.stat().st_mode & 0o777 == 0o600
    for folder in (
        settings.asterisk_dir,
        settings.secrets_dir,
        settings.run_dir,
        settings.spool_dir,
    ):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_second_time_changes_nothing(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(home=tmp_path / "home")
    render(settings, asterisk)
    before = {file: file.stat().st_mtime_ns for file in settings.asterisk_dir.glob("*.conf")}
    secret = ami_secret(settings)
    render(settings, asterisk)
    assert before == {f: f.stat().st_mtime_ns for f in settings.asterisk_dir.glob("*.conf")}
    assert ami_secret(settings) == secret


def test_a_file_that_somebody_changed_or_opened_to_others_is_set_right(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    settings = Settings(home=tmp_path / "home")
    first = rendered(settings, asterisk)
    manager = settings.asterisk_dir / "manager.conf"
    manager.write_text("changed")
    (settings.asterisk_dir / "rtp.conf").chmod(0o644)
    assert rendered(settings, asterisk) == first
    assert (settings.asterisk_dir / "rtp.conf").stat().st_mode & 0o777 == 0o600


def test_secrets_are_long_private_and_each_centres_own(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    one, other = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "other")
    assert re.fullmatch("[0-9a-f]{64}", ami_secret(one))
    assert ami_secret(one) != ami_secret(other)
    assert (one.secrets_dir / "ami").stat().st_mode & 0o777 == 0o600
    files = rendered(one, asterisk)
    assert option(files["manager.conf"], "secret") == ami_secret(one)
    assert option(files["hep.conf"], "capture_password") == hep_secret(one)
    assert len({ami_secret(one), agi_secret(one), hep_secret(one)}) == 3
    (one.secrets_dir / "ami").write_text("short")
    with pytest.raises(ProgramError, match="remove it"):
        ami_secret(one)


def test_asterisk_shows_the_agi_secret_as_the_last_argument_and_in_no_address(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    one, other = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "other")
    files = rendered(one, asterisk)
    secret = agi_secret(one)
    assert re.fullmatch("[0-9a-f]{64}", secret)
    assert len({secret, ami_secret(one), agi_secret(other)}) == 3
    assert (one.secrets_dir / "agi").stat().st_mode & 0o777 == 0o600
    uses = [
        line
        for text in files.values()
        for line in text.splitlines()
        if "agi://" in line or secret in line
    ]
    assert len(uses) == 8
    for line in uses:
        # Asterisk logs the address, which ends at the first comma.
        assert secret not in line.partition("agi://")[2].partition(",")[0]
        assert re.search(rf",{secret}[)\"]", line)


def test_the_settings_arrive(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(
        home=tmp_path / "home",
        node="north",
        numbers=("12345", "8890"),
        sip_address="10.1.2.3",
        sip_port=5070,
        rtp_ports=(20000, 20999),
        trunks=("10.9.0.1", "10.9.1.0/24"),
        control_address="10.1.2.3",
        ami_port=6038,
        agi_port=6573,
        retries=7,
        retry_pause=1.5,
        longest_wait=600,
    )
    files = rendered(settings, asterisk)
    assert option(files["asterisk.conf"], "systemname") == "north"
    dialplan = files["extensions.conf"]
    assert re.findall(r"^exten = (\d+),1,Set\(HL_NUMBER=(\d+)\)$", dialplan, re.MULTILINE) == [
        ("12345", "12345"),
        ("8890", "8890"),
    ]
    assert option(files["hep.conf"], "capture_address") == "10.1.2.3:6573"
    assert dialplan.count("AGI(agi://10.1.2.3:6573/") == 4
    assert "${HL_TRIES} >= 7" in dialplan
    assert "Wait(1.5)" in dialplan
    assert "Queue(fallback,,,,600)" in dialplan
    assert f"MixMonitor({settings.spool_dir}/${{UNIQUEID}}.raw,D)" in dialplan
    pjsip = files["pjsip.conf"]
    assert re.findall(r"^bind = (.*)$", pjsip, re.MULTILINE) == ["10.1.2.3:5070"] * 2
    assert option(pjsip, "permit") == option(pjsip, "match") == "10.9.0.1,10.9.1.0/24"
    pattern = option(pjsip, "match_request_uri").strip("/").replace("\\;", ";")
    assert re.match(pattern, "sip:8890@10.1.2.3")
    assert re.match(pattern, "tel:12345;phone-context=cn")
    assert not re.match(pattern, "sip:123456@10.1.2.3")
    assert not re.match(pattern, "sip:x12345@10.1.2.3")
    assert option(files["rtp.conf"], "rtpend") == "20999"
    assert option(files["manager.conf"], "port") == "6038"
    assert option(files["manager.conf"], "permit") == "127.0.0.1/32,::1/128,10.1.2.3/32"
    assert str(settings.cel_file) in files["cel_custom.conf"]


def test_an_address_of_version_6(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(home=tmp_path / "home", sip_address="::1", control_address="::1")
    files = rendered(settings, asterisk)
    assert "bind = [::1]:5060" in files["pjsip.conf"]
    assert "agi://[::1]:4573/call" in files["extensions.conf"]
    assert option(files["manager.conf"], "bindaddr") == "::1"


@pytest.mark.parametrize(
    "name", ["a;b", "a\nb", "a,b", "${EPOCH}", "$(reboot)", 'a"b', "a[b]", "a|b", "a\\b", "a\x7fb"]
)
def test_a_home_that_the_configuration_cannot_hold_is_refused(
    tmp_path: Path, asterisk: AsteriskBinary, name: str
) -> None:
    with pytest.raises(ProgramError, match="HOTLINE_HOME"):
        render(Settings(home=tmp_path / name), asterisk)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["家", "with space", "a.b-c_d+e@f=g~h"])
def test_other_homes_are_fine(tmp_path: Path, asterisk: AsteriskBinary, name: str) -> None:
    files = rendered(Settings(home=tmp_path / name), asterisk)
    assert str(tmp_path / name) in files["asterisk.conf"]


def test_a_name_is_no_sip_address(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    with pytest.raises(ProgramError, match="HOTLINE_SIP_ADDRESS"):
        render(Settings(home=tmp_path / "home", sip_address="exchange\nbind = 0.0.0.0"), asterisk)


def test_a_folder_that_cannot_be_made(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProgramError, match="cannot be written"):
        render(Settings(home=tmp_path / "file" / "home"), asterisk)


# --- TLS


def with_tls(home: Path, **more: object) -> Settings:
    return Settings.model_validate(
        {
            "home": home,
            "tls_port": 5061,
            "tls_certificate": "/etc/tls/hotline.pem",
            "tls_key": "/etc/tls/hotline.key",
            **more,
        }
    )


def test_tls_may_be_used(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    plain = rendered(Settings(home=tmp_path / "plain"), asterisk)
    assert not re.search("protocol = tls|encryption|verify_server", plain["pjsip.conf"])
    assert "srtp" not in plain["modules.conf"] + plain["sorcery.conf"]
    files = rendered(with_tls(tmp_path / "home", tls_ca="/etc/tls/ca.pem"), asterisk)
    pjsip = files["pjsip.conf"]
    assert re.findall(r"^bind = (.*)$", pjsip, re.MULTILINE) == [
        *("127.0.0.1:5060", "127.0.0.1:5060", "127.0.0.1:5061")
    ]
    tls = section(pjsip, "transport-tls")
    assert option(tls, "cert_file") == str(tmp_path / "home/asterisk/tls/certificate.pem")
    assert option(tls, "ca_list_file") == "/etc/tls/ca.pem"
    assert option(tls, "verify_server") == "yes"
    by_heading = dict(sections_of(pjsip))
    assert by_heading["[citizens](!)"]["media_encryption_optimistic"] == "yes"
    assert "media_encryption" not in by_heading["[outbound](calls-out)"], "that way has no TLS"
    assert option(pjsip, "endpoint_identifier_order") == "request_uri,username,ip"
    assert "endpoint = realtime,ps_endpoints_srtp\n" in files["sorcery.conf"] + "\n"
    assert "load = res_srtp.so" in files["modules.conf"]
    assert "local_addr" not in files["extensions.conf"]


def test_tls_for_phones(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    files = rendered(with_tls(tmp_path / "home", phones_tls="required"), asterisk)
    pjsip = files["pjsip.conf"]
    # What comes without TLS is the trunk's, whose list of addresses keeps others out.
    assert option(pjsip, "endpoint_identifier_order") == "header,request_uri,username,ip"
    assert option(section(pjsip, "trunk-plain"), "endpoint") == "trunk"
    pattern = option(section(pjsip, "trunk-plain"), "match_header").removeprefix("Via: ")
    assert re.match(pattern.strip("/"), "SIP/2.0/UDP 10.0.0.1")
    assert not re.match(pattern.strip("/"), "SIP/2.0/TLS 10.0.0.1")
    assert "endpoint = realtime,ps_endpoints_tls\n" in files["sorcery.conf"] + "\n"
    assert files["extensions.conf"].count("local_addr") == 2
    assert "'transport-tls' AS transport" in VIEWS["ps_endpoints_tls"]
    assert "optimistic" not in VIEWS["ps_endpoints_tls"]


def test_tls_for_the_trunk(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    way = {"outbound": "sip:sbc.example.cn:5061;transport=tls", "tls_ca": "/etc/tls/ca.pem"}
    files = rendered(with_tls(tmp_path / "home", trunk_tls="required", **way), asterisk)
    pjsip = files["pjsip.conf"]
    by_heading = dict(sections_of(pjsip))
    for heading in ("[citizens](!)", "[outbound](calls-out)"):
        assert by_heading[heading]["media_encryption"] == "sdes"
        assert "media_encryption_optimistic" not in by_heading[heading]
    assert option(pjsip, "endpoint_identifier_order") == "request_uri,username,ip"
    assert '"${CHANNEL(pjsip,local_addr)}" =~ "[:]5061$"' in section(
        files["extensions.conf"], "hotline-call"
    )


def test_nothing_but_tls(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = with_tls(tmp_path / "home", trunk_tls="required", phones_tls="required")
    pjsip = rendered(settings, asterisk)["pjsip.conf"]
    assert re.findall(r"^\[transport-(.*)\]$", pjsip, re.MULTILINE) == ["tls"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tls_certificate": None}, "HOTLINE_TLS_CERTIFICATE is needed"),
        ({"tls_key": None}, "HOTLINE_TLS_KEY is needed"),
        ({"tls_port": 5060}, "HOTLINE_TLS_PORT is the same as HOTLINE_SIP_PORT"),
        ({"tls_port": 0, "phones_tls": "required"}, "HOTLINE_PHONES_TLS wants TLS"),
        ({"tls_port": 0, "trunk_tls": "required"}, "HOTLINE_TRUNK_TLS wants TLS"),
        ({"tls_port": 0, "outbound": "sip:a.cn;transport=tls"}, "HOTLINE_OUTBOUND wants TLS"),
        ({"outbound": "sip:a.cn;transport=tls"}, "HOTLINE_TLS_CA is needed"),
        (
            {"trunk_tls": "required", "outbound": "sip:a.cn"},
            "HOTLINE_TRUNK_TLS is required, and HOTLINE_OUTBOUND",
        ),
        ({"phones_tls": "maybe"}, "HOTLINE_PHONES_TLS: "),
    ],
)
def test_settings_of_tls_that_do_not_go_together(more: dict[str, object], said: str) -> None:
    values = {"tls_port": 5061, "tls_certificate": "/a.pem", "tls_key": "/a.key", **more}
    with pytest.raises(SettingsError) as wrong:
        load(**values)
    assert str(wrong.value).startswith(said)


# --- the database


def test_sqlite(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    files = rendered(Settings(home=tmp_path / "home"), asterisk)
    assert option(files["res_config_sqlite3.conf"], "dbfile") == str(tmp_path / "home/hotline.db")
    assert option(files["extconfig.conf"], "ps_aors") == "sqlite3,hotline"
    assert "res_config_pgsql" not in files["modules.conf"]


def test_with_postgresql_asterisk_reads_a_copy_and_knows_no_password(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    url = "postgresql+asyncpg://user:p%40ss%3Bword@db.example:6432/calls"
    settings = Settings(home=tmp_path / "home", database_url=url)
    files = rendered(settings, asterisk)
    assert option(files["res_config_sqlite3.conf"], "dbfile") == str(
        settings.asterisk_dir / "phones.db"
    )
    assert option(files["extconfig.conf"], "queue_members") == "sqlite3,hotline"
    assert not [name for name, text in files.items() if "db.example" in text or "p@ss" in text]


def test_the_views_and_the_realm(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    files = rendered(Settings(home=tmp_path / "home"), asterisk)
    assert option(files["pjsip.conf"], "default_realm") == SIP_REALM
    assert f"'{SIP_REALM}' AS realm" in VIEWS["ps_auths"]
    mapped = set(re.findall(r"^(\w+) =>", files["extconfig.conf"], re.MULTILINE))
    assert mapped == VIEWS.keys()
    # Asterisk refuses the md5 credential of a user whose number it compares with another realm.
    assert all(sql.startswith(f"CREATE VIEW {name} AS") for name, sql in VIEWS.items())


# --- versions of Asterisk


@pytest.mark.parametrize(
    ("version", "trunk", "order"),
    [
        ("22.10.1", "127.0.0.1", "request_uri,username,ip"),
        ("22.10.1", "10.9.0.1", "request_uri,username,ip"),
        ("20.8.0", "127.0.0.1", "request_uri,username,ip"),
        ("20.6.0", "127.0.0.1", "username,ip"),
        ("20.6.0", "0.0.0.0/0", "username,ip"),
        ("20.6.0", "10.9.0.1", "ip,username"),
        ("21.2.0", "10.9.0.1", "ip,username"),
    ],
)
def test_who_is_calling(tmp_path: Path, version: str, trunk: str, order: str) -> None:
    pjsip = rendered(
        Settings(home=tmp_path / "home", trunks=(trunk,)), an_asterisk(tmp_path, version)
    )["pjsip.conf"]
    assert option(pjsip, "endpoint_identifier_order") == order
    assert ("match_request_uri" in pjsip) == order.startswith("request_uri")
    trunk, *others = re.findall(r"^identify_by = (.*)$", pjsip, re.MULTILINE)
    assert trunk == ("request_uri,ip" if "request" in order else "ip")
    assert set(others) == {"header"}, "nobody comes in by the way out"


@pytest.mark.parametrize(
    ("outbound", "contact"),
    [
        ("", ""),
        ("sip:127.0.0.1:5090", "sip:127.0.0.1:5090"),
        ("sip:gateway.example:5080;transport=tcp", r"sip:gateway.example:5080\;transport=tcp"),
        ("sip:[fd00::1]:5060", "sip:[fd00::1]:5060"),
    ],
)
def test_the_way_out(tmp_path: Path, asterisk: AsteriskBinary, outbound: str, contact: str) -> None:
    settings = Settings(home=tmp_path / "home", outbound=outbound)
    pjsip = rendered(settings, asterisk)["pjsip.conf"]
    assert re.findall(r"^contact = (.*)$", pjsip, re.MULTILINE) == (
        [contact] * 2 if contact else []
    )


@pytest.mark.parametrize(
    "outbound",
    [
        "127.0.0.1:5090",
        "sip:",
        "sip:a b",
        "sip:1.2.3.4:99999",
        "sip:u@host",
        "sip:h\n[x]",
        "sip:h;x",
    ],
)
def test_what_is_no_sip_address_is_refused(outbound: str) -> None:
    with pytest.raises(SettingsError, match=r"HOTLINE_OUTBOUND: .* is no SIP address"):
        load(outbound=outbound)


def test_event_filters_of_newer_and_older_versions(tmp_path: Path) -> None:
    assert {"FullyBooted", *WANTED} == set(AMI_EVENTS)
    settings = Settings(home=tmp_path / "home")
    for version, pattern in (
        ("22.10.1", r"^eventfilter\(action\(include\),name\((\w+)\).*\) = ?[\w/-]*$"),
        ("20.6.0", r"^eventfilter = Event: (\w+)$"),
    ):
        manager = rendered(settings, an_asterisk(tmp_path, version))["manager.conf"]
        assert re.findall(pattern, manager, re.MULTILINE) == list(AMI_EVENTS)
        disabled = option(manager, "disabledevents").split(",")
        assert "VarSet" in disabled
        assert not set(disabled) & set(AMI_EVENTS)


def test_only_the_keys_of_citizens_are_told(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    manager = rendered(Settings(home=tmp_path / "home"), asterisk)["manager.conf"]
    assert "name(DTMFEnd),header(Channel),method(starts_with)) = PJSIP/trunk-\n" in manager


def test_asterisk_can_load_the_listed_modules_and_no_others(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    settings = Settings(home=tmp_path / "home")
    files = rendered(settings, asterisk)
    folder = Path(option(files["asterisk.conf"], "astmoddir"))
    listed = set(re.findall(r"^load = (\S+)$", files["modules.conf"], re.MULTILINE))
    assert {link.name for link in folder.iterdir()} == listed
    assert {"chan_pjsip.so", "res_agi.so", "cel_custom.so", "res_cdrel_custom.so"} <= listed
    for part in ("app_system", "app_exec", "func_shell", "externalivr", "http", "ari", "cdr_"):
        assert not any(part in name for name in listed), part
    # Another Asterisk later: its modules, and none of the old ones.
    older = an_asterisk(tmp_path, "20.6.0")
    render(settings, older)
    assert {link.readlink().parent for link in folder.iterdir()} == {older.modules}
    assert not (folder / "res_cdrel_custom.so").exists()


def test_an_asterisk_without_a_module_is_named(tmp_path: Path) -> None:
    lacking = an_asterisk(tmp_path, without="app_mixmonitor.so")
    with pytest.raises(ProgramError, match=r"lacks the module app_mixmonitor\.so"):
        render(Settings(home=tmp_path / "home"), lacking)


def test_sounds_are_links_and_not_copies(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(home=tmp_path / "home")
    files = rendered(settings, asterisk)
    data = Path(option(files["asterisk.conf"], "astdatadir"))
    prompts = data / "sounds" / "zh" / "hotline"
    assert prompts.is_symlink()
    assert prompts.resolve() == (TEMPLATES / "prompts" / "zh").resolve()
    english = data / "sounds" / "zh" / "hotline-en"
    assert english.resolve() == (TEMPLATES / "prompts" / "en").resolve()
    assert Path(option(files["musiconhold.conf"], "directory")) == TEMPLATES / "music"


def test_what_a_caller_sends_is_cleaned_and_used_for_nothing_in_the_dialplan(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    dialplan = rendered(Settings(home=tmp_path / "home"), asterisk)["extensions.conf"]
    # First of all the caller's number is cleaned, and then it is not looked at again.
    cleaned = (
        "[hotline-call]\nexten = s,1,MSet(CALLERID(num)=${FILTER(0-9A-Za-z*#+,${CALLERID(num)})},"
    )
    assert dialplan.count(cleaned) == 1
    dialplan = dialplan.replace(cleaned, "")
    used = set(re.findall(r"\$\{([^}]*)\}", dialplan))
    assert used == {
        *("EPOCH", "STRFTIME(,UTC,%s%6q)", "UNIQUEID", "DIALSTATUS", "CHANNEL(endpoint)"),
        *("CHANNEL(endpoint):0:5", "CHANNEL(endpoint):0:8"),
        *("HL_NUMBER", "HL_ARRIVED", "HL_QUEUED", "HL_QUEUE", "HL_DONE", "HL_TRIES"),
        *("HL_WISH", "HL_REASON", "HL_COLLEAGUE", "HL_TARGET", "HL_SILENT", "HL_AGAIN"),
        # The leg of the agent who has just talked, and the phone's last SIP answer
        *("DIALEDPEERNAME", "HANGUPCAUSE(${DIALEDPEERNAME"),
        *("HL_AGENT", "CHANNEL", "HL_ATTEMPT", "HL_CITIZEN", "QUEUE_PRIO"),
        *("EXTEN", "EXTEN:3", "FILTER(0-9,${EXTEN", "DEVICE_STATE(PJSIP/${FILTER(0-9,${EXTEN"),
        *("IMPORT(${CHANNELS(^PJSIP/${FILTER(0-9,${EXTEN", "CHANNELS(^PJSIP/${FILTER(0-9,${EXTEN"),
        # Asterisk's own word for whether the number may be shown.
        "CALLERID(num-pres):0:7",
        # Only letters and semicolons of Privacy, and a digest of the Call-ID
        *("FILTER(a-z\\;,${TOLOWER(${PJSIP_HEADER(read,Privacy)", "HL_PRIVACY"),
        *("MD5(${CHANNEL(pjsip,call-id)", "GROUP_COUNT(${GROUP(call)"),
        "UNIQUEID:-1",
        # When the recording notice is over, from the controller, and whether the citizen has hung up
        *("ARG1", "STRFTIME(,UTC,%s%3q)", "HL_REST", "MASTER_CHANNEL(CHANNEL(hangupsource))"),
    }
    # What an agent dials is used in five places: a digit by its pattern, and the digits of a colleague's number.
    assert re.findall(r"^exten = (\S+),1.*\n.*EXTEN:3", dialplan, re.MULTILINE) == ["_*12X"]
    assert dialplan.count("${EXTEN}") == 5
    # A name of a channel is looked up only where one was found a moment ago.
    channels = "${CHANNELS(^PJSIP/${FILTER(0-9,${EXTEN})}-)}"
    line = f'lswitch => Loopback/@transfer-BUSY-$["{channels}" = ""]'
    assert section(dialplan, "transfer-BUSY").splitlines()[0] == line
    assert "${IMPORT(${CHANNELS(^PJSIP/${FILTER(0-9,${EXTEN})}-)},CHANNEL(state))}" in section(
        dialplan, "transfer-BUSY-0"
    )
    assert section(dialplan, "transfer-BUSY-1").strip() == "include => transfer-0"
    assert "/@transfer-${DEVICE_STATE(PJSIP/${FILTER(0-9,${EXTEN})})}\n" in dialplan
    assert "\nexten = _X.,1,Set(HL_COLLEAGUE=${FILTER(0-9,${EXTEN})})\n" in dialplan
    # Nobody gets to the other place but by a Goto whose argument stands in a file, or in the view.
    assert "\nexten = _X.,1,Set(HL_TARGET=${EXTEN})\n" in dialplan
    assert re.findall(r"Goto\(hotline-transfer,(.*)\)", dialplan) == ["12345,1"]


def test_no_message_is_declined_that_somebody_reads(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    declined = re.findall(
        r"^decline = (\w+)$",
        rendered(Settings(home=tmp_path / "home"), asterisk)["stasis.conf"],
        re.MULTILINE,
    )
    read = {
        # The events of telephony.channels
        *("ast_channel_snapshot_type", "ast_channel_dial_type", "ast_channel_hangup_request_type"),
        *("ast_channel_entered_bridge_type", "ast_attended_transfer_type", "ast_channel_hold_type"),
        *("ast_channel_unhold_type", "ast_multi_user_event_type", "ast_channel_dtmf_end_type"),
        *("ast_endpoint_contact_state_type", "ast_security_event_type", "ast_system_registry_type"),
        # CEL, and what Asterisk tells itself of phones, bridges and queues
        *("cel_generic_type", "ast_channel_left_bridge_type", "ast_blind_transfer_type"),
        *("ast_bridge_snapshot_type", "ast_device_state_message_type", "ast_endpoint_state_type"),
        *("ast_endpoint_snapshot_type", "ast_channel_masquerade_type", "ast_call_pickup_type"),
        *("ast_local_optimization_begin_type", "ast_local_optimization_end_type"),
        *("stasis_subscription_change_type", "stasis_cache_update_type", "ast_local_bridge_type"),
        *("stasis_cache_clear_type", "ast_bridge_merge_message_type", "ast_network_change_type"),
    }
    assert declined
    assert not read & set(declined)
    assert len(declined) == len(set(declined))


def test_where_an_agent_may_transfer_to(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    def lines(settings: Settings) -> list[str]:
        return section(rendered(settings, asterisk)["extensions.conf"], "transfer").splitlines()

    home = tmp_path / "home"
    ours, allowed = (f"exten = {n},1,Goto(hotline-transfer,{n},1)" for n in ("12345", "12333"))
    rest = [
        f'#tryinclude "{home}/asterisk/numbers_transfer.conf"',
        'eswitch => Loopback/@transfer-$["${CHANNEL}" = ""]',
    ]
    assert [line for line in lines(Settings(home=home, transfer_to=("12333",))) if line] == [
        ours,  # there is no way out
        *rest,
    ]
    settings = Settings(home=home, outbound="sip:127.0.0.1:5090", transfer_to=("12333",))
    assert [line for line in lines(settings) if line] == [ours, allowed, *rest]
    assert render_numbers(settings, ["12346", "12345"])
    more = rendered(settings, asterisk)["numbers_transfer.conf"]
    assert more == "exten = 12346,1,Goto(hotline-transfer,12346,1)"


def test_numbers_that_came_later_are_included(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = Settings(home=tmp_path / "home")
    files = rendered(settings, asterisk)
    assert not render_numbers(settings, settings.numbers)
    assert rendered(settings, asterisk) == files  # no file more, for there is no number more

    assert render_numbers(settings, ["12346", "12345", "95598"])
    assert not render_numbers(settings, ["95598", "12346", "12345"])
    more = rendered(settings, asterisk)
    folder = settings.asterisk_dir
    assert f'#tryinclude "{folder}/numbers_dialplan.conf"' in more["extensions.conf"]
    assert f'#tryinclude "{folder}/numbers_trunk.conf"' in more["pjsip.conf"]
    assert re.findall(r"exten = (.*)", more["numbers_dialplan.conf"]) == [
        "12346,1,Set(HL_NUMBER=12346)",
        "95598,1,Set(HL_NUMBER=95598)",
    ]
    trunk = more["numbers_trunk.conf"]
    assert (option(trunk, "type"), option(trunk, "endpoint")) == ("identify", "trunk")
    pattern = option(trunk, "match_request_uri")
    assert [
        bool(re.search(pattern[1:-1].replace("\\;", ";"), uri))
        for uri in (
            "sip:12346@10.0.0.1",
            "tel:95598;phone-context=x",
            "sip:12345@x",
            "sip:123467@x",
        )
    ] == [True, True, False, False]

    assert render_numbers(settings, ["12345"])  # taken back
    assert "exten" not in (folder / "numbers_dialplan.conf").read_text()
    assert "type" not in (folder / "numbers_trunk.conf").read_text()


@pytest.mark.parametrize("number", ["123 45", "1234\nexten = s,1,System(x)", "", "1", "_X."])
def test_what_is_no_number_never_gets_into_the_dialplan(
    tmp_path: Path, asterisk: AsteriskBinary, number: str
) -> None:
    settings = Settings(home=tmp_path / "home")
    render(settings, asterisk)
    with pytest.raises(ProgramError, match="is no number of a hotline"):
        render_numbers(settings, ["12345", number])
    assert not (settings.asterisk_dir / "numbers_dialplan.conf").exists()


def test_an_asterisk_without_request_uri_includes_no_trunk_numbers(
    tmp_path: Path,
) -> None:
    files = rendered(Settings(home=tmp_path / "home"), an_asterisk(tmp_path, "20.6.0"))
    assert "numbers_trunk" not in files["pjsip.conf"]
    assert "numbers_dialplan" in files["extensions.conf"]


def test_an_audit_log_of_less_than_six_months_is_refused() -> None:
    assert load().audit_days == 1096
    assert load(audit_days=184).audit_days == 184
    with pytest.raises(
        SettingsError, match=r"HOTLINE_AUDIT_DAYS: 183 days are too few.*write 184 or more"
    ):
        load(audit_days=183)


# --- several trunks (trunks.toml)

TRUNKS = """
[[trunk]]
name = "telecom"
host = "sip.example.cn:5080"
transport = "tcp"
user = "02412345"
password = 'a;b"c\\d'
match = ["10.1.2.0/24"]
numbers = ["12345"]

[[trunk]]
name = "mobile"
host = "10.9.0.1"
numbers = ["8890"]
watch = false
"""


def with_trunks(tmp_path: Path, text: str = TRUNKS, **more: Any) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    (home / "trunks.toml").write_text(text)
    numbers = ("12345", "8890", "12366")
    return Settings(home=home, numbers=numbers, trunks=("10.0.0.1",), **more)


def sections_of(text: str) -> list[tuple[str, dict[str, str]]]:
    """Each section's heading, and what it says."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if line.startswith("["):
            found.append((line, {}))
        elif " = " in line and not line.startswith(";"):
            name, _, value = line.partition(" = ")
            found[-1][1][name] = value
    return found


def test_a_trunk_by_tls(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    text = '[[trunk]]\nname = "telecom"\nhost = "10.1.2.3:5061"\ntransport = "tls"\n'
    (tmp_path / "home").mkdir()
    (tmp_path / "home/trunks.toml").write_text(text)
    way = {"outbound": "sip:10.0.0.9", "tls_ca": "/etc/tls/ca.pem"}
    by_heading = dict(
        sections_of(rendered(with_tls(tmp_path / "home", **way), asterisk)["pjsip.conf"])
    )
    leaves = by_heading["[outbound-telecom](calls-out)"]
    assert leaves["media_encryption"] == "sdes"
    assert leaves["media_encryption_optimistic"] == "yes"
    assert by_heading["[outbound-telecom]"]["contact"] == r"sip:10.1.2.3:5061\;transport=tls"
    assert "media_encryption" not in by_heading["[outbound](calls-out)"], "this one has no TLS"


def test_a_trunk_by_tls_needs_what_tls_needs(tmp_path: Path) -> None:
    by_tls = '[[trunk]]\nname = "telecom"\nhost = "10.1.2.3"\ntransport = "tls"\n'
    settings = with_trunks(tmp_path, by_tls)
    with pytest.raises(TrunkError, match=r"the trunk telecom wants TLS: set HOTLINE_TLS_PORT"):
        _ = settings.named_trunks
    (settings.root / "trunks.toml").write_text(by_tls.replace("tls", "tcp"))
    with pytest.raises(TrunkError, match=r"the trunk telecom has no TLS: write transport"):
        _ = with_tls(settings.root, trunk_tls="required").named_trunks


def test_calls_leave_by_each_trunk(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    settings = with_trunks(tmp_path)
    pjsip = sections_of(rendered(settings, asterisk)["pjsip.conf"])
    contact = r"sip:sip.example.cn:5080\;transport=tcp"
    assert [
        (head, said) for head, said in pjsip if "telecom" in head and said.get("type") != "identify"
    ] == [
        (
            "[outbound-telecom](calls-out)",
            {
                "aors": "outbound-telecom",
                "outbound_auth": "outbound-telecom",
                "from_domain": "sip.example.cn",
            },
        ),
        ("[outbound-telecom]", {"type": "aor", "contact": contact}),
        (
            "[outbound-telecom]",
            {
                "type": "auth",
                "auth_type": "userpass",
                "username": "02412345",
                "password": 'a\\;b"c\\d',
            },
        ),
        (
            "[outbound-telecom]",
            {
                "type": "registration",
                "outbound_auth": "outbound-telecom",
                "server_uri": contact,
                "client_uri": "sip:02412345@sip.example.cn",
                "contact_user": "12345",
                "expiration": "300",
                "retry_interval": "60",
                "auth_rejection_permanent": "no",
                "forbidden_retry_interval": "60",
                "fatal_retry_interval": "60",
                "max_retries": "1000000",
            },
        ),
        ("[watch-telecom](asked)", {"aors": "watch-telecom"}),
        (
            "[watch-telecom]",
            {
                "type": "aor",
                "contact": contact,
                "qualify_frequency": "15",
                "qualify_timeout": "3",
            },
        ),
    ]
    assert [(head, said) for head, said in pjsip if "mobile" in head] == [
        ("[outbound-mobile](calls-out)", {"aors": "outbound-mobile"}),
        ("[outbound-mobile]", {"type": "aor", "contact": "sip:10.9.0.1"}),
    ]
    assert (settings.asterisk_dir / "pjsip.conf").stat().st_mode & 0o777 == 0o600


def test_a_number_comes_in_only_by_the_trunks_that_have_it(
    tmp_path: Path, asterisk: AsteriskBinary
) -> None:
    settings = with_trunks(tmp_path)
    pjsip = sections_of(rendered(settings, asterisk)["pjsip.conf"])
    permitted = {
        head.partition("]")[0].strip("["): said["permit"]
        for head, said in pjsip
        if "permit" in said
    }
    narrower = [said for head, said in pjsip if re.match(r"\[trunk-\d\]\(citizens\)", head)]
    assert [list(said) for said in narrower] == [["deny", "permit"]] * 3, "not the template's list"
    assert permitted.pop("citizens") == "10.0.0.1,10.1.2.0/24,10.9.0.1"
    by_pattern = {
        said["endpoint"]: said["match_request_uri"]
        for _, said in pjsip
        if said.get("type") == "identify" and "match_request_uri" in said
    }
    found = {
        number: permitted[endpoint]
        for number in settings.numbers
        for endpoint, pattern in by_pattern.items()
        if re.search(pattern[1:-1].replace("\\;", ";"), f"sip:{number}@x")
    }
    assert found == {
        "12345": "10.0.0.1,10.1.2.0/24",
        "8890": "10.0.0.1,10.9.0.1",
        "12366": "10.0.0.1",  # no trunk has it
    }
    assert render_numbers(settings, ["12345", "8890", "12366", "12399"])
    more = sections_of((settings.asterisk_dir / "numbers_trunk.conf").read_text())
    ((head, said),) = more
    assert permitted[said["endpoint"]] == "10.0.0.1"
    assert head == f"[trunk-numbers-{said['endpoint']}]"


def test_a_trunk_without_numbers_has_all(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    text = '[[trunk]]\nname = "only"\nhost = "10.9.0.1"\nuser = "u"\npassword = "p"\n'
    pjsip = rendered(with_trunks(tmp_path, text), asterisk)["pjsip.conf"]
    assert option(pjsip, "permit") == option(pjsip, "match") == "10.0.0.1,10.9.0.1"
    assert "trunk-2" not in pjsip
    assert "contact_user = 12345\n" in pjsip


def test_without_the_file_there_is_nothing_of_it(tmp_path: Path, asterisk: AsteriskBinary) -> None:
    pjsip = rendered(Settings(home=tmp_path / "home"), asterisk)["pjsip.conf"]
    assert not re.search(
        r"registration|outbound_auth|trunk-2|watch-", pjsip.replace("outbound-watch", "")
    )


def test_an_asterisk_without_request_uri_has_one_endpoint_for_all(tmp_path: Path) -> None:
    pjsip = rendered(with_trunks(tmp_path), an_asterisk(tmp_path, "20.6.0"))["pjsip.conf"]
    assert "trunk-2" not in pjsip
    assert option(pjsip, "match") == "10.0.0.1,10.1.2.0/24,10.9.0.1"
    assert "[outbound-telecom](calls-out)" in pjsip
