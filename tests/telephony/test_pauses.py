"""Recordings that agents pause: told only when it is so, and never for ever."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest

from base.background import spawn
from facts import (
    CallArrived,
    CallbackEnded,
    CallTransferred,
    Fact,
    RecordingPaused,
    RecordingResumed,
    TalkEnded,
)
from facts.terms import CallId, Party, PauseWhy
from facts.times import SECOND
from telephony.channels import Talk
from telephony.link import ActionRefused, LinkDown, LinkError, Unknown
from telephony.pauses import PauseRefused, RecordingPauses

CALL, OTHER, ATTEMPT = "n-1763731200.1", "n-1763731200.2", "n-c7.1"
T = 1_763_731_200 * SECOND
KEY, API, LIMIT, LEFT = PauseWhy.KEY, PauseWhy.API, PauseWhy.LIMIT, PauseWhy.LEFT


class Centre:
    """Talks of agents, an Asterisk that may refuse, and what was reported."""

    def __init__(self, *, allowed: bool = True, limit: float = 60) -> None:
        self.now = T
        self.resumes = 0
        self.talking = {"1001": CALL, "1002": OTHER}
        self.muted: dict[CallId, str] = {}
        self.error: LinkError | None = None
        self.facts: list[Fact] = []
        self.known: list[Fact] = []
        self.pauses = RecordingPauses(
            self, self, self.facts.append, lambda: self.now, allowed=allowed, limit=limit
        )

    def talks(self) -> Iterator[Talk]:
        for agent, call in self.talking.items():
            yield Talk("leg", "channel", call, agent, False, True)

    async def pause_recording(self, call: CallId, mark: str) -> None:
        if not isinstance(self.error, ActionRefused):
            self.muted[call] = mark
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error

    async def resume_recording(self, call: CallId) -> None:
        self.resumes += 1
        if self.error is not None:
            raise self.error
        self.muted.pop(call, None)

    async def story(self, call: CallId) -> Sequence[Fact]:
        return self.known

    async def after(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        await self.pauses.look()


async def test_an_agent_pauses_and_resumes() -> None:
    centre = Centre()
    assert await centre.pauses.key("1001", "pause") == ""
    assert centre.muted == {CALL: f"{T} 1001 key"}
    assert centre.pauses.now() == {"1001": T}
    assert await centre.pauses.key("1001", "pause") == "", "it is paused"
    centre.now += 5
    await centre.pauses.resume("1001", API, "li")
    assert centre.muted == {}
    assert centre.facts == [
        RecordingPaused(T, CALL, "1001", KEY),
        RecordingResumed(T + 5, CALL, "1001", API, "li"),
    ]
    assert await centre.pauses.key("1001", "resume") == "", "it is recorded"
    assert len(centre.facts) == 2


async def test_only_in_a_talk_and_where_it_is_allowed() -> None:
    centre = Centre()
    assert "not in a talk" in await centre.pauses.key("1003", "pause")
    assert "not in a talk" in await centre.pauses.key("1003", "resume")
    closed = Centre(allowed=False)
    assert "HOTLINE_RECORDING_PAUSE" in await closed.pauses.key("1001", "pause")
    assert (centre.facts, closed.facts, closed.muted) == ([], [], {})


@pytest.mark.parametrize(
    ("error", "said"),
    [(LinkDown(""), "answer"), (Unknown(""), "answer")],
)
async def test_what_asterisk_has_not_confirmed_is_not_told_and_undone(
    error: LinkError, said: str
) -> None:
    centre = Centre()
    centre.error = error
    with pytest.raises(PauseRefused, match=said):
        await centre.pauses.pause("1001", KEY)
    assert (centre.facts, centre.pauses.now()) == ([], {})
    await centre.after(1)
    assert CALL in centre.muted, "it may be paused, as long as nobody can look"
    centre.error = None
    await centre.after(1)
    assert centre.muted == {}
    assert centre.facts == []


async def test_a_talk_that_is_not_recorded_is_not_paused() -> None:
    """Asterisk refuses to mute what is not there. Nothing has to be undone, so that is tried once."""
    centre = Centre()
    centre.error = ActionRefused("Cannot set mute flag")
    with pytest.raises(PauseRefused, match="refused"):
        await centre.pauses.pause("1001", KEY)
    await centre.after(1)
    await centre.after(1)
    assert (centre.facts, centre.muted, centre.resumes) == ([], {}, 1)


async def test_a_recording_that_is_gone_is_not_said_to_go_on() -> None:
    centre = Centre()
    await centre.pauses.pause("1001", KEY)
    centre.error = ActionRefused("Cannot set mute flag")
    assert "does not record" in await centre.pauses.key("1001", "resume")
    await centre.after(4)
    assert len(centre.facts) == 1
    assert centre.pauses.too_long(centre.now) == 1


async def test_a_pause_that_failed_does_not_undo_the_next() -> None:
    centre = Centre()
    centre.error = Unknown("")
    assert await centre.pauses.key("1001", "pause") != ""
    centre.error = None
    assert await centre.pauses.key("1001", "pause") == ""
    await centre.after(1)
    assert centre.pauses.now() == {"1001": T}
    assert CALL in centre.muted


async def test_a_talk_that_ends_meanwhile_is_not_paused() -> None:
    centre = Centre()

    async def end() -> None:
        del centre.talking["1001"]

    said, _ = await asyncio.gather(centre.pauses.key("1001", "pause"), end())
    assert "just ended" in said
    await centre.after(0)
    assert (centre.facts, centre.muted) == ([], {})


async def test_the_limit() -> None:
    centre = Centre(limit=60)
    await centre.pauses.pause("1001", KEY)
    await centre.after(59.9)
    assert len(centre.facts) == 1
    assert centre.pauses.too_long(centre.now) == 0
    await centre.after(0.1)
    assert centre.facts[1:] == [RecordingResumed(centre.now, CALL, "1001", LIMIT)]
    assert centre.pauses.too_long(centre.now) == 1
    assert centre.pauses.too_long(centre.now + 601 * SECOND) == 0


async def test_asterisk_is_away_when_the_pause_should_end() -> None:
    centre = Centre()
    await centre.pauses.pause("1001", KEY)
    centre.error = LinkDown("")
    with pytest.raises(PauseRefused, match="as soon as it does"):
        await centre.pauses.resume("1001", API, "li")
    assert await centre.pauses.key("1001", "pause") != "", "it is about to end"
    assert len(centre.facts) == 1
    await centre.after(4)
    assert centre.pauses.too_long(centre.now) == 1, "nobody can end it"
    centre.error = None
    await centre.after(1)
    # As the agent had asked, who was told so.
    assert centre.facts[1:] == [RecordingResumed(centre.now, CALL, "1001", API, "li")]
    assert centre.pauses.too_long(centre.now) == 0


async def test_it_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telephony.pauses.LOOK_EVERY", 0.01)
    centre = Centre()
    running = spawn(centre.pauses.run(), "pauses")
    await centre.pauses.pause("1001", KEY)
    centre.error = LinkDown("")
    assert await centre.pauses.key("1001", "resume")
    await asyncio.sleep(0.03)
    assert len(centre.facts) == 1
    centre.error = None
    async with asyncio.timeout(10):
        while centre.muted:
            await asyncio.sleep(0.005)
    assert isinstance(centre.facts[1], RecordingResumed)
    await centre.pauses.pause("1001", KEY)
    centre.now += 61 * SECOND
    async with asyncio.timeout(10):
        while centre.muted:
            await asyncio.sleep(0.005)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize(
    "fact",
    [
        TalkEnded(T + 9, CALL, "1001", Party.AGENT),
        CallTransferred(T + 9, CALL, "1001", "1002", attended=True),
        CallArrived(T + 9, "n-1763731200.9", "", "", origin=CALL),
        CallbackEnded(T + 9, 7, CALL, "1001", "", Party.CALLER),
    ],
)
async def test_a_pause_ends_with_its_agents_talk(fact: Fact) -> None:
    centre = Centre()
    await centre.pauses.pause("1001", KEY)
    await centre.pauses.pause("1002", KEY)
    centre.pauses.take([TalkEnded(T + 8, CALL, "1002", Party.AGENT), fact])
    assert centre.facts[2:] == [RecordingResumed(T + 9, CALL, "1001", LEFT)]
    assert centre.pauses.now() == {"1002": T}
    await centre.after(1)
    assert list(centre.muted) == [OTHER], "whoever is next is recorded"


async def test_a_new_controller_finds_the_pause() -> None:
    centre = Centre(limit=60)
    centre.now = T + 20 * SECOND
    await centre.pauses.settle([(CALL, f"{T} 1001 key")], centre.story)
    # The old one had died before it wrote the fact.
    assert centre.facts == [RecordingPaused(T, CALL, "1001", KEY)]
    assert centre.muted == {CALL: f"{T} 1001 key"}
    # A link that was lost and is back changes nothing.
    await centre.pauses.settle([(CALL, f"{T} 1001 key")], centre.story)
    await centre.after(39)
    assert centre.pauses.now() == {"1001": T}
    await centre.after(1)
    assert centre.facts[1:] == [RecordingResumed(centre.now, CALL, "1001", LIMIT)]


async def test_what_the_diary_knows_is_not_told_again() -> None:
    centre = Centre()
    centre.known = [RecordingPaused(T + 3, CALL, "1001", KEY)]
    await centre.pauses.settle([(CALL, f"{T} 1001 key")], centre.story)
    assert (centre.facts, centre.pauses.now()) == ([], {"1001": T})


@pytest.mark.parametrize("mark", [f"{T} 1003 key", "x 1001 key", f"{T} 1001", f"{T} 1001 why"])
async def test_a_mark_without_its_talk_is_removed(mark: str) -> None:
    centre = Centre()
    centre.muted[CALL] = mark
    await centre.pauses.settle([(CALL, mark)], centre.story)
    await centre.after(0)
    assert (centre.muted, centre.facts) == ({}, [])


async def test_a_pause_that_cannot_be_taken_up_ends() -> None:
    centre = Centre()
    centre.muted[CALL] = "x"
    centre.error = Unknown("")
    await centre.pauses.settle([(CALL, f"{T} 1001 key")], centre.story)
    assert centre.pauses.now() == {}
    centre.error = None
    await centre.after(1)
    assert (centre.muted, centre.facts) == ({}, [])


async def test_a_talk_that_ended_while_the_link_was_away() -> None:
    centre = Centre()
    await centre.pauses.pause("1001", KEY)
    await centre.pauses.pause("1002", KEY)
    del centre.talking["1001"]
    centre.now += 7
    await centre.pauses.settle([(CALL, f"{T} 1001 key")], centre.story)
    # And of the other one the dialplan has made a new recording, which is not paused.
    assert centre.facts[2:] == [
        RecordingResumed(T + 7, CALL, "1001", LEFT),
        RecordingResumed(T + 7, OTHER, "1002", LEFT),
    ]
