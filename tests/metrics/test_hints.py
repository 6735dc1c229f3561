"""A day's hints in parts: none is lost or told twice, each part is bounded, and those of words stand among them."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from base.settings import Settings
from diary.writer import Diary
from facts import CallArrived, CallEnded, Fact, OfferAnswered, TalkEnded
from facts.terms import Party
from facts.times import SECOND
from metrics import hints
from metrics.hints import DayOfHints, HintFilter
from recorder import finishing
from recorder.hints import HintKind
from speech import shelf
from speech.hints import WordHint, WordHintKind

T = 1_763_731_200 * SECOND
END = T + 3600 * SECOND
CALLS = 23


def talk(number: int, begin: int, seconds: float) -> list[Fact]:
    """Answered at once, and ended by the agent."""
    call, agent = f"hotline-1763731200.{number}", f"100{number % 2}"
    end = begin + round(seconds * SECOND)
    return [
        CallArrived(begin, call, "12345", f"1380000{number:04}"),
        OfferAnswered(begin, call, agent),
        TalkEnded(end, call, agent, Party.AGENT),
        CallEnded(end, call, Party.AGENT),
    ]


@pytest.fixture
async def day(engine: AsyncEngine, tmp_path: Path) -> Settings:
    """Calls of which every fourth is short, five at a time in the same microsecond."""
    diary = Diary(engine, tmp_path)
    diary.start()
    for number in range(CALLS):
        begin = T + (1 + number // 5) * 60 * SECOND
        for fact in talk(number, begin, 5 if number % 4 == 0 else 50):
            diary.write(fact)
    await diary.close()
    return Settings(home=tmp_path)


async def parts(
    engine: AsyncEngine, settings: Settings, wanted: HintFilter, limit: int
) -> list[DayOfHints]:
    found, since = [], T
    while True:
        found.append(await hints.of_time(engine, settings, since, END, wanted, limit))
        if found[-1].after is None:
            return found
        assert found[-1].after > since
        since = found[-1].after


@pytest.mark.parametrize("limit", [1, 7, 500])
async def test_the_parts_of_a_day_are_the_day(
    engine: AsyncEngine, day: Settings, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    whole = await hints.of_time(engine, day, T, END)
    assert (len(whole.hints), whole.calls, whole.after) == (CALLS + 6, CALLS, None)
    monkeypatch.setattr(hints, "PAGE", 3)
    made = await parts(engine, day, hints.EVERY, limit)
    assert [one for part in made for one in part.hints] == whole.hints
    assert sum(part.calls for part in made) == CALLS
    assert len(made) == (1 if limit == 500 else 3 if limit == 7 else 5)


async def test_a_part_is_bounded_although_nothing_fits(
    engine: AsyncEngine, day: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "PAGE", 3)
    monkeypatch.setattr(hints, "MOST_CALLS", 10)
    wanted = HintFilter({HintKind.TALK_OVER})
    made = await parts(engine, day, wanted, 1)
    assert [part.calls for part in made] == [10, 10, 3]
    assert not any(part.hints for part in made)


async def test_by_kind_and_by_agent(engine: AsyncEngine, day: Settings) -> None:
    wanted = HintFilter({HintKind.TOO_SHORT}, agent="1000")
    found = await hints.of_time(engine, day, T, END, wanted)
    assert [one["call"].rpartition(".")[2] for one in found.hints] == [
        "0",
        "4",
        "8",
        "12",
        "16",
        "20",
    ]
    assert {(one["kind"], one["recorded"]) for one in found.hints} == {("too_short", False)}
    assert not (await hints.of_time(engine, day, T, END, HintFilter(agent="1001x"))).hints


async def test_hints_of_transcripts_stand_among_the_others(
    engine: AsyncEngine, day: Settings
) -> None:
    call = "hotline-1763731200.1"
    day.spool_dir.mkdir(parents=True)
    (day.spool_dir / f"{call}.raw").write_bytes(b"\1" * 4 * 8000)
    entry = await finishing.finish(engine, day, call)
    said = [
        WordHint(WordHintKind.FORBIDDEN, "1001", 12 * SECOND, 13 * SECOND, "不知道"),
        WordHint(WordHintKind.FAST, "1001", 0, 50 * SECOND, rate=341.2),
    ]
    assert await shelf.enter(engine, day, entry, [], said, at=T, took=1)
    found = await hints.of_time(engine, day, T, END, HintFilter(agent="1001", words=True), 1)
    told = [(one["kind"], one["at"], one["value"], one["text_zh"]) for one in found.hints]
    assert told[0] == ("fast", 0.0, 341, "语速偏快，341 字/分钟")
    assert told[1] == ("forbidden", 12.0, None, "疑似服务禁语“不知道”")
    assert all(one["recorded"] for one in found.hints if one["call"] == call)
    only = await hints.of_time(
        engine, day, T, END, HintFilter({WordHintKind.FORBIDDEN}, words=True)
    )
    assert [one["text_en"] for one in only.hints] == ["sounds like the 服务禁语 “不知道”"]
    without = await hints.of_time(engine, day, T, END, HintFilter({WordHintKind.FORBIDDEN}))
    assert not without.hints, "who may not read words does not see them here either"
