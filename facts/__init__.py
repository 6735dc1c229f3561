"""Facts: what happened, in the past tense. Each is one row of the diary, and each is fed to the floor. Pure.

Every fact has `at`, microseconds UTC, first. A fact about a call has `call`, one about a person has `agent`.
Facts are immutable and compare by value, so that a test reads like a diary. `from facts import CallArrived` is how they
are named everywhere.

calls       a citizen's call
offers      its offer to an agent, and their talk
in_talk     what is done within a talk
callbacks   a task to call a citizen
agents      an agent and their phone
parties     a third party in a talk
recordings  the recording of a call
surveys     the citizen's rating, and why an agent hung up first
alerts      the red button
supervised  what a supervisor decides for a waiting caller
supervise   a supervisor in another agent's talk
centre      the controller and its link to Asterisk
record      all of them together: kinds, JSON, rows
live        the live state that the controller shows
requests    what the controller is asked to do, and its reply
control     what it is asked about a talk, and why that is refused
terms       the words that facts are made of: reasons, outcomes
hang_ups    why an agent may hang up first
ids         the ids of calls and of callbacks' attempts
numbers     telephone numbers: a caller's in one form, which may be dialled, agents' and the hotline's
masking     what of a number, a name or a secret may be read
causes      why a leg was hung up (Q.850)
dialling    what kind of number one is: a subscriber at home, an emergency call
endpoints   the trunk and the way out, as Asterisk names them
times       microseconds, and days in China
values      what facts and their words are made with: quick dataclasses, quick enumerations
calendar    China's working calendar
"""

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
from facts.record import ATTENDANCE, ATTENDANCE_KINDS, KINDS, Fact, as_json, details, restore
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

__all__ = [
    "ATTENDANCE",
    "ATTENDANCE_KINDS",
    "KINDS",
    "AgentAdded",
    "AgentNotResponding",
    "AgentOut",
    "AgentPaused",
    "AgentReady",
    "AgentRemoved",
    "AlertAcknowledged",
    "AlertEscalated",
    "AlertRaised",
    "CallArrived",
    "CallDetached",
    "CallEnded",
    "CallMarked",
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
    "CallerAsked",
    "CallerAssigned",
    "CallerBroughtForward",
    "CallerFound",
    "ControllerStarted",
    "ControllerStopped",
    "DialRefused",
    "Fact",
    "HangUpExplained",
    "LinkLost",
    "LinkRestored",
    "OfferAnswered",
    "OfferEnded",
    "OfferMade",
    "OfferRinging",
    "OwnCallEnded",
    "OwnCallStarted",
    "PartyAnswered",
    "PartyAsked",
    "PartyFailed",
    "PartyJoined",
    "PartyLeft",
    "PartyMuted",
    "PartyUnmuted",
    "PhoneLost",
    "PhoneReachable",
    "PhoneUnreachable",
    "PlaceRestored",
    "RecordingFinished",
    "RecordingMissing",
    "RecordingPaused",
    "RecordingResumed",
    "SupervisionChanged",
    "SupervisionEnded",
    "SupervisionStarted",
    "SurveyEnded",
    "SurveyHandedOver",
    "SurveyLinked",
    "SurveyOffered",
    "SurveyRated",
    "TalkEnded",
    "TalkHeld",
    "TalkMuted",
    "TalkResumed",
    "TalkStopped",
    "TalkUnmuted",
    "WrapUpEnded",
    "WrapUpStarted",
    "as_json",
    "details",
    "restore",
]
