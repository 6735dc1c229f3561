"""The ids of calls and of callbacks' attempts: one grammar, made and read here alone. Pure.

    hotline-1763731200.17    a call: the node, the second in which its channel began, Asterisk's running number
    hotline-c7.1             an attempt: the node, `c` and the callback's number, the running number of the attempt
    hotline-r1763731200.88   a call that was refused before it had a channel: the node, `r` and the second, a checksum
    hotline-p1763731200123456.1   a leg of ours beside a talk: the node, a letter and a number, the running number

Asterisk makes the first (`systemname` in asterisk.conf is the node's name), the floor the second; the third is of the
SIP Call-ID. The letter of the fourth says what the leg is for (`leg_of_ours`). An id names files and channels, so
nothing that is not exactly an id gets into a path or an action.
"""

import re
import zlib

from facts.terms import CallId

LONGEST = 80
"""Characters that the tables hold of a call's id: twice what the grammar allows."""

BEGUN_HERE = "cpld"
"""The letters of the channels that this program begins: attempts, and the legs of `leg_of_ours`."""

_NODE = r"[a-z][a-z0-9]{0,15}"
_NODE_NAME = re.compile(_NODE)
_CALL = re.compile(rf"{_NODE}-([0-9]{{1,11}})\.[0-9]{{1,10}}")
_REFUSED = re.compile(rf"{_NODE}-r[0-9]{{1,11}}\.[0-9]{{1,10}}")
_ATTEMPT = re.compile(rf"{_NODE}-c([0-9]{{1,12}})\.([0-9]{{1,9}})")
PARTY = re.compile(rf"{_NODE}-p[0-9]{{1,18}}")
"""A third party in a talk (`party_id`)."""
_OURS = re.compile(rf"{_NODE}-([pld])[0-9]{{1,18}}\.[0-9]{{1,9}}")


def is_call_id(text: str) -> bool:
    """Say whether `text` is the id of a call, or of an attempt, and nothing else."""
    return any(grammar.fullmatch(text) for grammar in (_CALL, _ATTEMPT, _REFUSED))


def is_attempt(text: str) -> bool:
    """Say whether `text` is the id of a callback's attempt, and nothing else.

    Asterisk records it on the agent's channel, so in its raw file the agent is left, and the citizen right.
    """
    return _ATTEMPT.fullmatch(text) is not None


def is_node(text: str) -> bool:
    """Say whether a node may have this name: up to 16 small letters and digits, a letter first."""
    return _NODE_NAME.fullmatch(text) is not None


def attempt_id(node: str, callback: int, tries: int) -> CallId:
    """Name an attempt: `attempt_id("hotline", 7, 1)` → `hotline-c7.1`."""
    return f"{node}-c{callback}.{tries}"


def listener_id(node: str, second: int, number: int) -> str:
    """Name the leg of a supervisor who is rung to listen: `hotline-l1763731200.3`."""
    return f"{node}-l{second}.{number}"


def party_id(node: str, asked: int) -> str:
    """Name a third party in a talk: `party_id("hotline", 1763731200123456)` → `hotline-p1763731200123456`.

    `asked`: when they were asked for, microseconds; no two of a node are the same.
    """
    return f"{node}-p{asked}"


def party_leg(party: str, tries: int) -> str:
    """The Uniqueid of a party's leg: `hotline-p1763731200123456.1`."""
    return f"{party}.{tries}"


def party_of(text: str) -> str:
    """The third party whose leg has this Uniqueid; empty for any other channel."""
    return text.rpartition(".")[0] if leg_of_ours(text) == "p" else ""


def leg_of_ours(text: str) -> str:
    """What a leg is for that this program has begun beside a talk, by its Uniqueid; empty for any other channel.

    `p` a third party in a talk, `l` a listener, `d` a leg that was dialled for an agent.
    """
    found = _OURS.fullmatch(text) if "-" in text else None
    return found[1] if found is not None else ""


def in_attempts_of(callback: int) -> str:
    """What stands in the ids of a callback's attempts, on any node: `-c7.`."""
    return f"-c{callback}."


def refused_id(node: str, second: int, sip_call: str) -> CallId:
    """Name a call that had no channel, by its SIP Call-ID: `hotline-r1763731200.88`."""
    return f"{node}-r{second}.{zlib.crc32(sip_call.encode(errors='replace'))}"


def callback_of(call: CallId) -> int:
    """The callback of an attempt, `hotline-c7.1` → 7; 0 for any other call."""
    found = _ATTEMPT.fullmatch(call)
    return int(found[1]) if found is not None else 0


def try_of(call: CallId) -> int:
    """The running number of an attempt, `hotline-c7.2` → 2; 0 for any other call."""
    found = _ATTEMPT.fullmatch(call)
    return int(found[2]) if found is not None else 0


def second_of(call: CallId) -> int:
    """The second since 1970 in which a call's channel began; 0 for an attempt or an invalid id."""
    found = _CALL.fullmatch(call)
    return int(found[1]) if found is not None else 0
