"""Callers' numbers in one form (R19)."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from facts.numbers import LONGEST, dialable, normalise, written_forms


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("13812345678", "+8613812345678"),
        ("013812345678", "+8613812345678"),
        ("8613812345678", "+8613812345678"),
        ("+8613812345678", "+8613812345678"),
        ("+86013812345678", "+8613812345678"),
        ("008613812345678", "+8613812345678"),
        ("+008613812345678", "+8613812345678"),
        ("+013812345678", "+8613812345678"),
        ("++0110", "0110"),
        (" +86 138-1234-5678 ", "+8613812345678"),
        ("02423456789", "+862423456789"),
        ("(024) 2345 6789", "+862423456789"),
        ("862423456789", "+862423456789"),
        ("057412345678", "+8657412345678"),
        ("23456789", "23456789"),
        ("86123456", "86123456"),
        ("110", "110"),
        ("1001", "1001"),
        ("4008123123", "4008123123"),
        ("+442079460000", "+442079460000"),
        ("00442079460000", "+442079460000"),
        ("+4402079460000", "+442079460000"),
        ("17951013812345678", "17951013812345678"),
        ("0086128540840307", "+86128540840307"),
        ("*31#", "*31#"),
        ("anonymous", ""),
        ("Anonymous ", ""),
        ("unknown", ""),
        ("<unknown>", ""),
        ("", ""),
        ("+", ""),
        ("\r\n\0", ""),
        ("$(reboot)", ""),
        ("☎张三", ""),
        ("１２３", ""),
        ("138;rm -rf 1234\r\n5678", "+8613812345678"),
    ],
)
def test_one_caller_has_one_number(raw: str, normal: str) -> None:
    assert normalise(raw) == normal


@given(
    st.text()
    | st.text("0123456789+*#- ", max_size=50)
    | st.from_regex(r"(\+|00|0|86|\+860*)?[0-9]{0,33}")
)
@example("1" * 500)
@example("+" + "86" * 250)
@example("0086" + "0" * 28 + "1")
def test_whatever_comes_is_short_clean_and_settled(raw: str) -> None:
    normal = normalise(raw)
    assert len(normal) <= LONGEST
    assert set(normal[:1]) <= set("+0123456789*#")
    assert set(normal[1:]) <= set("0123456789*#")
    assert normal != "+"
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "number",
    [
        "110",
        "12345",
        "23456789",
        "+8613812345678",
        "+862423456789",
        "+85212345678",
        "+442079460000",
    ],
)
def test_what_may_be_dialled(number: str) -> None:
    assert dialable(number)
    assert normalise(number) == number


@pytest.mark.parametrize(
    "number",
    [
        "",
        "+",
        "11",
        "1" * 16,
        "*31#",
        "+999123456",
        "+86110",
        "+4402079460000",
        "110@host",
        "110\n",
    ],
)
def test_what_may_not_be_dialled(number: str) -> None:
    assert not dialable(number)


# --- a number in a text


@pytest.mark.parametrize(
    "text",
    [
        *("13812345678", "+8613812345678", "8613812345678", "008613812345678", "013812345678"),
        *("+86 138-1234-5678", "138 1234 5678", "0086 138 1234 5678", "+86 (0)13812345678"),
        *(
            '"13812345678"',
            "<sip:13812345678@10.0.0.1>",
            "call 13812345678.",
            "tel:+86-138-12345678",
        ),
        "来电13812345678反映",
    ],
)
def test_a_number_is_found_however_it_is_written(text: str) -> None:
    found = written_forms("+8613812345678").search(text)
    assert found is not None
    assert normalise(found[0].replace("(0)", "")) == "+8613812345678"


@pytest.mark.parametrize(
    "text",
    [
        *("138123456789", "213812345678", "1763731200.13812345678", "13812345678.17"),
        *("13812345677", "1381234567", "138,1234,5678", "138  1234 5678", "00013812345678"),
    ],
)
def test_other_digits_are_not_that_number(text: str) -> None:
    found = written_forms("+8613812345678").search(text)
    assert found is None or found[0] != text


def test_numbers_from_abroad_and_local_ones_have_their_own_forms() -> None:
    abroad = written_forms("+442079460958")
    for text in ("+442079460958", "00442079460958", "+44 20 7946 0958", "442079460958"):
        assert abroad.search(text), text
    assert not abroad.search("02079460958")  # some other country's
    assert written_forms("+862423456789").search("024-23456789")
    local = written_forms("23456789")
    assert local.search("2345 6789")
    assert not local.search("02423456789")
