"""What a person should listen to: found by sound, at its place, and nothing else."""

import string
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import SECOND
from speech import hints
from speech.hints import WordHintKind
from speech.phrases import ListedPhrase, PhraseList
from speech.syllables import Syllable, sounds, spell
from speech.transcript import TalkWords, Word
from tests.speech.lists import BOOK, said

STEP = SECOND // 4
"""Time of a character in these tests: 240 a minute."""

a_phrase = st.sampled_from(BOOK.forbidden)
filler = st.text(st.sampled_from("天地人山水火风云"), max_size=12)
"""None of their sounds is in a listed phrase."""


def spoken(text: str, begin: int = 0, step: int = STEP) -> list[Word]:
    """Each character as a word of its own, one after the other."""
    return [Word(one, begin + n * step, begin + (n + 1) * step) for n, one in enumerate(text)]


def talk(text: str, *, seconds: int = 60, begin: int = 0) -> TalkWords:
    return TalkWords("1001", begin, begin + seconds * SECOND, (), tuple(spoken(text, begin)))


def forbidden(text: str) -> list[tuple[str, int, int]]:
    found = hints.of_talk(talk(text), BOOK)
    return [(one.phrase, one.begin, one.end) for one in found if one.kind is WordHintKind.FORBIDDEN]


@given(filler, a_phrase, filler)
def test_a_listed_phrase_is_found_where_it_is_said(
    before: str, phrase: ListedPhrase, after: str
) -> None:
    text = before + phrase.text + after
    begin, end = len(before) * STEP, (len(before) + len(phrase.text)) * STEP
    assert forbidden(text) == [(phrase.text, begin, end)]


@given(filler)
def test_nothing_is_found_where_nothing_is_said(text: str) -> None:
    assert forbidden(text) == []


@given(filler, a_phrase, filler)
def test_what_the_citizen_says_is_not_looked_at(
    before: str, phrase: ListedPhrase, after: str
) -> None:
    words = tuple(spoken(before + phrase.text + after))
    found = hints.of_talk(TalkWords("1001", 0, 60 * SECOND, words), BOOK)
    assert [one.kind for one in found] == [WordHintKind.NO_GREETING]


@given(a_phrase, st.data())
def test_a_silence_within_a_phrase_makes_it_two_sayings(
    phrase: ListedPhrase, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(phrase.text) - 1))
    first = spoken(phrase.text[:cut])
    later = spoken(phrase.text[cut:], first[-1].end + hints.BREATH + 1)
    found = list(hints.places(spell([*first, *later]), phrase))
    parts = {sounds_of(phrase.text[:cut]), sounds_of(phrase.text[cut:])}
    assert bool(found) == any(tuple(one for one, _ in said) in parts for said in phrase.said)


def sounds_of(text: str) -> tuple[str, ...]:
    return tuple(sound for sound, _ in sounds(text))


@given(st.lists(st.sampled_from(["bu", "xing", "zhi", "dao", "a"]), max_size=30))
def test_places_are_in_order_and_none_overlap(heard: list[str]) -> None:
    known = syllables(heard)
    phrase = ListedPhrase("不行", (as_said("bu", "zhi", "dao"), as_said("bu", "xing")))
    found = list(hints.places(known, phrase))
    assert all(begin < end for begin, end in found)
    assert all(one[1] <= two[0] for one, two in pairwise(found))
    text = " ".join(heard)
    assert bool(found) == ("bu xing" in text or "bu zhi dao" in text)


def as_said(*heard: str) -> tuple[tuple[str, str], ...]:
    return tuple((one, one) for one in heard)


def syllables(heard: Sequence[str]) -> list[Syllable]:
    return [Syllable(one, one, n * STEP, (n + 1) * STEP) for n, one in enumerate(heard)]


@pytest.mark.parametrize(
    ("heard", "phrase"),
    [
        ("我布知道啊", "不知道"),
        ("解绝不了", "解决不了"),
        ("不能半", "不能办"),
        ("着急也没用", "着急也没有用"),
        ("那你等会儿吧", "等一会儿"),
        ("这就是最中办理节果", "这就是最终办理结果"),
        ("这就是最终办理接口", "这就是最终办理结果"),  # one syllable of nine is another one
    ],
)
def test_other_characters_of_the_same_sound_are_found(heard: str, phrase: str) -> None:
    assert [found for found, _, _ in forbidden(heard)] == [phrase]


@pytest.mark.parametrize(
    "heard",
    [
        "步行十分钟",
        "不幸的消息",
        "不能半途而废".replace("半", "拌")[:2],
        "这就是",
        "解决不好",
        "不会道",
        "这就是规矩",  # five syllables: none may differ
        "这就是最后办理接口",  # nine: two differ
        "",
    ],
)
def test_what_sounds_otherwise_or_is_written_as_an_exception_is_not(heard: str) -> None:
    assert forbidden(heard) == []


def test_punctuation_and_numbers_do_not_hide_a_phrase() -> None:
    assert [one for one, _, _ in forbidden("12345，不，行！不知道。")] == ["不行", "不知道"]


# --- the greeting


def kinds(one: TalkWords) -> list[WordHintKind]:
    return [hint.kind for hint in hints.of_talk(one, BOOK)]


@given(st.integers(0, 3600 * SECOND))
def test_a_greeting_must_begin_in_time(begin: int) -> None:
    late = BOOK.within // STEP
    for before, missing in ((0, False), (late - 1, False), (late, True), (late + 20, True)):
        words = spoken("啊" * before, begin) + spoken("您好", begin + before * STEP)
        one = TalkWords("1001", begin, begin + 60 * SECOND, (), tuple(words))
        found = [hint for hint in hints.of_talk(one, BOOK) if hint.kind is WordHintKind.NO_GREETING]
        assert bool(found) == missing
        if found:
            assert (found[0].begin, found[0].end) == (begin, begin + BOOK.within)


def test_an_agent_who_says_nothing_has_not_greeted() -> None:
    assert kinds(talk("", seconds=60)) == [WordHintKind.NO_GREETING]


def test_a_talk_that_was_too_short_to_greet_says_nothing() -> None:
    assert kinds(talk("", seconds=9)) == []


# --- speech rate


@given(st.integers(hints.LEAST, 200), st.integers(50, 600))
def test_the_rate_is_characters_a_minute(count: int, speed: int) -> None:
    step = 60 * SECOND // speed
    found = hints.rate(spell(spoken("天" * count, step=step)))
    assert found == pytest.approx(speed, rel=0.01)


@given(st.lists(st.integers(0, 30 * SECOND), min_size=1, max_size=20))
def test_pauses_do_not_slow_a_rate(gaps: list[int]) -> None:
    words: list[Word] = []
    at = 0
    for gap in gaps:
        words += spoken("天" * hints.LEAST, at)
        at = words[-1].end + (gap if gap >= hints.PAUSE else 0)
    assert hints.rate(spell(words)) == pytest.approx(240, rel=0.01)


def test_too_few_characters_have_no_rate() -> None:
    assert hints.rate(spell(spoken("天" * (hints.LEAST - 1)))) is None
    assert hints.rate([]) is None


def test_a_hurried_talk_is_hinted_at() -> None:
    step = 60 * SECOND // 400
    words = tuple(spoken("您好" + "天" * 40, step=step))
    (found,) = hints.of_talk(TalkWords("1001", 0, 60 * SECOND, (), words), BOOK)
    assert (found.kind, round(found.rate)) == (WordHintKind.FAST, 400)
    slow = PhraseList((), (), 0, 0, 500)
    (found,) = hints.of_talk(TalkWords("1001", 0, 60 * SECOND, (), words), slow)
    assert found.kind is WordHintKind.SLOW
    assert hints.of_talk(TalkWords("1001", 0, 9 * SECOND), slow) == []


# --- syllables

_ANY = st.characters(exclude_categories=["Cs"])


@given(st.lists(st.text(_ANY | st.sampled_from("天12，a "), max_size=4), max_size=8))
def test_every_syllable_lies_within_its_word(texts: list[str]) -> None:
    words = [Word(one, n * SECOND, n * SECOND + STEP) for n, one in enumerate(texts)]
    found = spell(words)
    assert len(found) == len(sounds("".join(texts)))
    for one, two in pairwise(found):
        assert one.begin <= one.end <= two.begin
    for one in found:
        assert one.begin // SECOND * SECOND + STEP >= one.end


def test_a_character_is_read_as_its_neighbours_have_it() -> None:
    assert sounds_of("不行") == ("bu", "xing")
    assert sounds_of("银行") == ("yin", "hang")
    assert sounds_of("怎么还不明白") == ("zen", "me", "hai", "bu", "ming", "bai")
    assert sounds_of("8890 ok。") == ("ba", "ba", "jiu", "ling", "o", "k")


def test_tones_are_gone() -> None:
    listed = {sound for text in said(BOOK) for sound, _ in sounds(text)}
    assert all(set(one) <= set(string.ascii_lowercase) for one in listed)
