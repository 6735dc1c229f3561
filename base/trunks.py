"""The operator's trunks: `HOME/trunks.toml`, one table `[[trunk]]` each, in the order in which calls leave by them.

The file holds passwords. Like the rest of the home it is its owner's alone, and no password is ever shown or logged.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from facts.numbers import HOTLINE_NUMBER

FILE = "trunks.toml"
"""The file's name in the home."""

MOST_TRUNKS = 32
"""The most trunks of one centre: each is asked and registered all the time."""

SIP_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
"""`HOST` or `HOST:PORT`, an IPv6 address in brackets. `is_sip_host` looks at the port, too."""


class TrunkError(ValueError):
    """`trunks.toml` cannot be used. Each line of the message names a line of the file and what to write there."""


def is_sip_host(text: str) -> bool:
    """Whether this is `HOST` or `HOST:PORT`."""
    found = SIP_HOST.fullmatch(text)
    return found is not None and (found["port"] is None or 1 <= int(found["port"]) <= 65535)


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", value) or value == "watch":
        raise ValueError("write a name of up to 12 small letters and digits, such as telecom")
    return value


def _sip_host(value: str) -> str:
    if not is_sip_host(value):
        raise ValueError(
            "write the operator's address, such as 10.1.2.3, 10.1.2.3:5080 or sip.example.cn"
        )
    return value


def _user(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+._-]{0,64}", value):
        raise ValueError("write the user as the operator gave it: letters, digits and + . _ - only")
    return value


def _password(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]{0,128}", value.get_secret_value()):
        raise ValueError("only letters, digits and signs of ASCII without spaces can be sent")
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("write addresses or networks, such as 10.1.2.3 or 10.1.2.0/24") from None
    return value


def _number(value: str) -> str:
    if not HOTLINE_NUMBER.fullmatch(value):
        raise ValueError("write telephone numbers of 2 to 15 digits, such as 12345")
    return value


class Trunk(BaseModel):
    """One operator's line, by address alone, or with a user and a password."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Annotated[str, AfterValidator(_name)]
    """What people call it: in alarms, logs and `hotline check`."""
    host: Annotated[str, AfterValidator(_sip_host)]
    """Where it is: an address or a name, with `:PORT` behind it if that is not 5060."""
    transport: Literal["udp", "tcp", "tls"] = "udp"
    """How SIP gets there."""
    user: Annotated[str, AfterValidator(_user)] = ""
    """The user with which the centre registers and signs its calls; empty: the operator knows it by its address."""
    password: Annotated[SecretStr, AfterValidator(_password)] = SecretStr("")
    """The password of that user."""
    registers: bool = True
    """Whether the centre registers, if there is a user. Without, the user and the password only sign calls."""
    expires: Annotated[int, Field(ge=60, le=86_400)] = 300
    """Seconds for which the centre registers each time."""
    match: tuple[Annotated[str, AfterValidator(_address)], ...] | None = None
    """Addresses or networks from which this trunk's calls come; without it, `host`, if that is an address."""
    numbers: tuple[Annotated[str, AfterValidator(_number)], ...] = ()
    """The hotline's numbers on this trunk: they come in by it, and one of them is shown on calls that leave by it."""
    watch: bool = True
    """Whether the trunk is asked all the time if it is there (OPTIONS); `false` for one that does not answer that."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.user and not self.password.get_secret_value():
            raise ValueError('a user needs a password: write password = "…" too')
        if self.password.get_secret_value() and not self.user:
            raise ValueError('a password needs its user: write user = "…" too')
        if self.match is None and not self.address:
            raise ValueError(
                "the host is a name: write in match the addresses from which its calls come, "
                'such as match = ["10.1.2.0/24"], or match = [] if none come in'
            )
        return self

    @property
    def registered(self) -> bool:
        """Whether the centre registers with it."""
        return self.registers and self.user != ""

    @property
    def address(self) -> str:
        """The host without its port, if it is an address; empty for a name."""
        host = self.domain.strip("[]")
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            return ""

    @property
    def domain(self) -> str:
        """The host without its port."""
        found = SIP_HOST.fullmatch(self.host)
        return found["host"] if found is not None else ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where its calls come from."""
        return (self.address,) if self.match is None else self.match

    @property
    def uri(self) -> str:
        """Where calls and registrations go: `sip:10.1.2.3:5080;transport=tcp`."""
        return f"sip:{self.host}" + (
            "" if self.transport == "udp" else f";transport={self.transport}"
        )

    @property
    def account(self) -> str:
        """Who registers: `sip:USER@HOST`."""
        return f"sip:{self.user}@{self.domain}"

    def carries(self, number: str) -> bool:
        """Whether this number of the hotline's comes in and may be shown here; one without a list carries all."""
        return not self.numbers or number in self.numbers


def read(file: Path) -> tuple[Trunk, ...]:
    """The trunks of the file; none if there is no file. Raises `TrunkError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise TrunkError(f"{file} cannot be read: {why}") from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrunkError(f"{file} is no TOML: {error}") from None
    found, problems = [], []
    if more := sorted(document.keys() - {"trunk"}):
        problems.append(f"{file}: there is no {more[0]}: each trunk begins with a line [[trunk]]")
    tables = document.get("trunk", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise TrunkError(
            f"{file}: each trunk begins with a line [[trunk]], in two pairs of brackets"
        )
    if len(tables) > MOST_TRUNKS:
        problems.append(f"{file}: {len(tables)} trunks are too many: {MOST_TRUNKS} are allowed")
    lines = _Lines(text)
    for place, table in enumerate(tables):
        try:
            found.append(Trunk(**table))
        except ValidationError as error:
            problems += [
                f"{file}, line {lines.of(place, key)}: {said}" for key, said in _said(error)
            ]
    for place, trunk in enumerate(found if not problems else []):
        before = found[:place]
        if any(trunk.name == other.name for other in before):
            line = lines.of(place, "name")
            problems.append(
                f"{file}, line {line}: name: {trunk.name} is there already: write another"
            )
        if trunk.registered and any(trunk.account == other.account for other in before):
            line = lines.of(place, "user")
            problems.append(
                f"{file}, line {line}: user: another trunk registers as this user there"
            )
    if problems:
        raise TrunkError("\n".join(problems))
    return tuple(found)


def _said(error: ValidationError) -> Iterator[tuple[str, str]]:
    """Each problem: the key, and what to do. The values are left out, for a password may be among them."""
    for item in error.errors(include_url=False, include_input=False):
        key = str(item["loc"][0]) if item["loc"] else ""
        said = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            said = f"there is no such key: there is {', '.join(Trunk.model_fields)}"
        yield key, f"{key}: {said}" if key else said


class _Lines:
    """Where the keys of each trunk stand."""

    def __init__(self, text: str) -> None:
        self._keys: list[dict[str, int]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if re.match(r"\s*\[\[\s*trunk\s*\]\]", line):
                self._keys.append({"": number})
            elif self._keys and (found := re.match(r"""\s*["']?(\w+)["']?\s*=""", line)):
                self._keys[-1].setdefault(found[1], number)

    def of(self, place: int, key: str) -> Any:
        """The line of a trunk's key, or else of its beginning."""
        keys = self._keys[place] if place < len(self._keys) else {}
        return keys.get(key, keys.get("", "?"))
