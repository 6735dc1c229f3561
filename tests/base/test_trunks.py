"""`trunks.toml`: what is read, and what is said of an entry that cannot be used."""

from pathlib import Path

import pytest

from base.settings import SettingsError, load
from base.trunks import TrunkError, read

WHOLE = """
[[trunk]]
name = "telecom"
host = "sip.example.cn:5080"
transport = "tcp"
user = "02412345"
password = "s3cret"
match = ["10.1.2.0/24"]
numbers = ["12345", "8890"]

[[trunk]]
name = "mobile"
host = "10.9.0.1"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "trunks.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_no_file_is_no_trunk(tmp_path: Path) -> None:
    assert read(tmp_path / "trunks.toml") == ()
    settings = load(home=tmp_path)
    assert (settings.named_trunks, settings.calls_out, settings.outside) == ((), False, ())


def test_trunks_in_their_order(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    settings = load(home=tmp_path, transfer_to=("12333",))
    telecom, mobile = settings.named_trunks
    assert (telecom.uri, telecom.account) == (
        "sip:sip.example.cn:5080;transport=tcp",
        "sip:02412345@sip.example.cn",
    )
    assert (telecom.registered, telecom.addresses) == (True, ("10.1.2.0/24",))
    assert telecom.carries("8890")
    assert not telecom.carries("12366")
    assert (mobile.uri, mobile.registered, mobile.addresses) == (
        "sip:10.9.0.1",
        False,
        ("10.9.0.1",),
    )
    assert mobile.carries("12366")
    assert settings.calls_out
    assert settings.outside == ("12333",)


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    written(tmp_path, WHOLE)
    settings = load(home=tmp_path)
    assert "s3cret" not in f"{settings!r} {settings} {settings.named_trunks!r}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[trunk]]\nname = "a"\n\nhost = "a b"', "line 4: host: write the operator's address"),
        ('[[trunk]]\nname = "a"\nhost = "h:99999"', "line 3: host: write the operator's address"),
        ('[[trunk]]\nname = "A-1"\nhost = "10.0.0.1"', "line 2: name: write a name of up to 12"),
        ('[[trunk]]\nname = "watch"\nhost = "10.0.0.1"', "line 2: name: write a name of up to 12"),
        ('[[trunk]]\nhost = "10.0.0.1"', "line 1: name: Field required"),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\npasword = "x"',
            "line 4: pasword: there is no such key: there is name, host",
        ),
        ('[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nuser = "u"', "line 1: a user needs a password"),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\npassword = "p"',
            "line 1: a password needs its user",
        ),
        (
            '[[trunk]]\nname = "a"\nhost = "sip.example.cn"',
            "line 1: the host is a name: write in match the addresses",
        ),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nmatch = ["x"]',
            "line 4: match: write addresses or networks",
        ),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nnumbers = ["1"]',
            "line 4: numbers: write telephone numbers",
        ),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\ntransport = "sctp"',
            "line 4: transport: Input should be 'udp', 'tcp' or 'tls'",
        ),
        (
            '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\n[[trunk]]\nname = "a"\nhost = "10.0.0.2"',
            "line 5: name: a is there already: write another",
        ),
        (
            (
                '[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nuser = "u"\npassword = "p"\n'
                '[[trunk]]\nname = "b"\nhost = "10.0.0.1:5080"\npassword = "p"\nuser = "u"'
            ),
            "line 10: user: another trunk registers as this user there",
        ),
        ('[trunk]\nname = "a"', "each trunk begins with a line [[trunk]], in two pairs"),
        ("[[trunks]]\n", "there is no trunks: each trunk begins with a line [[trunk]]"),
        ("[[trunk]\n", "is no TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(home=tmp_path)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


@pytest.mark.parametrize("wrong", ["ab\\ncontact = x", "a b", "密码", "x" * 200])
def test_a_password_that_cannot_be_sent_is_not_repeated(tmp_path: Path, wrong: str) -> None:
    file = written(
        tmp_path,
        f'[[trunk]]\nname = "a"\nhost = "10.0.0.1"\nuser = "u"\npassword = "{wrong}"\n',
    )
    with pytest.raises(
        TrunkError, match="line 5: password: only letters, digits and signs"
    ) as caught:
        read(file)
    assert wrong not in str(caught.value)


def test_every_wrong_entry_is_named_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, '[[trunk]]\nname = "A"\nhost = ""\n[[trunk]]\nname = 7\n')
    with pytest.raises(TrunkError) as caught:
        read(file)
    assert [line.split(": ")[0].rsplit(" ", 1)[1] for line in str(caught.value).splitlines()] == [
        "2", "3", "5", "4",
    ]  # fmt: skip


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "trunks.toml").mkdir()
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load(home=tmp_path)
