"""All facts together, and how one becomes a row of the diary and a fact again. Pure.

A fact is stored under its `kind`, which is part of the fact and not the name of its class: a class may be renamed, and
every database goes on being read.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias, get_args, get_type_hints

from facts.agents import (
    AgentAdded,
    AgentNotResponding,
    AgentOut,
    AgentPaused,
    AgentReady,
    AgentRemoved,
    OwnCallEnded,
    OwnCallStarted,
    PhoneReachable,
    PhoneUnreachable,
    WrapUpEnded,
    WrapUpStarted,
)
from facts.alerts import AlertAcknowledged, AlertEscalated, AlertRaised
from facts.callbacks import (
    CallbackAdded,
    CallbackAnswered,
    CallbackAsked,
    CallbackCancelled,
    CallbackDialling,
    CallbackEnded,
    CallbackMerged,
    CallbackMissed,
    CallbackPlaced,
    CallbackRaced,
    CallbackReopened,
    CallbackSpared,
    CallbackUnreached,
    CallbackYielded,
    DialRefused,
)
from facts.calls import (
    CallArrived,
    CallDetached,
    CallEnded,
    CallerAsked,
    CallerFound,
    CallMoved,
    CallOverflowed,
    CallQueued,
    CallRefused,
    CallReleased,
    CallReturned,
    CallSentOutside,
    CallSilent,
    CallTransferred,
    PlaceRestored,
)
from facts.centre import ControllerStarted, ControllerStopped, LinkLost, LinkRestored
from facts.in_talk import CallMarked, TalkMuted, TalkUnmuted
from facts.live import Json
from facts.offers import (
    OfferAnswered,
    OfferEnded,
    OfferMade,
    OfferRinging,
    PhoneLost,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.parties import (
    PartyAnswered,
    PartyAsked,
    PartyFailed,
    PartyJoined,
    PartyLeft,
    PartyMuted,
    PartyUnmuted,
)
from facts.recordings import (
    RecordingFinished,
    RecordingMissing,
    RecordingPaused,
    RecordingResumed,
)
from facts.supervise import (
    SupervisionChanged,
    SupervisionEnded,
    SupervisionStarted,
    TalkStopped,
)
from facts.supervised import CallerAssigned, CallerBroughtForward
from facts.surveys import (
    HangUpExplained,
    SurveyEnded,
    SurveyHandedOver,
    SurveyLinked,
    SurveyOffered,
    SurveyRated,
)

Fact: TypeAlias = (
    CallArrived
    | CallQueued
    | CallDetached
    | CallReturned
    | CallReleased
    | CallOverflowed
    | CallEnded
    | CallRefused
    | PlaceRestored
    | CallMoved
    | CallerAssigned
    | CallerBroughtForward
    | AlertRaised
    | AlertAcknowledged
    | AlertEscalated
    | CallSentOutside
    | CallSilent
    | CallerAsked
    | CallerFound
    | CallTransferred
    | CallbackAdded
    | CallbackMerged
    | CallbackPlaced
    | CallbackDialling
    | CallbackAnswered
    | CallbackEnded
    | CallbackYielded
    | CallbackSpared
    | CallbackRaced
    | CallbackReopened
    | CallbackCancelled
    | CallbackUnreached
    | CallbackMissed
    | CallbackAsked
    | DialRefused
    | OfferMade
    | OfferRinging
    | OfferAnswered
    | OfferEnded
    | PhoneLost
    | TalkEnded
    | TalkHeld
    | TalkResumed
    | AgentAdded
    | AgentRemoved
    | AgentReady
    | AgentPaused
    | AgentOut
    | PhoneReachable
    | PhoneUnreachable
    | OwnCallStarted
    | OwnCallEnded
    | AgentNotResponding
    | WrapUpStarted
    | WrapUpEnded
    | PartyAsked
    | PartyAnswered
    | PartyJoined
    | PartyMuted
    | PartyUnmuted
    | PartyFailed
    | PartyLeft
    | RecordingFinished
    | RecordingMissing
    | RecordingPaused
    | RecordingResumed
    | SurveyHandedOver
    | SurveyOffered
    | SurveyRated
    | SurveyEnded
    | SurveyLinked
    | HangUpExplained
    | SupervisionStarted
    | SupervisionChanged
    | SupervisionEnded
    | TalkStopped
    | ControllerStarted
    | ControllerStopped
    | LinkLost
    | LinkRestored
    | CallMarked
    | TalkMuted
    | TalkUnmuted
)

KINDS: dict[str, type[Fact]] = {kind.kind: kind for kind in get_args(Fact)}
"""Every kind of fact by the name that is stored with it."""

ATTENDANCE: frozenset[type[Fact]] = frozenset(
    {AgentReady, AgentPaused, AgentOut, AgentRemoved, PhoneReachable, PhoneUnreachable}
)
"""The facts that say when an agent was signed in: what they ask for, and whether their phone is registered."""

ATTENDANCE_KINDS = frozenset(kind.kind for kind in ATTENDANCE)
"""The same by their names in the diary."""

_HINTS: dict[type, dict[str, Any]] = {kind: get_type_hints(kind) for kind in KINDS.values()}
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(field.name for field in fields(kind) if field.name not in {"at", "call", "agent"})
    for kind in KINDS.values()
}


def details(fact: Fact) -> dict[str, Json]:
    """The fields beside `at`, `call` and `agent`, ready for JSON."""
    return {name: getattr(fact, name) for name in _FIELDS[type(fact)]}


def as_json(fact: Fact) -> dict[str, Json]:
    """A fact as programs and screens get it: `at`, `kind`, `call` and `agent` (empty: none), and its own fields."""
    return {
        "at": fact.at,
        "kind": fact.kind,
        "call": getattr(fact, "call", ""),
        "agent": getattr(fact, "agent", ""),
        **details(fact),
    }


def restore(kind: str, at: int, call: str, agent: str, more: Mapping[str, Json]) -> Fact:
    """Make a fact again from its diary row. Raises `KeyError` for a kind that this version does not know."""
    cls = KINDS[kind]
    hints = _HINTS[cls]
    values: dict[str, Any] = {"at": at}
    if "call" in hints:
        values["call"] = call
    if "agent" in hints:
        values["agent"] = agent
    for name, value in more.items():
        if name in hints:
            values[name] = hints[name](value)
    return cls(**values)
