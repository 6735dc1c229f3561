"""A transcript comes back as it was, or says why not; its lines are what one side said without a pause."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import SECOND
from speech import transcript
from speech.transcript import Line, Side, TalkWords, TranscriptError, Word

times = st.integers(0, 10**12)
words = st.builds(Word, st.text(max_size=4), times, times)
talks = st.builds(
    TalkWords,
    st.from_regex(r"[0-9]{2,8}", fullmatch=True),
    times,
    times,
    st.lists(words, max_size=6).map(tuple),
    st.lists(words, max_size=6).map(tuple),
)


@given(st.lists(talks, max_size=4))
def test_it_comes_back_as_it_was(known: list[TalkWords]) -> None:
    assert transcript.unpack(transcript.pack(known)) == known


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(TranscriptError):
        transcript.unpack(data)
    with pytest.raises(TranscriptError):
        transcript.unpack(zlib.compress(data))


@given(st.lists(talks, min_size=1, max_size=2), st.data())
def test_one_that_is_cut_off_is_refused(known: list[TalkWords], data: st.DataObject) -> None:
    whole = transcript.pack(known)
    with pytest.raises(TranscriptError):
        transcript.unpack(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_one_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "LARGEST", 1000)
    with pytest.raises(TranscriptError, match="larger than a transcript can be"):
        transcript.unpack(zlib.compress(bytes(2000)))


def test_a_newer_form_is_refused() -> None:
    with pytest.raises(TranscriptError, match="does not know"):
        transcript.unpack(zlib.compress(b'{"form":2,"talks":[]}'))


def test_lines_are_in_time_and_end_at_a_pause() -> None:
    def at(text: str, tenths: int) -> Word:
        return Word(text, tenths * SECOND // 10, (tenths + 1) * SECOND // 10)

    talk = TalkWords(
        "1001",
        0,
        10 * SECOND,
        (at("我", 20), at("问。", 21)),
        (at("您", 0), at("好，", 1), at("请", 9), at("讲", 18)),
    )
    tenth = SECOND // 10
    assert transcript.lines(talk) == [
        Line(Side.AGENT, 0, 10 * tenth, "您好，请"),
        Line(Side.AGENT, 18 * tenth, 19 * tenth, "讲"),
        Line(Side.CITIZEN, 20 * tenth, 22 * tenth, "我问。"),
    ]


@given(st.integers(1, 2000))
def test_who_never_pauses_is_shown_in_lines_of_bearable_length(count: int) -> None:
    step = SECOND // 5
    spoken = tuple(Word("天", n * step, (n + 1) * step) for n in range(count))
    shown = transcript.lines(TalkWords("1001", 0, count * step, (), spoken))
    assert "".join(line.text for line in shown) == "天" * count
    assert max(line.end - line.begin for line in shown) <= 20 * SECOND
