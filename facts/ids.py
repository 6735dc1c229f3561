"""The ids of calls and of callbacks' attempts: one grammar, made and read here alone. Pure.

    hotline-1763731200.17    a call: the node, the second in which its channel began, Asterisk's running number
    hotline-c7.1             an attempt: the node, `c` and the callback's number, the running number of the attempt
    hotline-l1763731200.3    a supervisor's leg: the node, `l` and the second, a running number; no call at all
    hotline-r1763731200.88   a call that was refused before it had a channel: the node, `r` and the second, a checksum

Asterisk makes the first (`systemname` in asterisk.conf is the node's name), the floor the second, `telephony` the
third; the last is of the SIP Call-ID. An id names files and channels, so nothing that is not exactly an id gets into a
path or an action.
"""

import re
import zlib

from facts.terms import CallId

LONGEST = 80
"""Characters that the tables hold of a call's id: twice what the grammar allows."""

_NODE = r"[a-z][a-z0-9]{0,15}"
_NODE_NAME = re.compile(_NODE)
_CALL = re.compile(rf"{_NODE}-([0-9]{{1,11}})\.[0-9]{{1,10}}")
_REFUSED = re.compile(rf"{_NODE}-r[0-9]{{1,11}}\.[0-9]{{1,10}}")
_LISTENER = re.compile(rf"{_NODE}-l[0-9]{{1,11}}\.[0-9]{{1,9}}")
_ATTEMPT = re.compile(rf"{_NODE}-c([0-9]{{1,12}})\.([0-9]{{1,9}})")


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


def is_listener(uniqueid: str) -> bool:
    """Say whether a channel of this Uniqueid is a supervisor's leg that the controller has rung."""
    return _LISTENER.fullmatch(uniqueid) is not None


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
