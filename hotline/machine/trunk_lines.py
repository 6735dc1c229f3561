"""What Asterisk's configuration says of the trunks in `trunks.toml`: how calls leave, and from where they may come.

A call comes in if its number is carried by a trunk that has its address. Asterisk knows it by the number alone (README
in `asterisk-conf`, "Who is calling"), so that all numbers with the same addresses share an endpoint, whose access list
these are. `trunk` is that of numbers which every trunk carries, `trunk-2` and so on are those of the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from base.settings import Settings
from base.trunks import Trunk
from facts.endpoints import TRUNK, watch, way_out

Addresses: TypeAlias = tuple[str, ...]
"""Addresses and networks, in order."""

ASK_EVERY = 15
"""Seconds between two questions (OPTIONS) whether a trunk is there."""


def endpoints(settings: Settings) -> Mapping[Addresses, str]:
    """The endpoints of citizens who call, by the addresses from which they may."""
    found = {settings.all_trunks: TRUNK}
    listed = {number for trunk in settings.named_trunks for number in trunk.numbers}
    # Numbers that are added later are on no list, or on that of a trunk.
    for number in ("", *sorted({*settings.numbers, *listed})):
        found.setdefault(_carriers(settings, number), f"{TRUNK}-{len(found) + 1}")
    return found


def endpoint_of(settings: Settings, number: str) -> str:
    """The endpoint of whoever dials this number of ours."""
    return endpoints(settings)[_carriers(settings, number)]


def sections(settings: Settings) -> Iterator[str]:
    """The lines of pjsip.conf that there are only with a `trunks.toml`, but for who comes in (`incoming`)."""
    for trunk in settings.named_trunks:
        yield from _leaving(trunk, (*trunk.numbers, *settings.numbers)[0], srtp(settings))


def incoming(settings: Settings, identified: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The endpoints beside `trunk`. `identified`: by endpoint, what identifies its requests."""
    for permitted, endpoint in endpoints(settings).items():
        if endpoint == TRUNK:
            continue
        # The template's list comes first, and of the lines that fit, the last one counts.
        yield from (f"[{endpoint}](citizens)", "deny = 0.0.0.0/0.0.0.0,::/0")
        if permitted:
            yield f"permit = {','.join(permitted)}"
        if lines := identified.get(endpoint):
            yield from ("", f"[{endpoint}]", "type = identify", f"endpoint = {endpoint}", *lines)
        yield ""


def srtp(settings: Settings) -> list[str]:
    """Encrypted sound (RFC 3711, keys by RFC 4568) on a line to a trunk that has TLS; nothing without TLS."""
    if not settings.tls_port:
        return []
    must = settings.trunk_tls == "required"
    return ["media_encryption = sdes", *([] if must else ["media_encryption_optimistic = yes"])]


def _leaving(trunk: Trunk, number: str, encrypted: Sequence[str]) -> Iterator[str]:
    """One trunk: calls that leave by it, its registration, and the question whether it is there.

    `number`: what the operator dials here for the line itself. `encrypted`: the lines of a trunk that has TLS.
    """
    name, contact = way_out(trunk.name), trunk.uri.replace(";", "\\;")
    yield from (f"[{name}](calls-out)", f"aors = {name}")
    yield from encrypted if trunk.transport == "tls" else ()
    if trunk.user:
        yield from (f"outbound_auth = {name}", f"from_domain = {trunk.domain}")
    yield from ("", f"[{name}]", "type = aor", f"contact = {contact}", "")
    if trunk.user:
        password = trunk.password.get_secret_value().replace(";", "\\;")
        yield from (f"[{name}]", "type = auth", "auth_type = userpass")
        yield from (f"username = {trunk.user}", f"password = {password}", "")
    if trunk.registered:
        yield from (f"[{name}]", "type = registration", f"outbound_auth = {name}")
        yield from (f"server_uri = {contact}", f"client_uri = {trunk.account}")
        yield f"contact_user = {number}"
        yield from (f"expiration = {trunk.expires}", "retry_interval = 60")
        # Never give up: an operator who mends the account, or a line that is back, must be enough.
        yield from ("auth_rejection_permanent = no", "forbidden_retry_interval = 60")
        yield from ("fatal_retry_interval = 60", "max_retries = 1000000", "")
    if trunk.watch:
        asked = watch(trunk.name)
        yield from (f"[{asked}](asked)", f"aors = {asked}", "")
        yield from (f"[{asked}]", "type = aor", f"contact = {contact}")
        yield from (f"qualify_frequency = {ASK_EVERY}", "qualify_timeout = 3", "")


def _carriers(settings: Settings, number: str) -> Addresses:
    return _unique(settings, (trunk for trunk in settings.named_trunks if trunk.carries(number)))


def _unique(settings: Settings, trunks: Iterable[Trunk]) -> Addresses:
    """`HOTLINE_TRUNKS` carries every number."""
    named = (address for trunk in trunks for address in trunk.addresses)
    return tuple(dict.fromkeys((*settings.trunks, *named)))
