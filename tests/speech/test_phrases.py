"""The list of phrases: as the standard has them, and an edited one that is wrong says so."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facts.times import SECOND
from speech import phrases
from speech.phrases import PhraseListError
from tests.speech.lists import BOOK


def test_it_has_the_phrases_of_the_standard() -> None:
    """003 六(六), all twelve, in its order and in its words."""
    assert [one.text for one in BOOK.forbidden] == [
        "不行",
        "不知道",
        "不能办",
        "解决不了",
        "等一会儿",
        "着急也没有用",
        "爱找谁找谁",
        "有意见你告我去",
        "怎么还不明白",
        "这就是规定",
        "这就是最终办理结果",
        "我说话你听不懂么",
    ]
    assert {one.source for one in BOOK.forbidden} == {"003 六(六)"}
    assert BOOK.within == 10 * SECOND


def test_an_empty_list_finds_nothing() -> None:
    book = phrases.read("", "x")
    assert (book.forbidden, book.greetings, book.within) == ((), (), 0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[forbidden]]", "x: a [[forbidden]] needs its phrase"),
        ('[[forbidden]]\nphrase = "行"', "has 1 characters that are said: write 2 to 40"),
        ('[[forbidden]]\nphrase = "，。"', "has 0 characters"),
        (f'[[forbidden]]\nphrase = "{"天" * 41}"', "has 41 characters"),
        ('[[forbidden]]\nphrase = "不行"\nalso = "不可"', 'write also as ["…", "…"]'),
        ('[[forbidden]]\nphrase = "不行"\nextra = 1', "has phrase, also, unless and source"),
        ("forbidden = 1", "write each phrase as [[forbidden]], 500 at most"),
        ("[greeting]\nwithin = -1", "write within as a number, 0 to 10000"),
        ("[greeting]\nwithin = true", "write within as a number, 0 to 10000"),
        ("[rate]\nfastest = nan", "write fastest as a number, 0 to 10000"),
        ("[rate]\nmost = 1", "[rate] has fastest and slowest"),
        ("rate = 3", "[rate] has fastest and slowest"),
        ("[other]", "x: remove or rename other"),
        ("a = ", "x: "),
    ],
)
def test_a_list_that_is_wrong_says_what_to_write(text: str, why: str) -> None:
    with pytest.raises(PhraseListError) as error:
        phrases.read(text, "x")
    assert why in str(error.value)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(PhraseListError):
        phrases.read(text, "x")
