"""Every second of a talk is in the file, or an entry says why not; what falls short is named with call and agent."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from facts import (
    CallArrived,
    CallbackAnswered,
    CallbackDialling,
    CallbackEnded,
    CallbackPlaced,
    CallEnded,
    CallerAsked,
    CallerFound,
    CallRefused,
    CallSilent,
    Fact,
    OfferAnswered,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
    TalkHeld,
    TalkResumed,
)
from facts.terms import Party, PauseWhy
from facts.times import SECOND
from recorder.audit import (
    LATE,
    LOOKED,
    AuditFinding,
    AuditKind,
    Examined,
    FileState,
    KeptSound,
    Levels,
    Unrecorded,
    WhyUnrecorded,
    examine,
)
from recorder.policy import GAP, GRACE, TOLERANCE, RecordingState
from tests.recorder.conftest import NOW, a_call, call_id

CALL = call_id(1)
BEGAN = NOW - 3_620 * SECOND
"""A call of twenty seconds, ten with each of two agents, an hour ago."""
LATER = NOW
MISSING, DAMAGED = AuditKind.MISSING, AuditKind.DAMAGED


def at(seconds: float) -> int:
    return BEGAN + round(seconds * SECOND)


def talk(agent: str, begin: float, end: float) -> list[Fact]:
    return [
        OfferAnswered(at(begin), CALL, agent),
        TalkEnded(at(end), CALL, agent, Party.CALLER),
    ]


ARRIVED = CallArrived(BEGAN, CALL, "12345", "13812345678")
STORY: list[Fact] = [
    ARRIVED,
    *talk("1001", 4, 12),
    *talk("1002", 12, 20),
    CallEnded(at(20), CALL, Party.CALLER),
]


def side(seconds: float, *heard: tuple[float, float]) -> bytes:
    """One side: heard from, until, in seconds."""
    windows = bytearray(round(seconds * 10))
    for begin, end in heard:
        windows[round(begin * 10) : round(end * 10)] = bytes([1]) * round((end - begin) * 10)
    return bytes(windows)


def sound(
    seconds: float,
    left: Sequence[tuple[float, float]] = ((0, 20),),
    right: Sequence[tuple[float, float]] = ((0, 20),),
) -> Levels:
    return Levels(round(seconds * SECOND), side(seconds, *left), side(seconds, *right))


def whole(levels: Levels) -> KeptSound:
    state = RecordingState.FINISHED
    return KeptSound(state, "", levels.duration, FileState.WHOLE, "a.wav", levels)


def look(
    facts: Sequence[Fact], kept: KeptSound, away: Sequence[tuple[int, int]] = (), now: int = LATER
) -> Examined:
    return examine(CALL, facts, kept, now=now, away=away)


def kinds(examined: Examined) -> list[tuple[AuditKind, str, float]]:
    return [(one.kind, one.agent, round(one.lost / SECOND, 6)) for one in examined.findings]


def reasons(examined: Examined) -> list[tuple[WhyUnrecorded, float, float, str]]:
    return [
        (one.reason, (one.begin - BEGAN) / SECOND, (one.end - BEGAN) / SECOND, one.agent)
        for one in examined.unrecorded
    ]


def test_a_whole_call_has_nothing_to_explain() -> None:
    found = look(STORY, whole(sound(20)))
    assert (found.findings, found.unrecorded, found.recorded) == ([], [], 20 * SECOND)


def test_a_file_may_lack_half_a_second_but_no_more() -> None:
    # A tenth of a second may be lost between two talks.
    assert look(STORY, whole(sound(19.4))).findings == []
    found = look(STORY, whole(sound(19.3)))
    assert kinds(found) == [(AuditKind.SHORT, "1002", 0.6)]
    assert found.findings[0].at == at(19.4)


def test_a_file_cut_by_more_than_a_talk_names_both_agents() -> None:
    assert kinds(look(STORY, whole(sound(7.9)))) == [
        (AuditKind.SHORT, "1001", 4.0),
        (AuditKind.SHORT, "1002", 8.0),
    ]


def test_a_telephone_that_sends_nothing_makes_asterisk_begin_later() -> None:
    quiet = [ARRIVED, *talk("1001", 4, 20), CallEnded(at(20), CALL, Party.CALLER)]
    assert look(quiet, whole(sound(19.48, left=[(3, 19)]))).findings == []
    assert kinds(look(quiet, whole(sound(19.48)))) == [(AuditKind.SHORT, "1001", 0.52)]


def test_a_file_shorter_than_the_talk_is_short_wherever_the_gap_is() -> None:
    facts = [ARRIVED, *talk("1001", 0.2, 18), CallEnded(at(20), CALL, Party.CALLER)]
    levels = sound(17.2, left=[(2, 17)])
    assert kinds(look(facts, whole(levels))) == [(AuditKind.SHORT, "1001", 0.6)]


def test_what_was_lost_after_the_talk_is_named_too() -> None:
    facts = [ARRIVED, *talk("1001", 4, 12), CallEnded(at(20), CALL, Party.CALLER)]
    assert look(facts, whole(sound(19.1))).findings == []
    (one,) = look(facts, whole(sound(15))).findings
    assert (one.kind, one.lost, one.at) == (AuditKind.UNEXPLAINED, 5 * SECOND, at(15))


def test_what_was_lost_while_nobody_was_there_is_listed_with_its_time() -> None:
    away = [(at(12), at(18))]
    found = look(STORY, whole(sound(14)), away)
    assert kinds(found) == []
    assert reasons(found) == [(WhyUnrecorded.AWAY, 12, 18, "")]
    # More is missing than that explains.
    assert kinds(look(STORY, whole(sound(13.5)), away)) == []
    assert kinds(look(STORY, whole(sound(13.3)), away)) != []
    assert kinds(look(STORY, whole(sound(9)), away)) != []
    assert kinds(look(STORY, whole(sound(14)), [(at(-9), at(-1))])) != []
    assert reasons(look(STORY, whole(sound(20)), away)) == []


def test_the_music_of_a_hold_is_listed_and_no_fault() -> None:
    facts = [
        ARRIVED,
        *talk("1001", 2, 20),
        TalkHeld(at(3), CALL, "1001"),
        TalkResumed(at(12), CALL, "1001"),
        TalkHeld(at(17), CALL, "1001"),
        CallEnded(at(20), CALL, Party.CALLER),
    ]
    levels = sound(20, right=[(0, 2), (13, 16)])
    found = look(facts, whole(levels))
    assert found.findings == []
    assert reasons(found) == [
        (WhyUnrecorded.HOLD, 3, 12, "1001"),
        (WhyUnrecorded.HOLD, 17, 20, "1001"),
    ]
    # Within the talk itself the agent is not heard.
    assert kinds(look(facts, whole(sound(20, right=[(0, 2), (5, 11)])))) == [
        (AuditKind.SILENT_SIDE, "1001", 18.0)
    ]


@pytest.mark.parametrize(
    ("left", "right", "party"),
    [((0, 12), (0, 20), "caller"), ((0, 20), (0, 12), "agent"), ((0, 20), (12.6, 12.7), "agent")],
)
def test_a_silent_side_is_found_in_its_talk(
    left: tuple[float, float], right: tuple[float, float], party: str
) -> None:
    found = look(STORY, whole(sound(20, [left], [right])))
    if right == (12.6, 12.7):  # heard for a moment of the second talk, and never in the first
        assert [(one.party, one.agent) for one in found.findings] == [("agent", "1001")]
        return
    assert [(one.kind, one.party, one.agent) for one in found.findings] == [
        (AuditKind.SILENT_SIDE, party, "1002")
    ]


def test_two_who_are_silent_and_a_talk_of_a_moment_are_no_fault() -> None:
    assert look(STORY, whole(sound(20, [(0, 12)], [(0, 12)]))).findings == []
    # The other party was heard for less than a second.
    assert look(STORY, whole(sound(20, [(0, 13.4)], [(0, 12)]))).findings == []
    short = [ARRIVED, *talk("1001", 2, 4.9), CallEnded(at(5), CALL, Party.CALLER)]
    assert look(short, whole(sound(5, [(0, 1)], [(0, 5)]))).findings == []


def test_a_pause_is_listed_and_no_silent_side() -> None:
    story: list[Fact] = [
        ARRIVED,
        *talk("1001", 2, 20),
        CallEnded(at(20), CALL, Party.CALLER),
    ]
    paused: list[Fact] = [
        RecordingPaused(at(4), CALL, "1001", PauseWhy.KEY),
        RecordingResumed(at(13), CALL, "1001", PauseWhy.LIMIT),
    ]
    # The agent speaks before the pause and after it, and nobody is heard in it.
    levels = sound(20, left=[(0, 4), (13, 20)], right=[(0, 4), (13, 20)])
    found = look([*story, *paused], whole(levels))
    assert found.findings == []
    assert reasons(found) == [(WhyUnrecorded.PAUSED, 4, 13, "1001")]
    # The agent is heard in the pause alone: not where it should be.
    levels = sound(20, right=[(5, 12)])
    assert kinds(look([*story, *paused], whole(levels))) == [(AuditKind.SILENT_SIDE, "1001", 18.0)]
    assert kinds(look(story, whole(levels))) == []


def test_the_phrase_of_star_0_is_listed_and_a_silent_caller_is_no_fault() -> None:
    facts = [*STORY, CallerAsked(at(14), CALL), CallSilent(at(19), CALL)]
    found = look(facts, whole(sound(20, [(0, 1)], [(0, 20)])))
    assert found.findings == []
    assert reasons(found) == [(WhyUnrecorded.ASKED, 14, 19, "1002")]


def test_a_caller_who_spoke_must_be_heard_then() -> None:
    facts = [*STORY, CallerAsked(at(13.5), CALL), CallerFound(at(16), CALL)]
    found = look(facts, whole(sound(20, [(0, 12), (14, 16)], [(0, 12), (17, 20)])))
    assert reasons(found) == [(WhyUnrecorded.ASKED, 13.5, 16, "1002")]
    assert [(one.kind, one.agent, one.party) for one in found.findings] == [
        (AuditKind.SILENT_SIDE, "1002", "caller")
    ]
    # The caller hung up while being asked.
    gone = look([*STORY, CallerAsked(at(18), CALL)], whole(sound(20)))
    assert reasons(gone) == [(WhyUnrecorded.ASKED, 18, 20, "1002")]


def one_talk(begin: float, end: float, over: float = 20, *more: Fact) -> list[Fact]:
    return [ARRIVED, *talk("1001", begin, end), CallEnded(at(over), CALL, Party.CALLER), *more]


def silent(agent: str, begin: float, end: float, party: str) -> AuditFinding:
    return AuditFinding(
        AuditKind.SILENT_SIDE, CALL, agent, at(begin), at(end) - at(begin), party=party
    )


def test_the_whole_of_what_is_short_or_unexplained() -> None:
    assert look(STORY, whole(sound(7.9))).findings == [
        AuditFinding(AuditKind.SHORT, CALL, "1001", at(8), at(12) - at(8)),
        AuditFinding(AuditKind.SHORT, CALL, "1002", at(12), at(20) - at(12)),
    ]
    # Both talks were recorded to nearly their end, and yet the file is shorter than the two.
    facts = [
        ARRIVED,
        *(*talk("1002", 9, 18), *talk("1001", 0.2, 9)),
        CallEnded(at(18.5), CALL, Party.CALLER),
    ]
    assert look(facts, whole(sound(17.2, [(2, 17)]))).findings == [
        AuditFinding(AuditKind.SHORT, CALL, "1002", at(17.4), at(18) - at(17.4))
    ]
    assert look(facts, whole(sound(17.3, [(2, 17)]))).findings == [], "half a second"
    late = one_talk(4, 12)
    assert look(late, whole(Levels(20 * SECOND - GAP, *2 * (side(19, (0, 19)),)))).findings == []
    assert look(late, whole(Levels(20 * SECOND - GAP - 1, *2 * (side(19, (0, 19)),)))).findings == [
        AuditFinding(AuditKind.UNEXPLAINED, CALL, "", at(20) - GAP - 1, GAP + 1)
    ]


def test_only_absences_within_the_call_explain_what_it_lacks() -> None:
    away = [(at(-9), at(-1)), (at(-1), at(0)), (at(12), at(18)), (at(20), at(21)), (at(25), at(30))]
    held = (TalkHeld(at(5), CALL, "1001"), TalkResumed(at(6), CALL, "1001"))
    found = look([*STORY, *held], whole(sound(13.4)), away)
    assert found.findings == []
    assert found.unrecorded == [
        Unrecorded(WhyUnrecorded.HOLD, CALL, at(5), at(6), "1001"),
        Unrecorded(WhyUnrecorded.AWAY, CALL, at(12), at(18)),
    ]


@pytest.mark.parametrize(
    ("facts", "left", "right", "finding"),
    [
        # Talks of three seconds and more are asked, after shorter ones too.
        (one_talk(2, 5, 5), [(0, 5)], [(0, 2)], silent("1001", 2, 5, "agent")),
        (
            [ARRIVED, *talk("1001", 1, 3), *talk("1002", 3, 20), STORY[-1]],
            *([(0, 20)], [(0, 3)]),
            silent("1002", 3, 20, "agent"),
        ),
        # The other party is heard for a second, or for less.
        (one_talk(2, 20), [(3, 4)], [], silent("1001", 2, 20, "agent")),
        (one_talk(2, 20), [(3, 3.9)], [], None),
        # What is heard close to an end, or to a hold, is of its neighbour.
        (one_talk(2, 18), [(0, 20)], [(0, 2.5), (17.5, 20)], silent("1001", 2, 18, "agent")),
        (one_talk(2, 18), [(0, 20)], [(2.5, 2.6)], None),
        (one_talk(2, 18), [(0, 20)], [(17.4, 17.5)], None),
        (
            one_talk(2, 20, 20, TalkHeld(at(10), CALL, "1001")),
            *([(0, 20)], [(0, 2), (9.5, 20)]),
            silent("1001", 2, 20, "agent"),
        ),
        (one_talk(2, 20, 20, TalkHeld(at(10), CALL, "1001")), [(0, 20)], [(9.4, 9.5)], None),
        # All of the talk was a hold.
        (one_talk(2, 20, 20, TalkHeld(at(2), CALL, "1001")), [(0, 20)], [(0, 2)], None),
        # The caller hung up while being asked.
        ([*STORY, CallerAsked(at(13.5), CALL)], [(0, 12)], [(0, 20)], None),
    ],
)
def test_who_must_be_heard_and_when(
    facts: list[Fact],
    left: list[tuple[float, float]],
    right: list[tuple[float, float]],
    finding: AuditFinding | None,
) -> None:
    ends = [fact.at for fact in facts if isinstance(fact, CallEnded)]
    levels = sound((ends[0] - BEGAN) / SECOND, left, right)
    assert look(facts, whole(levels)).findings == ([finding] if finding else [])


def test_what_a_file_lacks_it_lacks_at_its_beginning() -> None:
    """Asterisk began half a second late: what the agent said at 12.6 s is at 12.1 s of the file."""
    levels = sound(19.5, [(1, 19.5)], [(3, 8), (12.1, 12.2)])
    assert look(STORY, whole(levels)).findings == []


def test_each_hold_and_each_phrase_is_that_of_its_agent() -> None:
    facts = [
        *STORY,
        *(TalkHeld(at(4), CALL, "1001"), TalkResumed(at(6), CALL, "1001")),
        *(TalkHeld(at(13), CALL, "1002"), TalkResumed(at(14), CALL, "1002")),
        *(CallerAsked(at(2), CALL), CallerFound(at(3), CALL)),
        *(CallerAsked(at(7), CALL), CallerFound(at(8), CALL)),
        *(CallerAsked(at(12), CALL), CallerFound(at(12.5), CALL)),
    ]
    assert reasons(look(facts, whole(sound(20)))) == [
        (WhyUnrecorded.HOLD, 4, 6, "1001"),
        (WhyUnrecorded.HOLD, 13, 14, "1002"),
        (WhyUnrecorded.ASKED, 2, 3, ""),
        (WhyUnrecorded.ASKED, 7, 8, "1001"),
        (WhyUnrecorded.ASKED, 12, 12.5, "1002"),
    ]
    open_end = [ARRIVED, *talk("1001", 4, 12), CallerAsked(at(13), CALL)]
    assert reasons(look(open_end, whole(sound(20)))) == [(WhyUnrecorded.ASKED, 13, 13, "1001")]


def test_a_removed_row_without_a_file_and_with_one() -> None:
    (gone,) = look(STORY, KeptSound()).findings
    assert (gone.kind, gone.why, gone.lost) == (AuditKind.MISSING, "no_row", 16 * SECOND)
    (orphan,) = look(STORY, KeptSound(file=FileState.WHOLE, path="a.wav")).findings
    assert (orphan.kind, orphan.file) == (AuditKind.ORPHAN_FILE, "a.wav")


@pytest.mark.parametrize(
    ("seconds", "raw", "finding", "reason"),
    [
        (29, False, None, WhyUnrecorded.WAITS),
        (31, False, "no_row", None),
        (599, True, None, WhyUnrecorded.WAITS),
        (601, True, "in_spool", None),
    ],
)
def test_a_recording_that_is_being_finished_has_some_time(
    seconds: int, raw: bool, finding: str | None, reason: WhyUnrecorded | None
) -> None:
    found = look(STORY, KeptSound(raw=raw), now=at(20 + seconds))
    assert [one.why for one in found.findings] == ([finding] if finding else [])
    assert [one.reason for one in found.unrecorded] == ([reason] if reason else [])


TWENTY = whole(sound(20))
DIFFERS = replace(TWENTY, file=FileState.ALTERED, why="its SHA-256 differs")


@pytest.mark.parametrize(
    ("kept", "finding"),
    [
        (KeptSound(), AuditFinding(MISSING, CALL, "", BEGAN, 16 * SECOND, why="no_row")),
        (KeptSound(raw=True), AuditFinding(MISSING, CALL, "", BEGAN, 16 * SECOND, why="in_spool")),
        (
            KeptSound(file=FileState.WHOLE, path="a.wav"),
            AuditFinding(AuditKind.ORPHAN_FILE, CALL, "", BEGAN, file="a.wav"),
        ),
        (
            replace(TWENTY, file=FileState.GONE, levels=None),
            AuditFinding(MISSING, CALL, "1001", BEGAN, 20 * SECOND, file="a.wav", why="file_gone"),
        ),
        (
            replace(TWENTY, file=FileState.TORN, levels=None, why="no WAV"),
            AuditFinding(DAMAGED, CALL, "1001", BEGAN, file="a.wav", why="no WAV"),
        ),
        (
            replace(DIFFERS, levels=None),
            AuditFinding(DAMAGED, CALL, "1001", BEGAN, file="a.wav", why=DIFFERS.why),
        ),
        *(
            (
                replace(DIFFERS, levels=replace(sound(20), duration=20 * SECOND - lost)),
                AuditFinding(
                    kind, CALL, "1001", BEGAN, max(0, lost), file="a.wav", why=DIFFERS.why
                ),
            )
            for lost, kind in (
                (-1, AuditKind.WRONG_HASH),
                (0, AuditKind.WRONG_HASH),
                (TOLERANCE, AuditKind.WRONG_HASH),
                (TOLERANCE + 1, AuditKind.SHORT),
            )
        ),
        (
            KeptSound(RecordingState.MISSING, "no sound"),
            AuditFinding(MISSING, CALL, "1001", BEGAN, 16 * SECOND, why="no_sound"),
        ),
        (
            KeptSound(RecordingState.DAMAGED, "it died"),
            AuditFinding(DAMAGED, CALL, "1001", BEGAN, why="it died"),
        ),
        (
            replace(TWENTY, state=RecordingState.DAMAGED, note="5.0 s longer"),
            AuditFinding(DAMAGED, CALL, "1001", BEGAN, why="5.0 s longer"),
        ),
    ],
)
def test_the_whole_of_a_finding(kept: KeptSound, finding: AuditFinding) -> None:
    assert look(STORY, kept) == Examined([finding])


def test_a_finding_of_a_call_that_the_diary_does_not_know() -> None:
    gone = replace(TWENTY, file=FileState.GONE, levels=None)
    assert look([], gone).findings == [
        AuditFinding(MISSING, CALL, "", 0, 20 * SECOND, file="a.wav", why="file_gone")
    ]
    assert look([], KeptSound(RecordingState.MISSING)).unrecorded == [
        Unrecorded(WhyUnrecorded.NO_SOUND, CALL, 0, 0)
    ]


@pytest.mark.parametrize(("raw", "most"), [(False, GRACE + LOOKED), (True, LATE)])
def test_how_long_a_recording_may_wait_to_be_finished(raw: bool, most: int) -> None:
    kept = KeptSound(raw=raw)
    waits = Unrecorded(WhyUnrecorded.WAITS, CALL, BEGAN, at(20))
    assert look(STORY, kept, now=at(20) + most - 1) == Examined([], [waits])
    assert [one.kind for one in look(STORY, kept, now=at(20) + most).findings] == [MISSING]


def test_a_call_that_goes_on_is_listed() -> None:
    found = look(STORY[:-1], KeptSound(), now=at(30))
    assert (found.findings, reasons(found)) == ([], [(WhyUnrecorded.GOING_ON, 0, 30, "")])


def test_files_that_are_gone_torn_or_altered() -> None:
    kept = whole(sound(20))
    (gone,) = look(STORY, replace(kept, file=FileState.GONE, levels=None)).findings
    assert (gone.kind, gone.why, gone.lost, gone.file) == (
        *(AuditKind.MISSING, "file_gone", 20 * SECOND),
        "a.wav",
    )
    torn = look(STORY, replace(kept, file=FileState.TORN, levels=None, why="no WAV"))
    assert [(one.kind, one.why) for one in torn.findings] == [(AuditKind.DAMAGED, "no WAV")]
    altered = look(STORY, replace(kept, file=FileState.ALTERED, why="its SHA-256 differs"))
    assert [(one.kind, one.agent) for one in altered.findings] == [(AuditKind.WRONG_HASH, "1001")]
    cut = replace(kept, file=FileState.ALTERED, levels=sound(19.4))
    assert kinds(look(STORY, cut)) == [(AuditKind.SHORT, "1001", 0.6)]
    assert {one.recorded for one in (torn, altered, look(STORY, cut))} == {None}


def test_what_the_ledger_itself_calls_missing_or_damaged() -> None:
    missing = KeptSound(RecordingState.MISSING, "no sound")
    assert kinds(look(STORY, missing)) == [(AuditKind.MISSING, "1001", 16.0)]
    unanswered: list[Fact] = [ARRIVED, CallEnded(at(20), CALL, Party.CALLER)]
    found = look(unanswered, missing)
    assert (found.findings, reasons(found)) == ([], [(WhyUnrecorded.NO_SOUND, 0, 20, "")])
    damaged = KeptSound(RecordingState.DAMAGED, "the worker process died over it")
    (one,) = look(STORY, damaged).findings
    assert (one.kind, one.why) == (AuditKind.DAMAGED, "the worker process died over it")
    strange = replace(whole(sound(25)), state=RecordingState.DAMAGED, note="5.0 s longer")
    assert [one.kind for one in look(STORY, strange).findings] == [AuditKind.DAMAGED]


def test_a_callback_is_looked_at_from_the_dialling_on() -> None:
    call = "hotline-c7.1"
    placed = CallbackPlaced(at(0), 7, call, "1001")
    assert examine(call, [placed], KeptSound(), now=LATER) == Examined()  # nobody was dialled
    story: list[Fact] = [
        placed,
        CallbackDialling(at(2), 7, call, "1001"),
        CallbackAnswered(at(6), 7, call, "1001"),
        CallbackEnded(at(20), 7, call, "1001", "", Party.CALLER),
    ]
    missing = examine(call, story, KeptSound(), now=LATER)
    assert [one.kind for one in missing.findings] == [AuditKind.MISSING]
    kept = whole(sound(18, [(4, 18)], [(0, 18)]))
    assert examine(call, story, kept, now=LATER) == Examined(recorded=18 * SECOND)
    cut = whole(sound(16.9, [(4, 16)], [(0, 16)]))
    assert kinds(examine(call, story, cut, now=LATER)) == [(AuditKind.SHORT, "1001", 0.55)]


def test_a_call_that_never_had_a_channel_has_no_recording() -> None:
    refused: list[Fact] = [ARRIVED, CallRefused(at(0), CALL, 488)]
    assert look(refused, KeptSound()) == Examined()


def test_a_row_of_a_call_with_half_a_story_is_not_measured() -> None:
    facts = a_call(CALL)[1:]
    assert look(facts, whole(sound(1))).findings == []
