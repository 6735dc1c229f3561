"""Settings: environment `HOTLINE_*` first, then `hotline.toml`, then the defaults written here.

The defaults are the embedded centre: everything on this machine, all state below `./var`, loopback only.
"""

import contextlib
import hashlib
import ipaddress
import os
import re
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from base import trunks
from base.trunks import Trunk, TrunkError, is_sip_host
from facts.dialling import is_region
from facts.ids import is_node
from facts.numbers import HOTLINE_NUMBER, dialable, normalise, number_or_prefix
from facts.terms import CONTINUE, REFUSE


class SettingsError(Exception):
    """The settings cannot be used. The message names each setting, what is wrong with it and what it may be."""


def _parts(value: Any) -> Any:
    """Read `a, b` from the environment as the tuple that TOML would write as `["a", "b"]`."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _words(value: Any) -> Any:
    """The same for what may contain commas: `a b`, or one a line."""
    return tuple(value.split()) if isinstance(value, str) else value


def _number(value: str) -> str:
    if not HOTLINE_NUMBER.fullmatch(value):
        raise ValueError(
            f"{value!r} is not a telephone number: write 2 to 15 digits, such as 12345"
        )
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            f"{value!r} is not an address: write one such as 127.0.0.1 or 10.0.0.0/8"
        ) from None
    return value


def _private(value: str) -> str:
    address = ipaddress.ip_address(value)
    if not (address.is_loopback or address.is_private):
        raise ValueError(f"{value} is reachable from outside: name a loopback or private address")
    return value


def _node(value: str) -> str:
    if not is_node(value):
        raise ValueError(
            f"{value!r} is no name for a node: write up to 16 small letters and digits"
        )
    return value


def _outbound(value: str) -> str:
    """`sip:HOST` or `sip:HOST:PORT`, an IPv6 address in brackets, `;transport=tcp`, `tls` or `udp` behind it."""
    if not value:
        return value
    found = re.fullmatch(r"sip:([^;]*)(?:;transport=(?:udp|tcp|tls))?", value)
    if found is None or not is_sip_host(found[1]):
        raise ValueError(
            f"{value!r} is no SIP address: write one such as sip:127.0.0.1:5090, or nothing"
        )
    return value


def _listed(value: str) -> str:
    if (listed := number_or_prefix(value)) is None:
        raise ValueError(
            f"{value!r} is neither a number nor a prefix: write 12333, 13812345678, +852* or 4006*"
        )
    return listed


def _entry(value: str) -> str:
    """`NAME=NUMBER`; a number in its normal form."""
    name, _, number = value.partition("=")
    name, number = name.strip(), number.strip()
    if not re.fullmatch(r"[^\s=<>\"]{1,32}", name) or not dialable(normalise(number)):
        raise ValueError(f"{value!r} is no entry: write a name and a number, such as 供电=95598")
    return f"{name}={normalise(number)}"


def _region(value: str) -> str:
    if not is_region(value):
        raise ValueError(f"{value!r} is no region: write two capital letters such as CN or HK")
    return value


def _instead(value: str) -> str:
    if value not in (CONTINUE, REFUSE) and not HOTLINE_NUMBER.fullmatch(value):
        raise ValueError(
            f"{value!r} is neither {CONTINUE} nor {REFUSE} nor a telephone number: write one of them"
        )
    return value


_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9._-]+)*/?")
_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?/?")


def _store_url(value: str) -> str:
    # What is wrong may be a secret, so it is not repeated.
    if value and not _BUCKET.fullmatch(value):
        raise ValueError(
            "this is no bucket: write s3://BUCKET or s3://BUCKET/PREFIX, with neither key nor secret, or nothing"
        )
    return value.rstrip("/")


def _endpoint(value: str) -> str:
    if value and not _ENDPOINT.fullmatch(value):
        raise ValueError(
            "this is no endpoint: write https://HOST or https://HOST:PORT, without key, secret and path, or nothing"
        )
    return value.rstrip("/")


_SIX_MONTHS = 184
"""Days: from the beginning of July to the end of December."""


def _audit_days(value: int) -> int:
    if value < _SIX_MONTHS:
        raise ValueError(
            f"{value} days are too few: the Cybersecurity Law (网络安全法) asks for logs of six months at least; "
            f"write {_SIX_MONTHS} or more"
        )
    return value


def _retention_days(value: int) -> int:
    if value < _SIX_MONTHS:
        raise ValueError(
            f"{value} days are too few: recordings are kept for six months at least; write {_SIX_MONTHS} or more"
        )
    return value


def _hours(value: str) -> str:
    if not re.fullmatch(r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"{value!r} are no hours: write two times, such as 22:00-06:00")
    return value


def _rtp_ports(value: Any) -> Any:
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value)
        if found is None:
            raise ValueError(f"{value!r} is not a range of ports: write it as 10000-10999")
        value = (int(found[1]), int(found[2]))
    first, last = value
    if not 1024 <= first < last <= 65535 or last - first < 3:
        raise ValueError("RTP ports must lie in 1024-65535 and leave room for four ports or more")
    return first, last


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
Decibels = Annotated[float, Field(ge=-96, le=0)]
PrivateAddress = Annotated[str, AfterValidator(_private)]
Numbers = Annotated[
    tuple[Annotated[str, AfterValidator(_number)], ...],
    NoDecode,
    BeforeValidator(_parts),
    Field(min_length=1),
]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode, BeforeValidator(_parts)
]

Listed = Annotated[
    tuple[Annotated[str, AfterValidator(_listed)], ...], NoDecode, BeforeValidator(_parts)
]
Directory = Annotated[
    tuple[Annotated[str, AfterValidator(_entry)], ...], NoDecode, BeforeValidator(_parts)
]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
Cap = Annotated[int, Field(ge=0, le=10_000_000)]

Tls = Annotated[str, Field(pattern="^(allowed|required)$")]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]

Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_words)]


class Settings(BaseSettings):
    """Everything an operator may set. Each field is `HOTLINE_<NAME>` in the environment.

    The docstring of a field is its line in `docs/settings.md`; `docs/settings.toml` has the same in Chinese.
    """

    model_config = SettingsConfigDict(
        env_prefix="HOTLINE_", extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    home: Path = Path("var")
    """All state: database, recordings, secrets, rendered Asterisk configuration, logs."""
    user: Annotated[str, Field(pattern=r"^([a-z_][a-z0-9_-]{0,31})?$")] = ""
    """Started as root, every command and process becomes this user, and the home is theirs. Empty: stays root."""
    node: Annotated[str, AfterValidator(_node)] = "hotline"
    """This Asterisk's name; every call id begins with it."""
    numbers: Numbers = ("12345",)
    """The hotline's own numbers, as the trunk sends them."""

    outbound: Annotated[str, AfterValidator(_outbound)] = ""
    """Where calls to citizens go: a SIP address such as `sip:127.0.0.1:5090`. Several trunks, or one with a password,
    stand in `trunks.toml` in the home, and go before it. Without any: callbacks stay due."""
    transfer_to: Annotated[
        tuple[Annotated[str, AfterValidator(_number)], ...], NoDecode, BeforeValidator(_parts)
    ] = ()
    """Outside numbers to which agents may transfer a citizen. Empty: to none."""
    party_directory: Directory = ()
    """Departments that may be brought into a talk by their name: `供电=95598, 供水=024-23456789`. Outside numbers that
    are neither here nor in `transfer_to` or `dial_allow` may not."""
    party_limit: Annotated[int, Field(ge=0, le=5)] = 2
    """How many others may be in the talk of a citizen and an agent at a time; 0: nobody."""
    party_rings: Annotated[float, Field(ge=5, le=120)] = 30.0
    """Seconds that somebody who is to be brought into a talk is rung."""
    emergency_to: Directory = ("110=110", "119=119", "120=120", "122=122")
    """Emergency services, and the numbers by which they are called into a talk: `120=120, 110=024-12345678`. For a
    rehearsal name that of a simulated centre. No limit on outside numbers holds for them."""
    emergency_shows_citizen: bool = True
    """Whether an emergency service sees the citizen's number as the caller's, where the trunk allows it; otherwise the
    hotline's."""
    callback_rings: Annotated[float, Field(ge=5, le=120)] = 30.0
    """Seconds that a citizen is rung by a callback."""
    dial_picks_up: bool = False
    """Whether an agent's phone is told to pick up by itself when a number is dialled for them (click to call), by the
    headers `Call-Info` and `Alert-Info`. A phone that does not know them rings."""
    region: Annotated[str, AfterValidator(_region)] = "CN"
    """The region whose subscribers, mobile and fixed, are called back without further permission."""
    dial_allow: Listed = ()
    """Other numbers that may be called back, or prefixes that end in `*`: `12333, +852*, 4006*`. The hotline's own,
    agents', emergency, premium-rate and satellite numbers are never called back."""
    dial_deny: Listed = ()
    """Numbers, or prefixes that end in `*`, that are never dialled: not for a callback, an overflow or a transfer."""
    dial_per_hour: Cap = 600
    """Attempts of callbacks in any hour, all together; 0: no cap. What is beyond stays due, and the alarm `dial_budget`
    is raised."""
    dial_per_number_day: Cap = 10
    """Attempts at one citizen's number in a day; 0: no cap."""
    dial_budget_day: Cap = 5000
    """Attempts of callbacks in a day (in China), all together; 0: no cap."""

    sip_address: str = "127.0.0.1"
    """The address at which phones and the trunk reach Asterisk."""
    sip_port: Port = 5060
    """The port of that address, UDP and TCP. Closed if both `phones_tls` and `trunk_tls` are `required`."""
    rtp_ports: Annotated[tuple[int, int], NoDecode, BeforeValidator(_rtp_ports)] = (10000, 10999)
    """The ports of the sound, UDP: the first and the last."""
    trunks: Addresses = ("127.0.0.1",)
    """Addresses or networks of the trunk. Calls from there are citizens' calls, as are those of `trunks.toml`."""
    tls_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port of that address for SIP over TLS, usually 5061; 0: none."""
    tls_certificate: Path | None = None
    """The certificate that phones and the trunk are shown at `tls_port`: a PEM file, those that signed it behind it."""
    tls_key: Path | None = None
    """Its private key: a PEM file without a password."""
    tls_ca: Path | None = None
    """Who may have signed the certificate of the trunk in `outbound`: a PEM file of certificates."""
    phones_tls: Tls = "allowed"
    """`required`: phones sign in by TLS and talk by SRTP, or are refused. `allowed`: they may, once `tls_port` is set.
    """
    trunk_tls: Tls = "allowed"
    """The same for the trunk, both ways."""

    control_address: PrivateAddress = "127.0.0.1"
    """Where AMI and AGI listen: loopback, or a named private address."""
    ami_port: Port = 5038
    """The port of Asterisk's manager interface."""
    agi_port: Port = 4573
    """The port at which the controller answers Asterisk's calls; UDP: where it hears of refused ones."""
    web_address: str = "127.0.0.1"
    """The address of the screens and the API."""
    web_port: Port = 8080
    """The port of the screens and the API."""
    wall_open: Addresses = ()
    """Addresses that may see the wallboard, masked, without signing in."""
    webhook_internal: Addresses = ()
    """Internal addresses to which webhooks may send. Empty: only to those that an earlier version has stored."""

    database_url: str = ""
    """Empty: SQLite in `home`. Or `postgresql+asyncpg://user:password@host/name`."""
    redis_url: str = ""
    """Empty: a private redis-server on a socket in `home`."""

    ring_time: Annotated[float, Field(ge=1, le=120)] = 15.0
    """Seconds one agent's phone rings: three rings (R3)."""
    wrap_up_time: Seconds = 5.0
    """Seconds of after-call work before the next offer."""
    alert_within: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Seconds in which a supervisor acknowledges the red button; then it escalates, up to five times."""
    message_days: Annotated[float, Field(ge=1, le=366)] = 30.0
    """Days for which messages to agents are kept."""
    assign_for: Annotated[float, Field(ge=5, le=900)] = 60.0
    """Seconds for which a caller who is assigned to an agent waits for that agent; then all may take them."""
    short_abandon: Annotated[int, Field(ge=0, le=60)] = 5
    """M3 leaves out callers who gave up in less than so many seconds."""
    longest_wait: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    """Seconds a citizen may wait before the hotline says farewell."""
    announce_every: Annotated[float, Field(ge=5, le=3600)] = 30.0
    """Seconds between two announcements of the place in the queue."""
    answer_pause: Annotated[float, Field(ge=0, le=5)] = 0.2
    """Seconds of silence between answering and the greeting, so that its first syllable is not lost."""
    retry_pause: Annotated[float, Field(ge=0.5, le=30)] = 2.0
    """Seconds between a waiting call's attempts to reach a lost controller."""
    retries: Annotated[int, Field(ge=1, le=100)] = 5
    """Attempts after which the fallback queue in Asterisk takes the call."""
    settle_time: Annotated[float, Field(ge=0, le=30)] = 3.0
    """Longest time after a start that offers wait for earlier callers to come back."""
    dead_phone_after: Annotated[float, Field(ge=1, le=3600)] = 8.0
    """Seconds without any sound or report of an agent's phone in a talk, after which a phone that does not answer
    OPTIONS either counts as dead, and the citizen goes back to the queue. A phone that answers is never cut."""
    stop_wait: Seconds = 30.0
    """Seconds that a stop waits for running talks before it leaves them to Asterisk."""
    min_free_mb: Annotated[int, Field(ge=0)] = 500
    """Alarm when the recordings' disk has less free space, in megabytes."""
    recording_format: Annotated[str, Field(pattern="^(mp4|wav|mp3)$")] = "mp4"
    """What new recordings are: `mp4` (Opus, 0.3 MB a minute), `wav` (1.9 MB, no loss) or `mp3`. The others stay
    readable."""
    encrypt_recordings: bool = True
    """Whether new recordings are encrypted. Those of before are readable either way."""
    recording_keys: Secrets = ()
    """Master keys of the recordings, 64 hexadecimal characters each, the one in use last. Empty: only those of
    `secrets/recordings.keys`, which the first start makes."""
    without_recording: Annotated[str, AfterValidator(_instead)] = "continue"
    """What becomes of new callers while no call can be recorded (disk full, folder unwritable): `continue`, they are
    taken and the gap is entered; `refuse`, they hear that the hotline has a fault; or an outside number, to which they
    are sent."""
    recording_pause: bool = True
    """Whether agents may pause the recording of their talk (`*7`, the API) for what is confidential."""
    recording_pause_limit: Annotated[float, Field(ge=5, le=7200)] = 600.0
    """Seconds after which a paused recording goes on by itself, with the alarm `recording_paused`."""
    survey_least_talk: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """Seconds that a talk must have lasted before its citizen is asked to rate it (a queue's `survey`)."""
    survey_reason: Annotated[float, Field(ge=0, le=120)] = 0.0
    """Seconds for which a citizen may say the reason of a bad rating, in the call's recording; 0: not asked."""
    survey_call_back: bool = True
    """Whether a bad rating becomes a callback, due within one working day."""
    survey_link_hours: Annotated[float, Field(ge=0, le=168)] = 0.0
    """Hours for which a link for the rating holds, for citizens who had no time for the survey; 0: no links
    (`SurveyLinked`)."""
    supervision_shown: bool = False
    """Whether agents see in the live state that a supervisor is in their talk, and what they do there. Off: else agents
    would work differently while somebody listens; the audit log has every minute in any case."""
    supervision_phones: Names = ()
    """Agents whose phones may listen to talks by `*8` although no account with the right `talks.listen` is theirs."""
    harassing_block_days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    """Days of the block that is proposed for a caller who was marked as harassing (`*4`). A supervisor approves it."""
    recording_reason: bool = False
    """Whether a recording is listened to and exported only with a reason (`why` in the API, `--why`)."""
    export_approval: bool = False
    """Whether a recording is exported only after a second person has approved it."""
    export_hours: Annotated[float, Field(ge=0.1, le=744)] = 72.0
    """Hours for which a request for an export can be decided, and then, once it is approved, be used."""
    recording_store: StoreUrl = ""
    """Where finished recordings go: a bucket of an S3-compatible store, `s3://BUCKET/PREFIX`. Empty: they stay in
    `home`."""
    store_endpoint: Endpoint = ""
    """The store's address, `https://HOST:PORT`. Empty: Amazon's own, of the region."""
    store_region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "us-east-1"
    """The store's region, as it is signed."""
    store_hosted: bool = False
    """Whether the bucket's name is a part of the host's name (`https://BUCKET.HOST`), as public clouds want it."""
    store_ca: Path | None = None
    """Who else may have signed the store's certificate: a PEM file of certificates."""
    store_plain_http: bool = False
    """Whether `http://` may lead to another machine: whoever listens on the way can then read and change."""
    store_key_id: SecretStr = SecretStr("")
    """The id of the store's access key. Empty: the first line of `secrets/recordings-store`. Secret."""
    store_secret: SecretStr = SecretStr("")
    """The secret of that key. Empty: the second line of that file. Secret."""
    store_parallel: Annotated[int, Field(ge=1, le=16)] = 4
    """How many recordings are sent to the store at a time."""
    store_keep_days: Annotated[int, Field(ge=0, le=36_600)] = 0
    """Days for which this machine keeps its copy of a recording that the store has."""
    store_lock: Annotated[str, Field(pattern="^(off|governance|compliance)$")] = "off"
    """The object lock that a recording gets in a bucket that has it. `compliance`: nobody can erase it before it ends,
    not even for a citizen who asks for it."""
    store_lock_days: Annotated[int, Field(ge=1, le=36_600)] = 1096
    """Days for which that lock holds."""
    seal_sm3: bool = False
    """Whether each day's seal of the recordings has an SM3 chain (GB/T 32905) beside that of SHA-256."""
    seal_tsa: str = ""
    """A time stamp authority (RFC 3161) that signs when a day's seal was there: its address, such as
    `https://tsa.example/tsr`. Empty: none."""
    seal_tsa_ca: Path | None = None
    """The authority's root certificate (PEM), with which its stamps are checked. Needed with `HOTLINE_SEAL_TSA`."""
    retention_days: Annotated[int, Field(le=36_600), AfterValidator(_retention_days)] = 1096
    """Days for which recordings are kept if no rule of `retention.toml` in the home fits: three years, and never less
    than six months. Nothing is deleted before an operator has confirmed the rules: `hotline recordings retention
    --confirm`."""
    retention_at_most: Annotated[float, Field(gt=0, le=100)] = 2.0
    """Percent of all recordings that a day's run may delete by itself (100 recordings it always may). If more are due,
    it deletes none, and the alarm `retention_stopped` is raised."""
    listen_workers: Annotated[int, Field(ge=0, le=16)] = 1
    """Processes of the lowest priority that listen to finished recordings for voices, which most hints need. One hears
    about 100 hours of calls an hour. 0: nobody listens."""
    listen_days: Annotated[int, Field(ge=1, le=366)] = 7
    """Recordings that were finished more days ago are not listened to any more."""
    hint_long_silence: Seconds = 20.0
    """A hint: in a talk nobody speaks for so many seconds. 0: without this rule."""
    hint_talk_over: Seconds = 3.0
    """A hint: both sides speak at once for so many seconds. 0: without this rule."""
    hint_agent_hung_up_first: bool = True
    """A hint: the agent ended the talk."""
    hint_too_short: Seconds = 10.0
    """A hint: a call's talk is shorter than so many seconds. 0: without this rule."""
    hint_too_quiet: Decibels = -40.0
    """A hint: a side's speech is softer, in dB (0 is as loud as can be). 0: without this rule."""
    hint_too_loud: Decibels = -10.0
    """A hint: a side's speech is louder, in dB. 0: without this rule."""
    trial: bool = False
    """Whether this is a trial without real citizens, as the demo is: nothing asks to confirm the rules of retention."""
    speech: bool = False
    """Whether recordings are transcribed at night, and hints found in them. Needs the extra `speech` and its model."""
    speech_model: Path | None = None
    """The folder of the speech model. Empty: `speech-model` in the home, which `hotline transcribe --make-model`
    fills."""
    speech_model_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = (
        "57b9d1d88fe4c2e7c3924454116c29892a940ad74d0c2121742de14560cb2355"
    )
    """The hash of that model, as `hotline transcribe` says it of another one. A folder that differs is not used."""
    speech_hours: Annotated[str, AfterValidator(_hours)] = "22:00-06:00"
    """The hours in which recordings are transcribed, in China."""
    speech_night_minutes: Annotated[int, Field(ge=1, le=1440)] = 420
    """Minutes that it may work in one such night."""
    speech_longest_minutes: Annotated[int, Field(ge=1, le=1440)] = 120
    """The longest recording that is transcribed, in minutes."""
    quality_draw: bool = False
    """Whether the recorder draws last week's sample for the quality assessment by itself, from Monday 03:00 on."""
    quality_per_agent: Annotated[int, Field(ge=1, le=100)] = 3
    """Talks of each agent that are drawn for a week."""
    quality_strata: Names = ("queue", "length")
    """What a sample is spread over: `queue`, `number`, `kind`, `length`, `ending`, `part-of-day`, `transfer`, `hints`
    (with a hint or without), with commas between. Empty: at random over all."""
    quality_shortest: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Seconds that a talk must last to be drawn."""
    quality_most: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Talks that one draw takes at most. If more would be drawn, none is, and the alarm `quality_not_drawn` is
    raised."""
    quality_appeal_days: Annotated[int, Field(ge=1, le=60)] = 5
    """Whole days for which an agent may appeal against a score."""
    queue_log: Annotated[str, Field(pattern="^(masked|whole|off)$")] = "masked"
    """Whether `log/queue_log` is written, in Asterisk's format, and whether callers' numbers are whole in it."""

    alarm_urls: Secrets = ()
    """Where alarms are sent: addresses of the library apprise (mailto, json, …), separated by spaces. Secret."""
    escalation_urls: Secrets = ()
    """Who else hears of a red button that nobody has acknowledged: the first address from the first time on that the
    timer runs out, the second from the second time on, and so forth; as `alarm_urls`."""
    alarms: dict[str, dict[str, object]] = {}
    """Changes of the alarms' rules: in hotline.toml `[alarms.longest_wait]` and `raise_at = 90`."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where the controller answers Prometheus, at `control_address`; 0: nowhere."""
    report_urls: Secrets = ()
    """Where `hotline report deliver` sends reports; as `alarm_urls`."""
    report_dir: Path | None = None
    """The folder into which `hotline report deliver` puts reports."""
    audit_days: Annotated[int, Field(le=36_600), AfterValidator(_audit_days)] = 1096
    """Days for which the audit log is kept: three years (个人信息保护法 art. 56, records of what was done with personal
    data), and never less than six months (网络安全法, logs)."""

    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    """The least that is logged: `debug`, `info`, `warning` or `error`."""
    log_mb: Annotated[int, Field(ge=1)] = 50
    """Megabytes after which a log file, Asterisk's too, is moved to `NAME.1` by `hotline up`."""
    log_files: Annotated[int, Field(ge=1)] = 4
    """How many old files are kept of each log (`NAME.1` is the newest)."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no other sources."""
        file = Path(os.environ.get("HOTLINE_CONFIG", "hotline.toml"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        to_trunk = self.outbound.endswith(";transport=tls")
        if self.tls_port:
            for name in ("tls_certificate", "tls_key"):
                if getattr(self, name) is None:
                    raise ValueError(
                        f"HOTLINE_{name.upper()} is needed, as HOTLINE_TLS_PORT is set: name a PEM file"
                    )
            if self.tls_port == self.sip_port:
                raise ValueError(
                    "HOTLINE_TLS_PORT is the same as HOTLINE_SIP_PORT: write another one, such as 5061"
                )
        for name, wanted in (
            ("HOTLINE_PHONES_TLS", self.phones_tls == "required"),
            ("HOTLINE_TRUNK_TLS", self.trunk_tls == "required"),
            ("HOTLINE_OUTBOUND", to_trunk),
        ):
            if wanted and not self.tls_port:
                raise ValueError(f"{name} wants TLS: set HOTLINE_TLS_PORT, such as 5061")
        if self.trunk_tls == "required" and self.outbound and not to_trunk:
            raise ValueError(
                f"HOTLINE_TRUNK_TLS is required, and HOTLINE_OUTBOUND {self.outbound!r} has no TLS: "
                "write ;transport=tls behind it"
            )
        if to_trunk and self.tls_ca is None:
            raise ValueError(
                "HOTLINE_TLS_CA is needed, as HOTLINE_OUTBOUND has TLS: name the file of whoever signed the trunk's "
                "certificate, or /etc/ssl/certs/ca-certificates.crt for all that this machine trusts"
            )
        return self

    @model_validator(mode="after")
    def _store_is_safe(self) -> Self:
        if self.store_endpoint.startswith("http://") and not self.store_plain_http:
            host = self.store_endpoint.removeprefix("http://").rpartition("]")[0].lstrip("[")
            host = host or self.store_endpoint.removeprefix("http://").partition(":")[0]
            with contextlib.suppress(ValueError):
                if host == "localhost" or ipaddress.ip_address(host).is_loopback:
                    return self
            raise ValueError(
                "HOTLINE_STORE_ENDPOINT has no TLS: write https://, or set HOTLINE_STORE_PLAIN_HTTP=true if "
                "everything on the way can be trusted"
            )
        return self

    # Paths below `home`. Asterisk, the recorder and the reports all take them from here.

    @property
    def root(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def run_dir(self) -> Path:
        """Sockets and process ids."""
        return self.root / "run"

    @property
    def log_dir(self) -> Path:
        """Logs, Asterisk's and ours, and CEL (`cel/Master.csv` below it)."""
        return self.root / "log"

    @property
    def asterisk_dir(self) -> Path:
        """The rendered Asterisk configuration."""
        return self.root / "asterisk"

    @property
    def speaks_only_tls(self) -> bool:
        """Whether nobody may use SIP over UDP or TCP."""
        return self.phones_tls == self.trunk_tls == "required"

    @property
    def spool_dir(self) -> Path:
        """Recordings that Asterisk is still writing: `<call id>.raw`, interleaved 16-bit stereo at 8 kHz."""
        return self.root / "recordings" / "spool"

    @property
    def recordings_dir(self) -> Path:
        """Finished recordings, one folder a day."""
        return self.root / "recordings"

    @property
    def secrets_dir(self) -> Path:
        """Generated secrets, mode 0600."""
        return self.root / "secrets"

    @property
    def cel_file(self) -> Path:
        """Asterisk's own record of what happened, independent of this program."""
        return self.log_dir / "asterisk" / "cel-custom" / "hotline.csv"

    @property
    def web_is_local(self) -> bool:
        """Whether only this machine reaches the screens."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.web_address).is_loopback
        return self.web_address == "localhost"

    @property
    def database(self) -> str:
        """The database's URL for SQLAlchemy's asynchronous engine."""
        return self.database_url or f"sqlite+aiosqlite:///{self.root / 'hotline.db'}"

    @property
    def outside(self) -> tuple[str, ...]:
        """The outside numbers that an agent can transfer to: none without a way out."""
        return self.transfer_to if self.calls_out else ()

    @property
    def departments(self) -> dict[str, str]:
        """The names of `party_directory`, and their numbers."""
        return dict(entry.split("=", 1) for entry in self.party_directory)

    @property
    def emergencies(self) -> dict[str, str]:
        """The services of `emergency_to`, and the numbers to dial."""
        return dict(entry.split("=", 1) for entry in self.emergency_to)

    @cached_property
    def named_trunks(self) -> tuple[Trunk, ...]:
        """The trunks of `trunks.toml` in the home, until `take_trunks`. Those in force, if the file cannot be used.

        Raises `TrunkError` if there are none in force either.
        """
        try:
            return self.read_trunks()
        except TrunkError:
            if (kept := self.trunks_in_force()) is None:
                raise
            return kept

    def read_trunks(self) -> tuple[Trunk, ...]:
        """The trunks of `trunks.toml` as it is now. Raises `TrunkError`."""
        file = self.root / trunks.FILE
        found = trunks.read(file)
        for trunk in found:
            by_tls = trunk.transport == "tls"
            if by_tls and not (self.tls_port and self.tls_ca):
                raise TrunkError(
                    f"{file}: the trunk {trunk.name} wants TLS: set HOTLINE_TLS_PORT, such as 5061, and "
                    "HOTLINE_TLS_CA, the file of whoever signed its certificate"
                )
            if self.trunk_tls == "required" and not by_tls:
                raise TrunkError(
                    f"{file}: HOTLINE_TRUNK_TLS is required, and the trunk {trunk.name} has no TLS: "
                    'write transport = "tls"'
                )
        return found

    def trunks_in_force(self) -> tuple[Trunk, ...] | None:
        """The trunks that Asterisk was given last; None before the first start. Raises `TrunkError`."""
        kept = self.asterisk_dir / trunks.FILE
        return trunks.read(kept) if kept.exists() else None

    def take_trunks(self, found: tuple[Trunk, ...]) -> None:
        """From now on these are the `named_trunks`: all that is computed from them follows."""
        self.__dict__["named_trunks"] = found

    @property
    def all_trunks(self) -> tuple[str, ...]:
        """From where any citizen's call may come: `trunks`, and the addresses of the named ones."""
        named = (address for trunk in self.named_trunks for address in trunk.addresses)
        return tuple(dict.fromkeys((*self.trunks, *named)))

    @property
    def calls_out(self) -> bool:
        """Whether there is a way out: `outbound`, or a trunk of `trunks.toml`."""
        return bool(self.outbound or self.named_trunks)

    @property
    def redis_socket(self) -> Path:
        """The private redis-server's socket. The kernel allows 107 characters, so a deep home gets a short one."""
        path = self.run_dir / "redis.sock"
        if len(str(path)) > 100:
            name = hashlib.sha256(str(self.root).encode()).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"hotline-{name}" / "redis.sock"
        return path

    @property
    def redis(self) -> str:
        """The URL of Redis."""
        return self.redis_url or f"unix://{self.redis_socket}"


def load(**overrides: Any) -> Settings:
    """Read the settings. Raises `SettingsError`; its message is for the operator."""
    problems = []
    try:
        made = Settings(**overrides)
        _ = made.named_trunks
        return made
    except TrunkError as error:
        problems += str(error).splitlines()
    except ValidationError as error:
        for item in error.errors():
            said = item["msg"].removeprefix("Value error, ")
            # What is wrong among several settings names them itself.
            problems.append(
                f"HOTLINE_{str(item['loc'][0]).upper()}: {said}" if item["loc"] else said
            )
    except (OSError, ValueError) as error:
        problems.append(f"hotline.toml cannot be read: {error}")
    raise SettingsError("\n".join(problems))


def unknown() -> list[str]:
    """Names in the environment that look like settings but are unknown: most likely typing errors."""
    known = {f"HOTLINE_{name.upper()}" for name in Settings.model_fields}
    # Not settings of the centre: where set-up keeps Asterisk and when it began, and where the settings themselves lie.
    known |= {"HOTLINE_CACHE", "HOTLINE_STARTED", "HOTLINE_CONFIG"}
    return sorted(name for name in os.environ if name.startswith("HOTLINE_") and name not in known)
