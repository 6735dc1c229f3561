"""The rules as data: what they mean, what is impossible about them, and how an operator writes them."""

import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acd.rules.model import DEFAULT, Flag, Member, Number, Queue, Rules, Strategy, SurveyWhen, check
from acd.rules.text import (
    FIELDS,
    Rulebook,
    RulesError,
    from_toml,
    in_order,
    problems,
    read_setting,
    to_toml,
)
from agents.pause import USUAL, Pause
from facts.times import SECOND

DEFAULTS = Queue(ring_time=7.0, wrap_up_time=3.0, longest_wait=99.0)


def book(**parts: Any) -> Rulebook:
    return replace(Rulebook(), **parts)


def queues(**given: Mapping[str, Any]) -> Rulebook:
    return book(queues={DEFAULT: {}, **given})


def wrong(text: str) -> list[str]:
    with pytest.raises(RulesError) as error:
        from_toml(text)
    return list(error.value.problems)


# --- what they mean


def test_what_a_queue_does_not_set_it_has_from_the_settings() -> None:
    rules = queues(tax={"ring_time": 15.0, "priority": 2}).rules(DEFAULTS)
    assert rules.queues == {
        DEFAULT: DEFAULTS,
        "tax": replace(DEFAULTS, name="tax", ring_time=15.0, priority=2),
    }


def test_the_floor_takes_all_that_was_set() -> None:
    number, member, flag = Number("12345"), Member("1001", DEFAULT), Flag("+8613812345678", 3)
    own: dict[str, Any] = {
        "numbers": {"12345": number},
        "members": (member,),
        "skills": {"1001": {"en": 3}},
        "flags": {flag.caller: flag},
        "priority_step": 30.0,
    }
    assert book(**own).rules(DEFAULTS) == Rules(queues={DEFAULT: DEFAULTS}, **own)


def test_every_problem_is_a_line_of_the_error() -> None:
    assert str(RulesError(["one", "two"])) == "one\ntwo"


def test_numbers_of_the_settings_lead_to_default_unless_assigned() -> None:
    old = Number("96178", "tax", "en", "老号")
    rules = book(queues={DEFAULT: {}, "tax": {}}, numbers={"96178": old}).rules(
        DEFAULTS, ("12345", "96178")
    )
    assert rules.numbers == {"12345": Number("12345"), "96178": old}
    assert rules.needs("tax", "96178") == (("en", 1),)
    assert rules.needs("tax", "12345") == ()


def test_priority_of_queue_and_caller_add_up() -> None:
    rules = book(
        queues={DEFAULT: {}, "tax": {"priority": 2}},
        flags={"+8613812345678": Flag("+8613812345678", 3)},
        priority_step=30.0,
    ).rules(DEFAULTS)
    assert rules.bonus("tax", "+8613812345678") == 150 * SECOND
    assert rules.bonus(DEFAULT, "") == 0


def test_every_field_of_a_queue_can_be_set() -> None:
    assert list(FIELDS) == [field.name for field in fields(Queue) if field.name != "name"]


# --- what is impossible


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (queues(a={"ring_time": 0.5}), "queue a: a phone must ring for at least one second"),
        (queues(a={"overflow_to": DEFAULT}), "overflow_to needs overflow_after or longest_queue"),
        (queues(a={"overflow_after": 9.0}), "overflow_after needs overflow_to"),
        (queues(a={"overflow_to": "b", "longest_queue": 3}), "neither a queue nor a telephone"),
        (queues(a={"callback_key": "A"}), "callback_key is one key of a telephone"),
        (
            queues(
                a={"overflow_to": "b", "overflow_after": 1.0},
                b={"overflow_to": "a", "overflow_after": 1.0},
            ),
            "its overflow leads back to",
        ),
        (queues(a={"hours": "ofice"}), "there are no opening hours ofice"),
        (book(queues={"a": {}}), "queue default is missing"),
        (book(numbers={"12": Number("12", "b")}), "number 12: there is no queue b"),
        (book(members=(Member("1001", "b"),)), "agent 1001: there is no queue b"),
        (book(flags={"+861": Flag("+861", 10)}), "priority goes from 0 to 9"),
        (book(members=(Member("1008", DEFAULT),)), "agent 1008 is not on the roster"),
        (book(skills={"1010": {"en": 1}}), "agent 1010 is not on the roster (did you mean 1001"),
        (book(pauses=(Pause("1", "小休"), Pause("2", "小休"))), "two keys mean the pause 小休"),
    ],
)
def test_impossible_rules_are_named(given: Rulebook, said: str) -> None:
    found = list(problems(given, {"1001"}))
    assert any(said in one for one in found), found


def test_the_settings_themselves_may_be_what_does_not_fit() -> None:
    assert list(problems(Rulebook(), defaults=Queue(ring_time=0.2)))


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("12345", "one of the hotline's own numbers"),
        ("12346", "one of the hotline's own numbers"),
        ("1001", "an agent's number"),
        ("110", "emergency numbers are never dialled"),
    ],
)
def test_an_overflow_that_comes_back_or_rings_the_police_is_refused(target: str, says: str) -> None:
    given = book(
        queues={DEFAULT: {"overflow_to": target, "overflow_after": 9.0}},
        numbers={"12345": Number("12345")},
    )
    (problem,) = problems(given, {"1001"}, own=("12346",))
    assert problem.startswith(f"queue default: overflow_to {target}: ")
    assert says in problem


def test_sound_rules_have_no_problem() -> None:
    sound = book(
        queues={
            DEFAULT: {},
            "tax": {"hours": "office", "overflow_to": "12333", "overflow_after": 9.0},
        },
        numbers={"12345": Number("12345", "tax")},
        members=(Member("1001", "tax", 3),),
        skills={"1001": {"税务": 9}},
        hours={"office": {"mon-fri": "08:00-18:00"}},
    )
    assert list(problems(sound, {"1001"})) == []
    assert list(check(Rules())) == []


# --- TOML


def from_words(text: str) -> str:
    """As every text is kept: composed, and without blanks round it."""
    return str(FIELDS["hours"].read(text)) if len(text) <= 32 else ""


_TIMES = st.floats(0, 604_800, allow_nan=False)
_NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,31}", fullmatch=True)
_SKILLS = st.from_regex(r"\w[\w-]{0,31}", fullmatch=True)
_TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=40).map(
    from_words
)
_AGENTS = st.from_regex(r"[0-9]{2,8}", fullmatch=True)
_CALLERS = st.from_regex(r"\+861[3-9][0-9]{9}", fullmatch=True)


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "strategy": st.sampled_from(Strategy),
    "together": st.integers(1, 50),
    "priority": st.integers(0, 9),
    "skills": st.dictionaries(_SKILLS, st.integers(1, 9), max_size=3),
    "longest_queue": st.integers(0, 1000),
    "overflow_to": _TEXTS,
    "reserve": st.integers(0, 1000),
    "call_back_lost": st.booleans(),
    "callback_key": st.sampled_from("0123456789*#"),
    "stay_on_line": st.booleans(),
    "detect_silence": st.booleans(),
    "offer_in_notice": st.booleans(),
    "hours": _TEXTS,
    "survey": st.sampled_from(SurveyWhen),
}
_QUEUES = st.fixed_dictionaries({}, optional={name: _VALUES.get(name, _TIMES) for name in FIELDS})


@st.composite
def books(draw: st.DrawFn) -> Rulebook:
    """Rules of every shape that can be written, whether they can work or not."""
    names = draw(st.sets(_NAMES, max_size=4)) | {DEFAULT}
    queue = st.sampled_from(sorted(names))
    numbers = draw(st.sets(st.from_regex(r"[0-9]{2,15}", fullmatch=True), max_size=4))
    pairs = draw(st.sets(st.tuples(_AGENTS, queue), max_size=6))
    return Rulebook(
        queues={name: draw(_QUEUES) for name in names},
        numbers={one: Number(one, draw(queue), draw(_SKILLS), draw(_TEXTS)) for one in numbers},
        members=in_order(Member(*pair, draw(st.integers(0, 1000))) for pair in pairs),
        skills=draw(
            st.dictionaries(
                _AGENTS, st.dictionaries(_SKILLS, st.integers(1, 9), min_size=1), max_size=3
            )
        ),
        flags={
            one: Flag(one, draw(st.integers(0, 9)), draw(_TEXTS))
            for one in draw(st.sets(_CALLERS, max_size=3))
        },
        hours=draw(
            st.dictionaries(
                _NAMES,
                st.dictionaries(
                    st.sampled_from(["mon", "tue-fri", "workdays", "holidays", "2026-02-14"]),
                    st.sampled_from(["closed", "08:00-18:00", "08:00-12:00,13:00-24:00"]),
                ),
                max_size=2,
            )
        ),
        pauses=tuple(
            Pause(key, draw(_TEXTS.filter(bool)), draw(st.integers(0, 1440)))
            for key in sorted(draw(st.sets(st.sampled_from("0123456789"))))
        ),
        priority_step=draw(_TIMES),
    )


@settings(max_examples=50)
@given(books())
def test_what_is_written_is_read_back(given: Rulebook) -> None:
    text = to_toml(given)
    again = from_toml(text)
    assert again == given
    assert to_toml(again) == text


@given(st.text())
def test_any_text_is_rules_or_a_sentence(text: str) -> None:
    with suppress(RulesError):
        from_toml(text)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=5),
        lambda inner: st.dictionaries(
            st.sampled_from(
                ["queue", "number", "member", "skill", "flag", "hours", "pause", "default"]
            )
            | st.sampled_from([*FIELDS, "12345", "1001", "mon", "1", "name"]),
            inner,
            max_size=4,
        ),
    )
)
def test_any_value_is_rules_or_a_sentence(document: Any) -> None:
    def toml(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
        return json.dumps(value) if value is not None else "[]"

    text = (
        "\n".join(f"{name} = {toml(value)}" for name, value in document.items())
        if isinstance(document, dict)
        else f"queue = {toml(document)}"
    )
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    with suppress(RulesError):
        from_toml(text)


def test_a_section_replaces_the_whole_section_and_the_others_stay() -> None:
    before = book(
        queues={DEFAULT: {"priority": 1}, "tax": {}},
        skills={"1001": {"en": 3}},
        flags={"+861": Flag("+861", 3)},
    )
    after = from_toml("[skill]\n1002.en = 4\n[flag]\n", before)
    assert after == replace(before, skills={"1002": {"en": 4}}, flags={})
    assert from_toml("[queue.vip]\n", before).queues == {DEFAULT: {}, "vip": {}}


def test_a_file_as_people_write_it() -> None:
    text = """
        [queue.tax]  # 税务
        skills = { "税务" = 3 }
        ring_time = 10
        [number]
        12345.queue = "tax"
        [member]
        tax = { 1002 = 1, 1001 = 0 }
        [flag."138 1234 5678"]
        priority = 2
        [hours.office]
        mon-fri = "08:00 - 12:00, 13:00-18:00"
        holidays = "closed"
        [pause.1]
        name = "喝水"
    """
    assert from_toml(text) == book(
        queues={DEFAULT: {}, "tax": {"skills": {"税务": 3}, "ring_time": 10.0}},
        numbers={"12345": Number("12345", "tax")},
        members=(Member("1001", "tax", 0), Member("1002", "tax", 1)),
        flags={"+8613812345678": Flag("+8613812345678", 2)},
        hours={"office": {"mon-fri": "08:00-12:00,13:00-18:00", "holidays": "closed"}},
        pauses=(Pause("1", "喝水", 0),),
    )


def test_everything_that_is_wrong_is_said_at_once_with_its_line() -> None:
    text = "\n".join(
        [
            'priority_step = "x"',
            "[queue.default]",
            "ring_tme = 3",
            'ring_time = "fast"',
            "priority = 10",
            "call_back_lost = 1",
            'strategy = "random"',
            "[queue.Tax]",
            '[number."12 345"]',
            "[number.12346]",
            "queue = 3",
            "[member.tax]",
            "1001 = -1",
            '"10 01" = 0',
            '[flag."13812345678"]',
            'note = "two\\nlines"',
            '[flag."+86 13812345678"]',
            "[pause.1]",
            "[hours.office]",
            'mon-fi = "08:00-18:00"',
            'mon = "8-18"',
            "[qeue]",
        ]
    )
    found = wrong(text)
    assert [int(one.split(":")[0].removeprefix("line ")) for one in found] == [
        1, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 16, 17, 18, 20, 21, 22,
    ]  # fmt: skip
    assert found[1] == (
        "line 3: queue.default.ring_tme: there is no such key (did you mean ring_time?)"
    )
    assert "'fast' is not a number of seconds" in found[2]
    assert "there is longest-idle, fewest-calls" in found[5]
    assert "did you mean queue?" in found[-1]


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-1", "604801", "true", '"15"', "[]", "1979-05-27", "{}"]
)
def test_a_time_is_a_number_of_seconds_within_a_week(value: str) -> None:
    (said,) = wrong(f"[queue.default]\nlongest_wait = {value}")
    assert said.startswith("line 2: queue.default.longest_wait: ")


def test_what_is_not_toml_is_said_with_its_line() -> None:
    (said,) = wrong("[queue.default]\nring_time = = 3")
    assert "not TOML" in said
    assert "line 2" in said


# --- one word


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ring_time", "12.5", 12.5),
        ("priority", "3", 3),
        ("call_back_lost", "no", False),
        ("stay_on_line", "TRUE", True),
        ("strategy", "round-robin", Strategy.ROUND_ROBIN),
        ("skills", "en:3, 税务", {"en": 3, "税务": 1}),
        ("overflow_to", "110", "110"),
        ("callback_key", "*", "*"),
    ],
)
def test_words_of_the_command_line(name: str, text: str, value: Any) -> None:
    assert read_setting(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ring_time", "soon"),
        ("ring_time", "nan"),
        ("priority", "2.5"),
        ("call_back_lost", "maybe"),
        ("strategy", "fair"),
        ("skills", "en:10"),
        ("skills", "en:x"),
        ("callback_key", "12"),
        ("ringtime", "3"),
        ("name", "x"),
    ],
)
def test_words_that_cannot_be_read(name: str, text: str) -> None:
    with pytest.raises(RulesError, match=name):
        read_setting(name, text)


def test_the_usual_pauses_are_the_first_ones() -> None:
    assert Rulebook().pauses == USUAL
