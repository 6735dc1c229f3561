"""The gate: numbers that nothing opens it for, and caps that hold in every history."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from acd.gate import History, Policy, Purpose, Why, may_dial
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
    number: str, purpose: Purpose = Purpose.CALLBACK, allow: tuple[str, ...] = (), **more: object
) -> Why | None:
    refusal = may_dial(
        number,
        purpose,
        Policy(allow=allow, **more),
        own=OWN,
        agents=AGENTS,  # type: ignore[arg-type]
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
