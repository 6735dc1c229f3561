"""What Asterisk leaves out: a header that is absent is as one that is empty, and each header is read by its own name.

Told with every recorded stream, event by event and header by header. And what is not ours: the same event under another
channel's name, in another context, at another time, changes nothing but what it says.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from telephony.channels import AsteriskState, Calls, Message, pressed
from tests.telephony.test_calls import NUMBERS, RECORDED, joined_early, lists

CALLBACKS = RECORDED.parent / "callback"
STREAMS = sorted(
    [*RECORDED.glob("*.jsonl"), *(p for p in CALLBACKS.glob("*.jsonl") if "_status" not in p.stem)]
)
LISTS = sorted(CALLBACKS.glob("*_status.jsonl"))
NOW = 1_800_000_000_000_000


def messages(path: Path) -> list[Message]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if "Timestamp" in line]


def state(calls: Calls) -> str:
    return repr({name: value for name, value in vars(calls).items() if name != "numbers"})


def read(stream: Iterable[Message]) -> tuple[list[Any], str]:
    calls = Calls(NUMBERS)
    return [fact for message in stream for fact in calls.read(message)], state(calls)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_an_absent_header_is_as_an_empty_one(path: Path) -> None:
    stream = messages(path)
    for n, message in enumerate(stream):
        for header in message.keys() - {"Privilege", "Event"}:
            without = {name: value for name, value in message.items() if name != header}
            absent = read([*stream[:n], without, *stream[n + 1 :]])
            empty = read([*stream[:n], {**message, header: ""}, *stream[n + 1 :]])
            assert absent == empty, f"{n}: {message['Event']} without {header}"


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_an_event_without_its_name_says_nothing(path: Path) -> None:
    for message in messages(path):
        for missing in ("Event", "Timestamp", "Privilege"):
            without = {name: value for name, value in message.items() if name != missing}
            assert Calls(NUMBERS).read(without) == []


def listed(entries: list[Message], contacts: list[Message]) -> tuple[AsteriskState, str]:
    calls = Calls(NUMBERS)
    return calls.snapshot(entries, contacts, NOW), state(calls)


def lists_of(path: Path | None) -> tuple[list[Message], list[Message]]:
    if path is None:
        return lists()
    return [json.loads(line) for line in path.read_text().splitlines()], []


@pytest.mark.parametrize(
    "path", [None, *LISTS], ids=lambda path: path.stem if path is not None else "snapshot"
)
def test_in_the_lists_too(path: Path | None) -> None:
    entries, contacts = lists_of(path)
    for n, entry in enumerate(entries):
        for header in entry:
            without = {name: value for name, value in entry.items() if name != header}
            absent = listed([*entries[:n], without, *entries[n + 1 :]], contacts)
            empty = listed([*entries[:n], {**entry, header: ""}, *entries[n + 1 :]], contacts)
            assert absent == empty, f"{n}: without {header}"
    for n, entry in enumerate(contacts):
        for header in entry:
            without = {name: value for name, value in entry.items() if name != header}
            absent = listed(entries, [*contacts[:n], without, *contacts[n + 1 :]])
            empty = listed(entries, [*contacts[:n], {**entry, header: ""}, *contacts[n + 1 :]])
            assert absent == empty, f"{n}: without {header}"


def test_an_early_join_without_a_header() -> None:
    *before, early = joined_early()
    calls = Calls(NUMBERS)
    for message in before:
        calls.read(message)
    needed = {
        "Event",
        "DestType",
        "TransfereeUniqueid",
        "SecondTransfererUniqueid",
        "TransfereeChannel",
    }
    found = calls.joined_early(early)
    assert found is not None
    for header in early:
        without = {name: value for name, value in early.items() if name != header}
        assert calls.joined_early(without) == (None if header in needed else found), header


def early_of_a_callback() -> tuple[list[Message], Message, list[Message]]:
    """The recorded attended transfer from a callback, joined while the colleague's phone still rings."""
    stream = messages(CALLBACKS / "handed_on_attended.jsonl")
    at = next(n for n, one in enumerate(stream) if one["Event"] == "AttendedTransfer")
    told = {name: value for name, value in stream[at].items() if "TransferTarget" not in name}
    return stream[:at], told | {"DestType": "App", "DestApp": "Dial"}, stream[at:]


def test_an_early_join_from_a_callback() -> None:
    before, early, _ = early_of_a_callback()
    calls = Calls(NUMBERS)
    for message in before:
        calls.read(message)
    found = calls.joined_early(early)
    assert found is not None
    citizen = early["TransfereeUniqueid"]
    rings = {m["Channel"] for m in before if m.get("Channel", "").startswith("PJSIP/1003-")}
    assert (found.call, found.to, {found.ringing}) == (citizen, "1003", rings)
    assert calls.joined_early({**early, "TransfereeChannel": "PJSIP/outbound-0000dead"}) is None
    # Before the citizen has answered there is nobody to transfer.
    calls = Calls(NUMBERS)
    for message in before:
        if not (message.get("Uniqueid") == citizen and message.get("ChannelState") == "6"):
            calls.read(message)
    assert calls.joined_early(early) is None


KEY = {
    "Event": "DTMFEnd",
    "Privilege": "dtmf,all",
    "Timestamp": "1763731200.000000",
    "Channel": "PJSIP/trunk-00000001",
    "Uniqueid": "hotline-1.1",
    "Digit": "5",
    "Direction": "Received",
}


def test_a_key_is_one_of_the_citizens() -> None:
    assert pressed(KEY) == ("hotline-1.1", "5")
    for header in KEY:
        without = {name: value for name, value in KEY.items() if name != header}
        assert pressed(without) is None, header
    for change in (
        {"Event": "DTMFBegin"},
        {"Direction": "Sent"},
        {"Channel": "PJSIP/1001-00000001"},
        {"Timestamp": "soon"},
        {"Uniqueid": ""},
        {"Digit": ""},
        {"Digit": "55"},
    ):
        assert pressed(KEY | change) is None, change
