"""A phrase's recordings and sounds, and what is wrong with a phrase file, word by word."""

from typing import Any

import pytest

from ivr.phrases import Phrase, PhraseError, forbidden_of, phrases_of, position


def test_a_counted_phrase_has_a_recording_for_each_number() -> None:
    ahead = Phrase("ahead", "前面有{n}位", "ours", spoken=True, slots={"n": "**"}, counted=3)
    assert ahead.recordings() == {
        "ahead_1": "前面有一位",
        "ahead_2": "前面有两位",
        "ahead_3": "前面有三位",
    }
    assert ahead.recordings("en") == {}
    with pytest.raises(ValueError, match="phrase ahead has no sounds of this kind"):
        ahead.sounds(n=["x"])


def test_in_english_a_number_is_a_number() -> None:
    ahead = Phrase("a", "{n}位", "ours", spoken=True, slots={"n": "*"}, counted=2, en="{n} ahead")
    assert ahead.recordings("en") == {"a_1": "1 ahead", "a_2": "2 ahead"}


def test_a_slot_cuts_a_phrase_into_pieces() -> None:
    number = Phrase(
        "no",
        "工号{n}，为您服务，请拨110",
        "ours",
        spoken=True,
        slots={"n": "*"},
        en="agent {n}, 12",
    )
    assert number.recordings() == {"no_1": "工号", "no_2": "为您服务，请拨幺幺零"}
    assert number.recordings("en") == {"no_1": "agent ", "no_2": "one two"}
    assert number.sounds(n=["d/1", "d/2"]) == ["hotline/no_1", "d/1", "d/2", "hotline/no_2"]
    with pytest.raises(ValueError, match=r"phrase no needs sounds for \['n'\]"):
        number.sounds()


def test_a_piece_keeps_its_letters() -> None:
    one = Phrase("x", "XX{n}XX", "ours", spoken=True, slots={"n": "*"})
    assert one.recordings() == {"x_1": "XX", "x_2": "XX"}


def test_how_it_is_said_comes_before_how_it_is_written() -> None:
    one = Phrase("x", "12345", "ours", spoken=True, say="一二三四五", en="dial 1")
    assert one.recordings() == {"x": "一二三四五"}
    assert one.recordings("en") == {"x": "dial one"}
    assert Phrase("x", "12", "ours").recordings() == {}
    assert one.sounds() == ["hotline/x"]


def test_a_phrase_that_is_not_spoken_has_no_sounds() -> None:
    with pytest.raises(ValueError, match="phrase x has no sounds of this kind"):
        Phrase("x", "12", "ours").sounds()


def test_a_phrase_as_it_is_read() -> None:
    table = {
        "text": "前面有{n}位",
        "source": "ours",
        "spoken": True,
        "slots": {"n": "**"},
        "counted": 99,
        "when": "w",
        "note": "o",
        "say": "{n}",
        "en": "{n}!",
    }
    (read,) = phrases_of({"phrase": {"ahead": table}}, "f").values()
    assert read == Phrase(
        "ahead", "前面有{n}位", "ours", True, {"n": "**"}, "w", "o", 99, "{n}", "{n}!"
    )
    for counted in (1, 99):
        assert phrases_of({"phrase": {"a": {**table, "counted": counted}}}, "f")
    plain = {"text": "x", "source": "y"}
    assert phrases_of({"phrase": {"b": plain, "a": plain}}, "f") == {
        "b": Phrase("b", "x", "y"),
        "a": Phrase("a", "x", "y"),
    }


_OK: dict[str, Any] = {"text": "x", "source": "ours"}
_SLOT: dict[str, Any] = {"text": "{n}", "source": "ours", "slots": {"n": "*"}}
_KNOWN = "text, source, spoken, slots, when, note, counted, say, en"


@pytest.mark.parametrize(
    ("key", "table", "said"),
    [
        ("A", _OK, "use only a-z, 0-9 and _ in its key, beginning with a letter"),
        ("a", 5, "write it as a table [phrase.KEY]"),
        ("a", {**_OK, "txt": "x"}, f"remove or rename 'txt'; known are {_KNOWN}"),
        ("a", {**_OK, "spoken": 1}, "spoken must be of type bool"),
        ("a", {"source": "x"}, 'add text = "…"'),
        ("a", {"text": "x", "source": " "}, 'add source = "…"'),
        (
            "a",
            {**_SLOT, "text": "{n}{m}"},
            "slots must name each {slot} of the text once: n, m",
        ),
        ("a", {**_OK, "slots": {"n": "*"}}, "slots must name each {slot} of the text once: none"),
        ("a", {**_OK, "text": "x}"}, "a { or } in the text is not part of a {slot}"),
        (
            "a",
            {**_SLOT, "slots": {"n": 1}},
            'write each slot as name = "what stands there in the source"',
        ),
        ("a", {**_SLOT, "say": "{m}"}, "say must have the same {slots} as text, in the same order"),
        ("a", {**_SLOT, "en": "{m}"}, "en must have the same {slots} as text, in the same order"),
        *(
            (
                "a",
                {**_SLOT, "counted": n},
                "counted needs exactly one slot and a number from 1 to 99",
            )
            for n in (100, -1)
        ),
        (
            "a",
            {"text": "{n}{m}", "source": "x", "slots": {"n": "", "m": ""}, "counted": 1},
            "counted needs exactly one slot and a number from 1 to 99",
        ),
        ("a", {**_OK, "counted": 1}, "counted needs exactly one slot and a number from 1 to 99"),
    ],
)
def test_a_wrong_phrase(key: str, table: object, said: str) -> None:
    with pytest.raises(PhraseError) as error:
        phrases_of({"phrase": {key: table}}, "file.toml")
    assert str(error.value) == f"file.toml: phrase {key}: {said}"


@pytest.mark.parametrize("content", [{}, {"phrase": {}}, {"phrase": [1]}, {"phrase": 5}])
def test_a_file_without_phrases(content: dict[str, Any]) -> None:
    with pytest.raises(PhraseError) as error:
        phrases_of(content, "file.toml")
    assert str(error.value) == "file.toml: no phrases; each is a table [phrase.KEY]"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"forbidden": 5},
        {"forbidden": {}},
        {"forbidden": {"words": []}},
        {"forbidden": {"words": "x"}},
        {"forbidden": {"words": ["x", ""]}},
        {"forbidden": {"words": ["x", 5]}},
    ],
)
def test_forbidden_words_that_are_missing(content: dict[str, Any]) -> None:
    with pytest.raises(PhraseError) as error:
        forbidden_of(content, "file.toml")
    assert str(error.value) == 'file.toml: [forbidden] needs words = ["…", …], the 服务禁语'
    assert forbidden_of({"forbidden": {"words": ["b", "a"]}}, "f") == ("b", "a")


@pytest.mark.parametrize(
    ("ahead", "sounds"),
    [
        (0, ["hotline/queue_next"]),
        (1, ["hotline/queue_ahead_1", "hotline/please_wait"]),
        (99, ["hotline/queue_ahead_99", "hotline/please_wait"]),
        (100, ["hotline/queue_many", "hotline/please_wait"]),
    ],
)
def test_ninety_nine_is_the_last_exact_number(ahead: int, sounds: list[str]) -> None:
    assert position(ahead) == sounds
