"""Writes Asterisk's configuration: the templates of `asterisk-conf/` with the settings put in.

A template's `@{NAME}` is replaced (Asterisk itself owns `${...}`). Every value is checked first, for a line break or a
semicolon in one would end the line that it is put into and start another. Files are replaced as a whole or not at all,
and only when they changed.
"""

import ipaddress
import re
import resource
import secrets
import string
from collections.abc import Iterable
from pathlib import Path

from agents.signin import SIP_REALM
from base import files, trunks
from base.settings import Settings
from facts.endpoints import TRUNK
from facts.ids import BEGUN_HERE
from facts.numbers import HOTLINE_NUMBER
from hotline.machine import trunk_lines
from hotline.machine.programs import AsteriskBinary, ProgramError, explained
from ivr.phrases import LANGUAGES, SOUNDS, in_language, notice_music
from ivr.script import NOTICE
from telephony import certificates, phones, supervisors
from telephony.channels import SIGN_IN_EVENT, WANTED
from telephony.guesses import GUESS_EVENTS

TEMPLATES = Path(__file__).resolve().parents[2] / "asterisk-conf"
"""The templates, the prompts (`prompts/zh/KEY.alaw`, played as `hotline/KEY`) and the music."""

AMI_USER = "hotline"
"""Who the controller is to Asterisk's manager interface; `ami_secret` has the password."""

AMI_EVENTS = ("FullyBooted", *sorted(WANTED))
"""The events that Asterisk sends to the controller; answers to its own questions come in any case."""

_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


class _Template(string.Template):
    delimiter = "@"
    idpattern = None  # type: ignore[assignment]
    braceidpattern = "[A-Z_]+"


def render(settings: Settings, asterisk: AsteriskBinary) -> None:
    """Write all of Asterisk's configuration into `settings.asterisk_dir`, and make the folders that it names.

    Generates the secrets of the manager interface and of AGI at the first start. May be repeated at any time: what is
    the same is not written again. Raises `ProgramError`.
    """
    try:
        values = _values(settings, asterisk)
        _make_folders(settings, asterisk)
        for template in sorted(TEMPLATES.glob("*.conf")):
            text = _filled(template, values)
            if template.name == "modules.conf":
                _link_modules(settings, asterisk, re.findall(r"^load = (\S+)$", text, re.MULTILINE))
            _write(settings.asterisk_dir / template.name, text)
        _keep_trunks(settings)
    except OSError as error:
        raise ProgramError(
            f"Asterisk's configuration cannot be written: {explained(error)}"
        ) from None


def render_trunks(settings: Settings, asterisk: AsteriskBinary, text: str) -> None:
    """Write what depends on the trunks, for a reload of `TRUNK_MODULES` to take up. Raises `ProgramError`.

    `text`: what `trunks.toml` was when `settings.named_trunks` were read from it.
    """
    try:
        values = _values(settings, asterisk)
        for name in _OF_TRUNKS:
            _write(settings.asterisk_dir / name, _filled(TEMPLATES / name, values))
        _write(settings.asterisk_dir / trunks.FILE, text)
    except OSError as error:
        raise ProgramError(
            f"Asterisk's configuration cannot be written: {explained(error)}"
        ) from None


TRUNK_MODULES = ("res_pjsip.so", "pbx_config.so")
"""Asterisk's modules that read what `render_trunks` writes."""

_OF_TRUNKS = ("pjsip.conf", "extensions.conf")


def _keep_trunks(settings: Settings) -> None:
    file = settings.root / trunks.FILE
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    _write(settings.asterisk_dir / trunks.FILE, text)


def render_numbers(settings: Settings, numbers: Iterable[str]) -> bool:
    """Write those of the hotline's numbers that are not in the settings, for a reload of `NUMBER_MODULES` to take up.

    Returns whether that changed anything. `render` leaves these files alone. Raises `ProgramError`.
    """
    more = sorted(set(numbers) - set(settings.numbers))
    if wrong := [number for number in more if not HOTLINE_NUMBER.fullmatch(number)]:
        raise ProgramError(f"{wrong[0]!r} is no number of a hotline: 2 to 15 digits")
    identified = []
    for endpoint, numbers_there in _by_endpoint(settings, more).items():
        of = "numbers" if endpoint == TRUNK else f"numbers-{endpoint}"
        identified += [f"[trunk-{of}]", "type = identify", f"endpoint = {endpoint}"]
        identified.append(_dials(numbers_there))
    wanted = {
        _MORE_NUMBERS: _numbers(more),
        _MORE_NUMBERS_TRUNK: identified,
        _MORE_TRANSFERS: _transfers(more),
    }
    changed = False
    try:
        for name, lines in wanted.items():
            if lines or (settings.asterisk_dir / name).exists():
                text = "".join(f"{line}\n" for line in lines)
                changed = _write(settings.asterisk_dir / name, text) or changed
    except OSError as error:
        raise ProgramError(
            f"Asterisk's configuration cannot be written: {explained(error)}"
        ) from None
    return changed


NUMBER_MODULES = ("pbx_config", "res_pjsip_endpoint_identifier_ip")
"""Asterisk's modules that read what `render_numbers` writes."""

_MORE_NUMBERS, _MORE_NUMBERS_TRUNK = "numbers_dialplan.conf", "numbers_trunk.conf"
_MORE_TRANSFERS = "numbers_transfer.conf"


def ami_secret(settings: Settings) -> str:
    """The password of `AMI_USER`, 64 hexadecimal digits, made at the first call and kept in `settings.secrets_dir`."""
    return _secret(settings, "ami")


def agi_secret(settings: Settings) -> str:
    """What the dialplan shows the controller as its last AGI argument; made and kept as `ami_secret` is."""
    return _secret(settings, "agi")


def hep_secret(settings: Settings) -> str:
    """What each copy of a SIP message shows the controller (hep.conf); made and kept as `ami_secret` is."""
    return _secret(settings, "hep")


def _secret(settings: Settings, name: str) -> str:
    file = settings.secrets_dir / name
    if not file.exists():
        settings.secrets_dir.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        _write(file, secrets.token_hex(32) + "\n")
    secret = file.read_text().strip()
    if not re.fullmatch(r"[0-9a-f]{64}", secret):
        raise ProgramError(
            f"{file} does not hold a secret: remove it, and a new one is made at the next start"
        )
    return secret


# --- folders ---


def sounds_folder(settings: Settings) -> Path:
    """Where Asterisk finds its sounds when the language is Mandarin; the others are folders beside them."""
    return _data(settings) / "sounds" / "zh"


def _make_folders(settings: Settings, asterisk: AsteriskBinary) -> None:
    for folder in (
        settings.root,
        settings.run_dir,
        settings.secrets_dir,
        settings.asterisk_dir,
        _modules(settings),
        _lib(settings) / "agi-bin",
        _lib(settings) / "cache",
        _lib(settings) / "spool",
        sounds_folder(settings),
        settings.log_dir,
        settings.cel_file.parent.parent,
        settings.cel_file.parent,
        settings.recordings_dir,
        settings.spool_dir,
    ):
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    # Asterisk looks for documentation and sounds in one folder: ours, with links to its own and to the prompts.
    _link(_data(settings) / "documentation", asterisk.data / "documentation")
    _link(_data(settings) / "sounds" / "en", asterisk.data / "sounds" / "en")
    for language in LANGUAGES:
        name = in_language(SOUNDS, language).rstrip("/")
        _link(sounds_folder(settings) / name, TEMPLATES / "prompts" / language)


def _link_modules(settings: Settings, asterisk: AsteriskBinary, names: list[str]) -> None:
    """Fill Asterisk's folder of modules with links to those that `modules.conf` loads.

    What is not there cannot be loaded later through the manager interface either: above all nothing that runs programs.
    """
    folder = _modules(settings)
    for name in names:
        if not (asterisk.modules / name).exists():
            raise ProgramError(
                f"Asterisk {asterisk.version} lacks the module {name} in {asterisk.modules}: "
                "run `make setup`, or install the package that has it"
            )
        _link(folder / name, asterisk.modules / name)
    for link in folder.iterdir():
        if link.name not in names:
            link.unlink()


def _modules(settings: Settings) -> Path:
    return settings.asterisk_dir / "modules"


def _lib(settings: Settings) -> Path:
    return settings.asterisk_dir / "lib"


def _data(settings: Settings) -> Path:
    return settings.asterisk_dir / "data"


def _link(link: Path, target: Path) -> None:
    if not (link.is_symlink() and link.readlink() == target):
        fresh = link.with_name(f"{link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(link)


# --- values ---


def _values(settings: Settings, asterisk: AsteriskBinary) -> dict[str, str]:
    """What the templates' names stand for."""
    by_number = _can_match_request_uri(asterisk)
    numbers = _by_endpoint(settings, settings.numbers) if by_number else {}
    dialled = {endpoint: [_dials(there)] for endpoint, there in numbers.items()}
    outbound = settings.outbound.replace(";", "\\;")
    return {
        "NODE": settings.node,
        "ETC": _path("HOTLINE_HOME", settings.asterisk_dir),
        "LIB": _path("HOTLINE_HOME", _lib(settings)),
        "DATA": _path("HOTLINE_HOME", _data(settings)),
        "RUN": _path("HOTLINE_HOME", settings.redis_socket.parent),
        "LOG": _path("HOTLINE_HOME", settings.log_dir / "asterisk"),
        "CEL_FILE": _path("HOTLINE_HOME", settings.cel_file),
        "SPOOL": _path("HOTLINE_HOME", settings.spool_dir),
        "MODULES": _path("HOTLINE_HOME", _modules(settings)),
        "MUSIC": _path("the program's own folder", TEMPLATES / "music"),
        "NOTICES": "\n".join(_notices(settings)),
        "MAX_FILES": str(_max_files()),
        "NUMBERS": "\n".join(_numbers(settings.numbers)),
        "TRUNK": TRUNK,
        "TRANSFERS": "\n".join(_transfers((*settings.numbers, *settings.outside))),
        "MORE_TRANSFERS": _MORE_TRANSFERS,
        "TRANSPORTS": "\n".join(_transports(settings)),
        "REALM": SIP_REALM,
        "TRUNKS": ",".join(settings.all_trunks),
        # Without a contact whatever is dialled there fails at once. ";" would begin a comment.
        "OUTBOUND_CONTACT": f"contact = {outbound}" if outbound else "",
        "IDENTIFIER_ORDER": _plain(settings, "header,") + _identifier_order(settings, asterisk),
        "TRUNK_IDENTIFY_BY": _plain(settings, "header,")
        + ("request_uri,ip" if by_number else "ip"),
        "TRUNK_MATCH_REQUEST_URI": "\n".join(dialled.get(TRUNK, ())),
        "INCOMING": "\n".join(trunk_lines.incoming(settings, dialled) if by_number else ()),
        "TRUNK_SECTIONS": "\n".join(trunk_lines.sections(settings)),
        "MORE_NUMBERS": _MORE_NUMBERS,
        "MORE_NUMBERS_TRUNK": (
            f'#tryinclude "{_path("HOTLINE_HOME", settings.asterisk_dir)}/{_MORE_NUMBERS_TRUNK}"'
            if by_number
            else ""
        ),
        "PLAIN_IDENTIFY": _plain(settings, _PLAIN),
        "TRUNK_SRTP": "\n".join(trunk_lines.srtp(settings)),
        "OUTBOUND_SRTP": "\n".join(
            trunk_lines.srtp(settings) if settings.outbound.endswith(";transport=tls") else ()
        ),
        "TRUNK_BY_TLS": _by_tls(settings, settings.trunk_tls, _NO_CALL),
        "PHONES_BY_TLS": _by_tls(settings, settings.phones_tls),
        "PHONES_VIEW": _phones_view(settings),
        "SRTP_MODULES": "load = res_srtp.so" if settings.tls_port else "",
        "RTP_FIRST": str(settings.rtp_ports[0]),
        "RTP_LAST": str(settings.rtp_ports[1]),
        "AGI": f"{_host('HOTLINE_CONTROL_ADDRESS', settings.control_address)}:{settings.agi_port}",
        "AGI_SECRET": agi_secret(settings),
        "HEP_SECRET": hep_secret(settings),
        "AMI_ADDRESS": settings.control_address,
        "AMI_PORT": str(settings.ami_port),
        "AMI_PERMIT": _ami_permit(settings),
        "AMI_SECRET": ami_secret(settings),
        "EVENT_FILTERS": "\n".join(_event_filters(settings.node, asterisk)),
        "CEL_MODULES": "\n".join(_cel_modules(asterisk)),
        "CODEC_MODULES": "\n".join(f"load = {name}" for name in _opus(asterisk)),
        "MORE_CODECS": ",opus" if _opus(asterisk) else "",
        "RETRIES": str(settings.retries),
        "RETRY_PAUSE": f"{settings.retry_pause:g}",
        "ANSWER_PAUSE": f"{settings.answer_pause:g}",
        "LONGEST_WAIT": str(round(settings.longest_wait)),
        "SQLITE_FILE": _path("HOTLINE_DATABASE_URL", phones.file_of(settings)),
        "RING_TIME": str(round(settings.ring_time)),
        "WRAP_UP_TIME": str(round(settings.wrap_up_time)),
    }


def _filled(template: Path, values: dict[str, str]) -> str:
    try:
        return _Template(template.read_text()).substitute(values)
    except (KeyError, ValueError) as error:
        raise ProgramError(f"the template {template} cannot be filled in: {error}") from None


def _path(setting: str, path: Path) -> str:
    """A path as text. Letters of any script are fine; what Asterisk reads as syntax is not."""
    text = str(path)
    if not re.fullmatch(r"/[\w /.+:@=~-]*", text) or "\n" in text:
        raise ProgramError(
            f"{setting}: the path {text!r} has a character that Asterisk's configuration cannot hold: "
            "use letters, digits, spaces and . + : @ = ~ - only"
        )
    return text


def _host(setting: str, address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise ProgramError(
            f"{setting}: {address!r} is not an address: write one such as 127.0.0.1"
        ) from None
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)


def _transports(settings: Settings) -> list[str]:
    """Where SIP is listened to, and with which certificate."""
    address = _host("HOTLINE_SIP_ADDRESS", settings.sip_address)
    lines = []
    for protocol in () if settings.speaks_only_tls else ("udp", "tcp"):
        lines += [
            *(f"[transport-{protocol}]", "type = transport", f"protocol = {protocol}"),
            *(f"bind = {address}:{settings.sip_port}", ""),
        ]
    if settings.tls_port:
        certificate, key = certificates.in_use(settings)
        lines += [
            *("[transport-tls]", "type = transport", "protocol = tls"),
            f"bind = {address}:{settings.tls_port}",
            f"cert_file = {_path('HOTLINE_HOME', certificate)}",
            f"priv_key_file = {_path('HOTLINE_HOME', key)}",
            "; Whatever OpenSSL allows: TLS 1.2 and 1.3. Each other name is one version; the default is TLS 1.0.",
            "method = sslv23",
        ]
        if settings.tls_ca is not None:
            ca = settings.tls_ca.expanduser().absolute()
            lines += [f"ca_list_file = {_path('HOTLINE_TLS_CA', ca)}", "verify_server = yes"]
    return lines


def _plain(settings: Settings, lines: str) -> str:
    """What holds while phones must use TLS and the trunk need not: what comes without TLS is the trunk's."""
    return lines if settings.phones_tls == "required" and settings.trunk_tls == "allowed" else ""


_PLAIN = f"""; Phones must use TLS. Whatever comes without it is the trunk's, if it comes from there, and no phone's.
[trunk-plain]
type = identify
endpoint = {TRUNK}
match_header = Via: /SIP\\/2\\.0\\/(UDP|TCP)/
"""


_NO_CALL = """; Not a call for AMI and CEL: `telephony.refused` counts it, as it counts what Asterisk itself refuses.
 same = n,CELGenUserEvent(refused)
 same = n,UserEvent(HotlineRefused)
"""


def _by_tls(settings: Settings, wanted: str, before: str = "") -> str:
    """Refuse a call that came in without TLS: by where it came in, whatever it says itself."""
    if wanted == "allowed":
        return ""
    return (
        f' same = n,GotoIf($["${{CHANNEL(pjsip,local_addr)}}" =~ "[:]{settings.tls_port}$"]?secure)\n'
        f"{before} same = n,PJSIPHangup(403)\n"
        " same = n(secure),NoOp()"
    )


def _phones_view(settings: Settings) -> str:
    if settings.phones_tls == "required":
        return "ps_endpoints_tls"
    return "ps_endpoints_srtp" if settings.tls_port else "ps_endpoints"


def _dials(numbers: Iterable[str]) -> str:
    """An INVITE to one of these numbers."""
    return f"match_request_uri = /^(sips?|tel):({'|'.join(numbers)})([@\\;]|$)/"


def _by_endpoint(settings: Settings, numbers: Iterable[str]) -> dict[str, list[str]]:
    """Numbers of the hotline by the endpoint of whoever dials them."""
    found: dict[str, list[str]] = {}
    for number in numbers:
        found.setdefault(trunk_lines.endpoint_of(settings, number), []).append(number)
    return found


def _numbers(numbers: Iterable[str]) -> list[str]:
    lines = []
    for number in numbers:
        lines.append(f"exten = {number},1,Set(HL_NUMBER={number})")
        lines.append(" same = n,Goto(hotline-call,s,1)")
    return lines


def _transfers(numbers: Iterable[str]) -> list[str]:
    """Beside agents, an agent may transfer a citizen to these numbers."""
    return [f"exten = {number},1,Goto(hotline-transfer,{number},1)" for number in numbers]


def _notices(settings: Settings) -> list[str]:
    """A class of music for each language: the recording notice, and the pieces of music behind it."""
    sounds = _path("HOTLINE_HOME", sounds_folder(settings))
    music = _path("the program's own folder", TEMPLATES / "music")
    pieces = [f"{music}/{file.stem}" for file in sorted((TEMPLATES / "music").glob("*.alaw"))]
    lines = []
    for language in LANGUAGES:
        notice = f"{sounds}/{in_language(NOTICE, language)}"
        lines += [f"[{notice_music(language)}]", "mode = playlist", "loop_last = yes"]
        lines += [f"entry = {sound}" for sound in (notice, *pieces)]
    return lines


def _identifier_order(settings: Settings, asterisk: AsteriskBinary) -> str:
    """See `asterisk-conf/README.md`, "Who is calling"."""
    if _can_match_request_uri(asterisk):
        return "request_uri,username,ip"
    return "username,ip" if _trunks_hold_this_machine(settings) else "ip,username"


def _can_match_request_uri(asterisk: AsteriskBinary) -> bool:
    major = asterisk.release[0]
    return asterisk.release >= {20: (20, 8), 21: (21, 3)}.get(major, (22,))


def _trunks_hold_this_machine(settings: Settings) -> bool:
    """Whether a phone on this machine has an address that is also the trunk's."""
    own = {ipaddress.ip_address(address) for address in ("127.0.0.1", "::1", settings.sip_address)}
    networks = [ipaddress.ip_network(trunk, strict=False) for trunk in settings.all_trunks]
    return any(address in network for address in own for network in networks)


def _ami_permit(settings: Settings) -> str:
    """Loopback, and the address at which the manager interface listens: this machine either way."""
    own = ipaddress.ip_network(settings.control_address)
    return ",".join(dict.fromkeys(("127.0.0.1/32", "::1/128", str(own))))


def _event_filters(node: str, asterisk: AsteriskBinary) -> list[str]:
    """Newer versions compare names by a hash; older ones match a regular expression against the whole event."""
    if asterisk.release >= {20: (20, 11), 21: (21, 6)}.get(asterisk.release[0], (22, 1)):
        # Of the states of a dialling only 183 is news: 180 and the answer come with Newstate. Who enters a bridge is
        # news of channels that this program began: agents' of callbacks, third parties'. They are named so.
        narrowed: dict[str, tuple[str, list[str]]] = {
            "DialState": ("header(DialStatus),method(exact)", ["PROGRESS"]),
            "BridgeEnter": (
                "header(Uniqueid),method(starts_with)",
                [f"{node}-{letter}" for letter in BEGUN_HERE],
            ),
            # What agents press is private.
            "DTMFEnd": ("header(Channel),method(starts_with)", [f"PJSIP/{TRUNK}-"]),
            # Sign-ins of phones, not those of the controller itself
            **dict.fromkeys(
                {*GUESS_EVENTS, SIGN_IN_EVENT}, ("header(Service),method(exact)", ["PJSIP"])
            ),
        }
        filters = []
        for name in AMI_EVENTS:
            criteria, values = narrowed.get(name, ("", [""]))
            filters += [
                f"eventfilter(action(include),name({name}){criteria and ','}{criteria}) = {value}"
                for value in values
            ]
        # And of supervisors who step into a talk
        filters.append(
            f"eventfilter(action(include),name(BridgeEnter),header(Context),method(exact)) = {supervisors.CONTEXT}"
        )
        return filters
    return [f"eventfilter = Event: {name}" for name in AMI_EVENTS]


def _cel_modules(asterisk: AsteriskBinary) -> list[str]:
    names = [
        name
        for name in ("res_cdrel_custom", "cel_custom")
        if (asterisk.modules / f"{name}.so").exists()
    ]
    return [f"load = {name}.so" for name in names]


def _opus(asterisk: AsteriskBinary) -> list[str]:
    """The modules for Opus (RFC 6716), if this Asterisk has them: not every distribution's has."""
    codecs = ("codec_opus_open_source.so", "codec_opus.so")
    found = [name for name in codecs if (asterisk.modules / name).exists()][:1]
    attributes = "res_format_attr_opus.so"
    return [attributes, *found] if found and (asterisk.modules / attributes).exists() else []


def _max_files() -> int:
    """Open files for Asterisk: as many as this machine allows, up to 65536."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)


# --- files ---


def _write(file: Path, text: str) -> bool:
    """Replace `file` as a whole, readable for its owner only; False when it already holds `text`."""
    if file.exists() and file.read_text() == text and file.stat().st_mode & 0o777 == _FILE_MODE:
        return False
    files.put(file, text.encode(), _FILE_MODE)
    return True
