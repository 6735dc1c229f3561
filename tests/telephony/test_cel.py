"""Asterisk's own record → what the diary misses. Recorded beside the AMI streams of test_calls, by shape of call."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facts import (
    CallArrived,
    CallEnded,
    CallOverflowed,
    CallQueued,
    CallRefused,
    CallTransferred,
    Fact,
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    TalkEnded,
)
from facts.terms import OfferReason, Party
from facts.times import SECOND
from telephony.cel import CelEvent, complete, parse
from telephony.cel_file import begins, read_since
from tests.telephony.test_calls import NUMBERS, folded, recorded, told

CEL = Path(__file__).parents[1] / "fixtures" / "cel"
WITH_CEL = sorted(path.stem for path in CEL.glob("*.csv"))
CALLS = [shape for shape in WITH_CEL if shape not in ("feature_code", "own_call", "snapshot")]
CALL_FACTS = (
    CallArrived,
    CallOverflowed,
    CallTransferred,
    CallEnded,
    OfferRinging,
    OfferAnswered,
    OfferEnded,
    TalkEnded,
)
BLIND = {"phone_gone_silent", "unavailable", "line_breaks_in_number"}
"""Where CEL cannot know what AMI tells: that no 180 ever came; and it keeps line breaks that the link takes out."""


def events(shape: str) -> tuple[CelEvent, ...]:
    reading = read_since(CEL / f"{shape}.csv", 0)
    assert reading.garbage == 0
    return reading.events


def missing(seen: Iterable[CelEvent], known: Iterable[Fact] = ()) -> list[Fact]:
    return complete(seen, known, numbers=NUMBERS)


def from_ami(shape: str) -> list[Fact]:
    return [fact for fact in folded(recorded(shape)) if isinstance(fact, CALL_FACTS)]


def outcome(facts: Iterable[Fact]) -> list[str]:
    """What the reports count, without causes and estimates."""
    exact = [
        replace(fact, estimated=False)
        if isinstance(fact, OfferRinging)
        else replace(fact, cause=0)
        if isinstance(fact, CallEnded)
        else fact
        for fact in facts
    ]
    return sorted(told(exact))


@pytest.mark.parametrize("shape", CALLS)
def test_cel_alone_tells_the_same_story(shape: str) -> None:
    from_cel = outcome(missing(events(shape)))
    if shape in BLIND:
        assert len(from_cel) >= len(from_ami(shape))
    elif shape in ("busy_after_ringing", "declined"):
        # Whether a refusing phone rang first is not in CEL.
        assert from_cel == [line for line in outcome(from_ami(shape)) if "Ringing" not in line]
    else:
        assert from_cel == outcome(from_ami(shape))


@pytest.mark.parametrize("shape", CALLS)
def test_what_ami_told_is_not_told_again(shape: str) -> None:
    assert missing(events(shape), from_ami(shape)) == []


@pytest.mark.parametrize("shape", WITH_CEL)
def test_a_second_time_adds_nothing(shape: str) -> None:
    first = missing(events(shape))
    assert missing(events(shape), first) == []


@pytest.mark.parametrize("shape", ["feature_code", "own_call"])
def test_agents_own_calls_are_no_calls_of_citizens(shape: str) -> None:
    assert missing(events(shape)) == []


@settings(max_examples=300)
@given(st.sampled_from([shape for shape in CALLS if shape not in BLIND]), st.data())
def test_a_controller_that_was_away_misses_nothing(shape: str, data: st.DataObject) -> None:
    """Killed after any fact and back after any other: diary and CEL together have the whole story, once."""
    story = from_ami(shape)
    died = data.draw(st.integers(0, len(story)))
    back = data.draw(st.integers(died, len(story)))
    diary = [*story[:died], *story[back:]]
    added = missing(events(shape), diary)
    assert missing(events(shape), [*diary, *added]) == []
    whole = sorted([*diary, *added], key=lambda fact: fact.at)
    expected = outcome(story)
    if shape in ("busy_after_ringing", "declined"):
        expected = [line for line in expected if "Ringing" not in line]
        assert [line for line in outcome(whole) if "Ringing" not in line] == expected
    else:
        assert outcome(whole) == expected


@pytest.mark.parametrize("shape", CALLS)
def test_a_kill_in_the_middle_of_the_file(shape: str) -> None:
    """Only the end of CEL is read: what the diary had before is not doubled."""
    story = from_ami(shape)
    for cut in range(len(story)):
        since = story[cut].at
        added = missing([event for event in events(shape) if event.at >= since], story[: cut + 1])
        counted = Counter(told([*story[: cut + 1], *added]))
        assert counted["CallEnded #1 caller"] <= 1
        assert sum(1 for fact in added if isinstance(fact, CallEnded)) <= 1
        assert not [fact for fact in added if isinstance(fact, CallArrived)]


def test_events_of_calls_that_had_ended_before_are_left_alone() -> None:
    tail = [event for event in events("answered_caller_hangs_up") if event.kind != "CHAN_START"]
    assert missing(tail) == []


def test_an_estimated_ring_says_so() -> None:
    (ring,) = [
        f for f in missing(events("answered_caller_hangs_up")) if isinstance(f, OfferRinging)
    ]
    assert ring.estimated


def test_a_phone_that_was_asked_after_the_offers_end_did_not_ring() -> None:
    """The caller left in the moment of the offer: the floor ends it before the phone's channel is made."""
    facts = from_ami("gives_up_ringing")
    (rang,) = [fact for fact in missing(events("gives_up_ringing")) if fact.kind == "OfferRinging"]
    for early, expected in ((1, ["OfferRinging"]), (0, []), (-100, [])):
        known = [
            replace(fact, at=rang.at + early) if isinstance(fact, OfferEnded) else fact
            for fact in facts
            if not isinstance(fact, OfferRinging)
        ]
        found = missing(events("gives_up_ringing"), known)
        assert [fact.kind for fact in found] == expected


def test_a_withheld_number_is_not_taken_from_the_line_before_the_answer() -> None:
    told = [
        replace(event, number="") if event.kind != "CHAN_START" else event
        for event in events("gives_up_waiting")
    ]
    (arrived,) = [fact for fact in missing(told) if isinstance(fact, CallArrived)]
    assert arrived.caller == ""


def test_other_numbers_are_not_the_hotlines() -> None:
    assert complete(events("answered_caller_hangs_up"), [], numbers=("999",)) == []


# --- Asterisk itself died


def test_a_call_that_vanished_without_a_trace_is_ended() -> None:
    known: list[Fact] = [
        CallArrived(1, "a", "12345", ""),
        CallQueued(2, "a", "default"),
        OfferMade(3, "a", "1001"),
        OfferRinging(4, "a", "1001"),
        OfferAnswered(5, "a", "1001"),
        CallArrived(6, "b", "12345", ""),
        OfferMade(7, "b", "1002"),
        CallArrived(8, "c", "12345", ""),
        CallEnded(9, "c", Party.CALLER),
        CallArrived(10, "d", "12345", ""),
        CallArrived(11, "e", "12345", ""),
        CallRefused(12, "e", 488),
    ]
    added = complete([], known, numbers=NUMBERS, alive={"d"}, now=100)
    assert added == [
        TalkEnded(100, "a", "1001", Party.SYSTEM),
        CallEnded(100, "a", Party.SYSTEM),
        OfferEnded(100, "b", "1002", OfferReason.CALLER_GONE),
        CallEnded(100, "b", Party.SYSTEM),
    ]
    assert complete([], [*known, *added], numbers=NUMBERS, alive={"d"}, now=200) == []


def test_thousands_of_calls_that_died_with_asterisk_hold_up_nobody() -> None:
    """Citizens are answered in the same thread. It takes a tenth of a second; call by call it took fifteen."""
    calls = 15_000
    known = [CallArrived(at, f"n-{at}.1", "12345", "") for at in range(calls)]
    began = time.perf_counter()
    assert len(complete([], known, numbers=NUMBERS, alive=(), now=calls)) == calls
    assert time.perf_counter() - began < 4


def test_half_a_record_of_a_call_that_died_with_asterisk() -> None:
    story = events("answered_caller_hangs_up")
    died = next(event.at for event in story if event.kind == "BRIDGE_ENTER")
    facts = complete(
        [event for event in story if event.at <= died], [], numbers=NUMBERS, alive=(), now=died + 1
    )
    assert [type(fact) for fact in facts] == [CallArrived, OfferRinging, OfferAnswered]
    again = complete([], facts, numbers=NUMBERS, alive=(), now=died + SECOND)
    assert [type(fact) for fact in again] == [TalkEnded, CallEnded]


# --- the file


def line(at: int, name: str = "x") -> str:
    stamp = f"{at // SECOND}.{at % SECOND:06d}"
    values = ["ANSWER", stamp, name, "l", "PJSIP/trunk-1", "1", "c", "s", "a", "p", "u", "{}"]
    return ",".join(f'"{value}"' for value in values) + "\n"


BASE = 1_763_731_200 * SECOND


def test_parse() -> None:
    got = parse('"HANGUP","1763731200.000001","u","l","c","""1""","x","e","a","p","n","{""a"":1}"')
    assert got is not None
    assert (got.at, got.number, got.extra) == (BASE + 1, '"1"', '{"a":1}')


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"',
        "garbage",
        '"a","b"',
        line(BASE)[:-5],
        "X" + line(BASE),
        line(BASE).replace("1763", "x763"),
    ],
)
def test_parse_refuses(text: str) -> None:
    assert parse(text.rstrip("\n")) is None


@given(st.text(max_size=200))
def test_parse_never_raises(text: str) -> None:
    parse(text)


def test_garbage_is_counted_and_a_half_written_last_line_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "hotline.csv"
    cut = line(BASE + 2)[:40]
    file.write_text(
        line(BASE) + "garbage\n\x00\x01\n" + cut + "\n" + line(BASE + 3) + line(BASE + 4)[:-20],
        encoding="utf-8",
    )
    reading = read_since(file, BASE)
    assert [event.at - BASE for event in reading.events] == [0, 3]
    assert reading.garbage == 3
    with file.open("a") as stream:
        stream.write(line(BASE + 4)[-20:])
    assert [event.at - BASE for event in read_since(file, BASE).events] == [0, 3, 4]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "hotline.csv"
    file.write_bytes(
        b"\xff\xfe\n" + line(BASE).encode() + b"\x80" * 200_000 + b"\n" + line(BASE + 1).encode()
    )
    reading = read_since(file, BASE)
    assert [event.at - BASE for event in reading.events] == [0, 1]


def test_a_stretch_of_a_file_ends_some_seconds_after_it(tmp_path: Path) -> None:
    old, new = tmp_path / "hotline.csv.1", tmp_path / "hotline.csv"
    old.write_text("".join(line(BASE + n * SECOND) for n in range(100)))
    new.write_text("".join(line(BASE + n * SECOND) for n in range(100, 200)))
    os.utime(old, (1, 1))
    for first, last in ((20, 40), (90, 110), (150, 160)):
        events = read_since(new, BASE + first * SECOND, BASE + last * SECOND).events
        seconds = [(event.at - BASE) // SECOND for event in events]
        assert seconds == list(range(first - 5, last + 6))
    assert begins(new) == BASE
    assert begins(tmp_path / "none.csv") == 0


def test_no_file_is_no_event(tmp_path: Path) -> None:
    assert read_since(tmp_path / "none.csv", 0).events == ()


def test_rotated_files_are_read_as_far_as_needed(tmp_path: Path) -> None:
    for index, name in enumerate(["hotline.csv-20251121", "hotline.csv.1", "hotline.csv"]):
        file = tmp_path / name
        file.write_text("".join(line(BASE + (index * 100 + n) * SECOND) for n in range(100)))
        os.utime(file, (index, index))
    (tmp_path / "hotline.csv.2.gz").write_bytes(b"\x1f\x8b garbage")
    recent = read_since(tmp_path / "hotline.csv", BASE + 250 * SECOND)
    assert len(recent.events) == 55
    assert len(read_since(tmp_path / "hotline.csv", BASE + 150 * SECOND).events) == 155
    assert len(read_since(tmp_path / "hotline.csv", 0).events) == 300
    (tmp_path / "hotline.csv").write_text("")
    assert len(read_since(tmp_path / "hotline.csv", BASE + 150 * SECOND).events) == 55


def test_a_large_file_is_read_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "hotline.csv"
    count = 400_000
    chance = random.Random(1)
    with file.open("w") as stream:
        for number in range(count):
            # Threads of Asterisk write a little out of order.
            stream.write(line(BASE + number * SECOND + chance.randrange(-SECOND, SECOND)))
            if number % 1000 == 0:
                stream.write('garbage "\n')
    since = BASE + (count - 100) * SECOND
    started = time.process_time()
    reading = read_since(file, since)
    assert time.process_time() - started < 0.2
    assert sum(1 for event in reading.events if event.at >= since) in range(98, 103)
    assert list(reading.events) == sorted(reading.events, key=lambda event: event.at)
