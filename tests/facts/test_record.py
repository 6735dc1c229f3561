"""How facts are stored: a class may be renamed, but what is in somebody's database is read for ever."""

from dataclasses import fields
from typing import Any

import pytest

from facts import (
    ATTENDANCE,
    ATTENDANCE_KINDS,
    KINDS,
    CallArrived,
    CallEnded,
    Fact,
    as_json,
    details,
    restore,
)
from facts.terms import Party

STORED = {
    "AgentAdded",
    "AgentNotResponding",
    "AgentOut",
    "AgentPaused",
    "AgentReady",
    "AgentRemoved",
    "CallArrived",
    "CallDetached",
    "CallEnded",
    "CallerAsked",
    "CallerFound",
    "CallMoved",
    "CallOverflowed",
    "CallQueued",
    "CallRefused",
    "CallReleased",
    "CallReturned",
    "CallSentOutside",
    "CallSilent",
    "CallTransferred",
    "CallbackAdded",
    "CallbackAnswered",
    "CallbackAsked",
    "CallbackCancelled",
    "CallbackDialling",
    "CallbackEnded",
    "CallbackMerged",
    "CallbackMissed",
    "CallbackPlaced",
    "CallbackRaced",
    "CallbackReopened",
    "CallbackSpared",
    "CallbackUnreached",
    "CallbackYielded",
    "ControllerStarted",
    "ControllerStopped",
    "DialRefused",
    "LinkLost",
    "LinkRestored",
    "OfferAnswered",
    "OfferEnded",
    "OfferMade",
    "OfferRinging",
    "OwnCallEnded",
    "OwnCallStarted",
    "PhoneLost",
    "PhoneReachable",
    "PhoneUnreachable",
    "PlaceRestored",
    "RecordingFinished",
    "RecordingMissing",
    "RecordingPaused",
    "RecordingResumed",
    "TalkEnded",
    "TalkHeld",
    "TalkResumed",
    "WrapUpEnded",
    "WrapUpStarted",
}
"""Every kind that a version of this program has written. A new one is added, none is ever taken away."""


def test_every_kind_that_was_ever_stored_is_read() -> None:
    assert set(KINDS) >= STORED


def test_no_two_facts_have_one_kind() -> None:
    assert len(KINDS) == len(set(KINDS.values()))
    assert all(kind == fact.kind for kind, fact in KINDS.items())


def test_the_kind_is_stored_and_not_the_name_of_the_class() -> None:
    fact = CallEnded(7, "n-1.1", Party.CALLER, 16)
    CallEnded.__name__ = "CallFinished"
    try:
        assert as_json(fact)["kind"] == fact.kind == "CallEnded"
    finally:
        CallEnded.__name__ = "CallEnded"
    assert restore("CallEnded", 7, "n-1.1", "", {"hung_up_by": "caller", "cause": 16}) == fact


def test_a_row_of_an_older_program_has_fewer_fields() -> None:
    assert restore("CallArrived", 7, "n-1.1", "", {"number": "12345", "caller": ""}) == CallArrived(
        7, "n-1.1", "12345", ""
    )


def test_a_row_of_a_newer_program_has_more() -> None:
    more: dict[str, Any] = {"hung_up_by": "agent", "cause": 0, "colour": "red"}
    assert restore("CallEnded", 7, "n-1.1", "", more) == CallEnded(7, "n-1.1", Party.AGENT)
    with pytest.raises(KeyError):
        restore("CallPainted", 7, "n-1.1", "", {})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_stored_beside_the_columns(kind: str) -> None:
    names = [field.name for field in fields(KINDS[kind])]
    assert names[0] == "at"
    assert "kind" not in names
    assert set(details(_any(kind))) == set(names) - {"at", "call", "agent"}


def test_attendance_is_named_once() -> None:
    assert {fact.kind for fact in ATTENDANCE} == ATTENDANCE_KINDS


def _any(kind: str) -> Fact:
    return KINDS[kind](*range(len(fields(KINDS[kind]))))
