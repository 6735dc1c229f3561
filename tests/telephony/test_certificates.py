"""Certificates before Asterisk gets them: what is wrong with them is said, and nothing that works is taken away."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from base.settings import Settings
from telephony import certificates
from telephony.certificates import CertificateError
from tests.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def settings(home: Path, certificate: Path, key: Path, ca: Path | None = None) -> Settings:
    return Settings(
        home=home / "home", tls_port=5061, tls_certificate=certificate, tls_key=key, tls_ca=ca
    )


def test_a_good_pair_is_given_to_asterisk_once(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("exchange")
    wanted = settings(tmp_path, certificate, key, authority.ca)
    assert certificates.held(wanted) is None
    assert certificates.take(wanted)
    assert not certificates.take(wanted), "the same again is no other"
    for file, of in zip(certificates.in_use(wanted), (certificate, key), strict=True):
        assert file.read_bytes() == of.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
    authority.sign("exchange")
    assert certificates.take(wanted)


def test_what_is_wrong_with_the_files_is_said(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("exchange")
    _, other = authority.sign("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    gone = tmp_path / "gone.pem"
    for wanted, said in (
        (settings(tmp_path, gone, key), "HOTLINE_TLS_CERTIFICATE: there is no file"),
        (settings(tmp_path, certificate, gone), "HOTLINE_TLS_KEY: there is no file"),
        (settings(tmp_path, tmp_path, key), "HOTLINE_TLS_CERTIFICATE: .* cannot be read"),
        (settings(tmp_path, empty, key), "HOTLINE_TLS_CERTIFICATE: .* no certificate"),
        (settings(tmp_path, certificate, empty), "HOTLINE_TLS_KEY: .* no private key"),
        (settings(tmp_path, certificate, locked), "HOTLINE_TLS_KEY: .* has a password"),
        (settings(tmp_path, certificate, other), "HOTLINE_TLS_KEY: .* does not fit"),
        (settings(tmp_path, certificate, key, gone), "HOTLINE_TLS_CA: there is no file"),
        (settings(tmp_path, certificate, key, empty), "HOTLINE_TLS_CA: .* no certificate"),
    ):
        with pytest.raises(CertificateError, match=said):
            certificates.take(wanted)
        assert certificates.held(wanted) is None


def test_a_bad_renewal_takes_nothing_away(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.sign("exchange")
    wanted = settings(tmp_path, certificate, key)
    with pytest.raises(CertificateError):
        certificates.take_at_start(settings(tmp_path, certificate, tmp_path / "gone.key"))
    certificates.take_at_start(wanted)
    before = certificates.held(wanted)
    key.unlink()
    certificates.take_at_start(wanted)
    assert certificates.held(wanted) == before
    certificates.take_at_start(Settings(home=tmp_path / "no-tls"))
    assert not (tmp_path / "no-tls").exists()


@pytest.mark.parametrize(
    ("begins", "days", "said"),
    [
        (-1, 90, ""),
        (-1, 31, ""),
        (-1, 29.5, "in 29 days"),
        (-1, 0.5, "in 0 days"),
        (-9, -1, "has expired"),
        (2, 90, "this machine's clock"),
    ],
)
def test_its_time_is_looked_at(
    tmp_path: Path, authority: Authority, begins: float, days: float, said: str
) -> None:
    pair = certificates.read(settings(tmp_path, *authority.sign("one", days, begins=begins)))
    now = datetime.now(UTC)
    assert said in (found := certificates.problem(pair, now))
    assert bool(said) == bool(found)
    assert abs(pair.ends - now - timedelta(days=days)) < timedelta(minutes=5)
