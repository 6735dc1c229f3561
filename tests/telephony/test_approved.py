"""Every fact of every recording, field by field and to the microsecond: no change goes unseen.

`tests/fixtures/approved/ami.txt` has what the manager's events amount to; `cel.txt` what Asterisk's own record adds,
first without any diary, then for a controller that went away at each event and had been told everything by AMI until
then; `lists.txt` what a question after a lost connection brings. When such a file must change, run this and read the
difference:

    python -m tests.telephony.test_approved
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from facts import Fact
from telephony.cel import CelEvent, complete, seen
from telephony.cel_file import read_since
from telephony.channels import Calls, microseconds
from tests.telephony.test_callbacks import RECORDED as CALLBACKS
from tests.telephony.test_callbacks import recorded as recorded_callback
from tests.telephony.test_calls import NUMBERS, RECORDED, folded
from tests.telephony.test_calls import recorded as recorded_call

FIXTURES = RECORDED.parent
APPROVED = FIXTURES / "approved"
SHAPES = [f"ami/{path.stem}" for path in sorted(RECORDED.glob("*.jsonl"))] + [
    f"callback/{path.stem}"
    for path in sorted(CALLBACKS.glob("*.jsonl"))
    if "_status" not in path.stem
]


def by_ami(shape: str) -> list[Fact]:
    kind, _, name = shape.partition("/")
    messages = recorded_call(name) if kind == "ami" else recorded_callback(name)
    return folded(message for message in messages if "Timestamp" in message)


def events(shape: str) -> list[CelEvent]:
    kind, _, name = shape.partition("/")
    folder = "cel" if kind == "ami" else kind
    return list(read_since(FIXTURES / folder / f"{name}.csv", 0).events)


def line(fact: Fact, since: int) -> str:
    fields = asdict(fact)
    at = fields.pop("at") - since
    told = (f"{name}={value}" for name, value in fields.items() if value not in ("", False, 0))
    return f"  {at:+9} {fact.kind} {' '.join(told)}"


def ami() -> Iterator[str]:
    for shape in SHAPES:
        facts = by_ami(shape)
        yield shape
        yield from (line(fact, facts[0].at) for fact in facts)


def cel() -> Iterator[str]:
    for shape in SHAPES:
        read, told = events(shape), by_ami(shape)
        if not read:
            continue
        since, before = read[0].at, ""
        for n in range(len(read) + 1):
            known = [fact for fact in told if n and fact.at <= read[n - 1].at]
            # The file is read from a little earlier than the moment that is known.
            added = complete(read[max(0, n - 2) :], known, numbers=NUMBERS)
            text = "\n".join(line(fact, since) for fact in added)
            if text != before:
                yield f"{shape} from event {n}"
                yield text or "  nothing"
            before = text
        gone = complete([], told[: len(told) // 2], numbers=NUMBERS, alive=(), now=since + 9)
        if gone:
            yield f"{shape} when Asterisk died in the middle"
            yield from (line(fact, since) for fact in gone)
    yield from died()
    yield from together()


def died() -> Iterator[str]:
    """Asterisk dies after each event, with no end of anything in its record."""
    for shape in SHAPES:
        read, before = events(shape), ""
        for n in range(len(read)):
            known = [fact for fact in by_ami(shape)[:3] if fact.at <= read[n].at]
            gone = complete(read[: n + 1], known, numbers=NUMBERS, alive=(), now=read[n].at + 9)
            text = "\n".join(line(fact, read[0].at) for fact in gone)
            if text != before:
                yield f"{shape} when Asterisk died after event {n}"
                yield text or "  nothing"
            before = text


def together() -> Iterator[str]:
    """All calls in one record, of which the diary knows every second one."""
    for kind in ("ami", "callback"):
        shapes = [shape for shape in SHAPES if shape.startswith(kind) and events(shape)]
        read = [event for shape in shapes for event in events(shape)]
        known = [fact for shape in shapes[::2] for fact in by_ami(shape)]
        yield f"{kind}: all together"
        yield from (line(fact, 0) for fact in complete(read, known, numbers=NUMBERS))
        for call, told in seen(read, NUMBERS).items():
            answered = told.answers[0].at if told.answers else 0
            yield f"  {call} {told.arrived} {answered} {told.ended}"


def lists() -> Iterator[str]:
    """What a start finds, and what a reconnection in the middle of a call finds."""
    for path in [RECORDED / "snapshot.jsonl", *sorted(CALLBACKS.glob("*_status.jsonl"))]:
        entries = [json.loads(text) for text in path.read_text().splitlines()]
        channels = [one for one in entries if one.get("Event", "Status") == "Status"]
        contacts = [one for one in entries if one.get("Event") == "ContactList"]
        stream = [one for one in entries if "Timestamp" in one]
        if not stream:
            stream = recorded_callback(path.stem.removesuffix("_status"))
        now = microseconds(stream[-1]["Timestamp"])
        for n in (0, len(stream) // 2, len(stream)):
            calls = Calls(NUMBERS)
            folded(stream[:n], calls)
            yield f"{path.stem} after {n} events"
            for count in range(2):
                found = calls.snapshot(channels, contacts, now + count)
                yield from (line(fact, now) for fact in found.facts)
                for name in ("waiting", "ringing", "talking", "attempts"):
                    yield from (f"  {name} {one}" for one in getattr(found, name))
                yield f"  alive {sorted(found.alive)} channels {sorted(calls.channels())}"


WRITERS = {"ami.txt": ami, "cel.txt": cel, "lists.txt": lists}


@pytest.mark.parametrize("name", WRITERS)
def test_as_approved(name: str) -> None:
    assert list(_lines(name)) == (APPROVED / name).read_text().splitlines()


def _lines(name: str) -> Iterator[str]:
    for text in WRITERS[name]():
        yield from text.splitlines()


if __name__ == "__main__":
    for written in WRITERS:
        Path(APPROVED / written).write_text("\n".join(_lines(written)) + "\n")
