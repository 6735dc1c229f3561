"""The certificate of SIP over TLS: looked at before Asterisk gets it, and taken again after a renewal.

Asterisk reads a copy in the home. The copy is replaced only by a pair of files that fit each other, so a renewal that
is half written, or wrong, takes nothing away from calls. Asterisk reads it again at a reload of `RELOADED_BY`:
connections stay, and new ones are shown the new certificate.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from base import files
from base.settings import Settings

log = structlog.get_logger(__name__)

RELOADED_BY = "res_pjsip.so"
"""The module of Asterisk that reads the certificate again, if its files have the names of before."""
SOON = timedelta(days=30)
"""How long before its end a certificate is spoken of."""


class CertificateError(Exception):
    """The files cannot be used. The message names the setting and says what to do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with those that signed it, and its key, as they stand in the files."""

    certificate: bytes
    key: bytes
    begins: datetime
    ends: datetime


def in_use(settings: Settings) -> tuple[Path, Path]:
    """Where Asterisk finds its certificate and key."""
    folder = settings.asterisk_dir / "tls"
    return folder / "certificate.pem", folder / "key.pem"


def read(settings: Settings) -> Pair:
    """The pair that the settings name, if its two files fit. Whether it has expired is not asked.

    Raises `CertificateError`.
    """
    pair = _pair(
        *(_absolute(settings.tls_certificate), "HOTLINE_TLS_CERTIFICATE"),
        *(_absolute(settings.tls_key), "HOTLINE_TLS_KEY"),
    )
    if settings.tls_ca is not None:
        ca = _absolute(settings.tls_ca)
        _certificates(_bytes(ca, "HOTLINE_TLS_CA"), ca, "HOTLINE_TLS_CA")
    return pair


def problem(pair: Pair, now: datetime) -> str:
    """What is wrong with the time of a certificate, as a sentence; empty: nothing."""
    if now < pair.begins:
        return f"the certificate holds from {_day(pair.begins)} on only: is this machine's clock right?"
    if now >= pair.ends:
        return f"the certificate has expired on {_day(pair.ends)}: renew it"
    if pair.ends - now < SOON:
        days = (pair.ends - now).days
        return f"the certificate expires on {_day(pair.ends)}, in {days} days: renew it"
    return ""


def take(settings: Settings) -> bool:
    """Give Asterisk the certificate that the settings name. Returns whether it is another one than before.

    Raises `CertificateError`; then Asterisk keeps what it has.
    """
    pair = read(settings)
    changed = False
    for file, content in zip(in_use(settings), (pair.certificate, pair.key), strict=True):
        if not file.exists() or file.read_bytes() != content:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.put(file, content, 0o600)
            changed = True
    return changed


def take_at_start(settings: Settings) -> None:
    """The same before Asterisk starts, if TLS is wanted. If an earlier pair is there, what is wrong is only logged.

    So a bad renewal does not keep a whole centre from coming back. Raises `CertificateError`.
    """
    if not settings.tls_port:
        return
    try:
        take(settings)
    except CertificateError as error:
        if held(settings) is None:
            raise
        log.error("certificate.not_taken", why=str(error), instead="the one of before")
    if (pair := held(settings)) is not None and (said := problem(pair, datetime.now(UTC))):
        log.warning("certificate.time", why=said)


def held(settings: Settings) -> Pair | None:
    """The pair that Asterisk has; None if there is none that can be used."""
    certificate, key = in_use(settings)
    try:
        return _pair(certificate, "HOTLINE_HOME", key, "HOTLINE_HOME")
    except CertificateError:
        return None


def _pair(certificate: Path, certificate_setting: str, key: Path, key_setting: str) -> Pair:
    said, secret = _bytes(certificate, certificate_setting), _bytes(key, key_setting)
    first = _certificates(said, certificate, certificate_setting)[0]
    try:
        # Whether an RSA key is sound takes a third of a second to prove; that it fits is what counts here.
        private = serialization.load_pem_private_key(
            secret, password=None, unsafe_skip_rsa_key_validation=True
        )
    except TypeError:
        raise CertificateError(
            f"{key_setting}: {key} has a password: write the key without one"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(
            f"{key_setting}: {key} holds no private key in PEM: {error}"
        ) from None
    if _public(private.public_key()) != _public(first.public_key()):
        raise CertificateError(
            f"{key_setting}: the key of {key} does not fit the first certificate of {certificate}: "
            "name the key that it was made for, and let that certificate stand first"
        )
    return Pair(said, secret, first.not_valid_before_utc, first.not_valid_after_utc)


def _absolute(file: Path | None) -> Path:
    return (file or Path()).expanduser().absolute()


def _bytes(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"{setting}: there is no file {file}") from None
    except OSError as error:
        raise CertificateError(
            f"{setting}: {file} cannot be read ({error.strerror}): the user who runs this must be able to read it"
        ) from None


def _certificates(said: bytes, file: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(said)
    except ValueError as error:
        raise CertificateError(f"{setting}: {file} holds no certificate in PEM: {error}") from None


def _public(key: object) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    made: bytes = key.public_bytes(encoding, form)  # type: ignore[attr-defined]
    return made


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
