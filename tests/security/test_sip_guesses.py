"""What fail2ban counts, by its own program: guesses, and never an address that the guesser names instead of theirs."""

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "asterisk-conf" / "fail2ban"

HEAD = "[2026-11-29 07:00:02.123] SECURITY[4711] res_security_log.c: SecurityEvent="
FROM = 'LocalAddress="IPV4/UDP/10.0.0.1/5060",RemoteAddress="IPV4/UDP/203.0.113.7/40000"'
VICTIM = 'LocalAddress="IPV4/UDP/10.0.0.1/5060",RemoteAddress="IPV4/UDP/198.51.100.9/5060"'
MIDDLE = '"ChallengeResponseFailed",EventTV="2026-11-29T07:00:02.123+0800",Severity="Error",Service="PJSIP",'
WRONG = HEAD + MIDDLE + 'EventVersion="1",AccountID="1001",SessionID="{session}",' + FROM
WRONG += ',Challenge="1/2",Response="{response}",ExpectedResponse=""'
UNKNOWN = HEAD + MIDDLE.replace("ChallengeResponseFailed", "InvalidAccountID")
UNKNOWN += 'EventVersion="1",AccountID="{account}",SessionID="{session}",' + FROM

NO_FURTHER = ',Challenge="1/2",Response="ab",ExpectedResponse=""'
LINES = {
    "wrong password": (WRONG.format(session="a@b", response="0" * 32), True),
    "unknown account": (UNKNOWN.format(account="9999", session="a@b"), True),
    "IPv6": (
        UNKNOWN.format(account="9", session="a").replace(
            "IPV4/UDP/203.0.113.7", "IPV6/UDP/2001:db8::7"
        ),
        True,
    ),
    "another in the account": (UNKNOWN.format(account=f'x",{VICTIM},"', session="a"), True),
    "another in the Call-ID": (UNKNOWN.format(account="9", session=f'x",{VICTIM},"'), True),
    "another in the Call-ID of a guess": (
        WRONG.format(session=f'x",{VICTIM}{NO_FURTHER}', response="ab"),
        True,
    ),
    "another in the response": (
        WRONG.format(session="a", response=f'x",{VICTIM}{NO_FURTHER},"'),
        False,
    ),
    "a right password": (
        HEAD + MIDDLE.replace("ChallengeResponseFailed", "SuccessfulAuth") + FROM,
        False,
    ),
    "the manager interface": (
        UNKNOWN.format(account="9", session="a").replace("PJSIP", "AMI"),
        False,
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_who_is_counted(tmp_path: Path, what: str) -> None:
    line, counted = LINES[what]
    log = tmp_path / "security"
    log.write_text(line + "\n")
    done = subprocess.run(
        ["fail2ban-regex", "-o", "<ip>", str(log), str(FOLDER / "hotline.conf")],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    address = "2001:db8::7" if what == "IPv6" else "203.0.113.7"
    assert done.stdout.split() == ([address] if counted else [])


def test_the_jail_is_one(tmp_path: Path) -> None:
    """fail2ban reads filter and jail where an operator puts them."""
    for part in ("filter.d", "action.d", "jail.conf", "fail2ban.conf", "paths-debian.conf"):
        if (Path("/etc/fail2ban") / part).exists():
            (tmp_path / part).symlink_to(Path("/etc/fail2ban") / part)
    (tmp_path / "filter.d").unlink()
    (tmp_path / "filter.d").mkdir()
    (tmp_path / "filter.d" / "hotline.conf").symlink_to(FOLDER / "hotline.conf")
    for file in ("paths-common.conf",):
        (tmp_path / file).symlink_to(Path("/etc/fail2ban") / file)
    log = tmp_path / "security"
    log.touch()
    (tmp_path / "jail.d").mkdir()
    jail = (FOLDER / "jail.conf").read_text()
    (tmp_path / "jail.d" / "hotline.conf").write_text(
        jail.replace("/var/lib/hotline/log/asterisk/security", str(log))
    )
    done = subprocess.run(
        ["fail2ban-client", "-c", str(tmp_path), "--dp"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'hotline', 'maxretry', 20" in done.stdout
    assert f"'{log}'" in done.stdout
