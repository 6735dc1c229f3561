"""The gate: numbers that nothing opens it for, and caps that hold in every history."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acd import gate
from acd.gate import PENDING_FOR, History, Policy, Purpose, Why, may_dial
from base.settings import SettingsError, load
from facts.dialling import HOME
from facts.numbers import normalise
from facts.times import DAY, HOUR, MINUTE, SECOND, midnight

OWN = ("12345", "8890", "02488881234")
AGENTS = frozenset({"1001", "62345678"})
NEVER = (
    *OWN,
    *("+862412345", "02412345", "+862488881234", "88881234", "+86248890"),
    *AGENTS,
    *("110", "119", "120", "122", "999", "112", "1101234", "024110", "+8624119", "12395"),
    *("+882161234567", "+883510012345678", "+881612345678", "+97912345678", "+870773111632"),
    *("+8613490000001", "+8617400000001", "16812345"),
)
EVERYTHING = tuple(f"{digit}*" for digit in range(10)) + tuple(
    f"+{digit}*" for digit in range(1, 10)
)


def why(
    number: str, purpose: Purpose = Purpose.CALLBACK, allow: tuple[str, ...] = (), **more: Any
) -> Why | None:
    refusal = may_dial(
        number,
        purpose,
        Policy(allow=allow, **more),
        own=OWN,
        agents=AGENTS,
    )
    return None if refusal is None else refusal.why


# --- one number


@pytest.mark.parametrize("number", sorted(NEVER))
@pytest.mark.parametrize("purpose", [Purpose.CALLBACK, Purpose.LOST, Purpose.ASKED])
def test_nothing_opens_the_gate_for_these(number: str, purpose: Purpose) -> None:
    assert why(number, purpose, EVERYTHING) is not None
    assert why(number, purpose, (number,)) is not None


_DIGITS = st.text("0123456789", min_size=1, max_size=15)


_WITH_AREA_CODE = st.tuples(
    st.sampled_from(("24", "411", "10")), st.sampled_from((*OWN[:2], "110", "119", "120"))
).map(lambda parts: normalise(f"0{parts[0]}{parts[1]}"))
_LONGER = st.tuples(
    st.sampled_from(("+881", "+882", "+883", "110", "119", "120")),
    st.text("0123456789", min_size=4, max_size=6),
).map("".join)


@given(
    number=st.sampled_from(NEVER) | _WITH_AREA_CODE | _LONGER,
    allow=st.lists(st.sampled_from(EVERYTHING) | _DIGITS, max_size=5).map(tuple),
    region=st.sampled_from(("CN", "HK", "MO", "TW", "US")),
    purpose=st.sampled_from((Purpose.CALLBACK, Purpose.LOST, Purpose.ASKED)),
)
def test_whatever_is_allowed_these_are_not_dialled(
    number: str, allow: tuple[str, ...], region: str, purpose: Purpose
) -> None:
    # China's premium numbers are ordinary ones elsewhere.
    assume(region == HOME or number != "16812345")
    assert why(number, purpose, allow, region=region) is not None


@given(_DIGITS.map(normalise) | _DIGITS.map(lambda digits: normalise(f"+{digits}")))
def test_without_an_allow_list_only_subscribers_at_home(number: str) -> None:
    if why(number) is None:
        digits = number.removeprefix("+86")
        assert number.startswith("+86") or not number.startswith("+")
        assert len(digits) >= 7
        assert digits not in OWN


@pytest.mark.parametrize(
    ("number", "allow"),
    [
        ("12333", ("12333",)),
        ("+85251234567", ("+852*",)),
        ("4008001234", ("400*",)),
        ("+861012345678", ("010*",)),
        ("95588", ("955*", "12333")),
    ],
)
def test_an_allow_list_opens_the_gate(number: str, allow: tuple[str, ...]) -> None:
    assert why(number) is not None
    assert why(number, Purpose.LOST, allow) is None
    assert why(number, Purpose.LOST, allow, deny=allow) is Why.DENIED


@pytest.mark.parametrize(
    ("number", "overflow", "transfer"),
    [
        ("12333", None, None),
        ("4008001234", None, None),
        ("+85251234567", None, None),
        ("02512345", None, None),  # another city's hotline
        ("12345", Why.OWN, Why.OWN),
        ("1001", Why.AGENT, Why.AGENT),
        ("110", Why.EMERGENCY, None),  # R16
    ],
)
def test_what_an_operator_has_set_goes_on(
    number: str, overflow: Why | None, transfer: Why | None
) -> None:
    assert why(number, Purpose.OVERFLOW) is overflow
    assert why(number, Purpose.TRANSFER) is transfer
    assert why(number, Purpose.TRANSFER, deny=(number,)) is not None


def test_every_reason_is_said_in_both_languages() -> None:
    for number in (*NEVER, "10086", "+85251234567", "4008001234"):
        refusal = may_dial(number, Purpose.LOST, Policy(), own=OWN, agents=AGENTS)
        assert refusal is not None
        assert refusal.text().isascii()
        assert not refusal.text("zh").isascii()
        assert number not in refusal.text()


# --- how often

BEGIN = 1_763_690_400 * SECOND
NUMBERS = ("+8613800000001", "+8613800000002", "+8613800000003")

_STEP = st.tuples(
    st.sampled_from(("place", "dial", "end", "end", "wait")),
    st.integers(min_value=0, max_value=20),
    st.sampled_from((SECOND, MINUTE, 20 * MINUTE, HOUR, 5 * HOUR)),
)


@given(
    steps=st.lists(_STEP, max_size=120),
    caps=st.tuples(*[st.integers(min_value=0, max_value=4)] * 3),
)
def test_no_cap_is_exceeded_in_any_history(
    steps: list[tuple[str, int, int]], caps: tuple[int, int, int]
) -> None:
    policy = Policy(per_hour=caps[0], per_number_day=caps[1], budget_day=caps[2])
    history, now = History(), BEGIN
    placed: dict[str, str] = {}
    made: list[tuple[int, str]] = []
    for count, (step, which, wait) in enumerate(steps):
        number = NUMBERS[which % len(NUMBERS)]
        attempt = sorted(placed)[which % len(placed)] if placed else ""
        if step == "wait":
            now += min(wait, 5 * MINUTE) if placed else wait
        elif step == "place":
            refusal = history.full(policy, now) or history.full_for(number, policy, now)
            if refusal is None:
                placed[f"{count:03}"] = number
                history.place(f"{count:03}", number, now)
            else:
                assert refusal.until > now, "the task would be tried again at once"
                assert refusal.until <= now + DAY
        elif attempt:
            number = placed.pop(attempt)
            if step == "dial":
                history.dial(attempt, now)
                made.append((now, number))
            history.end(attempt, now)
        if step == "wait" and placed:
            # The rest of this test has attempts end in time, as those of `telephony.outbound` do.
            for late in list(placed):
                history.end(late, now)
                del placed[late]
        today = [one for at, one in made if at >= midnight(now)]
        hour = [at for at, _ in made if at > now - HOUR]
        assert not caps[0] or len(hour) <= caps[0]
        assert not caps[1] or max(Counter(today).values(), default=0) <= caps[1]
        assert not caps[2] or len(today) <= caps[2]


def test_the_history_is_as_it_was_after_a_restart() -> None:
    history, again = History(), History()
    for turn in range(5):
        history.place(f"a{turn}", NUMBERS[turn % 2], BEGIN + turn * MINUTE)
        history.dial(f"a{turn}", BEGIN + turn * MINUTE)
        again.add(f"a{turn}", NUMBERS[turn % 2], BEGIN + turn * MINUTE)
    later = BEGIN + 5 * MINUTE
    for policy in (Policy(per_hour=5), Policy(budget_day=5), Policy(per_hour=6)):
        assert history.full(policy, later) == again.full(policy, later)
    for number in NUMBERS:
        assert history.full_for(number, Policy(per_number_day=2), later) == again.full_for(
            number, Policy(per_number_day=2), later
        )


def test_memory_is_of_a_day() -> None:
    history = History()
    for turn in range(20_000):
        history.add(f"a{turn}", f"+86138{turn:08}", BEGIN + turn * MINUTE)
    state = history.write_down()
    assert len(state["hour"]) <= 61
    assert len(state["today"]) <= 24 * 60
    assert len(state["last"]) <= 4096


# --- settings


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTLINE_DIAL_ALLOW", "12333, 13800000001, +852*")
    settings = load()
    assert settings.dial_allow == ("12333", "+8613800000001", "+852*")
    for name, value in (
        ("HOTLINE_DIAL_ALLOW", "*"),
        ("HOTLINE_DIAL_DENY", "abc"),
        ("HOTLINE_REGION", "XX"),
        ("HOTLINE_DIAL_PER_HOUR", "-1"),
    ):
        with monkeypatch.context() as bad:
            bad.setenv(name, value)
            with pytest.raises(SettingsError, match=name):
                load()


# --- to the moment

ONE, TWO, THREE = NUMBERS


def full(history: History, now: int, **caps: int) -> tuple[Why, int] | None:
    """Why nobody may be dialled, and until when."""
    refusal = history.full(Policy(**caps), now)  # type: ignore[arg-type]
    return None if refusal is None else (refusal.why, refusal.until)


def full_for(history: History, number: str, now: int, most: int) -> tuple[Why, int] | None:
    refusal = history.full_for(number, Policy(per_number_day=most), now)
    return None if refusal is None else (refusal.why, refusal.until)


def made(*attempts: tuple[str, int]) -> History:
    history = History()
    for count, (number, at) in enumerate(attempts):
        history.add(f"a{count}", number, at)
    return history


def test_an_hour_is_over_to_the_moment() -> None:
    history = made((ONE, BEGIN), (TWO, BEGIN + MINUTE), (ONE, BEGIN + 2 * MINUTE))
    now = BEGIN + 3 * MINUTE
    assert full(history, now, per_hour=4) is None
    assert full(history, now, per_hour=3) == (Why.HOUR, BEGIN + HOUR)
    # Two must leave the hour before one may come.
    assert full(history, now, per_hour=2) == (Why.HOUR, BEGIN + MINUTE + HOUR)
    assert full(history, BEGIN + HOUR - 1, per_hour=3) == (Why.HOUR, BEGIN + HOUR)
    assert full(history, BEGIN + HOUR, per_hour=3) is None


def test_a_day_ends_at_midnight_in_china() -> None:
    tomorrow = midnight(BEGIN) + DAY
    history = made((ONE, BEGIN), (TWO, BEGIN + 1))
    assert full(history, BEGIN + 2, budget_day=3) is None
    assert full(history, BEGIN + 2, budget_day=2) == (Why.BUDGET, tomorrow)
    assert full(history, BEGIN + 2, budget_day=1) == (Why.BUDGET, tomorrow)
    assert full(history, BEGIN + 2, budget_day=2, per_hour=1) == (Why.BUDGET, tomorrow)
    assert full_for(history, ONE, BEGIN + 2, 1) == (Why.NUMBER_DAY, tomorrow)
    assert full_for(history, ONE, BEGIN + 2, 2) is None
    assert full_for(history, THREE, BEGIN + 2, 1) is None
    assert full(history, tomorrow - 1, budget_day=2) == (Why.BUDGET, tomorrow)
    assert full(history, tomorrow, budget_day=2) is None
    assert full_for(history, ONE, tomorrow, 1) is None
    history.add("b", ONE, tomorrow)
    assert full(history, tomorrow + 1, budget_day=1) == (Why.BUDGET, tomorrow + DAY)
    assert full(history, tomorrow + 1, budget_day=2) is None
    assert full_for(history, ONE, tomorrow + 1, 1) == (Why.NUMBER_DAY, tomorrow + DAY)


def test_an_attempt_of_yesterday_that_is_told_late_is_none_of_today() -> None:
    today = midnight(BEGIN) + DAY
    for at, caps in ((today - 1, False), (today, True)):
        history = made((TWO, today + HOUR), (ONE, at))
        assert (full_for(history, ONE, today + HOUR, 1) is not None) is caps
        assert (full(history, today + HOUR, budget_day=2) is not None) is caps


def test_no_cap_is_no_cap() -> None:
    history = made(*[(ONE, BEGIN)] * 50)
    history.place("b", ONE, BEGIN)
    assert full(history, BEGIN) is None
    assert full_for(history, ONE, BEGIN, 0) is None
    assert full(history, BEGIN, budget_day=1) is not None
    assert full(history, BEGIN, per_hour=1) is not None


def test_what_is_on_its_way_counts_and_is_asked_about_again_in_a_minute() -> None:
    history = made((ONE, BEGIN))
    history.place("b", TWO, BEGIN)
    now = BEGIN + SECOND
    assert full(history, now, per_hour=2) == (Why.HOUR, now + MINUTE)
    assert full(history, now, budget_day=2) == (Why.BUDGET, now + MINUTE)
    assert full(history, now, budget_day=3, per_hour=3) is None
    assert full(history, now, per_hour=1) == (Why.HOUR, BEGIN + HOUR)
    assert full_for(history, TWO, now, 1) == (Why.NUMBER_DAY, now + MINUTE)
    assert full_for(history, TWO, now, 2) is None
    assert full_for(history, ONE, now, 2) is None
    assert full_for(history, THREE, now, 1) is None
    # It counts for ten minutes if nothing more is told of it.
    late = BEGIN + PENDING_FOR - SECOND
    assert full_for(history, TWO, late, 1) == (Why.NUMBER_DAY, BEGIN + PENDING_FOR)
    assert full_for(history, TWO, BEGIN + PENDING_FOR - 1, 1) is not None
    assert full_for(history, TWO, BEGIN + PENDING_FOR, 1) is None


def test_of_several_on_their_way_the_late_ones_alone_are_forgotten() -> None:
    history = History()
    for name, at in (("a", BEGIN), ("b", BEGIN + SECOND), ("c", BEGIN + 2 * SECOND)):
        history.place(name, ONE, at)
    now = BEGIN + SECOND + PENDING_FOR
    assert full_for(history, ONE, now, 2) is None
    assert full_for(history, ONE, now, 1) == (Why.NUMBER_DAY, now + SECOND)


def test_room_is_given_back_by_an_attempt_that_dialled_nobody() -> None:
    history = History()
    history.place("a", ONE, BEGIN)
    assert history.end("a", BEGIN + SECOND)
    assert not history.end("a", BEGIN + SECOND)
    assert full(history, BEGIN + SECOND, budget_day=1) is None
    history.place("b", ONE, BEGIN)
    history.dial("b", BEGIN + 2 * SECOND)
    assert not history.end("b", BEGIN + 3 * SECOND)
    assert full(history, BEGIN + 3 * SECOND, budget_day=1) is not None
    assert not history.end("unknown", BEGIN)


def test_an_attempt_is_counted_once() -> None:
    history = History()
    history.dial("a", BEGIN)  # never placed
    history.place("a", ONE, BEGIN)
    for at in (BEGIN + 1, BEGIN + 2):
        history.dial("a", at)
        history.place("a", ONE, at)
    assert full(history, BEGIN + 3, budget_day=1) == (Why.BUDGET, midnight(BEGIN) + DAY)
    assert full(history, BEGIN + 3, budget_day=2) is None
    assert full(history, BEGIN + 3, per_hour=1) == (Why.HOUR, BEGIN + 1 + HOUR)


def test_a_call_comes_of_our_dialling_until_five_seconds_after_it() -> None:
    history = made((ONE, BEGIN))
    assert not history.brought_about(ONE, BEGIN - 1)
    assert history.brought_about(ONE, BEGIN)
    assert history.brought_about(ONE, BEGIN + PENDING_FOR)
    assert not history.brought_about(ONE, BEGIN + PENDING_FOR + 1)
    assert not history.brought_about(TWO, BEGIN)
    assert not history.brought_about(TWO, 0)
    history.end("a0", BEGIN + MINUTE)
    assert history.brought_about(ONE, BEGIN)
    assert history.brought_about(ONE, BEGIN + MINUTE + 5 * SECOND)
    assert not history.brought_about(ONE, BEGIN + MINUTE + 5 * SECOND + 1)
    history.end("a0", BEGIN + HOUR)  # told again
    assert not history.brought_about(ONE, BEGIN + HOUR)


def test_what_is_written_down_is_read_again_whole() -> None:
    history = made((ONE, BEGIN), (TWO, BEGIN + SECOND))
    history.end("a0", BEGIN + MINUTE)
    history.place("b", THREE, BEGIN + MINUTE)
    written = history.write_down()
    assert written == {
        "placed": [("b", THREE, BEGIN + MINUTE)],
        "hour": [BEGIN, BEGIN + SECOND],
        "today": {ONE: 1, TWO: 1},
        "midnight": midnight(BEGIN),
        "dialling": [("a1", TWO)],
        "last": [(ONE, BEGIN, BEGIN + MINUTE), (TWO, BEGIN + SECOND, 0)],
    }
    again = History()
    again.fill(json.loads(json.dumps(written)))
    assert json.dumps(again.write_down()) == json.dumps(written)
    now = BEGIN + 2 * MINUTE
    for caps in ({"budget_day": 2}, {"budget_day": 3}, {"budget_day": 4}, {"per_hour": 2}):
        assert full(again, now, **caps) == full(history, now, **caps)
    assert again.brought_about(TWO, now)


def test_the_reason_is_said_in_the_language_that_was_asked_for() -> None:
    refusal = may_dial("110", Purpose.LOST, Policy(), own=OWN, agents=AGENTS)
    assert refusal is not None
    assert refusal.until == 0
    assert (
        refusal.text() == refusal.text("en") == "emergency numbers are never dialled by the hotline"
    )
    assert refusal.text("zh") == "紧急号码不会自动拨打"


def test_a_region_has_its_own_subscribers() -> None:
    assert why("+85251234567", region="HK") is None
    assert why("+8613800000001", region="HK") is Why.ABROAD


def test_who_is_forgotten_while_being_dialled_is_remembered_from_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "REMEMBERED", 2)
    history = History()
    history.add("a", ONE, BEGIN)
    for attempt, number in (("b", TWO), ("c", THREE)):
        history.add(attempt, number, BEGIN + 1)
        history.end(attempt, BEGIN + 2)
    assert not history.brought_about(ONE, BEGIN + 2)
    history.end("a", BEGIN + MINUTE)
    assert history.brought_about(ONE, BEGIN + MINUTE + 5 * SECOND)


def test_the_first_attempt_alone_may_fill_the_hour() -> None:
    history = History()
    history.place("a", ONE, BEGIN)
    assert full(history, BEGIN, per_hour=1) == (Why.HOUR, BEGIN + MINUTE)
    assert full(history, BEGIN, per_hour=2) is None


def test_who_may_be_denied() -> None:
    assert why("+8613800000001", deny=("1390*",)) is None
    assert why("+8613800000001", deny=("13801*",)) is None
    assert why("95588", deny=("095588",)) is Why.SHORT
    assert why("13800000001", deny=("+8613800000001",)) is None
    assert why("+8613800000001", deny=("13800000001",)) is Why.DENIED
    assert why("+8613800000001", deny=("138*",)) is Why.DENIED
    assert why("+8613800000001", deny=("0138*",)) is Why.DENIED
    assert why("+8613800000001", deny=("1380000000",)) is None
    assert why("+8613800000001", deny=("1390*", "+86138*")) is Why.DENIED
    assert why("+8613800000001", Purpose.OVERFLOW, deny=("138*",)) is Why.DENIED
