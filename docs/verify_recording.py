#!/usr/bin/env python3
"""Checks a proof of `hotline recordings prove` without Hotline. 独立验证热线录音存证：不需要热线程序。

    python3 verify_recording.py PROOF.json [--file CALL.wav] [--head DAY=HEAD] [--key PUBLIC_KEY] [--tsa ROOT.pem]

It needs Python 3.11 and nothing else. The signature is checked if the package `cryptography` is there, SM3 if OpenSSL
has it, and time stamps if the program `openssl` is there; what was not checked is said. Status 0: all that was checked
is right; 1: something is wrong.

What is computed. H is SHA-256, and SM3 where a seal has it; every hash is written in lower-case hex; \\n is one byte.
1. Leaf: H(00 ‖ row). The row is UTF-8, as it stands in the proof (RFC 8785).
2. Root: from the leaf along `path`; a node is H(01 ‖ left ‖ right) (RFC 6962, RFC 9162 section 2.1.3.2).
3. Head of a day: H("hotline recordings\\n" day "\\n" rows "\\n" root "\\n" previous "\\n"). `previous` is the head
   of the day before, so a head vouches for all days up to its own.
4. A row with `certificate` = "deletion" says that the recording was deleted: by which rule, who did it, when. `ends` is
   SHA-256 of the row that it ends, which is the one before it in the proof.
5. Signature: Ed25519 by `public_key` of "hotline recordings signed\\n" day "\\n" head "\\n" SM3 head or nothing "\\n".
6. Time stamp: the same text as in 5, stamped with SHA-256 (RFC 3161); `token` is the authority's answer in base64.

What makes it a proof is `--head`: a head from a report that has lain outside the centre, or `--tsa`: a stamp of an
authority that you trust. Without them, all of this could have been made today by whoever has the machine.
只有与中心之外保存的日报中的值（--head）一致，或有可信时间戳（--tsa），才构成证明。
"""

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import date, datetime, timedelta, timezone
from pathlib import Path


def main():
    options = argparse.ArgumentParser(description="Checks a proof of a recording. 验证录音存证。")
    options.add_argument("proof", help="the JSON file of `hotline recordings prove`")
    options.add_argument("--file", help="the recording itself, to compare with its row")
    options.add_argument("--head", action="append", default=[], help="DAY=HEAD from a report")
    options.add_argument("--key", help="the public key, if it is known from elsewhere")
    options.add_argument("--tsa", help="the root certificate (PEM) of the time stamp authority")
    given = options.parse_args()
    try:
        proof = json.loads(Path(given.proof).read_text(encoding="utf-8"))
        unchecked = verify(proof, given)
    except ProofError as wrong:
        print(f"WRONG 不符: {wrong}")
        return 1
    except (OSError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        print(f"WRONG 不符: this is no readable proof ({type(error).__name__}: {error})")
        return 1
    for what in unchecked:
        print(f"not checked 未验证: {what}")
    print("RIGHT 相符")
    return 0


class ProofError(Exception):
    """What is wrong, as a sentence."""


def need(true, what):
    if not true:
        raise ProofError(what)


def verify(proof, given):
    """Check everything; gives what could not be checked. Raises `ProofError`."""
    need(proof["form"] == "hotline-recording-proof/1", "the form of the proof is unknown")
    unchecked = []
    seals = proof["seals"]
    for before, seal in zip([None, *seals], seals, strict=False):
        check_seal(seal, before, given.key, unchecked)
    by_day = {seal["day"]: seal for seal in seals}
    need(proof["versions"], "there is no row")
    rows = [check_version(one, by_day, proof["call"], unchecked) for one in proof["versions"]]
    deleted = check_certificates(proof["versions"], rows)
    if given.file:
        check_file(given.file, [row for row in rows if "certificate" not in row])
    elif not deleted:
        unchecked.append("the recording itself (--file)")
    for told in given.head:
        day, _, head = told.partition("=")
        need(day in by_day, f"the proof has no seal of {day}")
        head = "".join(head.split()).lower()
        need(len(head) >= 16, f"--head {told}: give at least 16 characters of the head")
        known = [by_day[day]["head"], (by_day[day]["sm3"] or {}).get("head", "")]
        need(
            any(one.startswith(head) for one in known),
            f"the head of {day} is not that of the report",
        )
        need(day >= rows_day(proof), f"the report of {day} is older than the row")
    stamped = check_stamps(proof, by_day, given.tsa, unchecked)
    if not given.head and not stamped:
        unchecked.append("the head of a report that was kept outside the centre (--head)")
    if not given.key:
        unchecked.append("whose key it is (--key)")
    return list(dict.fromkeys(unchecked))


def rows_day(proof):
    """The day of the newest row: only a head of that day or later vouches for all of them."""
    return max(version["day"] for version in proof["versions"])


def check_seal(seal, before, key, unchecked):
    day = seal["day"]
    if before is not None:
        next_day = date.fromisoformat(before["day"]) + timedelta(days=1)
        need(day == next_day.isoformat(), f"{day}: the day before it is missing")
        need(seal["previous"] == before["head"], f"{day}: it does not follow the day before")
    need(seal["head"] == head("sha256", day, seal["rows"], seal), f"{day}: wrong head")
    sm3 = seal["sm3"]
    if sm3 is not None:
        if before is not None:
            last = before["sm3"]["head"] if before["sm3"] else ""
            need(sm3["previous"] == last, f"{day}: it does not follow the day before (SM3)")
        if has_sm3():
            need(sm3["head"] == head("sm3", day, seal["rows"], sm3), f"{day}: wrong SM3 head")
        else:
            unchecked.append("SM3, which this machine's OpenSSL does not have")
    if key:
        need(seal["public_key"] == key.lower(), f"{day}: it is signed with another key")
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        unchecked.append("the signatures (the package `cryptography` is not installed)")
        return
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(seal["public_key"]))
        public.verify(bytes.fromhex(seal["signature"]), signed_text(seal))
    except (InvalidSignature, ValueError):
        raise ProofError(f"{day}: the signature is not that of this key") from None


def check_stamps(proof, by_day, root, unchecked):
    """The days whose stamp is right, of those that vouch for all rows."""
    stamps = proof.get("stamps", [])
    if not root:
        if stamps:
            unchecked.append("the time stamps (--tsa)")
        return []
    need(stamps, "the proof has no time stamp")
    if shutil.which("openssl") is None:
        unchecked.append("the time stamps (the program `openssl` is not installed)")
        return []
    return [day for one in stamps if (day := check_stamp(one, by_day, root)) >= rows_day(proof)]


def check_stamp(stamp, by_day, root):
    day = stamp["day"]
    need(day in by_day, f"the proof has no seal of {day}, which is stamped")
    with tempfile.TemporaryDirectory() as folder:
        text, token = Path(folder, "text"), Path(folder, "token")
        text.write_bytes(signed_text(by_day[day]))
        token.write_bytes(base64.b64decode(stamp["token"], validate=True))
        said = openssl("-reply", "-text", "-in", token).stdout
        found = re.search(
            r"^Time stamp: (\w+ +\d+ \d+:\d+:\d+)(?:\.\d+)? (\d+) GMT", said, re.MULTILINE
        )
        need(found, f"{day}: the time stamp cannot be read")
        at = datetime.strptime(f"{found[1]} {found[2]} +0000", "%b %d %H:%M:%S %Y %z")
        # As of then: the authority's certificate may have run out since.
        when = ("-attime", str(int(at.timestamp())))
        right = openssl("-verify", "-data", text, "-in", token, "-CAfile", root, *when)
    need(right.returncode == 0, f"{day}: the time stamp is not one of this seal by this authority")
    print(f"{day}: its seal was there at {at.isoformat()}, says the time stamp authority")
    return day


def openssl(*words):
    command = ["openssl", "ts", *map(str, words)]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def check_version(version, by_day, call, unchecked):
    day = version["day"]
    need(day in by_day, f"the seal of {day} is missing")
    seal = by_day[day]
    ways = [("sha256", version["path"], seal["root"])]
    need((version["sm3_path"] is None) == (seal["sm3"] is None), f"{day}: SM3 is not whole")
    if seal["sm3"] is not None and has_sm3():
        ways.append(("sm3", version["sm3_path"], seal["sm3"]["root"]))
    for name, path, root in ways:
        found = root_of(name, version["row"], version["place"], seal["rows"], path)
        need(found == root, f"{day}: the row is not in the seal ({name})")
    row = json.loads(version["row"])
    need(row["call"] == call, f"the row is of another call, {row['call']}")
    print(f"{day}: row {version['place'] + 1} of {seal['rows']}, key {key_id(seal['public_key'])}")
    print(f"  {version['row']}")
    print(f"  head {seal['head']}")
    return row


def check_certificates(versions, rows):
    """Each certificate ends the row before it. Says whether the last row is one: the recording was deleted."""
    before = None
    for version, row in zip(versions, rows, strict=True):
        if "certificate" in row:
            need(row["certificate"] == "deletion", "a certificate of an unknown kind")
            need(before is not None, "a certificate ends a row that is not in the proof")
            ended = hashlib.sha256(before.encode()).hexdigest()
            need(row["ends"] == ended, "a certificate ends another row than the one before it")
            at = datetime.fromtimestamp(row["deleted_at"] / 1_000_000, timezone(timedelta(hours=8)))
            print(f"deleted 已删除: {at:%Y-%m-%d %H:%M:%S}, by {row['by']}, rule {row['rule']}")
        before = version["row"]
    return "certificate" in rows[-1]


def check_file(name, rows):
    whole = hashlib.sha256()
    with Path(name).open("rb") as sound:
        while block := sound.read(1 << 20):
            whole.update(block)
    found = whole.hexdigest()
    known = [row for row in rows if found in (row["sha256"], row["cipher_sha256"])]
    need(known, f"{name} is not the recording that was sealed: its SHA-256 is {found}")
    print(f"{name}: its SHA-256 is that of the row")
    if known[-1] is not rows[-1]:
        print("  but it is an earlier version: a later row replaced it")


def root_of(name, row, place, rows, path):
    """RFC 9162, 2.1.3.2."""
    need(isinstance(place, int) and 0 <= place < rows, "there is no such row in the seal")
    found, at, last = digest(name, b"\x00" + row.encode()), place, rows - 1
    for beside in map(bytes.fromhex, path):
        need(last > 0, "the path is too long")
        if at % 2 or at == last:
            found = digest(name, b"\x01" + beside + found)
            while at % 2 == 0 and at:
                at, last = at // 2, last // 2
        else:
            found = digest(name, b"\x01" + found + beside)
        at, last = at // 2, last // 2
    need(last == 0, "the path is too short")
    return found.hex()


def head(name, day, rows, link):
    text = f"hotline recordings\n{day}\n{rows}\n{link['root']}\n{link['previous']}\n"
    return digest(name, text.encode()).hex()


def signed_text(seal):
    sm3 = seal["sm3"]["head"] if seal["sm3"] else ""
    return f"hotline recordings signed\n{seal['day']}\n{seal['head']}\n{sm3}\n".encode()


def digest(name, content):
    return hashlib.new(name, content).digest()


def has_sm3():
    return "sm3" in hashlib.algorithms_available


def key_id(public_key):
    return hashlib.sha256(bytes.fromhex(public_key)).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
